"""The model that a command names, by a family's name or by a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdahw.errors import UsageError, nearest

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.family import Spec, Task
    from rdahw.saved import SavedModel

__all__ = [
    "as_predictor", "find_circuit", "find_model", "find_predictor", "make_spec", "module_name", "predictor", "stem",
]  # fmt: skip


def make_spec(text: str, task: Task, **given: Any) -> Spec:
    """The model that ``text`` names for ``task``, with the options ``given``. What a user's own file prints goes to
    stderr.

    Raises :class:`UsageError` for an unknown name or option, or one that is given twice.
    """
    from rdahw.families import parse_model

    family, options = parse_model(text)
    for name, value in given.items():
        if name in options and options[name] != value:
            raise UsageError(
                f"{name} was given twice, as {options[name]} in {text!r} and as {value}; leave one of them out"
            )
        options[name] = value
    with contextlib.redirect_stdout(sys.stderr):
        return family.spec(task, **options)


def find_predictor(text: str, inputs: int, outputs: int) -> tuple[Spec, SavedModel | None]:
    """As :func:`find_model`, but a saved one as :attr:`SavedModel.predictor`."""
    return as_predictor(*find_model(text, inputs, outputs))


def as_predictor(spec: Spec, saved: SavedModel | None) -> tuple[Spec, SavedModel | None]:
    """A saved model as :attr:`SavedModel.predictor`; one that is not saved as it is."""
    if saved is None:
        return spec, None
    saved = saved.predictor
    return saved.spec, saved


def find_model(text: str, inputs: int, outputs: int) -> tuple[Spec, SavedModel | None]:
    """The model that ``text`` names: a saved one, a circuit in a file of another tool, or one by name or from a Python
    file with ``inputs`` and ``outputs`` bits. Raises :class:`UsageError` for an unknown name, and the errors of
    :func:`rdahw.saved.load_model`.
    """
    from rdahw.families import is_model_name, named_models, names, parse_model
    from rdahw.family import Task
    from rdahw.given import GivenSpec, parse_design

    if parse_design(text) is not None:
        return GivenSpec.read(text), None
    if is_model_name(text):
        return make_spec(text, Task.of_widths(inputs, outputs, kind=parse_model(text)[0].tasks[0])), None
    if not os.path.exists(text) and not Path(text).suffix:
        raise UsageError(f"there is no model {text!r} and no such file; {nearest(text, [*names(), *named_models()])}")
    from rdahw.saved import load_model

    saved = load_model(Path(text))
    return saved.spec, saved


def find_circuit(text: str, inputs: int, outputs: int) -> Circuit:
    """The circuit that ``text`` names: that of a Python file as it is, else the :func:`predictor` of
    :func:`find_predictor`."""
    if ".py:" in text:
        from rdahw.families import parse_model

        family, options = parse_model(text)
        if family.plain is not None:
            with contextlib.redirect_stdout(sys.stderr):
                made = family.plain(inputs, outputs, **options)
            if made is not None:
                return made
    return predictor(*find_predictor(text, inputs, outputs))


def stem(text: str) -> str:
    """The name that files made from this model begin with."""
    return text.rpartition(":")[2] if ".py:" in text else Path(text.partition(":")[0]).stem


def module_name(text: str, taken: Collection[str]) -> str:
    """The name of this model's module: no word of Verilog, and none of ``taken``, the names of its ports, as Verilator
    refuses one of those."""
    from rdahw.hdl.keywords import KEYWORDS

    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem(text))
    while not name[:1].isalpha() or name in KEYWORDS or name in taken:
        name = f"model_{name}"
    return name


def predictor(spec: Spec, saved: SavedModel | None) -> Circuit:
    """x ↦ y with the trained parameters folded in; (theta, x) ↦ y for a model that is not trained."""
    from rdahw.transform import bind

    if saved is None:
        return spec.predicting()
    model = spec.learner().model
    return bind(model.predictor, **{model.circuit.input_names[0]: spec.theta(saved.best_state).tolist()})
