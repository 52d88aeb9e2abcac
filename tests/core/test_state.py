"""Fields of a state: their bits, against a plain rule written out here, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdahw import Bits, UserError, Words
from rdahw.state import Field, describe_bits, pack_bits, state_from_json, state_to_json
from rdahw.types import MAX_WIDTH

WIDTHS = [*range(1, 65)]


def limits(field: Field) -> tuple[int, int]:
    """The smallest and largest value, in two's complement."""
    if isinstance(field.type, Bits):
        return 0, 1
    assert isinstance(field.type, Words)
    return -(1 << field.type.bits - 1), (1 << field.type.bits - 1) - 1


def values(field: Field, seed: int) -> np.ndarray:
    """Random values of the field, the ends of the range among them."""
    low, high = limits(field)
    zero = field.zero()
    made = np.random.default_rng(seed).integers(low, high, zero.shape, zero.dtype, endpoint=True)
    flat = made.reshape(-1)
    flat[:4] = [low, high, 0, high][: len(flat)]
    return made


def plain_bits(field: Field, value: np.ndarray) -> list[int]:
    """Word after word, the least significant bit first."""
    width = field.type.bits if isinstance(field.type, Words) else 1
    return [int(number) >> i & 1 for number in value.reshape(-1).tolist() for i in range(width)]


