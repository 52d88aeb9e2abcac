"""More classes than fit a byte: every engine gives the same bits, and the model learns them."""

import numpy as np
import pytest

from rdahw.families import find_family
from rdahw.family import Task
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training

CLASSES = 300


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "options"),
    [("ensemble", {"tables": 8, "inputs": 6, "dropout": 0.0}), ("grown", {"tables": CLASSES, "inputs": 3})],
)
def test_engines_agree(family, options):
    numbers = np.arange(0, CLASSES, 5)
    x = (numbers[:, None] >> np.arange(9) & 1).astype(np.uint8)
    spec = find_family(family).spec(Task(input_bits=9, classes=CLASSES), **options)
    states, right = [], []
    for name in ("compiled", "reference"):
        engine = make_engine(spec, name)
        schedule = Schedule(epochs=1, **{k: v for k, v in spec.schedule(len(numbers)).items() if k != "epochs"})
        training = Training(engine, schedule, Examples(x, numbers))
        for _ in training.run():
            pass
        states.append(engine.state)
        right.append(int((engine.predict(engine.prepare(Examples(x, numbers))) == numbers).sum()))
    assert all(np.array_equal(states[1][field.name], states[0][field.name]) for field in spec.fields)
    assert right[0] == right[1]
    assert right[0] > 1
