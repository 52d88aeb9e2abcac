"""The model that a command is about, by name or from a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.cli._output import make_model
from rdahw.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdahw.cli._output import Output
    from rdahw.model import Model
    from rdahw.saved import SavedModel
    from rdahw.saved_ensemble import SavedEnsemble

__all__ = ["find_ensemble", "find_model", "make_classifier", "size_options"]

#: So many examples times parameter bits are quick in the reference interpreter; more are worth compiling an engine.
_MOST_BY_REFERENCE = 1 << 28

_Command = TypeVar("_Command", bound=Callable[..., Any])


def size_options(*, outputs: int = 1) -> Callable[[_Command], _Command]:
    """Give a command --inputs and --outputs, the bits of a model by name."""

    def give(command: _Command) -> _Command:
        for name, default in (("output", outputs), ("input", 4)):
            text = f"{name} bits of a model by name"
            option = click.option(f"--{name}s", type=click.IntRange(1), default=default, show_default=True, help=text)
            command = option(command)
        return command

    return give


def find_model(spec: str, inputs: int, outputs: int) -> tuple[Model, SavedModel | None]:
    """The model that ``spec`` names: one by name or from a Python file, for so many bits, or a saved one.

    Raises :class:`UsageError` for an unknown name, and as :func:`rdahw.saved.load_circuit`.
    """
    from rdahw.GONE import MODELS
    from rdahw.saved import load_circuit

    if spec.partition(":")[0] in MODELS or ".py:" in spec:
        return make_model(spec, inputs, outputs), None
    if not os.path.exists(spec) and not Path(spec).suffix:
        from rdahw.errors import nearest

        raise UsageError(f"there is no model {spec!r} and no such file; {nearest(spec, MODELS)}")
    saved = load_circuit(Path(spec))
    return saved.learner.model, saved


def find_ensemble(spec: str) -> SavedEnsemble | None:
    """The saved ensemble that ``spec`` names; None where it names something else."""
    from rdahw.saved import load_model
    from rdahw.saved_ensemble import SavedEnsemble

    if not os.path.isfile(spec) or ".py:" in spec:
        return None
    saved = load_model(Path(spec))
    return saved if isinstance(saved, SavedEnsemble) else None


def make_classifier(
    output: Output, saved: SavedModel | SavedEnsemble
) -> Callable[[NDArray[np.uint8]], NDArray[np.int64]]:
    """What a saved model makes of bits (N, A): class numbers (N,), -1 for outputs that are the code of no class."""
    from rdahw.cli._hdl import compiling
    from rdahw.data import decode
    from rdahw.saved_ensemble import SavedEnsemble

    def by_ensemble(x: NDArray[np.uint8]) -> NDArray[np.int64]:
        assert isinstance(saved, SavedEnsemble)
        with compiling(output, "compiled"):
            from rdahw.sim.ensemble import CompiledEnsemble

            engine = CompiledEnsemble(saved.spec, threads=os.cpu_count() or 1)
            engine.counters = saved.counters
            return engine.predict(engine.pack(x)).astype("int64")

    def by_circuit(x: NDArray[np.uint8]) -> NDArray[np.int64]:
        from rdahw.sim.engines import make_engine

        assert not isinstance(saved, SavedEnsemble)
        name = "packed" if len(x) * saved.learner.model.parameter_bits > _MOST_BY_REFERENCE else "reference"
        with compiling(output, name):
            engine = make_engine(name, saved.learner)
            engine.parameters = saved.parameters
            return decode(engine.predict(x), len(saved.schema.label_names), saved.labels)

    return by_ensemble if isinstance(saved, SavedEnsemble) else by_circuit
