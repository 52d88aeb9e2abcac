"""The trainer of a machine with shadow machines (:mod:`rdahw.families.machine.shadow`): a symbol a clock cycle.

The tables, and the state and evidence of every shadow machine, are in registers, and all machines read each symbol at
once. A flip takes a cycle of its own, so that its choice is not in the path of a symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.families.machine.rule import ENOUGH
from rdahw.families.machine.spec import SETTLED, MachineSpec
from rdahw.hdl.beats import Encoder
from rdahw.hdl.circuit import Value
from rdahw.hdl.interface import Interface, Place
from rdahw.hdl.machine_interface import TAKEN, machine_interface, machine_places, register_cycles
from rdahw.hdl.trainer import Trainer, TrainerControl, count, example_layout, result_layout
from rdahw.primitives import Array

__all__ = ["MachineTrainer"]


class _SequenceEncoder(Encoder):
    """Sequences as beats; every one with a wrong label counts as an update, as in the software."""

    says_updates = True

    def updated(self, results: Array) -> Array:
        """Whether a label was wrong, (N,)."""
        return 1 - results[:, self._result["correct"].offset]


class MachineTrainer(Trainer):
    """The machine ``spec`` with shadow machines, bit for bit as :mod:`rdahw.families.machine.shadow`.

    Members:

    examples : In(stream of :func:`rdahw.hdl.trainer.example_layout`): bit t of ``x`` is the symbol of step t, and bit t
        of ``y`` its label. ``last`` is ignored. An example that is only predicted (``learn`` is 0) starts in state 0.
    results : Out(stream of :func:`rdahw.hdl.trainer.result_layout`): the labels that the machine wrote.
    control : In(:class:`rdahw.hdl.trainer.TrainerControl`): the state as by
        :func:`rdahw.hdl.machine_interface.machine_places`. ``ready`` between examples. ``clear`` restores the state
        after a reset.
    busy : Out(1): an example is processed, or the tables are still changing after one.

    An example takes a cycle for each symbol, one more for each flip, and P/8 + 1 more for a start with P new bits. Its
    result is valid in the cycle after its last symbol.

    Raises :class:`UsageError` for a model that is ``software_only``.
    """

    spec: MachineSpec
    #: The fields of the state that are in registers.
    in_registers: tuple[str, ...] = ("counters", "run", "noise", "now")

    def __init__(self, spec: MachineSpec) -> None:
        if spec.software_only:
            raise UsageError(spec.software_only)
        self.spec = spec
        its, first = self.interface, spec.initial_state()
        super().__init__(
            {
                "examples": In(stream.Signature(example_layout(spec.steps, spec.steps, learn=True))),
                "results": Out(stream.Signature(result_layout(spec.steps))),
                "control": In(TrainerControl(its.parameter_bits)),
                "busy": Out(1),
            }
        )
        #: The fields of the state, for simulators.
        self.fields = {
            p.field.name: Signal(p.field.bits, name=p.field.name, init=p.number(first[p.field.name]))
            for p in its.places
            if p.field.name in self.in_registers
        }

    @cached_property
    def interface(self) -> Interface:
        """Its interface to the host link, hosts and simulators."""
        return machine_interface(self.spec)

    @property
    def encoder(self) -> _SequenceEncoder:
        """Converts sequences and results to and from the beats of its streams."""
        return _SequenceEncoder(self)

    @property
    def stream_notes(self) -> Sequence[str]:  # type: ignore[override]
        return ("An example is a sequence: bit t of x is the symbol of step t, bit t of y its label; last is ignored.",)

    @property
    def registers(self) -> tuple[Place, ...]:
        """All fields of the state."""
        return tuple(
            Place(p.field, self.fields[p.field.name], p.size, p.pack, p.unpack) for p in machine_places(self.spec)
        )

    def cycles(self, updated: bool = True) -> int:
        """See :meth:`rdahw.hdl.trainer.Trainer.cycles`; an update may have several flips, and a start."""
        return register_cycles(self.spec, updated)

    @property
    def usual_cycles(self) -> Mapping[str, int]:
        """See :meth:`rdahw.hdl.trainer.Trainer.usual_cycles`; flips are rare."""
        return {"training_examples": self.spec.steps, "predictions": self.spec.steps}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec, result, control, new = self.spec, self.results.payload, self.control, self.examples.payload
        r = _Registers(m, self)
        example, full, left = Signal.like(new, reset_less=True), Signal(), Signal(range(spec.steps))
        last, step, access, idle = Signal(), Signal(), Signal(), Signal()
        wrong, after = Signal(), Signal(spec.steps)
        flips, starts = r.reached.any(), Signal()
        accept = self.examples.valid & self.examples.ready
        # After the last right sequence before it is settled, and between sequences of one symbol, it waits for ``run``.
        waits = r.ended & ((r.right == SETTLED - 1) | (spec.steps == 1))
        m.d.comb += [
            last.eq(left == 0),
            step.eq(full & ~(flips | starts | (r.starting != 0) | waits)),
            idle.eq(~(full | r.ended | flips | (r.starting != 0))),
            access.eq(idle & (control.parameter_write_enable | control.clear)),
            self.examples.ready.eq((~full | (step & last)) & ~access),
            self.busy.eq(~idle),
            control.ready.eq(idle),
        ]
        with m.If(last & self.results.valid & ~self.results.ready):
            m.d.comb += step.eq(0)
        label, missed, erred = Signal(), Signal(), Signal()
        learn = step & example.learn
        m.d.comb += after.eq(Cat(example.x, label)[1:])
        m.d.comb += [missed.eq(label ^ example.y[0]), erred.eq((wrong & ~r.fresh) | missed)]
        with m.If(self.results.ready):
            m.d.sync += self.results.valid.eq(0)
        m.d.sync += r.ended.eq(learn & last)
        with m.If(step):
            m.d.sync += [
                example.x.eq(after),  # the labels take the place of the symbols
                example.y.eq(example.y >> 1),
                left.eq(left - 1),
                wrong.eq(erred),
                r.fresh.eq(last),
            ]
            with m.If(last):
                m.d.sync += [full.eq(0), self.results.valid.eq(1)]
                m.d.sync += [result.prediction.eq(after), result.correct.eq(~erred)]
        with m.If(accept):
            m.d.sync += [example.eq(new), full.eq(1), left.eq(spec.steps - 1)]

        self._read(m, r, example, step, last, label, missed)
        with m.If(flips):
            self._flip(m, r)
        self._end(m, r, wrong, starts)
        self.proof_registers = r.all | {"example": example, "full": full, "left": left, "wrong": wrong}
        self._access(m, r, access)
        # Last, so that it takes the reset of the flip-flops and no logic.
        with m.If(flips | starts):
            m.d.sync += [evidence.eq(0) for evidence in r.evidence]
        with m.If(starts if spec.live else starts | (step & last) | (flips & r.fresh)):
            m.d.sync += [state.eq(0) for state in r.now]
        self.proof_registers["erred"] = count(m, control, r.ended, wrong)
        return m

    def _read(
        self, m: Module, r: _Registers, example: Any, step: Value, last: Value, label: Value, missed: Value
    ) -> None:
        """Read a symbol: steps 1 and 2 of the rule."""
        spec = self.spec
        states, size, symbol = spec.states, spec.size, example.x[0]
        rows = []  # of each table, the bits for this symbol
        for j in range(states + 1):
            row, table = Signal(size // 2, name=f"row{j}"), Cat(*r.bits[j * size : (j + 1) * size])
            m.d.comb += row.eq(Mux(symbol, table[size // 2 :], table[: size // 2]))
            rows.append(row)

        def machine(name: str, rows: Sequence[Value], state: Value) -> Value:
            cell = Signal(states + 1, name=name)
            m.d.comb += cell.eq(Cat(*(row.bit_select(state, 1) for row in rows)))
            return cell

        learn = step & example.learn
        first = r.now[0]
        if spec.live:
            first = Mux(example.learn, r.now[0], r.probe)
        own = machine("machine", rows, first)
        m.d.comb += label.eq(own[states])
        with m.If(learn if spec.live else step):
            m.d.comb += r.next_now[0].eq(own[:states])
        if spec.live:
            with m.If(step):
                m.d.sync += r.probe.eq(Mux(last, 0, own[:states]))
        counts = Signal()
        m.d.comb += counts.eq(learn & (r.right != SETTLED))
        for p, (state, evidence) in enumerate(zip(r.now[1:], r.evidence, strict=True)):
            moved = r.next_evidence[p]
            (j, index), half = divmod(p, size), size // 2
            flipped = rows[j] ^ Mux(symbol == index // half, 1 << index % half, 0)
            its = machine(f"shadow{p}", [*rows[:j], flipped, *rows[j + 1 :]], state)
            with m.If(learn):
                m.d.comb += r.next_now[1 + p].eq(its[:states])
            # Up or down by 1 without carry chains: a bit changes if all below it are 1, or 0.
            below = evidence ^ (~missed).replicate(len(evidence))
            with m.If(counts & (its[states] != label)):
                with m.If(below.all()):
                    m.d.comb += r.next_reached[p].eq(missed)
                with m.Else():
                    changes = Cat(*(below[:i].all() for i in range(len(evidence))))
                    m.d.comb += moved.eq(evidence ^ changes)

    def _flip(self, m: Module, r: _Registers) -> None:
        """Flip the lowest bit whose evidence has reached the level: step 3 of the rule."""
        chosen = Signal(self.spec.count)
        m.d.comb += chosen.eq(Cat(*_lowest(list(r.reached))))
        state = reduce(or_, [its & one.replicate(len(its)) for its, one in zip(r.now[1:], chosen, strict=True)])
        m.d.comb += [its.eq(state) for its in r.next_now]
        m.d.comb += [after.eq(bit ^ one) for after, bit, one in zip(r.next_bits, r.bits, chosen, strict=True)]

    def _end(self, m: Module, r: _Registers, wrong: Value, starts: Value) -> None:
        """Count a sequence in the cycle after its last symbol, and start again if it is time."""
        due, few, noise = Signal(), Signal(), self.fields["noise"]
        right, since, restarts, read = (number[:-1] for number in r.after["run"])
        m.d.sync += [due.eq(~_below(r.since, self.spec.restart - 1)), few.eq(_below(r.right, ENOUGH - 1))]
        with m.If(r.ended & (r.right != SETTLED)):
            m.d.comb += starts.eq(due & (few | wrong))
            m.d.comb += [right.eq(Mux(wrong, 0, r.right + 1)), since.eq(r.since + 1), read.eq(r.read + 1)]
        with m.If(starts):
            m.d.comb += [right.eq(0), since.eq(0)]
            m.d.comb += restarts.eq(r.restarts + 1)
            m.d.sync += r.starting.eq(self.spec.count // TAKEN)
        with m.If(r.starting != 0):
            taken = noise[:TAKEN] ^ noise[31 : 31 + TAKEN]
            m.d.sync += r.starting.eq(r.starting - 1)
            m.d.comb += r.after["noise"][0].eq(Cat(noise[TAKEN:], taken))
            m.d.comb += [bit.eq(later) for bit, later in zip(r.next_bits, [*r.bits[TAKEN:], *taken], strict=True)]

    def _access(self, m: Module, r: _Registers, access: Value) -> None:
        """Read, write and clear the state, or move it on."""
        control = self.control
        octets: list[Value] = []
        for place in self.interface.places:
            field, after = self.fields[place.field.name], Cat(*r.after[place.field.name])
            moved = []
            for i in range(0, len(field), 8):
                written = access & (control.parameter_address == len(octets))
                moved.append(Mux(written, control.parameter_write, after[i : i + 8])[: len(field) - i])
                octets.append(Cat(field[i : i + 8], Const(0, max(0, i + 8 - len(field)))))
            m.d.sync += field.eq(Cat(*moved))
            with m.If(access & control.clear):
                m.d.sync += field.eq(field.init)
        if not self.spec.live:
            m.d.sync += r.own_now.eq(Cat(*r.after["now"]))
        m.d.sync += control.parameter_read.eq(Cat(*octets).word_select(control.parameter_address, 8))


class _Registers:
    """The registers of a trainer: views of its ``fields``, and those that are not part of the state.

    bits, evidence: of the tables. now: the states of the machine and of its shadow machines, 0 between sequences unless
    ``live``. probe: with ``live``, the state of an example that is only predicted. reached: which evidence has reached
    the level with the last symbol. fresh: no symbol of the current
    sequence has been read. ended: a sequence was learned in the cycle before. starting: the cycles left of a start.
    after: by field, the parts of its next value, which stays unless it is set; next_bits and so on: views of them.
    """

    def __init__(self, m: Module, trainer: MachineTrainer) -> None:
        spec, fields = trainer.spec, dict(trainer.fields)
        count = len(fields["counters"]) // spec.counter
        if not spec.live:
            fields["now"] = self.own_now = Signal((1 + count) * spec.states, name="now")
        parts, self.after = {}, {}
        for (name, field), width in zip(fields.items(), (spec.counter, spec.run_bits, 63, spec.states), strict=True):
            parts[name] = [field[i : i + width] for i in range(0, len(field), width)]
            self.after[name] = [Signal(width, name=f"next_{name}{i}") for i in range(len(parts[name]))]
            m.d.comb += [after.eq(part) for after, part in zip(self.after[name], parts[name], strict=True)]
        self.bits, self.evidence = [word[-1] for word in parts["counters"]], [word[:-1] for word in parts["counters"]]
        self.next_bits = [word[-1] for word in self.after["counters"]]
        self.next_evidence = [word[:-1] for word in self.after["counters"]]
        self.now, self.next_now = parts["now"], self.after["now"]
        # The numbers of ``run`` without their signs; the first one is at most SETTLED.
        right, self.since, self.restarts, self.read = (number[:-1] for number in parts["run"])
        self.right = right[: SETTLED.bit_length()]
        self.reached, self.fresh, self.ended = Signal(count), Signal(init=1), Signal()
        self.probe = Signal(spec.states)
        self.next_reached = [Signal(name=f"next_reached{p}") for p in range(count)]
        m.d.sync += self.reached.eq(Cat(*self.next_reached))
        self.starting = Signal(range(count // TAKEN + 1))
        #: By name, for proofs.
        self.all = {name: getattr(self, name) for name in ("reached", "fresh", "ended", "probe", "starting")}
        self.all["now"] = fields["now"]


def _below(value: Value, limit: int) -> Value:
    """``value < limit``, with a comparison of the low bits only."""
    width = limit.bit_length()
    return ~value[width:].any() & (value[:width] < limit)


def _lowest(bits: Sequence[Value]) -> list[Value]:
    """Of the bits that are 1 only the lowest, in a tree of groups of four."""
    if len(bits) <= 4:
        return [reduce(lambda value, below: value & ~below, bits[:i], bit) for i, bit in enumerate(bits)]
    groups = [bits[i : i + 4] for i in range(0, len(bits), 4)]
    chosen = _lowest([Cat(*group).any() for group in groups])
    return [one & its for group, its in zip(groups, chosen, strict=True) for one in _lowest(group)]
