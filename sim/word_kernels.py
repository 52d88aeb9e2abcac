"""The compiled machine for whole wires: one kernel for every learner; see :mod:`rdahw.sim.word_program`.

An operation is a function of (memory, pool, d, a, b, n, e, f), the first two as pointers: d is the first word of the
result; the parameter names of each function say what the others are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from rdahw.sim.jit import compiled, inner, instruction, popcount
from rdahw.sim.word_program import OPERATIONS

__all__ = ["run_words", "train_words"]

_ONE, _ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)


def _xor(m: Any, pool: Any, d: int, a: int, b: int, n: int, e: int, f: int) -> None:
    for i in range(n):
        m[d + i] = m[a + i] ^ m[b + i]


def _and(m: Any, pool: Any, d: int, a: int, b: int, n: int, e: int, f: int) -> None:
    for i in range(n):
        m[d + i] = m[a + i] & m[b + i]


def _or(m: Any, pool: Any, d: int, a: int, b: int, n: int, e: int, f: int) -> None:
    for i in range(n):
        m[d + i] = m[a + i] | m[b + i]


def _not(m: Any, pool: Any, d: int, a: int, width: int, n: int, e: int, f: int) -> None:
    last = (width - 1) >> 6
    for i in range(last):
        m[d + i] = ~m[a + i]
    m[d + last] = ~m[a + last] & (_ALL >> np.uint64(-width & 63))


def _mux(m: Any, pool: Any, d: int, a: int, b: int, n: int, select: int, f: int) -> None:
    chosen = np.uint64(0) - m[select]
    for i in range(n):
        m[d + i] = (m[a + i] & chosen) | (m[b + i] & ~chosen)


@inner
def _move_bits(m: Any, d: int, a: int, start: int, to: int, count: int, add: bool) -> None:
    while count > 0:
        # The part of the result that lies in one word.
        low = to & 63
        here = min(64 - low, count)
        at, shift = a + (start >> 6), np.uint64(start & 63)
        bits = m[at] >> shift
        if (start & 63) + here > 64:
            bits |= m[at + 1] << (np.uint64(64) - shift)
        mask = (_ALL >> np.uint64(64 - here)) << np.uint64(low)
        bits = (bits << np.uint64(low)) & mask
        word = d + (to >> 6)
        if add:
            m[word] ^= bits
        else:
            m[word] = (m[word] & ~mask) | bits
        start, to, count = start + here, to + here, count - here


def _move(m: Any, pool: Any, d: int, a: int, start: int, to: int, count: int, f: int) -> None:
    _move_bits(m, d, a, start, to, count, False)


def _add_bits(m: Any, pool: Any, d: int, a: int, start: int, to: int, count: int, f: int) -> None:
    _move_bits(m, d, a, start, to, count, True)


def _fill(m: Any, pool: Any, d: int, a: int, width: int, n: int, e: int, f: int) -> None:
    bits = np.uint64(0) - m[a]
    last = (width - 1) >> 6
    for i in range(last):
        m[d + i] = bits
    m[d + last] = bits & (_ALL >> np.uint64(-width & 63))


def _parity(m: Any, pool: Any, d: int, a: int, n: int, b: int, e: int, f: int) -> None:
    total = np.uint64(0)
    for i in range(n):
        total ^= m[a + i]
    m[d] = popcount(total) & _ONE


def _gather(m: Any, pool: Any, d: int, a: int, indices: int, count: int, n: int, f: int) -> None:
    for i in range(n):
        m[d + i] = 0
    for i in range(count):
        index = pool[indices + i]
        bit = (m[a + (index >> 6)] >> np.uint64(index & 63)) & _ONE
        m[d + (i >> 6)] |= bit << np.uint64(i & 63)


def _scatter(m: Any, pool: Any, d: int, a: int, indices: int, count: int, n: int, f: int) -> None:
    for i in range(n):
        m[d + i] = 0
    for i in range(count):
        index = pool[indices + i]
        bit = (m[a + (i >> 6)] >> np.uint64(i & 63)) & _ONE
        m[d + (index >> 6)] ^= bit << np.uint64(index & 63)


def _decode(m: Any, pool: Any, d: int, a: int, n: int, b: int, e: int, f: int) -> None:
    for i in range(n):
        m[d + i] = 0
    m[d + np.int64(m[a] >> np.uint64(6))] = _ONE << (m[a] & np.uint64(63))


def _lookup(m: Any, pool: Any, d: int, a: int, address: int, outputs: int, rows: int, f: int) -> None:
    for i in range((outputs + 63) >> 6):
        m[d + i] = 0
    at = np.int64(m[address])
    for j in range(outputs):
        bit = (m[a + (at >> 6)] >> np.uint64(at & 63)) & _ONE
        m[d + (j >> 6)] |= bit << np.uint64(j & 63)
        at += rows


def _popcount(m: Any, pool: Any, d: int, a: int, n: int, b: int, e: int, f: int) -> None:
    total = np.uint64(0)
    for i in range(n):
        total += popcount(m[a + i])
    m[d] = total


def _less_equal(m: Any, pool: Any, d: int, a: int, b: int, n: int, e: int, f: int) -> None:
    i = n - 1
    while i > 0 and m[a + i] == m[b + i]:
        i -= 1
    m[d] = np.uint64(m[a + i] <= m[b + i])


def _plus(m: Any, pool: Any, d: int, a: int, b: int, n: int, result_words: int, f: int) -> None:
    carry = np.uint64(0)
    for i in range(n):
        one = m[a + i] + carry
        carry = np.uint64(one < carry)
        total = one + m[b + i]
        carry |= np.uint64(total < one)
        m[d + i] = total
    if result_words > n:
        m[d + n] = carry


# -- words of e bits: operands and results are n words, packed without gaps -------------------------------------------
# Words of 32 bits, which most models have, are done in pairs without shifts by a number that varies.

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@inner
def _get(m: Any, at: int, i: int, bits: int) -> Any:
    """Word i, unsigned."""
    place = i * bits
    word, shift = at + (place >> 6), np.uint64(place & 63)
    value = m[word] >> shift
    if (place & 63) + bits > 64:
        value |= m[word + 1] << (np.uint64(64) - shift)
    return value & (_ALL >> np.uint64(64 - bits))


@inner
def _get_signed(m: Any, at: int, i: int, bits: int) -> Any:
    unused = np.uint64(64 - bits)
    return np.int64(_get(m, at, i, bits) << unused) >> np.int64(unused)


@inner
def _put(m: Any, at: int, i: int, bits: int, value: Any) -> None:
    """Write word i; words are written in order, and the first of a machine word clears its other bits."""
    place = i * bits
    word, shift = at + (place >> 6), np.uint64(place & 63)
    value &= _ALL >> np.uint64(64 - bits)
    if shift:
        m[word] |= value << shift
    else:
        m[word] = value
    if (place & 63) + bits > 64:
        m[word + 1] = value >> (np.uint64(64) - shift)


def _add_words(m: Any, pool: Any, d: int, a: int, b: int, n: int, bits: int, f: int) -> None:
    if bits == 32:
        for i in range((n + 1) >> 1):
            p, q = m[a + i], m[b + i]
            m[d + i] = ((p + q) & _LOW) | ((p >> _HALF) + (q >> _HALF) << _HALF)
        return
    for i in range(n):
        _put(m, d, i, bits, _get(m, a, i, bits) + _get(m, b, i, bits))


def _multiply_words(m: Any, pool: Any, d: int, a: int, b: int, n: int, bits: int, f: int) -> None:
    if bits == 32:
        for i in range((n + 1) >> 1):
            p, q = m[a + i], m[b + i]
            m[d + i] = ((p * q) & _LOW) | ((p >> _HALF) * (q >> _HALF) << _HALF)
        return
    for i in range(n):
        _put(m, d, i, bits, _get(m, a, i, bits) * _get(m, b, i, bits))


def _mask_words(m: Any, pool: Any, d: int, a: int, chosen: int, n: int, bits: int, f: int) -> None:
    for i in range(n):
        _put(m, d, i, bits, _get(m, a, i, bits) & (np.uint64(0) - (m[chosen + (i >> 6)] >> np.uint64(i & 63) & _ONE)))


def _negate_words(m: Any, pool: Any, d: int, a: int, chosen: int, n: int, bits: int, f: int) -> None:
    for i in range(n):
        bit = m[chosen + (i >> 6)] >> np.uint64(i & 63) & _ONE
        _put(m, d, i, bits, (_get(m, a, i, bits) ^ (np.uint64(0) - bit)) + bit)


def _gather_words(m: Any, pool: Any, d: int, a: int, indices: int, n: int, bits: int, f: int) -> None:
    for i in range(n):
        _put(m, d, i, bits, _get(m, a, pool[indices + i], bits))


def _scatter_words(m: Any, pool: Any, d: int, a: int, indices: int, n: int, bits: int, words: int) -> None:
    for i in range(words):
        m[d + i] = 0
    if bits == 32:
        for i in range(n):
            place, shift = pool[indices + i] >> 1, np.uint64((pool[indices + i] & 1) << 5)
            old = m[d + place]
            value = (old >> shift) + (m[a + (i >> 1)] >> np.uint64((i & 1) << 5)) & _LOW
            m[d + place] = (old & ~(_LOW << shift)) | (value << shift)
        return
    for i in range(n):
        index = pool[indices + i]
        at = index * bits
        value = _get(m, d, index, bits) + _get(m, a, i, bits) & (_ALL >> np.uint64(64 - bits))
        word, shift = d + (at >> 6), np.uint64(at & 63)
        mask = _ALL >> np.uint64(64 - bits)
        m[word] = (m[word] & ~(mask << shift)) | (value << shift)
        if (at & 63) + bits > 64:
            back = np.uint64(64) - shift
            m[word + 1] = (m[word + 1] & ~(mask >> back)) | (value >> back)


def _shift_words(m: Any, pool: Any, d: int, a: int, by: int, n: int, bits: int, f: int) -> None:
    for i in range(n):
        _put(m, d, i, bits, np.uint64(_get_signed(m, a, i, bits) >> by))


def _saturating_add_words(m: Any, pool: Any, d: int, a: int, b: int, n: int, bits: int, limit: int) -> None:
    top = np.int64((_ONE << np.uint64(limit - 1)) - _ONE)
    for i in range(n):
        p, q = _get_signed(m, a, i, bits), _get_signed(m, b, i, bits)
        total = p + q
        if (p < 0) == (q < 0) and (total < 0) != (p < 0):  # beyond 64 bits
            total = -top - 1 if p < 0 else top
        _put(m, d, i, bits, np.uint64(min(max(total, -top - 1), top)))


def _cumulate_words(m: Any, pool: Any, d: int, a: int, b: int, n: int, bits: int, f: int) -> None:
    total = np.uint64(0)
    for i in range(n):
        total += _get(m, a, i, bits)
        _put(m, d, i, bits, total)


def _count_below_words(m: Any, pool: Any, d: int, a: int, b: int, n: int, bits: int, others: int) -> None:
    pairs = others >> 1 if bits == 32 else 0
    for i in range(n):
        number, count = _get_signed(m, a, i, bits), np.uint64(0)
        high = np.int64(np.uint64(number) << _HALF)
        for j in range(pairs):
            two = m[b + j]
            count += np.uint64(np.int64(two << _HALF) < high) + np.uint64(np.int64(two & ~_LOW) < high)
        for j in range(2 * pairs, others):
            count += np.uint64(_get_signed(m, b, j, bits) < number)
        _put(m, d, i, bits, count)


_FUNCTIONS: dict[str, Callable[..., None]] = {
    "xor": _xor,
    "and": _and,
    "or": _or,
    "not": _not,
    "mux": _mux,
    "move": _move,
    "add_bits": _add_bits,
    "fill": _fill,
    "parity": _parity,
    "gather": _gather,
    "scatter": _scatter,
    "decode": _decode,
    "lookup": _lookup,
    "popcount": _popcount,
    "less_equal": _less_equal,
    "plus": _plus,
    "add_words": _add_words,
    "multiply_words": _multiply_words,
    "mask_words": _mask_words,
    "negate_words": _negate_words,
    "gather_words": _gather_words,
    "scatter_words": _scatter_words,
    "shift_words": _shift_words,
    "saturating_add_words": _saturating_add_words,
    "cumulate_words": _cumulate_words,
    "count_below_words": _count_below_words,
}


@instruction
def _execute(
    typing_context: Any, number: Any, m: Any, pool: Any, d: Any, a: Any, b: Any, n: Any, e: Any, f: Any
) -> Any:
    """``_execute(number, memory, pool, …)``: run the operation ``number``, by a jump table."""
    signature = types.void(types.int64, m, pool, *[types.int64] * 6)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, *rest = arguments
        # Pointers instead of arrays, which take a dozen arguments each and allow negative indices.
        for i, array in enumerate((m, pool)):
            rest[i] = context.make_array(array)(context, builder, rest[i]).data
        pointers = [types.CPointer(array.dtype) for array in (m, pool)]  # type: ignore[no-untyped-call]
        end = builder.append_basic_block("end")
        switch = builder.switch(number, end)
        for i, name in enumerate(OPERATIONS):
            block = builder.append_basic_block(name)
            switch.add_case(ir.Constant(ir.IntType(64), i), block)
            builder.position_at_end(block)
            context.compile_internal(builder, _FUNCTIONS[name], types.void(*pointers, *signature.args[3:]), rest)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, generate


@inner
def _run(code: Any, pool: Any, m: Any) -> None:
    for i in range(code.shape[0]):
        r = code[i]
        _execute(r[0], m, pool, r[1], r[2], r[3], r[4], r[5], r[6])


_CODE, _POOL, _MEMORY = nb.int64[:, ::1], nb.int64[::1], nb.uint64[::1]
_EXAMPLES = nb.types.Array(nb.uint64, 2, "C", readonly=True)
_ROWS = nb.types.Array(nb.int64, 1, "C", readonly=True)


@compiled(
    _CODE, _POOL, _MEMORY, _POOL,
    _CODE, _POOL, _MEMORY, _POOL,
    _CODE, _POOL, _MEMORY, _POOL,
    nb.uint64[::1], _EXAMPLES, _EXAMPLES, _ROWS, _ROWS, nb.boolean, nb.int64[::1], nb.int64[::1],
)  # fmt: skip
def train_words(
    request: Any, request_pool: Any, request_memory: Any, request_places: Any,
    add: Any, add_pool: Any, add_memory: Any, add_places: Any,
    update: Any, update_pool: Any, update_memory: Any, update_places: Any,
    theta: Any, x: Any, y: Any, rows: Any, ends: Any, until_change: bool, wrong: Any, done: Any,
) -> None:  # fmt: skip
    """Apply update after update to ``theta``; update u uses the examples ``rows[ends[u - 1] : ends[u]]`` of x and y.

    request_places: first words of theta, x, y, dtheta and output; add_places: of two requests and their sum;
    update_places: of theta, dtheta and the new theta.
    wrong[u]: how many examples of update u were predicted wrongly. done[0]: how many updates were applied; with
    ``until_change`` the last of them is the first that changed theta.
    """
    m, total = request_memory, np.empty_like(theta)
    at_theta, at_x, at_y = request_places[0], request_places[1], request_places[2]
    at_dtheta, at_output = request_places[3], request_places[4]
    start = 0
    for u in range(ends.shape[0]):
        for i in range(len(theta)):
            m[at_theta + i] = theta[i]
            total[i] = 0  # the request of an empty batch
        wrong[u] = 0
        for k in range(start, ends[u]):
            row = rows[k]
            for i in range(x.shape[1]):
                m[at_x + i] = x[row, i]
            for i in range(y.shape[1]):
                m[at_y + i] = y[row, i]
            _run(request, request_pool, m)
            if k == start:
                for i in range(len(total)):
                    total[i] = m[at_dtheta + i]
            else:
                for i in range(len(total)):
                    add_memory[add_places[0] + i] = total[i]
                    add_memory[add_places[1] + i] = m[at_dtheta + i]
                _run(add, add_pool, add_memory)
                for i in range(len(total)):
                    total[i] = add_memory[add_places[2] + i]
            right = True
            for i in range(y.shape[1]):
                right &= m[at_output + i] == y[row, i]
            wrong[u] += not right
        start = ends[u]
        for i in range(len(theta)):
            update_memory[update_places[0] + i] = theta[i]
            update_memory[update_places[1] + i] = total[i]
        _run(update, update_pool, update_memory)
        changed = False
        for i in range(len(theta)):
            new = update_memory[update_places[2] + i]
            changed |= new != theta[i]
            theta[i] = new
        done[0] = u + 1
        if changed and until_change:
            break


@compiled(_CODE, _POOL, _MEMORY, nb.int64, _EXAMPLES, _POOL, nb.uint64[:, ::1])
def run_words(code: Any, pool: Any, memory: Any, first: int, x: Any, places: Any, outputs: Any) -> None:
    """Run a program on each row of ``x``, copied to memory from word ``first`` on; outputs: the words ``places``."""
    for row in range(x.shape[0]):
        for i in range(x.shape[1]):
            memory[first + i] = x[row, i]
        _run(code, pool, memory)
        for i in range(outputs.shape[1]):
            outputs[row, i] = memory[places[i]]
