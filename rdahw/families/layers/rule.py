"""The definition of a network of layers of lookup tables: the plain, slow rule by which it predicts and learns.

Table j holds a counter for each index; its bit at an index is 1 where the counter is not negative. A table's output is
its bit at the index that its inputs form, input i being bit i. Table j of the last layer votes for class j mod C:

    score(c) = the number of tables of class c in the last layer whose output is 1
    prediction = the largest score, lowest c on a tie

So a trained network is a Boolean circuit. It learns by **signed requests**: values are bits, requests for their change
are signed numbers. A table is the polynomial over its inputs that agrees with it at 0 and 1 (for two inputs t0 + (t1 -
t0) a + …), whose reverse derivative at bits is

    dt[a] = dy at the addressed index a, 0 elsewhere        dx_i = dy * (t[a with bit i set] - t[a with bit i clear])

so a request is passed on as it is, negated, or not at all, and nothing is multiplied. For an example of class y:

1. *Noise*: with ``noise`` bits the table's bits in this example are those of its counters plus its noise, the same for
   all of its indices (:mod:`rdahw.families.layers.spec`), for outputs and for the differences above.
2. *Loss*: the rival is the largest score of all classes but y, the lowest number on a tie. If score(y) - score(rival)
   is at most ``margin``, also for a correct prediction, each table of y in the last layer gets the request +1 and each
   table of the rival -1, all others 0. Else nothing changes.
3. *Backwards*: from the last layer to the first each table takes the sum of all requests for its output, limited to 16
   bits (``sum``), or the sign of the sum (``sign``), as dy, and passes dx on to what it reads.
4. *Update*: the counter at the addressed index goes up by one where dy > 0, down where dy < 0; it saturates.

In a batch the requests for each counter are added up, and counters change after the last example: up by one where the
total is positive, down where it is negative.

With ``forward=N`` step 3 is a forward gradient instead: nothing runs backwards. The tables of the last layer have the
requests of step 2. All others get theirs from N random directions. A direction has v_j = +1 or -1 for each of them, for
the bit at its addressed index; its effect is followed upwards by t_j = v_j + sum over inputs i of (t[a with bit i set]
- t[a with bit i clear]) * t of what input i reads, 0 for bits of the input and v = 0 in the last layer, limited to 16
bits. The sum s of dy * t over the last layer says how far the direction is what is asked for, and each table gets the
request s * v_j, summed over the directions: its mean over all directions is the sum that step 3 gives with ``sum``.
Frozen tables have v = 0. The signs are the next bits of the noise's register, direction by direction, for each table
below the last layer in order, 1 for +1; only an example that asks takes any.

With ``steps`` the first layer is run several times, so its tables get requests at each step: this is back-propagation
through time. Requests for tables of the step before go on to that step, those for bits of the input end. All requests
for a counter in an example are added up, as those of a batch are.

With ``xor`` requests are bits, as in the rule of the paper: 1 says «flip», and nothing says «keep», so that in step 2
only tables whose output is wrong get one; sums are XOR, and a request moves the counter towards the other bit. Then
nothing gathers evidence, and nothing learns; it is there to be compared with. The first ``frozen`` layers get no
requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.families.ensemble.spec import register_bits, register_number
from rdahw.families.layers.spec import LayersSpec, make_wiring, take_bits
from rdahw.primitives import Array
from rdahw.state import State
from rdahw.training import Batches, Examples, Outcome

__all__ = ["LIMIT", "LayersEngine", "PlainLayers", "lookup_requests"]

#: Sums of requests are limited to this, up and down.
LIMIT = (1 << 15) - 1


def lookup_requests(table: Sequence[int], inputs: Sequence[int], dy: int) -> tuple[list[int], list[int]]:
    """The requests for the bits of a ``table`` (2^k,) and for its ``inputs`` (k,), by ``dy``, that for its output: the
    reverse derivative of the table as a polynomial over the integers."""
    address = sum(bit << i for i, bit in enumerate(inputs))
    of_table = [dy * (index == address) for index in range(len(table))]
    return of_table, [dy * (table[address | 1 << i] - table[address & ~(1 << i)]) for i in range(len(inputs))]


class _Prepared(NamedTuple):
    """Packed examples and their labels."""

    x: Any
    labels: NDArray[np.int64]


class LayersEngine(ABC):
    """An engine (:class:`rdahw.training.Engine`) that predicts and learns by the rule of this module."""

    name: str
    chunk: int | None

    def __init__(self, spec: LayersSpec) -> None:
        self.spec = spec
        self.wiring = make_wiring(spec)
        self._reads = spec.reads.tolist() if spec.steps > 1 else []
        self.state = spec.initial_state()

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the state."""
        return {"counters": self._counters.copy(), "noise": register_bits(self._register)}

    @state.setter
    def state(self, value: State) -> None:
        self._counters = self.spec.parameters.check(value["counters"]).copy()
        self._register = register_number(value["noise"])

    @abstractmethod
    def pack(self, x: BitRows) -> Any:
        """Examples x (N, A) of 0 and 1 in this engine's own representation."""

    @abstractmethod
    def learn(
        self, x: Any, labels: NDArray[np.int64], rows: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Learn from the examples ``rows`` (n,) of the packed ``x`` and ``labels`` (N,), in batches that end before
        ``ends`` (U,). Returns the predictions before each update, (n,), and whether there were requests, (n,)."""

    @abstractmethod
    def scores(self, x: Any) -> NDArray[np.int64]:
        """The scores (N, classes) of packed examples, without noise."""

    def prepare(self, examples: Examples) -> _Prepared:
        """The examples, packed."""
        return _Prepared(self.pack(examples.x), examples.labels)

    def train(self, prepared: _Prepared, batches: Batches) -> Outcome:
        """Apply update after update."""
        ends = batches.ends[:1] if batches.until_change else batches.ends
        rows = batches.rows[: ends.max(initial=0)]
        predictions, asked = self.learn(prepared.x, prepared.labels, rows, ends)
        wrong = predictions != prepared.labels[rows]
        wrong, changed = (np.diff(np.cumsum(np.r_[0, counted])[np.r_[0, ends]]) for counted in (wrong, asked))
        return Outcome(wrong, changed, predictions)

    def class_scores(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The scores (N, classes)."""
        return self.scores(prepared.x)

    def predict(self, prepared: _Prepared) -> NDArray[np.int64]:
        """The classes (N,)."""
        return np.asarray(self.scores(prepared.x).argmax(axis=1), np.int64)


class PlainLayers(LayersEngine):
    """The rule in plain Python: slow, and the definition that every faster engine is tested against."""

    name = "reference"
    chunk = 16

    def pack(self, x: BitRows) -> Array:
        return np.asarray(x, np.uint8)

    def learn(
        self, x: Array, labels: NDArray[np.int64], rows: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        predictions, asked = [], []
        for batch in np.split(rows, ends[:-1]):
            totals: Counter[int] = Counter()
            for row in batch:
                scores, asks = self._requests(x[row], int(labels[row]), totals)
                predictions.append(scores.index(max(scores)))
                asked.append(asks)
            for cell, total in totals.items():
                self._counters[cell] = self._counted(int(self._counters[cell]), total)
        return np.array(predictions, np.int64), np.array(asked, np.int64)

    def _requests(self, example: Array, target: int, totals: Counter[int]) -> tuple[list[int], bool]:
        """Add an example's requests to ``totals``, by the number of the counter; gives the scores, and whether there
        were any."""
        noise = [self._noise() for _ in range(self.spec.tables)]
        values = self._values(example, noise)
        scores = self._scores(values[-1])
        rival = max((c for c in range(self.spec.classes) if c != target), key=lambda c: scores[c])
        if scores[target] - scores[rival] > self.spec.margin:
            return scores, False
        wanted = {target: 1, rival: -1}
        requests = [wanted.get(j % self.spec.classes, 0) for j in range(self.spec.sizes[-1][0])]
        if self.spec.cotangents == "xor":  # nothing can ask a bit to stay
            requests = [dy * ((dy > 0) != bit) for dy, bit in zip(requests, values[-1], strict=True)]
        if self.spec.forward:
            found = self._forward_requests(values, noise, requests)
        runs, starts = self.spec.runs, self.spec.starts
        for run in reversed(range(runs.index(self.spec.frozen), len(runs))):
            layer = runs[run]
            if self.spec.forward:
                requests = found[starts[run] : starts[run + 1]]
            below = [0] * len(values[run])
            tables = self.spec.layer_cells(self._counters, layer)
            for j, dy in enumerate(map(self._passed, requests)):
                wires = self.wiring[layer][j].tolist()
                inputs = [values[run][wire] for wire in wires]
                shift = noise[starts[run] + j]
                bits = [int(counter + shift >= 0) for counter in tables[j].tolist()]
                of_table, of_inputs = lookup_requests(bits, inputs, dy)
                for wire, request in zip(wires, of_inputs, strict=True):
                    below[wire] += request
                for cell, request in enumerate(of_table, self.spec.cells[layer] + j * len(of_table)):
                    totals[cell] += request
            requests = below[len(below) - (self.spec.sizes[runs[run - 1]][0] if run else 0) :]
        return scores, True

    def _forward_requests(self, values: list[list[int]], noise: list[int], wanted: list[int]) -> list[int]:
        """The request for each table (tables,), from random directions; ``wanted``: those for the last layer."""
        below, found = self.spec.starts[-2], [0] * self.spec.starts[-2]
        for _ in range(self.spec.forward):
            signs, tangents = [0] * self.spec.tables, [0] * self.spec.input_bits
            for j in range(below):
                bit, self._register = take_bits(self._register, 1)
                signs[j] = (2 * bit - 1) * (j >= self.spec.starts[self.spec.frozen])
            for layer, wiring in enumerate(self.wiring):
                tables, start, outputs = self.spec.layer_cells(self._counters, layer), self.spec.starts[layer], []
                for j, wires in enumerate(wiring.tolist()):
                    bits = [int(counter + noise[start + j] >= 0) for counter in tables[j].tolist()]
                    _, changes = lookup_requests(bits, [values[layer][wire] for wire in wires], 1)
                    tangent = signs[start + j] + sum(c * tangents[wire] for c, wire in zip(changes, wires, strict=True))
                    outputs.append(max(-LIMIT, min(LIMIT, tangent)))
                tangents = outputs
            along = sum(dy * tangent for dy, tangent in zip(wanted, tangents, strict=True))
            found = [total + along * sign for total, sign in zip(found, signs, strict=False)]
        return found + wanted

    def _noise(self) -> int:
        """The noise of the next table."""
        if not self.spec.noise:
            return 0
        number, self._register = take_bits(self._register, self.spec.noise)
        return number - (1 << self.spec.noise - 1)

    def _passed(self, total: int) -> int:
        """The request that a table takes, from the sum of those for its output."""
        if self.spec.cotangents == "xor":
            return total & 1
        dy = max(-LIMIT, min(LIMIT, total))
        return dy if self.spec.cotangents == "sum" else (dy > 0) - (dy < 0)

    def _counted(self, counter: int, request: int) -> int:
        """A counter after the requests for its bit."""
        if self.spec.cotangents == "xor":
            request = (request & 1) * (-1 if counter >= 0 else 1)
        low, high = self.spec.counter_range
        return max(low, min(high, counter + (request > 0) - (request < 0)))

    def _values(self, example: Array, noise: Sequence[int] | None = None) -> list[list[int]]:
        """The bits that each layer reads when it is run, and those that the last one gives: (runs + 1), each a list."""
        values, outputs = [], example.tolist()
        recurrent, states = self.spec.steps > 1, [0] * self.spec.sizes[0][0]
        for run, layer in enumerate(self.spec.runs):
            if recurrent and layer == 0:
                known = [*example.tolist(), *(outputs if run else states), 0]
                outputs = [known[number] for number in self._reads[run]]
            values.append(outputs)
            tables, start = self.spec.layer_cells(self._counters, layer), self.spec.starts[run]
            outputs = []
            for j, wires in enumerate(self.wiring[layer].tolist()):
                index = sum(values[-1][wire] << i for i, wire in enumerate(wires))
                outputs.append(int(int(tables[j, index]) + (noise[start + j] if noise else 0) >= 0))
        return [*values, outputs]

    def _scores(self, outputs: list[int]) -> list[int]:
        return [sum(outputs[c :: self.spec.classes]) for c in range(self.spec.classes)]

    def scores(self, x: Array) -> NDArray[np.int64]:
        found = [self._scores(self._values(example)[-1]) for example in x]
        return np.array(found, np.int64).reshape(len(x), self.spec.classes)
