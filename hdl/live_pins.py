"""A trainer of a machine on a board's pins: it learns from a signal while that runs, and needs no host.

The signal is sampled at a given rate, or at each rising edge of a clock pin. The label of a sample is a button, which
is debounced. All pins pass two flip-flops first.
"""

from __future__ import annotations

import math

from amaranth.hdl import Cat, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.cdc import FFSynchronizer  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.errors import UsageError
from rdahw.families.machine.spec import MachineSpec
from rdahw.hdl.circuit import Value
from rdahw.hdl.machine_interface import sequence_cycles
from rdahw.hdl.trainer import example_layout
from rdahw.hdl.trainer_factory import make_trainer

__all__ = ["DEBOUNCE", "AloneTrainer", "LiveTrainer", "PinSampler", "live_trainer", "pins_signature"]

#: The label follows its button when that has stayed for about so many seconds.
DEBOUNCE = 5e-3


def pins_signature() -> wiring.Signature:
    """The pins as a board's top level drives them: ``signal``, ``clock``, and ``label``, 1 for a pressed button."""
    return wiring.Signature({"signal": In(1), "clock": In(1), "label": In(1)})


class PinSampler(wiring.Component):  # type: ignore[misc]
    """Sequences of ``steps`` samples of the pins.

    Members:

    pins : Out(:func:`pins_signature`), not synchronised.
    examples : Out(stream of :func:`rdahw.hdl.trainer.example_layout`): bit t of ``x`` is sample t, and bit t of ``y``
        its label. A sequence that is not taken before the next one is complete is lost.

    clock: of the design, in Hz. sample: samples a second; None: at each rising edge of the clock pin.
    """

    def __init__(self, steps: int, clock: int, sample: float | None) -> None:
        self._steps = steps
        self.period = None if sample is None else round(clock / sample)
        self._debounce = max(1, round(math.log2(max(2, clock * DEBOUNCE))))
        layout = example_layout(steps, steps, learn=True)
        super().__init__({"pins": Out(pins_signature()), "examples": Out(stream.Signature(layout))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pins, new = self.pins, self.examples.payload
        signal, edge, button, label = Signal(), Signal(), Signal(), Signal()
        m.submodules.signal = FFSynchronizer(pins.signal, signal)
        m.submodules.label = FFSynchronizer(pins.label, button)
        stayed = Signal(self._debounce)
        with m.If(button == label):
            m.d.sync += stayed.eq(0)
        with m.Else():
            m.d.sync += stayed.eq(stayed + 1)
            with m.If(stayed.all()):
                m.d.sync += label.eq(button)
        self._sample(m, edge)
        x, y = Signal(self._steps), Signal(self._steps)
        left, whole = Signal(range(self._steps), init=self._steps - 1), Signal()
        with m.If(self.examples.ready):
            m.d.sync += self.examples.valid.eq(0)
        m.d.sync += whole.eq(edge & (left == 0))
        with m.If(edge):
            m.d.sync += [x.eq(Cat(x, signal)[1:]), y.eq(Cat(y, label)[1:])]
            if self._steps > 1:
                with m.If(left == 0):
                    m.d.sync += left.eq(left.init)
                with m.Else():
                    m.d.sync += left.eq(left - 1)
        with m.If(whole):
            m.d.sync += [new.x.eq(x), new.y.eq(y), new.last.eq(1), new.learn.eq(1), self.examples.valid.eq(1)]
        return m

    def _sample(self, m: Module, edge: Value) -> None:
        """``edge`` is 1 in the cycles in which the signal is sampled."""
        if self.period is None:
            now, before = Signal(), Signal(init=1)
            m.submodules.clock = FFSynchronizer(self.pins.clock, now)
            m.d.sync += before.eq(now)
            m.d.comb += edge.eq(now & ~before)
            return
        count = Signal(range(self.period))
        m.d.sync += count.eq(count + 1)
        with m.If(count == self.period - 1):
            m.d.sync += [count.eq(0), edge.eq(1)]
        with m.Else():
            m.d.sync += edge.eq(0)


class LiveTrainer(wiring.Component):  # type: ignore[misc]
    """The trainer of ``spec``, a machine with ``live=1``, on the pins of a board.

    Members:

    pins : Out(:func:`pins_signature`).
    activity : Out(1): the label that the machine wrote for the last sample that it has learned from.
    error : Out(1): 1 for a cycle after a sequence in which a label was wrong.

    It must be able to take the samples: see :func:`live_trainer`.
    """

    def __init__(self, spec: MachineSpec, sampler: PinSampler) -> None:
        self.trainer, self._sampler = make_trainer(spec), sampler
        super().__init__({"pins": Out(pins_signature()), "activity": Out(1), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.trainer, m.submodules.sampler = trainer, sampler = self.trainer, self._sampler
        wiring.connect(m, sampler.examples, trainer.examples)
        wiring.connect(m, wiring.flipped(self.pins), sampler.pins)
        result = trainer.results
        m.d.comb += [result.ready.eq(1), self.error.eq(result.valid & ~result.payload.correct)]
        with m.If(result.valid):
            m.d.sync += self.activity.eq(result.payload.prediction[-1])
        return m


class AloneTrainer(wiring.Component):  # type: ignore[misc]
    """The trainer of ``spec`` as it is on pins, without the access to its state; for its size."""

    learns = True

    def __init__(self, spec: MachineSpec) -> None:
        self._trainer = trainer = make_trainer(spec)
        super().__init__({name: trainer.signature.members[name] for name in ("examples", "results")})

    def cycles(self, updated: bool = True) -> int:
        """See :meth:`rdahw.hdl.trainer.Trainer.cycles`."""
        return self._trainer.cycles(updated)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.trainer = self._trainer
        wiring.connect(m, wiring.flipped(self.examples), self._trainer.examples)
        wiring.connect(m, wiring.flipped(self.results), self._trainer.results)
        return m


def live_trainer(spec: MachineSpec, clock: int, sample: float | None) -> LiveTrainer:
    """The trainer at ``clock`` Hz with ``sample`` samples a second; None: at each rising edge of the clock pin.

    Raises :class:`UsageError` if samples come faster than it learns, updates included.
    """
    if sample is not None:
        least = max(2, -(-sequence_cycles(spec) // spec.steps))
        if clock / sample < least:
            raise UsageError(
                f"--sample {sample:g} is too fast for a clock of {clock:,} Hz; give at most {clock // least}, or leave "
                "--sample out for a clock pin"
            )
    return LiveTrainer(spec, PinSampler(spec.steps, clock, sample))
