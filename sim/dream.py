"""Dreaming: the input of a trained model is learned instead of its parameters, by reverse derivative ascent.

The parameters are held, and the request for the input, ``π_A R[f](θ, x, dy)``, says which of its bits to change so that
the model predicts a wanted class. Of a circuit of bits it is that of the paper (Wilson and Zanasi, *Reverse derivative
ascent*, arXiv 2101.10488): x' = x ⊕ π_A R[f]. Of tables in layers it is a signed number for each bit, the differences
of table entries (:mod:`rdahw.table_scores`). Of a linear model it is the difference of the scores.

A step changes one column of the input to another of its values, so that the input stays one that data can have: the
change is taken whose request is largest, among those for which the model itself then says that it is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data import Code, encode
from rdahw.data.inputs import Choice, free_bits
from rdahw.derivative import reverse
from rdahw.family import Spec
from rdahw.folding import simplify
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.sim.reference import Reference
from rdahw.state import State
from rdahw.table_scores import TableScores
from rdahw.transform import bind
from rdahw.types import Words

__all__ = ["CircuitScores", "Dream", "Scores", "dream", "find_flip", "make_scores", "start"]

#: So many changes are tried in a step, those with the largest requests.
_TRIED = 16

#: A search for a flip tries so many random inputs, then dreams of so many classes in so many steps each.
_RANDOM, _CLASSES, _STEPS = 64, 8, 50


class Scores(Protocol):
    """A trained model that says how good each class is for an input."""

    def scores(self, x: Array) -> NDArray[np.int64]:
        """For each class a number (N, classes), the larger the better, for examples x (N, A)."""

    def classify(self, scores: NDArray[np.int64]) -> NDArray[np.int64]:
        """The predictions (N,), -1 for none, from the scores (N, classes)."""

    def request(self, x: Array, dy: NDArray[np.int64]) -> NDArray[np.int64]:
        """The reverse derivative by the bits x (A,), (A,), for cotangents dy (classes,) of the scores."""


@dataclass(frozen=True, eq=False)
class CircuitScores:
    """The scores of a circuit ``x ↦ y`` whose output is a word for each class, or the code of a class. Then the score
    of a class is minus the number of bits that differ from its code."""

    circuit: Circuit
    classes: int
    code: Code

    def scores(self, x: Array) -> NDArray[np.int64]:
        """See :class:`Scores`."""
        (y,) = self._run(x)
        y = np.broadcast_to(y, (len(x), y.shape[-1]))
        type_ = self.circuit.output_types[0]
        if isinstance(type_, Words):
            return type_.to_integers(y)
        differ: NDArray[np.int64] = (y[:, None] ^ self._codes).sum(axis=2, dtype=np.int64)
        return -differ

    def classify(self, scores: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Scores`."""
        found = scores.argmax(axis=1)
        is_class = isinstance(self.circuit.output_types[0], Words) | (scores.max(axis=1) == 0)
        return np.where(is_class, found, -1)

    def request(self, x: Array, dy: NDArray[np.int64]) -> NDArray[np.int64]:
        """See :class:`Scores`; of bits those to flip, as 1 or -1, and for words the differences of the scores."""
        signs = 1 - 2 * x.astype(np.int64)
        if isinstance(self.circuit.output_types[0], Words):
            here, there = self.scores(x[None]), self.scores(x ^ np.eye(len(x), dtype=np.uint8))
            return ((there - here) @ dy) * signs
        (y,) = self._run(x)
        (change,) = self._pull_back(x, y ^ self._codes[dy.argmax()])
        return change * signs

    @cached_property
    def _run(self) -> Reference:
        return Reference(self.circuit)

    @cached_property
    def _codes(self) -> Array:
        return encode(np.arange(self.classes), self.classes, self.code)

    @cached_property
    def _pull_back(self) -> Reference:
        return Reference(simplify(reverse(self.circuit)))


def make_scores(spec: Spec, state: State) -> Scores:
    """The scores of a model at ``state``; raises :class:`UsageError` for one that is too large for a circuit."""
    if layers := spec.table_layers(state):
        return TableScores(layers, spec.input_bits)
    circuit = spec.learner().model.circuit
    bound = bind(circuit, **{circuit.input_names[0]: spec.theta(state).tolist()})
    return CircuitScores(bound, spec.classes, spec.code)


@dataclass(frozen=True, slots=True, eq=False)
class Dream:
    """An input that was learned.

    x (A,): its bits. predicted: the class of the largest score there, -1 for none. margin: the score of the wanted
    class less the largest other one. changes: the steps in which the input changed.
    """

    x: Array
    predicted: int
    margin: int
    changes: int


@dataclass(frozen=True, slots=True, eq=False)
class _Moves:
    """All changes of a column to another of its patterns; move m sets the wires from ``first[m]`` on to the bits."""

    wires: NDArray[np.int64]
    bits: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, options: Sequence[Choice]) -> _Moves:
        wires = [np.tile(option.wires, len(option.patterns)) for option in options]
        bits = [option.patterns.reshape(-1) for option in options]
        sizes = np.concatenate([np.full(len(option.patterns), len(option.wires)) for option in options])
        first = np.concatenate([[0], np.cumsum(sizes)])
        return cls(np.concatenate(wires), np.concatenate(bits).astype(np.int64), first)

    def gains(self, x: Array, request: NDArray[np.int64]) -> NDArray[np.int64]:
        """How much each move would gain, to first order."""
        each = (self.bits - x[self.wires]) * request[self.wires]
        gains: NDArray[np.int64] = np.add.reduceat(each, self.first[:-1])
        return gains

    def apply(self, x: Array, move: int) -> Array:
        part = slice(int(self.first[move]), int(self.first[move + 1]))
        changed = x.copy()
        changed[self.wires[part]] = self.bits[part]
        return changed


