"""Saved models: one JSON file with the model, its state, and everything needed to predict and to continue training.

Safe to load from untrusted sources: every value of the JSON is checked; nothing in it is run or unpickled. The file
ends with a checksum of its content, so that a truncated or altered file is refused. This is format version 3;
:mod:`rdahw.saved_before` converts versions 1 and 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rdahw.data import Binariser, Schema
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError
from rdahw.families import find_family, is_family
from rdahw.family import Spec, Task
from rdahw.files import write_atomically
from rdahw.state import State, state_from_json, state_to_json
from rdahw.training import Best, Progress, Schedule
from rdahw.types import shown

__all__ = ["FORMAT", "VERSION", "SavedModel", "load_model", "save_model"]

FORMAT = "rdahw model"
VERSION = 3
#: A larger file is not read; twice the most counters of a model (state and best) take less.
_MAX_BYTES = 1 << 32
_KEYS = ("format", "version", "family", "spec", "state", "progress", "schema", "binariser", "schedule", "provenance")
_COUNTS = ("epoch", "position", "examples", "updates", "wrong")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SavedModel:
    """A trained model with the conversion of raw data to its bits, and its provenance.

    spec: the model and how it learns. state, progress and schedule: needed to continue training. schema: the columns
    and the names of the classes. provenance: plain JSON values: the options of the training, the data's checksum, the
    command, the package version, and ``curve``, an object for each epoch.
    """

    spec: Spec
    state: State
    progress: Progress
    schema: Schema
    binariser: Binariser
    schedule: Schedule
    provenance: Mapping[str, Any]

    @property
    def parameters(self) -> NDArray[Any]:
        """The parameters that predict: the best with validation, else the last."""
        best = self.progress.best
        return self.state[self.spec.parameters.name] if best is None else best.parameters

    @property
    def best_state(self) -> State:
        """The state with the parameters that predict."""
        return {**self.state, self.spec.parameters.name: self.parameters}

    @property
    def predictor(self) -> SavedModel:
        """The model as one whose parameters are all that it needs to predict; see :meth:`Spec.trained`."""
        spec, state = self.spec.trained(self.best_state)
        return self if spec is self.spec else replace(self, spec=spec, state=state, progress=Progress())

    @property
    def is_finished(self) -> bool:
        """False for a checkpoint of a training that has not ended."""
        return bool(self.provenance.get("finished"))

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The training curve, an object for each epoch; [] if malformed (the file is untrusted)."""
        curve = self.provenance.get("curve")
        if not isinstance(curve, list) or not all(isinstance(row, dict) for row in curve):
            return []
        return [row for i, row in enumerate(curve) if row.get("epoch") == i + 1]

    @property
    def seconds(self) -> float:
        """The recorded duration of the training; 0 if malformed."""
        seconds = self.provenance.get("seconds")
        return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else 0.0

    @property
    def options(self) -> Mapping[str, Any]:
        """The recorded options of the training; {} if malformed."""
        options = self.provenance.get("options")
        return options if isinstance(options, dict) else {}


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _signed(document: Mapping[str, Any]) -> bytes:
    """The text of ``document`` with its checksum; each member is serialised only once, as some are large."""
    texts = {key: f'"{key}": {json.dumps(value, sort_keys=True, ensure_ascii=True)}' for key, value in document.items()}
    checksum = hashlib.sha256(f"{{{', '.join(texts[key] for key in sorted(texts))}}}".encode()).hexdigest()
    return f'{{{", ".join(texts.values())}, "sha256": "{checksum}"}}\n'.encode()


def save_model(saved: SavedModel, path: Path) -> None:
    """Write ``saved`` to ``path``, atomically; on failure raises :class:`UserError` and keeps the old file."""
    spec, progress, best = saved.spec, saved.progress, saved.progress.best
    # A checkpoint of what prepares a model has the state of that.
    learning = spec.preparation or spec
    parameters = learning.fields[:1]
    document = {
        "format": FORMAT,
        "version": VERSION,
        "family": spec.family,
        "spec": spec.to_json(),
        "state": state_to_json(learning.fields, saved.state),
        "progress": {
            **{name: getattr(progress, name) for name in _COUNTS},
            "changed": progress.changed,
            "best": best
            and {
                "correct": best.correct,
                "update": best.update,
                "epoch": best.epoch,
                "state": state_to_json(parameters, {parameters[0].name: best.parameters}),
            },
        },
        "schema": saved.schema.to_json(),
        "binariser": saved.binariser.to_json(),
        "schedule": saved.schedule.to_json(),
        "provenance": dict(saved.provenance),
    }
    write_atomically(path, _signed(document))


