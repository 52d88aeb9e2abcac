"""The state of a model: named, typed fields, and their bits in a file and in hardware.

A state maps the name of each field to an array. The first field of a model holds the parameters used for prediction.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rdahw.data._json import damaged, members
from rdahw.errors import UserError
from rdahw.types import Bits, Type, Words

__all__ = ["Field", "State", "describe_bits", "pack_bits", "state_from_json", "state_to_json"]

#: The value of each field by its name.
State: TypeAlias = Mapping[str, NDArray[Any]]

#: The words unpacked to bits at a time, as one byte per bit takes much memory; a multiple of eight.
_PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a model's state.

    type: ``Bits(n)``, held as n bytes of 0 and 1, or ``Words(n, k)``, held as n signed numbers: int8 up to 8 bits, else
    int64. shape: of the array; default ``(n,)``. With a shape, which may be larger than any wire, ``type`` is that of
    an element.
    """

    name: str
    type: Type
    shape: tuple[int, ...] = ()

    @property
    def bits(self) -> int:
        """The number of bits of the packed value."""
        count, bits = self._count
        return count * bits

    @property
    def _count(self) -> tuple[int, int]:
        """The number of elements, and the bits of each."""
        count, bits = (self.type.count, self.type.bits) if isinstance(self.type, Words) else (self.type.width, 1)
        return math.prod(self.shape) if self.shape else count, bits

    @property
    def _form(self) -> tuple[tuple[int, ...], Any, int, int]:
        """Shape, dtype, smallest and largest value of the array."""
        count, bits = self._count
        shape = self.shape or (count,)
        if isinstance(self.type, Bits):
            return shape, np.uint8, 0, 1
        return shape, np.int8 if bits <= 8 else np.int64, -(1 << bits - 1), (1 << bits - 1) - 1

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest value of an element."""
        return self._form[2:]

    def saturated(self, values: NDArray[Any]) -> NDArray[Any]:
        """``values`` in the field's own dtype, each at most as far from zero as its type allows."""
        _, dtype, low, high = self._form
        kept: NDArray[Any] = np.clip(values, low, high).astype(dtype)
        return kept

    def zero(self) -> NDArray[Any]:
        """The value of all zeros."""
        shape, dtype, _, _ = self._form
        return np.zeros(shape, dtype)

    def check(self, value: NDArray[Any]) -> NDArray[Any]:
        """``value`` in the field's own dtype; raises :class:`UserError` for another shape or a number out of range."""
        shape, dtype, low, high = self._form
        if value.shape != shape:
            raise UserError(f"{self.name} of shape {value.shape} were given; the model has {shape}")
        if value.size and not (low <= int(value.min()) and int(value.max()) <= high):
            raise UserError(f"a number of {self.name} is outside of {low} to {high}, the range of its type")
        return value.astype(dtype, copy=False)

    def pack(self, value: NDArray[Any]) -> bytes:
        """The bits of ``value``, eight per byte, bit 0 first; words in two's complement, low bit first."""
        _, bits = self._count
        flat = np.ascontiguousarray(value).reshape(-1)
        if bits == 8:
            return flat.astype(np.int8).tobytes()
        packed = []
        for start in range(0, len(flat), _PART):  # each part ends at a whole byte
            part = flat[start : start + _PART]
            octets = np.ascontiguousarray(part.astype("<i1" if bits <= 8 else "<i8")).view(np.uint8)
            each = np.unpackbits(octets.reshape(len(part), -1), axis=1, count=bits, bitorder="little")
            packed.append(np.packbits(each.reshape(-1), bitorder="little").tobytes())
        return b"".join(packed)

    def unpack(self, packed: bytes) -> NDArray[Any]:
        """The inverse of :meth:`pack`; raises :class:`UserError` for another number of bytes."""
        (shape, dtype, _, _), (count, bits) = self._form, self._count
        if len(packed) != (self.bits + 7) // 8:
            raise damaged(f"the field {self.name!r}", f"{self.bits} bits")
        octets = np.frombuffer(packed, np.uint8)
        if bits == 8:
            return octets.view(np.int8).reshape(shape)
        values = np.empty(count, dtype)
        room = 8 * values.itemsize
        for start in range(0, count, _PART):
            part = values[start : start + _PART]
            its = octets[start * bits // 8 :]
            each = np.unpackbits(its[: -(-len(part) * bits // 8)], count=len(part) * bits, bitorder="little")
            if bits == 1:
                part[:] = each if isinstance(self.type, Bits) else -each.astype(np.int8)
                continue
            wide = np.zeros((len(part), room), np.uint8)
            wide[:, room - bits :] = each.reshape(-1, bits)
            # The word is at the top, so that the arithmetic shift extends its sign.
            part[:] = np.packbits(wide, axis=1, bitorder="little").view(f"<i{room // 8}")[:, 0] >> room - bits
        return values.reshape(shape)


def pack_bits(bits: NDArray[Any]) -> bytes:
    """Bits as bytes: wire 0 is the least significant bit of byte 0."""
    return np.packbits(bits, bitorder="little").tobytes()


def describe_bits(field: Field, value: NDArray[Any]) -> dict[str, Any]:
    """Parameters as JSON: in hexadecimal, bit 0 least significant; for more than 4,096 bits only their SHA-256."""
    packed = field.pack(value)
    shown = {"parameters": format(int.from_bytes(packed, "little"), "x")} if field.bits <= 4096 else {}
    return {"parameter_bits": field.bits, **shown, "parameters_sha256": hashlib.sha256(packed).hexdigest()}


def state_to_json(fields: Sequence[Field], state: State) -> dict[str, str]:
    """The bits of each field (:meth:`Field.pack`) as base64 text; :func:`state_from_json` is the inverse."""
    return {field.name: base64.b64encode(field.pack(state[field.name])).decode() for field in fields}


def state_from_json(fields: Sequence[Field], value: object, what: str) -> dict[str, NDArray[Any]]:
    """Read :func:`state_to_json` back. Raises :class:`UserError` for anything but the bits of ``fields``."""
    state = {}
    for field, text in zip(fields, members(value, what, tuple(f.name for f in fields)), strict=True):
        try:
            packed = base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise damaged(f"the field {field.name!r}", "base64 text") from None
        state[field.name] = field.unpack(packed)
    return state
