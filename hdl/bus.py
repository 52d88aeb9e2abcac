"""A predictor behind a bus: words of examples in, predictions out.

:class:`PacketPredictor` turns words into examples and predictions into words, by valid and ready; each bus of
:data:`BUSES` gives it the ports and the names of its standard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amaranth.hdl import Cat, ClockDomain, Const, Module, Mux, ResetInserter, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.data import StructLayout  # type: ignore[import-untyped]
from amaranth.lib.fifo import SyncFIFO  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.hdl.trainer import Trainer
from rdahw.wording import plural

__all__ = [
    "BUSES",
    "REGISTERS",
    "WIDTHS",
    "AxiStream",
    "PacketPredictor",
    "Register",
    "SkidBuffer",
    "Wishbone",
    "register_table",
]

#: The widths of data that buses have, in bits.
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
#: That of a bus for which none is given.
USUAL_WIDTH = 32

#: The most examples in a predictor that does not state its delay: two in its buffer, one that is decided, one result.
_IN_MEMORY = 4

#: What a prediction is in each code of labels.
_CODES = {
    "binary": "the number that is predicted, such as that of a class, from 0",
    "one-hot": "a bit for each class; any other than a single 1 is no class",
}


class SkidBuffer(wiring.Component):  # type: ignore[misc]
    """Passes on a stream of ``shape`` in the same cycle; ``ready`` of its input is a register, so that no path leads
    from one side's ready to the other's. It holds the transfer that arrives in the cycle in which its output stalls."""

    def __init__(self, shape: Any) -> None:
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        full, kept = Signal(), Signal(self.input.payload.shape(), reset_less=True)
        m.d.comb += [
            self.input.ready.eq(~full),
            self.output.valid.eq(self.input.valid | full),
            self.output.payload.eq(Mux(full, kept, self.input.payload)),
        ]
        with m.If(self.output.ready):
            m.d.sync += full.eq(0)
        with m.Elif(self.input.valid & ~full):
            m.d.sync += [full.eq(1), kept.eq(self.input.payload)]
        return m


class PacketPredictor(wiring.Component):  # type: ignore[misc]
    """``predictor``, a fixed model, between words of ``width`` bits (one of :data:`WIDTHS`; None: the usual one) and
    predictions, all outputs from registers.

    Members:

    words : In(stream of ``data`` and ``last``): an example is ``beats`` words, bit i of it in bit i mod ``width`` of
        word i div ``width``; the bits after it have no meaning. A word with ``last`` ends a packet of any number of
        examples.
    predictions : Out(stream of ``data``, ``last`` and ``error``): one for each example, in order: the wires of the
        prediction, padded with zeros to a width of :data:`WIDTHS`; ``last`` for the last one of a packet. If ``last``
        came before the last word of an example, the missing words count as 0, and its prediction has ``error``.

    Both streams may wait in any cycle. ``delay``: the clock cycles from an example's last word to its prediction, if
    neither waits; None: they differ. ``cycles``: the most from one example to the next then.

    Raises :class:`UsageError` if the predictor takes words of another width, or has predictions that are too wide.
    """

    def __init__(self, predictor: Trainer, width: int | None = None) -> None:
        self.interface = its = predictor.interface
        if its.word_bits and width not in (None, its.word_bits):
            raise UsageError(
                f"the predictor reads {its.word_bits} bits of an example at a time from memory, and the bus has "
                f"{width}; give --bus-bits {its.word_bits}, or leave it out"
            )
        self.width = width or its.word_bits or USUAL_WIDTH
        if its.output_bits > WIDTHS[-1]:
            raise UsageError(
                f"a prediction has {its.output_bits:,} bits, and a bus at most {WIDTHS[-1]:,}; export without --bus"
            )
        self.result_width = next(wide for wide in WIDTHS if wide >= its.output_bits)
        self.beats = -(-its.input_bits // self.width)
        self.delay = None if predictor.delay is None else predictor.delay + 1
        # A predictor that takes words takes the label after them.
        self.cycles = max(self.beats + bool(its.word_bits), predictor.cycles(updated=False))
        self._core = predictor.linked()
        # One more than the examples on their way, so that one can enter while another leaves.
        self._most = (predictor.delay or _IN_MEMORY) + 1
        words = StructLayout({"data": self.width, "last": 1})
        predictions = StructLayout({"data": self.result_width, "last": 1, "error": 1})
        super().__init__({"words": In(stream.Signature(words)), "predictions": Out(stream.Signature(predictions))})

    @property
    def notes(self) -> Sequence[str]:
        """What a user of the streams has to know, in lines for the comments of a file."""
        its = self.interface
        where = f"bit i mod {self.width} of word i div {self.width}" if self.beats > 1 else "bit i of the word"
        timing = (
            f"An example takes at most {plural(self.cycles, 'clock cycle')} if no side waits.",
            f"The prediction is valid {plural(self.delay or 0, 'clock cycle')} after the last word of x was taken.",
        )
        return (
            f"An example x is {plural(self.beats, 'word')} of {self.width} bits; bit i of x, which has",
            f"{plural(its.input_bits, 'bit')}, is {where}. Its prediction is one word, in the low",
            f"{plural(its.output_bits, 'bit')}: {_CODES[its.code]}.",
            *timing[: 1 if self.delay is None else 2],
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.core = core = self._core
        m.submodules.skid = skid = SkidBuffer(self.words.payload.shape())
        # What is known of each example on its way through the predictor: last and error.
        m.submodules.tags = tags = SyncFIFO(width=2, depth=self._most)
        wiring.connect(m, wiring.flipped(self.words), skid.input)

        # No signal has 0 bits, as Verilog has no such wires.
        number, padding, moves = Signal(range(max(2, self.beats))), Signal(), Signal()
        word, at_end = skid.output, Signal()
        early = word.payload.last & ~at_end
        data = Mux(padding, 0, word.payload.data)
        present = word.valid | padding
        m.d.comb += [
            at_end.eq(number == self.beats - 1),
            word.ready.eq(moves & ~padding),
            tags.w_data.eq(Cat(padding | word.payload.last, padding)),
            tags.w_en.eq(moves & at_end),
        ]
        with m.If(moves):
            m.d.sync += [number.eq(Mux(at_end, 0, number + 1)), padding.eq((padding | early) & ~at_end)]
        example = core.examples
        enters = present & (tags.w_rdy | ~at_end)
        if self.interface.word_bits:
            m.d.comb += [
                example.payload.x.eq(data),
                example.valid.eq(enters),
                moves.eq(enters & example.ready),
            ]
        else:
            x = data
            if self.beats > 1:
                before = Signal(self.width * (self.beats - 1), reset_less=True)  # the words before the last one
                x = Cat(before, data)
                with m.If(moves):
                    m.d.sync += before.eq(x[self.width :])
            m.d.comb += [
                example.payload.x.eq(x),
                example.valid.eq(enters & at_end),
                moves.eq(enters & (example.ready | ~at_end)),
            ]

        free = ~self.predictions.valid | self.predictions.ready
        m.d.comb += [core.results.ready.eq(free), tags.r_en.eq(free & core.results.valid)]
        with m.If(free):
            m.d.sync += [
                self.predictions.valid.eq(core.results.valid),
                self.predictions.payload.data.eq(core.results.payload.prediction),
                Cat(self.predictions.payload.last, self.predictions.payload.error).eq(tags.r_data),
            ]
        return m


class AxiStream(wiring.Component):  # type: ignore[misc]
    """``core`` with the ports of AXI4-Stream: ``s_axis`` takes the words, ``m_axis`` gives the predictions, with
    ``tuser`` for ``error``; ``aclk`` and ``aresetn``, the reset, synchronous and active low."""

    about = "with AXI4-Stream ports,"

    def __init__(self, core: PacketPredictor) -> None:
        self.core = core
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(core.width),
                "s_axis_tlast": In(1),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(core.result_width),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
            }
        )

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the comments of a file."""
        return (
            "aclk: clock, rising edge; aresetn: synchronous reset, active low. All outputs are registers.",
            *self.core.notes,
            "TLAST with the last word of an example ends a packet of any number of examples, and comes with its",
            "prediction. A packet that ends within an example has TUSER = 1 with its last prediction, which has no",
            "meaning.",
        )

    def header(self, name: str) -> str:
        """There is none, as there are no registers."""
        return ""

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = clocked = ClockDomain(local=True)
        m.submodules.core = core = self.core
        words, predictions = core.words, core.predictions
        m.d.comb += [
            clocked.clk.eq(self.aclk),
            clocked.rst.eq(~self.aresetn),
            words.payload.data.eq(self.s_axis_tdata),
            words.payload.last.eq(self.s_axis_tlast),
            words.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(words.ready),
            self.m_axis_tdata.eq(predictions.payload.data),
            self.m_axis_tlast.eq(predictions.payload.last),
            self.m_axis_tuser.eq(predictions.payload.error),
            self.m_axis_tvalid.eq(predictions.valid),
            predictions.ready.eq(self.m_axis_tready),
        ]
        return m


