"""What tests of training from flash share: a trainer with a simulated flash on its pins, and small data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring

from rdahw.families.ensemble.rule import Learned
from rdahw.flash_image import FlashImage, Part
from rdahw.hdl.flash_reader import FlashPins, FlashReader
from rdahw.hdl.flash_trainer import REGISTERS, FlashTrainer
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.sim.flash_part import FAULTS, FlashPart
from rdahw.sim.simulator import Exchange, Simulator, make_simulator

#: Slow, so that waking the flash takes few cycles.
CLOCK = 2e6
WAKE = 55
BASE = 1 << 12


def small_image(spec: Any, train: int = 24, test: int = 8, stride: int = 1, seed: int = 1) -> FlashImage:
    random = np.random.default_rng(seed)

    def part(n: int) -> Part:
        labels = random.integers(0, spec.classes, n)
        x = random.random((n, spec.input_bits)) < 0.25 + 0.5 * labels[:, None] / (spec.classes - 1)
        return Part.pack(x.astype(np.uint8), labels)

    return FlashImage(
        train=part(train),
        test=part(test),
        image=spec.image,
        stride=stride,
        name="small",
        rule="midrange",
        label_names=tuple(map(str, range(spec.classes))),
        checksum="0123456789abcdef" * 4,
    )


class Pipe(wiring.Component):
    """A flip-flop in each direction of a flash's pins; while ``deaf``, the reader is told zeros."""

    def __init__(self) -> None:
        self.deaf = Signal()
        super().__init__({"reader": wiring.In(FlashPins()), "flash": wiring.Out(FlashPins())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for name in ("select", "clock", "o", "oe"):
            m.d.sync += getattr(self.flash, name).eq(getattr(self.reader, name))
        m.d.sync += self.reader.i.eq(Mux(self.deaf, 0, self.flash.i))
        return m


class WithFlash(wiring.Component):
    """A component with a member ``flash`` on a simulated part; all its other members are those of this one. ``reset``
    is that of the component: the part and its pads go on. While ``deaf``, pads with flip-flops give zeros."""

    def __init__(self, inner: Any, *, latency: int = 2, **part: Any) -> None:
        self.inner, self.latency = inner, latency
        self.part = FlashPart(**{"wake": WAKE, "pause": 3, **part})
        members = {name: member for name, member in inner.signature.members.items() if name != "flash"}
        self._names = [name for name in members if name != "outcomes"]
        members["outcomes"] = wiring.Out(stream.Signature(inner.outcomes.payload.shape()))
        super().__init__(
            {
                **members,
                "address": wiring.Out(24),
                "data": wiring.In(8),
                "fault": wiring.Out(8),
                "reset": wiring.In(1),
                "deaf": wiring.In(1),
            },
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = ResetInserter(self.reset)(self.inner)
        inner = self.inner
        m.submodules.part = part = self.part
        if self.latency:
            m.submodules.pipe = pipe = Pipe()
            m.d.comb += pipe.deaf.eq(self.deaf)
            wiring.connect(m, inner.flash, pipe.reader)
            wiring.connect(m, pipe.flash, part.pins)
        else:
            wiring.connect(m, inner.flash, part.pins)
        for name in self._names:
            ours, theirs = getattr(self, name), getattr(inner, name)
            if inner.signature.members[name].is_signature:
                wiring.connect(m, wiring.flipped(ours), theirs)
            elif inner.signature.members[name].flow == wiring.In:
                m.d.comb += theirs.eq(ours)
            else:
                m.d.comb += ours.eq(theirs)
        m.d.comb += [
            self.outcomes.valid.eq(inner.outcomes.valid),
            self.outcomes.payload.eq(inner.outcomes.payload),
        ]
        m.d.comb += [self.address.eq(part.address), part.data.eq(self.data), self.fault.eq(part.fault)]
        return m


class Bench:
    """A flash trainer with its flash, in a simulator. make: its trainer."""

    def __init__(
        self,
        spec: Any,
        content: bytes,
        *,
        make: Any = MemoryTrainer,
        engine: str = "amaranth",
        quad: bool = True,
        epochs: int = 1,
        latency: int = 2,
        base: int = BASE,
        **part: Any,
    ) -> None:
        self.spec = spec
        self.trainer = make(spec)
        reader = FlashReader(CLOCK, quad=quad, latency=latency)
        self.design = FlashTrainer(self.trainer, reader, base=base, epochs=epochs)
        registers = {place.field.name: place.at for place in self.trainer.registers} | {"tables": self.trainer.tables}
        design = WithFlash(self.design, latency=latency, **part)
        registers |= {"first fault": design.part.fault, "asleep": design.part.asleep}
        self.simulator: Simulator = make_simulator(design, engine, registers=registers)
        self.simulator.attach("address", "data", b"\xff" * base + content)
        self.simulator.set("results__ready", 1)

    def register(self, name: str) -> int:
        """What the host reads in a register."""
        at, value = self.design.registers_address, 0
        for register in REGISTERS:
            if register.name == name:
                for i in range(register.bytes):
                    self.simulator.set("control__parameter_address", at + i)
                    self.simulator.tick(3)
                    value |= self.simulator.get("control__parameter_read") << 8 * i
                return value
            at += register.bytes
        raise KeyError(name)

    def write(self, name: str, value: int) -> None:
        """As the host writes a register."""
        at = self.design.registers_address
        for register in REGISTERS:
            if register.name == name:
                for i in range(register.bytes):
                    self.simulator.set("control__parameter_address", at + i)
                    self.simulator.set("control__parameter_write", value >> 8 * i & 0xFF)
                    self.simulator.set("control__parameter_write_enable", 1)
                    self.simulator.tick()
                    self.simulator.set("control__parameter_write_enable", 0)
                return
            at += register.bytes
        raise KeyError(name)

    def _outcome(self) -> list[tuple[int, int, int]]:
        if not self.simulator.get("outcomes__valid"):
            return []
        return [_fields(self.simulator.get("outcomes__payload"), self.trainer.results.payload.shape())]

    def steps(self, cycles: int) -> list[tuple[int, int, int]]:
        """So many cycles; the results on the way."""
        outcomes = []
        for _ in range(cycles):
            outcomes += self._outcome()
            self.simulator.tick()
        return outcomes

    def host_examples(
        self, examples: list[tuple[Any, int, bool]], patience: int = 5000
    ) -> tuple[list[int], list[tuple[int, int, int]]]:
        """The host's x, class and whether to learn, as the host link gives them: the predictions, and the results of
        examples from the flash that came meanwhile."""
        simulator, shape = self.simulator, self.design.examples.payload.shape()
        simulator.set("hold", 1)
        predictions, outcomes = [], []
        for x, label, learn in examples:
            octets = np.packbits(x, bitorder="little").tolist()
            for octet in octets:
                values = {"x": octet, "y": label, "last": 1, "learn": int(learn)}
                payload = sum(value << shape[name].offset for name, value in values.items())
                simulator.set("examples__payload", payload)
                simulator.set("examples__valid", 1)
                taken, end = False, simulator.cycles + patience
                while not taken:
                    assert simulator.cycles < end, "the trainer takes no example"
                    taken = bool(simulator.get("examples__ready"))
                    outcomes += self.steps(1)
                simulator.set("examples__valid", 0)
            end = simulator.cycles + patience
            while not simulator.get("results__valid"):
                assert simulator.cycles < end, "the trainer gives no result"
                outcomes += self.steps(1)
            predictions.append(simulator.get("results__payload") & 0x7F)
            outcomes += self.steps(1)
        simulator.set("hold", 0)
        return predictions, outcomes

    def run(self, *states: int, patience: int = 200_000) -> list[tuple[int, int, int]]:
        """Until it is in one of the states; the results on the way: prediction, correct, updated."""
        simulator = self.simulator
        outcomes: list[tuple[int, int, int]] = []
        end = simulator.cycles + patience
        while simulator.get("state") not in states:
            assert simulator.cycles < end, (simulator.get("state"), simulator.cycles)
            outcomes += self._outcome()
            simulator.tick()
        assert simulator.get("fault") == 0, FAULTS[simulator.get("fault") - 1]
        return outcomes

    def collect(self, count: int) -> tuple[Any, Any, Any, Any]:
        """The next ``count`` results, as arrays: the cycles that they came in, predictions, correct, updated."""
        none = np.zeros((0, len(self.design.examples.payload.as_value())), np.uint8)
        made = self.simulator.exchange(Exchange("examples", "outcomes", none, 0, count, patience=1 << 40))
        shape, columns = self.trainer.results.payload.shape(), []
        for name in ("prediction", "correct", "updated"):
            f = shape[name]
            bits = made.results[:, f.offset : f.offset + f.width].astype(np.int64)
            columns.append(bits @ (1 << np.arange(f.width)))
        return made.given, *columns

    @property
    def counters(self) -> Any:
        """The tables' counters, (tables, 2^inputs, classes)."""
        spec, k = self.spec, self.spec.counter
        octets = -(-spec.classes * k // 8)
        value = self.simulator.peek("tables")
        words = np.frombuffer(value.to_bytes(octets * (spec.tables << spec.inputs), "little"), np.uint8)
        bits = np.unpackbits(words.reshape(-1, octets), axis=1, bitorder="little")[:, : spec.classes * k]
        numbers = bits.reshape(-1, spec.classes, k).astype(np.int64) @ (1 << np.arange(k))
        return (numbers - (1 << k - 1)).astype(np.int8).reshape(spec.counters_shape)


def _fields(payload: int, shape: Any) -> tuple[int, int, int]:
    def field(name: str) -> int:
        f = shape[name]
        return payload >> f.offset & (1 << f.width) - 1

    return field("prediction"), field("correct"), field("updated")


def same(outcome: Learned, found: list[tuple[int, int, int]], labels: Any) -> bool:
    """Whether the results of the hardware are those of the software."""
    wanted = [
        (int(p), int(p == y), int(u)) for p, y, u in zip(outcome.predictions, labels, outcome.updated, strict=True)
    ]
    return wanted == found
