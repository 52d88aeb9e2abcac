"""State machines with a flip-flop a state.

Amaranth numbers the states of its own machines in binary, and Yosys leaves them so, as they have an initial value. To
know of thirty states in which one it is takes two look-up tables in a row, in front of all that a state does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.hdl import Const, Module, Signal  # type: ignore[import-untyped]

__all__ = ["OneHot"]


class OneHot:
    """A state machine in the domain ``sync``, written as those of Amaranth: ``with machine.state(NAME):`` holds what
    is done in a state, ``machine.next = NAME`` in it goes to another, and the last one that applies wins.

    first: the state after a reset. :meth:`finish` has to be called when all states are described.

    Several machines can take turns, of which one is in a state at a time and the others are in none: one :meth:`exit`
    leads to the :meth:`enter` of another. With ``first`` ``None`` a machine waits for its turn after a reset.
    """

    def __init__(self, m: Module, first: str | None) -> None:
        self._m, self._first = m, first
        self._states: dict[str, Any] = {}
        self._exits: dict[str, Any] = {}
        self._moves: dict[str, list[Any]] = {}
        self._here: dict[str, Any] = {}

    def enter(self, name: str, when: Any) -> None:
        """Go to this state after a cycle in which ``when`` is high; the machine must be in none then."""
        self.ongoing(name)
        self._moves[name].append(when)

    def exit(self, name: str, leaves: Any = None) -> None:
        """Let ``machine.next = name`` leave the machine in no state; the signal ``leaves`` is high in that cycle."""
        self._exits[name] = Signal() if leaves is None else leaves
        self._moves[name] = []

    def ongoing(self, name: str) -> Any:
        """Whether the machine is in this state."""
        if name not in self._states:
            self._states[name] = Signal(name=f"at_{name.lower().replace(' ', '_')}", init=name == self._first)
            self._moves[name] = []
        return self._states[name]

    def _move(self, to: str) -> Any:
        if to not in self._here:
            if to not in self._exits:
                self.ongoing(to)
            self._here[to] = Signal(name=f"to_{to.lower().replace(' ', '_')}")
            self._moves[to].append(self._here[to])
        return self._here[to]

    @contextmanager
    def state(self, name: str) -> Iterator[None]:
        """What is done in a state; each is described once."""
        self._here = {}
        with self._m.If(self.ongoing(name)):
            self._m.d.comb += self._move(name).eq(1)
            yield

    @property
    def next(self) -> str:
        """The state of the next cycle; it can only be set."""
        raise AttributeError("the next state can only be set")

    @next.setter
    def next(self, name: str) -> None:
        self._m.d.comb += [move.eq(0) for to, move in self._here.items() if to != name]
        self._m.d.comb += self._move(name).eq(1)

    def finish(self) -> None:
        """The flip-flops of all states, and what leaves the machine."""
        for name, moves in self._moves.items():
            move: Any = Const(0)
            for one in moves:
                move = move | one
            if name in self._exits:
                self._m.d.comb += self._exits[name].eq(move)
            else:
                self._m.d.sync += self._states[name].eq(move)