class Register(NamedTuple):
    """A row of a register map: a word of 32 bits at its place in the table. access: ``read`` or ``write``."""

    name: str
    access: str
    meaning: str


#: The registers of a predictor; the last one has as many words as a prediction. The register map of docs/buses.md and
#: the C header are made from it.
REGISTERS = (
    Register(
        "FINGERPRINT_LOW", "read", "the low 32 bits of a number for the model and its options, not for what it learned"
    ),
    Register("FINGERPRINT_HIGH", "read", "the high 32 bits of it"),
    Register("EXAMPLE_WORDS", "read", "the words of an example"),
    Register("STATUS", "read", "bit 0: a word can be written to WORD; bit 1: a prediction waits"),
    Register("CONTROL", "write", "bit 0: drop the prediction that waits; bit 1: drop all examples and predictions"),
    Register("WORD", "write", "the next word of an example"),
    Register("PREDICTION", "read", "the prediction that waits, the low 32 bits first; it stays until it is dropped"),
)
#: The bits of a register.
REGISTER_BITS = 32


def register_table() -> str:
    """:data:`REGISTERS` as a table in Markdown."""
    rows = [f"| `0x{4 * at:02x}` | `{row.name}` | {row.access} | {row.meaning} |" for at, row in enumerate(REGISTERS)]
    return "\n".join(["| address | register | access | meaning |", "|---|---|---|---|", *rows, ""])


