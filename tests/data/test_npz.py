"""Numpy archives: tables and images."""

import json
from pathlib import Path

import numpy as np
import pytest

from rdahw.data import Column, Schema, default_rule, load, read_examples
from rdahw.errors import UsageError, UserError

X = np.array([[0, 1.5], [1, 2], [0, 3], [1, -1]])
Y = np.array([3, 10, 3, 10])


@pytest.fixture
def save(tmp_path):
    def save_file(name="data.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return save_file


def test_table(save):
    data = load(save(x=X, y=Y))
    assert data.columns == (Column("binary"), Column("number"))
    assert data.label_names == ("3", "10")
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert np.array_equal(data.train.features, X)
    assert data.test is None


def test_other_keys_text_labels_and_own_test_part(save):
    data = load(save(x_train=X, y_train=np.array(["b", "a", "b", "a"]), x_test=X[:1], y_test=np.array(["a"])))
    assert data.label_names == ("a", "b")
    assert data.test.labels.tolist() == [0]
    assert load(save(features=X, labels=Y.astype(float))).label_names == ("3", "10")


def test_images(save):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 3, 4)
    data = load(save(x=pixels, y=Y))
    assert data.image_shape == (3, 4)
    assert data.train.features.dtype == np.uint8
    assert data.train.features[1].tolist() == list(range(12, 24))
    assert default_rule(data) == "threshold=32"
    assert default_rule(load(save(x=pixels % 2 == 1, y=Y))) == "midrange"
    assert load(save(x=pixels % 2 == 1, y=Y)).columns[0] == Column("binary")
    assert Schema.from_json(json.loads(json.dumps(data.schema.to_json()))) == data.schema


def test_test_file_and_prediction(save):
    path = save(x=X, y=Y)
    data = load(path, test=save("test.npz", x=X[:1], y=np.array([10])))
    assert data.test.labels.tolist() == [1]
    features, labels = read_examples(save("new.npz", x=X), data.schema)
    assert labels is None
    assert np.array_equal(features, X)
    with pytest.raises(UsageError, match="has a test part of its own"):
        load(save("both.npz", x=X, y=Y, x_test=X, y_test=Y), test=path)
    with pytest.raises(UsageError, match="has a test part of its own"):
        load(save("both.npz", x=X, y=Y, x_test=X, y_test=Y), split=0.5)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"y": Y}, "has no array 'x' or 'X' or 'features' or 'x_train'; it has 'y'"),
        ({"x": X}, "has no array 'y'"),
        ({"x": X, "y": Y[:2]}, r"'y' has shape \(2,\), expected \(4,\), one label per example"),
        ({"x": X, "y": Y + 0.5}, "'y' is float64; expected whole numbers or texts"),
        ({"x": X, "y": Y * 0}, "every label in 'y' is '0'; expected two classes or more"),
        ({"x": X[0], "y": Y}, r"expected numbers \(N, F\) or images \(N, H, W\)"),
        ({"x": X.astype(str), "y": Y}, r"expected numbers \(N, F\) or images"),
        ({"x": X[:0], "y": Y[:0]}, r"expected numbers \(N, F\) or images"),
        ({"x": X[:, :0], "y": Y}, "have no features"),
        ({"x": X + np.array([0, np.nan]), "y": Y}, "example 0, feature 1 is nan, which is not a finite number"),
        ({"x": X.astype(object), "y": Y}, "is not an NPZ archive of plain arrays, or is damaged"),
        ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "'x_test' have 1 features, expected 2 as in training"),
        ({"x": X, "y": Y, "x_test": X}, "has 'x_test' and no 'y_test'; give both or neither"),
        ({"x": X, "y": Y, "y_test": Y}, "has no array 'x_test'"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y * 2}, "'y_test', example 0: there is no class '6'"),
        ({"x": X, "y": Y, "x_test": X * 2, "y_test": Y}, "feature 'x0' in 'x_test' must hold 0 to 1 only"),
    ],
)
def test_bad_content(save, arrays, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        load(save(**arrays))
    assert caught.value.exit_code == 1


def test_damaged_files(tmp_path, save):
    whole = Path(save(x=X, y=Y)).read_bytes()
    path = tmp_path / "damaged.npz"
    for content in (b"", b"text", whole[:100], whole[: len(whole) // 2], whole[:200] + b"\xff" * 8 + whole[208:]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"damaged\.npz"):
            load(str(path))
    np.save(tmp_path / "one.npy", X)
    (tmp_path / "one.npy").rename(path)  # a format is known by its content
    assert load(str(path)).label_names == ("-1", "1.5", "2", "3")


def test_label_option_is_for_csv(save):
    with pytest.raises(UsageError, match="is not a CSV; its labels are the array 'y'"):
        load(save(x=X, y=Y), label="y")


def test_colour_images(save):
    pixels = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)
    data = load(save(x=pixels, y=[0, 1, 0, 1, 0]))
    assert data.image_shape == (3, 2, 3)
    assert np.array_equal(data.train.features.reshape(5, 3, 2, 3), pixels.transpose(0, 3, 1, 2))
    first = load(save(x=np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))[:, :, :, :2], y=[0, 1, 0, 1, 0]))
    assert first.image_shape == (3, 2, 2)
