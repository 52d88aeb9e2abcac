"""The machine that evaluates netlists on packed words: compiled kernels, the same for every circuit.

Its memory consists of *slots* of :data:`BLOCK` words, one for each live bit of the circuit. An instruction reads up to
three slots and writes one; a *run* is a number of instructions of one kind, executed without branches except that of
the loop. A slot is a multiple of the widest vectors of processors, and all loads of an instruction come before its
store, so LLVM uses vector instructions of the processor's width. With AVX-512 a gate of three inputs is one or two
``vpternlog``.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from rdahw.sim.jit import compiled, instruction
from rdahw.sim.lut_program import KINDS

__all__ = ["BLOCK", "run_blocks"]

_LANES = 8  # 512 bits: a cache line
_LINES = 2
#: Words of a slot: 64 examples each.
BLOCK = _LANES * _LINES

_i32, _i64 = ir.IntType(32), ir.IntType(64)
_LINE = ir.VectorType(_i64, _LANES)
_ALL = ir.Constant(_LINE, [ir.Constant(_i64, -1)] * _LANES)


def _formulas() -> dict[int, Any]:
    """The cheapest formula of each truth table, as nested tuples over the inputs 0, 1, 2 with the operations below."""
    cost: dict[int, int] = {0xAA: 0, 0xCC: 0, 0xF0: 0}
    formula: dict[int, Any] = {0xAA: 0, 0xCC: 1, 0xF0: 2}
    layers: list[list[int]] = [list(cost)]
    while not KINDS.keys() <= cost.keys():
        new: list[int] = []

        def add(table: int, term: Any, new: list[int] = new) -> None:
            if table not in cost:
                cost[table], formula[table] = len(layers), term
                new.append(table)

        for a in layers[-1]:
            add(a ^ 0xFF, ("not", formula[a]))
        for i, layer in enumerate(layers):
            for a in layer:
                for b in layers[len(layers) - 1 - i]:
                    add(a & b, ("and", formula[a], formula[b]))
                    add(a | b, ("or", formula[a], formula[b]))
                    add(a ^ b, ("xor", formula[a], formula[b]))
                    add(a & ~b & 0xFF, ("and_not", formula[a], formula[b]))
        layers.append(new)
    return formula


_OPERATIONS: dict[str, Any] = {
    "not": lambda builder, a: builder.xor(a, _ALL),
    "and": lambda builder, a, b: builder.and_(a, b),
    "or": lambda builder, a, b: builder.or_(a, b),
    "xor": lambda builder, a, b: builder.xor(a, b),
    "and_not": lambda builder, a, b: builder.and_(a, builder.xor(b, _ALL)),
}


def _emit(builder: Any, term: Any, inputs: list[Any]) -> Any:
    if isinstance(term, int):
        return inputs[term]
    name, *terms = term
    return _OPERATIONS[name](builder, *(_emit(builder, t, inputs) for t in terms))


@instruction
def _run(typing_context: Any, kind: Any, code: Any, count: Any, memory: Any) -> Any:
    """``_run(kind, code, count, memory)``: run ``count`` (at least 1) instructions of a kind at address ``code``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, code_address, count, memory_address = arguments
        formulas = _formulas()
        byte = ir.IntType(8).as_pointer()
        code = builder.inttoptr(code_address, _i32.as_pointer())
        memory = builder.inttoptr(memory_address, byte)
        entry, end = builder.block, builder.append_basic_block("end")
        switch = builder.switch(number, end)
        for table, inputs in KINDS.items():
            body = builder.append_basic_block(f"kind{table:02x}")
            switch.add_case(ir.Constant(_i64, table), body)
            builder.position_at_end(body)
            i = builder.phi(_i64)
            i.add_incoming(ir.Constant(_i64, 0), entry)
            fields = [*range(inputs), 3]
            lines = []
            for field in fields:
                at = builder.add(builder.mul(i, ir.Constant(_i64, 4)), ir.Constant(_i64, field))
                slot = builder.zext(builder.load(builder.gep(code, [at])), _i64)
                first = builder.mul(slot, ir.Constant(_i64, BLOCK * 8))
                lines.append(
                    [
                        builder.bitcast(
                            builder.gep(memory, [builder.add(first, ir.Constant(_i64, line * _LANES * 8))]),
                            _LINE.as_pointer(),
                        )
                        for line in range(_LINES)
                    ]
                )
            *sources, target = lines
            values = [[builder.load(pointer, align=64) for pointer in source] for source in sources]
            for line in range(_LINES):
                result = _emit(builder, formulas[table], [value[line] for value in values])
                builder.store(result, target[line], align=64)
            following = builder.add(i, ir.Constant(_i64, 1))
            i.add_incoming(following, body)
            builder.cbranch(builder.icmp_unsigned("<", following, count), body, end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@instruction
def _copy_line(typing_context: Any, target: Any, source: Any) -> Any:
    """``_copy_line(target, source)``: copy a vector from the address ``source`` to the address ``target``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, source = (builder.inttoptr(address, _LINE.as_pointer()) for address in arguments)
        builder.store(builder.load(source, align=8), target, align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@instruction
def _word_at(typing_context: Any, address: Any) -> Any:
    """``_word_at(address)``: load a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _i64.as_pointer()), align=8)

    return types.uint64(types.int64), generate


@instruction
def _set_word_at(typing_context: Any, address: Any, value: Any) -> Any:
    """``_set_word_at(address, value)``: store a word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _i64.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


@compiled(
    nb.int32[:, ::1],
    nb.uint32[:, ::1],
    nb.int64[:, ::1],
    nb.int64[:, ::1],
    nb.uint64[::1],
    nb.int64,
    nb.int64,
    nb.int64,
)
def run_blocks(
    runs: Any, code: Any, sources: Any, targets: Any, memory: Any, start: int, stop: int, words: int
) -> None:
    """Run a program on words ``start`` to ``stop`` of ``words``, by blocks (``start`` is a multiple of :data:`BLOCK`).

    sources: (L, 3), for each input bit the address of its first word, 1 if it has a word for each 64 examples (0: one
    word for all), and its slot. targets: (S, 2), for each output bit the address of its first word and its slot.
    memory: the slots, 64-byte aligned.
    """
    base, code_base = memory.ctypes.data, code.ctypes.data
    for block in range(start, stop, BLOCK):
        size = min(BLOCK, words - block)
        for i in range(sources.shape[0]):
            source, slot = sources[i, 0], base + sources[i, 2] * (8 * BLOCK)
            if sources[i, 1] == 0:
                word = _word_at(source)
                for k in range(BLOCK):
                    _set_word_at(slot + 8 * k, word)
            elif size == BLOCK:
                for k in range(0, BLOCK, _LANES):
                    _copy_line(slot + 8 * k, source + 8 * (block + k))
            else:
                for k in range(size):
                    _set_word_at(slot + 8 * k, _word_at(source + 8 * (block + k)))
        at = code_base
        for r in range(runs.shape[0]):
            count = np.int64(runs[r, 1])
            _run(np.int64(runs[r, 0]), at, count, base)
            at += 16 * count
        for i in range(targets.shape[0]):
            target, slot = targets[i, 0], base + targets[i, 1] * (8 * BLOCK)
            if size == BLOCK:
                for k in range(0, BLOCK, _LANES):
                    _copy_line(target + 8 * (block + k), slot + 8 * k)
            else:
                for k in range(size):
                    _set_word_at(target + 8 * (block + k), _word_at(slot + 8 * k))
