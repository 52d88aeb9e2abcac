"""Training and predicting on a board: the options that say where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdahw.errors import UsageError

if TYPE_CHECKING:
    from rdahw.boards.host import DeviceEngine
    from rdahw.family import Spec

__all__ = ["baud_option", "connect_device", "device_options", "dumped", "take_device_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

baud_option = click.option(
    "--baud",
    type=click.IntRange(1),
    metavar="N",
    help="speed of the board's port, in bits a second  [default: that of rdahw synth]",
)


def device_options(command: _Command) -> _Command:
    """Give a command --device and --baud."""
    device = click.option(
        "--device", metavar="PORT", help="learn on the board at this port, which runs a trainer of rdahw synth"
    )
    return device(baud_option(command))


def take_device_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take them out of ``options``; raises :class:`UsageError` for what does not go together."""
    taken = {name: options.pop(name) for name in ("device", "baud")}
    if taken["device"] is not None and options["where"] == "hdl":
        raise UsageError("--device and --hdl were both given; learn on a board, or in simulated hardware")
    if taken["device"] is None and taken["baud"] is not None:
        raise UsageError(f"--baud {taken['baud']} was given without --device; add --device PORT, or leave it out")
    return taken


def connect_device(device: Mapping[str, Any], spec: Spec) -> DeviceEngine | None:
    """The board as an engine, or None where none is asked for."""
    if device["device"] is None:
        return None
    from rdahw.boards.host import BAUD, DeviceEngine, connect

    found = connect(device["device"], baud=device["baud"] or BAUD, spec=spec)
    return DeviceEngine(found, spec)


def dumped(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a model whose parameters come from a board: how it was trained is not known, so its training
    cannot be resumed."""
    kept = {name: provenance[name] for name in ("data_sha256",) if name in provenance}
    version = provenance.get("package_version")
    return {"command": "rdahw device dump", "package_version": version, **kept, "finished": True}
