"""Models on a board, as the host sees them: the simulated gateware behind the link, one body for every trainer and
fixed model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment
from link_helpers import SimulatedStream, simulate

from rdahw.boards import board
from rdahw.boards.design import inference_design
from rdahw.boards.host import Device, DeviceEngine, Identity
from rdahw.errors import UserError
from rdahw.families import spec_of_widths
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state, register_number
from rdahw.families.machine import MachineSpec
from rdahw.family import Spec
from rdahw.hdl.flash_reader import FlashReader
from rdahw.hdl.flash_trainer import FlashTrainer
from rdahw.hdl.flash_trainer_registers import flash_trainer_interface
from rdahw.hdl.interface import Interface
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.protocol import VERSION
from rdahw.hdl.table_words import settings_address, word_stride
from rdahw.hdl.trainer import Trainer
from rdahw.hdl.trainer_factory import interfaces, make_trainer
from rdahw.sim.engines import make_engine
from rdahw.state import State
from rdahw.training import Batches, Engine, Examples, Schedule, Training

SPEC = EnsembleSpec(input_bits=12, classes=3, tables=5, inputs=3, counter=6, margin=20, seed=4)
#: A model for each trainer: in block memory, word by word, in registers, layer by layer, a symbol at a time.
SPECS: dict[str, Spec] = {
    "ensemble": SPEC,
    "wide mask": spec_of_widths("mask", 70, 1),
    "lookup": spec_of_widths("lookup", 4, 3),
    "lookup, class numbers": spec_of_widths("lookup:labels=binary", 3, 1),
    "layers": spec_of_widths("layers:7x3,6x2,6x3,counter=4,margin=1", 12, 3),
    "machine": MachineSpec(steps=10, states=1, rule="shadow", counter=2, restart=7, live=True),
}


def examples(spec: Spec, count: int) -> Examples:
    rng = np.random.default_rng(1)
    x = (rng.random((count, spec.input_bits)) < (0.3 if spec.input_bits > 64 else 0.5)).astype(np.uint8)
    return Examples(x, rng.integers(0, spec.classes, count))


def software(spec: Spec) -> Engine:
    return make_engine(spec, "reference")


def trained(spec: Spec, count: int = 40) -> Engine:
    engine, data = software(spec), examples(spec, count)
    engine.train(engine.prepare(data), Batches.single(np.arange(count)))
    return engine


def on_board(trainer: Trainer, spec: Spec) -> DeviceEngine:
    return DeviceEngine(Device(SimulatedStream(simulate(core=trainer)), spec), spec)


def same(spec: Spec, found: State, expected: State) -> bool:
    return all(np.array_equal(found[field.name], expected[field.name]) for field in spec.fields)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_it_learns_over_the_link_as_software_does_and_its_state_goes_there_and_back(name: str) -> None:
    spec = SPECS[name]
    data, seen = examples(spec, 15), []
    schedule = Schedule(epochs=2, shuffle=True, seed=3, scored="epoch")
    there = on_board(make_trainer(spec), spec)
    assert same(spec, there.state, spec.initial_state())
    for engine in (there, software(spec)):
        training = Training(engine, schedule, data, validation=data)
        seen.append([(done.wrong, done.best and done.best.correct) for done in training.run(chunk=7)])
        seen.append([engine.state, training.parameters])  # type: ignore[list-item]
    assert seen[0][-1] == seen[2][-1]
    assert same(spec, seen[1][0], seen[3][0])  # type: ignore[arg-type]
    assert np.array_equal(seen[1][1], seen[3][1])
    assert there.device.status().example_count == 30
    engine = trained(spec)
    assert not same(spec, there.state, engine.state)
    there.state = engine.state
    assert same(spec, there.state, engine.state)
    data = examples(spec, 60)
    assert (there.predict(there.prepare(data)) == engine.predict(engine.prepare(data))).all()


@pytest.mark.slow
def test_layers_learn_in_batches_over_the_link() -> None:
    spec = SPECS["layers"]
    data, schedule = examples(spec, 15), Schedule(epochs=2, batch=4)
    there, engine = on_board(make_trainer(spec, batch=True), spec), software(spec)
    for one in (there, engine):
        list(Training(one, schedule, data).run(chunk=3))
    assert same(spec, there.state, engine.state)
    assert there.device.identify().batches


def test_moved_images_are_sent_as_they_are_learned_from() -> None:
    from rdahw.data.images import Image

    spec = replace(SPEC, image=Image(1, 3, 4), shift=1)
    there, engine, data = on_board(make_trainer(spec), spec), software(spec), examples(spec, 20)
    for one in (there, engine):
        list(Training(one, Schedule(epochs=2), data).run())
    assert same(spec, there.state, engine.state)


@pytest.mark.parametrize("name", ["ensemble", "lookup"])
def test_a_model_in_logic_predicts_only(name: str) -> None:
    spec = SPECS[name]
    engine, data = trained(spec), examples(spec, 20)
    there = on_board(inference_design(spec, engine.state, board("icebreaker")).core(), spec)
    assert (there.predict(data) == engine.predict(engine.prepare(data))).all()
    with pytest.raises(UserError, match="parameters are fixed in its bitstream; flash one of this model"):
        there.state = engine.state
    if name == "lookup":
        assert same(spec, there.state, engine.state)
        return
    with pytest.raises(UserError, match=r"has its parameters folded into logic and cannot be read; flash a trainer \("):
        there.read()


@pytest.mark.slow
@pytest.mark.parametrize("sign", [False, True], ids=["counters", "signs"])
def test_an_ensemble_in_block_ram_predicts_only(sign: bool) -> None:
    spec = replace(SPEC, sign=sign)
    engine, data = software(spec), examples(spec, 60)
    engine.state = state = trained(SPEC).state
    there = on_board(MemoryInference(spec, state["counters"]), spec)
    expected = engine.predict(engine.prepare(data))
    assert (there.predict(data) == expected).all()
    read = there.read()
    assert (read["counters"] == (-(state["counters"] < 0).astype(int) if sign else state["counters"])).all()
    assert register_number(read["dropout"]) == first_dropout_state(SPEC.seed)
    with pytest.raises(UserError, match="parameters are fixed in its bitstream; flash one of this model"):
        there.write(state)
    with pytest.raises(UserError, match=r"is a predictor and does not learn"):
        there.device.train(data.x, np.zeros((60, 7), np.uint8))
    # The gateware itself refuses to learn, and to be written.
    link = there.device
    for command, payload in (("clear", b""), ("write", bytes(5)), ("train", bytes(3))):
        with pytest.raises(UserError, match=f"refused '{command}': no command has this code, or the device does not "):
            link._command(command, payload)
    assert (there.predict(data) == expected).all()
    assert link.status().example_count == 0


@pytest.mark.parametrize(
    ("spec", "other", "what"),
    [
        (SPEC, replace(SPEC, seed=5), "fingerprint"),
        (SPEC, replace(SPEC, margin=21), "fingerprint"),
        (SPEC, replace(SPEC, tables=9), "parameter bits"),
        (SPECS["lookup"], SPEC, "input bits"),
        (SPECS["lookup"], spec_of_widths("lookup:labels=binary", 4, 3), "output bits"),
    ],
)
def test_another_model_is_refused(spec: Spec, other: Spec, what: str) -> None:
    link = Device(SimulatedStream(simulate(core=make_trainer(spec))))
    with pytest.raises(UserError, match=f"is not a trainer of '{other.name}': its {what}: .*, the model's: .*; choose"):
        DeviceEngine(link, other)


@pytest.mark.parametrize("changes", [{}, {"tables": 1, "inputs": 1}, {"classes": 10}, {"classes": 2, "counter": 2}])
def test_the_places_of_parameters_are_those_of_the_trainer(changes: dict[str, Any]) -> None:
    spec = EnsembleSpec(**{"input_bits": 12, "classes": 3, "tables": 5, "inputs": 3, **changes})
    trainer = MemoryTrainer(spec)
    Fragment.get(trainer, None)  # Amaranth warns of components that are never elaborated
    assert (word_stride(spec), settings_address(spec)) == (trainer.word_octets, trainer.settings_address)
    # A board that trains by itself has its registers at the next power of two.
    assert 1 << len(trainer.control.parameter_address) == 2 * settings_address(spec)


@pytest.mark.parametrize("name", SPECS)
def test_what_a_host_expects_is_what_the_trainer_is(name: str) -> None:
    trainer = make_trainer(SPECS[name])
    Fragment.get(trainer, None)

    def facts(its: Interface) -> tuple[Any, ...]:
        places = [(place.field, place.at, place.size) for place in its.places]
        return its.fingerprint, its.layout, its.learns, its.batches, its.code, places

    assert facts(next(iter(interfaces(SPECS[name])))) == facts(trainer.interface)


class SelfTraining(Device):
    """A board that trains by itself, as bytes; ``log``: what happened to its register ``run``."""

    def __init__(self) -> None:
        self._spec, self._session = SPEC, 1
        self._interface = flash_trainer_interface(next(iter(interfaces(SPEC))))
        self.run_at = 2 * settings_address(SPEC) + 1
        self.memory = bytearray(2 * settings_address(SPEC) + 64)
        self.memory[self.run_at] = 1
        self.log: list[Any] = []

    def identify(self) -> Identity:
        its = self._interface
        return Identity(VERSION, True, False, 224, its.fingerprint, 8 * len(self.memory), 12, 7, 8)

    def clear(self) -> None:
        self.log.append("clear")

    def read_bytes(self, address: int, total: int, progress: Any = None) -> bytes:
        if address == 0:
            self.log.append(f"tables read, run {self.memory[self.run_at]}")
        return bytes(self.memory[address : address + total])

    def write_bytes(self, address: int, data: bytes, progress: Any = None) -> None:
        if address == self.run_at:
            self.log.append(f"run {data[0]}")
        self.memory[address : address + len(data)] = data


def test_a_board_that_trains_by_itself_is_paused_for_its_state() -> None:
    engine, link = trained(SPEC), SelfTraining()
    assert link._recognise(link.identify(), SPEC).run == link.run_at
    there = DeviceEngine(link, SPEC)
    there.read()
    assert link.log == ["run 0", "tables read, run 0", "run 1"]
    there.write(engine.state)
    assert link.log[3:] == ["run 0", "clear"]
    assert same(SPEC, there.read(), engine.state)
    assert link.log[5:] == ["tables read, run 0"]  # it stays paused


def test_the_register_that_pauses_a_board_is_where_it_is() -> None:
    trainer = FlashTrainer(MemoryTrainer(SPEC), FlashReader(2e6), base=0)
    Fragment.get(trainer, None)
    link = SelfTraining()
    assert trainer.interface.run == trainer.registers_address + 1 == link.run_at
    assert trainer.interface.layout.parameter_bytes == len(link.memory)
