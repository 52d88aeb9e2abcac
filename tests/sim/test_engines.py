"""One body for every cycle-accurate engine: trainer, engine and back-pressure vary, the bits may not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from trainers import HardwareRunner

from rdahw.errors import MissingError, UsageError
from rdahw.families import make_model
from rdahw.families.circuits import CircuitSpec
from rdahw.hdl.beats import Encoder
from rdahw.hdl.serial_mask import SerialMaskTrainer
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.learner import Learner
from rdahw.sim.engines import ReferenceEngine
from rdahw.sim.hardware import Mismatch
from rdahw.sim.native import convert
from rdahw.sim.simulator import Exchange, Simulator, Stuck, choose_engine, make_simulator, ports_of


@dataclass(frozen=True)
class Case:
    """A trainer; few of them, as each is compiled for each engine."""

    model: str
    inputs: int
    outputs: int
    batch: bool
    stages: int

    @property
    def learner(self) -> Learner:
        return Learner(make_model(self.model, self.inputs, self.outputs))

    @property
    def spec(self) -> CircuitSpec:
        return CircuitSpec.of(self.learner)


CASES = (
    Case("lookup", 3, 2, batch=False, stages=1),
    Case("lookup", 3, 2, batch=True, stages=2),
    Case("mask", 5, 1, batch=True, stages=1),
    Case("mask", 70, 1, batch=False, stages=1),  # word-serial
)
#: The engines on which all cases run; Amaranth's simulator needs no compiling, so it takes more.
MORE = (
    Case("lookup", 3, 2, batch=True, stages=1),
    Case("lookup", 3, 2, batch=False, stages=2),
    Case("mask", 5, 1, batch=True, stages=2),
    Case("mask", 5, 1, batch=False, stages=2),
)

#: gaps between examples and stalls of results, as patterns that repeat.
PATTERNS = {
    "back to back": ([0], [0]),
    "gaps": ([0, 1, 1, 0, 1], [0]),
    "stalls": ([0], [1, 1, 0, 0, 1, 0]),
    "gaps and stalls": ([1, 0, 0, 0, 1, 1], [0, 1, 0, 0, 1, 1, 0]),
}


def need(engine: str) -> str:
    """The engine's name, or skip because it is not installed."""
    name = "cxxrtl" if engine == "ice40 netlist" else engine
    try:
        return choose_engine(name)
    except MissingError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Run:
    """Examples, where batches end, and what software makes of them: outputs, and parameters after each example."""

    x: np.ndarray
    y: np.ndarray
    last: np.ndarray
    outputs: np.ndarray
    parameters: list[int]


@cache
def software(case: Case) -> Run:
    random = np.random.default_rng(5)
    n = 120
    wide = case.inputs > 64
    # A wide mask of k = 4 is in doubt, and learns, where about a quarter of the bits are set.
    x = (random.random((n, case.inputs)) < (0.3 if wide else 0.5)).astype(np.uint8)
    y = random.integers(0, 2, (n, case.outputs), np.uint8)
    # Batches of one among batches of many, and long runs of the same input, which a pipeline has to see through.
    if not wide:
        x[::3] = x[0]
    last = random.integers(0, 3, n) < 1 if case.batch else np.ones(n, bool)
    last[-1] = True
    engine, outputs, parameters, start = ReferenceEngine(case.learner), [], [0] * n, 0
    for end in np.flatnonzero(last) + 1:
        before = number(engine.parameters)
        outputs.append(engine.train(x[start:end], y[start:end]))
        parameters[start:end] = [before] * (end - start - 1) + [number(engine.parameters)]
        start = end
    assert len(set(parameters)) > 10
    return Run(x, y, last, np.concatenate(outputs), parameters)


