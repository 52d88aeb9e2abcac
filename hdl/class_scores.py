"""The scores of an ensemble's classes, and the margin rule."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

__all__ = ["ClassScores"]


class ClassScores(wiring.Component):  # type: ignore[misc]
    """Sums the counters of each class, then finds the best class, the target's best rival, and whether to update.

    ``most``: the most words in a sum. ``sign``: only the highest bit of a counter is added.

    clear: sets the sums and ``done`` to zero; has priority over ``add``.
    add: adds the word ``counters`` to the sums: one counter for each class, the lowest class first, unsigned, as their
        sign bits are inverted. That adds the same number to all sums, which changes neither the order nor a difference.
    start: begins the comparison of the sums in the next cycle; they must not change until it is ``done``.
        target: the class, one-hot. margin: as in :class:`rdahw.families.ensemble.spec.EnsembleSpec`; one of more than
            ``margin_bits`` bits can be given as all ones, as no difference is larger.
    done: from ``latency`` cycles after ``start`` until the next one these are valid: ``prediction``, the class of the
        largest sum, the lowest one on a tie; ``correct``: it is the target; ``rival``, likewise of all but the target,
        one-hot; ``updates``: the target's sum exceeds the rival's by at most the margin.

    All sums are compared at once, bit by bit from the highest (MSB-first maximum by elimination): a class with a 0
    where a remaining class has a 1 is eliminated. On the way the winner's bits are found, and from them its lead.

    ``elaborate`` sets the attribute ``proof_registers``, the registers that proofs refer to, by name.
    """

    def __init__(self, classes: int, counter: int, most: int, *, sign: bool = False) -> None:
        self.classes, self.counter, self.sign = classes, counter, sign
        largest = most if sign else most * ((1 << counter) - 1)
        #: The bits of a sum.
        self.bits = largest.bit_length()
        self.margin_bits = self.bits
        self.latency = self.bits + 3
        super().__init__(
            {
                "clear": In(1),
                "add": In(1),
                "counters": In(classes * counter),
                "start": In(1),
                "target": In(classes),
                "margin": In(self.margin_bits),
                "done": Out(1),
                "prediction": Out(range(classes)),
                "correct": Out(1),
                "rival": Out(classes),
                "updates": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        classes, k = self.classes, self.counter
        sums = [Signal(self.bits, name=f"sum{c}") for c in range(classes)]
        for c, total in enumerate(sums):
            counter = self.counters[c * k : (c + 1) * k]
            with m.If(self.add):
                m.d.sync += total.eq(total + (counter[-1] if self.sign else counter))
            with m.If(self.clear):
                m.d.sync += total.eq(0)

        # A bit of all sums. ``ends``: the last bit has passed each of the stages.
        bit, reading, read, found = Signal(range(max(2, self.bits)), init=self.bits - 1), Signal(), Signal(), Signal()
        ends = Signal(2)
        self.proof_registers = {"reading": reading, "read": read, "found": found, "ends": ends, "bit": bit}
        column, margin_bit, last = Signal(classes), Signal(), Signal()
        m.d.comb += last.eq(reading & (bit == 0))
        m.d.sync += [
            # A column of zeros eliminates no class, so the column is gated and not the elimination, the longest path.
            column.eq(0),
            margin_bit.eq(self.margin.bit_select(bit, 1)),
            ends.eq(Cat(last, ends)),
            read.eq(reading),
            found.eq(read),
        ]
        with m.If(reading):
            m.d.sync += [
                bit.eq(Mux(last, self.bits - 1, bit - 1)),
                column.eq(Cat(total.bit_select(bit, 1) for total in sums)),
            ]

        # Eliminate classes by this bit, and add it to the rival's lead, the highest bit first: after all bits the lead
        # is negative if the target's sum exceeds the rival's by more than the margin.
        # No reset, as a flip-flop has only one, which ``start`` uses.
        leaders, rivals = Signal(classes, reset_less=True), Signal(classes, reset_less=True)
        margin_found, rival_found, target_found = Signal(), Signal(), Signal()
        lead = Signal(range(-(1 << self.bits), 2 << self.bits))
        # All classes start; the target is removed from its rivals in the cycle before the first bit.
        for racers, starters in ((leaders, Const(-1, classes)), (rivals, ~self.target)):
            highest = Signal(name=f"{racers.name}_highest")
            m.d.comb += highest.eq((racers & column).any())
            m.d.sync += racers.eq(racers & starters & (column | ~highest.replicate(classes)))
        m.d.sync += [
            margin_found.eq(margin_bit),
            rival_found.eq((rivals & column).any()),
            target_found.eq((self.target & column).any()),
        ]
        # lead := 2 * lead + margin + rival - target with one adder: the low bit, and one up or down above it.
        odd = margin_found ^ rival_found ^ target_found
        up, down = margin_found & rival_found & ~target_found, ~margin_found & ~rival_found & target_found
        with m.If(found):
            m.d.sync += lead.eq(Cat(odd, lead + Cat(up | down, down).as_signed()))

        m.d.comb += self.updates.eq(lead >= 0)
        # The lowest class of those that are left.
        leader = Signal(classes)
        self.proof_registers |= {"leaders": leaders, "rivals": rivals, "lead": lead, "leader": leader}
        self.proof_registers["done"] = self.done
        m.d.sync += [leader.eq(leaders & -leaders), self.rival.eq(rivals & -rivals)]
        m.d.comb += self.correct.eq((leader & self.target).any())
        for b in range(len(self.prediction)):
            m.d.comb += self.prediction[b].eq(Cat(leader[c] for c in range(classes) if c >> b & 1).any())
        with m.If(last):
            m.d.sync += reading.eq(0)
        with m.If(ends[-1]):
            m.d.sync += self.done.eq(1)
        with m.If(self.clear):
            m.d.sync += self.done.eq(0)
        with m.If(self.start):
            m.d.sync += [
                self.done.eq(0),
                reading.eq(1),
                leaders.eq(~0),
                rivals.eq(~0),
                lead.eq(0),
            ]
        return m
