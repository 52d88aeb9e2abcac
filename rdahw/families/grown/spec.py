"""What a grown model is, and its random choices: candidates, samples and shifted copies of images.

A **grown model** is N lookup tables of n inputs, each with one output bit, and table j votes for class j mod C:

    score(c) = the number of tables of class c whose bit is 1        prediction = the largest score, lowest c on a tie

So it is a pure Boolean circuit. Tables are grown in the order of their numbers; the tables m * C .. m * C + C - 1 are
*round* m. :mod:`rdahw.families.grown.rule` says how.

Randomness, all of it from the spec's seed and portable (:mod:`rdahw.random` gives ``stream`` and ``words``):

- *candidates* of a table: see :func:`candidates`.
- *sample* of the examples that a table is fitted on: see :func:`sample`.
- *copies* of images: see :func:`copy_shifts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import BitRows
from rdahw.data import Code
from rdahw.data._json import damaged, is_int, members
from rdahw.data.images import Image, shift_images
from rdahw.errors import UsageError, UserError
from rdahw.family import Option, Spec
from rdahw.primitives import Array
from rdahw.random import stream, words
from rdahw.state import Field, State
from rdahw.table_scores import TableLayer, votes_in_turn
from rdahw.types import Bits, Type, Words
from rdahw.wording import plural

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.learner import Learner
    from rdahw.training import Schedule

__all__ = [
    "OPTIONS",
    "RANGES",
    "GrownSpec",
    "VotesSpec",
    "candidates",
    "check_data",
    "copy_shifts",
    "draw",
    "patch_that_fits",
    "sample",
    "shifted",
    "typical_wiring",
    "with_copies",
]

#: The least and the most of each whole number of a spec.
RANGES = {
    "input_bits": (1, 1 << 26),
    "classes": (2, 32_768),
    "tables": (1, 1 << 15),
    "inputs": (1, 8),
    "candidates": (1, 4096),
    "patch": (0, 4096),
    "inset": (0, 4096),
    "sample": (1, 1 << 16),
    "slope": (0, 1000),
    "margin": (0, 1 << 20),
    "counter": (2, 8),
    "scale": (1, 127),
    "refinements": (0, 64),
    "copies": (0, 8),
    "seed": (0, (1 << 64) - 1),
}


#: The options of the family, each a field of :class:`GrownSpec`.
OPTIONS = (
    Option(
        name="tables",
        usual="1000, or the next multiple of the number of classes",
        range=RANGES["tables"],
        help="grow this many tables, best a multiple of the number of classes",
    ),
    Option(
        name="inputs", usual="6, or all if there are fewer", range=RANGES["inputs"], help="read this many bits each"
    ),
    Option(
        name="candidates",
        default=144,
        range=RANGES["candidates"],
        help="choose the inputs of a table from at most this many bits",
    ),
    Option(
        name="patch",
        usual="12 for images, 10 with copies, 0 where it does not fit",
        range=RANGES["patch"],
        help="choose them from a random patch of this many pixels a side, 0 from the whole image",
    ),
    Option(
        name="inset",
        usual="2 for images, 0 where it does not fit",
        range=RANGES["inset"],
        help="keep the patch this many pixels away from the border",
    ),
    Option(
        name="sample",
        usual="8000; 16000 with copies",
        range=RANGES["sample"],
        help="choose them by at most this many examples",
    ),
    Option(
        name="margin",
        default=1,
        range=RANGES["margin"],
        help="in the first round learn from answers whose lead is at most this",
    ),
    Option(
        name="slope",
        usual="17; 10 with copies",
        range=RANGES["slope"],
        help="add this many hundredths to the margin each round",
    ),
    Option(name="refinements", default=12, range=RANGES["refinements"], help="look at so many inputs again"),
    Option(name="copies", default=0, range=RANGES["copies"], help="add this many shifted copies of each image"),
    Option(
        name="mirror",
        type="flag",
        default=False,
        help="learn each image also mirrored, left and right exchanged",
        switch="augment",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownSpec(Spec):
    """All that decides what a grown model is and how it grows, but for the data.

    input_bits, classes: of the data. tables, inputs: N and n. candidates: the most bits that a table chooses its inputs
    from. patch, inset: for images the candidates of a table are in a random patch of so many pixels a side, inset
    pixels away from the border; 0 is the whole image. sample: the most examples that choose the inputs of a table.
    margin, slope: in round m an example asks while a rival is not more than margin + (m * slope) div 100 behind.
    refinements: how many inputs are looked at again. copies: shifted copies of each image that are added to the data.
    mirror: each image is learned mirrored, too.

    Raises :class:`UsageError` for a value that cannot be.
    """

    family: ClassVar[str] = "grown"
    code: ClassVar[Code] = "one-hot"
    update_unit: ClassVar[str] = "rounds"  # type: ignore[misc]

    input_bits: int
    classes: int
    tables: int = 1000
    inputs: int = 6
    candidates: int = 144
    patch: int = 0
    inset: int = 0
    sample: int = 8000
    margin: int = 1
    slope: int = 17
    refinements: int = 12
    copies: int = 0
    mirror: bool = False
    image: Image | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name, least)
            if not is_int(value) or not least <= value <= most:
                raise UsageError(
                    f"{name} of a grown model is {value!r}; expected a whole number from {least} to {most}"
                )
        if self.image is None and (self.patch or self.inset or self.copies):
            raise UsageError("patch, inset and copies of a grown model are for images and the data are none; use 0")
        if self.image is None and self.mirror:
            raise UsageError("the data are not images and cannot be mirrored; use mirror=0")
        if self.image is not None:
            if min(self.image) < 1 or self.image.bits != self.input_bits:
                raise UsageError(
                    f"an image of {tuple(self.image)} does not have the {self.input_bits} bits of the input"
                )
            if min(self.window) < 1:
                raise UsageError(
                    f"a patch of {self.patch} pixels with an inset of {self.inset} does not fit images of "
                    f"{self.image.height} x {self.image.width} pixels; lower the patch or the inset"
                )
        if self.inputs > min(self.candidates, self.choice):
            more = (
                "candidates" if self.candidates < self.choice else "the patch" if self.choice < self.input_bits else ""
            )
            raise UsageError(
                f"a table of {self.inputs} inputs has only {min(self.candidates, self.choice)} bits to choose from; "
                f"lower inputs, or {f'enlarge {more}' if more else 'use more thresholds (--binarise)'}"
            )

    @property
    def name(self) -> str:
        """«grown:tables=1000,inputs=6»."""
        return f"grown:tables={self.tables},inputs={self.inputs}"

    @property
    def description(self) -> str:
        """«1000 grown tables of 6 inputs, 784 -> 10 classes»."""
        tables, inputs = plural(self.tables, "grown table"), plural(self.inputs, "input")
        return f"{tables} of {inputs}, {self.input_bits} -> {self.classes} classes"

    @property
    def loss(self) -> str:
        """``margin=T``, of the first round."""
        return f"margin={self.margin}"

    @property
    def optimiser(self) -> str:
        """``growth=N``, the number of tables."""
        return f"growth={self.tables}"

    @property
    def caution(self) -> str:
        """Whether there are classes without a table, which never win."""
        if self.tables >= self.round_tables:
            return ""
        return (
            f"{plural(self.tables, 'table')} for {self.classes} classes: a class without a table is never predicted; "
            f"grow {self.round_tables} tables or more"
        )

    def options(self) -> dict[str, Any]:
        """The value of each option of the family."""
        return {option.name: getattr(self, option.name) for option in OPTIONS}

    @property
    def round_tables(self) -> int:
        """How many tables a round has."""
        return self.classes

    @property
    def rounds(self) -> int:
        """In how many rounds the tables are grown; each is an update by all examples."""
        return -(-self.tables // self.round_tables)

    @property
    def fields(self) -> tuple[Field, ...]:
        """``tables`` (tables, 2^inputs), the bit at each index; ``wiring`` (tables, inputs), the input bits that they
        read; ``grown`` (1,), how many there are so far. What is not grown is 0, so that it votes for no class, and the
        first tables of a model are its tables with zeros for the others."""
        return (
            Field("tables", self._held, self.tables_shape),
            self.wiring_field,
            Field("grown", Words(1, RANGES["tables"][1].bit_length() + 1)),
        )

    @property
    def wiring_field(self) -> Field:
        """``wiring``, see :attr:`fields`."""
        return Field("wiring", Words(1, self.input_bits.bit_length() + 1), (self.tables, self.inputs))

    def check_state(self, state: State) -> None:
        """Raise :class:`UserError` for wires that are not there, and for tables that are not grown and hold bits."""
        wiring, grown = state["wiring"], int(state["grown"][0])
        if not 0 <= wiring.min() <= wiring.max() < self.input_bits:
            raise damaged("the field 'wiring'", f"numbers from 0 to {self.input_bits - 1}")
        if not 0 <= grown <= self.tables:
            raise damaged("the field 'grown'", f"a number from 0 to {self.tables}")
        if state["tables"][grown:].any():
            raise damaged("the field 'tables'", "zeros for tables that are not grown")

    def typical_state(self) -> State:
        """With drawn inputs, and all tables grown."""
        wiring = self.wiring_field.saturated(typical_wiring(self.tables, self.inputs, self.input_bits))
        return {**Spec.typical_state(self), "wiring": wiring, "grown": np.array([self.tables])}

    def schedule(self, examples: int) -> Mapping[str, Any]:
        """An update is a round, by all examples."""
        return {"batch": examples, "epochs": self.rounds, "shuffle": False}

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for batches that are not all examples, in their order, or too many epochs."""
        if examples is not None and schedule.batch < examples:
            raise UsageError(
                f"batch is {schedule.batch}; a grown model learns from all {examples} examples at once: leave it out"
            )
        if schedule.shuffle or schedule.stride != 1:
            raise UsageError("a grown model takes the examples in their order; leave out shuffling and stride")
        if schedule.epochs > self.rounds:
            raise UsageError(
                f"epochs is {schedule.epochs}; {self.tables} tables of {self.classes} classes are grown in "
                f"{self.rounds} rounds, each of them an epoch: lower it, or grow more tables"
            )

    def learner(self) -> Learner:
        """Raises :class:`UsageError`: there is no circuit before the inputs are chosen; see :meth:`trained`."""
        raise UsageError(
            f"model {self.name!r} has no circuit before it is trained, as its tables choose their inputs by the data; "
            "train it in software (without --hdl and --device) and give its file to the other commands, "
            "to rdahw synth with --inference"
        )

    def trained(self, state: State) -> tuple[Spec, State]:
        """The circuit with the wiring that was grown, whose parameters are the bits of the tables."""
        from rdahw.families.grown.circuits import trained

        return trained(self, state)

    def lut_circuit(self, state: State) -> Circuit:
        """See :func:`rdahw.families.grown.circuits.grown_lut_circuit`."""
        from rdahw.families.grown.circuits import grown_lut_circuit
        from rdahw.families.grown.rule import GrownState

        tables, grown = state["tables"].astype(np.int8), int(state["grown"][0])
        return grown_lut_circuit(self, GrownState(state["wiring"].astype(np.int32), tables, grown))

    def table_layers(self, state: State) -> Sequence[TableLayer]:
        """The bits of the tables, which vote for the classes in turn."""
        return (TableLayer(state["wiring"].astype(np.int64), votes_in_turn(state["tables"], self.classes)),)

    def facts(self, state: State) -> dict[str, Any]:
        """``voting_tables``, how many tables ever vote, and ``read_bits``, how many input bits they read."""
        voting = np.flatnonzero(state["tables"][: int(state["grown"][0])].any(axis=1))
        return {"voting_tables": len(voting), "read_bits": len(np.unique(state["wiring"][voting]))}

    def importances(self, state: State) -> NDArray[np.float64]:
        """How much the predictions depend on each input bit, (input_bits,): the sum, over the tables that read it, of
        the part of their indices at which the bit changes theirs."""
        tables, wiring, indices = state["tables"], state["wiring"], np.arange(1 << self.inputs)
        found = np.zeros(self.input_bits)
        for i in range(self.inputs):
            low = indices[indices >> i & 1 == 0]
            np.add.at(found, wiring[:, i], (tables[:, low] != tables[:, low | 1 << i]).mean(axis=1))
        return found

    @property
    def window(self) -> tuple[int, int]:
        """How many places, down and right, a patch of an image has."""
        assert self.image is not None
        free = [size - 2 * self.inset for size in (self.image.height, self.image.width)]
        return free[0] - (self.patch or max(free[0], 1)) + 1, free[1] - (self.patch or max(free[1], 1)) + 1

    @property
    def choice(self) -> int:
        """How many input bits the candidates of a table are drawn from."""
        if self.image is None:
            return self.input_bits
        free = [self.patch or size - 2 * self.inset for size in (self.image.height, self.image.width)]
        return self.image.planes * free[0] * free[1]

    @property
    def tables_shape(self) -> tuple[int, ...]:
        """The shape of what the tables hold: (tables, 2^inputs)."""
        return self.tables, 1 << self.inputs

    @property
    def _held(self) -> Type:
        """The type of a value that tables hold."""
        return Bits(1)

    @property
    def value_range(self) -> tuple[int, int]:
        """The smallest and the largest value that a table may hold."""
        return 0, 1

    def threshold(self, table: int) -> int:
        """How far ahead of a rival an example must be at most, to ask in the round of table number ``table``."""
        return self.margin + table // self.classes * self.slope // 100

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "mirror" or self.mirror}
        return {**values, "image": None if self.image is None else list(self.image)}

    @classmethod
    def from_json(cls, value: object) -> GrownSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        is_new = isinstance(value, dict) and "mirror" in value  # which models of before do not have
        names = tuple(field.name for field in fields(cls) if field.name != "mirror" or is_new)
        given = dict(zip(names, members(value, "the grown model", names), strict=True))
        image = given.pop("image")
        if image is not None:
            if not (isinstance(image, list) and len(image) == 3 and all(map(is_int, image))):
                raise damaged("the 'image' of the grown model", "three whole numbers")
            image = Image(*image)
        if not isinstance(given.get("mirror", False), bool):
            raise damaged("the 'mirror' of the grown model", "true or false")
        try:
            return cls(**given, image=image)
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class VotesSpec(GrownSpec):
    """What grows the wiring of an ensemble: tables that vote for every class; see :mod:`rdahw.families.grown.votes`.

    counter: the bits of a vote. scale: the votes of a table in whose cells all examples ask for the same. Each table is
    a round of its own.
    """

    family: ClassVar[str] = "votes"
    update_unit: ClassVar[str] = "tables"  # type: ignore[misc]

    tables: int = 256
    candidates: int = 64
    sample: int = 6000
    margin: int = 16
    slope: int = 60
    refinements: int = 6
    counter: int = 6
    scale: int = 16

    @property
    def tables_shape(self) -> tuple[int, ...]:
        """The shape of what the tables hold, as of an ensemble's counters: (tables, 2^inputs, classes)."""
        return self.tables, 1 << self.inputs, self.classes

    @property
    def description(self) -> str:
        """«choice of the inputs of 256 x 6 tables among 784 bits»."""
        return f"choice of the inputs of {self.tables} x {self.inputs} tables among {self.input_bits} bits"

    @property
    def round_tables(self) -> int:
        """One: each table is grown for the scores of all before it."""
        return 1

    @property
    def _held(self) -> Type:
        return Words(1, self.counter)

    @property
    def value_range(self) -> tuple[int, int]:
        """The smallest and the largest vote."""
        return -(1 << self.counter - 1), (1 << self.counter - 1) - 1

    def threshold(self, table: int) -> int:
        """How far ahead of a rival an example must be at most, to ask when table number ``table`` is grown."""
        return self.margin + table * self.slope // 100


