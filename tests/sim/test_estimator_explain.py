"""``explain`` of the estimators: the values of features sum to ``decision_function`` less its mean."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra sklearn")

from rdahw import RDAClassifier, RDARegressor


@pytest.mark.parametrize("model", ["ensemble", "grown"])
def test_values_sum_to_the_scores_less_their_mean(model: str) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 5)).round(1)
    x[:, 3] = 0  # a constant feature has no wires
    x[::5, 4] = np.nan
    y = (x[:, 0] > 0) + 2 * (x[:, 1] > 0)
    fitted = RDAClassifier(model=model, tables=24, inputs=3).fit(x, y)
    found = fitted.explain(x[:3], x[10:40])
    scores, mean = fitted.decision_function(x[:3]), fitted.decision_function(x[10:40]).mean(axis=0)
    np.testing.assert_allclose([each.values.sum(axis=0) for each in found], scores - mean)
    assert all(each.values.shape == (5, 4) and not each.values[3].any() for each in found)
    assert all(each.numerators.sum(axis=0)[0] == each.denominator * (each.scores[0] - each.baseline(0))
               for each in found)  # fmt: skip


def test_values_of_a_number_sum_to_it_in_steps() -> None:
    x = np.random.default_rng(0).normal(size=(80, 3))
    fitted = RDARegressor(tables=30, inputs=3).fit(x, x[:, 0] - x[:, 2])
    for row, found in zip(x[:5], fitted.explain(x[:5], x[20:50]), strict=True):
        steps = found.baseline(0) + sum(found.value(player, 0) for player in range(3))
        assert abs(fitted.target_.low + float(steps) * fitted.target_.step - fitted.predict(row[None])[0]) < (
            0.51 * fitted.target_.step
        )


def test_values_of_planes_are_those_of_wires() -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (40, 36)), np.arange(40) % 2
    fitted = RDAClassifier(bits="threshold=100+hog=4/3/20", image_shape=(6, 6), tables=10).fit(x, y)
    (found,) = fitted.explain(x[:1], x[5:9])
    assert found.values.shape == (len(fitted.wire_names_), 2)
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        fitted.explain(x[:1] + 0.5, x)


def test_what_cannot_be_explained_is_said() -> None:
    x, y = np.arange(40.0).reshape(10, 4), np.arange(10) % 2
    with pytest.raises(ValueError, match="such as ensemble, grown, boosted and coverage, and not of .lookup."):
        RDAClassifier(model="lookup").fit(x, y).explain(x, x)
    fitted = RDAClassifier().fit(x, y)
    with pytest.raises(ValueError, match="background has 1001 examples; expected 1 to 1,000"):
        fitted.explain(x, np.zeros((1001, 4)))
    with pytest.raises(ValueError, match="infinity"):
        fitted.explain(np.full((1, 4), np.inf), x)
