"""Which engine trains: the options of ``rdahw train`` for it, simulated hardware above all, and what that reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.cli._output import Output
    from rdahw.families.ensemble.spec import EnsembleSpec
    from rdahw.learner import Learner
    from rdahw.sim.ensemble_hardware import HardwareEnsemble
    from rdahw.sim.hardware import HardwareEngine
    from rdahw.training import Engine

__all__ = [
    "compiling",
    "describe_hardware",
    "describe_hardware_ensemble",
    "hdl_options",
    "make_hardware",
    "make_hardware_ensemble",
    "make_software",
    "take_hdl_options",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_NAMES = ("engine", "stages", "vcd")
_SOFTWARE = ("reference", "packed", "compiled")
_HARDWARE = ("amaranth", "cxxrtl", "verilator")


def hdl_options(command: _Command) -> _Command:
    """Give a command the options that go with --hdl."""
    for option in (
        click.option(
            "--vcd", type=click.Path(path_type=Path), metavar="FILE", help="with --hdl: save the waveforms here"
        ),
        click.option(
            "--stages",
            type=click.IntRange(1, 2),
            help="with --hdl: pipeline stages of the trainer, 2 for a higher clock  [default: 1]",
        ),
        click.option(
            "--engine",
            type=click.Choice([*_SOFTWARE, *_HARDWARE]),
            help="run the learner by reference (default) or packed (compiled, the same bits), an ensemble by reference "
            "or compiled (default); with --hdl by amaranth, cxxrtl or verilator  [default: the fastest installed]",
        ),
    ):
        command = option(command)
    return command


def take_hdl_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take what belongs to --hdl, and the engine, out of ``options``; raises :class:`UsageError` for what does not go
    together."""
    taken = {"where": options["where"], **{name: options.pop(name) for name in _NAMES}}
    if options["where"] == "hdl":
        if taken["engine"] in _SOFTWARE:
            raise UsageError(f"--engine {taken['engine']} was given with --hdl; there it is {' or '.join(_HARDWARE)}")
        return taken
    for name in _NAMES:
        if (value := taken[name]) is not None and value not in _SOFTWARE:
            raise UsageError(f"--{name} {value} was given without --hdl; add --hdl, or leave it out")
    return taken


@contextmanager
def compiling(output: Output, may_compile: bool = True) -> Iterator[None]:
    """While the context lasts, say once if anything has to be compiled: it takes seconds, and only the first time.
    What may not, costs no time to load a compiler."""
    if not may_compile:
        yield
        return
    from rdahw.sim.jit import on_compile

    with on_compile(lambda name: output.log_once("compiling, which takes some seconds the first time")):
        yield


def make_software(learner: Learner, hdl: Mapping[str, Any]) -> Engine:
    """The learner in software, by the engine that was asked for."""
    from rdahw.sim.engines import make_engine

    if hdl["engine"] == "compiled":
        raise UsageError("--engine compiled is of ensembles; a circuit learns by reference or packed")
    return make_engine(hdl["engine"] or "reference", learner)


def make_hardware(
    output: Output, learner: Learner, hdl: Mapping[str, Any], *, batch: int, examples: int
) -> HardwareEngine:
    """The learner in simulated hardware that is checked against software, for a run over so many examples."""
    from rdahw.files import check_writable
    from rdahw.sim.hardware import HardwareEngine
    from rdahw.sim.simulator import choose_engine

    if hdl["vcd"] is not None:
        check_writable(hdl["vcd"])
    work = examples * max(1, learner.model.parameter_bits // 64)
    return HardwareEngine(
        learner,
        choose_engine(hdl["engine"], cycles=work),
        stages=hdl["stages"] or 1,
        batch=batch > 1,
        check=True,
        vcd=hdl["vcd"],
        log=output.log,
    )


def describe_hardware(engine: HardwareEngine) -> dict[str, Any]:
    """What the simulation of a run that came to its end has shown, as JSON."""
    return {
        "engine": engine.name,
        "stages": engine.stages,
        "cycles": engine.cycles,
        "cycles_per_example": _number(engine.cycles_per_example),
        "startup_cycles": engine.startup_cycles,
        # A bit that differs ends the run with an error.
        "bit_exact": True,
    }


def make_hardware_ensemble(
    output: Output, spec: EnsembleSpec, hdl: Mapping[str, Any], *, examples: int
) -> HardwareEnsemble:
    """An ensemble in simulated hardware that is checked against software, for a run over so many examples."""
    from rdahw.files import check_writable
    from rdahw.sim.ensemble_hardware import HardwareEnsemble
    from rdahw.sim.simulator import choose_engine

    if hdl["stages"] is not None:
        raise UsageError(
            f"--stages {hdl['stages']} is of the trainers of circuits, and that of an ensemble has one form; leave "
            "--stages out"
        )
    if hdl["vcd"] is not None:
        check_writable(hdl["vcd"])
    engine = choose_engine(hdl["engine"], cycles=examples * spec.tables)
    with compiling(output, "compiled"):  # the software that it is checked against
        return HardwareEnsemble(spec, engine, check=True, vcd=hdl["vcd"], log=output.log)


def describe_hardware_ensemble(engine: HardwareEnsemble, examples: int) -> dict[str, Any]:
    """What the simulation of a run over so many examples has shown, as JSON."""
    counts = engine.cycle_counts
    return {
        "engine": engine.name,
        "cycles": engine.cycles,
        "cycles_per_example": _number(engine.cycles / examples) if examples else None,
        "cycles_without_update": counts.without_update.to_json(),
        "cycles_with_update": counts.with_update.to_json(),
        "bit_exact": True,
    }


def _number(value: float) -> float:
    """Rounded, and a whole number as one, so that JSON says 1 and not 1.0."""
    value = round(value, 6)
    return int(value) if value == int(value) else value
