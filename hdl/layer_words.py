"""The counters of a network of layers as bytes of a layer trainer's memory, and the trainer's interface.

This module does not import Amaranth, so a host can talk to a board without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.families.layers.spec import LayersSpec, make_wiring
from rdahw.hdl.interface import Interface, Place
from rdahw.hdl.table_words import LABEL_BITS, SETTINGS_OCTETS, STATE_OCTETS
from rdahw.primitives import Array

__all__ = [
    "bank_sizes",
    "counters_of_octets",
    "kept_bits",
    "layers_interface",
    "octets_of_counters",
    "request_bits",
    "row_octets",
    "settings_address",
    "value_places",
    "word_octets",
]


def row_octets(spec: LayersSpec) -> int:
    """The bytes of a row: a counter for each index of the table with the most inputs."""
    return 1 << max(inputs for _, inputs in spec.sizes)


def bank_sizes(spec: LayersSpec) -> tuple[int, int]:
    """How many tables the even and the odd layers have that others read."""
    below = [tables for tables, _ in spec.sizes[:-1]]
    return sum(below[::2]), sum(below[1::2])


def value_places(spec: LayersSpec) -> list[NDArray[np.int64]]:
    """The wiring of each layer, (tables, inputs), in the numbers that the memories have: of the bits of an example, and
    above the first layer of the places in the bank below."""
    wirings = make_wiring(spec)
    below = [tables for tables, _ in spec.sizes]
    return [wires + sum(below[layer - 1 :: -2][1:]) if layer else wires for layer, wires in enumerate(wirings)]


def request_bits(spec: LayersSpec) -> int:
    """The bits of the sum of the requests for a bit by one input of its readers, in two's complement."""
    readers = [np.bincount(wires).max() for read in make_wiring(spec)[1:] for wires in read.T]
    return int(max(readers, default=1)).bit_length() + 1


def word_octets(spec: LayersSpec, large: bool) -> int:
    """The bytes of a word of counters: a row; in ``large`` memory at most eight, for four blocks side by side."""
    return min(row_octets(spec), 8) if large else row_octets(spec)


def kept_bits(spec: LayersSpec, batch: bool) -> int:
    """The bits that are kept of a table: its index, which inputs its bit depends on, the bit, and without ``batch`` the
    counter."""
    inputs = row_octets(spec).bit_length() - 1
    return 2 * inputs + 1 + (0 if batch else spec.counter)


def settings_address(spec: LayersSpec) -> int:
    """The address of the settings, after the rows, in a layer trainer's parameters."""
    return max(SETTINGS_OCTETS, 1 << (spec.tables * row_octets(spec) - 1).bit_length())


def octets_of_counters(spec: LayersSpec, counters: NDArray[Any]) -> Array:
    """The rows, (tables, bytes): byte ``index`` of row j is the counter of table j at that index, in two's complement;
    where a table has fewer indices, the other bytes are 0."""
    rows = np.zeros((spec.tables, row_octets(spec)), np.int8)
    for layer in range(len(spec.sizes)):
        its = spec.layer_cells(counters, layer)
        rows[spec.starts[layer] : spec.starts[layer + 1], : its.shape[1]] = its
    return rows.view(np.uint8)


def counters_of_octets(spec: LayersSpec, rows: Array) -> NDArray[np.int8]:
    """The inverse of :func:`octets_of_counters`; bits above a counter's are ignored."""
    half = 1 << spec.counter - 1
    values = ((rows.astype(np.int64) & (2 * half - 1)) ^ half) - half
    parts = (
        values[start:end, : 1 << inputs].ravel()
        for start, end, (_, inputs) in zip(spec.starts, spec.starts[1:], spec.sizes, strict=False)
    )
    return np.concatenate(list(parts)).astype(np.int8)


def layers_interface(spec: LayersSpec, *, batches: bool = False) -> Interface:
    """The interface of a layer trainer; with ``batches``, of one with sums for batches."""
    counters, noise = spec.fields
    first = spec.initial_state()

    def pack(value: NDArray[Any]) -> bytes:
        return octets_of_counters(spec, spec.parameters.check(value)).tobytes()

    def unpack(data: bytes) -> NDArray[np.int8]:
        return counters_of_octets(spec, np.frombuffer(data, np.uint8).reshape(spec.tables, -1))

    size = spec.tables * row_octets(spec)
    return Interface(
        spec=spec,
        described=spec.to_json,
        parameter_bits=8 * (settings_address(spec) + SETTINGS_OCTETS),
        output_bits=LABEL_BITS,
        code="binary",
        word_bits=8,
        batches=batches,
        places=(
            Place(counters, 0, size, pack, unpack, first[counters.name]),
            Place(noise, settings_address(spec), STATE_OCTETS, noise.pack, noise.unpack, first[noise.name]),
        ),
    )
