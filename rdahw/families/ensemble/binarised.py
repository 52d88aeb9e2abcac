"""A trained ensemble as a circuit of 1-bit tables, which is exported, proven and synthesised like any other."""

from __future__ import annotations

from dataclasses import replace

from rdahw.data import Code
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.circuits import binarise, boolean_model, tables_to_bits
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.learner import Learner
from rdahw.model import Model
from rdahw.state import State

__all__ = ["circuit", "signs", "through_signs"]


def circuit(spec: EnsembleSpec, code: Code) -> CircuitSpec:
    """The circuit of :func:`rdahw.families.ensemble.circuits.boolean_model`, with output ``code``; raises
    :class:`UsageError` for an ensemble that is too large for it."""
    name = f"boolean-ensemble:tables={spec.tables},inputs={spec.inputs}"
    return CircuitSpec.of(Learner(Model(name, boolean_model(spec, code))), code=code, classes=spec.classes)


def signs(spec: EnsembleSpec, state: State) -> State:
    """The state of :func:`circuit`: its parameters are the signs of the counters, 1 where one is not negative."""
    return {"parameters": tables_to_bits(spec, binarise(state["counters"]))}


def through_signs(spec: EnsembleSpec, margin: int) -> EnsembleSpec:
    """The ensemble that learns through the signs of its counters, by ``margin`` in tables."""
    return replace(spec, sign=True, margin=margin)