def number(bits: np.ndarray) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("case", "engine"),
    [(case, engine) for case in CASES for engine in ("amaranth", "cxxrtl")]
    # Compiling takes these longest.
    + [(CASES[1], "verilator"), (CASES[3], "verilator"), (CASES[1], "ice40 netlist"), (CASES[3], "ice40 netlist")]
    + [(case, "amaranth") for case in MORE],
    ids=str,
)
def test_bits_and_cycles_are_the_softwares(case: Case, engine: str, pattern: str) -> None:
    expected = software(case)
    trainer = make_trainer(case.spec, batch=case.batch, stages=case.stages)
    # Synthesis does not keep the register's name; there the parameters are read as a host reads them.
    options = {"netlist": "ice40"} if engine == "ice40 netlist" else {"registers": {"theta": trainer.theta}}
    watch = "theta" if "registers" in options else None
    simulator = make_simulator(trainer, need(engine), **options)
    encoder = Encoder(trainer)
    beats = encoder(expected.x, expected.y, last=expected.last)
    gaps, stalls = (np.array(p, np.uint8) for p in PATTERNS[pattern])
    made = simulator.exchange(
        Exchange("examples", "results", beats, len(beats), len(expected.x), gaps=gaps, stalls=stalls, watch=watch)
    )
    simulator.tick(case.stages)

    assert np.array_equal(encoder.prediction(made.results), expected.outputs)
    assert read(simulator, case.learner.model.parameter_bits) == expected.parameters[-1]
    serial = isinstance(trainer, SerialMaskTrainer)
    assert serial == (case.inputs > 64)
    kernel = case.stages == 1 or case.model == "lookup"
    if pattern == "back to back" and kernel and not serial:
        assert made.taken.tolist() == list(range(len(beats)))
    if serial and watch is not None:
        # Word by word, so only where an example's work has come to its end do the parameters have to be right.
        after = {c: value for c, value in zip(made.changed, made.values, strict=True)}
        values = [after[max(c for c in after if c < given)] if min(after) < given else 0 for given in made.given]
        assert values == expected.parameters
    if watch is None or serial:
        return
    assert simulator.peek("theta") == expected.parameters[-1]
    # The parameters move at the very clock edge that is promised, and at no other.
    moves, before = [], 0
    for example, value in enumerate(expected.parameters):
        if value != before:
            moves.append((int(made.taken[example]) + case.stages - 1, value))
        before = value
    seen = list(zip(made.changed, made.values, strict=True))
    assert seen == moves[: len(seen)]
    assert len(moves) - len(seen) <= 1  # the last one may come after the last result


