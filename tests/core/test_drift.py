"""The drift alarm: its rule written a second time, change and no change, and going on from JSON."""

import json
import math

import numpy as np
import pytest

from rdahw import DriftAlarm, UserError
from rdahw.drift import BLOCK

ERROR_RATES = (0.0, 0.02, 0.1, 0.3, 0.5)


def outcomes(*parts, seed=0):
    """Errors (N,) of one rate after the other, given as (rate, examples)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random(count) < rate for rate, count in parts])


def alarms_by_blocks(wrong):
    """The positions of the alarms, computed from whole blocks with the largest permitted average."""
    counts = [int(wrong[i : i + 256].sum()) for i in range(0, len(wrong) - 255, 256)]
    raised, block = [], 0
    while block + 8 <= len(counts):
        levels = [2 * sum(counts[block : block + 8])]
        fast = levels[0]
        block += 8
        for count in counts[block:]:
            block += 1
            fast += 4 * count - math.floor(fast / 4)
            permitted = math.isqrt(math.floor(1.5 * min(levels)) + 48)
            sudden = count - math.floor(min(levels) / 16)
            if fast >= min(levels) + 8 * (1 + permitted) or math.ceil(7 * sudden / 8) > permitted:
                raised.append(256 * block - 1)
                break
            levels.append(levels[-1] + count - levels[-1] // 16)
    return raised


@pytest.mark.parametrize("seed", range(6))
def test_rule(seed):
    rng = np.random.default_rng(seed)
    parts = [(rng.random() ** 2, int(rng.integers(1, 6000))) for _ in range(20)]
    wrong = outcomes(*parts, seed=seed)
    alarm = DriftAlarm()
    raised = [i for i, value in enumerate(wrong) if alarm.update(bool(value))]
    assert raised == alarms_by_blocks(wrong)
    assert (alarm.alarms, alarm.examples) == (len(raised), len(wrong))
    assert alarm.last == (raised[-1] + 1 if raised else None)
    assert raised, "the test must see alarms"


def test_parts_of_any_size():
    wrong, rng = outcomes((0.1, 5000), (0.5, 4000), (0.05, 5000), (0.9, 3000)), np.random.default_rng(1)
    whole, parts = DriftAlarm(), DriftAlarm()
    raised, start, found = whole.update_many(wrong), 0, []
    while start < len(wrong):
        stop = start + int(rng.integers(0, 700))
        found += [start + i for i in parts.update_many(wrong[start:stop])]
        # Through JSON, as a checkpoint saves it.
        parts, start = DriftAlarm.from_json(json.loads(json.dumps(parts.to_json()))), stop
    assert raised == found == alarms_by_blocks(wrong)
    assert len(raised) >= 2
    assert parts.to_json() == whole.to_json()


@pytest.mark.parametrize("rate", ERROR_RATES)
def test_change(rate):
    """An alarm within three blocks of a large change, and none before."""
    for seed in range(4):
        before = 5000 + 77 * seed
        raised = DriftAlarm().update_many(outcomes((rate, before), (rate + 0.4, 2000), seed=seed))
        assert raised
        assert before <= raised[0] < before + 3 * BLOCK


@pytest.mark.parametrize("rate", ERROR_RATES)
def test_no_change(rate):
    for seed in range(4):
        assert DriftAlarm().update_many(outcomes((rate, 100_000), seed=seed)) == []


def test_fewer_errors_are_no_alarm():
    assert DriftAlarm().update_many(outcomes((0.9, 3000), (0.5, 3000), (0.1, 3000), (0, 3000))) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("seen", 256), ("errors", 7), ("level", -1), ("best", 1.5), ("alarms", True), ("last", "no"), ("blocks", 9)],
)
def test_malformed(name, value):
    with pytest.raises(UserError, match="damaged"):
        DriftAlarm.from_json({**DriftAlarm().to_json(), name: value})
