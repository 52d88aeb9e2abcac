"""Access to the parameters of a trainer with its tables in memory: bytes of words, and settings after them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]

from rdahw.hdl.circuit import Value
from rdahw.hdl.table_words import SETTINGS_OCTETS

__all__ = ["access_parameters"]


def access_parameters(
    m: Module,
    control: Any,
    word: Value,
    settings: Mapping[int, Any],
    *,
    write: Value,
    written: Value,
    clear: Value,
    read_only: Mapping[int, Any] | None = None,
) -> None:
    """Read parameters through ``control``, and write and clear the ``settings``, registers by their first byte.

    The highest bit of an address says that it is in the settings. word: the one that the address has selected, a power
    of two of bytes, valid in the cycle after it. write: the byte ``written`` goes to the setting whose address was
    given a cycle before. clear: settings get their initial values. read_only: what settings are that can only be read.
    """
    in_settings, number = control.parameter_address[-1], control.parameter_address[:4]
    half_bits, count = 8 * SETTINGS_OCTETS // 2, len(word) // 8
    values = Const(0, 0)
    for first, value in sorted({**settings, **(read_only or {})}.items()):
        values = Cat(_padded(values, 8 * first), value)
    values = _padded(values, 2 * half_bits)
    # Settings are read a cycle after their address, as words are. All but the addressed byte are 0.
    number_then, asked = Signal(4), Signal(count)
    halves = [Signal(8, name=f"settings{half}") for half in range(2)]
    m.d.sync += [
        number_then.eq(number),
        asked.eq(Mux(in_settings, 0, Const(1) << control.parameter_address[: count.bit_length() - 1])),
    ]
    for half, byte in enumerate(halves):
        m.d.sync += byte.eq(0)
        with m.If(in_settings & (number[-1] == half)):
            m.d.sync += byte.eq(values[half * half_bits :][:half_bits].word_select(number[:3], 8))
    octets = [word[8 * k : 8 * k + 8] & one.replicate(8) for k, one in enumerate(asked)]
    m.d.comb += control.parameter_read.eq(reduce(or_, [*octets, *halves]))

    for first, register in settings.items():
        for octet in range(-(-len(register) // 8)):
            with m.If(write & (number_then == first + octet)):
                m.d.sync += register[8 * octet : 8 * octet + 8].eq(written)
    with m.If(clear):
        m.d.sync += [register.eq(register.init) for register in settings.values()]


def _padded(value: Value, width: int) -> Value:
    return Cat(value, Const(0, width - len(value)))
