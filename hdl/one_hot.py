"""State machines with one flip-flop for each state.

Amaranth encodes the states of its own machines in binary, and Yosys keeps that, as they have an initial value. With
thirty states, decoding takes two levels of look-up tables in front of everything that a state does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.hdl import Const, Module, Signal  # type: ignore[import-untyped]

__all__ = ["OneHot"]


class OneHot:
    """A state machine in the domain ``sync``, written as those of Amaranth: ``with machine.state(NAME):`` contains
    what is done in a state, ``machine.next = NAME`` in it goes to another, and the last one that applies wins.

    first: the state after a reset, and after any other state in which ``restart`` is high. :meth:`finish` has to be
    called when all states are described.

    Several machines can take turns: at any time at most one is in a state, and an :meth:`exit` of one leads to an
    :meth:`enter` of another. A machine whose ``first`` is ``None`` is in no state after a reset.
    """

    def __init__(self, m: Module, first: str | None, *, restart: Any = None) -> None:
        self._m, self._first, self._restart = m, first, restart
        self._states: dict[str, Any] = {}
        self._exits: dict[str, Any] = {}
        self._moves: dict[str, list[Any]] = {}
        self._here: dict[str, Any] = {}

    def enter(self, name: str, when: Any) -> None:
        """Go to this state after a cycle in which ``when`` is high; the machine must be in no state then."""
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
            if self._restart is not None and self._first is not None and name != self._first:
                with self._m.If(self._restart):
                    self.next = self._first

    def wait(self, name: str, following: str) -> None:
        """A state of one cycle in which nothing is done, for registers to settle."""
        with self.state(name):
            self.next = following

    @property
    def next(self) -> str:
        """The state of the next cycle; it can only be set."""
        raise AttributeError("the next state can only be set")

    @next.setter
    def next(self, name: str) -> None:
        self._m.d.comb += [move.eq(0) for to, move in self._here.items() if to != name]
        self._m.d.comb += self._move(name).eq(1)

    def finish(self) -> None:
        """Make the flip-flops of the states and drive the exits."""
        for name, moves in self._moves.items():
            move: Any = Const(0)
            for one in moves:
                move = move | one
            if name in self._exits:
                self._m.d.comb += self._exits[name].eq(move)
            else:
                self._m.d.sync += self._states[name].eq(move)
