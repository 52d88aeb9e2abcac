"""Estimated logic cells against the designs of the documents, which ``rdahw synth`` has built."""

from __future__ import annotations

from typing import Any

import pytest

from rdahw.boards import board
from rdahw.data.images import Image
from rdahw.families import find_family
from rdahw.family import Task
from rdahw.hdl.cell_estimate import estimated_cells
from rdahw.hdl.trainer_factory import choose_trainer, predictors

MNIST = Task(input_bits=784, classes=10, image=Image(1, 28, 28))
IRIS = Task(input_bits=4, classes=3)


@pytest.mark.parametrize(
    ("family", "options", "task", "its", "gateware", "cells"),
    [
        ("ensemble", {}, MNIST, "ulx3s-85f", "trainer", 2161),
        ("layers", {}, MNIST, "icebreaker", "trainer", 2600),
        ("lookup", {}, IRIS, "icebreaker", "trainer", 1069),
        ("mask", {}, Task(input_bits=784, classes=2, code="binary"), "icebreaker", "trainer", 1274),
        ("ensemble", {"inputs": 5, "sign": True}, MNIST, "icebreaker", "block RAM", 1284),
        ("ensemble", {}, MNIST, "ulx3s-85f", "block RAM", 1794),
        ("ensemble", {"tables": 8, "inputs": 3, "counter": 3}, IRIS, "icebreaker", "logic", 1021),
        ("grown", {"tables": 900, "inputs": 4}, MNIST, "icebreaker", "logic", 4445),
        ("grown", {"tables": 1000, "inputs": 6}, MNIST, "ulx3s", "logic", 7522),
    ],
)
def test_designs_of_the_documents(
    family: str, options: dict[str, Any], task: Task, its: str, gateware: str, cells: int
) -> None:
    spec = find_family(family).spec(task, **options)
    rows = [choose_trainer(spec)] if gateware == "trainer" else predictors(spec)
    (row,) = (row for row in rows if gateware in ("trainer", row.name))
    assert estimated_cells(spec, row, board(its)) == pytest.approx(cells, rel=0.06)


def test_gateware_that_nothing_is_known_of() -> None:
    spec = find_family("machine").spec(Task.of_widths(1, 1, kind="sequences"), rule="shadow")
    assert estimated_cells(spec, choose_trainer(spec), board("icebreaker")) is None
