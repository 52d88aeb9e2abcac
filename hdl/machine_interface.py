"""The interface of trainers of machines: their state behind ``control``.

This module does not import Amaranth, so a host can talk to a board without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.families.machine.spec import MachineSpec
from rdahw.hdl.interface import Interface, Place

__all__ = [
    "in_memory",
    "counters_of",
    "machine_interface",
    "machine_places",
    "memory_cycles",
    "memory_interface",
    "register_cycles",
    "sequence_cycles",
    "settings_address",
    "words_of",
]

#: The most state bits of a machine whose shadow machines are all in registers: those of more fill the small boards.
REGISTER_STATES = 3
#: Of a trainer in registers: the bits that a start takes from the shift register in a cycle.
TAKEN = 8
#: Of a trainer in memory: the cycles of a symbol that is only predicted, and those of a sequence around its symbols.
PREDICTING, AROUND = 3, 4


def in_memory(spec: MachineSpec) -> bool:
    """Whether its trainer has the shadow machines in memory."""
    return spec.states > REGISTER_STATES


def sequence_cycles(spec: MachineSpec, updated: bool = True) -> int:
    """The most cycles of a sequence; with ``updated``, of one with as many flips as there can be, and a start."""
    return (memory_cycles if in_memory(spec) else register_cycles)(spec, updated)


def register_cycles(spec: MachineSpec, updated: bool) -> int:
    """:func:`sequence_cycles` of a trainer in registers."""
    return spec.steps + (_flips(spec) + spec.count // TAKEN + 1 if updated else 0)


def memory_cycles(spec: MachineSpec, updated: bool) -> int:
    """:func:`sequence_cycles` of a trainer in memory."""
    machines = spec.count + 1
    return spec.steps * machines + AROUND + (_flips(spec) * (machines + 2) + machines if updated else 0)


def _flips(spec: MachineSpec) -> int:
    """The most flips in a sequence."""
    return 1 + (spec.steps - 1) // spec.level


def words_of(spec: MachineSpec, counters: NDArray[Any]) -> NDArray[np.int16]:
    """Counters as the trainers have them, as numbers: evidence, and above it the bit of the table."""
    wide = counters.astype(np.int16)
    return np.where(wide >= 0, 2 * spec.level - 1 - wide, wide + spec.level)


def counters_of(spec: MachineSpec, words: NDArray[Any]) -> NDArray[np.int8]:
    """The inverse of :func:`words_of`; bits above a word's are ignored."""
    wide = words.astype(np.int16) & 2 * spec.level - 1
    return np.where(wide >= spec.level, 2 * spec.level - 1 - wide, wide - spec.level).astype(np.int8)


def machine_places(spec: MachineSpec) -> tuple[Place, ...]:
    """The fields of the state, one after the other from address 0, each padded with zeros to whole bytes.

    A counter is as :func:`words_of` makes it.
    """

    bits = 1 << np.arange(spec.counter)

    def pack(counters: NDArray[Any]) -> bytes:
        return np.packbits(words_of(spec, counters)[:, None] & bits != 0, bitorder="little").tobytes()

    def unpack(packed: bytes) -> NDArray[Any]:
        whole = np.unpackbits(np.frombuffer(packed, np.uint8), count=spec.parameters.bits, bitorder="little")
        return counters_of(spec, whole.reshape(-1, spec.counter) @ bits)

    places: list[Place] = []
    at, cleared = 0, spec.initial_state()
    for field in spec.fields:
        size = (field.bits + 7) // 8
        there, back = (pack, unpack) if field == spec.parameters else (field.pack, field.unpack)
        places.append(Place(field, at, size, there, back, cleared[field.name]))
        at += size
    return tuple(places)


def machine_interface(spec: MachineSpec) -> Interface:
    """The interface of :class:`rdahw.hdl.machine_trainer.MachineTrainer`."""
    return _interface(spec, machine_places(spec))


def settings_address(spec: MachineSpec) -> int:
    """The address of the numbers behind the counters in a trainer with its machines in memory, a power of two."""
    return 1 << max(5, (spec.count - 1).bit_length())


def memory_interface(spec: MachineSpec) -> Interface:
    """The interface of :class:`rdahw.hdl.machine_memory_trainer.MachineMemoryTrainer`.

    Byte p is counter p as :func:`words_of` makes it. From :func:`settings_address` on there are the 16 bytes of ``run``
    and the 8 of ``noise``; of a ``live`` machine the state is in the byte before twice that address, and from there on
    a byte for the state of each shadow machine. All other bytes are undefined.
    """
    settings, cleared = settings_address(spec), spec.initial_state()

    def counters(packed: bytes) -> NDArray[Any]:
        return counters_of(spec, np.frombuffer(packed, np.uint8))

    def states(packed: bytes) -> NDArray[Any]:
        return np.unpackbits(np.frombuffer(packed, np.uint8)[:, None], axis=1, count=spec.states, bitorder="little")

    rows: dict[str, tuple[Any, ...]] = {
        "counters": (0, spec.count, lambda value: words_of(spec, value).astype(np.uint8).tobytes(), counters),
        "run": (settings, 16),
        "noise": (settings + 16, 8),
        "now": (2 * settings - 1, 1 + spec.count, lambda value: np.packbits(value, 1, "little").tobytes(), states),
    }
    places = []
    for field in spec.fields:
        at, size, *forms = rows[field.name]
        pack, unpack = forms or (field.pack, field.unpack)
        places.append(Place(field, at, size, pack, unpack, cleared[field.name]))
    return _interface(spec, tuple(places))


def _interface(spec: MachineSpec, places: tuple[Place, ...]) -> Interface:
    return Interface(
        spec=spec,
        described=spec.to_json,
        parameter_bits=8 * max(place.at + place.size for place in places),
        output_bits=spec.steps,
        code=spec.code,
        places=places,
    )
