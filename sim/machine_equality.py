"""Whether two machines write the same on all sequences: decided by the states that they reach together.

The product machine is followed from the initial states, all symbols at a time, breadth first. If no reached pair of
states writes different symbols, the machines agree on all sequences, of any length: the reached pairs are the induction
hypothesis. Otherwise the path to the first such pair is a shortest sequence that tells the machines apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.machine import Machine
from rdahw.primitives import Array
from rdahw.sim.machine import initial_state
from rdahw.sim.packed import Packed

__all__ = ["MAX_STATES", "MAX_SYMBOL_BITS", "Comparison", "compare_machines"]

#: The most pairs of states that are followed, and the widest symbol, all of whose values are tried.
MAX_STATES = 1 << 20
MAX_SYMBOL_BITS = 12
_AT_ONCE = 1 << 16


class Comparison(NamedTuple):
    """Whether two machines are equal.

    states: the pairs of states that were reached. distinguishing: None if the machines are equal, else a shortest
    sequence of symbols, for each input (steps, width), whose last step is written differently.
    """

    states: int
    distinguishing: tuple[Array, ...] | None

    @property
    def equal(self) -> bool:
        return self.distinguishing is None


def compare_machines(
    f: Machine, g: Machine, parameters: tuple[Sequence[Array], Sequence[Array]] = ((), ())
) -> Comparison:
    """Whether f and g, with these parameters, write the same on all sequences.

    Their inputs and outputs are matched by order. Raises :class:`UserError` if their types differ, for symbols of more
    than :data:`MAX_SYMBOL_BITS` bits, and if more than :data:`MAX_STATES` pairs of states are reached.
    """
    for what in ("inputs", "outputs"):
        a, b = ([port.type for port in getattr(machine, what)] for machine in (f, g))
        if a != b:
            raise UserError(
                f"the machines have {what} ({', '.join(map(str, a))}) and ({', '.join(map(str, b))}); expected the "
                "same types, to compare them"
            )
    widths = [port.type.width for port in f.inputs]
    if sum(widths) > MAX_SYMBOL_BITS:
        raise UserError(
            f"a symbol has {sum(widths)} bits; machines are compared on all symbols of at most {MAX_SYMBOL_BITS} bits"
        )
    symbols = (np.arange(1 << sum(widths))[:, None] >> np.arange(sum(widths)) & 1).astype(np.uint8)
    sides = [_Side(*side) for side in zip((f, g), parameters, strict=True)]
    reached = np.concatenate([side.start for side in sides])[None]
    seen, parents, read = {reached[0].tobytes()}, [-1], [-1]
    known, frontier, first = [reached], reached, 0
    while len(frontier):
        for at in range(0, len(frontier), max(1, _AT_ONCE // len(symbols))):
            part = frontier[at : at + max(1, _AT_ONCE // len(symbols))]
            pairs, choice = np.repeat(part, len(symbols), 0), np.tile(symbols, (len(part), 1))
            split = np.split(pairs, [sides[0].start.size], 1)
            (next_f, wrote_f), (next_g, wrote_g) = (
                side.step(state, np.split(choice, np.cumsum(widths)[:-1], 1))
                for side, state in zip(sides, split, strict=True)
            )
            differs = np.flatnonzero((wrote_f != wrote_g).any(1))
            if len(differs):
                path = [int(differs[0]) % len(symbols)]
                number = first + at + int(differs[0]) // len(symbols)
                while number > 0:
                    path.append(read[number])
                    number = parents[number]
                found = np.split(symbols[path[::-1]], np.cumsum(widths)[:-1], 1)
                return Comparison(len(seen), tuple(found))
            known.append(_new(np.concatenate([next_f, next_g], 1), seen, parents, read, first + at, len(symbols)))
            if len(seen) > MAX_STATES:
                raise UserError(
                    f"the machines reach more than {MAX_STATES} pairs of states; compare machines with fewer states"
                )
        first += len(frontier)
        frontier, known = np.concatenate(known[1:]) if len(known) > 1 else frontier[:0], known[:1]
    return Comparison(len(seen), None)


def _new(
    pairs: NDArray[np.uint8], seen: set[bytes], parents: list[int], read: list[int], first: int, symbols: int
) -> NDArray[np.uint8]:
    """The pairs of states that were not ``seen`` before; each is noted with where it was reached from, and by what."""
    new = []
    for row, pair in enumerate(pairs):
        if (key := pair.tobytes()) not in seen:
            seen.add(key)
            parents.append(first + row // symbols)
            read.append(row % symbols)
            new.append(row)
    return pairs[new]


class _Side:
    """One of the two machines: its first state, (bits,), and its step on many states and symbols."""

    def __init__(self, machine: Machine, parameters: Sequence[Array]) -> None:
        self._run = Packed(machine.step)
        self._parameters = [np.asarray(array, np.uint8) for array in parameters]
        self._count = len(machine.initial)
        self._ends = np.cumsum([port.type.width for port in machine.states])[:-1]
        self.start = np.concatenate([np.zeros(0, np.uint8), *initial_state(machine)])

    def step(self, state: NDArray[np.uint8], symbol: list[NDArray[np.uint8]]) -> tuple[Array, Array]:
        """The next states (N, bits) and what is written (N, bits)."""
        states = np.split(state, self._ends, 1) if self._count else []
        results = self._run(*self._parameters, *states, *symbol)
        empty = np.zeros((len(state), 0), np.uint8)
        whole = [np.concatenate([empty, *part], 1) for part in (results[: self._count], results[self._count :])]
        return whole[0], whole[1]
