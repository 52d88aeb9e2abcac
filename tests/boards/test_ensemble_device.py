"""Ensembles on a board, as the host sees them: the simulated gateware behind the link."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment
from link_helpers import SimulatedStream, simulate

from rdahw.boards import board
from rdahw.boards.design import ensemble_inference_design
from rdahw.boards.ensemble_device import EnsembleDevice
from rdahw.boards.host import Device, Identity
from rdahw.errors import UserError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state
from rdahw.hdl.ensemble_link import LinkedEnsemble, ensemble_fingerprint
from rdahw.hdl.flash_reader import FlashReader
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.protocol import VERSION
from rdahw.hdl.self_trainer import SelfTrainer
from rdahw.hdl.table_words import settings_address, word_stride
from rdahw.primitives import Array

SPEC = EnsembleSpec(input_bits=12, classes=3, tables=5, inputs=3, counter=6, margin=20, seed=4)


def examples(count: int) -> tuple[Array, Any]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 2, (count, 12)).astype(np.uint8), rng.integers(0, 3, count)


def trained(count: int = 40) -> PlainEnsemble:
    engine, (x, labels) = PlainEnsemble(SPEC), examples(count)
    engine.train(x, labels, np.arange(count))
    return engine


def device(core: Any) -> Device:
    return Device(SimulatedStream(simulate(core=core)))


def test_tables_go_there_and_back_and_predict() -> None:
    engine = trained()
    there = EnsembleDevice(device(LinkedEnsemble(MemoryTrainer(SPEC))), SPEC)
    there.write(engine.counters, engine.dropout_state)
    counters, state = there.read()
    assert (counters == engine.counters).all()
    assert state == engine.dropout_state
    x, _ = examples(60)
    assert (there.predict(x) == engine.predict(x)).all()


def test_it_learns_over_the_link_as_software_does() -> None:
    engine = PlainEnsemble(SPEC)
    x, labels = examples(30)
    there = EnsembleDevice(device(LinkedEnsemble(MemoryTrainer(SPEC))), SPEC)
    y = (labels[:, None] >> np.arange(7) & 1).astype(np.uint8)
    outcome = engine.train(x, labels, np.arange(30))
    outputs = there.device.train(x, y)
    assert ((outputs << np.arange(7)).sum(axis=1) == outcome.predictions).all()
    counters, state = there.read()
    assert (counters == engine.counters).all()
    assert state == engine.dropout_state
    assert there.device.status().example_count == 30


def test_a_folded_ensemble_predicts_only() -> None:
    engine = trained()
    folded = ensemble_inference_design(SPEC, engine.counters, board("icebreaker")).core()
    there = EnsembleDevice(device(folded), SPEC)
    x, _ = examples(20)
    assert (there.predict(x) == engine.predict(x)).all()
    with pytest.raises(UserError, match=r"has its ensemble folded into logic, which is not read; flash a trainer \("):
        there.read()
    with pytest.raises(UserError, match=r"only predicts, by the tables of its bitstream; flash one of this model \("):
        there.write(engine.counters, 1)


@pytest.mark.parametrize("sign", [False, True], ids=["counters", "signs"])
def test_an_ensemble_in_block_ram_predicts_only(sign: bool) -> None:
    engine = PlainEnsemble(replace(SPEC, sign=sign))
    engine.counters = trained().counters
    there = EnsembleDevice(device(LinkedEnsemble(MemoryInference(engine.spec, engine.counters))), engine.spec)
    x, _ = examples(60)
    assert (there.predict(x) == engine.predict(x)).all()
    counters, state = there.read()
    assert (counters == (-(engine.counters < 0).astype(int) if sign else engine.counters)).all()
    assert state == first_dropout_state(SPEC.seed)
    with pytest.raises(UserError, match=r"only predicts, by the tables of its bitstream; flash one of this model \("):
        there.write(engine.counters, 1)
    with pytest.raises(UserError, match=r"is a fixed model, which predicts and does not learn"):
        there.device.train(x, np.zeros((60, 7), np.uint8))
    # The gateware itself refuses to learn, and to be written.
    link = there.device
    for command, payload in (("clear", b""), ("write", bytes(5)), ("train", bytes(3))):
        with pytest.raises(UserError, match=f"refused '{command}': no command has this code, or the device does not "):
            link._command(command, payload)
    assert (there.predict(x) == engine.predict(x)).all()
    assert link.status().example_count == 0


def test_another_ensemble_is_refused() -> None:
    other = EnsembleSpec(input_bits=12, classes=3, tables=5, inputs=3, counter=6, margin=20, seed=5)
    link = device(LinkedEnsemble(MemoryTrainer(SPEC)))
    with pytest.raises(UserError, match=r"is not of this ensemble of 5 x 3 tables, or of another seed, margin or "):
        EnsembleDevice(link, other)


@pytest.mark.parametrize("changes", [{}, {"tables": 1, "inputs": 1}, {"classes": 10}, {"classes": 2, "counter": 2}])
def test_the_places_of_parameters_are_those_of_the_trainer(changes: dict[str, Any]) -> None:
    spec = EnsembleSpec(**{"input_bits": 12, "classes": 3, "tables": 5, "inputs": 3, **changes})
    trainer = MemoryTrainer(spec)
    Fragment.get(trainer, None)  # Amaranth warns of components that are never elaborated
    assert (word_stride(spec), settings_address(spec)) == (trainer.word_octets, trainer.settings_address)
    # A board that trains by itself has its registers at the next power of two.
    assert 1 << len(trainer.control.parameter_address) == 2 * settings_address(spec)


class SelfTraining(Device):
    """A board that trains by itself, as bytes; ``log``: what happened to its register ``run``."""

    def __init__(self) -> None:
        self.run_at = 2 * settings_address(SPEC) + 1
        self.memory = bytearray(2 * settings_address(SPEC) + 64)
        self.memory[self.run_at] = 1
        self.log: list[Any] = []

    def identify(self) -> Identity:
        fingerprint = ensemble_fingerprint(SPEC)
        return Identity(VERSION, True, False, 224, fingerprint, 8 * len(self.memory), 12, 7, 8)

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


def test_a_board_that_trains_by_itself_is_stopped_for_its_tables() -> None:
    engine, link = trained(), SelfTraining()
    there = EnsembleDevice(link, SPEC)
    there.read()
    assert link.log == ["run 0", "tables read, run 0", "run 1"]
    there.write(engine.counters, engine.dropout_state)
    assert link.log[3:] == ["run 0", "clear"]
    counters, state = there.read()
    assert (counters == engine.counters).all()
    assert state == engine.dropout_state
    assert link.log[5:] == ["run 0", "tables read, run 0"]  # it stays stopped


def test_the_register_that_stops_a_board_is_where_it_is() -> None:
    trainer = SelfTrainer(MemoryTrainer(SPEC), FlashReader(2e6), base=0)
    Fragment.get(trainer, None)
    link = SelfTraining()
    assert EnsembleDevice(link, SPEC)._register("run") == trainer.registers_address + 1 == link.run_at
    assert trainer.layout.parameter_bytes == len(link.memory)
