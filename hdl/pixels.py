"""Planes of images as hardware: a stream of pixels in, the bits of all planes at each pixel out.

The image is scanned with columns of zeros after each row and rows of zeros after the last one, as many as the planes
reach beyond the border. So the planes are the same function of the pixels before and after at every place, and what
the memory and the registers held before a reset has left them when the first pixel is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.data.planes import AROUND, PlaneRule, Term, cell
from rdahw.hdl.block_memory import block_memory

__all__ = ["ROWS", "PixelPlanes", "PlaneFlow"]


@dataclass(frozen=True, slots=True, eq=False)
class _Number:
    """A number for each pixel: in every step ``signal`` is that of the pixel ``rows`` rows and ``columns`` columns
    before the one that is taken."""

    signal: Any
    rows: int
    columns: int

    def right(self, columns: int) -> _Number:
        """The number of the pixel so many columns to the right."""
        return _Number(self.signal, self.rows, self.columns + columns)


class _Flow:
    """Numbers computed in step with the pixels: one operation between two registers, and lines in block RAM.

    rows: all numbers that :meth:`row` gives are those of the pixel so many rows before.
    """

    def __init__(self, rows: int, pixel: Any, inside: Any) -> None:
        self.rows = rows
        #: What each register takes in every step.
        self.registers: list[tuple[Any, Any]] = []
        #: What each line takes in every step, and what it gives a line later.
        self.lines: list[tuple[Any, Any]] = []
        self._later: dict[tuple[str, int], list[Any]] = {}
        self._known: dict[tuple[Any, ...], Any] = {}
        self._pixel = _Number(pixel, 0, 0)
        self._inside = _Number(inside, 0, 0)

    def once(self, make: Callable[..., Any], *settings: Any) -> Any:
        """``make(self, *settings)``, made once."""
        key = (make, *settings)
        if key not in self._known:
            self._known[key] = make(self, *settings)
        return self._known[key]

    def _delayed(self, kind: str, signal: Any, count: int) -> Any:
        """The signal ``count`` columns or lines later; what two delays have in common is made once."""
        chain = self._later.setdefault((kind, id(signal)), [signal])
        while len(chain) <= count:
            chain.append(Signal.like(signal, reset_less=True, name=f"{kind}{len(chain)}"))
            (self.registers if kind == "column" else self.lines).append((chain[-1], chain[-2]))
        return chain[count]

    def row(self, number: _Number, down: int, rows: int | None = None) -> _Number:
        """The number of the pixel ``down`` rows below, delayed to ``rows`` rows."""
        rows = self.rows if rows is None else rows
        return _Number(self._delayed("line", number.signal, rows - number.rows - down), rows, number.columns)

    def aligned(self, numbers: Sequence[_Number]) -> tuple[list[Any], int]:
        """The signals of numbers of one row, delayed to those of one pixel, and the columns that it is before."""
        columns = max(number.columns for number in numbers)
        return [self._delayed("column", number.signal, columns - number.columns) for number in numbers], columns

    def apply(self, function: Callable[..., Any], *numbers: _Number) -> _Number:
        """``function`` of the signals of these numbers, in a register."""
        signals, columns = self.aligned(numbers)
        value = Value.cast(function(*signals))
        register = Signal(value.shape(), reset_less=True, name="number")
        self.registers.append((register, value))
        return _Number(register, numbers[0].rows, columns + 1)

    def fold(self, function: Callable[..., Any], numbers: Sequence[_Number]) -> _Number:
        """All numbers joined by ``function``, pair by pair."""
        while len(numbers) > 1:
            pairs = [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
            numbers = [self.apply(function, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return numbers[0]

    def run(self, function: Callable[..., Any], number: _Number, size: int) -> _Number:
        """The numbers of ``size`` columns from each pixel on, joined by ``function``."""
        if size == 1:
            return number
        half = self.run(function, number, size // 2)
        both = self.apply(function, half, half.right(size // 2))
        return self.apply(function, both, number.right(size - 1)) if size % 2 else both

    def channel(self, name: str) -> _Number:
        """The value of a channel."""
        return self.once(_channel, name)  # type: ignore[no-any-return]

    def here(self, rows: int) -> _Number:
        """Whether the pixel is inside of the image."""
        return self.row(self._inside, 0, rows)


def _channel(flow: _Flow, name: str) -> _Number:
    def value(pixel: Any) -> Any:
        if len(pixel) == 8:
            return pixel
        red, green, blue = pixel[:8], pixel[8:16], pixel[16:]
        return {"r": red, "g": green, "b": blue, "y": (red + (green << 1) + blue)[2:10]}[name]

    return flow.apply(value, flow._pixel)


def _add(a: Any, b: Any) -> Any:
    return a + b


def _subtract(a: Any, b: Any) -> Any:
    return a - b


def _exceeds(limit: int, number: Any) -> Any:
    """``number > limit`` as gates, of which a synthesiser makes fewer cells than of a comparator with its carries."""
    shape = number.shape()
    place, top = (limit + (1 << shape.width - 1), len(number) - 1) if shape.signed else (limit, -1)
    if not 0 <= place < (1 << shape.width) - 1:
        return Const(place < 0)
    found: Any = Const(0)
    for i in range(shape.width):
        bit = ~number[i] if i == top else number[i]
        found = bit & found if place >> i & 1 else bit | found
    return found


def _threshold(flow: _Flow, channel: str) -> list[list[_Number]]:
    return [[flow.row(flow.channel(channel), 0)]]


#: The bits of the magnitude of a gradient, at most 510.
_MAGNITUDE = 9


def _gradients(flow: _Flow, channel: str, bins: int) -> _Number:
    """The magnitude of the gradient of each pixel, 0 outside of the image, and above it the number of its bin."""
    a = flow.channel(channel)
    above, level, below = (flow.row(a, i, 1) for i in (-1, 0, 1))

    def split(x: Any) -> Any:
        return Cat(abs(x)[:8], x[-1])

    def join(x: Any, y: Any, inside: Any) -> Any:
        across, left, down, up = x[:8], x[8], y[:8], y[8]
        flat = (down << 2) + down <= across << 1
        steep = ~flat & ((across << 2) + across <= down << 1)
        slanted = ~flat & ~steep
        if bins == 4:
            of_bin = Cat(Mux(slanted, left ^ up, steep), slanted)
        else:
            of_bin = Cat(Mux(steep, up, left), Mux(slanted, left ^ up, steep), slanted)
        return Cat(Mux(inside, across + down, 0), of_bin)

    x = flow.apply(split, flow.apply(_subtract, level.right(1), level.right(-1)))
    y = flow.apply(split, flow.apply(_subtract, below, above))
    return flow.apply(join, x, y, flow.here(1))


def _hog(flow: _Flow, channel: str, bins: int, size: int) -> list[list[_Number]]:
    gradients = flow.once(_gradients, channel, bins)
    rows = [flow.row(gradients, i) for i in cell(size)]

    def of_bin(number: int, *those: Any) -> Any:
        values = [Mux(its[_MAGNITUDE:] == number, its[:_MAGNITUDE], 0) for its in those]
        return values[0] + values[1] if values[1:] else values[0]

    found = []
    for number in range(bins):
        pairs = [flow.apply(partial(of_bin, number), *rows[i : i + 2]) for i in range(0, size, 2)]
        found.append([flow.run(_add, flow.fold(_add, pairs), size).right(-(size // 2))])
    return found


def _least(a: Any, b: Any) -> Any:
    return Mux(a < b, a, b)


def _largest(a: Any, b: Any) -> Any:
    return Mux(a > b, a, b)


def _extremes(flow: _Flow, channel: str, size: int) -> tuple[_Number, _Number]:
    """The smallest value of the cell, and the largest minus it."""
    rows = [flow.row(flow.channel(channel), i) for i in cell(size)]
    least, largest = (
        flow.run(function, flow.fold(function, rows), size).right(-(size // 2)) for function in (_least, _largest)
    )
    return least, flow.apply(lambda high, low: (high - low)[:8], largest, least)


def _range(flow: _Flow, channel: str, size: int) -> list[list[_Number]]:
    return [[flow.once(_extremes, channel, size)[1]]]


def _mid(flow: _Flow, channel: str, size: int) -> list[list[_Number]]:
    least, span = flow.once(_extremes, channel, size)
    return [[flow.apply(lambda a, low: (a - low)[:8] << 2, flow.row(flow.channel(channel), 0), least), span]]


def _haar(flow: _Flow, channel: str, size: int) -> list[list[_Number]]:
    a, half = flow.channel(channel), size // 2
    # The sums of half a cell of rows, from the uppermost to the lowest.
    halves = [
        flow.fold(_add, [flow.row(a, i) for i in range(start, start + half)]) for start in range(-size, size, half)
    ]
    middle = flow.run(_add, flow.apply(_add, halves[1], halves[2]), size)
    across = flow.apply(_subtract, middle, middle.right(-size))
    upper, lower = (flow.apply(_add, *pair) for pair in (halves[:2], halves[2:]))
    down = flow.run(_add, flow.apply(_subtract, lower, upper), size).right(-half)
    return [[it] for way in (across, down) for it in (way, flow.apply(lambda number: -number, way))]


def _higher(limit: int, height: Any, span: Any) -> Any:
    """Whether a height, in quarters, is above ``limit`` times the span, by additions instead of a multiplier."""
    return (height > sum(span << i for i in range(2) if limit >> i & 1)) & _exceeds(8, span)


def _nb8(flow: _Flow, channel: str, distance: int) -> list[list[_Number]]:
    a = flow.channel(channel)
    here = flow.row(a, 0)
    return [[flow.apply(_subtract, here, flow.row(a, distance * i).right(distance * j))] for i, j in AROUND]


class Row(NamedTuple):
    """A kind of planes as hardware.

    measure: ``measure(flow, channel, *settings)``, the numbers of each part. above: ``above(limit, *numbers)``, the bit
    of a part; the limit is that of the kind.
    """

    measure: Callable[..., list[list[_Number]]]
    above: Callable[..., Any] = _exceeds


#: The kinds of planes, by name.
ROWS: dict[str, Row] = {
    "threshold": Row(_threshold),
    "hog": Row(_hog),
    "range": Row(_range),
    "mid": Row(_mid, _higher),
    "haar": Row(_haar),
    "nb8": Row(_nb8),
}


class PlaneFlow:
    """The planes of a rule as numbers in step with the pixels, and the size of their gateware.

    pixel, inside: the inputs. flow: the registers and lines. bits: the signals of the planes, those of one pixel.
    padding, padding_rows, cycles_per_image, line_bits: see :class:`PixelPlanes`. delay: so many steps after its pixel
    was taken a bit is given. line_words: of the block RAM. register_bits: of the registers, the fewest logic cells.

    Raises :class:`UsageError` for channels that the images lack, and for too many planes.
    """

    def __init__(self, rule: PlaneRule, image_shape: tuple[int, ...]) -> None:
        *several, self.height, self.width = image_shape
        self.channels = channels = several[0] if several else 1
        rule.planes(channels)
        reaches = [term.kind.reach(*term.settings) for term in rule.terms]
        before, after = (max(reach[side] for reach in reaches) for side in (0, 1))
        self.pixel, self.inside = Signal(8 * channels), Signal()
        self.flow = _Flow(after, self.pixel, self.inside)
        bits = [bit for term in rule.terms for bit in self._bits(term, term.read(channels))]
        self.bits, columns = self.flow.aligned(bits)
        self.padding = max(before, after)
        self.line_words = self.width + self.padding
        self.delay = after * self.line_words + columns
        # The last bits of an image leave while the padding is taken.
        self.padding_rows = max(before, -(-(self.delay - self.padding) // self.line_words))
        self.rows = self.height + self.padding_rows
        self.cycles_per_image = self.rows * self.line_words
        self.line_bits = sum(len(signal) for signal, _ in self.flow.lines)
        self.register_bits = sum(len(signal) for signal, _ in self.flow.registers)

    def _bits(self, term: Term, channels: str) -> list[_Number]:
        row = ROWS[term.kind.name]
        measured = [row.measure(self.flow, channel, *term.settings) for channel in channels]
        return [
            self.flow.apply(partial(row.above, term.kind.limit(level, *term.settings)), *numbers)
            for level in term.levels
            for parts in measured
            for numbers in parts
        ]


class PixelPlanes(wiring.Component):  # type: ignore[misc]
    """The planes of a rule at each pixel of a stream of images, equal to :meth:`rdahw.data.planes.PlaneRule.transform`.

    rule: the planes. image_shape: (height, width) of grey images or (3, height, width) of colour images.

    pixels: the images, one after the other, row by row: 8 bits of grey, or red in bits 0 to 7, green in 8 to 15 and
        blue in 16 to 23.
    planes: for each pixel, in the same order, the bits of all planes, plane 0 in bit 0. An image is given to its end
        without a pixel of the next one.

    A pixel is taken in every cycle, except for ``flow.padding`` columns after each row and ``flow.padding_rows`` rows
    after each image: an image takes ``flow.cycles_per_image`` cycles if neither stream waits. ``flow.line_bits`` is the
    width of the block RAM, which has a word for each column and each of the padding. ``ready`` depends on that of
    ``planes`` in the same cycle.

    Raises :class:`UsageError` for channels that the images lack, and for too many planes.
    """

    def __init__(self, rule: PlaneRule, image_shape: tuple[int, ...]) -> None:
        #: Its numbers and sizes.
        self.flow = flow = PlaneFlow(rule, image_shape)
        super().__init__(
            {"pixels": In(stream.Signature(8 * flow.channels)), "planes": Out(stream.Signature(len(flow.bits)))}
        )

    def _place(self, m: Module, name: str, start: int, step: Any) -> tuple[Any, Any, Any]:
        """A place that moves in every step, from the place number ``start`` on: its column, the next one, and whether
        it is inside of the image."""
        column = Signal(range(self.flow.line_words), init=start % self.flow.line_words, name=f"{name}_column")
        row = Signal(range(self.flow.rows), init=start // self.flow.line_words, name=f"{name}_row")
        following = Signal.like(column, name=f"{name}_following")
        at_end = column == self.flow.line_words - 1
        m.d.comb += following.eq(Mux(at_end, 0, column + 1))
        with m.If(step):
            m.d.sync += column.eq(following)
            with m.If(at_end):
                m.d.sync += row.eq(Mux(row == self.flow.rows - 1, 0, row + 1))
        return column, following, (row < self.flow.height) & (column < self.flow.width)

    def elaborate(self, platform: Any) -> Module:
        m, flow = Module(), self.flow
        step, free, primed = Signal(), Signal(), Signal()
        # At first, the padding of an image that was not there.
        start = (flow.height - 1) * flow.line_words + flow.width
        column, following, inside = self._place(m, "taken", start % flow.cycles_per_image, step)
        *_, given = self._place(m, "given", (start + 1 - flow.delay) % flow.cycles_per_image, step)
        m.d.comb += [
            free.eq(~self.planes.valid | self.planes.ready),
            flow.inside.eq(inside),
            flow.pixel.eq(Mux(inside, self.pixels.payload, 0)),
            self.pixels.ready.eq(free & inside),
            step.eq(free & (~inside | self.pixels.valid)),
            self.planes.payload.eq(Cat(flow.bits)),
        ]
        with m.If(step):
            m.d.sync += [self.planes.valid.eq(given & primed), primed.eq(primed | inside)]
            m.d.sync += [register.eq(value) for register, value in flow.flow.registers]
        with m.Elif(self.planes.ready):
            m.d.sync += self.planes.valid.eq(0)

        if flow.flow.lines:
            data = memory.MemoryData(shape=flow.line_bits, depth=flow.line_words, init=[])
            there, write = block_memory(m, "lines", data, Mux(step, following, column))
            outputs, inputs = zip(*flow.flow.lines, strict=True)
            m.d.comb += [
                Cat(outputs).eq(there),
                write.addr.eq(column),
                write.data.eq(Cat(inputs)),
                write.en.eq(step),
            ]
        return m
