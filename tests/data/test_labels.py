"""Class numbers to wires and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdahw.data import decode, encode, label_width
from rdahw.errors import UsageError, UserError


def test_one_hot_sets_the_wire_of_the_class():
    assert encode([2, 0], 3, "one-hot").tolist() == [[0, 0, 1], [1, 0, 0]]


def test_binary_has_the_least_significant_bit_first():
    assert encode([1, 2, 4], 5, "binary").tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(("classes", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)])
def test_binary_width(classes, width):
    assert label_width(classes, "binary") == width


@given(st.integers(2, 40), st.sampled_from(["one-hot", "binary"]), st.data())
def test_round_trip(classes, code, data):
    labels = data.draw(st.lists(st.integers(0, classes - 1)))
    bits = encode(labels, classes, code)
    assert bits.dtype == np.uint8
    assert bits.shape == (len(labels), label_width(classes, code))
    assert decode(bits, classes, code).tolist() == labels


def test_bits_of_no_class_decode_to_minus_one():
    bits = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=np.uint8)
    assert decode(bits, 3, "one-hot").tolist() == [-1, -1, 1]
    assert decode(bits[:, :2], 3, "binary").tolist() == [0, -1, 2]


def test_errors_name_what_was_given():
    with pytest.raises(UsageError, match="there is no label code 'onehot'; did you mean 'one-hot'"):
        encode([0], 2, "onehot")
    with pytest.raises(UserError, match="label 1 is class number 3, expected 0 to 2"):
        encode([0, 3], 3, "binary")
    with pytest.raises(UserError, match=r"shape \(1, 2\) do not fit 3 classes as one-hot: expected \(N, 3\)"):
        decode(np.zeros((1, 2)), 3, "one-hot")
