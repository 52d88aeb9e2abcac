"""Predictors behind a bus: every prediction is the software's, whatever the pauses, and the streams keep the rules."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, ClockSignal, DomainRenamer, Fragment, Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

import rdahw.hdl.bus
from rdahw import Learner, make_model
from rdahw.errors import UsageError
from rdahw.families import spec_of_widths
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.bus import Axi, AxiStream, Wishbone, axi_registers
from rdahw.hdl.circuit import CircuitModule
from rdahw.hdl.inference import FixedModel
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.packets import HEAD_BITS, PacketModel, SkidBuffer
from rdahw.hdl.registers import REGISTERS, Registers, register_table
from rdahw.hdl.solvers import SOLVERS, Budget, Question
from rdahw.hdl.toolchain import scratch
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.sim.cocotb_export import golden, random_examples, state_at_power_up
from rdahw.sim.engines import make_engine, predict
from rdahw.sim.simulator import Exchange, make_simulator
from rdahw.training import Batches, Examples
from rdahw.transform import bind


class Case(NamedTuple):
    """A predictor behind words of ``width`` bits, and the examples (N, input bits) with their classes in software."""

    core: PacketModel
    x: Any
    classes: Any


def of_circuit(inputs: int, width: int, levels: float) -> Case:
    learner = Learner(make_model("mask", inputs, 1))
    rng = np.random.default_rng(inputs)
    theta, x = (rng.integers(0, 2, size, np.uint8) for size in (inputs, (40, inputs)))
    spec = CircuitSpec.of(learner)
    predictor = FixedModel(learner, theta, levels=levels)
    return Case(PacketModel(predictor, width), x, predict(spec, {"parameters": theta}, x))


def from_memory() -> Case:
    rng = np.random.default_rng(5)
    software = PlainEnsemble(EnsembleSpec(input_bits=21, seed=7, tables=9, inputs=3, classes=5, counter=4))
    low, high = software.spec.counter_range
    software.counters = rng.integers(low, high + 1, software.spec.counters_shape).astype(np.int8)
    x = rng.integers(0, 2, (20, 21), np.uint8)
    predictor = MemoryInference(software.spec, software.counters)
    return Case(PacketModel(predictor), x, software.classify(x))


CASES = {
    "a word an example": lambda: of_circuit(9, 32, 9),
    "a word an example, in stages": lambda: of_circuit(9, 16, 2),
    "words of a byte": lambda: of_circuit(19, 8, 9),
    "two words": lambda: of_circuit(20, 16, 9),
    "from memory": from_memory,
}


def words(core: PacketModel, x: Any, ends: Any, fill: Any) -> Any:
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
READY, WAITS, QUIET = 1, 2, 4  # the bits of STATUS
TAKE, DROP, CLEAR = 1, 2, 4  # those of CONTROL


async def wishbone(ctx: Any, bus: Wishbone, number: int, value: int | None) -> tuple[bool, int]:
    for name, given in {"cyc_i": 1, "stb_i": 1, "we_i": int(value is not None), "adr_i": number}.items():
        ctx.set(getattr(bus, name), given)
    ctx.set(bus.dat_i, value or 0)
    for _ in range(4):
        await clock(ctx, bus.clk_i)
        acknowledged, refused = ctx.get(bus.ack_o), ctx.get(bus.err_o)
        if acknowledged or refused:
            break
    assert acknowledged != refused
    read = ctx.get(bus.dat_o)
    ctx.set(bus.stb_i, 0)
    ctx.set(bus.cyc_i, 0)
    await clock(ctx, bus.clk_i)
    assert not ctx.get(bus.ack_o) | ctx.get(bus.err_o)
    return bool(acknowledged), read


async def axi(ctx: Any, bus: Axi | AxiStream, number: int, value: int | None, strobes: int = 15) -> tuple[bool, int]:
    """With the data before their address, and a response that waits for a cycle."""
    given = {"w": {"data": value, "strb": strobes}, "aw": {"addr": 4 * number}}
    for channel, payload in (given if value is not None else {"ar": {"addr": 4 * number}}).items():
        for name, bits in {**payload, "valid": 1}.items():
            ctx.set(getattr(bus, f"s_axi_{channel}{name}"), bits)
        assert ctx.get(getattr(bus, f"s_axi_{channel}ready"))
        await clock(ctx, bus.aclk)
        ctx.set(getattr(bus, f"s_axi_{channel}valid"), 0)
    answer = "r" if value is None else "b"
    await clock(ctx, bus.aclk)
    for ready in (0, 1):
        assert ctx.get(getattr(bus, f"s_axi_{answer}valid"))
        response, read = ctx.get(getattr(bus, f"s_axi_{answer}resp")), ctx.get(bus.s_axi_rdata)
        ctx.set(getattr(bus, f"s_axi_{answer}ready"), ready)
        await clock(ctx, bus.aclk)
    assert not ctx.get(getattr(bus, f"s_axi_{answer}valid"))
    ctx.set(getattr(bus, f"s_axi_{answer}ready"), 0)
    assert response in (0, 2)
    return response == 0, read


async def clock(ctx: Any, wire: Any) -> None:
    for level in (1, 0):
        ctx.set(wire, level)
        await ctx.delay(1e-6)


class Driver(NamedTuple):
    """Reads and writes registers in a test bench by ``access``: whether it was done, and what was read."""

    ctx: Any
    bus: Any
    access: Any

    async def read(self, name: str, word: int = 0) -> int:
        done, found = await self.access(self.ctx, self.bus, NUMBERS[name] + word, None)
        assert done
        return int(found)

    async def write(self, name: str, value: int) -> bool:
        done, _ = await self.access(self.ctx, self.bus, NUMBERS[name], value)
        return bool(done)

    async def until(self, bit: int) -> None:
        """Until a bit of STATUS is set."""
        for _ in range(500):
            if await self.read("STATUS") & bit:
                return
        pytest.fail(f"{bit} of STATUS is never set")

    async def example(self, beats: Any) -> int:
        """The prediction of the words of an example, which is taken."""
        for word in number(beats):
            await self.until(READY)
            assert await self.write("WORD", int(word))
        await self.until(WAITS)
        found = await self.read("PREDICTION")
        assert found == await self.read("PREDICTION")
        assert await self.write("CONTROL", TAKE)
        assert await self.read("PREDICTION") == 0
        return found

    async def parameters(self, value: int | None, word: int) -> int:
        """Read a word of the parameters, or write it."""
        assert await self.write("ADDRESS", word)
        await self.until(QUIET)
        if value is not None:
            assert await self.write("DATA", value)
            await self.until(QUIET)
        assert await self.read("ADDRESS") == word
        return await self.read("DATA")


def drive(bus: Any, access: Any, bench: Any) -> None:
    """Run ``bench`` with a :class:`Driver` of ``bus``."""

    async def process(ctx: Any) -> None:
        if not isinstance(bus, Wishbone):
            await clock(ctx, bus.aclk)
            ctx.set(bus.aresetn, 1)
        await bench(Driver(ctx, bus, access))

    simulator = Simulator(bus)
    simulator.add_testbench(process)
    simulator.run()


REGISTER_BUSES: dict[str, Any] = {"wishbone": (Wishbone, wishbone), "axi": (Axi, axi)}


@pytest.mark.parametrize(("name", "bus"), [("two words", "wishbone"), ("from memory", "axi")])
def test_examples_through_registers(name: str, bus: str) -> None:
    core, x, classes = CASES[name]()
    beats = words(core, x, [], np.random.default_rng(4))[..., :-1]
    identity, (made, access) = core.interface.fingerprint, REGISTER_BUSES[bus]

    async def bench(driver: Driver) -> None:
        for register, due in {
            "FINGERPRINT_LOW": identity & 0xFFFFFFFF,
            "FINGERPRINT_HIGH": identity >> 32,
            "EXAMPLE_WORDS": core.beats,
            "STATUS": READY,
            "PREDICTION": 0,
        }.items():
            assert await driver.read(register) == due
            assert not await driver.write(register, 1)
        there = {"FINGERPRINT_LOW", "FINGERPRINT_HIGH", "EXAMPLE_WORDS", "STATUS", "PREDICTION"}
        for register, at in NUMBERS.items():
            assert (await access(driver.ctx, driver.bus, at, None))[0] == (register in there)
        assert not (await access(driver.ctx, driver.bus, len(NUMBERS), None))[0]
        if bus == "axi":  # part of a register
            assert not (await access(driver.ctx, driver.bus, NUMBERS["WORD"], 0, 7))[0]
        for example, due in zip(beats, classes, strict=True):
            assert await driver.example(example) == due
        # Words for which there is no room are refused; then all is dropped, in the middle of an example.
        refused = 0
        while refused < 50:
            refused = 0 if await driver.write("WORD", 0) else refused + 1
        assert not await driver.read("STATUS") & READY
        assert await driver.write("CONTROL", DROP)
        await driver.until(READY)
        assert await driver.read("STATUS") == READY
        assert await driver.example(beats[0]) == classes[0]
        assert await driver.write("WORD", 1)
        assert await driver.write("CONTROL", DROP)
        await driver.until(READY)
        assert await driver.example(beats[1]) == classes[1]

    drive(made(core), access, bench)


class Taught(NamedTuple):
    """A trainer behind words of ``width`` bits, and what software learns from examples: those with ``learn`` 0 are only
    predicted. predictions, correct: (N,); state: after them; wrong: those that were learned and predicted wrongly."""

    core: PacketModel
    beats: Any
    predictions: Any
    correct: Any
    learn: Any
    state: Any
    wrong: int


TRAINERS = {
    "in registers": ("lookup", 4, 3, 8),
    "in registers, a word": ("lookup", 4, 3, 32),
    "in memory": ("ensemble:tables=5,inputs=2,counter=4", 12, 3, None),
    "in words": ("mask", 70, 1, None),
}


def taught(name: str, examples: int = 25) -> Taught:
    """Random examples, and the trainer of a row of :data:`TRAINERS` for them."""
    text, inputs, outputs, width = TRAINERS[name]
    spec = spec_of_widths(text, inputs, outputs, seed=3)
    core = PacketModel(make_trainer(spec), width)
    its, rng = core.interface, np.random.default_rng(11)
    x = rng.integers(0, 2, (examples, inputs), np.uint8)
    labels = rng.integers(0, spec.classes, examples)
    learn = rng.random(examples) < 0.8
    engine = make_engine(spec)
    prepared = engine.prepare(Examples(x, labels))
    predictions = []
    for row in range(examples):
        predictions.append(engine.predict(prepared)[row])
        if learn[row]:  # an ensemble predicts without the tables that are dropped
            predicted = engine.train(prepared, Batches.single(np.array([row]))).predicted
            predictions[-1:] = predictions[-1:] if predicted is None else predicted
    label_bits = its.encode(labels)
    head = np.zeros((examples, core.heads * core.width), np.uint8)
    head[:, 0], head[:, 1], head[:, HEAD_BITS : HEAD_BITS + its.output_bits] = learn, 1, label_bits
    beats = np.concatenate([head, np.pad(x, ((0, 0), (0, (core.beats - core.heads) * core.width - inputs)))], axis=1)
    correct = np.array(predictions) == labels
    return Taught(
        core,
        beats.reshape(examples, core.beats, core.width),
        np.array(predictions),
        correct,
        learn,
        engine.state,
        int((learn & ~correct).sum()),
    )


def split(core: PacketModel, results: Any) -> tuple[Any, Any]:
    """The classes and whether they are right, of results (N, bits)."""
    wires = core.interface.output_bits
    return core.interface.decode(results[:, :wires]), results[:, wires].astype(bool)


@pytest.mark.slow  # a linear model is compiled
def test_what_is_due_of_a_model_whose_examples_are_packed_by_wires() -> None:
    spec = spec_of_widths("linear", 2, 2, seed=3)
    core = PacketModel(make_trainer(spec), 32)
    engine, examples = make_engine(spec, "reference"), random_examples(core, 4)
    engine.state = state = state_at_power_up(core.interface)
    made = golden(core, state, examples)
    prepared, due = engine.prepare(examples), []
    for row in range(len(examples)):
        due.append(engine.predict(prepared)[row])
        engine.train(prepared, Batches.single(np.array([row])))
    np.testing.assert_array_equal(made.results[:, :-1], core.interface.encode(np.array(due)))
    assert {name: value.tolist() for name, value in made.state.items()} == {
        name: value.tolist() for name, value in engine.state.items()
    }
    Fragment.get(core, None)  # Amaranth warns of components that are never elaborated


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_on_streams_learns_as_software(name: str) -> None:
    """With pauses, and with packets that end within an example, from which nothing is learned."""
    core, beats, predictions, correct, learn, state, wrong = taught(name)
    rng, sent, cut = np.random.default_rng(12), [], []
    for example in beats:
        ends = np.zeros((core.beats, 1), np.uint8)
        marked = np.concatenate([example, ends], axis=1)
        while core.beats > 1 and rng.random() < 0.3:
            kept = 1 + rng.integers(core.beats - 1)
            broken = rng.integers(0, 2, (kept, core.width + 1), np.uint8)
            broken[:, -1], broken[0, 0] = np.arange(1, kept + 1) == kept, 1
            sent.append(broken)
            cut.append(True)
        sent.append(marked)
        cut.append(False)
    flat, whole = np.concatenate(sent), ~np.array(cut)
    simulator = make_simulator(core, "amaranth")
    pace = {"gaps": rng.random(31) < 0.3, "stalls": rng.random(29) < 0.4}
    made = simulator.exchange(Exchange("words", "predictions", flat, len(flat), len(whole), **pace))
    found, right = split(core, made.results[whole])
    np.testing.assert_array_equal(found, predictions)
    np.testing.assert_array_equal(right, correct)
    np.testing.assert_array_equal(made.results[:, core.result_width + 1], ~whole)
    simulator.tick(core.cycles + 10)
    assert simulator.get("control__example_count") == learn.sum()
    assert simulator.get("control__error_count") == wrong

    def octet(address: int) -> int:
        simulator.set("control__parameter_address", address)
        simulator.tick(2)
        return simulator.get("control__parameter_read")

    for place in core.interface.places:
        packed = bytes(octet(place.at + byte) for byte in range(place.size))
        np.testing.assert_array_equal(place.unpack(packed), state[place.field.name])
    simulator.close()


@pytest.mark.parametrize(("name", "bus"), [("in registers", "axi"), ("in memory", "wishbone"), ("in words", "axi")])
def test_a_trainer_behind_registers_learns_as_software(name: str, bus: str) -> None:
    core, beats, predictions, correct, learn, state, wrong = taught(name, 12)
    its, (made, access) = core.interface, REGISTER_BUSES[bus]

    async def bench(driver: Driver) -> None:
        await driver.until(QUIET)
        for example, due, right in zip(beats, predictions, correct, strict=True):
            found = await driver.example(example)
            bits = np.array([[found >> bit & 1 for bit in range(core.result_bits)]], np.uint8)
            assert [value.tolist() for value in split(core, bits)] == [[due], [right]]
        assert await driver.read("EXAMPLE_COUNT") == learn.sum()
        assert await driver.read("ERROR_COUNT") == wrong
        # What is dropped in the middle is not learned.
        for word in number(beats[0][:-1] | (np.arange(core.width) == 0)):
            assert await driver.write("WORD", int(word))
        assert await driver.write("CONTROL", DROP)
        await driver.until(READY)
        assert await driver.read("STATUS") == READY | QUIET
        for place in its.places:
            reach = range(place.at // 4, -(-(place.at + place.size) // 4))
            found = b"".join([(await driver.parameters(None, word)).to_bytes(4, "little") for word in reach])
            packed = found[place.at % 4 :][: place.size]
            np.testing.assert_array_equal(place.unpack(packed), state[place.field.name])
        count = -(-its.parameter_bits // 32)
        assert not await driver.write("ADDRESS", count)
        kept = await driver.parameters(None, 0)
        await driver.parameters(~kept & 0xFFFFFFFF, 0)
        for register, value in {"DATA": 0, "CONTROL": CLEAR}.items():  # refused, while a word is read
            assert await driver.write("ADDRESS", 0)
            assert not await driver.write(register, value)
            await driver.until(QUIET)
        changed = await driver.read("DATA") ^ kept
        assert changed.bit_count() >= min(32, its.parameter_bits) // 2
        assert await driver.write("CONTROL", CLEAR)
        await driver.until(QUIET)
        assert [await driver.read(name) for name in ("EXAMPLE_COUNT", "ERROR_COUNT")] == [0, 0]
        assert await driver.parameters(None, 0) == 0

    drive(made(core), access, bench)


def test_the_register_map_of_the_page_is_that_of_the_gateware() -> None:
    assert register_table() in (Path(__file__).parents[2] / "docs" / "buses.md").read_text()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_bus_that_does_not_suit_the_predictor_is_said() -> None:
    software = PlainEnsemble(EnsembleSpec(input_bits=21, seed=7, tables=9, inputs=3, classes=5, counter=4))
    with pytest.raises(UsageError, match=r"8 bits of an example at a time, and the bus has 32; give --bus-bits 8, or"):
        PacketModel(MemoryInference(software.spec, software.counters), 32)
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
        self.core = PacketModel(FixedModel(learner, np.array(theta, np.uint8), levels=100), 8)
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


def of_lookup() -> PacketModel:
    """The trainer of a small model."""
    return PacketModel(make_trainer(spec_of_widths("lookup", 1, 1, seed=3)), 8)


class WatchedBus(wiring.Component):  # type: ignore[misc]
    """A module on a bus, with all inputs free. unstable: what it offers on a channel of AXI and is not taken is
    withdrawn or changed; on Wishbone, there is not one answer, in the cycle after it, to each access."""

    def __init__(self, bus: Any, core: PacketModel) -> None:
        self.bus = bus(core)
        members = self.bus.signature.members
        clocking = ("aclk", "aresetn", "clk_i", "rst_i")
        self.INPUTS = {name: its.shape for name, its in members.items() if its.flow is In and name not in clocking}
        self._outputs = [name for name, its in members.items() if its.flow is Out]
        super().__init__({name: In(shape) for name, shape in self.INPUTS.items()} | {"unstable": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bus = self.bus
        m.submodules.bus = DomainRenamer("inner")(bus)  # it has a domain of the name of the one here
        m.d.comb += [getattr(bus, name).eq(getattr(self, name)) for name in self.INPUTS]
        unstable = []
        if isinstance(bus, Wishbone):
            m.d.comb += [bus.clk_i.eq(ClockSignal()), bus.rst_i.eq(ResetSignal())]
            asked = Signal()
            m.d.sync += asked.eq(self.cyc_i & self.stb_i & ~bus.ack_o & ~bus.err_o)
            unstable.append((bus.ack_o & bus.err_o) | ((bus.ack_o | bus.err_o) != asked))
        else:
            m.d.comb += [bus.aclk.eq(ClockSignal()), bus.aresetn.eq(~ResetSignal())]
        for channel in (name.removesuffix("valid") for name in self._outputs if name.endswith("valid")):
            valid, ready = getattr(bus, f"{channel}valid"), getattr(self, f"{channel}ready")
            others = [name for name in self._outputs if name.startswith(channel) and not name.endswith("valid")]
            shown = Cat(getattr(bus, name) for name in others)
            waited, before = Signal(name=f"{channel}waited"), Signal(len(shown), name=f"{channel}before")
            m.d.sync += [waited.eq(valid & ~ready), before.eq(shown)]
            unstable.append(waited & (~valid | (shown != before)))
        m.d.comb += self.unstable.eq(Cat(*unstable).any())
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


def verdict(top: Any, bit: str, **how: int) -> str:
    """What the solver says of a bit that is watched: for all cycles, or those in a window from power-up on."""
    solver = SOLVERS["boolector"]
    ports = [getattr(top, name) for name in (*top.INPUTS, bit)]
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


class Hasty(PacketModel):
    """Replaces a prediction that waits."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        with m.If(self._core.results.valid):
            m.d.sync += self.predictions.payload.data.eq(self._core.results.payload.prediction)
        return m


