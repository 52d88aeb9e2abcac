"""The data of a report's panel, in which the page itself runs the model: what ``rdahw/panel_engine.js`` reads.

It is the program that :mod:`rdahw.sim.c_program` makes for C, with the comparisons of whole numbers that make bits of
the features (:mod:`rdahw.data.integer_inputs`), so the page predicts as the software does.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data import LABELS
from rdahw.data.integer_inputs import MISSING, MOST, IntegerInputs, integer_inputs
from rdahw.errors import UsageError
from rdahw.saved import SavedModel
from rdahw.sim.c_program import Program, make_program

__all__ = ["EXAMPLES", "MOST_OCTETS", "make_panel"]

#: So many examples can be chosen in the page.
EXAMPLES = 20
#: The largest panel, in octets of text.
MOST_OCTETS = 4 << 20
#: A table of features with a control for each has so many; images may have more.
_MOST_CONTROLS = 200
#: The numbers that arrays of JavaScript hold, the smallest first.
_TYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32)


def _check(saved: SavedModel) -> IntegerInputs:
    """What makes bits of features in the page; raises :class:`rdahw.UserError` if the page cannot run ``saved``."""
    schema, binariser = saved.schema, saved.binariser
    if not LABELS[schema.task].are_classes:
        raise UsageError(f"a page runs models of classes, and the task is {schema.task}")
    inputs = integer_inputs(binariser)
    if inputs is None:
        raise UsageError(
            f"a page compares features with thresholds, and the binarising rule {binariser.rule!r} does more than that"
        )
    if schema.image_shape is None and len(binariser.columns) > _MOST_CONTROLS:
        raise UsageError(
            f"a page has controls for at most {_MOST_CONTROLS} columns, and the data have {len(binariser.columns):,}"
        )
    return inputs


def make_panel(
    saved: SavedModel,
    features: NDArray[Any] | None = None,
    said: list[str] | None = None,
    background: NDArray[Any] | None = None,
) -> dict[str, Any]:
    """What the page needs to run ``saved``, as JSON.

    features (N, F), said: the first examples that can be chosen, with what is said of each. background (N, F): the
    examples that Shapley values compare with. Raises :class:`rdahw.UserError` if the page cannot run the model, or
    if it is too large.
    """
    schema, binariser, inputs = saved.schema, saved.binariser, _check(saved)
    shown = np.zeros((0, len(binariser.columns))) if features is None else features[:EXAMPLES]
    numbers = inputs.numbers(shown).clip(MISSING, MOST)
    data: dict[str, Any] = {
        "classes": len(schema.label_names),
        "labels": list(schema.label_names),
        "columns": len(binariser.columns),
        # Pixels and their bits are named by their places.
        "names": [] if schema.image_shape is not None else list(binariser.names),
        "wires": [] if schema.image_shape is not None else list(binariser.wire_names),
        "inputBits": binariser.width,
        "tests": _array(inputs.tests),
        "image": None if schema.image_shape is None else list(schema.image_shape),
        "features": _features(saved, inputs, numbers),
        "examples": {"said": (said or [])[: len(numbers)], "values": _array(numbers)},
        **_program(make_program(saved.spec, saved.best_state)),
    }
    if background is not None and data["votes"] is not None and not data["luts"]:
        data["shapley"] = _shapley(binariser.wire_columns, binariser.transform(background))
    if (size := len(json.dumps(data))) > MOST_OCTETS:
        raise UsageError(f"it takes {size / 1e6:.1f} MB of text, and a page has room for {MOST_OCTETS / 1e6:.1f} MB")
    return data


def _program(program: Program) -> dict[str, Any]:
    network, votes = program.network, program.votes
    made: dict[str, Any] = {
        "paddedBits": 8 * network.starts[-1],
        "nodes": network.nodes,
        "luts": [_tables(each.wiring, each.bits, packed=True) for each in network.luts],
        "outputs": list(map(int, network.outputs)),
        "code": program.code,
        "votes": None,
    }
    if votes is not None:
        if votes.in_turn is not None:
            made["votes"] = _tables(votes.wiring, votes.in_turn, packed=True) | {"inTurn": True}
        else:
            packed = bool(np.isin(votes.values, (0, 1)).all())
            made["votes"] = _tables(votes.wiring, votes.values, packed=packed) | {"inTurn": False}
    return made


def _tables(wiring: NDArray[np.int64], values: NDArray[Any], *, packed: bool) -> dict[str, Any]:
    """Tables with as many inputs each, and what they hold; ``packed``: as bits."""
    tables, inputs = wiring.shape
    held = np.packbits(values.astype(np.uint8).reshape(-1), bitorder="little") if packed else values
    return {"tables": tables, "inputs": inputs, "packed": packed, "wiring": _array(wiring), "values": _array(held)}


def _features(saved: SavedModel, inputs: IntegerInputs, numbers: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The control of each column, or of images one of all pixels: its least and largest number, 10^decimals to a unit,
    and whether it can be missing."""
    found, tests = [], inputs.tests
    for i, (column, decimals) in enumerate(zip(saved.binariser.columns, inputs.decimals.tolist(), strict=True)):
        made: dict[str, Any] = {"kind": column.kind, "missing": column.missing, "decimals": decimals}
        if column.kind == "category":
            made["categories"] = list(column.categories)
        least = tests[tests[:, 1] == i, 2]
        known = [*least[(least > MISSING) & (least <= MOST)], *numbers[numbers[:, i] != MISSING, i]]
        low, high = (int(min(known)) - 1, int(max(known))) if known else (0, 1)
        whole = low >= -1 and not decimals  # counts and pixels begin at 0
        found.append(made | {"low": max(low, 0) if whole else low, "high": max(high, low + 1)})
    if saved.schema.image_shape is None:
        return found
    ends = {"low": min(each["low"] for each in found), "high": max(each["high"] for each in found)}
    if inputs.are_bytes and found[0]["kind"] == "number":
        ends = {"low": 0, "high": 255}
    if found[0]["kind"] == "binary":
        ends = {"low": 0, "high": 1}
    return [found[0] | ends]


def _shapley(owners: NDArray[np.int64], background: NDArray[np.uint8]) -> dict[str, Any]:
    """owners (A,): the column of each bit, which is a player of :mod:`rdahw.shapley`."""
    return {
        "owners": _array(owners),
        "background": _array(np.packbits(background, axis=1, bitorder="little")),
        "examples": len(background),
    }


def _array(values: NDArray[Any]) -> dict[str, str]:
    """Whole numbers as an array of the smallest type of JavaScript, in base64, little-endian."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    type_ = next(each for each in _TYPES if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
    octets = np.ascontiguousarray(values, np.dtype(type_).newbyteorder("<")).tobytes()
    name = np.dtype(type_).name.capitalize()
    return {"type": f"{name}Array", "data": base64.b64encode(octets).decode()}
