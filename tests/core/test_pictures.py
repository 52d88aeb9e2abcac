"""Pictures: what is drawn is what was learned, and a file is the same each time."""

from __future__ import annotations

import importlib
from xml.etree import ElementTree

import numpy as np
import pytest

from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring

pictures = pytest.importorskip("rdahw.pictures", reason="needs the extra plot")
class_evidence = importlib.import_module("rdahw.families.ensemble.report").class_evidence

IMAGE = Image(2, 8, 8)
SPEC = EnsembleSpec(input_bits=128, classes=3, tables=5, inputs=3, image=IMAGE, wiring="patch4", seed=3)
WIRING = make_wiring(SPEC)


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()).strip() for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("}text")]


def test_a_curve_has_the_lines_that_are_known():
    points = [{"at": 1, "training_error": 0.5, "test_error": 0.25}, {"at": 2, "training_error": 0.125}]
    figure = pictures.draw_curve(points)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert drawn == {"while learning": [[1, 50], [2, 12.5]], "test": [[1, 25]]}
    assert "wrong predictions, %" in texts(pictures.to_svg(figure))


def test_a_curve_without_mistakes_can_be_drawn():
    figure = pictures.draw_curve([{"at": 1, "training_error": 0.0}])
    assert figure.axes[0].get_yscale() == "linear"


def test_a_curve_without_points_is_refused():
    with pytest.raises(UserError, match="no training curve"):
        pictures.draw_curve([])


def test_every_count_of_a_confusion_is_written():
    counts = np.array([[11, 2, 0], [0, 13, 7]])
    written = texts(pictures.to_svg(pictures.draw_confusion(counts, ["cat", "dog"])))
    assert {"11", "2", "13", "7", "cat", "dog", "none"} <= set(written)
    assert "none" not in texts(pictures.to_svg(pictures.draw_confusion(counts[:, :2], ["cat", "dog"])))


def test_the_column_of_no_class_is_left_out_where_it_is_empty():
    written = texts(pictures.to_svg(pictures.draw_confusion(np.array([[1, 0, 0], [0, 1, 0]]), ["a", "b"])))
    assert "none" not in written


def test_the_wiring_counts_every_input_once():
    figure = pictures.draw_wiring(WIRING, IMAGE)
    reads = figure.subfigs[0].axes[0].images[0].get_array()
    assert reads.shape == (8, 8)
    assert reads.sum() == SPEC.tables * SPEC.inputs
    first = WIRING[0] % 64
    squares = figure.subfigs[1].axes[0].patches
    assert sorted((round(s.get_y() + 0.5), round(s.get_x() + 0.5)) for s in squares) == sorted(
        divmod(int(wire), 8) for wire in first
    )


@pytest.mark.parametrize("sign", [False, True])
def test_evidence_is_the_mean_change_of_the_score(sign):
    """Against the scores themselves, with all other inputs of the tables at random."""
    spec = EnsembleSpec(input_bits=6, classes=3, tables=4, inputs=3, counter=4, sign=sign, seed=5)
    random = np.random.default_rng(1)
    engine = PlainEnsemble(spec)
    counters = random.integers(-8, 8, spec.counters_shape).astype(np.int8)
    engine.counters = counters
    everything = np.unpackbits(np.arange(64, dtype=np.uint8)[:, None], axis=1, bitorder="little")[:, :6]
    worth = (counters >= 0).astype(np.int64) if sign else counters.astype(np.int64)
    scores = np.zeros((64, 3))
    for j, wires in enumerate(make_wiring(spec)):
        scores += worth[j, (everything[:, wires] << np.arange(3)).sum(axis=1)]
    expected = [
        scores[everything[:, b] == 1].mean(axis=0) - scores[everything[:, b] == 0].mean(axis=0) for b in range(6)
    ]
    np.testing.assert_allclose(class_evidence(spec, counters), np.transpose(expected))


def test_a_picture_for_each_class():
    counters = np.zeros(SPEC.counters_shape, np.int8)
    counters[0, 1:, 2] = 5
    figure = pictures.draw_evidence(class_evidence(SPEC, counters), IMAGE, ["a", "b", "c"])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["a", "b", "c"]
    assert not figure.axes[0].images[0].get_array().any()
    assert figure.axes[2].images[0].get_array().any()


def test_a_mask_shows_its_pixels():
    theta = np.zeros(128, np.uint8)
    theta[[3, 70]] = 1
    first, second = pictures.draw_mask(theta, Image(2, 8, 8)).axes
    assert np.argwhere(first.images[0].get_array()).tolist() == [[0, 3]]
    assert np.argwhere(second.images[0].get_array()).tolist() == [[0, 6]]


def test_a_truth_table_shows_output_by_input():
    theta = np.array([0, 0, 0, 1, 1, 1, 0, 1], np.uint8)
    axes = pictures.draw_truth_table(theta, 2, ["and", "implies"]).axes[0]
    assert axes.images[0].get_array().tolist() == [[0, 0, 0, 1], [1, 1, 0, 1]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["00", "01", "10", "11"]
    with pytest.raises(UserError, match="9 inputs is too large to draw"):
        pictures.draw_truth_table(np.zeros(512, np.uint8), 9, ["y"])


def test_the_same_model_gives_the_same_bytes(tmp_path):
    paths = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in paths:
        pictures.save_picture(pictures.draw_wiring(WIRING, IMAGE), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    pictures.save_picture(pictures.draw_wiring(WIRING, IMAGE), tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_has_a_known_suffix(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.svg or \.png"):
        pictures.save_picture(pictures.draw_wiring(WIRING, IMAGE), tmp_path / "a.jpg")
