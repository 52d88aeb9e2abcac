"""What trains a model: the options of ``rdahw train`` for software engines, simulated hardware and boards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from rdahw.cli._params import count_option, file_option
from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.host import DeviceEngine
    from rdahw.cli._output import Output
    from rdahw.data import Binariser
    from rdahw.family import Spec
    from rdahw.sim.hardware import HardwareEngine

__all__ = ["EngineOptions", "baud_option", "compiling", "connect_device", "engine_options", "make_hardware"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SOFTWARE = ("reference", "packed", "compiled")
_HARDWARE = ("amaranth", "cxxrtl", "verilator")

baud_option = count_option(
    "--baud", help="speed of the board's port, in bits per second  [default: that of rdahw synth]"
)


def engine_options(command: _Command) -> _Command:
    """Give ``rdahw train`` the options that :class:`EngineOptions` holds."""
    for option in (
        baud_option,
        click.option(
            "--device", metavar="PORT", help="learn on the board at this port; it runs a trainer of rdahw synth"
        ),
        file_option("--vcd", help="with --hdl: save the waveforms here"),
        click.option(
            "--stages",
            type=click.IntRange(1, 2),
            help="with --hdl: pipeline stages of the trainer, 2 for a higher clock  [default: 1]",
        ),
        click.option(
            "--engine",
            type=click.Choice([*_SOFTWARE, *_HARDWARE]),
            help="run a circuit by reference (default) or packed (compiled, the same bits), an ensemble by reference "
            "or compiled (default); with --hdl by amaranth, cxxrtl or verilator  [default: the fastest installed]",
        ),
        click.option(
            "--hdl",
            "where",
            flag_value="hdl",
            help="learn in simulated hardware, each bit compared with the software learner",
        ),
        click.option("--sim", "where", flag_value="sim", default="sim", help="learn in software  [default]"),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The values of the options of :func:`engine_options`; ``None``: not given."""

    where: Literal["sim", "hdl"]
    engine: str | None
    stages: int | None
    vcd: Path | None
    device: str | None
    baud: int | None

    @classmethod
    def take(cls, options: dict[str, Any]) -> EngineOptions:
        """Take them out of ``options``; raises :class:`UsageError` for a combination that is not supported."""
        taken = cls(**{field.name: options.pop(field.name) for field in fields(cls)})
        if taken.device is not None and taken.where == "hdl":
            raise UsageError("--device and --hdl were both given; learn on a board, or in simulated hardware")
        if taken.device is None and taken.baud is not None:
            raise UsageError(f"--baud {taken.baud} was given without --device; add --device PORT, or leave it out")
        if taken.where == "hdl":
            if taken.engine in _SOFTWARE:
                raise UsageError(f"--engine {taken.engine} was given with --hdl; use {' or '.join(_HARDWARE)}")
            return taken
        for name in ("engine", "stages", "vcd"):
            if (value := getattr(taken, name)) is not None and value not in _SOFTWARE:
                raise UsageError(f"--{name} {value} was given without --hdl; add --hdl, or leave it out")
        return taken


@contextmanager
def compiling(output: Output, may_compile: bool = True) -> Iterator[None]:
    """While the context lasts, say once if anything has to be compiled: it takes seconds, and only the first time.
    Without ``may_compile`` the compiler is not even imported."""
    if not may_compile:
        yield
        return
    from rdahw.sim.jit import on_compile

    with on_compile(lambda name: output.log_once("compiling, which takes some seconds the first time")):
        yield


def make_hardware(output: Output, spec: Spec, asked: EngineOptions, *, batch: bool, updates: int) -> HardwareEngine:
    """The model in simulated hardware that is compared with software, for a run of ``updates`` updates."""
    from rdahw.files import check_writable
    from rdahw.hdl.trainer_factory import choose_trainer
    from rdahw.sim.engines import find_engine
    from rdahw.sim.hardware import HardwareEngine
    from rdahw.sim.simulator import choose_engine

    if asked.vcd is not None:
        check_writable(asked.vcd)
    row = choose_trainer(spec)
    engine = choose_engine(asked.engine, cycles=updates * row.cycles(spec), first=row.simulator)
    with compiling(output, find_engine(spec).is_compiled):  # the software that it is compared with
        return HardwareEngine(spec, engine, stages=asked.stages, batch=batch, check=True, vcd=asked.vcd, log=output.log)


def connect_device(asked: EngineOptions, spec: Spec, binariser: Binariser) -> DeviceEngine | None:
    """The board as an engine; None without --device. Raises :class:`UsageError` for a model that no board trains."""
    if asked.device is None:
        return None
    if spec.software_only:
        raise UsageError(spec.software_only)
    from rdahw.boards.host import BAUD, DeviceEngine, connect
    from rdahw.hdl.frontend import known_frontends

    frontends = known_frontends(binariser)
    return DeviceEngine(connect(asked.device, baud=asked.baud or BAUD, spec=spec, frontends=frontends), spec)
