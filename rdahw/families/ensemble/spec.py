"""The hyperparameters of an ensemble, :class:`EnsembleSpec`, and its randomness.

All randomness comes from the spec's seed and is portable (``stream`` and ``words`` are those of :mod:`rdahw.random`):

- *wiring*: see :func:`make_wiring`; grown wiring is chosen as :mod:`rdahw.families.grown.votes` says.
- *dropout*: a shift register of 63 bits, s(t) = s(t-63) XOR s(t-32) (x^63 + x^31 + 1, primitive, so the period is
  2^63 - 1). Written as a number, its oldest bit s(t-63) is bit 0. It starts at ``stream(seed, "dropout") >> 1`` (1 if
  that is 0) and is never reset, for all examples and epochs. For dropout d/2^b, with b the smallest of 1, 2 and 4 that
  makes d whole, each table in order takes the next b new bits, the first least significant, and is dropped if their
  number is below d. Without dropout, and for predictions, no bit is taken.
- *augmentation* ``shift=S``: in epoch e example number i (in the order of the data set) is moved dy rows down and dx
  columns right; pixels that leave the image are lost and zeros come in. With M = 2S + 1 and z = word i of
  ``stream(seed, "shift", e)`` modulo M * M: dy = z div M - S, dx = z mod M - S.
- *order of the examples*: see :meth:`rdahw.training.Schedule.order`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.data import Code
from rdahw.data._json import damaged, is_int, members
from rdahw.data.images import Image, shift_images
from rdahw.errors import UsageError, UserError
from rdahw.family import Option, Spec
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.state import Field, State, state_from_json, state_to_json
from rdahw.table_scores import TableLayer, TableLearning
from rdahw.types import Bits, Words

if TYPE_CHECKING:
    from rdahw.families.grown.spec import VotesSpec
    from rdahw.learner import Learner
    from rdahw.training import Schedule

__all__ = [
    "OPTIONS",
    "EnsembleSpec",
    "draw_shifts",
    "first_dropout_state",
    "make_wiring",
    "register_bits",
    "register_number",
]

#: The most counters of one model, one byte each.
MAX_COUNTERS = 1 << 30
_DROPOUT_STEPS = 16

#: The options of the family, each a field of :class:`EnsembleSpec`.
OPTIONS = (
    Option(name="tables", default=256, range=(1, 1 << 20), help="use this many tables"),
    Option(name="inputs", usual="6, or all if there are fewer", range=(1, 16), help="let a table read this many bits"),
    Option(
        name="wiring",
        type="text",
        usual="patch8inset2 for images, else any",
        help="choose a table's inputs at random, from all bits (any), a random patch of P x P pixels (patchP), or one "
        "that keeps I pixels away from the border (patchPinsetI), or by the training examples (grown)",
    ),
    Option(
        name="copies",
        default=0,
        range=(0, 8),
        help="with grown wiring, choose the inputs also by this many shifted copies of each image",
    ),
    Option(
        name="candidates",
        usual="64",
        range=(1, 4096),
        help="with grown wiring, choose the inputs of a table from at most this many bits",
    ),
    Option(
        name="slope",
        usual="60 for images, else 200",
        range=(0, 1000),
        help="with grown wiring, add this many hundredths to the margin of growth for each table",
    ),
    Option(name="counter", default=6, range=(2, 8), help="count with this many bits"),
    Option(
        name="margin",
        usual="5/8 a table; 1/25 with sign",
        range=(0, 1 << 28),
        help="learn also from correct predictions whose lead is at most this",
        switch="margin",
    ),
    Option(
        name="dropout",
        type="fraction",
        default=0.5,
        range=(0, 15 / 16),
        help="leave out this part of the tables at random, in steps of 1/16",
        switch="dropout",
    ),
    Option(
        name="shift",
        default=0,
        range=(0, 8),
        help="move each image at random by up to this many pixels each way",
        switch="augment",
    ),
    Option(
        name="mirror",
        type="flag",
        default=False,
        help="learn each image also mirrored, left and right exchanged",
        switch="augment",
    ),
    Option(
        name="forget",
        default=0,
        range=(0, (1 << 31) - 1),
        help="halve all counters after every N examples, so that they follow a stream that changes; 0: never",
        switch="forget",
    ),
    Option(
        name="sign",
        type="flag",
        default=False,
        help="score by the counters' signs, for a circuit of 1-bit tables",
        switch="sign",
    ),
)
_DEFAULTS: dict[str, Any] = {option.name: option.default for option in OPTIONS}
#: Grown wiring takes part of its settings by whether an image has more planes than this.
_MANY_PLANES = 8
#: The wiring that the training examples choose, and the fields of a spec that only it has, with their defaults.
_GROWN = "grown"
_OF_GROWTH: dict[str, Any] = {"copies": 0, "candidates": 64, "slope": 60, "wires": ""}
#: Fields of a spec that its JSON has only where they are not 0, so that fingerprints of before they existed stay.
_ADDED = ("mirror", "forget")
#: The smallest and largest value of each whole number in a spec.
_RANGES = {
    "input_bits": (1, 1 << 26),
    "classes": (2, 65_535),
    "seed": (0, (1 << 64) - 1),
    **{option.name: option.range for option in OPTIONS if option.type == "whole"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSpec(Spec):
    """The hyperparameters of an ensemble.

    input_bits, classes: of the data. tables, inputs: N and n (1 to 16). counter: k (2 to 8 bits). margin: in the
    scores' unit. dropout: the fraction of the tables dropped, a multiple of 1/16 below 1. wiring: ``any`` (from all
    bits), ``patchP`` (from a random patch of P x P pixels, all planes) or ``patchPinsetI`` (a patch that keeps I pixels
    away from the border), or ``grown``: chosen by the training examples, see :attr:`preparation`, with the settings
    copies, candidates and slope; then wires is the chosen wiring, as base64 text of its packed numbers, or "" before it
    is chosen. image: needed for patches and shifts. shift: of the augmentation, in pixels. mirror: each image is
    learned mirrored, too. sign: score by the counters' signs. forget: the counters are halved after every so many
    examples; 0: never.

    Raises :class:`UsageError` for an invalid value.
    """

    family: ClassVar[str] = "ensemble"
    name: ClassVar[str] = "ensemble"
    code: ClassVar[Code] = "one-hot"

    input_bits: int
    classes: int
    tables: int = _DEFAULTS["tables"]
    inputs: int = 6
    counter: int = _DEFAULTS["counter"]
    margin: int = 160
    dropout: float = _DEFAULTS["dropout"]
    wiring: str = "any"
    copies: int = _DEFAULTS["copies"]
    candidates: int = 64
    slope: int = 60
    wires: str = ""
    image: Image | None = None
    shift: int = _DEFAULTS["shift"]
    mirror: bool = _DEFAULTS["mirror"]
    forget: int = _DEFAULTS["forget"]
    sign: bool = _DEFAULTS["sign"]
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
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
        if self.image is None and (self.shift or self.mirror):
            way = "shifted; use shift=0" if self.shift else "mirrored; use mirror=0"
            raise UsageError(f"the data are not images and cannot be {way}")
        if np.prod(self.counters_shape, dtype=object) > MAX_COUNTERS:
            raise UsageError(
                f"{self.tables} tables of {self.inputs} inputs and {self.classes} classes hold more than "
                f"{MAX_COUNTERS} counters; lower tables or inputs"
            )
        if self.wiring == _GROWN:
            self._growth()
            if self.wires:
                self.grown_wiring()
            return
        for name, usual in _OF_GROWTH.items():
            if (value := getattr(self, name)) != usual:
                raise UsageError(
                    f"{name} is {value}, which is for wiring=grown only; choose that wiring, or leave {name} out"
                )
        self.patch()

    @property
    def preparation(self) -> VotesSpec | None:
        """The growth of the wiring, if it is still to be chosen."""
        return self._growth() if self.wiring == _GROWN and not self.wires else None

    def prepared(self, state: State) -> EnsembleSpec:
        """With the wiring that was grown."""
        field = self._growth().wiring_field
        return replace(self, wires=state_to_json((field,), state)[field.name])

    def _growth(self) -> VotesSpec:
        """What grows the wiring: tables of votes, whose votes are not kept."""
        from rdahw.families.grown.spec import VotesSpec, patch_that_fits

        # With many planes the border matters, and random candidates suffice.
        many = self.image is not None and self.image.planes > _MANY_PLANES
        patch, inset = patch_that_fits(self.image, *((12, 0) if many else (8, 2)))
        more: dict[str, Any] = {"sample": 12000} if self.copies or many else {}
        more |= {"margin": 24, "scale": 24} if self.copies else {}
        more |= {"refinements": 0} if many else {}
        return VotesSpec(
            input_bits=self.input_bits,
            classes=self.classes,
            tables=self.tables,
            inputs=self.inputs,
            candidates=max(self.inputs, self.candidates),
            patch=patch,
            inset=inset,
            slope=self.slope,
            copies=self.copies,
            image=self.image,
            seed=self.seed,
            **more,
        )

    def grown_wiring(self) -> NDArray[np.int64]:
        """The chosen wiring, (tables, inputs); raises :class:`UsageError` before it is chosen."""
        if not self.wires:
            raise UsageError(
                "an ensemble with wiring=grown has no circuit before it is trained, as its tables choose their inputs "
                "by the data; train one with rdahw train and give its file"
            )
        field = self._growth().wiring_field
        wiring = state_from_json((field,), {field.name: self.wires}, "the ensemble's 'wires'")[field.name]
        if not 0 <= wiring.min() <= wiring.max() < self.input_bits:
            raise damaged("the ensemble's 'wires'", f"numbers from 0 to {self.input_bits - 1}")
        return wiring.astype(np.int64)

    @property
    def counters_shape(self) -> tuple[int, int, int]:
        """(tables, 2^inputs, classes)."""
        return self.tables, 1 << self.inputs, self.classes

    @property
    def counter_range(self) -> tuple[int, int]:
        """The smallest and largest value of a counter."""
        return -(1 << self.counter - 1), (1 << self.counter - 1) - 1

    @property
    def dropout_rule(self) -> tuple[int, int]:
        """(b, d): a table is dropped if its b random bits are below d; (0, 0) without dropout."""
        for b in (1, 2, 4) if self.dropout else ():
            if (d := self.dropout * (1 << b)) == int(d):
                return b, int(d)
        return 0, 0

    @property
    def loss(self) -> str:
        return f"margin={self.margin}"

    @property
    def optimiser(self) -> str:
        return f"counter={self.counter}"

    @property
    def fields(self) -> tuple[Field, ...]:
        """``counters`` (tables, 2^inputs, classes); ``dropout``, the shift register, its oldest bit first; and with
        ``forget`` a number, ``age``, the examples since the counters were last halved."""
        counters = Field("counters", Words(1, self.counter), self.counters_shape)
        age = (Field("age", Words(1, 32)),) if self.forget else ()
        return counters, Field("dropout", Bits(63)), *age

    @property
    def software_only(self) -> str:
        """The reason, for a model that forgets."""
        if not self.forget:
            return ""
        return f"forget is {self.forget}, and no trainer on an FPGA forgets; train in software, or leave forget out"

    @property
    def caution(self) -> str:
        """Whether tables wired at random read less than half of the input bits, or of the pixels."""
        if self.wiring == _GROWN:
            return ""
        # The planes of an image tell much the same of a pixel.
        what, bits = ("input bits", self.input_bits) if self.image is None else ("pixels", self.image.pixels)
        read = len(np.unique(make_wiring(self) % bits))
        if 2 * read >= bits:
            return ""
        return (
            f"the tables read {read} of {bits} {what}, and the others cannot matter; use more tables, "
            "fewer thresholds, or the model auto"
        )

    def initial_state(self) -> dict[str, NDArray[Any]]:
        register = first_dropout_state(self.seed)
        return {**super(EnsembleSpec, self).initial_state(), "dropout": register_bits(register)}

    def of_shard(self, state: State, shard: int) -> State:
        """With a dropout register of its own but for the first shard, the stream ``(register, "shard", shard)``.

        Raises :class:`UsageError` for a model that forgets: which examples are old depends on their order.
        """
        if self.forget:
            raise UsageError(f"forget is {self.forget}, and shards have no common order to forget by; leave one out")
        if not shard:
            return state
        register = stream(register_number(state["dropout"]), "shard", shard) >> 1 or 1
        return {**state, "dropout": register_bits(register)}

    def learner(self) -> Learner:
        """The learner of :func:`rdahw.families.ensemble.circuits.ensemble_learner`, without dropout and forgetting."""
        from rdahw.families.ensemble.circuits import ensemble_learner

        return ensemble_learner(self)

    def theta(self, state: State) -> Array:
        from rdahw.families.ensemble.circuits import score_bits

        counters = state["counters"].reshape(-1)
        return Words(counters.size, score_bits(self)).to_bits(counters)

    @property
    def moves_examples(self) -> bool:  # type: ignore[override]
        """Whether images are shifted."""
        return self.shift > 0

    def augment(self, x: Array, rows: NDArray[np.int64], epoch: int, examples: int) -> Array:
        """Moved images, see :func:`draw_shifts`."""
        if not self.shift:
            return x
        assert self.image is not None
        shifts, moved = draw_shifts(self, epoch, examples)[rows], x.copy()
        for dy, dx in np.unique(shifts, axis=0):
            these = np.flatnonzero((shifts == (dy, dx)).all(axis=1))
            moved[these] = shift_images(x[these], self.image, int(dy), int(dx))
        return moved

    def check_state(self, state: State) -> None:
        """Raise :class:`UserError` for a shift register of zeros, which would never change, and for an age that is not
        from 0 to ``forget``."""
        if not state["dropout"].any():
            raise damaged("the field 'dropout'", "63 bits, not all zero")
        if self.forget and not 0 <= state["age"][0] <= self.forget:
            raise damaged("the field 'age'", f"a number from 0 to {self.forget}")

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for batches: an ensemble takes examples one at a time."""
        if schedule.batch != 1:
            raise UsageError(f"batch is {schedule.batch}; an ensemble takes examples one at a time: use batch 1")

    def smaller(self, *, predicting: bool = False) -> Sequence[Iterator[tuple[str, EnsembleSpec]]]:
        image = self.image
        signs = [("train with --sign", {"sign": True})] if predicting and not self.sign else []
        halves = [self.tables >> i for i in range(1, self.tables.bit_length()) if self.tables >> i >= 16]
        ways: list[list[tuple[str, dict[str, Any]]]] = [
            signs,
            [] if image is None else [_fewer_planes(image._replace(planes=n)) for n in range(image.planes - 1, 0, -1)],
            [
                (f"lower the counters to {counter} bits (--optimiser counter={counter})", {"counter": counter})
                for counter in range(self.counter - 1, 1, -1)
            ],
            [(f"lower tables to {tables}", {"tables": tables}) for tables in halves],
            [(f"lower inputs to {inputs}", {"inputs": inputs}) for inputs in range(self.inputs - 1, 2, -1)],
        ]
        # The wiring of a smaller one would be another one.
        return [((said, replace(self, wires="", **changes)) for said, changes in way) for way in ways]

    def options(self) -> dict[str, Any]:
        names = [option.name for option in OPTIONS if self.wiring == _GROWN or option.name not in _OF_GROWTH]
        return {name: getattr(self, name) for name in names}

    def table_layers(self, state: State) -> Sequence[TableLayer]:
        """The counters of all classes, with ``sign`` a bit for each."""
        counters = state["counters"]
        return (TableLayer(make_wiring(self), counters >= 0 if self.sign else counters),)

    def table_learning(self, state: State) -> TableLearning:
        """The rule of :mod:`rdahw.families.ensemble.rule`, without shifts of images."""
        low, high = self.counter_range
        return TableLearning(
            counters=state["counters"],
            low=low,
            high=high,
            sign=self.sign,
            margin=self.margin,
            dropout=self.dropout_rule,
            register=register_number(state["dropout"]),
            first=first_dropout_state(self.seed),
            forget=self.forget,
            age=int(state["age"][0]) if self.forget else 0,
            spec=replace(self, shift=0),
        )

    def facts(self, state: State) -> dict[str, Any]:
        """The fractions of the counters that are ``saturated`` (at an end of their range) and ``zero``."""
        low, high = self.counter_range
        counters = state["counters"]
        saturated = float(((counters == low) | (counters == high)).mean())
        return {"saturated": saturated, "zero": float((counters == 0).mean())}

    def importances(self, state: State) -> NDArray[np.float64]:
        """How much the scores depend on each input bit, (input_bits,).

        The effect of a bit on a class's score is the change of a table's counter when the bit turns from 0 to 1, summed
        over all tables that read it and all indices with the bit 0. Indices whose counters are all zero, with the bit 0
        or with it 1, are left out: nothing was learned there. The result is the sum over all classes of the absolute
        effects.
        """
        counters, wiring = state["counters"], make_wiring(self)
        known = np.asarray(counters.any(axis=-1))
        values = (counters >= 0 if self.sign else counters).astype(np.int16)
        indices = np.arange(values.shape[1])
        effects = np.zeros((self.input_bits, values.shape[-1]))
        for i in range(self.inputs):
            low = indices[indices >> i & 1 == 0]
            high = low | 1 << i
            both = known[:, low] & known[:, high]
            np.add.at(effects, wiring[:, i], ((values[:, high] - values[:, low]) * both[:, :, None]).sum(axis=1))
        return np.asarray(np.abs(effects).sum(axis=1))

    @property
    def description(self) -> str:
        return (
            f"ensemble of {self.tables} x {self.inputs} tables, {self.input_bits} -> {self.classes} classes, "
            f"{math.prod(self.counters_shape)} counters of {self.counter} bits"
        )

    def patch(self) -> tuple[int, int] | None:
        """(side, inset) of the patches, or None; raises :class:`UsageError` for wiring that does not fit the data."""
        if self.wiring == "any":
            choice, found = self.input_bits, None
        else:
            match = re.fullmatch(r"patch(\d{1,4})(?:inset(\d{1,4}))?", self.wiring)
            if not match:
                raise UsageError(
                    f"there is no wiring {self.wiring!r}; expected any, patchP or patchPinsetI, such as "
                    "patch10 or patch8inset2, or grown"
                )
            if self.image is None:
                raise UsageError(f"wiring {self.wiring!r} needs images and the data are not images; use wiring=any")
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
        values = {**asdict(self), "image": None if self.image is None else list(self.image)}
        # Random wiring has its form of before there was any other, so that its fingerprints stay.
        left_out = {name for name in _ADDED if not values[name]} | (set() if self.wiring == _GROWN else {*_OF_GROWTH})
        return {name: value for name, value in values.items() if name not in left_out}

    @classmethod
    def from_json(cls, value: object) -> EnsembleSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        is_grown = isinstance(value, dict) and value.get("wiring") == _GROWN
        left_out = {name for name in _ADDED if not (isinstance(value, dict) and value.get(name))}
        left_out |= set() if is_grown else {*_OF_GROWTH}
        names = tuple(field.name for field in fields(cls) if field.name not in left_out)
        given = dict(zip(names, members(value, "the ensemble", names), strict=True))
        image = given.pop("image")
        if image is not None:
            if not (isinstance(image, list) and len(image) == 3 and all(map(is_int, image))):
                raise damaged("the ensemble's 'image'", "planes, height and width, or null")
            image = Image(*image)
        for name, kind in (("dropout", float), ("wiring", str), ("wires", str), ("sign", bool), ("mirror", bool)):
            if name in given and not isinstance(given[name], kind):
                raise damaged(f"the ensemble's {name!r}", f"a {kind.__name__}")
        try:
            return cls(**given, image=image)
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


