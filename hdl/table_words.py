"""The counters of an ensemble as the words of a memory trainer's tables, in bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.interface import Interface, Place
from rdahw.primitives import Array
from rdahw.types import Words

__all__ = [
    "LABEL_BITS",
    "MARGIN_OCTETS",
    "SETTINGS_OCTETS",
    "STATE_OCTETS",
    "counters_of_words",
    "table_interface",
    "settings_address",
    "sign_bits",
    "word_octets",
    "word_stride",
    "words_of_counters",
]

#: The low bits of an example's last byte that are its class; the bit above them is ``learn``.
LABEL_BITS = 7
#: The bytes of the settings: the dropout's shift register, the margin, and all of them with the dropout's numerator.
STATE_OCTETS = 8
MARGIN_OCTETS = 4
SETTINGS_OCTETS = 16


def word_octets(spec: EnsembleSpec) -> int:
    """The bytes of a word, the counters of all classes."""
    return -(-spec.classes * spec.counter // 8)


def word_stride(spec: EnsembleSpec) -> int:
    """The bytes from one word to the next in a memory trainer's parameters."""
    return 1 << (word_octets(spec) - 1).bit_length()


def sign_bits(spec: EnsembleSpec) -> int:
    """The sign bits of all counters in a word."""
    return sum(1 << (c + 1) * spec.counter - 1 for c in range(spec.classes))


def settings_address(spec: EnsembleSpec) -> int:
    """The address of the settings, after the words, in a memory trainer's parameters."""
    stride, words = word_stride(spec), spec.tables << spec.inputs
    return stride << max((words - 1).bit_length(), 5 - stride.bit_length())


def words_of_counters(spec: EnsembleSpec, counters: Counters, *, inverted: bool = False) -> Array:
    """The words, (tables * 2^inputs, bytes), of counters (tables, 2^inputs, classes).

    Word ``table << inputs | index`` has counter c, in two's complement, in its bits from ``c * counter`` on, bit 0 of
    byte 0 first. ``inverted``: with inverted sign bits, as in the memory.
    """
    bits = _words(spec).to_bits(counters.reshape(-1, spec.classes))
    if inverted:
        bits[:, spec.counter - 1 :: spec.counter] ^= 1
    return np.packbits(bits, axis=1, bitorder="little")


def counters_of_words(spec: EnsembleSpec, words: Array, *, inverted: bool = False) -> Counters:
    """The inverse of :func:`words_of_counters`; bits above the last counter are ignored."""
    bits = np.unpackbits(words, axis=1, count=spec.classes * spec.counter, bitorder="little")
    if inverted:
        bits[:, spec.counter - 1 :: spec.counter] ^= 1
    return _words(spec).to_integers(bits).astype(np.int8).reshape(spec.counters_shape)


def _words(spec: EnsembleSpec) -> Words:
    return Words(spec.classes, spec.counter)


def table_interface(
    spec: EnsembleSpec, parameter_bytes: int, *, learns: bool, frontend: PixelFrontend | None = None, **given: Any
) -> Interface:
    """The interface of gateware whose tables are words in memory, followed by settings if it learns."""
    stride, octets = word_stride(spec), word_octets(spec)

    def pack(counters: Counters) -> bytes:
        words = words_of_counters(spec, spec.parameters.check(counters))
        return np.pad(words, ((0, 0), (0, stride - octets))).tobytes()

    def unpack(data: bytes) -> Counters:
        words = np.frombuffer(data, np.uint8).reshape(-1, stride)[:, :octets]
        return counters_of_words(spec, np.ascontiguousarray(words))

    counters, dropout, *_ = spec.fields
    tables = Place(counters, 0, (spec.tables << spec.inputs) * stride, pack, unpack)
    first = spec.initial_state()[dropout.name]
    register = Place(dropout, settings_address(spec), STATE_OCTETS, dropout.pack, dropout.unpack, first)
    return Interface(
        spec=spec,
        described=spec.to_json if frontend is None else lambda: [spec.to_json(), frontend.to_json()],
        parameter_bits=8 * parameter_bytes,
        output_bits=LABEL_BITS,
        code="binary",
        word_bits=8,
        learns=learns,
        frontend=frontend,
        places=(tables, register) if learns else (tables,),
        **given,
    )
