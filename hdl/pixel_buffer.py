"""The example buffer of a memory trainer or predictor that takes pixels: of their planes it keeps what tables read."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]
from numpy.typing import NDArray

from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.example_buffer import ExampleBuffer, Sides
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.pixels import PixelPlanes

__all__ = ["KeptBits", "PixelBuffer", "expected_steps", "step_widths"]


class KeptBits:
    """Which bits of the planes of each pixel a :class:`PixelBuffer` keeps, and where.

    lanes: so many bits are kept in a cycle; input i of a table belongs to lane i mod lanes. steps: the cycles, at least
    one for each pixel. step_bits: of the word that says what a step does. table_bits: of the number of a table.
    """

    def __init__(self, table_wiring: NDArray[np.int64], planes: int, pixels: int, lanes: int) -> None:
        tables, inputs = table_wiring.shape
        self.lanes = lanes
        self.widths = step_widths(tables, inputs, planes, lanes)
        self.step_bits, self.table_bits = 1 + lanes * sum(self.widths), self.widths[2]
        plane, pixel = np.divmod(table_wiring, pixels)
        lane = np.broadcast_to(np.arange(inputs) % lanes, table_wiring.shape)
        counts = np.zeros((lanes, pixels), np.int64)
        np.add.at(counts, (lane, pixel), 1)
        steps = np.maximum(counts.max(axis=0), 1)
        self._ends = np.cumsum(steps)
        self._starts = self._ends - steps
        self._reads = plane, pixel, lane
        self.steps = int(self._ends[-1])

    @classmethod
    def choose(cls, table_wiring: NDArray[np.int64], planes: int, pixels: int) -> KeptBits:
        """With the lanes of :func:`expected_steps`."""
        tables, inputs = table_wiring.shape
        return cls(table_wiring, planes, pixels, expected_steps(tables, inputs, pixels)[0])

    @property
    def words(self) -> list[int]:
        """A word for each step: whether it is the last one of its pixel, in bit 0; and for each lane whether it keeps a
        bit, the plane, the table, and the number of the input in its lane, the last one lowest."""
        plane, pixel, lane = self._reads
        words = [0] * self.steps
        for step in self._ends:
            words[step - 1] = 1
        used = np.zeros((self.lanes, len(self._ends)), np.int64)
        for (table, i), at in np.ndenumerate(pixel):
            its = lane[table, i]
            value = 0
            for field, width in zip((1, plane[table, i], table, i // self.lanes), self.widths, strict=True):
                value = value << width | int(field)
            words[self._starts[at] + used[its, at]] |= value << 1 + int(its) * sum(self.widths)
            used[its, at] += 1
        return words


def step_widths(tables: int, inputs: int, planes: int, lanes: int) -> tuple[int, ...]:
    """The bits of a lane's fields in a step: whether it keeps a bit, the plane, the table, and the input."""
    return 1, *((count - 1).bit_length() for count in (max(planes, 2), tables, max(-(-inputs // lanes), 2)))


def expected_steps(tables: int, inputs: int, pixels: int) -> tuple[int, int]:
    """Lanes and steps if the tables read all pixels alike (a Poisson distribution): with as few lanes as take at most
    three cycles a pixel, or those of a pass over the tables."""
    for lanes in range(1, inputs + 1):
        rates = [tables * len(range(lane, inputs, lanes)) / pixels for lane in range(lanes)]
        most = math.ceil(sum(rates) + 10 * math.sqrt(sum(rates)) + 10)
        # How likely a lane reads at most k bits of a pixel, for each k.
        terms = [[math.exp(k * math.log(rate) - rate - math.lgamma(k + 1)) for k in range(most)] for rate in rates]
        below = [math.prod(chances) for chances in zip(*map(accumulate, terms), strict=True)]
        steps = round(pixels * (1 + sum(1 - chance for chance in below[1:])))
        if steps <= max(3 * pixels, tables):
            break
    return lanes, steps


class PixelBuffer(wiring.Component):  # type: ignore[misc]
    """Room for the inputs of all tables from two examples, as of :class:`rdahw.hdl.example_buffer.ExampleBuffer`, whose
    members it has, but an example is ``octets`` pixels, row by row, and then the byte of its label.

    frontend: the images and their planes. table_wiring, classes: as there.

    Of each pixel's planes, the bits that tables read are kept at the places of the tables that read them. So the memory
    is that of the tables' inputs, whatever the number of planes, and a table's index is read as one word of each lane;
    see :class:`KeptBits`. ``cycles``: those of an image, if no stream waits.
    """

    LATENCY = ExampleBuffer.LATENCY

    def __init__(self, frontend: PixelFrontend, table_wiring: NDArray[np.int64], classes: int) -> None:
        self.octets, self.classes = frontend.octets, classes
        self.tables, self.inputs = table_wiring.shape
        #: The planes alone, and what is kept of them.
        self.planes = planes = PixelPlanes(frontend.rule, frontend.image_shape)
        self.kept = KeptBits.choose(table_wiring, len(planes.flow.bits), self.octets)
        self.cycles = planes.flow.cycles_per_image + self.kept.steps - self.octets
        super().__init__(
            {
                "examples": In(stream.Signature(8)),
                "waiting": Out(1),
                "label": Out(range(classes)),
                "learn": Out(1),
                "release": In(1),
                "table": In(range(self.tables)),
                "index": Out(self.inputs),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.planes = planes = self.planes
        offered = self.examples
        # A label that has come, and an image of which all bits are kept, wait for each other.
        labelled, label, kept = Signal(), Signal(8, reset_less=True), Signal()
        sides = Sides(m, self, labelled & kept, label)
        with m.If(labelled & kept):
            m.d.sync += [labelled.eq(0), kept.eq(0), sides.filling.eq(~sides.filling)]
        pixel, at_label = Signal(range(self.octets)), Signal()
        m.d.comb += [
            planes.pixels.payload.eq(offered.payload),
            planes.pixels.valid.eq(offered.valid & ~at_label),
            offered.ready.eq(Mux(at_label, ~labelled, planes.pixels.ready)),
        ]
        with m.If(offered.valid & offered.ready):
            with m.If(at_label):
                m.d.sync += [label.eq(offered.payload), labelled.eq(1), at_label.eq(0), pixel.eq(0)]
            with m.Else():
                m.d.sync += [pixel.eq(pixel + 1), at_label.eq(pixel == self.octets - 1)]
        self._keep(m, sides, kept)
        return m

    def _keep(self, m: Module, sides: Sides, kept: Any) -> None:
        """Take the planes of each pixel, write the bits that tables read, and read them back by table."""
        planes, plan, steps = self.planes.planes, self.kept, self.kept.steps
        m.submodules.plan = words = memory.Memory(shape=plan.step_bits, depth=steps, init=plan.words)
        now = words.read_port()
        step, following, at_end, goes, free = Signal(range(steps)), Signal(range(steps)), Signal(), Signal(), Signal()
        m.d.comb += [
            free.eq(~sides.is_full & ~kept),
            goes.eq(planes.valid & free),
            planes.ready.eq(free & now.data[0]),
            at_end.eq(step == steps - 1),
            following.eq(Mux(goes, Mux(at_end, 0, step + 1), step)),
            now.addr.eq(following),
        ]
        m.d.sync += step.eq(following)
        with m.If(goes & at_end):
            m.d.sync += kept.eq(1)
        table = Signal.like(self.table, reset_less=True)
        m.d.sync += table.eq(self.table)
        for lane in range(plan.lanes):
            inputs = range(lane, self.inputs, plan.lanes)
            fields = now.data[1 + lane * sum(plan.widths) :]
            number, where, plane, uses = _split(fields, reversed(plan.widths))
            bit, at = Signal(reset_less=True), Signal(1 + plan.table_bits, reset_less=True)
            enable = Signal(len(inputs))
            data = memory.MemoryData(shape=len(inputs), depth=2 << plan.table_bits, init=[])
            there, write = block_memory(m, f"lane{lane}", data, Cat(table, sides.looked_at), granularity=1)
            m.d.sync += [
                bit.eq(planes.payload.bit_select(plane, 1)),
                at.eq(Cat(where, sides.filling)),
                enable.eq(Mux(goes & uses, Const(1, len(inputs)) << number, 0)),
            ]
            m.d.comb += [write.addr.eq(at), write.data.eq(bit.replicate(len(inputs))), write.en.eq(enable)]
            m.d.sync += [self.index[i].eq(there[k]) for k, i in enumerate(inputs)]


def _split(value: Any, widths: Any) -> list[Any]:
    """The fields of these widths, from bit 0 on."""
    parts, first = [], 0
    for width in widths:
        parts.append(value[first : first + width])
        first += width
    return parts
