"""A circuit as the text of a module in Verilog or RTLIL, for files of :mod:`rdahw.hdl.export`.

:class:`rdahw.hdl.circuit.CircuitModule` makes the same cells, for designs of Amaranth, which takes minutes to convert
100,000 gates. :data:`ROWS` makes each primitive of cells of Yosys' library, and :data:`CELLS` says how each kind of
cell is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from rdahw.circuit import Circuit
from rdahw.hdl.circuit import port_names_of
from rdahw.hdl.gates import cell
from rdahw.hdl.keywords import KEYWORDS
from rdahw.transform import to_rows

__all__ = ["CELLS", "ROWS", "Cells", "to_rtlil", "to_verilog"]

#: A bit is a number: 0 and 1 are the constants, then come the bits of all wires, one wire after the other.
Bit = int
Bits = Sequence[Bit]


class CellKind(NamedTuple):
    """How a kind of cell is written.

    verilog: the expression of its inputs. gate: the kind of the same cell for single bits, if there is one; it is
    shorter in RTLIL. ports: its inputs.
    """

    verilog: str
    gate: str = ""
    ports: str = "AB"


#: The kinds of cells. All numbers are unsigned; the output Y has the width that the row of the primitive asks for.
CELLS: Mapping[str, CellKind] = {
    "$and": CellKind("{} & {}", "$_AND_"),
    "$or": CellKind("{} | {}", "$_OR_"),
    "$xor": CellKind("{} ^ {}", "$_XOR_"),
    "$not": CellKind("~{}", "$_NOT_", "A"),
    "$mux": CellKind("{2} ? {1} : {0}", "$_MUX_", "ABS"),
    "$reduce_xor": CellKind("^{}", ports="A"),
    "$shift": CellKind("{} >> {}"),
    "$eq": CellKind("{} == {}"),
    "$le": CellKind("{} <= {}"),
    "$add": CellKind("{} + {}"),
    "$mul": CellKind("{} * {}"),
}


class Cells:
    """A circuit as cells, with the ports of :class:`rdahw.hdl.circuit.CircuitModule`.

    module: its name, which is that of no wire, as Verilator refuses this. wires: the name and the width of each wire:
    the inputs, and the output of each cell, in the order of the cells. cells: the kind of each, its inputs, and the
    number of the wire that it drives. results: the name and the bits of each output.
    """

    def __init__(self, circuit: Circuit, module: str) -> None:
        operands, results = port_names_of(circuit)
        self.module = module
        self.wires: list[tuple[str, int]] = []
        self.cells: list[tuple[str, tuple[Bits, ...], int]] = []
        self.inputs = len(operands)
        self._owners = [0, 0]
        self._starts: list[int] = []
        self._prefix = "w"
        while any(name.startswith(self._prefix) for name in (module, *operands, *results)):
            self._prefix += "_"
        lowered = to_rows(circuit, ROWS)
        made = [self._wire(name, type_.width) for name, type_ in zip(operands, lowered.input_types, strict=True)]
        for primitive, reads, attributes in lowered.assignments:
            made.append(ROWS[primitive](self, *(made[i] for i in reads), *attributes))
        self.results = [(name, made[wire]) for name, (_, wire) in zip(results, lowered.outputs, strict=True)]

    def _wire(self, name: str, width: int) -> Bits:
        start = len(self._owners)
        self._owners += [len(self.wires)] * width
        self._starts.append(start)
        self.wires.append((name, width))
        return range(start, start + width)

    def cell(self, kind: str, width: int, *inputs: Bits) -> Bits:
        """The output, of ``width`` bits, of a new cell."""
        self.cells.append((kind, inputs, len(self.wires)))
        return self._wire(f"{self._prefix}{len(self.wires)}", width)

    def parity(self, bits: Bits) -> Bits:
        """The XOR of bits; 0 if there are none."""
        return bits if len(bits) == 1 else self.cell("$reduce_xor", 1, bits) if bits else [0]

    def parts(self, bits: Bits) -> Iterator[tuple[int | None, int, int]]:
        """The bits as runs of neighbours: the wire, the first bit of it, and how many; constants are of wire None, with
        the number in place of the bit."""
        at = 0
        while at < len(bits):
            first, end = bits[at], at + 1
            if first < 2:
                while end < len(bits) and bits[end] < 2:
                    end += 1
                yield None, int("".join(map(str, bits[at:end][::-1])), 2), end - at
            else:
                owner = self._owners[first]
                while end < len(bits) and bits[end] == first + end - at and self._owners[bits[end]] == owner:
                    end += 1
                yield owner, first - self._starts[owner], end - at
            at = end


# -- the rows: (cells, *operands, *attributes) -> the bits of the result -----------------------------------------------


def _binary(kind: str) -> Callable[[Cells, Bits, Bits], Bits]:
    return lambda cells, a, b: cells.cell(kind, len(a), a, b)


def _number(value: int, width: int) -> list[Bit]:
    return [int(digit) for digit in reversed(format(value, f"0{width}b"))]


def _scatter(cells: Cells, a: Bits, indices: Sequence[int], width: int) -> Bits:
    sent: list[list[Bit]] = [[] for _ in range(width)]
    for bit, place in zip(a, indices, strict=True):
        sent[place].append(bit)
    return [bit for bits in sent for bit in cells.parity(bits)]


def _sum(cells: Cells, a: Bits, times: int) -> Bits:
    width = len(a) // times
    return [bit for i in range(width) for bit in cells.parity(a[i::width])]


def _decode(cells: Cells, address: Bits) -> Bits:
    numbers = range(1 << len(address))
    return [cells.cell("$eq", 1, address, _number(k, len(address)))[0] for k in numbers]


def _lookup(cells: Cells, table: Bits, address: Bits) -> Bits:
    rows = 1 << len(address)
    return [cells.cell("$shift", 1, table[at : at + rows], address)[0] for at in range(0, len(table), rows)]


def _popcount(cells: Cells, a: Bits) -> Bits:
    level: list[Bits] = [[bit] for bit in a]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        paired = [cells.cell("$add", max(len(p), len(q)) + 1, p, q) for p, q in pairs]
        level = paired + level[2 * len(paired) :]
    width = len(a).bit_length()
    return [*level[0], *[0] * width][:width]


def _of_words(kind: str) -> Callable[[Cells, Bits, Bits, int], Bits]:
    """A cell for each word, as FPGAs have carry chains and multipliers for them."""

    def row(cells: Cells, a: Bits, b: Bits, bits: int) -> Bits:
        words = range(0, len(a), bits)
        return [bit for at in words for bit in cells.cell(kind, bits, a[at : at + bits], b[at : at + bits])]

    return row


def _negate_words(cells: Cells, a: Bits, chosen: Bits, bits: int) -> Bits:
    result: list[Bit] = []
    for at, bit in zip(range(0, len(a), bits), chosen, strict=True):
        flipped = cells.cell("$xor", bits, a[at : at + bits], [bit] * bits)
        result += cells.cell("$add", bits, flipped, [bit])
    return result


#: The primitives of this back end.
ROWS: Mapping[str, Callable[..., Bits]] = {
    "xor": _binary("$xor"),
    "and": _binary("$and"),
    "const": lambda cells, value, width: _number(value, width),
    "concat": lambda cells, *parts: [bit for part in parts for bit in part],
    "slice": lambda cells, a, start, stop: a[start:stop],
    "repeat": lambda cells, a, times: [*a] * times,
    "sum": _sum,
    "gather": lambda cells, a, indices: [a[i] for i in indices],
    "scatter": _scatter,
    "not": lambda cells, a: cells.cell("$not", len(a), a),
    "or": _binary("$or"),
    "mux": lambda cells, select, a, b: cells.cell("$mux", len(a), b, a, select),
    "decode": _decode,
    "lookup": _lookup,
    "popcount": _popcount,
    "less_equal": lambda cells, a, b: cells.cell("$le", 1, a, b),
    "plus": lambda cells, a, b: cells.cell("$add", len(a) + 1, a, b),
    "to_words": lambda cells, a, bits: a,
    "to_switches": lambda cells, a, bits: a,
    "to_scalars": lambda cells, a, semiring: a,
    "to_bits": lambda cells, a: a,
    "add_words": _of_words("$add"),
    "negate_words": _negate_words,
    "multiply_words": _of_words("$mul"),
}


# -- the text ----------------------------------------------------------------------------------------------------------


class _Syntax(NamedTuple):
    """How a language writes names, constants, parts of a wire, and bits side by side, the highest first."""

    name: Callable[[str], str]
    constant: str
    part: str
    joined: str
    separator: str

    def writer(self, cells: Cells) -> Callable[[Bits], str]:
        """From bits to their text."""

        @cache
        def single(bit: Bit) -> str:
            return part(*next(cells.parts([bit])))

        def part(wire: int | None, at: int, count: int) -> str:
            if wire is None:
                return self.constant.format(count, at)
            name, width = cells.wires[wire]
            where = f"{at}" if count == 1 else f"{at + count - 1}:{at}"
            return self.name(name) if count == width else self.part.format(self.name(name), where)

        def text(bits: Bits) -> str:
            if len(bits) == 1:
                return single(bits[0])
            parts = [part(*each) for each in cells.parts(bits)]
            return parts[0] if len(parts) == 1 else self.joined.format(self.separator.join(reversed(parts)))

        return text


_RTLIL = _Syntax("\\{}".format, "{0}'{1:0{0}b}", "{} [{}]", "{{ {} }}", " ")
_VERILOG = _Syntax(lambda name: f"\\{name} " if name in KEYWORDS else name, "{}'h{:x}", "{}[{}]", "{{{}}}", ", ")


def to_rtlil(cells: Cells) -> str:
    """The cells as a module of RTLIL."""
    return "".join(f"{line}\n" for line in _rtlil(cells, _RTLIL.writer(cells)))


def _rtlil(cells: Cells, text: Callable[[Bits], str]) -> Iterator[str]:
    yield f"module \\{cells.module}"
    for number, (name, width) in enumerate(cells.wires[: cells.inputs], 1):
        yield f"  wire width {width} input {number} \\{name}"
    for number, (name, bits) in enumerate(cells.results, cells.inputs + 1):
        yield f"  wire width {len(bits)} output {number} \\{name}"
    for kind, inputs, output in cells.cells:
        name, width = cells.wires[output]
        row = CELLS[kind]
        yield f"  wire width {width} \\{name}"
        ports = {port: text(bits) for port, bits in zip(row.ports, inputs, strict=True)} | {"Y": f"\\{name}"}
        if row.gate and width == len(inputs[0]) == 1:
            yield from cell(row.gate, f"${name}", ports)
        elif "S" in row.ports:
            yield from cell(kind, f"${name}", ports, {"WIDTH": width})
        else:
            widths = {f"{port}_WIDTH": len(bits) for port, bits in zip(row.ports, inputs, strict=True)}
            signs = {f"{port}_SIGNED": 0 for port in row.ports}
            yield from cell(kind, f"${name}", ports, {**signs, **widths, "Y_WIDTH": width})
    for name, bits in cells.results:
        yield f"  connect \\{name} {text(bits)}"
    yield "end"


def to_verilog(cells: Cells) -> str:
    """The cells as a module of Verilog, each as a wire with its value."""
    lines = _verilog(cells, _VERILOG.writer(cells))
    # Verilator takes at most 40,000 tokens in a line.
    lines = (line if len(line) < 1000 else line.replace(", ", ",\n    ") for line in lines)
    return "".join(f"{line}\n" for line in lines)


def _verilog(cells: Cells, text: Callable[[Bits], str]) -> Iterator[str]:
    def declared(name: str, width: int) -> str:
        return f"[{width - 1}:0] {_VERILOG.name(name)}" if width > 1 else _VERILOG.name(name)

    yield f"module {_VERILOG.name(cells.module)}("
    ports = [f"  input {declared(name, width)}" for name, width in cells.wires[: cells.inputs]]
    yield ",\n".join([*ports, *(f"  output {declared(name, len(bits))}" for name, bits in cells.results)])
    yield ");"
    for kind, inputs, output in cells.cells:
        yield f"  wire {declared(*cells.wires[output])} = {CELLS[kind].verilog.format(*map(text, inputs))};"
    for name, bits in cells.results:
        yield f"  assign {_VERILOG.name(name)} = {text(bits)};"
    yield "endmodule"
