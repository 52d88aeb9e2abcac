"""Circuits on 64 examples a word, with the same bits as the reference interpreter.

A circuit is lowered to gates of up to three inputs (:mod:`rdahw.sim.netlist`), scheduled
(:mod:`rdahw.sim.lut_program`), and run by one compiled machine for all circuits (:mod:`rdahw.sim.lut_kernels`), so that
a new circuit costs milliseconds and no compiler.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.errors import UsageError, UserError
from rdahw.primitives import Array
from rdahw.sim.lut_program import schedule
from rdahw.sim.netlist import lower
from rdahw.sim.packing import Words, pack_examples, unpack_examples, words_for
from rdahw.sim.reference import example_arrays

__all__ = ["Packed", "thread_count"]


def thread_count(threads: int | None) -> int:
    """``threads``, or for ``None`` the number of cores that this process may use."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise UsageError(f"threads is {threads}; expected at least 1, or None for all cores")
    return threads


class Packed:
    """A circuit ready to be run many times on many examples: ``f(*inputs) -> tuple of outputs``.

    Its inputs and outputs are those of :class:`rdahw.sim.reference.Reference`, except that every output has all example
    axes that the inputs broadcast to. :meth:`run` works on bits packed by examples and saves the packing.
    The results do not depend on ``threads`` (``None``: all cores). Raises :class:`UserError` for a circuit of more than
    :data:`rdahw.sim.netlist.MAX_GATES` gates.
    """

    def __init__(self, circuit: Circuit, *, threads: int | None = 1) -> None:
        self.circuit = circuit
        self.threads = thread_count(threads)
        self._program = schedule(lower(circuit).fused())
        self._spare: list[Words] = []

    @property
    def gates(self) -> int:
        """The number of gates of up to three inputs that are evaluated for each example."""
        return len(self._program.code)

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        arrays, shape = example_arrays(self.circuit, inputs)
        examples = math.prod(shape)
        packed = []
        for array in arrays:
            if array.size == array.shape[-1]:  # one for all examples
                packed.append((-array.reshape(-1, 1).astype(np.int64)).view(np.uint64))
            else:
                width = array.shape[-1]
                packed.append(pack_examples(np.broadcast_to(array, (*shape, width)).reshape(examples, width)))
        outputs = self.run(*packed, words=words_for(examples))
        return tuple(unpack_examples(out, examples).reshape(*shape, len(out)) for out in outputs)

    def run(self, *inputs: Words, words: int | None = None) -> tuple[Words, ...]:
        """The outputs for inputs packed by examples (:mod:`rdahw.sim.packing`), packed likewise.

        Each input is (width, words), or (width, 1) for a word that is used for all words of examples. ``words``: their
        number, by default that of the widest input.
        """
        ports = self.circuit.inputs
        if len(inputs) != len(ports):
            raise UserError(f"{len(inputs)} arrays were given to a circuit of {len(ports)} inputs; expected one each")
        if words is None:
            words = max((a.shape[1] for a in inputs if a.ndim == 2), default=1)
        for (name, type_), array in zip(ports, inputs, strict=True):
            if array.dtype != np.uint64 or array.shape not in ((type_.width, words), (type_.width, 1)):
                raise UserError(
                    f"input {name!r} was given {array.dtype} of shape {array.shape}; expected uint64 of "
                    f"({type_.width}, {words}) or ({type_.width}, 1)"
                )
        inputs = tuple(map(np.ascontiguousarray, inputs))
        outputs = tuple(np.empty((t.width, words), np.uint64) for t in self.circuit.output_types)
        program = self._program
        rows = np.concatenate([np.empty(0, np.int64), *map(_row_addresses, outputs)])
        for bit, value in program.constants:
            _row(outputs, bit)[:] = ~np.uint64(0) if value else np.uint64(0)
        targets = np.stack([rows[program.stores[:, 0]], program.stores[:, 1]], axis=1)
        rows = np.concatenate([np.empty(0, np.int64), *map(_row_addresses, inputs)])
        each = np.concatenate([np.empty(0, np.int64), *(np.full(len(a), a.shape[1] > 1, np.int64) for a in inputs)])
        bits = program.loads[:, 0]
        sources = np.stack([rows[bits], each[bits], program.loads[:, 1]], axis=1)
        self._run_blocks(sources, targets, words)
        return outputs

    def _run_blocks(self, sources: NDArray[np.int64], targets: NDArray[np.int64], words: int) -> None:
        from rdahw.sim.lut_kernels import BLOCK, run_blocks

        program = self._program

        def work(start: int, stop: int) -> None:
            memory = self._spare.pop() if self._spare else _aligned(program.slots * BLOCK)
            run_blocks(program.runs, program.code, sources, targets, memory, start, stop, words)
            self._spare.append(memory)

        blocks = -(-words // BLOCK)
        threads = min(self.threads, blocks)
        if threads <= 1:
            work(0, words)
            return
        bounds = [blocks * i // threads * BLOCK for i in range(threads)] + [words]
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, bounds[:-1], bounds[1:]):
                pass


def _row_addresses(array: Words) -> NDArray[np.int64]:
    """The address of the first word of each row."""
    return array.ctypes.data + np.arange(len(array), dtype=np.int64) * array.strides[0]


def _row(arrays: Sequence[Words], row: int) -> Words:
    """Row ``row`` of the stacked arrays."""
    for array in arrays:
        if row < len(array):
            found: Words = array[row]
            return found
        row -= len(array)
    raise AssertionError("the row is beyond the last array")


def _aligned(words: int) -> Words:
    """Memory that starts at a cache line."""
    memory = np.zeros(words + 8, np.uint64)
    first = -memory.ctypes.data % 64 // 8
    aligned: Words = memory[first : first + words]
    return aligned
