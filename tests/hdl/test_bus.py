"""Predictors behind a bus: every prediction is the software's, whatever the pauses, and the streams keep the rules."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from rdahw import Learner, make_model
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.bus import REGISTERS, PacketPredictor, SkidBuffer, Wishbone, register_table
from rdahw.hdl.circuit import CircuitModule
from rdahw.hdl.inference import FixedModel
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.solvers import SOLVERS, Budget, Question
from rdahw.hdl.toolchain import scratch
from rdahw.sim.engines import predict
from rdahw.sim.simulator import Exchange, make_simulator
from rdahw.transform import bind


class Case(NamedTuple):
    """A predictor behind words of ``width`` bits, and the examples (N, input bits) with their classes in software."""

    core: PacketPredictor
    x: Any
    classes: Any


def of_circuit(inputs: int, width: int, levels: float) -> Case:
    learner = Learner(make_model("mask", inputs, 1))
    rng = np.random.default_rng(inputs)
    theta, x = (rng.integers(0, 2, size, np.uint8) for size in (inputs, (40, inputs)))
    spec = CircuitSpec.of(learner)
    predictor = FixedModel(learner, theta, levels=levels)
    return Case(PacketPredictor(predictor, width), x, predict(spec, {"parameters": theta}, x))


def from_memory() -> Case:
    rng = np.random.default_rng(5)
    software = PlainEnsemble(EnsembleSpec(input_bits=21, seed=7, tables=9, inputs=3, classes=5, counter=4))
    low, high = software.spec.counter_range
    software.counters = rng.integers(low, high + 1, software.spec.counters_shape).astype(np.int8)
    x = rng.integers(0, 2, (20, 21), np.uint8)
    predictor = MemoryInference(software.spec, software.counters)
    return Case(PacketPredictor(predictor), x, software.classify(x))


CASES = {
    "a word an example": lambda: of_circuit(9, 32, 9),
    "a word an example, in stages": lambda: of_circuit(9, 16, 2),
    "words of a byte": lambda: of_circuit(19, 8, 9),
    "two words": lambda: of_circuit(20, 16, 9),
    "from memory": from_memory,
}


def words(core: PacketPredictor, x: Any, ends: Any, fill: Any) -> Any:
    """The words of examples; those in ``ends`` end a packet. fill: the bits after an example."""
    n = core.beats
    padded = np.concatenate([x, fill.integers(0, 2, (len(x), n * core.width - x.shape[1]), np.uint8)], axis=1)
    last = np.zeros((len(x), n, 1), np.uint8)
    last[ends, -1] = 1
    return np.concatenate([padded.reshape(len(x), n, core.width), last], axis=2)


def number(bits: Any) -> Any:
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))


@pytest.mark.parametrize("name", CASES)
def test_every_prediction_with_and_without_pauses(name: str) -> None:
    core, x, classes = CASES[name]()
    rng = np.random.default_rng(1)
    ends = rng.random(len(x)) < 0.3
    beats = words(core, x, ends, rng).reshape(-1, core.width + 1)
    simulator = make_simulator(core, "amaranth")
    for pace in ({}, {"gaps": rng.random(31) < 0.4, "stalls": rng.random(29) < 0.4}, {"stalls": rng.random(37) < 0.9}):
        made = simulator.exchange(Exchange("words", "predictions", beats, len(beats), len(x), **pace))
        found, last, error = np.split(made.results, [core.result_width, core.result_width + 1], axis=1)
        np.testing.assert_array_equal(number(found), classes)
        np.testing.assert_array_equal(last[:, 0], ends)
        assert not error.any()
        at = made.taken[core.beats - 1 :: core.beats]
        if not pace and core.delay is None:
            assert np.diff(made.given).max() <= core.cycles
        elif not pace:
            assert (np.diff(at) == core.cycles).all()
            assert (made.given - at == core.delay).all()
    simulator.close()


@pytest.mark.parametrize("name", ["words of a byte", "two words", "from memory"])
def test_a_packet_that_ends_within_an_example_is_an_error_of_that_example_alone(name: str) -> None:
    core, x, classes = CASES[name]()
    rng = np.random.default_rng(2)
    beats = words(core, x, np.zeros(len(x), bool), rng)
    cut = np.flatnonzero(rng.random(len(x)) < 0.3)
    sent = []
    for row, example in enumerate(beats):
        kept = 1 + rng.integers(core.beats - 1) if row in cut else core.beats
        example[kept:] = 0
        example[kept - 1, -1] = row in cut
        sent.append(example[:kept])
    flat = np.concatenate(sent)
    simulator = make_simulator(core, "amaranth")
    for stalls in (None, rng.random(29) < 0.5):
        made = simulator.exchange(Exchange("words", "predictions", flat, len(flat), len(x), stalls=stalls))
        marks = made.results[:, -2:]
        np.testing.assert_array_equal(marks[:, 0], np.isin(np.arange(len(x)), cut))
        np.testing.assert_array_equal(marks[:, 1], marks[:, 0])
        whole = np.setdiff1d(np.arange(len(x)), cut)
        np.testing.assert_array_equal(number(made.results[whole, :-2]), classes[whole])
    simulator.close()


NUMBERS = {row.name: number for number, row in enumerate(REGISTERS)}


async def access(ctx: Any, bus: Wishbone, number: int, value: int | None = None) -> tuple[bool, int]:
    """Read or write a register in one cycle of the bus; whether it was acknowledged, and what was read."""
    for name, given in {"cyc_i": 1, "stb_i": 1, "we_i": int(value is not None), "adr_i": number}.items():
        ctx.set(getattr(bus, name), given)
    ctx.set(bus.dat_i, value or 0)
    for _ in range(4):
        await clock(ctx, bus)
        acknowledged, refused = ctx.get(bus.ack_o), ctx.get(bus.err_o)
        if acknowledged or refused:
            break
    assert acknowledged != refused
    read = ctx.get(bus.dat_o)
    ctx.set(bus.stb_i, 0)
    ctx.set(bus.cyc_i, 0)
    await clock(ctx, bus)
    assert not ctx.get(bus.ack_o) | ctx.get(bus.err_o)
    return bool(acknowledged), read


async def clock(ctx: Any, bus: Wishbone) -> None:
    for level in (1, 0):
        ctx.set(bus.clk_i, level)
        await ctx.delay(1e-6)


async def waits(ctx: Any, bus: Wishbone) -> None:
    """Until there is a prediction."""
    for _ in range(100):
        if (await access(ctx, bus, NUMBERS["STATUS"]))[1] & 2:
            return
    pytest.fail("there is no prediction")


@pytest.mark.parametrize("name", ["two words", "from memory"])
def test_examples_through_registers(name: str) -> None:
    core, x, classes = CASES[name]()
    bus, beats = Wishbone(core), words(core, x, [], np.random.default_rng(4))[..., :-1]
    identity = core.interface.fingerprint

    async def bench(ctx: Any) -> None:
        for register, due in {
            "FINGERPRINT_LOW": identity & 0xFFFFFFFF,
            "FINGERPRINT_HIGH": identity >> 32,
            "EXAMPLE_WORDS": core.beats,
            "STATUS": 1,
            "PREDICTION": 0,
        }.items():
            assert await access(ctx, bus, NUMBERS[register]) == (True, due)
            assert not (await access(ctx, bus, NUMBERS[register], 1))[0]
        assert not (await access(ctx, bus, NUMBERS["WORD"]))[0]
        assert not (await access(ctx, bus, 7))[0]
        for example, due in zip(beats, classes, strict=True):
            for word in number(example):
                assert (await access(ctx, bus, NUMBERS["WORD"], int(word)))[0]
            await waits(ctx, bus)
            for _ in range(2):
                assert await access(ctx, bus, NUMBERS["PREDICTION"]) == (True, due)
            await access(ctx, bus, NUMBERS["CONTROL"], 1)
            assert await access(ctx, bus, NUMBERS["PREDICTION"]) == (True, 0)
        # Words for which there is no room are refused; then all is dropped, in the middle of an example.
        while (await access(ctx, bus, NUMBERS["WORD"], 0))[0]:
            pass
        assert not (await access(ctx, bus, NUMBERS["STATUS"]))[1] & 1
        await access(ctx, bus, NUMBERS["CONTROL"], 2)
        assert await access(ctx, bus, NUMBERS["STATUS"]) == (True, 1)
        for word in number(beats[0]):
            await access(ctx, bus, NUMBERS["WORD"], int(word))
        await waits(ctx, bus)
        assert await access(ctx, bus, NUMBERS["PREDICTION"]) == (True, classes[0])

    simulator = Simulator(bus)
    simulator.add_testbench(bench)
    simulator.run()


def test_the_register_map_of_the_page_is_that_of_the_gateware() -> None:
    assert register_table() in (Path(__file__).parents[2] / "docs" / "buses.md").read_text()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_bus_that_does_not_suit_the_predictor_is_said() -> None:
    software = PlainEnsemble(EnsembleSpec(input_bits=21, seed=7, tables=9, inputs=3, classes=5, counter=4))
    with pytest.raises(UsageError, match=r"8 bits of an example at a time .* the bus has 32; give --bus-bits 8, or"):
        PacketPredictor(MemoryInference(software.spec, software.counters), 32)
    with pytest.raises(UsageError, match=r"^a register has 32 bits, and --bus-bits is 64; give at most 32, or leave"):
        Wishbone(of_circuit(9, 64, 9).core)
    gc.collect()  # so that Amaranth complains within this test


class Watched(wiring.Component):  # type: ignore[misc]
    """A predictor of two words an example, with all inputs free, and what must never be 1 of its streams.

    unstable: a prediction that was offered and not taken is withdrawn or changed. wrong: the prediction of one example,
    which ``mark`` chooses, is not that of the circuit, or its ``last`` or ``error`` is not due.
    """

    INPUTS = {"data": 8, "last": 1, "valid": 1, "ready": 1, "mark": 1}

    def __init__(self) -> None:
        learner = Learner(make_model("mask", 10, 1))
        theta = [1, 0, 1, 1, 0, 1, 1, 0, 1, 1]
        self.core = PacketPredictor(FixedModel(learner, np.array(theta, np.uint8), levels=100), 8)
        self.circuit = bind(learner.model.predictor, theta=theta)
        super().__init__({n: In(w) for n, w in self.INPUTS.items()} | {"unstable": Out(1), "wrong": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.core, m.submodules.due = core, due = self.core, CircuitModule(self.circuit)
        words, out = core.words, core.predictions
        m.d.comb += [
            Cat(words.payload.data, words.payload.last, words.valid).eq(Cat(self.data, self.last, self.valid)),
            out.ready.eq(self.ready),
        ]
        waited, before = Signal(), Signal(len(out.payload.as_value()))
        m.d.sync += [waited.eq(out.valid & ~out.ready), before.eq(out.payload)]
        m.d.comb += self.unstable.eq(waited & (~out.valid | (out.payload.as_value() != before)))

        # The word that came first of the example, and whether there is one; then the example that is marked.
        first, half = Signal(8), Signal()
        taken, given = words.valid & words.ready, out.valid & out.ready
        whole = taken & (half | self.last)
        with m.If(taken):
            m.d.sync += [first.eq(self.data), half.eq(~whole)]
        m.d.comb += Cat(*due.operands).eq(Mux(half, Cat(first, self.data), self.data))
        ahead, marked, counting = Signal(5), Signal(), Signal()  # ahead: of those on their way, up to the marked one
        expected = Signal.like(before)
        with m.If(counting | ~marked):
            m.d.sync += ahead.eq(ahead + (whole & ~marked) - given)
        with m.If(whole & self.mark & ~marked):
            m.d.sync += [marked.eq(1), counting.eq(1)]
            m.d.sync += expected.eq(Cat(due.results[0], out.payload.data[1:] & 0, self.last, ~half))
        its = counting & (ahead == 1) & given
        with m.If(its):
            m.d.sync += counting.eq(0)
        m.d.comb += self.wrong.eq(its & (out.payload.as_value() != expected))
        return m


#: Reads a component with memories.
SCRIPT = """read_rtlil top.il
hierarchy -check -top top
proc
flatten
opt -full
memory
opt -full
setundef -init -zero
dffunmap
"""


def verdict(bit: str, **how: int) -> str:
    """What the solver says of a bit of :class:`Watched`: for all cycles, or those in a window from power-up on."""
    top, solver = Watched(), SOLVERS["boolector"]
    ports = [getattr(top, name) for name in (*top.INPUTS, "unstable", "wrong")]
    text = str(rtlil.convert(top, name="top", ports=ports, emit_src=False))
    question = Question({"top.il": text}, SCRIPT, "top", bit, {"rst": 1, **top.INPUTS, bit: 1}, **how)
    with scratch() as work:
        return solver.ask(question, Budget(work, 600, threading.Event()), solver.find("yowasp")).verdict


class Leaky(SkidBuffer):
    """Replaces the transfer that arrives while its output stalls by a later one."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.output.payload.eq(self.input.payload)
        return m


class Hasty(PacketPredictor):
    """Replaces a prediction that waits."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        with m.If(self._core.results.valid):
            m.d.sync += self.predictions.payload.data.eq(self._core.results.payload.prediction)
        return m


@pytest.mark.slow
def test_a_prediction_that_waits_is_never_withdrawn_or_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict("unstable", steps=2) == "proved"
    monkeypatch.setitem(globals(), "PacketPredictor", Hasty)
    assert verdict("unstable", steps=8) == "refuted"


@pytest.mark.slow
def test_each_example_has_its_prediction_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict("wrong", window=10) == "proved"
    monkeypatch.setattr("rdahw.hdl.bus.SkidBuffer", Leaky)
    assert verdict("wrong", window=10) == "refuted"