def patch_that_fits(image: Image | None, patch: int, inset: int) -> tuple[int, int]:
    """(patch, inset) for ``image``: those given where they fit, else without the inset, else (0, 0), the whole."""
    side = 0 if image is None else min(image.height, image.width)
    if patch + 2 * inset <= side:
        return patch, inset
    return (patch, 0) if patch <= side else (0, 0)


def draw(key: int, choice: int, most: int) -> NDArray[np.int64]:
    """The first ``most`` different ones of the numbers w[2] mod n, w[3] mod n, …, in rising order, with n = ``choice``
    and the words w of the stream ``key``; all n numbers where they are no more."""
    if choice <= most:
        return np.arange(choice)
    count = 2 * most
    while True:
        drawn = (words(key, 2 + count)[2:] % np.uint64(choice)).astype(np.int64)
        places, first = np.unique(drawn, return_index=True)
        if len(places) >= most:
            return np.sort(places[np.argsort(first)[:most]])
        count *= 2


def typical_wiring(tables: int, inputs: int, input_bits: int) -> NDArray[np.int64]:
    """Drawn inputs of tables, (tables, inputs), for :meth:`rdahw.family.Spec.typical_state`."""
    return np.array([draw(stream(0, "typical wiring", table), input_bits, inputs) for table in range(tables)])


