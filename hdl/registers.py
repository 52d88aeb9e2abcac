"""The registers of a predictor or trainer on a bus: one table, from which gateware, C header and page are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.hdl.packets import PacketModel
from rdahw.hdl.trainer import TrainerControl

__all__ = ["REGISTERS", "REGISTER_BITS", "Bit", "Register", "Registers", "register_table"]

#: The bits of a register.
REGISTER_BITS = 32


#: Which modules have a register, or a bit of one.
_NEEDS = {"": "all", "words": "`axi`, `wishbone`", "learns": "trainers"}


class Bit(NamedTuple):
    """A bit of a register; needs: as of a :class:`Register`."""

    name: str
    meaning: str
    needs: str


class Register(NamedTuple):
    """A row of a register map: a word of 32 bits at its place in the table.

    access: ``read``, ``write`` or both. bits: those with a meaning of their own, from bit 0 on. needs: what has it:
    ``words``: modules whose examples go through registers; ``learns``: trainers; "": all.
    """

    name: str
    access: str
    meaning: str
    bits: tuple[Bit, ...] = ()
    needs: str = ""


#: The registers of predictors and trainers; the last one has as many words as a prediction. The register map of
#: docs/buses.md and the C header are made from it.
REGISTERS = (
    Register(
        "FINGERPRINT_LOW", "read", "the low 32 bits of a number for the model and its options, not for what it learned"
    ),
    Register("FINGERPRINT_HIGH", "read", "the high 32 bits of it"),
    Register("EXAMPLE_WORDS", "read", "the words of an example"),
    Register(
        "STATUS",
        "read",
        "what can be done now",
        (
            Bit("WORD", "a word can be written to WORD", "words"),
            Bit("PREDICTION", "a prediction waits", "words"),
            Bit("PARAMETERS", "no access to the parameters is under way; until then they take no other", "learns"),
        ),
    ),
    Register(
        "CONTROL",
        "write",
        "what is to be done",
        (
            Bit("TAKE", "drop the prediction that waits", "words"),
            Bit("DROP", "drop all examples and predictions; those written as a whole are learned before", "words"),
            Bit("CLEAR", "set parameters and counts to those at power-up", "learns"),
        ),
    ),
    Register("WORD", "write", "the next word of an example", needs="words"),
    Register("EXAMPLE_COUNT", "read", "examples that were learned from, modulo 2^32", needs="learns"),
    Register("ERROR_COUNT", "read", "those of them that were predicted wrongly", needs="learns"),
    Register("ADDRESS", "read, write", "the number of a word of the parameters; a write reads it", needs="learns"),
    Register("DATA", "read, write", "that word; a write writes it to the parameters", needs="learns"),
    Register(
        "PREDICTION",
        "read",
        "the prediction that waits, the low 32 bits first; it stays until it is dropped",
        needs="words",
    ),
)


def _lines(row: Register, bits: Sequence[tuple[int, str]]) -> str:
    """Its meaning, or that of these bits."""
    return "; ".join(f"bit {at}: {meaning}" for at, meaning in bits) or row.meaning


def register_table() -> str:
    """:data:`REGISTERS` as a table in Markdown."""
    lines = ["| address | register | of | access | meaning |", "|---|---|---|---|---|"]
    for number, row in enumerate(REGISTERS):
        bits = [(at, f"(`{bit.name}`, {_NEEDS[bit.needs]}) {bit.meaning}") for at, bit in enumerate(row.bits)]
        lines.append(
            f"| `0x{4 * number:02x}` | `{row.name}` | {_NEEDS[row.needs]} | {row.access} | {_lines(row, bits)} |"
        )
    return "\n".join([*lines, ""])


class _Parameters(wiring.Component):  # type: ignore[misc]
    """Reads and writes words of 32 bits through a trainer's ``control``, byte after byte.

    begin : In(1): read the word ``address``, or with ``writes`` write ``data`` to it; not while ``busy``.
    clear : In(1): clear the trainer; not while ``busy``.
    word : Out(32): what was read or written last. Bytes beyond the parameters read as 0, and are not written.
    """

    def __init__(self, control: TrainerControl) -> None:
        self._bytes = control.parameter_bytes
        #: The words of the parameters.
        self.words = -(-self._bytes * 8 // REGISTER_BITS)
        super().__init__(
            {
                "control": Out(control),
                "begin": In(1),
                "writes": In(1),
                "address": In(range(max(2, self.words))),
                "data": In(REGISTER_BITS),
                "clear": In(1),
                "busy": Out(1),
                "word": Out(REGISTER_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        control, part, address = self.control, Signal(2), Signal.like(self.address)
        active, fetching, writing, clearing = Signal(), Signal(), Signal(), Signal()
        octet, inside = Cat(part, address), Signal()
        m.d.comb += [
            inside.eq(octet < self._bytes),
            control.parameter_address.eq(octet),
            control.parameter_write.eq(self.word[:8]),
            control.parameter_write_enable.eq(active & writing & inside),
            control.clear.eq(clearing),
            self.busy.eq(active | fetching | clearing),
        ]
        moved = Signal()  # a byte is over
        m.d.comb += moved.eq(fetching | (active & (~inside | (writing & control.ready))))
        with m.If(active & ~writing & inside & control.ready):  # the byte is there in the next cycle
            m.d.sync += [active.eq(0), fetching.eq(1)]
        with m.If(moved):
            read = Mux(writing, self.word[:8], Mux(fetching, control.parameter_read, 0))
            m.d.sync += [
                self.word.eq(Cat(self.word[8:], read)),
                part.eq(part + 1),
                fetching.eq(0),
                active.eq(part != 3),
            ]
        with m.If(self.begin):
            m.d.sync += [active.eq(1), writing.eq(self.writes), address.eq(self.address)]
            with m.If(self.writes):
                m.d.sync += self.word.eq(self.data)
        with m.If(clearing & control.ready):
            m.d.sync += clearing.eq(0)
        with m.If(self.clear):
            m.d.sync += clearing.eq(1)
        return m


class Registers(wiring.Component):  # type: ignore[misc]
    """``core`` behind the registers of :data:`REGISTERS`; with ``words`` its examples and predictions go through them,
    else its streams are free.

    chosen : In(1): in this cycle the register ``number`` is read, or with ``write`` the 32 bits ``data`` are written.
    done : Out(1): that can be done; else nothing happens. read : Out(32): what is read. Both in the same cycle.

    Raises :class:`UsageError` for words of an example that are wider than a register.
    """

    def __init__(self, core: PacketModel, *, words: bool = True) -> None:
        if words and core.width > REGISTER_BITS:
            raise UsageError(
                f"a register has {REGISTER_BITS} bits, and --bus-bits is {core.width}; give at most {REGISTER_BITS}, "
                "or leave it out"
            )
        self.core, self._words = core, words
        self._has = {"": True, "words": words, "learns": core.interface.learns}
        #: The registers that there are, by their numbers.
        self.rows = {number: row for number, row in enumerate(REGISTERS) if self._has[row.needs]}
        self._results = -(-core.result_width // REGISTER_BITS) if words else 0
        control = TrainerControl(core.interface.parameter_bits)
        self._parameters = _Parameters(control) if core.interface.learns else None
        super().__init__(
            {
                "chosen": In(1),
                "write": In(1),
                "number": In(range(len(REGISTERS) - 1 + max(1, self._results))),
                "data": In(REGISTER_BITS),
                "done": Out(1),
                "read": Out(REGISTER_BITS),
            }
        )

    def _bits(self, row: Register) -> list[tuple[int, Bit]]:
        """Those that there are of a register."""
        return [(at, bit) for at, bit in enumerate(row.bits) if self._has[bit.needs]]

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the comments of a file: the registers with their addresses in bytes."""
        lines = []
        for number, row in self.rows.items():
            lines.append(f"  0x{4 * number:02x} {row.name} ({row.access}): {row.meaning}")
            lines += [f"       bit {at}: {bit.meaning}" for at, bit in self._bits(row)]
        return lines

    def header(self, name: str) -> str:
        """A C header with the registers' addresses in bytes, for the module ``name``."""
        core, its, prefix = self.core, self.core.interface, name.upper()
        values = {row.name: (f"0x{4 * at:02x}", f"{row.access}: {row.meaning}") for at, row in self.rows.items()}
        for row in self.rows.values():
            values |= {f"{row.name}_{bit.name}": (f"0x{1 << at:x}", bit.meaning) for at, bit in self._bits(row)}
        values |= {
            "ID": (f"0x{its.fingerprint:016x}ULL", "what FINGERPRINT_HIGH and FINGERPRINT_LOW are"),
            "WORDS": (str(core.beats), "what EXAMPLE_WORDS is"),
            "WORD_BITS": (str(core.width), "the bits of an example in a word"),
            "PREDICTION_BITS": (str(its.output_bits), "the bits of a prediction"),
        }
        if self._parameters is not None:
            values |= {
                "HEAD_WORDS": (str(core.heads), "the first words of an example: learn, last and the label"),
                "PARAMETER_WORDS": (str(self._parameters.words), "the words of the parameters"),
            }
        body = "\n".join(f"#define {prefix}_{key} {value} /* {meaning} */" for key, (value, meaning) in values.items())
        return (
            f"/* The registers of {name}, addresses in bytes; written by rdahw export. */\n"
            f"#ifndef {prefix}_H\n#define {prefix}_H\n{body}\n#endif\n"
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        core, fingerprint = self.core, self.core.interface.fingerprint
        m.submodules.core = core
        places = {row.name: number for number, row in self.rows.items()}

        def at(name: str, write: bool, word: int = 0) -> Any:
            return self.chosen & (self.write == int(write)) & (self.number == places[name] + word)

        control, quiet = at("CONTROL", True), Const(1)
        status: list[Any] = [Const(0, 2)]
        reads: list[tuple[Any, Any]] = [
            (at("FINGERPRINT_LOW", False), Const(fingerprint & 0xFFFFFFFF, 32)),
            (at("FINGERPRINT_HIGH", False), Const(fingerprint >> 32, 32)),
            (at("EXAMPLE_WORDS", False), Const(core.beats, 32)),
        ]
        writes: list[Any] = []
        if self._words:
            words, predictions = core.words, core.predictions
            waits = predictions.valid & ~core.dropping
            status = [words.ready & ~core.dropping, waits]
            shown, word = Mux(waits, predictions.payload.data, 0), at("WORD", True) & status[0]
            reads += [(at("PREDICTION", False, k), shown.word_select(k, REGISTER_BITS)) for k in range(self._results)]
            writes.append(word)
        if self._parameters is not None:
            m.submodules.parameters = parameters = self._parameters
            wiring.connect(m, parameters.control, core.control)
            quiet = ~parameters.busy
            status.append(quiet)
            address = Signal.like(parameters.address)
            there = at("ADDRESS", True) & quiet & (self.data < parameters.words)
            put = at("DATA", True) & quiet
            reads += [
                (at("EXAMPLE_COUNT", False), parameters.control.example_count),
                (at("ERROR_COUNT", False), parameters.control.error_count),
                (at("ADDRESS", False), address),
                (at("DATA", False) & quiet, parameters.word),
            ]
            writes += [there, put]
            with m.If(there):
                m.d.sync += address.eq(self.data)
            m.d.comb += [
                parameters.begin.eq(there | put),
                parameters.writes.eq(put),
                parameters.address.eq(Mux(there, self.data, address)),
                parameters.data.eq(self.data),
                parameters.clear.eq(control & self.data[2] & quiet),
                core.hold.eq(parameters.busy),
            ]
        obeyed = control & (quiet | ~self.data[2])
        if self._words:
            m.d.comb += [
                words.payload.data.eq(self.data),
                words.valid.eq(word),
                predictions.ready.eq(obeyed & self.data[0]),
                core.drop.eq(obeyed & self.data[1]),
            ]
        reads.append((at("STATUS", False), Cat(*status)))
        m.d.comb += [
            self.done.eq(Cat(chosen for chosen, _ in reads).any() | obeyed | Cat(*writes).any()),
            self.read.eq(reduce(or_, (Mux(chosen, value, 0) for chosen, value in reads))),
        ]
        return m
