"""Saved models: one JSON file with the model, what it learned, and all that is needed to predict and to train on.

A file holds a circuit with its parameters (:class:`SavedModel`) or a table ensemble with its counters
(:class:`rdahw.saved_ensemble.SavedEnsemble`); its ``kind`` says which.

Safe to load from a stranger: plain JSON whose every value is checked; nothing in it is run or unpickled. The file ends
in a checksum over itself, so that a truncated or altered file is refused. Format version 2; version 1, which had
circuits only and no stride in its schedule, is read too.
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
from rdahw.saved_ensemble import SavedEnsemble, ensemble_from_document, ensemble_to_document
from rdahw.training import Best, Schedule, TrainingState

__all__ = ["FORMAT", "VERSION", "SavedModel", "load_circuit", "load_model", "pack_bits", "save_model"]

FORMAT = "rdahw model"
VERSION = 2
#: A larger file is not read: the most counters that an ensemble may have, twice, take less.
_MAX_BYTES = 1 << 32


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


def _signed(document: Mapping[str, Any]) -> bytes:
    """The text of ``document`` with its checksum; a large member is turned into text only once."""
    texts = {key: f'"{key}": {json.dumps(value, sort_keys=True, ensure_ascii=True)}' for key, value in document.items()}
    checksum = hashlib.sha256(f"{{{', '.join(texts[key] for key in sorted(texts))}}}".encode()).hexdigest()
    return f'{{{", ".join(texts.values())}, "sha256": "{checksum}"}}\n'.encode()


def save_model(saved: SavedModel | SavedEnsemble, path: Path) -> None:
    """Write ``saved`` to ``path``, atomically; raises :class:`UserError` and leaves the old file if that fails."""
    if isinstance(saved, SavedEnsemble):
        kind, own = "ensemble", ensemble_to_document(saved)
    else:
        kind, own = "circuit", _to_document(saved)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        **own,
        "schema": saved.schema.to_json(),
        "binariser": saved.binariser.to_json(),
        "schedule": saved.schedule.to_json(),
        "provenance": dict(saved.provenance),
    }
    write_atomically(path, _signed(document))


def _to_document(saved: SavedModel) -> dict[str, Any]:
    state, best = saved.state, saved.state.best
    return {
        "model": {"name": saved.learner.model.name, "circuit": saved.learner.model.circuit.to_json()},
        "learner": {"error": saved.learner.error, "optimiser": saved.learner.optimiser},
        "parameters": _text(saved.parameters),
        "labels": saved.labels,
        "state": {
            "parameters": _text(state.parameters),
            **{name: getattr(state, name) for name in _COUNTS},
            "best": best and {"correct": best.correct, "update": best.update, "parameters": _text(best.parameters)},
        },
    }


_COUNTS = ("epoch", "position", "updates", "wrong")
#: The members of every file, and those of its kind.
_KEYS = ("format", "version", "kind", "schema", "binariser", "schedule", "provenance", "sha256")
_CIRCUIT = ("model", "learner", "parameters", "labels", "state")
_ENSEMBLE = ("ensemble", "state", "best")


def load_model(path: Path) -> SavedModel | SavedEnsemble:
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
    if (version := document.get("version")) not in (1, VERSION) or version is True:
        raise UserError(
            f"{str(path)!r} has format version {version!r}; this rdahw reads versions 1 to {VERSION}: use the rdahw "
            "that wrote it, or train again"
        )
    checksum = document.pop("sha256", None)
    if checksum != _checksum(document):
        raise UserError(f"{str(path)!r} is damaged: its checksum does not hold; train again, or get the file again")
    if version == 1:
        document = _from_version_1(document)
    try:
        return _from_document({**document, "sha256": checksum})
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error}") from None


def load_circuit(path: Path) -> SavedModel:
    """As :func:`load_model`, for what works on circuits only: raises :class:`UsageError` for a table ensemble."""
    saved = load_model(path)
    if isinstance(saved, SavedEnsemble):
        raise UsageError(
            f"{str(path)!r} is a table ensemble and no circuit; make a circuit of it with rdahw binarise {str(path)}"
        )
    return saved


def _from_version_1(document: dict[str, Any]) -> dict[str, Any]:
    """The document as version 2 says it."""
    schedule = document.get("schedule")
    if isinstance(schedule, dict):
        schedule = {**schedule, "stride": 1}
    return {**document, "kind": "circuit", "schedule": schedule}


def _from_document(document: dict[str, Any]) -> SavedModel | SavedEnsemble:
    kind = document.get("kind")
    if kind not in ("circuit", "ensemble"):
        raise damaged("its 'kind'", "'circuit' or 'ensemble'")
    own = _CIRCUIT if kind == "circuit" else _ENSEMBLE
    values = members(document, "the model", (*_KEYS, *own))
    _, _, _, schema, binariser, schedule, provenance, _ = values[: len(_KEYS)]
    if not isinstance(provenance, dict):
        raise damaged("its 'provenance'", "an object")
    common: dict[str, Any] = {
        "schema": Schema.from_json(schema),
        "binariser": Binariser.from_json(binariser),
        "schedule": Schedule.from_json(schedule),
        "provenance": provenance,
    }
    if common["binariser"].columns != common["schema"].columns:
        raise damaged("its 'binariser'", "for the columns of its 'schema'")
    read = _circuit if kind == "circuit" else ensemble_from_document
    return read(*values[len(_KEYS) :], **common)


def _circuit(
    model: Any,
    learner: Any,
    parameters: Any,
    labels: Any,
    state: Any,
    *,
    schema: Schema,
    binariser: Binariser,
    schedule: Schedule,
    provenance: dict[str, Any],
) -> SavedModel:
    name, circuit = members(model, "its 'model'", ("name", "circuit"))
    error, optimiser = members(learner, "its 'learner'", ("error", "optimiser"))
    if not all(isinstance(text, str) for text in (name, error, optimiser, labels)):
        raise damaged("a name", "text")
    made = Model(name, Circuit.from_json(circuit))
    if (made.input_bits, made.output_bits) != (binariser.width, label_width(len(schema.label_names), labels)):
        raise damaged("the width of the circuit", "that of the binariser and the labels")
    count = made.parameter_bits
    return SavedModel(
        learner=Learner(made, error, optimiser),
        parameters=_bits(parameters, count, "its 'parameters'"),
        schema=schema,
        binariser=binariser,
        labels=labels,
        state=_state(state, count),
        schedule=schedule,
        provenance=provenance,
    )


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
