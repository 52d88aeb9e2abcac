"""Packed bits stand for arrays of 0 and 1, in every engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdahw.bits import PackedBits
from rdahw.data.images import Image
from rdahw.families import spec_of_widths
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.grown.spec import GrownSpec
from rdahw.sim.engine_rows import ROWS
from rdahw.sim.engines import make_engine
from rdahw.sim.packing import pack_examples, pack_wires
from rdahw.training import Examples, Schedule, Training, prepare

RNG = np.random.default_rng(0)
IMAGE = Image(3, 6, 7)
X = RNG.integers(0, 2, (40, IMAGE.bits), np.uint8)
PACKED = PackedBits(pack_wires(X), X.shape[1])
LABELS = RNG.integers(0, 3, 40)

ENSEMBLE = EnsembleSpec(input_bits=IMAGE.bits, classes=3, tables=8, inputs=3, wiring="patch4", image=IMAGE)
SPECS = {
    "ensemble": ENSEMBLE,
    "ensemble, shifted": replace(ENSEMBLE, shift=2),
    "ensemble, grown": replace(ENSEMBLE, wiring="grown"),
    "ensemble, grown with copies": replace(ENSEMBLE, wiring="grown", copies=2),
    "grown": GrownSpec(input_bits=IMAGE.bits, classes=3, tables=6, inputs=3, image=IMAGE, copies=1),
    "lookup": spec_of_widths("lookup", IMAGE.bits // 21, 3),
}


def test_it_is_read_like_an_array():
    assert (PACKED.shape, len(PACKED), PACKED.dtype, PACKED.ndim) == (X.shape, 40, X.dtype, 2)
    rows = RNG.permutation(40)[:9]
    for at in (3, slice(5, 11), rows, np.arange(40) % 3 == 0):
        assert np.array_equal(PACKED[at], X[at])
    assert np.array_equal(np.asarray(PACKED), X)
    assert np.array_equal(PACKED.take(rows)[:], X[rows])
    assert np.array_equal(pack_examples(PACKED), pack_examples(X))
    assert pack_wires(PACKED) is PACKED.words


def test_examples_that_are_taken():
    rows = np.arange(40) % 3 == 0
    for x in (X, PACKED):
        taken = Examples(x, LABELS).take(rows)
        assert np.array_equal(np.asarray(taken.x), X[rows])
        assert np.array_equal(taken.labels, LABELS[rows])


@pytest.mark.parametrize("name", SPECS)
def test_every_engine_learns_the_same_from_packed_bits(name):
    spec = SPECS[name]
    x, packed = X[:, : spec.input_bits], PACKED
    if spec.input_bits < IMAGE.bits:
        packed = PackedBits(pack_wires(x), spec.input_bits)
    engines = [row.name for row in ROWS if row.family == spec.family] or [row.name for row in ROWS if not row.family]
    for engine_name in engines:
        found = []
        for bits in (x, packed):
            examples = Examples(bits, LABELS)
            ready = prepare(spec, examples, make_engine)
            given = {"epochs": 2, "shuffle": True, **ready.schedule(len(examples))}
            training = Training(make_engine(ready, engine_name), Schedule(**given), examples)
            for _ in training.run():
                pass
            engine = training.engine
            found.append((ready.to_json(), engine.state, engine.predict(training.prepare(examples))))
        (one, state, predicted), (other, its_state, its_predicted) = found
        assert one == other
        assert all(np.array_equal(state[name], its_state[name]) for name in state)
        assert np.array_equal(predicted, its_predicted)
