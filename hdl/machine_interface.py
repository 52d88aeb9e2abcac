"""The interface of trainers of machines: their state behind ``control``.

This module does not import Amaranth, so a host can talk to a board without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.families.machine.spec import MachineSpec
from rdahw.hdl.interface import Interface, Place

__all__ = ["machine_interface", "machine_places"]


def machine_places(spec: MachineSpec) -> tuple[Place, ...]:
    """The fields of the state, one after the other from address 0, each padded with zeros to whole bytes.

    A counter is its evidence, and above it the bit of the table.
    """
    level = spec.level

    def pack(counters: NDArray[Any]) -> bytes:
        return spec.parameters.pack(np.where(counters >= 0, -1 - counters, counters + level))

    def unpack(packed: bytes) -> NDArray[Any]:
        words = spec.parameters.unpack(packed)
        return np.where(words < 0, -1 - words, words - level).astype(words.dtype)

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
    places = machine_places(spec)
    return Interface(
        spec=spec,
        described=spec.to_json,
        parameter_bits=8 * sum(place.size for place in places),
        output_bits=spec.steps,
        code=spec.code,
        places=places,
    )