def candidates(spec: GrownSpec, table: int) -> NDArray[np.int64]:
    """The input bits, in rising order, that table number ``table`` may read.

    With the words w of the stream (seed, "candidates", table): a patch of P x P pixels with inset I has its upper left
    corner at row I + w[0] mod (height - 2I - P + 1) and column I + w[1] mod (width - 2I - P + 1). Its pixels, plane by
    plane and row by row, are the choice; without images all input bits are. Where the choice has no more bits than
    ``spec.candidates``, all of them are candidates. Else they are the first so many different ones of the numbers
    w[2] mod n, w[3] mod n, … of the n bits in the choice.
    """
    key = stream(spec.seed, "candidates", table)
    places = draw(key, spec.choice, spec.candidates)
    if spec.image is None:
        return places
    planes, height, width = spec.image
    tall, wide = (spec.patch or size - 2 * spec.inset for size in (height, width))
    corner = words(key, 2)
    down, right = (spec.inset + int(w) % free for w, free in zip(corner, spec.window, strict=True))
    plane, row, column = places // (tall * wide), places // wide % tall, places % wide
    return (plane * height + down + row) * width + right + column


def sample(spec: GrownSpec, table: int, asking: int) -> NDArray[np.int64]:
    """Which of ``asking`` examples, counted from 0, choose the inputs of table number ``table``; in rising order.

    All of them where they are no more than W = ``spec.sample``. Else every (asking / W)-th from a random start: place i
    is ``(i * asking + w mod asking) div W`` with w word 0 of the stream (seed, "sample", table).
    """
    if asking <= spec.sample:
        return np.arange(asking)
    start = int(words(stream(spec.seed, "sample", table), 1)[0]) % asking
    return (np.arange(spec.sample) * asking + start) // spec.sample


