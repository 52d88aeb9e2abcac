"""What goes between Python and a compiled simulator."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from rdahw.sim.native import NativeSimulator


class Library:
    """Reads what it is given after memory has been asked for, as any library may ask for some."""

    def __init__(self) -> None:
        self.read = b""

    def sim_set(self, handle: Any, item: int, pointer: int) -> int:
        others = [np.full(250, 0xABABABAB, np.uint32) for _ in range(20)]
        self.read = ctypes.string_at(pointer, others[0].nbytes)
        return 1


def test_a_value_lives_until_the_library_has_read_it() -> None:
    simulator = object.__new__(NativeSimulator)
    simulator._handle = None
    simulator._library = library = Library()  # type: ignore[assignment]
    simulator._items, simulator._widths = {"memory": 0}, {"memory": 8000}
    value = np.random.default_rng(0).bytes(1000)
    simulator.poke("memory", int.from_bytes(value, "little"))
    assert library.read == value
