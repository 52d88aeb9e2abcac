"""A trained ensemble as a saved circuit of 1-bit tables, which is exported, proven and synthesised like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdahw.data import Code
from rdahw.families.ensemble.circuits import binarise, boolean_model, tables_to_bits
from rdahw.learner import Learner
from rdahw.model import Model
from rdahw.saved import SavedModel
from rdahw.saved_ensemble import SavedEnsemble
from rdahw.training import Schedule, TrainingState

__all__ = ["binarise_ensemble"]


def binarise_ensemble(saved: SavedEnsemble, code: Code = "binary", provenance: Mapping[str, Any] = {}) -> SavedModel:
    """The circuit ``f : P × A → B`` of :func:`rdahw.families.ensemble.circuits.boolean_model`, whose parameters are the signs of
    the counters: 1 where one is not negative.

    It predicts what the ensemble does with ``sign``. ``code``: of the output. Raises :class:`UsageError` for an
    ensemble that is too large for a circuit.
    """
    spec = saved.spec
    model = Model(f"boolean-ensemble:tables={spec.tables},inputs={spec.inputs}", boolean_model(spec, code))
    parameters = tables_to_bits(spec, binarise(saved.counters))
    return SavedModel(
        learner=Learner(model),
        parameters=parameters,
        schema=saved.schema,
        binariser=saved.binariser,
        labels=code,
        state=TrainingState(parameters),
        schedule=Schedule(),
        provenance=provenance,
    )
