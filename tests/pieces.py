"""Pieces of work for processes and clusters, which import this file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from rdahw.errors import UsageError
from rdahw.jobs import stopping


class Counted:
    """Notes in ``folder`` each time that it arrives in another process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        note(self.folder, f"arrived-{os.getpid()}-{time.monotonic_ns()}")


def note(folder: Path, name: str) -> None:
    (folder / name).touch()


def square(shared: Any, piece: int) -> int:
    """Without the shared data."""
    return piece * piece


def add(shared: int, piece: int) -> int:
    return shared + piece


def refuse_odd(shared: Any, piece: int) -> int:
    if piece % 2:
        raise UsageError(f"{piece} is odd")
    return piece


def die_once(folder: Path, piece: int) -> int:
    """The worker of piece 1 dies when it has it for the first time."""
    if piece == 1 and not (folder / "died").exists():
        note(folder, "died")
        os.kill(os.getpid(), signal.SIGKILL)
    return piece * piece


def die(folder: Path, piece: int) -> int:
    """Piece 0 alone is done."""
    if piece:
        note(folder, f"died-{os.getpid()}")
        os.kill(os.getpid(), signal.SIGKILL)
    return piece


def until_stopped(folder: Path, piece: int) -> str:
    """Piece 0 ends when piece 1 has begun, and the others when they are asked to."""
    if piece:
        note(folder, f"began-{piece}")
    while not ((folder / "began-1").exists() if piece == 0 else stopping()):
        time.sleep(0.01)
    return "ended" if piece == 0 else "stopped"


def until_asked(folder: Path, piece: int) -> str:
    """Piece 0 ends at once, and the others when they are asked to."""
    if piece:
        note(folder, f"began-{piece}")
    while piece and not stopping():
        time.sleep(0.01)
    return "stopped" if piece else "ended"


def interrupt(shared: Any, piece: int) -> int:
    """Send Ctrl-C to this process, as if nothing had been done about it here."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGINT)
    return piece


def hold(folder: Path, piece: int) -> None:
    """Never ends of itself."""
    note(folder, "began")
    while True:
        time.sleep(0.05)
