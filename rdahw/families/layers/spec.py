"""What a network of layers is: its sizes, its wiring, its start, and the noise that it learns with.

The tables of the first layer read bits of the input, those of each further layer tables of the layer before. With
``steps`` the network is *recurrent*: its first layer is run so many times, and each time reads the next bits of the
input, and its own outputs of the step before, which are its state.

All randomness comes from the spec's seed and is portable (``stream``, ``words`` and ``permutation`` are those of
:mod:`rdahw.random`):

- *wiring*: see :func:`make_wiring`.
- *noise*: a shift register of 63 bits, that of the dropout of ensembles (:mod:`rdahw.families.ensemble.spec`): s(t) =
  s(t-63) XOR s(t-32), its oldest bit is bit 0 of the state's number. It starts at ``stream(seed, "noise") >> 1`` (1 if
  that is 0) and is never reset. While an example is learned each table, in the order of their numbers, takes the next
  ``noise`` new bits, the first least significant; their number less 2^(noise - 1) is the noise of the table. So a
  circuit makes it at one table a cycle. A table that is run for several steps takes its noise anew at each. Without
  noise, and for predictions, no bit is taken. The directions of forward gradients take bits of the same register, after
  the noise of the example.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.data import Code
from rdahw.data._json import damaged, is_int, members
from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.families.ensemble.spec import EnsembleSpec, register_bits
from rdahw.families.ensemble.spec import make_wiring as make_ensemble_wiring
from rdahw.family import Option, Spec
from rdahw.primitives import Array
from rdahw.random import permutation, stream
from rdahw.state import Field, State
from rdahw.table_scores import TableLayer, votes_in_turn
from rdahw.types import Bits, Words

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.learner import Learner
    from rdahw.training import Schedule

__all__ = [
    "COTANGENTS",
    "MAX_BATCH",
    "MAX_LAYERS",
    "OPTIONS",
    "ORDERS",
    "LayersSpec",
    "first_noise_state",
    "make_wiring",
    "read_sizes",
    "take_bits",
]

#: The most counters of one model, one byte each, and the most layers, tables of a layer and inputs of a table.
MAX_COUNTERS = 1 << 30
MAX_LAYERS, MAX_TABLES, MAX_INPUTS = 64, 1 << 20, 8
#: The most examples of a batch: its trainer in gateware keeps a sum of requests for each counter in a byte.
MAX_BATCH = 16
#: The most steps of a recurrent network, and the most tables that it runs for an example.
MAX_STEPS, MAX_RUN = 1024, 1 << 22
#: In which order a recurrent network reads an image (planes, height, width): its axes from the slowest to the fastest;
#: none for the order of the wires.
_AXES: dict[str, tuple[int, ...]] = {"blocks": (), "rows": (1, 0, 2), "columns": (2, 0, 1)}
ORDERS = tuple(_AXES)
#: What a table does with the sum of the requests for its output before it passes it on.
COTANGENTS = ("sign", "sum", "xor")

#: The options of the family, each a field of :class:`LayersSpec`.
OPTIONS = (
    Option(
        name="sizes",
        type="sizes",
        usual="300x4,300x4,300x4; fewer inputs where there are fewer bits",
        help="use layers of so many tables of so many inputs; written without sizes=, as in layers:300x4,300x4",
    ),
    Option(
        name="wiring",
        type="text",
        usual="patch8inset2 for images, else any",
        help="choose the inputs of the first layer as those of an ensemble: from all bits (any), a random patch of P x "
        "P pixels (patchP), or one that keeps I pixels away from the border (patchPinsetI)",
    ),
    Option(name="counter", usual="5; 6 above 3 layers, 7 above 6", range=(2, 8), help="count with this many bits"),
    Option(
        name="margin",
        usual="3/10 of the tables of a class in the last layer",
        range=(0, 1 << 20),
        help="learn also from correct predictions whose lead is at most this",
        switch="margin",
    ),
    Option(
        name="noise", default=3, range=(0, 8), help="while learning, add a random number of this many bits to counters"
    ),
    Option(
        name="cotangents",
        type="text",
        default="sign",
        range=COTANGENTS,
        help="pass on the sign of the requests for a table, their sum, or their XOR, which trains one layer only",
    ),
    Option(
        name="forward",
        default=0,
        range=(0, 64),
        help="ask by a forward gradient along this many random directions an example instead of going backwards",
    ),
    Option(
        name="steps",
        default=1,
        range=(1, MAX_STEPS),
        help="run the first layer so many times, on the next part of the input and its own outputs of the step before "
        "(experimental)",
    ),
    Option(
        name="order",
        type="text",
        usual="rows for images, else blocks",
        range=ORDERS,
        help="with steps, read an image by rows or by columns of pixels, or the bits in blocks as they come",
    ),
    Option(name="frozen", default=0, range=(0, MAX_LAYERS - 1), help="leave so many of the first layers as they start"),
)
_RANGES = {
    "input_bits": (1, 1 << 26),
    "classes": (2, 256),
    "seed": (0, (1 << 64) - 1),
    **{option.name: option.range for option in OPTIONS if option.type == "whole"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersSpec(Spec):
    """The hyperparameters of a network of layers.

    input_bits, classes: of the data. sizes: (tables, inputs) of each layer, the first layer first. counter: the bits of
    a counter. margin: in votes. noise: the bits of the noise while learning. cotangents: ``sign``, ``sum`` or ``xor``,
    see :mod:`rdahw.families.layers.rule`. forward: directions of forward gradients. frozen: so many of the first layers
    do not learn. wiring: of the first layer, as for ensembles. image: needed for patches. steps: so often the first
    layer is run. order: how the input is cut for them, one of ``ORDERS``, see :attr:`reads`.

    Raises :class:`UsageError` for an invalid value.
    """

    family: ClassVar[str] = "layers"
    code: ClassVar[Code] = "one-hot"

    input_bits: int
    classes: int
    sizes: tuple[tuple[int, int], ...]
    counter: int = 6
    margin: int = 7
    noise: int = 3
    cotangents: str = "sign"
    forward: int = 0
    frozen: int = 0
    steps: int = 1
    order: str = "blocks"
    wiring: str = "any"
    image: Image | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not is_int(value) or not least <= value <= most:
                raise UsageError(f"{name} of layers is {value!r}; expected a whole number from {least} to {most}")
        if self.cotangents not in COTANGENTS:
            raise UsageError(f"cotangents of layers are {self.cotangents!r}; expected {' or '.join(COTANGENTS)}")
        if self.forward and self.cotangents == "xor":
            raise UsageError(f"forward is {self.forward}, which gives signed requests; leave it out, or cotangents=xor")
        if self.order not in ORDERS:
            raise UsageError(f"the order of layers is {self.order!r}; expected {' or '.join(ORDERS)}")
        if not 1 <= len(self.sizes) <= MAX_LAYERS:
            raise UsageError(f"{len(self.sizes)} layers were asked for; expected 1 to {MAX_LAYERS}")
        if self.frozen >= len(self.sizes):
            raise UsageError(f"frozen is {self.frozen} of {len(self.sizes)} layers, and none would learn; lower frozen")
        before = self.input_bits
        for number, (tables, inputs) in enumerate(self.sizes, 1):
            if not (1 <= tables <= MAX_TABLES and 1 <= inputs <= MAX_INPUTS):
                raise UsageError(
                    f"layer {number} is {tables}x{inputs}; expected 1 to {MAX_TABLES} tables of 1 to {MAX_INPUTS} "
                    "inputs"
                )
            if number == 1 and self.steps > 1:
                self._check_recurrent()
            if number > 1 and inputs > before:
                raise UsageError(
                    f"a table of layer {number} has {inputs} inputs, and the layer before has only {before} tables; "
                    "lower its inputs, or enlarge the layer before"
                )
            before = tables
        if before < self.classes:
            raise UsageError(
                f"the last layer has {before} tables for {self.classes} classes; use at least one table a class"
            )
        if self.cells[-1] > MAX_COUNTERS:
            raise UsageError(
                f"the tables have {self.cells[-1]} counters; expected at most {MAX_COUNTERS}: lower tables or inputs"
            )
        if not re.fullmatch(r"any|patch\d{1,4}(inset\d{1,4})?", self.wiring):
            raise UsageError(
                f"the wiring of the first layer is {self.wiring!r}; expected any, patchP or patchPinsetI, such as "
                "patch8inset2"
            )
        if self.steps == 1:
            self.first_layer.patch()
            if self.order != "blocks":
                raise UsageError(f"order {self.order!r} is one of several steps; add steps=NUMBER, or leave it out")

    def _check_recurrent(self) -> None:
        """Raise :class:`UsageError` for what a network with ``steps`` cannot be."""
        tables, inputs = self.sizes[0]
        if _AXES[self.order] and (self.image is None or self.image.bits != self.input_bits):
            raise UsageError(f"order {self.order!r} needs images, and the examples are none; use order=blocks")
        if self.steps > self.input_bits:
            raise UsageError(f"steps is {self.steps} for {self.input_bits} input bits; use at most a step a bit")
        if self.tables > MAX_RUN:
            raise UsageError(
                f"{self.steps} steps run {self.tables} tables; expected at most {MAX_RUN}: lower steps or tables"
            )
        if self.forward or self.wiring != "any":
            raise UsageError("a network with steps takes neither forward nor wiring; leave them out, or steps")
        if inputs - self.fresh > tables:
            raise UsageError(
                f"a table of layer 1 reads {inputs - self.fresh} tables of the step before, and the layer has only "
                f"{tables}; lower its inputs, or enlarge the layer"
            )

    @property
    def first_layer(self) -> EnsembleSpec:
        """The ensemble whose wiring the first layer has."""
        tables, inputs = self.sizes[0]
        return EnsembleSpec(
            input_bits=self.input_bits,
            classes=self.classes,
            tables=tables,
            inputs=inputs,
            wiring=self.wiring,
            image=self.image,
            seed=self.seed,
        )

    @property
    def runs(self) -> tuple[int, ...]:
        """The layers in the order in which they are run: the first one ``steps`` times, then each further one."""
        return (*[0] * self.steps, *range(1, len(self.sizes)))

    @property
    def block(self) -> int:
        """How many bits of the input a step reads."""
        return -(-self.input_bits // self.steps)

    @property
    def fresh(self) -> int:
        """How many inputs of each table of the first layer of a recurrent network are bits, besides input 0."""
        return max(0, min(self.sizes[0][1] - 2, self.block - 1))

    @property
    def reads(self) -> NDArray[np.int64]:
        """What each step of a recurrent network reads, (steps, block + states): the next ``block`` bits of the input in
        the ``order``, then its state. Numbers of input bits, from ``input_bits`` on of tables of the step before, of
        which all are 0 at first, and after them one for a bit that is always 0, which fills the last block."""
        bits, states = np.arange(self.input_bits), self.sizes[0][0]
        if axes := _AXES[self.order]:
            assert self.image is not None
            bits = bits.reshape(self.image).transpose(axes).reshape(-1)
        filled = np.full(self.steps * self.block, self.input_bits + states)
        filled[: self.input_bits] = bits
        state = np.broadcast_to(self.input_bits + np.arange(states), (self.steps, states))
        return np.hstack([filled.reshape(self.steps, -1), state])

    @property
    def tables(self) -> int:
        """The number of tables of all layers, each counted as often as it is run."""
        return self.starts[-1]

    @property
    def starts(self) -> list[int]:
        """The number of the first table of each layer of ``runs``, and after them that of tables: (runs + 1,)."""
        return list(accumulate((self.sizes[layer][0] for layer in self.runs), initial=0))

    @property
    def cells(self) -> list[int]:
        """The number of the first counter of each layer, and after them the number of counters: (layers + 1,)."""
        return list(accumulate((tables << inputs for tables, inputs in self.sizes), initial=0))

    def layer_cells(self, cells: NDArray[Any], layer: int) -> NDArray[Any]:
        """What is stored for each counter, (counters,), for one layer: a view, (tables, 2^inputs)."""
        return cells[self.cells[layer] : self.cells[layer + 1]].reshape(-1, 1 << self.sizes[layer][1])

    @property
    def size_text(self) -> str:
        """The sizes as the option takes them, such as «300x4,300x4»."""
        return ",".join(f"{tables}x{inputs}" for tables, inputs in self.sizes)

    @property
    def name(self) -> str:
        """«layers:300x4,300x4»."""
        return f"layers:{self.size_text}" + (f",steps={self.steps}" if self.steps > 1 else "")

    @property
    def description(self) -> str:
        """«layers of 300x4,300x4 tables, 192 -> 10 classes, 9600 counters of 6 bits»."""
        recurrent = f", recurrent for {self.steps} steps (experimental)" if self.steps > 1 else ""
        return (
            f"layers of {self.size_text} tables{recurrent}, {self.input_bits} -> {self.classes} classes, "
            f"{self.cells[-1]} counters of {self.counter} bits"
        )

    @property
    def loss(self) -> str:
        return f"margin={self.margin}"

    @property
    def optimiser(self) -> str:
        return f"counter={self.counter}"

    @property
    def counter_range(self) -> tuple[int, int]:
        """The smallest and largest value of a counter."""
        return -(1 << self.counter - 1), (1 << self.counter - 1) - 1

    def options(self) -> dict[str, Any]:
        return {option.name: getattr(self, option.name) for option in OPTIONS} | {"sizes": self.size_text}

    @property
    def fields(self) -> tuple[Field, ...]:
        """``counters``, (counters,): layer by layer, table by table, index by index; and ``noise``, the shift register,
        its oldest bit first."""
        return Field("counters", Words(1, self.counter), (self.cells[-1],)), Field("noise", Bits(63))

    @property
    def caution(self) -> str:
        """Whether the first layer reads less than a quarter of the input bits, or is recurrent."""
        if self.steps == 1:
            return self.first_layer.caution
        return f"steps is {self.steps}, and recurrent networks are experimental: without steps layers predict better"

    @property
    def software_only(self) -> str:
        """The reason, for requests that no trainer makes, and for recurrent networks."""
        if self.steps > 1:
            return (
                f"steps is {self.steps}, and recurrent networks have no trainer on an FPGA; train in software, and "
                "give the file to rdahw synth with --inference"
            )
        if self.forward:
            return (
                f"forward is {self.forward}, and trainers on an FPGA go backwards; train in software, or use forward=0"
            )
        if self.cotangents == "sign":
            return ""
        return (
            f"cotangents is {self.cotangents}, and trainers on an FPGA pass on signs; train in software, or use "
            "cotangents=sign"
        )

    def initial_state(self) -> dict[str, NDArray[Any]]:
        """Every table passes its input 0 on: counters are 2^(counter - 2) - 1 where it is 1, else -2^(counter - 2)."""
        high = (1 << self.counter - 2) - 1
        counters = np.where(np.arange(self.cells[-1]) & 1, high, -high - 1).astype(np.int8)
        return {"counters": counters, "noise": register_bits(first_noise_state(self.seed))}

    def check_state(self, state: State) -> None:
        """Raise :class:`UserError` for a shift register of zeros, which would never change."""
        if not state["noise"].any():
            raise damaged("the field 'noise'", "63 bits, not all zero")

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for more than ``MAX_BATCH`` examples a batch."""
        if schedule.batch > MAX_BATCH:
            raise UsageError(f"batch is {schedule.batch}; layers learn from at most {MAX_BATCH} examples at a time")

    def learner(self) -> Learner:
        """The learner of :func:`rdahw.families.layers.circuits.layers_learner`, without noise."""
        from rdahw.families.layers.circuits import layers_learner

        return layers_learner(self)

    def theta(self, state: State) -> Array:
        from rdahw.families.layers.circuits import cotangent_bits

        counters = state["counters"].reshape(-1)
        return Words(counters.size, cotangent_bits(self)).to_bits(counters)

    def smaller(self, *, predicting: bool = False) -> Sequence[Iterator[tuple[str, LayersSpec]]]:
        least = min(tables for tables, _ in self.sizes)
        most = max(inputs for _, inputs in self.sizes)
        halved = [[(tables >> i, inputs) for tables, inputs in self.sizes] for i in range(1, least.bit_length())]
        fewer = [[(tables, min(inputs, few)) for tables, inputs in self.sizes] for few in range(most - 1, 1, -1)]
        return [self._with_sizes(sizes) for sizes in (halved, fewer)]

    def _with_sizes(self, choices: Iterable[Iterable[tuple[int, int]]]) -> Iterator[tuple[str, LayersSpec]]:
        for sizes in choices:
            spec = replace(self, sizes=tuple(sizes))
            yield f"use layers of {spec.size_text} tables", spec

    def trained(self, state: State) -> tuple[Spec, State]:
        """The Boolean circuit of the network, whose parameters are the bits of the tables."""
        from rdahw.families.layers.circuits import trained

        return trained(self, state)

    def lut_circuit(self, state: State) -> Circuit:
        """See :func:`rdahw.families.layers.circuits.layers_lut_circuit`."""
        from rdahw.families.layers.circuits import layers_lut_circuit

        return layers_lut_circuit(self, state["counters"])

    def table_layers(self, state: State) -> Sequence[TableLayer]:
        """The signs of the counters; the tables of the last layer vote for the classes in turn."""
        bits = [self.layer_cells(state["counters"] >= 0, layer) for layer in range(len(self.sizes))]
        wiring = make_wiring(self)
        if self.steps > 1:
            wiring, bits = self._passing(wiring, bits)
        values = [*(each[..., None] for each in bits[:-1]), votes_in_turn(bits[-1], self.classes)]
        return [TableLayer(*layer) for layer in zip(wiring, values, strict=True)]

    def _passing(self, wiring: list[NDArray[Any]], bits: list[NDArray[Any]]) -> tuple[list[Any], list[Any]]:
        """The wiring and the bits of the layers that are run, where each step but the last passes all input bits on,
        so that what is run reads only the one before."""
        count, inputs = self.input_bits, self.sizes[0][1]
        passed = np.arange(count)[:, None].repeat(inputs, axis=1)
        identity = (np.arange(1 << inputs) & 1).astype(np.bool_)[None].repeat(count, axis=0)
        wirings, tables = [], []
        for step, reads in enumerate(self.reads):
            read = reads[wiring[0]]
            none = read >= (count if step == 0 else count + self.sizes[0][0])  # always 0: only those indices matter
            index = np.arange(1 << inputs) & ~(none << np.arange(inputs)).sum(axis=1)[:, None]
            its = [np.where(none, 0, read), np.take_along_axis(bits[0], index, axis=1)]
            if step + 1 < self.steps:
                its = [np.vstack(both) for both in zip((passed, identity), its, strict=True)]
            wirings.append(its[0])
            tables.append(its[1])
        return [*wirings, *wiring[1:]], [*tables, *bits[1:]]

    def facts(self, state: State) -> dict[str, Any]:
        """Of all tables, those that are ``constant`` and those that still ``pass_on`` input 0; ``saturated``: the
        fraction of the counters at an end of their range."""
        low, high = self.counter_range
        counters = state["counters"]
        facts = {"constant": 0, "pass_on": 0}
        for layer in range(len(self.sizes)):
            bits = self.layer_cells(counters >= 0, layer)
            facts["constant"] += int((bits == bits[:, :1]).all(axis=1).sum())
            facts["pass_on"] += int((bits == (np.arange(bits.shape[1]) & 1)).all(axis=1).sum())
        return {**facts, "saturated": float(((counters == low) | (counters == high)).mean())}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is the inverse."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        image = None if self.image is None else list(self.image)
        return {**values, "sizes": [list(size) for size in self.sizes], "image": image}

    @classmethod
    def from_json(cls, value: object) -> LayersSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        names = tuple(field.name for field in fields(cls))
        before = {"forward": 0, "steps": 1, "order": "blocks"}  # what files of before have not
        known = {**before, **value} if isinstance(value, dict) else value
        given: dict[str, Any] = dict(zip(names, members(known, "the layers", names), strict=True))
        image, sizes = given.pop("image"), given.pop("sizes")
        if image is not None:
            if not (isinstance(image, list) and len(image) == 3 and all(map(is_int, image))):
                raise damaged("the 'image' of the layers", "planes, height and width, or null")
            image = Image(*image)
        if not isinstance(sizes, list) or not all(
            isinstance(size, list) and len(size) == 2 and all(map(is_int, size)) for size in sizes
        ):
            raise damaged("the 'sizes' of the layers", "pairs of whole numbers")
        if not all(isinstance(given[name], str) for name in ("wiring", "cotangents", "order")):
            raise damaged("the 'wiring', the 'cotangents' or the 'order' of the layers", "text")
        try:
            return cls(**given, sizes=tuple((tables, inputs) for tables, inputs in sizes), image=image)
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


