"""A grown model as a circuit, in each of its forms, predicts what the plain rule predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil

from rdahw.families.grown import GrownSpec, GrownState, PlainGrown
from rdahw.families.grown.circuits import grown_circuit, grown_lut_circuit, grown_model, parameters
from rdahw.hdl.inference import Pipeline
from rdahw.sim.reference import Reference


def random_model(tables: int, inputs: int, classes: int) -> tuple[PlainGrown, Any]:
    random = np.random.default_rng(tables)
    spec = GrownSpec(input_bits=20, classes=classes, tables=tables, inputs=inputs)
    model = PlainGrown(spec)
    wiring = np.stack([random.permutation(20)[:inputs] for _ in range(tables)]).astype(np.int32)
    model.state = GrownState(wiring, random.integers(0, 2, (tables, 1 << inputs), np.int8), tables)
    return model, random.integers(0, 2, (200, 20), np.uint8)


@pytest.mark.parametrize("code", ["binary", "one-hot"])
@pytest.mark.parametrize(
    ("tables", "inputs", "classes"), [(1, 2, 2), (2, 1, 3), (7, 3, 2), (40, 6, 3), (33, 4, 5), (50, 8, 10)]
)
def test_every_form_predicts_the_same(tables: int, inputs: int, classes: int, code: Any) -> None:
    model, x = random_model(tables, inputs, classes)
    spec, state = model.spec, model.state
    expected = model.predict(x)
    labels = [
        Reference(grown_model(spec, state.wiring, code))(parameters(state)[None], x)[0],
        Reference(grown_circuit(spec, state, code))(x)[0],
        Reference(grown_lut_circuit(spec, state, code))(x)[0],
    ]
    for bits in labels:
        bits = np.broadcast_to(bits, (200, bits.shape[-1]))  # a constant has no axis of examples
        if code == "one-hot":
            assert bits.shape == (200, classes)
            np.testing.assert_array_equal(bits.sum(axis=1), 1)
            np.testing.assert_array_equal(bits.argmax(axis=1), expected)
        else:
            np.testing.assert_array_equal((bits.astype(np.int64) << np.arange(bits.shape[1])).sum(axis=1), expected)


def test_a_model_that_is_not_grown_to_its_end_is_a_circuit_too() -> None:
    model, x = random_model(12, 3, 3)
    part = PlainGrown(GrownSpec(input_bits=20, classes=3, tables=5, inputs=3))
    part.state = model.state.first(5)
    circuit = grown_lut_circuit(part.spec, part.state)
    bits = Reference(circuit)(x)[0]
    np.testing.assert_array_equal((bits.astype(np.int64) << np.arange(bits.shape[1])).sum(axis=1), part.predict(x))


def test_the_luts_are_written_as_so_many_cells() -> None:
    model, _ = random_model(40, 6, 10)
    circuit = grown_lut_circuit(model.spec, model.state)
    lookups = sum(assignment.primitive == "lookup" for assignment in circuit.assignments)
    text = rtlil.convert(Pipeline(circuit, None, cells="xilinx"), emit_src=False)
    assert text.count("cell \\LUT") == lookups