def plain_bytes(bits: list[int]) -> bytes:
    """Eight bits a byte, the first least significant."""
    return bytes(sum(bit << i for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


FIELDS = [
    *(Field("v", Words(n, k)) for k in WIDTHS for n in (1, 5, 17)),
    *(Field("b", Bits(n)) for n in (1, 7, 8, 9, 63, 64, 65, 1000)),
    Field("c", Words(1, 6), (2, 3, 4)),
    Field("c", Words(1, 13), (4, 6)),
    Field("c", Bits(1), (2, 12)),
]


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_bits_of_a_field(field: Field) -> None:
    value = values(field, seed=field.bits)
    packed = field.pack(value)
    assert packed == plain_bytes(plain_bits(field, value))
    assert field.bits == len(plain_bits(field, value))
    back = field.unpack(packed)
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert back.tolist() == value.tolist()
    zero = field.zero()
    assert not zero.any()
    assert (zero.dtype, zero.shape) == (value.dtype, field.shape or (len(value),))
    assert field.unpack(bytes(len(packed))).tolist() == zero.tolist()
    assert field.check(value).tolist() == value.tolist()


@pytest.mark.parametrize("field", [Field("v", Words(37, 5)), Field("v", Words(37, 33)), Field("b", Bits(37))], ids=str)
@pytest.mark.parametrize("part", [8, 16, 24])
def test_long_fields_go_part_by_part(field: Field, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    value = values(field, seed=1)
    whole = field.pack(value)
    monkeypatch.setattr("rdahw.state._PART", part)
    assert field.pack(value) == whole
    assert field.unpack(whole).tolist() == value.tolist()


@given(count=st.integers(1, 40), width=st.integers(1, 64), data=st.data())
def test_any_bytes_are_some_value(count: int, width: int, data: st.DataObject) -> None:
    """Every word of every width is a value; the bits behind the last word do not matter."""
    field = Field("v", Words(count, width))
    size = -(-field.bits // 8)
    packed = data.draw(st.binary(min_size=size, max_size=size))
    value = field.check(field.unpack(packed))
    low, high = limits(field)
    assert low <= value.min() <= value.max() <= high
    spare = 8 * size - field.bits
    last = bytes([packed[-1] & 255 >> spare])
    assert field.pack(value) == packed[:-1] + last


@pytest.mark.parametrize("field", [f for f in FIELDS if f.bits > 1][::7], ids=str)
def test_another_number_of_bytes_is_refused(field: Field) -> None:
    packed = field.pack(field.zero())
    for wrong in (b"", packed[:-1], packed + b"\0"):
        with pytest.raises(UserError, match=f"^the field '{field.name}' is not {field.bits} bits: the file is damaged"):
            field.unpack(wrong)


@pytest.mark.parametrize("field", FIELDS[::5], ids=str)
def test_values_that_do_not_fit_are_refused(field: Field) -> None:
    low, high = limits(field)
    zero = field.zero()
    message = rf"^{field.name} of shape .* were given; the model has \({', '.join(map(str, zero.shape))},?\)$"
    for shape in ((), (zero.size + 1,), (1, *zero.shape)):
        with pytest.raises(UserError, match=message):
            field.check(np.zeros(shape, zero.dtype))
    for number in (low - 1, high + 1):
        # object: numbers that no numpy type has are compared, too
        wrong = zero.astype(object)
        wrong.reshape(-1)[-1] = number
        with pytest.raises(UserError, match=rf"^a number of {field.name} is outside of {low} to {high}, the range of"):
            field.check(wrong)


def test_a_value_in_a_wider_type_becomes_the_fields_own() -> None:
    field = Field("v", Words(3, 4))
    value = field.check(np.array([-8, 7, 0]))
    assert (value.dtype, value.tolist()) == (np.int8, [-8, 7, 0])
    assert field.check(value) is value


STATE = {"a": Field("a", Words(5, 6)), "b": Field("b", Bits(9))}


def test_a_state_survives_json() -> None:
    fields = tuple(STATE.values())
    state = {field.name: values(field, seed=3) for field in fields}
    value = json.loads(json.dumps(state_to_json(fields, state)))
    assert value == {field.name: base64.b64encode(field.pack(state[field.name])).decode() for field in fields}
    back = state_from_json(fields, value, "its 'state'")
    assert {name: v.tolist() for name, v in back.items()} == {name: v.tolist() for name, v in state.items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": "AAA"}, "the field 'a' is not base64 text"),
        ({"a": "!!!!"}, "the field 'a' is not base64 text"),
        ({"a": "AAAA\n"}, "the field 'a' is not base64 text"),
        ({"a": "\u00e9"}, "the field 'a' is not base64 text"),
        ({"a": None}, "the field 'a' is not base64 text"),
        ({"a": 5}, "the field 'a' is not base64 text"),
        ({"a": ["AAAA"]}, "the field 'a' is not base64 text"),
        ({"b": "AAAA"}, "the field 'b' is not 9 bits"),
        ({"b": ""}, "the field 'b' is not 9 bits"),
        ({"c": ""}, "the thing is not an object with the keys a, b"),
    ],
)
def test_a_state_of_anything_else_is_refused(change: dict[str, Any], message: str) -> None:
    fields = tuple(STATE.values())
    value = state_to_json(fields, {field.name: field.zero() for field in fields})
    with pytest.raises(UserError, match=f"^{message}"):
        state_from_json(fields, {**value, **change}, "the thing")
    for other in (None, [], "a", {"a": value["a"]}):
        with pytest.raises(UserError, match="^the thing is not an object with the keys a, b"):
            state_from_json(fields, other, "the thing")


def test_wire_0_is_the_least_significant_bit_of_byte_0() -> None:
    assert pack_bits(np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 1], np.uint8)) == bytes([0b00001101, 0b10])


@pytest.mark.parametrize("count", [1, 12, 4096, 4097])
def test_parameters_are_described_by_their_bits(count: int) -> None:
    field = Field("parameters", Bits(count))
    value = values(field, seed=count)
    number = sum(bit << i for i, bit in enumerate(value.tolist()))
    digest = hashlib.sha256(number.to_bytes(-(-count // 8), "little")).hexdigest()
    expected: dict[str, Any] = {"parameter_bits": count, "parameters_sha256": digest}
    if count <= 4096:
        expected["parameters"] = f"{number:x}"
    assert describe_bits(field, value) == expected


def test_a_state_may_be_larger_than_any_wire() -> None:
    field = Field("counters", Words(1, 8), (1024, 64, 256))
    assert field.bits == 1024 * 64 * 256 * 8 > MAX_WIDTH
    assert field.zero().shape == field.shape
