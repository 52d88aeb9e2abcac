"""Each cell of Yosys is what Yosys' own rules break it into."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdahw import Circuit
from rdahw.hdl import reader
from rdahw.hdl.netlist_cells import ROWS
from rdahw.sim import run

_Row = tuple[str, dict[str, Any], dict[str, int], int]

_UNARY = (
    "$not",
    "$pos",
    "$neg",
    "$reduce_and",
    "$reduce_or",
    "$reduce_xor",
    "$reduce_xnor",
    "$reduce_bool",
    "$logic_not",
)
_SHIFTS = ("$shl", "$shr", "$sshl", "$sshr", "$shift")
_BINARY = (
    *("$and", "$or", "$xor", "$xnor", "$add", "$sub", "$mul", "$eq", "$ne", "$eqx", "$nex"),
    *("$lt", "$le", "$gt", "$ge", "$logic_and", "$logic_or"),
)
_WIDTHS = ((1, 1, 1), (3, 3, 3), (2, 4, 3), (4, 2, 6), (5, 3, 1))
_SHIFT_WIDTHS = ((1, 1, 1), (4, 2, 4), (3, 3, 5), (6, 2, 3), (5, 4, 1), (8, 3, 1), (2, 5, 2))


def _words() -> Iterator[_Row]:
    """Cells of words: kind, parameters, the widths of the inputs, the width of the output."""
    for signed in (0, 1):
        for kind in _UNARY:
            for a, _, y in _WIDTHS:
                yield kind, {"A_SIGNED": signed, "A_WIDTH": a, "Y_WIDTH": y}, {"A": a}, y
        for kind in (*_BINARY, *_SHIFTS):
            for a, b, y in _SHIFT_WIDTHS if kind in _SHIFTS else _WIDTHS:
                signs = {"A_SIGNED": signed, "B_SIGNED": signed if kind in (*_BINARY, "$shift") else 0}
                yield kind, {**signs, "A_WIDTH": a, "B_WIDTH": b, "Y_WIDTH": y}, {"A": a, "B": b}, y
    for a, b, y in ((8, 3, 1), (4, 2, 1), (2, 1, 1)):  # no index is outside, where Yosys has x
        parameters = {"A_SIGNED": 0, "B_SIGNED": 0, "A_WIDTH": a, "B_WIDTH": b, "Y_WIDTH": y}
        yield "$shiftx", parameters, {"A": a, "B": b}, y
    for width in (1, 3):
        yield "$buf", {"WIDTH": width}, {"A": width}, width
        yield "$mux", {"WIDTH": width}, {"A": width, "B": width, "S": 1}, width
        yield "$bmux", {"WIDTH": width, "S_WIDTH": 2}, {"A": 4 * width, "S": 2}, width
        yield "$concat", {"A_WIDTH": width, "B_WIDTH": 2}, {"A": width, "B": 2}, width + 2
        yield "$slice", {"A_WIDTH": 4, "OFFSET": 1, "Y_WIDTH": width}, {"A": 4}, width
    yield "$pmux", {"WIDTH": 3, "S_WIDTH": 1}, {"A": 3, "B": 3, "S": 1}, 3  # of several, one may be chosen at a time
    for width, table in ((1, "01"), (2, "0110"), (2, "0111"), (3, "11101000"), (4, "0110100110010111")):
        yield "$lut", {"WIDTH": width, "LUT": table}, {"A": width}, 1
    for width, depth, table in ((1, 1, "10"), (2, 2, "01101001"), (3, 2, "000110100001"), (4, 1, "10010001")):
        yield "$sop", {"WIDTH": width, "DEPTH": depth, "TABLE": table}, {"A": width}, 1


_PORTS = {"$_BUF_": "A", "$_NOT_": "A", "$_AOI3_": "ABC", "$_OAI3_": "ABC", "$_AOI4_": "ABCD", "$_OAI4_": "ABCD",
          "$_MUX_": "ABS", "$_NMUX_": "ABS", "$_MUX4_": "ABCDST", "$_MUX8_": "ABCDEFGHSTU",
          "$_MUX16_": "ABCDEFGHIJKLMNOPSTUV"}  # fmt: skip


def _gates() -> Iterator[_Row]:
    for kind in ROWS:
        if kind.startswith("$_"):
            yield kind, {}, dict.fromkeys(_PORTS.get(kind, "AB"), 1), 1


def _module(rows: list[_Row]) -> dict[str, Any]:
    """A module with a cell for each row, each with ports of its own."""
    ports: dict[str, Any] = {}
    cells = {}
    net = 2
    for k, (kind, parameters, inputs, width) in enumerate(rows):
        connections = {}
        for port, count in (*inputs.items(), ("Y", width)):
            bits = list(range(net, net := net + count))
            connections[port] = bits
            ports[f"c{k}_{port}"] = {"direction": "output" if port == "Y" else "input", "bits": bits}
        cells[f"c{k}"] = {
            "type": kind,
            "parameters": {n: v if isinstance(v, str) else format(v, "032b") for n, v in parameters.items()},
            "attributes": {},
            "port_directions": {port: "output" if port == "Y" else "input" for port in connections},
            "connections": connections,
        }
    return {"attributes": {"top": format(1, "032b")}, "ports": ports, "cells": cells, "netnames": {}}


def _circuit(module: dict[str, Any]) -> Circuit:
    made = reader._translated(module, "top", reader._Source(Path("top.json")), {}, None, False).made
    assert isinstance(made, Circuit)
    return made


#: Kinds that Yosys has no rule for, and the tests that have their meaning.
_ELSEWHERE = {"$mem_v2": "test_reader.py"}


def test_every_row_is_compared() -> None:
    compared = {kind for kind, *_ in (*_words(), *_gates())}
    assert compared == ROWS.keys() - _ELSEWHERE.keys()


@pytest.mark.slow
def test_cells_are_what_yosys_breaks_them_into(tmp_path: Path) -> None:
    rows = [*_words(), *_gates()]
    module = _module(rows)
    path = tmp_path / "top.json"
    text = json.dumps({"modules": {"top": module}})
    path.write_text(text)
    source = reader._Source(path)
    _, lowered, _ = reader._netlist(source, text.encode(), "top", {}, reader._LOWER_ALL, "yowasp", None)
    kinds = {cell["type"] for cell in lowered["cells"].values()}
    assert all(kind.startswith("$_") or kind == "$lut" for kind in kinds), kinds
    ours, theirs = _circuit(module), _circuit(lowered)
    assert ours.inputs == theirs.inputs
    random = np.random.default_rng(0)
    values = [random.integers(0, 2, (2000, type_.width), np.uint8) for type_ in ours.input_types]
    wrong = set()
    expected = dict(zip(theirs.output_names, run(theirs, *values), strict=True))
    for name, found in zip(ours.output_names, run(ours, *values), strict=True):
        if not np.array_equal(found, expected[name]):
            wrong.add(str(rows[int(name[1:].partition("_")[0])]))
    assert not wrong