def read_sizes(text: str) -> tuple[tuple[int, int], ...]:
    """The pairs (tables, inputs) of sizes such as «300x4,300x4»."""
    pairs = (word.split("x") for word in text.split(","))
    return tuple((int(tables), int(inputs)) for tables, inputs in pairs)


def make_wiring(spec: LayersSpec) -> list[NDArray[np.int64]]:
    """What the tables of each layer read, (tables, inputs): bits of the input, and above the first layer tables of the
    layer before, counted from its first. Input i is bit i of a table's index.

    The first layer is wired as :func:`rdahw.families.ensemble.spec.make_wiring` says. In layer l (from 0), over n
    tables, input i of table j is ``permutation(stream(seed, "layer", l, i, j div n), n)[j mod n]``, or, while an
    earlier input of the table reads that one, the next one (after the last the first). So each table is read about
    equally often, and at the start, as input 0 is passed on, a layer has what the layer before has in another order.

    The first layer of a recurrent network counts what a step reads (:attr:`LayersSpec.reads`): its n bits, then its
    tables. Input 0 of table j is number j, so that at the start the state is a delay line of the input. The last
    :attr:`LayersSpec.fresh` inputs i are bits, drawn as above over n bits with l = 0; those between are tables, drawn
    over all of them.
    """
    wiring = []
    for layer, (tables, inputs) in enumerate(spec.sizes):
        if layer == 0 and spec.steps == 1:
            wiring.append(make_ensemble_wiring(spec.first_layer))
            continue
        read = np.empty((tables, inputs), np.int64)
        for i in range(inputs):
            start, below = 0, spec.sizes[layer - 1][0]
            if layer == 0:
                start, below = (0, spec.block) if i >= inputs - spec.fresh else (spec.block, tables)
            parts = [permutation(stream(spec.seed, "layer", layer, i, m), below) for m in range(-(-tables // below))]
            read[:, i] = start + np.concatenate(parts)[:tables]
            if layer == 0 and i == 0:
                read[:, 0] = np.arange(tables)
            while len(taken := np.flatnonzero((read[:, :i] == read[:, i : i + 1]).any(axis=1))):
                read[taken, i] = start + (read[taken, i] - start + 1) % below
        wiring.append(read)
    return wiring


def first_noise_state(seed: int) -> int:
    """The initial state of the noise's shift register (63 bits, never 0)."""
    return stream(seed, "noise") >> 1 or 1


def take_bits(register: int, count: int) -> tuple[int, int]:
    """The number of the next ``count`` new bits of the shift register, the first least significant, and the register
    after them."""
    number = 0
    for i in range(count):
        new = (register ^ register >> 31) & 1
        register = register >> 1 | new << 62
        number |= new << i
    return number, register
