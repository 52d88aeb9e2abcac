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
    from rdahw.family import Spec
    from rdahw.sim.hardware import HardwareEngine

__all__ = ["compiling", "hdl_options", "make_hardware", "take_hdl_options"]

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


def make_hardware(output: Output, spec: Spec, hdl: Mapping[str, Any], *, batch: bool, updates: int) -> HardwareEngine:
    """The model in simulated hardware that is checked against software, for a run over so many updates."""
    from rdahw.files import check_writable
    from rdahw.sim.engines import find_engine
    from rdahw.sim.hardware import HardwareEngine
    from rdahw.sim.simulator import choose_engine

    if hdl["vcd"] is not None:
        check_writable(hdl["vcd"])
    engine = choose_engine(hdl["engine"], cycles=updates * max(1, spec.parameters.bits // 64))
    with compiling(output, find_engine(spec).is_compiled):  # the software that it is checked against
        return HardwareEngine(
            spec, engine, stages=hdl["stages"], batch=batch, check=True, vcd=hdl["vcd"], log=output.log
        )
