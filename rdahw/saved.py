"""Saved models: one JSON file with the circuit, its parameters, and all that is needed to predict and to train on.

Safe to load from a stranger: plain JSON whose every value is checked; nothing in it is run or unpickled. The file ends
in a checksum over itself, so that a truncated or altered file is refused. Format version 1.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rdahw.circuit import Circuit
from rdahw.data import Binariser, Code, Schema, label_width
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.files import write_atomically
from rdahw.learner import Learner
from rdahw.models import Model
from rdahw.primitives import Array
from rdahw.training import Best, Schedule, TrainingState

__all__ = ["FORMAT", "VERSION", "SavedModel", "load_model", "pack_bits", "save_model"]

FORMAT = "rdahw model"
VERSION = 1
#: A larger file is not read; the largest model there is takes a tenth of it.
_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class SavedModel:
    """A learner with what it learned, how raw data become its bits, and where all that came from.

    parameters: (P,), what predicts. state and schedule: to train on. labels: the code of the output bits.
    provenance: plain JSON values: the options of the training, the data's checksum, the command, the package version.
    """

    learner: Learner
    parameters: Array
    schema: Schema
    binariser: Binariser
    labels: Code
    state: TrainingState
    schedule: Schedule
    provenance: Mapping[str, Any]

    @property
    def is_finished(self) -> bool:
        """False for a checkpoint: the training has not come to its end."""
        return bool(self.provenance.get("finished"))


def pack_bits(bits: Array) -> bytes:
    """Bits as bytes: wire 0 is the least significant bit of byte 0."""
    return np.packbits(bits, bitorder="little").tobytes()


def _text(bits: Array) -> str:
    return base64.b64encode(pack_bits(bits)).decode()


def _bits(value: Any, count: int, what: str) -> Array:
    try:
        packed = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise damaged(what, "base64 text") from None
    if len(packed) != (count + 7) // 8:
        raise damaged(what, f"{count} bits")
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count, bitorder="little")


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def save_model(saved: SavedModel, path: Path) -> None:
    """Write ``saved`` to ``path``, atomically; raises :class:`UserError` and leaves the old file if that fails."""
    state, best = saved.state, saved.state.best
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model": {"name": saved.learner.model.name, "circuit": saved.learner.model.circuit.to_json()},
        "learner": {"error": saved.learner.error, "optimiser": saved.learner.optimiser},
        "parameters": _text(saved.parameters),
        "labels": saved.labels,
        "schema": saved.schema.to_json(),
        "binariser": saved.binariser.to_json(),
        "schedule": {name: getattr(saved.schedule, name) for name in Schedule.__dataclass_fields__},
        "state": {
            "parameters": _text(state.parameters),
            **{name: getattr(state, name) for name in _COUNTS},
            "best": best and {"correct": best.correct, "update": best.update, "parameters": _text(best.parameters)},
        },
        "provenance": dict(saved.provenance),
    }
    document["sha256"] = _checksum(document)
    write_atomically(path, (json.dumps(document, ensure_ascii=True) + "\n").encode())


_COUNTS = ("epoch", "position", "updates", "wrong")
_KEYS = (
    "format",
    "version",
    "model",
    "learner",
    "parameters",
    "labels",
    "schema",
    "binariser",
    "schedule",
    "state",
    "provenance",
    "sha256",
)


def load_model(path: Path) -> SavedModel:
    """The model saved at ``path``; raises :class:`UsageError` if there is no such file, :class:`UserError` if it is not
    a whole model of a version that this package knows.
    """
    try:
        if not path.is_file():
            raise UsageError(f"there is no model file {str(path)!r}; make one with rdahw train --out {str(path)!r}")
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(
                f"{str(path)!r} is larger than any model ({_MAX_BYTES} bytes); expected a file of rdahw train"
            )
        document = json.loads(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{str(path)!r} cannot be read ({reason}); check its name and permissions") from error
    except (ValueError, RecursionError):
        raise UserError(
            f"{str(path)!r} is no model, or only part of one; expected a whole file of rdahw train"
        ) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(f"{str(path)!r} is no model; expected a file written by rdahw train")
    if document.get("version") != VERSION:
        raise UserError(
            f"{str(path)!r} has format version {document.get('version')!r}; this rdahw reads version {VERSION}: use "
            "the rdahw that wrote it, or train again"
        )
    checksum = document.pop("sha256", None)
    if checksum != _checksum(document):
        raise UserError(f"{str(path)!r} is damaged: its checksum does not hold; train again, or get the file again")
    try:
        return _from_document({**document, "sha256": checksum})
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error}") from None


def _from_document(document: Any) -> SavedModel:
    _, _, model, learner, parameters, labels, schema, binariser, schedule, state, provenance, _ = members(
        document, "the model", _KEYS
    )
    name, circuit = members(model, "its 'model'", ("name", "circuit"))
    error, optimiser = members(learner, "its 'learner'", ("error", "optimiser"))
    if not all(isinstance(text, str) for text in (name, error, optimiser, labels)) or not isinstance(provenance, dict):
        raise damaged("a name", "text")
    made = Model(name, Circuit.from_json(circuit))
    read = Schema.from_json(schema), Binariser.from_json(binariser)
    if (made.input_bits, made.output_bits) != (read[1].width, label_width(len(read[0].label_names), labels)):
        raise damaged("the width of the circuit", "that of the binariser and the labels")
    count = made.parameter_bits
    return SavedModel(
        Learner(made, error, optimiser),
        _bits(parameters, count, "its 'parameters'"),
        *read,
        labels,
        _state(state, count),
        _schedule(schedule),
        provenance,
    )


def _schedule(value: Any) -> Schedule:
    names = tuple(Schedule.__dataclass_fields__)
    given = dict(zip(names, members(value, "its 'schedule'", names), strict=True))
    shuffle = given.pop("shuffle")
    if not isinstance(shuffle, bool) or not all(
        is_int(number) or (number is None and name == "updates") for name, number in given.items()
    ):
        raise damaged("its 'schedule'", "whole numbers")
    return Schedule(**given, shuffle=shuffle)


def _state(value: Any, count: int) -> TrainingState:
    parameters, *counts, best = members(value, "its 'state'", ("parameters", *_COUNTS, "best"))
    if not all(is_int(number) and number >= 0 for number in counts):
        raise damaged("its 'state'", "counts")
    if best is not None:
        correct, update, bits = members(best, "its 'best'", ("correct", "update", "parameters"))
        if not all(is_int(number) and number >= 0 for number in (correct, update)):
            raise damaged("its 'best'", "counts")
        best = Best(correct, update, _bits(bits, count, "its 'best'"))
    return TrainingState(_bits(parameters, count, "its 'state'"), **dict(zip(_COUNTS, counts, strict=True)), best=best)