def read(simulator: Simulator, bits: int) -> int:
    """The parameters over the trainer's own port."""
    simulator.set("examples__valid", 0)
    value = 0
    for byte in range(-(-bits // 8)):
        simulator.set("control__parameter_address", byte)
        simulator.tick()
        value |= simulator.get("control__parameter_read") << 8 * byte
    return value


@pytest.mark.parametrize("engine", ["amaranth", "cxxrtl", "verilator"])
def test_peek_poke_and_waveforms(engine: str, tmp_path: Path) -> None:
    case = CASES[0]
    trainer = make_trainer(case.spec, access=False)
    vcd = tmp_path / "waves.vcd"
    simulator = make_simulator(trainer, need(engine), registers={"theta": trainer.theta}, vcd=vcd)
    assert (simulator.cycles, simulator.peek("theta")) == (0, 0)
    simulator.set("results__ready", 1)
    simulator.tick(3)
    simulator.poke("theta", 0xA5C3)
    simulator.tick()
    assert (simulator.cycles, simulator.peek("theta")) == (4, 0xA5C3)
    simulator.set("results__ready", 0)
    assert simulator.get("examples__ready") == 1
    simulator.set("examples__valid", 1)
    simulator.tick()
    assert simulator.get("results__valid") == 1
    assert simulator.get("examples__ready") == 0, "the result is not taken, so there is no place for another"
    simulator.set("results__ready", 1)
    assert simulator.get("examples__ready") == 1, "without a clock edge"
    simulator.close()
    simulator.close()
    text = vcd.read_text()
    assert "theta" in text
    assert "1010010111000011" in text
    # Five cycles of 1 µs, two edges each.
    assert text.count("\n#") >= 10


@pytest.mark.parametrize("engine", ["amaranth", "cxxrtl", "verilator"])
def test_a_stream_that_is_stuck_is_a_bug(engine: str) -> None:
    case = CASES[1]
    trainer = make_trainer(case.spec, batch=case.batch, stages=case.stages)
    simulator = make_simulator(trainer, need(engine), registers={"theta": trainer.theta})
    beats = np.zeros((3, Encoder(trainer).width), np.uint8)
    stuck = Exchange("examples", "results", beats, 3, 3, stalls=np.ones(1, np.uint8), patience=50)
    with pytest.raises(Stuck, match="'examples' and 'results' have not moved for 51 cycles"):
        simulator.exchange(stuck)


@pytest.mark.parametrize("engine", ["amaranth", "cxxrtl"])
@pytest.mark.parametrize("stages", [1, 2])
def test_a_flipped_bit_in_the_hardware_is_caught(engine: str, stages: int) -> None:
    case = Case("lookup", 3, 2, batch=True, stages=2) if stages == 2 else Case("lookup", 3, 2, batch=False, stages=1)
    hardware = HardwareRunner(case.learner, need(engine), stages=stages, batch=case.batch, check=True)
    x, y = np.zeros((1, 3), np.uint8), np.zeros((1, 2), np.uint8)
    for _ in range(4):
        hardware.train(x, y, following=(x, y))
    # Entry 5 of output 1, which no example reads: only the comparison of the parameters can see it.
    hardware.simulator.poke("parameters", hardware.simulator.peek("parameters") ^ 1 << 13)
    sentence = rf"differ at example 5 \(update 5\), cycle {4 + stages}: parameters\[13\] is 1, expected 0$"
    with pytest.raises(Mismatch, match=sentence):
        hardware.train(x, y)


def test_a_wrong_prediction_is_caught_at_its_example() -> None:
    hardware = HardwareRunner(CASES[0].learner, check=True)
    x, y = np.zeros((1, 3), np.uint8), np.zeros((1, 2), np.uint8)
    hardware.train(x, y)
    hardware.simulator.poke("parameters", 1)
    with pytest.raises(Mismatch, match=r"differ at example 2 \(update 2\), cycle 2: output bit 0 is 1, expected 0$"):
        hardware.train(x, y)


def test_predictions_do_not_disturb_the_training() -> None:
    case = Case("lookup", 3, 2, batch=True, stages=2)
    run, hardware = software(case), HardwareRunner(case.learner, stages=2, batch=True, check=True)
    ends = [0, *(np.flatnonzero(run.last) + 1)]
    parts = [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    reference = ReferenceEngine(case.learner)
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        coming = None if following is None else (run.x[following], run.y[following])
        found = hardware.train(run.x[part], run.y[part], following=coming)
        assert np.array_equal(found, reference.train(run.x[part], run.y[part]))
        assert np.array_equal(hardware.parameters, reference.parameters)
        assert np.array_equal(hardware.predict(run.x[:9]), reference.predict(run.x[:9]))
    engine = hardware.engine
    assert (engine.cycles, engine.cycles_per_example, engine.startup_cycles) == (len(run.x) + 1, 1, 1)
    # A training that goes on with other parameters.
    hardware.parameters = reference.parameters = run.x[:2].repeat(3, 1)[:, :8].reshape(16)
    assert np.array_equal(hardware.train(run.x[:5], run.y[:5]), reference.train(run.x[:5], run.y[:5]))


def test_choice_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_engine(None, cycles=10) == "amaranth"
    assert choose_engine("amaranth") == "amaranth"
    with pytest.raises(UsageError, match=r"engine 'cxrtl' is unknown; did you mean 'cxxrtl'\?"):
        choose_engine("cxrtl")
    from rdahw.hdl import toolchain

    def missing(name: str) -> None:
        raise MissingError(f"{name} (compiling) is not installed; install it (Debian: apt install g++)")

    monkeypatch.setattr(toolchain, "find", lambda name: None)
    assert (choose_engine(), choose_engine(first="verilator")) == ("cxxrtl", "verilator")
    assert choose_engine(cycles=10, first="verilator") == "amaranth"
    monkeypatch.setattr(toolchain, "find", missing)
    assert (choose_engine(), choose_engine(first="verilator")) == ("amaranth", "amaranth")
    with pytest.raises(
        MissingError,
        match=r"engine 'cxxrtl' needs yosys .* is not installed; install it .*; or choose --engine amaranth",
    ) as error:
        choose_engine("cxxrtl")
    assert error.value.exit_code == 3


def test_the_register_is_found_under_its_other_names() -> None:
    trainer = make_trainer(CASES[2].spec, batch=True)
    text, (path,) = convert(trainer, ports_of(trainer), {"theta": trainer.theta})
    assert f"connect \\Q \\{path[-1]}\n" in text, "the output of a flip-flop"