class Wishbone(wiring.Component):  # type: ignore[misc]
    """``core`` behind the registers of :data:`REGISTERS` on a Wishbone bus (B4, classic cycles), with ports of 32 bits
    that are accessed as a whole; ``adr_i`` counts registers. An access takes two clock cycles. It ends with ``err_o``
    instead of ``ack_o``, and without effect, if a word cannot be taken, or there is no such register to read or write.

    Raises :class:`UsageError` for wider words.
    """

    about = "behind registers on a Wishbone bus,"

    def __init__(self, core: PacketPredictor) -> None:
        if core.width > REGISTER_BITS:
            raise UsageError(
                f"a register has {REGISTER_BITS} bits, and --bus-bits is {core.width}; give at most {REGISTER_BITS}, "
                "or leave it out"
            )
        self.core = core
        self._results = -(-core.result_width // REGISTER_BITS)
        super().__init__(
            {
                "clk_i": In(1),
                "rst_i": In(1),
                "cyc_i": In(1),
                "stb_i": In(1),
                "we_i": In(1),
                "adr_i": In(range(len(REGISTERS) - 1 + self._results)),
                "dat_i": In(REGISTER_BITS),
                "dat_o": Out(REGISTER_BITS),
                "ack_o": Out(1),
                "err_o": Out(1),
            }
        )

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the comments of a file."""
        rows = (f"  0x{4 * at:02x} {row.name} ({row.access}): {row.meaning}" for at, row in enumerate(REGISTERS))
        return (
            "clk_i: clock, rising edge; rst_i: synchronous reset, active high. Wishbone B4, classic cycles; adr_i",
            "counts registers of 32 bits, whose addresses in bytes are:",
            *rows,
            *self.core.notes,
        )

    def header(self, name: str) -> str:
        """A C header with the registers' addresses in bytes, for the module ``name``."""
        its, prefix = self.core.interface, name.upper()
        values = {row.name: (f"0x{4 * at:02x}", f"{row.access}: {row.meaning}") for at, row in enumerate(REGISTERS)}
        values |= {
            "ID": (f"0x{its.fingerprint:016x}ULL", "what FINGERPRINT_HIGH and FINGERPRINT_LOW are"),
            "WORDS": (str(self.core.beats), "what EXAMPLE_WORDS is"),
            "WORD_BITS": (str(self.core.width), "the bits of an example in a word"),
            "PREDICTION_BITS": (str(its.output_bits), "the bits of a prediction"),
        }
        body = "\n".join(f"#define {prefix}_{key} {value} /* {meaning} */" for key, (value, meaning) in values.items())
        return (
            f"/* The registers of {name}, addresses in bytes; written by rdahw export. */\n"
            f"#ifndef {prefix}_H\n#define {prefix}_H\n{body}\n#endif\n"
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = clocked = ClockDomain(local=True)
        m.d.comb += [clocked.clk.eq(self.clk_i), clocked.rst.eq(self.rst_i)]
        core, restart = self.core, Signal()
        m.submodules.core = ResetInserter(restart)(core)
        words, predictions, fingerprint = core.words, core.predictions, core.interface.fingerprint
        status = Cat(words.ready, predictions.valid)
        shown = Mux(predictions.valid, predictions.payload.data, 0)
        access = self.cyc_i & self.stb_i & ~self.ack_o & ~self.err_o

        def at(name: str, word: int = 0) -> Any:
            row = next(i for i, row in enumerate(REGISTERS) if row.name == name)
            direction = self.we_i if REGISTERS[row].access == "write" else ~self.we_i
            return access & direction & (self.adr_i == row + word)

        reads: list[tuple[Any, Any]] = [
            (at("FINGERPRINT_LOW"), Const(fingerprint & 0xFFFFFFFF, 32)),
            (at("FINGERPRINT_HIGH"), Const(fingerprint >> 32, 32)),
            (at("EXAMPLE_WORDS"), Const(core.beats, 32)),
            (at("STATUS"), status),
            *((at("PREDICTION", k), shown.word_select(k, REGISTER_BITS)) for k in range(self._results)),
        ]
        control, word = at("CONTROL"), at("WORD")
        done = Cat(chosen for chosen, _ in reads).any() | control | (word & words.ready)
        # Expressions, not statements under conditions: Icarus Verilog would leave those undefined until an input
        # changes for the first time.
        m.d.comb += [
            words.payload.data.eq(self.dat_i),
            words.valid.eq(word),
            predictions.ready.eq(control & self.dat_i[0]),
            restart.eq(control & self.dat_i[1]),
        ]
        m.d.sync += [self.ack_o.eq(done), self.err_o.eq(access & ~done)]
        for chosen, value in reads:
            with m.If(chosen):
                m.d.sync += self.dat_o.eq(value)
        return m


#: From the name that ``--bus`` takes to the component, which is made from a :class:`PacketPredictor`.
BUSES: Mapping[str, Any] = {"axi-stream": AxiStream, "wishbone": Wishbone}