def _fewer_planes(image: Image) -> tuple[str, dict[str, Any]]:
    said = f"binarise into {image.planes} {'plane' if image.planes == 1 else 'planes'} (--binarise threshold=K)"
    return said, {"image": image, "input_bits": image.bits}


# -- randomness --------------------------------------------------------------------------------------------------------


def make_wiring(spec: EnsembleSpec) -> NDArray[np.int64]:
    """The input bits that each table reads, (tables, inputs); bit i of a table's index is input bit ``wiring[j, i]``.

    Grown wiring is in the spec; raises :class:`UsageError` before it is chosen. Random wiring: table j takes words w of
    the stream (seed, "wiring", j). A patch of P x P pixels with inset I has its upper left corner at row I + w[0] mod
    (height - 2I - P + 1) and column I + w[1] mod (width - 2I - P + 1). Its pixels, plane by plane and row by row, are
    the candidates; for ``any`` all input bits are, in order. Candidate m has the word w[2 + m]; the n candidates of
    smallest word (the earlier one first where equal), in rising order, are inputs 0, 1, …
    """
    if spec.wiring == _GROWN:
        return spec.grown_wiring()
    patch = spec.patch()
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
    """The initial state of the dropout's shift register (63 bits, never 0)."""
    return stream(seed, "dropout") >> 1 or 1


@lru_cache(maxsize=1)  # each part of an epoch asks for it
def draw_shifts(spec: EnsembleSpec, epoch: int, examples: int) -> NDArray[np.int64]:
    """How far each example is moved in ``epoch``: (examples, 2), rows down and columns right. Do not modify it."""
    side = 2 * spec.shift + 1
    z = (words(stream(spec.seed, "shift", epoch), examples) % np.uint64(side * side)).astype(np.int64)
    return np.stack([z // side - spec.shift, z % side - spec.shift], axis=-1)


def register_bits(state: int) -> NDArray[np.uint8]:
    """The state of the dropout's shift register as bits, (63,), the oldest bit first."""
    return np.array([state >> i & 1 for i in range(63)], np.uint8)


def register_number(bits: NDArray[Any]) -> int:
    """The inverse of :func:`register_bits`."""
    return int.from_bytes(np.packbits(np.asarray(bits, np.uint8), bitorder="little").tobytes(), "little")
