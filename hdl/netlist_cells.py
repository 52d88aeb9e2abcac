"""The cells of Yosys as wires of a circuit: one row for each kind.

The kinds are those of Yosys' internal library, words (``$add``) and gates (``$_AND_``), with the meaning that its
manual and its simulation library give them. A kind without a row, such as ``$div``, is broken into these by Yosys
(:mod:`rdahw.hdl.reader`). Cells are made of the primitives of bits, so that there is a derivative through each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

from rdahw.errors import UserError
from rdahw.tracing import Wire, cat, equal, mux

__all__ = ["LIBRARY", "REGISTERS", "ROWS", "Cell"]

#: The most address bits of a table.
_MOST_ADDRESS = 20
#: Tables of so many inputs become gates: the XOR of the products of their inputs that have a 1.
_FEW = 2
#: The most inputs of a sum of products that becomes a table where tables are to be kept.
_MOST_INPUTS = 8


class Cell:
    """A cell of a netlist: its parameters as Yosys writes them, the bits of each port (nets as numbers, constants as
    ``"0"`` and ``"1"``), and the wires of its inputs. keeps_tables: small tables become no gates."""

    __slots__ = ("_driver", "_wire", "bits", "keeps_tables", "kind", "parameters")

    def __init__(
        self,
        data: Mapping[str, Any],
        wire: Callable[[Sequence[Any]], Wire],
        driver: Callable[[Any], Cell | None] = lambda net: None,
        keeps_tables: bool = False,
    ) -> None:
        self.kind: str = data["type"]
        self.parameters: Mapping[str, Any] = data["parameters"]
        self.bits: Mapping[str, Sequence[Any]] = data["connections"]
        self._wire, self._driver, self.keeps_tables = wire, driver, keeps_tables

    def driver(self, port: str) -> Cell | None:
        """The cell whose output Y, or the low bits of it, is at an input."""
        bits = self.bits[port]
        found = self._driver(bits[0])
        return found if found is not None and found.bits.get("Y", [])[: len(bits)] == bits else None

    def wire(self, port: str) -> Wire:
        """The wire at an input."""
        return self._wire(self.bits[port])

    def number(self, name: str) -> int:
        """A parameter as a number; 0 if the cell has none of this name."""
        value = self.parameters.get(name, 0)
        return value if isinstance(value, int) else int(value.replace("x", "0"), 2)

    def text(self, name: str) -> str:
        """A parameter as binary digits, the last one bit 0."""
        value = self.parameters[name]
        return format(value, "b") if isinstance(value, int) else str(value)

    @property
    def width(self) -> int:
        """The bits of the output Y."""
        return len(self.bits["Y"])

    @property
    def signed(self) -> bool:
        """Whether all its operands are signed numbers."""
        return all(self.number(f"{port}_SIGNED") for port in "AB" if port in self.bits)

    def extended(self, port: str, width: int) -> Wire:
        """The wire at an input with so many bits: cut, or extended as the signs of the operands ask for."""
        return _extend(self.wire(port), width, self.signed)

    def both(self, width: int) -> tuple[Wire, Wire]:
        """The wires at A and B with so many bits."""
        return self.extended("A", width), self.extended("B", width)

    @property
    def widest(self) -> int:
        """The bits of the wider one of A and B."""
        return max(len(self.bits["A"]), len(self.bits["B"]))


def _extend(a: Wire, width: int, signed: bool) -> Wire:
    if width <= a.width:
        return a[:width]
    return a.gather([*range(a.width), *[a.width - 1] * (width - a.width)]) if signed else a.extend(width)


def _any(a: Wire) -> Wire:
    """One bit: a bit of ``a`` is set."""
    return a if a.width == 1 else ~equal(a, 0)


def _all(a: Wire) -> Wire:
    return equal(a, (1 << a.width) - 1)


# -- arithmetic --------------------------------------------------------------------------------------------------------


def _add(cell: Cell) -> Wire:
    width, widest = cell.width, cell.widest
    for port, other in ("AB", "BA"):
        inner = None if cell.signed or len(cell.bits[port]) > 1 else cell.driver(other)
        if inner is not None and _is_sum(inner, width, len(cell.bits[other])):
            return _with_carry(inner, width, cell.wire(port))
    if not cell.signed and width > widest:
        a, b = cell.both(widest)
        return a.plus(b).extend(width)
    a, b = cell.both(width)
    return a.plus(b)[:width]


def _is_sum(inner: Cell, width: int, read: int) -> bool:
    """Whether all ``read`` bits of a cell are a sum that has not wrapped before its low ``width`` bits are taken."""
    if inner.kind != "$add" or inner.signed:
        return False
    return read == inner.width and inner.width >= min(width, inner.widest + 1)


def _with_carry(inner: Cell, width: int, carry: Wire) -> Wire:
    """A sum and a carry: one addition, with a bit more below. Its products are of different input bits, and those of
    two additions are not."""
    a, b = inner.both(min(width, inner.widest))
    total = cat(a.const(1, 1), a).plus(cat(carry, b))[1:]
    return _extend(total, width, signed=False)


def _subtract(cell: Cell) -> Wire:
    a, b = cell.both(cell.width)
    return ~(~a).plus(b)[: cell.width]


def _negated(a: Wire) -> Wire:
    return ~a.plus((1 << a.width) - 1)[: a.width]


def _multiply(cell: Cell) -> Wire:
    width = cell.width
    a, b = cell.both(width)
    rows = width if cell.signed else min(width, len(cell.bits["B"]))
    total = a & b[0].repeat(width)
    for i in range(1, rows):
        upper = total[i:].plus(a[: width - i] & b[i].repeat(width - i))[: width - i]
        total = cat(total[:i], upper)
    return total


def _less_equal(cell: Cell, first: str, second: str) -> Wire:
    width = cell.widest
    a, b = cell.extended(first, width), cell.extended(second, width)
    if cell.signed:  # signed numbers with the sign bit flipped are in the order of unsigned ones
        sign = 1 << width - 1
        a, b = a ^ sign, b ^ sign
    return a <= b


def _equal(cell: Cell) -> Wire:
    return equal(*cell.both(cell.widest))


# -- shifts and choices ------------------------------------------------------------------------------------------------


def _choose(table: Wire, address: Wire) -> Wire:
    """Bit ``address`` of the table, 0 behind its end."""
    return table.extend(1 << address.width).lookup(address)


def _right(a: Wire, by: Wire, width: int, fill: Wire) -> Wire:
    """The low ``width`` bits of ``a`` shifted down, with ``fill`` from above."""
    a = cat(a, fill.repeat(width - a.width)) if a.width < width else a
    near = max(1, (a.width - 1).bit_length())
    if by.width > near:  # a shift by more leaves nothing of it
        a = mux(_any(by[near:]), fill.repeat(a.width), a)
    for i in reversed(range(min(near, by.width))):
        kept = a[1 << i :] if 1 << i < a.width else None
        moved = fill.repeat(min(1 << i, a.width))
        a = mux(by[i], moved if kept is None else cat(kept, moved), a)
    return a[:width]


def _left(a: Wire, by: Wire) -> Wire:
    """``a`` shifted up."""
    return _right(a[::-1], by, a.width, a.zeros(1))[::-1]


def _shift_left(cell: Cell) -> Wire:
    a = cell.wire("A")
    return _left(_extend(a, cell.width, bool(cell.number("A_SIGNED"))), cell.wire("B"))


def _shift_right(cell: Cell) -> Wire:
    a = cell.wire("A")
    whole = _extend(a, max(cell.width, a.width), bool(cell.number("A_SIGNED")))
    return _found(cell, whole)


def _shift_right_signed(cell: Cell) -> Wire:
    a = cell.wire("A")
    return _right(a, cell.wire("B"), cell.width, a[-1]) if cell.number("A_SIGNED") else _shift_right(cell)


def _shift(cell: Cell) -> Wire:
    """Down by B; if B is signed and negative up by -B. Where nothing comes from is 0."""
    a, b, width = cell.wire("A"), cell.wire("B"), cell.width
    whole = _extend(a, max(width, a.width), cell.kind == "$shift" and bool(cell.number("A_SIGNED")))
    if not cell.number("B_SIGNED"):
        return _found(cell, whole)
    return mux(b[-1], _left(whole, _negated(b))[:width], _right(whole, b, width, whole.zeros(1)))


def _found(cell: Cell, a: Wire) -> Wire:
    """``a`` shifted down by B: a lookup if B is a multiple of a power of two that is no less than the width, so that
    ``a`` is a table of rows."""
    by, width, bits = cell.wire("B"), cell.width, list(cell.bits["B"])
    while bits and bits[-1] == "0":
        bits.pop()
    low = next((i for i, bit in enumerate(bits) if bit != "0"), 0)
    address = by[low : min(max(low + 1, (a.width - 1).bit_length()), max(1, len(bits)))]
    if width > 1 << low or address.width > _MOST_ADDRESS:
        return _right(a, by, width, a.zeros(1))
    size = 1 << low + address.width
    table = a.extend(size) if a.width < size else a[:size]
    if low or width > 1:
        table = table.gather(j + (row << low) for j in range(width) for row in range(1 << address.width))
    found = table.lookup(address)
    beyond = by[low + address.width : len(bits)] if low + address.width < len(bits) else None
    return found if beyond is None else found & (~_any(beyond)).repeat(width)


def _pmux(cell: Cell) -> Wire:
    result, select, options = cell.wire("A"), cell.wire("S"), cell.wire("B")
    for i in reversed(range(select.width)):
        result = mux(select[i], options[i * cell.width : (i + 1) * cell.width], result)
    return result


def _bmux(cell: Cell) -> Wire:
    address, width = cell.wire("S"), cell.width
    return (
        cell.wire("A")
        .gather(j + row * width for j in range(width) for row in range(1 << address.width))
        .lookup(address)
    )


def _table(content: int, address: Wire, keep: bool) -> Wire:
    """The bit of a constant table; keep: with two inputs or more it becomes no gates."""
    width = address.width
    if width > (1 if keep else _FEW):
        return address.const(content, 1 << width).lookup(address)
    terms = []
    for chosen in range(1 << width):
        within = [row for row in range(1 << width) if row & ~chosen == 0]
        if sum(content >> row & 1 for row in within) % 2:
            factors = [address[i] for i in range(width) if chosen >> i & 1]
            terms.append(reduce(lambda p, q: p & q, factors) if factors else address.const(1, 1))
    return reduce(lambda p, q: p ^ q, terms) if terms else address.zeros(1)


def _lut(cell: Cell) -> Wire:
    address = cell.wire("A")
    return _table(int(cell.text("LUT").replace("x", "0"), 2), address, cell.keeps_tables)


def _sop(cell: Cell) -> Wire:
    """A sum of products: of each, two bits for each input say whether it has to be 0, and whether it has to be 1."""
    a, depth, pattern = cell.wire("A"), cell.number("DEPTH"), cell.text("TABLE")[::-1]
    products = []
    for k in range(depth):
        part = pattern[2 * a.width * k : 2 * a.width * (k + 1)].ljust(2 * a.width, "0")
        zeros, ones = ([i for i in range(a.width) if part[2 * i + at] == "1"] for at in (0, 1))
        read = [*([~a.gather(zeros)] if zeros else []), *([a.gather(ones)] if ones else [])]
        products.append((zeros, ones, _all(cat(*read)) if read else a.const(1, 1)))
    if 0 < a.width <= (_MOST_INPUTS if cell.keeps_tables else _FEW):
        rows = (
            any(all(not r >> i & 1 for i in z) and all(r >> i & 1 for i in o) for z, o, _ in products)
            for r in range(1 << a.width)
        )
        return _table(sum(bit << row for row, bit in enumerate(rows)), a, cell.keeps_tables)
    return _any(cat(*(product for _, _, product in products))) if products else a.zeros(1)


def _memory(cell: Cell) -> Wire:
    """The ports of a memory that is only read: its contents are constant tables."""
    width, count, first = cell.number("WIDTH"), cell.number("SIZE"), cell.number("OFFSET")
    address, found = cell.wire("RD_ADDR"), []
    content = cell.text("INIT")[::-1].ljust(width * count, "x")
    each = cell.number("ABITS")
    if first or "x" in content or each > _MOST_ADDRESS:
        raise UserError(
            "a memory that is only read is not filled, does not begin with address 0, or has more than "
            f"{1 << _MOST_ADDRESS} words; initialise all of its words, from 0 on"
        )
    for port in range(cell.number("RD_PORTS")):
        at = address[port * each : (port + 1) * each]
        # Behind the last word there is nothing to read: 0.
        tables = (content[j::width].ljust(1 << each, "0")[: 1 << each] for j in range(width))
        text = "".join(tables)
        found.append(at.const(int(text[::-1], 2), len(text)).lookup(at))
    return cat(*found)


#: Kinds with words. The result has as many bits as the output, or fewer, and zeros are then added.
_WORDS: dict[str, Callable[[Cell], Wire]] = {
    "$not": lambda cell: ~cell.extended("A", cell.width),
    "$pos": lambda cell: cell.extended("A", cell.width),
    "$buf": lambda cell: cell.wire("A"),
    "$neg": lambda cell: _negated(cell.extended("A", cell.width)),
    "$and": lambda cell: reduce(lambda a, b: a & b, cell.both(cell.width)),
    "$or": lambda cell: reduce(lambda a, b: a | b, cell.both(cell.width)),
    "$xor": lambda cell: reduce(lambda a, b: a ^ b, cell.both(cell.width)),
    "$xnor": lambda cell: ~reduce(lambda a, b: a ^ b, cell.both(cell.width)),
    "$add": _add,
    "$sub": _subtract,
    "$mul": _multiply,
    "$eq": _equal,
    "$eqx": _equal,
    "$ne": lambda cell: ~_equal(cell),
    "$nex": lambda cell: ~_equal(cell),
    "$le": lambda cell: _less_equal(cell, "A", "B"),
    "$ge": lambda cell: _less_equal(cell, "B", "A"),
    "$lt": lambda cell: ~_less_equal(cell, "B", "A"),
    "$gt": lambda cell: ~_less_equal(cell, "A", "B"),
    "$reduce_and": lambda cell: _all(cell.wire("A")),
    "$reduce_or": lambda cell: _any(cell.wire("A")),
    "$reduce_bool": lambda cell: _any(cell.wire("A")),
    "$reduce_xor": lambda cell: cell.wire("A").parity(),
    "$reduce_xnor": lambda cell: ~cell.wire("A").parity(),
    "$logic_not": lambda cell: ~_any(cell.wire("A")),
    "$logic_and": lambda cell: _any(cell.wire("A")) & _any(cell.wire("B")),
    "$logic_or": lambda cell: _any(cell.wire("A")) | _any(cell.wire("B")),
    "$shl": _shift_left,
    "$sshl": _shift_left,
    "$shr": _shift_right,
    "$sshr": _shift_right_signed,
    "$shift": _shift,
    "$shiftx": _shift,
    "$mux": lambda cell: mux(cell.wire("S"), cell.wire("B"), cell.wire("A")),
    "$pmux": _pmux,
    "$bmux": _bmux,
    "$lut": _lut,
    "$sop": _sop,
    "$slice": lambda cell: cell.wire("A")[cell.number("OFFSET") : cell.number("OFFSET") + cell.width],
    "$concat": lambda cell: cat(cell.wire("A"), cell.wire("B")),
    "$mem_v2": _memory,
}

#: Kinds of single bits: the inputs, and the function of them.
_GATES: dict[str, tuple[str, Callable[..., Wire]]] = {
    "$_BUF_": ("A", lambda a: a),
    "$_NOT_": ("A", lambda a: ~a),
    "$_AND_": ("AB", lambda a, b: a & b),
    "$_NAND_": ("AB", lambda a, b: ~(a & b)),
    "$_OR_": ("AB", lambda a, b: a | b),
    "$_NOR_": ("AB", lambda a, b: ~(a | b)),
    "$_XOR_": ("AB", lambda a, b: a ^ b),
    "$_XNOR_": ("AB", lambda a, b: ~(a ^ b)),
    "$_ANDNOT_": ("AB", lambda a, b: a & ~b),
    "$_ORNOT_": ("AB", lambda a, b: a | ~b),
    "$_MUX_": ("ABS", lambda a, b, s: mux(s, b, a)),
    "$_NMUX_": ("ABS", lambda a, b, s: ~mux(s, b, a)),
    "$_MUX4_": ("ABCDST", lambda *ports: _choose(cat(*ports[:4]), cat(*ports[4:]))),
    "$_MUX8_": ("ABCDEFGHSTU", lambda *ports: _choose(cat(*ports[:8]), cat(*ports[8:]))),
    "$_MUX16_": ("ABCDEFGHIJKLMNOPSTUV", lambda *ports: _choose(cat(*ports[:16]), cat(*ports[16:]))),
    "$_AOI3_": ("ABC", lambda a, b, c: ~(a & b | c)),
    "$_OAI3_": ("ABC", lambda a, b, c: ~((a | b) & c)),
    "$_AOI4_": ("ABCD", lambda a, b, c, d: ~(a & b | c & d)),
    "$_OAI4_": ("ABCD", lambda a, b, c, d: ~((a | b) & (c | d))),
}


def _gate(ports: str, function: Callable[..., Wire]) -> Callable[[Cell], Wire]:
    return lambda cell: function(*map(cell.wire, ports))


#: From a cell to the wire of its only output.
ROWS: Mapping[str, Callable[[Cell], Wire]] = {**_WORDS, **{kind: _gate(*row) for kind, row in _GATES.items()}}

#: Kinds of registers with input D and output Q: the port of the clock and the parameter or the number that says whether
#: its rising edge counts; none for one that follows every step.
REGISTERS: Mapping[str, tuple[str, str | int]] = {
    "$dff": ("CLK", "CLK_POLARITY"),
    "$_DFF_P_": ("C", 1),
    "$_DFF_N_": ("C", 0),
    "$ff": ("", 1),
    "$_FF_": ("", 1),
}

#: Cells of FPGAs in Verilog, for netlists that use them and do not have them: those of the iCE40, then of the ECP5.
LIBRARY: Mapping[str, str] = {
    "SB_LUT4": """module SB_LUT4(input I0, I1, I2, I3, output O);
  parameter [15:0] LUT_INIT = 0;
  assign O = LUT_INIT[{I3, I2, I1, I0}];