def load_model(path: Path, *, to_continue: bool = False) -> SavedModel:
    """The model saved at ``path``; raises :class:`UsageError` if there is no such file, or if it is a checkpoint of a
    model's preparation and not ``to_continue`` it, :class:`UserError` if it is not a complete, valid model file of a
    known version.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{str(path)!r} is a folder; expected a model file of rdahw train")
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
            f"{str(path)!r} is not a valid model file, or truncated; expected a whole file of rdahw train"
        ) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(f"{str(path)!r} is not a model file; expected a file written by rdahw train")
    if (version := document.get("version")) not in (1, 2, VERSION) or version is True:
        raise UserError(
            f"{str(path)!r} has format version {version!r}; this rdahw reads versions 1 to {VERSION}: use the rdahw "
            "that wrote it, or train again"
        )
    checksum = document.pop("sha256", None)
    if checksum != _checksum(document):
        raise UserError(f"{str(path)!r} is damaged: its checksum does not hold; train again, or get the file again")
    try:
        if version != VERSION:
            from rdahw.saved_before import update_document

            document = update_document(document)
        saved = _from_document(document)
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error}") from None
    if saved.spec.preparation is not None and not to_continue:
        raise UsageError(
            f"{str(path)!r} is a checkpoint from before the first example was learned, so there is no model in it yet; "
            f"continue it with rdahw train --resume {str(path)!r}"
        )
    return saved


def _from_document(document: dict[str, Any]) -> SavedModel:
    values = dict(zip(_KEYS, members(document, "the model", _KEYS), strict=True))
    if not isinstance(values["provenance"], dict):
        raise damaged("its 'provenance'", "an object")
    name = values["family"]
    if not is_family(name):
        raise UserError(
            f"its model is of the family {shown(name)}, which is not installed; install the package that has it"
        )
    schema, binariser = Schema.from_json(values["schema"]), Binariser.from_json(values["binariser"])
    if binariser.columns != schema.columns:
        raise damaged("its 'binariser'", "for the columns of its 'schema'")
    spec, task = find_family(name).read(values["spec"]), Task.of(schema, binariser)
    if (spec.input_bits, spec.classes) != (task.input_bits, task.classes):
        raise damaged("the size of the model", "that of the binariser and the classes")
    if spec.image not in (None, task.image):
        raise damaged("the 'image' of the model", "that of the data")
    schedule = Schedule.from_json(values["schedule"])
    spec.check_schedule(schedule)
    learning = spec.preparation or spec
    state = state_from_json(learning.fields, values["state"], "its 'state'")
    learning.check_state(state)
    return SavedModel(
        spec=spec,
        state=state,
        progress=_progress(learning, values["progress"]),
        schema=schema,
        binariser=binariser,
        schedule=schedule,
        provenance=values["provenance"],
    )


def _progress(spec: Spec, value: object) -> Progress:
    *counts, changed, best = members(value, "its 'progress'", (*_COUNTS, "changed", "best"))
    if not all(is_int(number) and 0 <= number < 1 << 62 for number in (*counts, 0 if changed is None else changed)):
        raise damaged("its 'progress'", "counts")
    kept = None
    if best is not None:
        correct, update, epoch, state = members(best, "its 'best'", ("correct", "update", "epoch", "state"))
        if not all(is_int(number) and number >= 0 for number in (correct, update, epoch)):
            raise damaged("its 'best'", "counts")
        parameters = state_from_json(spec.fields[:1], state, "its 'best'")[spec.parameters.name]
        kept = Best(correct, update, epoch, parameters)
    return Progress(**dict(zip(_COUNTS, counts, strict=True)), changed=changed, best=kept)