def copy_shifts(spec: GrownSpec, copy: int, examples: int) -> NDArray[np.int64]:
    """How far the examples of copy number ``copy`` are moved: (examples, 2), rows down and columns right.

    Each copy of an example goes another of the eight ways to a neighbouring pixel, numbered row by row from 0. With z
    word i of the stream (seed, "copies") copy number c of example i goes way (z + c * (2 * (z div 8) + 1)) mod 8.
    """
    z = (words(stream(spec.seed, "copies"), examples) % np.uint64(32)).astype(np.int64)
    way = (z + copy * (2 * (z // 8) + 1)) % 8
    place = way + (way >= 4)  # in three rows of three pixels, without the one in the middle
    return np.stack([place // 3 - 1, place % 3 - 1], axis=-1)


def with_copies(spec: GrownSpec, x: Array) -> Array:
    """The examples x (N, A), and after them each of the shifted copies: ((1 + copies) * N, A)."""
    if not spec.copies:
        return x
    return np.concatenate([x, *(shifted(spec, x, copy_shifts(spec, copy, len(x))) for copy in range(spec.copies))])


def shifted(spec: GrownSpec, x: Array, shifts: NDArray[np.int64]) -> Array:
    """The examples x (N, A), each moved by a row of ``shifts`` (N, 2) of :func:`copy_shifts`."""
    assert spec.image is not None
    moved = np.empty_like(x)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            rows = np.flatnonzero((shifts == (dy, dx)).all(axis=1))
            moved[rows] = shift_images(x[rows], spec.image, dy, dx)
    return moved


def check_data(spec: GrownSpec, x: BitRows, labels: NDArray[np.int64]) -> None:
    """Raise :class:`UserError` where examples x (N, A) and ``labels`` (N,) do not fit ``spec``."""
    if len(x.shape) != 2 or x.shape[1] != spec.input_bits:
        raise UserError(f"inputs of shape {x.shape} were given; expected (N, {spec.input_bits})")
    if len(x) != len(labels) or not len(x):
        raise UserError(f"{len(x)} inputs were given with {len(labels)} labels; expected as many, at least one")
    if labels.min() < 0 or labels.max() >= spec.classes:
        raise UserError(f"a label is outside of 0 to {spec.classes - 1}")
