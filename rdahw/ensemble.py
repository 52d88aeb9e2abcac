"""Ensembles of lookup tables: what one is, and the plain, slow rule that defines how it predicts and learns.

An **ensemble** is N tables of n inputs. Table j reads n chosen bits of the input as a number, its *index* (input i of
the table is bit i), and holds a *counter* of k bits for each index and class: a signed number that saturates.

    score(c) = sum over the tables j of counter[j, index_j, c]        prediction = the largest score, lowest c on a tie

In the counters this is a linear map over the integers, so its reverse derivative is exact: the cotangent of the scores
goes to the addressed counters and nowhere else. The error is the *margin* rule, the optimiser the saturating counter:

    rival = the largest score of all classes but the target, lowest number on a tie
    if score(target) - score(rival) <= margin:              also when the answer was right
        each addressed counter of the target goes up by one, each of the rival down by one, but never beyond k bits

With ``sign`` a counter counts as one bit, 1 where it is not negative, in the scores and so in the margin. Then the
model is a pure Boolean circuit; the update of the counters behind the bits is a *surrogate*, not a derivative.

**Dropout**: while training, a table is dropped from an example at random. A dropped table neither counts in that
example's scores nor learns from it. Predictions use all tables.

Examples are taken one at a time: a batch is one example, and every update is seen by the next one.

Randomness, all of it from the spec's seed and portable (:mod:`rdahw.random` gives ``stream`` and ``words``):

- *wiring*: see :func:`make_wiring`.
- *dropout*: a shift register of 63 bits, s(t) = s(t-63) XOR s(t-32) (x^63 + x^31 + 1, primitive, so the period is
  2^63 - 1). Written as a number, its oldest bit s(t-63) is bit 0. It starts at ``stream(seed, "dropout") >> 1`` (1 if
  that is 0) and runs on through all examples and epochs. For dropout d/2^b, b the smallest of 1, 2 and 4 that makes d
  whole, each table in order takes the next b new bits, the first least significant, and is dropped if they are below
  d. No dropout takes none, and neither do predictions.
- *augmentation* ``shift=S``: in epoch e example number i (in the order of the data set) is moved dy rows down and dx
  columns right, what leaves the image is lost and zeros come in. With M = 2S + 1 and z = word i of
  ``stream(seed, "shift", e)`` modulo M * M: dy = z div M - S, dx = z mod M - S.
- the order of the examples is :meth:`rdahw.training.Schedule.order`'s.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rdahw.data._dataset import Column
from rdahw.data._json import damaged, is_int, members
from rdahw.errors import UsageError, UserError, nearest
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.training import Schedule

__all__ = [
    "EnsembleEngine",
    "EnsembleSpec",
    "EnsembleState",
    "EnsembleTraining",
    "Image",
    "Outcome",
    "PlainEnsemble",
    "counter_shares",
    "default_margin",
    "draw_shifts",
    "find_image",
    "first_dropout_state",
    "make_wiring",
    "parse_ensemble",
    "shift_images",
    "state_from_json",
    "state_to_json",
]

Counters = NDArray[np.int8]

#: The most bytes that the counters of one model may take, one byte each.
MAX_COUNTERS = 1 << 30
_DROPOUT_STEPS = 16


class Image(NamedTuple):
    """Inputs that are pictures: wire ``(plane * height + row) * width + column``."""

    planes: int
    height: int
    width: int

    @property
    def bits(self) -> int:
        """How many wires."""
        return self.planes * self.height * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSpec:
    """All that decides what an ensemble is and how it learns, but for the data and their order.

    input_bits, classes: of the data. tables, inputs: N and n (1 to 16). counter: k (2 to 8 bits). margin: in the
    scores' unit. dropout: the part of the tables dropped, a multiple of 1/16 below 1. wiring: ``any`` (from all bits),
    ``patchP`` (from a random patch of P x P pixels, all planes) or ``patchPinsetI`` (a patch that keeps I pixels away
    from the border). image: needed for patches and shifts. shift: of the augmentation, in pixels. sign: scores of
    signs.

    Raises :class:`UsageError` for a value that cannot be.
    """

    input_bits: int
    classes: int
    tables: int = 256
    inputs: int = 6
    counter: int = 6
    margin: int = 160
    dropout: float = 0.5
    wiring: str = "any"
    image: Image | None = None
    shift: int = 0
    sign: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("input_bits", 1, 1 << 26),
            ("classes", 2, 256),
            ("tables", 1, 1 << 20),
            ("inputs", 1, 16),
            ("counter", 2, 8),
            ("margin", 0, 1 << 28),
            ("shift", 0, 8),
            ("seed", 0, (1 << 64) - 1),
        ):
            value = getattr(self, name)
            if not is_int(value) or not least <= value <= most:
                raise UsageError(f"{name} of an ensemble is {value!r}; expected a whole number from {least} to {most}")
        steps = self.dropout * _DROPOUT_STEPS
        if not (0 <= steps < _DROPOUT_STEPS and steps == int(steps)):
            raise UsageError(
                f"dropout of an ensemble is {self.dropout!r}; expected a multiple of 1/16 from 0 to 15/16, such as 0.5"
            )
        if self.image is not None and (min(self.image) < 1 or self.image.bits != self.input_bits):
            raise UsageError(f"an image of {tuple(self.image)} does not have the {self.input_bits} bits of the input")
        if self.image is None and self.shift:
            raise UsageError("the data are no images and cannot be shifted; leave --augment out")
        if np.prod(self.counters_shape, dtype=object) > MAX_COUNTERS:
            raise UsageError(
                f"{self.tables} tables of {self.inputs} inputs and {self.classes} classes hold more than "
                f"{MAX_COUNTERS} counters; lower tables or inputs"
            )
        self._patch()

    @property
    def counters_shape(self) -> tuple[int, int, int]:
        """(tables, 2^inputs, classes)."""
        return self.tables, 1 << self.inputs, self.classes

    @property
    def counter_range(self) -> tuple[int, int]:
        """The smallest and the largest value of a counter."""
        return -(1 << self.counter - 1), (1 << self.counter - 1) - 1

    @property
    def dropout_rule(self) -> tuple[int, int]:
        """(b, d): a table is dropped if its b random bits are below d; (0, 0) without dropout."""
        for b in (1, 2, 4) if self.dropout else ():
            if (d := self.dropout * (1 << b)) == int(d):
                return b, int(d)
        return 0, 0

    @property
    def parameter_bits(self) -> int:
        """How many bits the counters have."""
        return int(np.prod(self.counters_shape)) * self.counter

    def _patch(self) -> tuple[int, int] | None:
        """(side, inset) of the patches, or None; raises :class:`UsageError` for wiring that the data do not allow."""
        if self.wiring == "any":
            choice, found = self.input_bits, None
        else:
            match = re.fullmatch(r"patch(\d{1,4})(?:inset(\d{1,4}))?", self.wiring)
            if not match:
                raise UsageError(
                    f"there is no wiring {self.wiring!r}; expected any, patchP or patchPinsetI, such as "
                    "patch10 or patch8inset2"
                )
            if self.image is None:
                raise UsageError(f"wiring {self.wiring!r} is for images and the data are none; use wiring=any")
            side, inset = found = int(match[1]), int(match[2] or 0)
            if not 1 <= side <= min(self.image.height, self.image.width) - 2 * inset:
                raise UsageError(
                    f"wiring {self.wiring!r} does not fit images of {self.image.height} x {self.image.width} pixels; "
                    "lower the patch or the inset"
                )
            choice = side * side * self.image.planes
        if self.inputs > choice:
            raise UsageError(
                f"a table of {self.inputs} inputs has only {choice} bits to choose from; lower inputs"
                + (" or binarise into more planes" if found is None else " or enlarge the patch")
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is the inverse."""
        return {**asdict(self), "image": None if self.image is None else list(self.image)}

    @classmethod
    def from_json(cls, value: object) -> EnsembleSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` when anything is not as our own writer writes it."""
        names = tuple(f.name for f in fields(cls))
        given = dict(zip(names, members(value, "the ensemble", names), strict=True))
        image = given.pop("image")
        if image is not None:
            if not (isinstance(image, list) and len(image) == 3 and all(map(is_int, image))):
                raise damaged("the ensemble's 'image'", "planes, height and width, or null")
            image = Image(*image)
        for name, kind in (("dropout", float), ("wiring", str), ("sign", bool)):
            if not isinstance(given[name], kind):
                raise damaged(f"the ensemble's {name!r}", f"a {kind.__name__}")
        try:
            return cls(**given, image=image)
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


def parse_ensemble(
    text: str, input_bits: int, classes: int, image: Image | None = None, **learner: Any
) -> EnsembleSpec:
    """The spec that ``ensemble[:OPTION=VALUE,…]`` names, with the options tables, inputs and wiring.

    ``learner`` are the other fields of :class:`EnsembleSpec`. Defaults: 256 tables of 6 inputs, or of all inputs where
    these are fewer; for images the wiring ``patch8inset2`` where it fits, else ``patch8`` or ``any``; the margin of
    :func:`default_margin`. Raises :class:`UsageError` for an unknown option.
    """
    name, _, rest = text.partition(":")
    if name != "ensemble":
        raise UsageError(f"the model {text!r} is no ensemble; expected ensemble[:tables=256,inputs=6,wiring=patch8]")
    options: dict[str, Any] = {"tables": 256, "inputs": min(6, input_bits), "wiring": _default_wiring(image)}
    for word in filter(None, rest.split(",")):
        key, _, value = word.partition("=")
        if key in ("tables", "inputs") and re.fullmatch(r"\d{1,9}", value):
            options[key] = int(value)
        elif key == "wiring":
            options[key] = value
        else:
            raise UsageError(
                f"model 'ensemble' has no option {word!r}; it takes tables=NUMBER, inputs=NUMBER, "
                f"wiring=patch8; {nearest(key, ('tables', 'inputs', 'wiring'))}"
            )
    margin = default_margin(options["tables"], sign=learner.get("sign", False))
    return EnsembleSpec(input_bits=input_bits, classes=classes, image=image, **options, **{"margin": margin, **learner})


def default_margin(tables: int, *, sign: bool = False) -> int:
    """The margin of an ensemble of so many tables where none is chosen: 5/8 a table, or 1/25 with ``sign``."""
    return max(1, tables // 25 if sign else tables * 5 // 8)


def find_image(columns: Sequence[Column], image_shape: tuple[int, int] | None, input_bits: int) -> Image | None:
    """What examples of ``input_bits`` wires are as pictures, after a binariser; None where they are none.

    They are where all columns are pixels of one kind, as then each plane is an image.
    """
    if image_shape is None or {column.kind for column in columns} not in ({"number"}, {"binary"}):
        return None
    return Image(input_bits // math.prod(image_shape), *image_shape)


def _default_wiring(image: Image | None) -> str:
    side = 0 if image is None else min(image.height, image.width)
    return "patch8inset2" if side >= 16 else "patch8" if side > 8 else "any"


# -- randomness --------------------------------------------------------------------------------------------------------


def make_wiring(spec: EnsembleSpec) -> NDArray[np.int64]:
    """The input bits that each table reads, (tables, inputs); bit i of a table's index is input bit ``wiring[j, i]``.

    Table j takes words w of the stream (seed, "wiring", j). A patch of P x P pixels with inset I has its upper left
    corner at row I + w[0] mod (height - 2I - P + 1) and column I + w[1] mod (width - 2I - P + 1). Its pixels, plane by
    plane and row by row, are the candidates; for ``any`` all input bits are, in order. Candidate m has the word w[2 +
    m]; the n candidates of smallest word (the earlier one first where equal), in rising order, are inputs 0, 1, …
    """
    patch = spec._patch()
    wiring = np.empty((spec.tables, spec.inputs), np.int64)
    candidates = np.arange(spec.input_bits)
    if patch is not None:
        side, inset = patch
        assert spec.image is not None
        planes, height, width = spec.image
        plane, row, column = np.ogrid[:planes, :side, :side]
        candidates = ((plane * height + row) * width + column).reshape(-1)
    for j in range(spec.tables):
        w = words(stream(spec.seed, "wiring", j), 2 + len(candidates))
        first = 0
        if patch is not None:
            down, right = (int(w[i]) % (size - 2 * inset - side + 1) for i, size in enumerate((height, width)))
            first = (inset + down) * width + inset + right
        wiring[j] = first + candidates[np.argsort(w[2:], kind="stable")[: spec.inputs]]
    return wiring


def first_dropout_state(seed: int) -> int:
    """The state (63 bits, never 0) in which the shift register of the dropout starts."""
    return stream(seed, "dropout") >> 1 or 1


def draw_shifts(spec: EnsembleSpec, epoch: int, examples: int) -> NDArray[np.int64]:
    """How far each example is moved in ``epoch``: (examples, 2), rows down and columns right."""
    side = 2 * spec.shift + 1
    z = (words(stream(spec.seed, "shift", epoch), examples) % np.uint64(side * side)).astype(np.int64)
    return np.stack([z // side - spec.shift, z % side - spec.shift], axis=-1)


def shift_images(x: Array, image: Image, dy: int, dx: int) -> Array:
    """The examples x (N, A) moved ``dy`` rows down and ``dx`` columns right; zeros come in."""
    pictures = x.reshape(-1, *image)
    moved = np.zeros_like(pictures)
    height, width = image.height, image.width
    moved[..., max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = pictures[
        ..., max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved.reshape(x.shape)


# -- the engines -------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What training on some examples gave: predictions before each update, (n,), and whether there was one, (n,)."""

    predictions: NDArray[np.int16]
    updated: NDArray[np.bool_]


class EnsembleEngine(Protocol):
    """Something that holds the counters of an ensemble, and predicts and learns by the rule of this module."""

    spec: EnsembleSpec

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def counters(self) -> Counters:
        """A copy of the counters, (tables, 2^inputs, classes)."""

    @counters.setter
    def counters(self, value: Counters) -> None: ...

    @property
    def dropout_state(self) -> int:
        """The shift register of the dropout, 63 bits."""

    @dropout_state.setter
    def dropout_state(self, value: int) -> None: ...

    def pack(self, x: Array) -> Any:
        """Examples x (N, A) of 0 and 1 in the form that this engine wants them in."""

    def train(
        self, x: Any, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Outcome:
        """Train on the examples ``rows`` (n,) of the packed ``x`` and ``labels`` (N,), one after another, each moved by
        ``shifts`` (n, 2)."""

    def scores(self, x: Any) -> NDArray[np.int32]:
        """The scores (N, classes) of packed examples: with ``sign``, the numbers of set bits."""

    def predict(self, x: Any) -> NDArray[np.int16]:
        """The classes (N,) of packed examples."""


class PlainEnsemble:
    """The rule itself, one example after another in plain Python: slow, and the definition of every faster engine."""

    name = "reference"

    def __init__(self, spec: EnsembleSpec) -> None:
        self.spec = spec
        self.wiring = make_wiring(spec)
        self._counters: Counters = np.zeros(spec.counters_shape, np.int8)
        self.dropout_state = first_dropout_state(spec.seed)

    @property
    def counters(self) -> Counters:
        """A copy of the counters, (tables, 2^inputs, classes)."""
        return self._counters.copy()

    @counters.setter
    def counters(self, value: Counters) -> None:
        self._counters = check_counters(self.spec, value).copy()

    def pack(self, x: Array) -> Array:
        """The examples as they are."""
        return np.asarray(x, np.uint8)

    def train(
        self, x: Array, labels: NDArray[np.int64], rows: NDArray[np.int64], shifts: NDArray[np.int64] | None = None
    ) -> Outcome:
        """See :meth:`EnsembleEngine.train`."""
        low, high = self.spec.counter_range
        predictions, updated = [], []
        for i, row in enumerate(rows):
            example, target = x[row], int(labels[row])
            if shifts is not None:
                assert self.spec.image is not None
                example = shift_images(example, self.spec.image, *map(int, shifts[i]))
            kept = [j for j in range(self.spec.tables) if not self._dropped()]
            addressed = [(j, self._index(j, example)) for j in kept]
            scores = [sum(self._value(j, index, c) for j, index in addressed) for c in range(self.spec.classes)]
            rival = max((c for c in range(self.spec.classes) if c != target), key=lambda c: scores[c])
            predictions.append(scores.index(max(scores)))
            updated.append(scores[target] - scores[rival] <= self.spec.margin)
            if updated[-1]:
                for j, index in addressed:
                    self._counters[j, index, target] = min(int(self._counters[j, index, target]) + 1, high)
                    self._counters[j, index, rival] = max(int(self._counters[j, index, rival]) - 1, low)
        return Outcome(np.array(predictions, np.int16), np.array(updated, np.bool_))

    def scores(self, x: Array) -> NDArray[np.int32]:
        """See :meth:`EnsembleEngine.scores`."""
        tables, classes = range(self.spec.tables), range(self.spec.classes)
        rows = [[sum(self._value(j, self._index(j, e), c) for j in tables) for c in classes] for e in x]
        return np.array(rows, np.int32).reshape(len(x), self.spec.classes)

    def predict(self, x: Array) -> NDArray[np.int16]:
        """See :meth:`EnsembleEngine.predict`."""
        return np.asarray(self.scores(x).argmax(axis=-1), np.int16)

    def _index(self, table: int, example: Array) -> int:
        return sum(int(example[wire]) << i for i, wire in enumerate(self.wiring[table]))

    def _value(self, table: int, index: int, label: int) -> int:
        counter = int(self._counters[table, index, label])
        return int(counter >= 0) if self.spec.sign else counter

    def _dropped(self) -> bool:
        bits, below = self.spec.dropout_rule
        number = 0
        for i in range(bits):
            new = (self.dropout_state ^ self.dropout_state >> 31) & 1
            self.dropout_state = self.dropout_state >> 1 | new << 62
            number |= new << i
        return number < below


def check_counters(spec: EnsembleSpec, value: Counters) -> Counters:
    """``value`` if it is counters of ``spec``; raises :class:`UserError` for another shape or a number out of range."""
    low, high = spec.counter_range
    if value.shape != spec.counters_shape:
        raise UserError(f"counters of shape {value.shape} were given; the ensemble has {spec.counters_shape}")
    if value.size and not (low <= int(value.min()) and int(value.max()) <= high):
        raise UserError(f"a counter is outside of {low} to {high}, which is all that {spec.counter} bits hold")
    return value.astype(np.int8, copy=False)


# -- training ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleState:
    """All that is needed to go on: the counters, the dropout's shift register, and what has been done.

    position: the examples of the present epoch that are done; wrong, updates: those of them that were predicted wrongly
    (with the tables that were kept) and that changed the counters. examples: all that are done.
    """

    counters: Counters
    dropout_state: int
    epoch: int = 0
    position: int = 0
    examples: int = 0
    wrong: int = 0
    updates: int = 0


def counter_shares(spec: EnsembleSpec, counters: Counters) -> tuple[float, float]:
    """The part of all counters that are at an end of their range, and the part that are 0."""
    low, high = spec.counter_range
    return float(((counters == low) | (counters == high)).mean()), float((counters == 0).mean())


_COUNTS = ("epoch", "position", "examples", "wrong", "updates")
#: So many counters at a time are taken apart into bits, which take eight times as much memory.
_PART = 1 << 20


def counters_to_text(spec: EnsembleSpec, counters: Counters) -> str:
    """:func:`pack_counters` as base64 text."""
    return base64.b64encode(pack_counters(spec, counters)).decode()


def pack_counters(spec: EnsembleSpec, counters: Counters) -> bytes:
    """The bits of the counters, eight a byte, bit 0 first: bit b of counter (j, index, c), in two's complement, is bit
    ``((j * 2^inputs + index) * classes + c) * counter + b``.
    """
    octets = np.ascontiguousarray(counters).reshape(-1, 1).view(np.uint8)
    if spec.counter == 8:
        return octets.tobytes()
    packed = []
    for start in range(0, len(octets), _PART):
        part = octets[start : start + _PART]
        bits = np.unpackbits(part, axis=1, count=spec.counter, bitorder="little")
        packed.append(np.packbits(bits.reshape(-1), bitorder="little").tobytes())
    return b"".join(packed)


def counters_from_text(spec: EnsembleSpec, text: object) -> Counters:
    """Read :func:`counters_to_text` back. Raises :class:`UserError` for anything but the bits of the counters."""
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise damaged("the ensemble's 'counters'", "base64 text") from None
    if len(packed) != (spec.parameter_bits + 7) // 8:
        raise damaged("the ensemble's 'counters'", f"{spec.parameter_bits} bits")
    if spec.counter == 8:
        return packed.view(np.int8).reshape(spec.counters_shape)
    counters = np.empty(int(np.prod(spec.counters_shape)), np.int8)
    for start in range(0, len(counters), _PART):  # whole bytes, as it is a multiple of eight
        part = counters[start : start + _PART]
        octets = packed[start * spec.counter // 8 :]
        bits = np.unpackbits(octets[: len(part)], count=len(part) * spec.counter, bitorder="little")
        octets = np.packbits(bits.reshape(-1, spec.counter), axis=1, bitorder="little")
        # The sign bit moves to the top of its byte, and back with its copies.
        part[:] = (octets[:, 0] << 8 - spec.counter).view(np.int8) >> 8 - spec.counter
    return counters.reshape(spec.counters_shape)


def state_to_json(spec: EnsembleSpec, state: EnsembleState) -> dict[str, Any]:
    """The state as plain JSON values; :func:`state_from_json` is the inverse."""
    return {
        "counters": counters_to_text(spec, state.counters),
        "dropout_state": format(state.dropout_state, "x"),  # as text: JSON readers' numbers are narrower
        **{name: getattr(state, name) for name in _COUNTS},
    }


def state_from_json(spec: EnsembleSpec, value: object) -> EnsembleState:
    """Read :func:`state_to_json` back. Raises :class:`UserError` when anything is not as our own writer writes it."""
    text, register, *counts = members(value, "the ensemble's state", ("counters", "dropout_state", *_COUNTS))
    if not (isinstance(register, str) and re.fullmatch("[0-9a-f]{1,16}", register) and 0 < int(register, 16) < 1 << 63):
        raise damaged("the ensemble's 'dropout_state'", "a number of 63 bits, not 0, in hexadecimal")
    for name, count in zip(_COUNTS, counts, strict=True):
        if not (is_int(count) and 0 <= count < 1 << 62):
            raise damaged(f"the ensemble's {name!r}", "a count")
    return EnsembleState(counters_from_text(spec, text), int(register, 16), *counts)


@dataclass(slots=True, eq=False)
class EnsembleTraining:
    """One run of ``engine`` over examples x (N, A), 0 and 1, of classes ``labels`` (N,), from ``state`` or from zero.

    The schedule's batch is 1, and its ``updates`` are examples. Iterate over :meth:`run`: it stops for breath after
    every ``chunk`` examples and at each epoch's end, and where it stops changes nothing. Raises :class:`UserError` for
    labels that do not fit, :class:`UsageError` for another batch.
    """

    engine: EnsembleEngine
    schedule: Schedule
    x: Array
    labels: NDArray[np.int64]
    chunk: int = 4096
    state: EnsembleState | None = None
    _packed: Any = field(default=None, init=False, repr=False)
    _done: EnsembleState = field(init=False, repr=False)

    def __post_init__(self) -> None:
        spec = self.engine.spec
        if self.schedule.batch != 1:
            raise UsageError(f"batch is {self.schedule.batch}; an ensemble takes examples one at a time: use batch 1")
        if len(self.x) != len(self.labels) or not len(self.x):
            raise UserError(
                f"{len(self.x)} inputs were given with {len(self.labels)} labels; expected as many, at least one"
            )
        if self.x.shape[1:] != (spec.input_bits,):
            raise UserError(f"inputs of shape {self.x.shape} were given; expected (N, {spec.input_bits})")
        if self.labels.min() < 0 or self.labels.max() >= spec.classes:
            raise UserError(f"a label is outside of 0 to {spec.classes - 1}")
        self._done = self.state or EnsembleState(np.zeros(spec.counters_shape, np.int8), first_dropout_state(spec.seed))
        self.engine.counters = self._done.counters
        self.engine.dropout_state = self._done.dropout_state

    @property
    def total_examples(self) -> int:
        """How many examples the whole run takes, those before ``state`` included."""
        return self.schedule.total_updates(len(self.x))

    def run(self) -> Iterator[EnsembleState]:
        """Train, giving after each chunk what has been done. Its ``counters`` are those of the start: for the present
        ones
        take :meth:`checkpoint`, which copies them."""
        total, length = self.total_examples, len(self.x)
        if self._packed is None:
            self._packed = self.engine.pack(self.x)
        while self._done.examples < total:
            epoch = self._done.epoch
            order = self.schedule.order(epoch, length)
            shifts = draw_shifts(self.engine.spec, epoch, length) if self.engine.spec.shift else None
            while self._done.epoch == epoch and self._done.examples < total:
                start = self._done.position
                stop = min(start + self.chunk, length, start + total - self._done.examples)
                rows = order[start:stop]
                moved = None if shifts is None else shifts[rows]
                outcome = self.engine.train(self._packed, self.labels, rows, moved)
                done = replace(
                    self._done,
                    position=stop,
                    examples=self._done.examples + len(rows),
                    wrong=self._done.wrong + int((outcome.predictions != self.labels[rows]).sum()),
                    updates=self._done.updates + int(outcome.updated.sum()),
                )
                self._done = replace(done, epoch=epoch + 1, position=0, wrong=0, updates=0) if stop == length else done
                yield done

    def checkpoint(self) -> EnsembleState:
        """The present state, whole, with a copy of the counters: what a further run starts from."""
        return replace(self._done, counters=self.engine.counters, dropout_state=self.engine.dropout_state)