def dream(
    model: Scores, options: Sequence[Choice], x: Array, wanted: int, *, steps: int, seed: int = 0
) -> Iterator[Dream]:
    """Learn an input of class ``wanted``, starting from x (A,): what is best so far, after each of at most ``steps``
    steps. It ends where no change is better and the class is reached.

    options: the values of each column. A step that finds nothing better before that makes a random change, from the
    stream (seed, "dream"), and goes on from there.
    """
    moves = _Moves.of(options)
    rng = words(stream(seed, "dream"), steps)
    (here,) = _judged(model, x[None], wanted)
    best = here, Dream(x, here.predicted, here.margin, 0)
    yield best[1]
    for step in range(1, steps + 1):
        gains = moves.gains(x, model.request(x, _cotangent(model.scores(x[None])[0], wanted)))
        order = np.argsort(-gains, kind="stable")[:_TRIED]
        tried = [moves.apply(x, int(move)) for move in order if gains[move] > 0]
        judged = _judged(model, np.array(tried), wanted) if tried else []
        top = max(judged, default=here)
        if top > here:
            x, here = tried[judged.index(top)], top
        elif best[1].predicted == wanted:
            return
        else:
            x = moves.apply(x, int(rng[step - 1] % np.uint64(len(gains))))
            (here,) = _judged(model, x[None], wanted)
        if here > best[0]:
            best = here, Dream(x, here.predicted, here.margin, step)
        yield best[1]


class _Worth(NamedTuple):
    """How good an input is: first the margin, then all scores."""

    margin: int
    spread: int
    predicted: int


def _judged(model: Scores, x: Array, wanted: int) -> list[_Worth]:
    """The worth of examples x (N, A)."""
    scores = model.scores(x)
    others = np.delete(scores, wanted, axis=1)
    margin = scores[:, wanted] - others.max(axis=1)
    spread = others.shape[1] * scores[:, wanted] - others.sum(axis=1)
    return [_Worth(*row) for row in zip(margin.tolist(), spread.tolist(), model.classify(scores).tolist(), strict=True)]


def _cotangent(scores: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """-1 for each of the largest other scores, and for the wanted class their number."""
    others = np.where(np.arange(len(scores)) == wanted, np.iinfo(np.int64).min, scores)
    dy: NDArray[np.int64] = -(others == others.max()).astype(np.int64)
    dy[wanted] = -dy.sum()
    return dy


def start(options: Sequence[Choice], width: int, seed: int | None = None) -> Array:
    """An input (width,) to start from: the first value of each column, or with a ``seed`` random ones."""
    x = np.zeros(width, np.uint8)
    rng = words(stream(seed, "dream start"), len(options)) if seed is not None else np.zeros(len(options), np.uint64)
    for option, number in zip(options, rng.tolist(), strict=True):
        x[option.wires] = option.patterns[number % len(option.patterns)]
    return x


def find_flip(make: Callable[[], Scores], circuit: Circuit) -> tuple[Array, int] | None:
    """An input (A,) of ``circuit``, the predictor of the model that ``make`` makes, and the bit of it that changes the
    output; None if the search finds none.

    Half the bits between two inputs that differ in their outputs are changed until one bit is left. One is all zeros;
    the other is random, or, if none of those differs, dreamt of as another class, each bit by itself.
    """
    width = circuit.input_types[0].width
    run, zeros = Reference(circuit), np.zeros(width, np.uint8)
    here = run(zeros)[0]
    number = words(stream(0, "dream flip"), _RANDOM * width) >> np.uint64(63)
    random = number.astype(np.uint8).reshape(_RANDOM, width)
    differ = np.broadcast_to((run(random)[0] != here).any(axis=-1), _RANDOM)
    if differ.any():
        return _boundary(run, zeros, random[differ.argmax()])
    model = make()
    scores = model.scores(zeros[None])
    order = [c for c in np.argsort(-scores[0], kind="stable").tolist() if c != model.classify(scores)[0]]
    for wanted in order[:_CLASSES]:
        for found in dream(model, free_bits(width), zeros, wanted, steps=_STEPS):
            if (run(found.x)[0] != here).any():
                return _boundary(run, zeros, found.x)
    return None


def _boundary(run: Reference, a: Array, b: Array) -> tuple[Array, int]:
    """An input between two (A,) whose outputs differ, and the bit of it that changes the output."""
    here = run(a)[0]
    while (apart := np.flatnonzero(a != b)).size > 1:
        middle = a.copy()
        half = apart[: apart.size // 2]
        middle[half] = b[half]
        if (run(middle)[0] != here).any():
            b = middle
        else:
            a = middle
    return a, int(apart[0])
