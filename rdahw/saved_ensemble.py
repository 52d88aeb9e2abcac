"""Saved table ensembles: what is in a file of :mod:`rdahw.saved` whose kind is ``ensemble``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rdahw.data import Binariser, Schema
from rdahw.data._json import damaged, is_int, members
from rdahw.ensemble import (
    Counters,
    EnsembleSpec,
    EnsembleState,
    counters_from_text,
    counters_to_text,
    find_image,
    state_from_json,
    state_to_json,
)
from rdahw.training import Schedule

__all__ = ["BestEpoch", "SavedEnsemble", "ensemble_from_document", "ensemble_to_document"]


@dataclass(frozen=True, slots=True, eq=False)
class BestEpoch:
    """The best counters so far: how many validation examples they got right, and after how many epochs."""

    correct: int
    epoch: int
    counters: Counters


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SavedEnsemble:
    """An ensemble with what it learned, how raw data become its bits, and where all that came from.

    spec: what it is, and how it learns. state and schedule: to train on. best: of an ensemble that is trained with
    validation, the epoch that it keeps. schema: the columns and the names of the classes. provenance: plain JSON
    values: the options of the training, the data's checksum, the command, the package version, and ``curve``, an
    object for each epoch.
    """

    spec: EnsembleSpec
    state: EnsembleState
    schema: Schema
    binariser: Binariser
    schedule: Schedule
    provenance: Mapping[str, Any]
    best: BestEpoch | None = None

    @property
    def counters(self) -> Counters:
        """What predicts, (tables, 2^inputs, classes): the best epoch's counters with validation, else the last."""
        return self.state.counters if self.best is None else self.best.counters

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return self.schema.label_names

    @property
    def is_finished(self) -> bool:
        """False for a checkpoint: the training has not come to its end."""
        return bool(self.provenance.get("finished"))


def ensemble_to_document(saved: SavedEnsemble) -> dict[str, Any]:
    """The members of the file that only an ensemble has."""
    spec, best = saved.spec, saved.best
    return {
        "ensemble": spec.to_json(),
        "state": state_to_json(spec, saved.state),
        "best": best
        and {"correct": best.correct, "epoch": best.epoch, "counters": counters_to_text(spec, best.counters)},
    }


def ensemble_from_document(
    ensemble: object,
    state: object,
    best: object,
    *,
    schema: Schema,
    binariser: Binariser,
    schedule: Schedule,
    provenance: dict[str, Any],
) -> SavedEnsemble:
    """Read :func:`ensemble_to_document` back. Raises :class:`UserError` when anything is not as our own writer writes
    it."""
    spec = EnsembleSpec.from_json(ensemble)
    if (spec.input_bits, spec.classes) != (binariser.width, len(schema.label_names)):
        raise damaged("the ensemble's size", "that of the binariser and the classes")
    if spec.image is not None and spec.image != find_image(schema.columns, schema.image_shape, spec.input_bits):
        raise damaged("the ensemble's 'image'", "that of the data")
    if schedule.batch != 1:
        raise damaged("its 'schedule'", "for an ensemble, which takes examples one at a time")
    kept = None
    if best is not None:
        correct, epoch, text = members(best, "its 'best'", ("correct", "epoch", "counters"))
        if not all(is_int(number) and number >= 0 for number in (correct, epoch)):
            raise damaged("its 'best'", "counts")
        kept = BestEpoch(correct, epoch, counters_from_text(spec, text))
    return SavedEnsemble(
        spec=spec,
        state=state_from_json(spec, state),
        schema=schema,
        binariser=binariser,
        schedule=schedule,
        provenance=provenance,
        best=kept,
    )