def hasty(m: Module, ports: Any, registers: Registers) -> None:
    """Replaces a response that waits."""
    axi_registers(m, ports, registers)
    m.d.sync += ports.s_axi_rdata.eq(registers.read)


class Twice(Wishbone):
    """Acknowledges what it refuses."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.ack_o.eq(self.registers.chosen)
        return m


#: What is watched, and a part of it by its module and name with one that breaks the rule.
WATCHED: dict[str, tuple[Any, Any, str, Any]] = {
    "streams": (Watched, globals(), "PacketModel", Hasty),
    "a trainer on streams": (lambda: WatchedBus(AxiStream, of_lookup()), globals(), "PacketModel", Hasty),
    "axi": (lambda: WatchedBus(Axi, of_circuit(3, 8, 9).core), vars(rdahw.hdl.bus), "axi_registers", hasty),
    "wishbone": (lambda: WatchedBus(Wishbone, of_lookup()), globals(), "Wishbone", Twice),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WATCHED)
def test_what_waits_is_never_withdrawn_or_changed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    top, module, part, faulty = WATCHED[name]
    assert verdict(top(), "unstable", steps=2) == "proved"
    monkeypatch.setitem(module, part, faulty)
    assert verdict(top(), "unstable", steps=8) == "refuted"


@pytest.mark.slow
def test_each_example_has_its_prediction_within_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(Watched(), "wrong", window=10) == "proved"
    monkeypatch.setattr("rdahw.hdl.packets.SkidBuffer", Leaky)
    assert verdict(Watched(), "wrong", window=10) == "refuted"