endmodule
""",
    "SB_CARRY": """module SB_CARRY(input I0, I1, CI, output CO);
  assign CO = I0 & I1 | (I0 | I1) & CI;
endmodule
""",
    "LUT4": """module LUT4(input A, B, C, D, output Z);
  parameter [15:0] INIT = 0;
  assign Z = INIT[{D, C, B, A}];
endmodule
""",
    "PFUMX": """module PFUMX(input ALUT, BLUT, C0, output Z);
  assign Z = C0 ? ALUT : BLUT;
endmodule
""",
    "L6MUX21": """module L6MUX21(input D0, D1, SD, output Z);
  assign Z = SD ? D1 : D0;
endmodule
""",
    "CCU2C": """module CCU2C(input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
  parameter [15:0] INIT0 = 0, INIT1 = 0;
  parameter INJECT1_0 = "YES", INJECT1_1 = "YES";
  localparam OPEN0 = INJECT1_0 != "YES", OPEN1 = INJECT1_1 != "YES";
  wire p0 = INIT0[{D0, C0, B0, A0}], p1 = INIT1[{D1, C1, B1, A1}];
  wire c = p0 ? CIN : OPEN0 & INIT0[{B0, A0}];
  assign COUT = p1 ? c : OPEN1 & INIT1[{B1, A1}];
  assign S0 = p0 ^ (OPEN0 & CIN), S1 = p1 ^ (OPEN1 & c);
endmodule
""",
}
