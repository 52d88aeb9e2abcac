"""The rule of machines that learn on a stream, without a history: by *shadow machines*.

For every bit p of the tables there is a shadow machine: the tables with that bit flipped, a state of its own, and its
*evidence*, how much better than the machine it has been. For each symbol with its label, and only step 1 for a symbol
without one:

1. The machine and all shadow machines write a label and go to their next states.
2. The evidence of a shadow machine rises by 1 if its label is right and the machine's is wrong, and falls by 1, but not
   below 0, if it is the other way round.
3. If evidence has reached the level 2^(counter - 1), the lowest such bit p is flipped. The machine and all shadow
   machines take the state of the shadow machine of p, and all evidence becomes 0.

All start each sequence in state 0. With ``live`` they go on in the states in which the last sequence ended, as on one
endless stream; predictions still start in state 0.

After each sequence the machine may be settled or start again as by steps 3 and 4 of :mod:`rdahw.families.machine.rule`;
a label that was wrong when it was written is wrong, also if a bit was flipped since. The evidence of a settled machine
does not change. The numbers of ``run`` wrap, as in hardware. A start takes the bits of the tables one after the other
from the shift register ``noise``; all evidence and all states become 0.

The counter of a bit holds both the bit and its evidence: its sign is the bit, and evidence moves it towards the other
sign, from 2^(counter - 1) - 1 down if the bit is 1, and from -2^(counter - 1) up if it is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdahw.families.ensemble.spec import register_bits, register_number
from rdahw.families.layers.spec import take_bits
from rdahw.families.machine.rule import ENOUGH, MachineEngine, PlainMachine
from rdahw.families.machine.spec import SETTLED, bits_of, without_evidence

__all__ = ["WRAP", "PlainShadows", "ShadowEngine"]

#: The largest number of the field ``run``; the next one is 0.
WRAP = (1 << 31) - 1


class ShadowEngine(MachineEngine):
    """An engine that learns by the rule of this module."""

    def _restart(self) -> None:
        number, register = take_bits(register_number(self._state["noise"]), len(self._counters))
        self._run[2] &= WRAP
        self._counters[:] = without_evidence(self.spec, np.array([number >> p & 1 for p in range(len(self._counters))]))
        self._state["noise"][:] = register_bits(register)
        self._end(np.zeros(1 + len(self._counters), np.int64))

    def _begin(self) -> NDArray[np.int64]:
        """The states of the machine and its shadow machines before the next sequence."""
        if not self.spec.live:
            return np.zeros(1 + len(self._counters), np.int64)
        weights: NDArray[np.int64] = 1 << np.arange(self.spec.states)
        return self._state["now"] @ weights

    def _end(self, now: NDArray[np.int64]) -> None:
        """Keep their states after a sequence."""
        if self.spec.live:
            self._state["now"][:] = now[:, None] >> np.arange(self.spec.states) & 1


class PlainShadows(ShadowEngine, PlainMachine):
    """The rule in plain Python."""

    def learn(self, x: NDArray[np.int16], y: NDArray[np.int16]) -> NDArray[np.int16]:
        found = []
        for sequence, labels in zip(x.tolist(), y.tolist(), strict=True):
            right, since, restarts, read = map(int, self._run)
            now = self._begin().tolist()
            written, wrong = [0] * len(sequence), 0
            for t, (symbol, label) in enumerate(zip(sequence, labels, strict=True)):
                if symbol < 0:
                    break
                written[t] = self._symbol(now, symbol, label, learn=right < SETTLED and label >= 0)
                wrong |= label >= 0 and written[t] != label
            self._end(np.array(now))
            found.append(written)
            if right >= SETTLED:
                continue
            right = 0 if wrong else right + 1
            since = since + 1 & WRAP
            self._run[:] = right, since, restarts, read + 1 & WRAP
            if since >= self.spec.restart and right < ENOUGH:
                break
        return np.array(found, np.int16)

    def _symbol(self, now: list[int], symbol: int, label: int, *, learn: bool) -> int:
        """Steps 1 to 3 with the states ``now``, which change; gives the label of the machine."""
        states, size, level = self.spec.states, self.spec.size, self.spec.level
        tables: list[int] = bits_of(self._counters).tolist()
        written: list[int] = []
        for machine, state in enumerate(now):
            index = state | symbol << states
            bits = range(states + self.spec.label)
            its = sum((tables[j * size + index] ^ (machine == 1 + j * size + index)) << j for j in bits)
            now[machine] = its & (1 << states) - 1
            written.append(its >> states)
        if not learn:
            return written[0]
        evidence = []
        for p, table in enumerate(tables):
            counter = int(self._counters[p])
            before = level - 1 - counter if table else counter + level
            evidence.append(max(before + (written[1 + p] == label) - (written[0] == label), 0))
        if max(evidence) >= level:
            p = evidence.index(level)
            tables[p] = 1 - tables[p]
            now[:] = [now[1 + p]] * len(now)
            evidence = [0] * len(evidence)
        for p, (table, its_evidence) in enumerate(zip(tables, evidence, strict=True)):
            self._counters[p] = level - 1 - its_evidence if table else its_evidence - level
        return written[0]
