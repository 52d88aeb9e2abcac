"""A board that trains from its flash while a host talks to it, with faults on the line."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from flash_training import BASE, CLOCK, WithFlash, small_image
from link_helpers import FaultyStream, SimulatedStream

from rdahw.boards.host import Device
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.flash_reader import FlashPins, FlashReader
from rdahw.hdl.flash_trainer import REGISTERS, FlashTrainer, State
from rdahw.hdl.flash_trainer_link import FlashTrainerLink
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.uart import UartReceiver, UartTransmitter
from rdahw.sim.simulator import Simulator, choose_engine, make_simulator

pytestmark = pytest.mark.slow  # a compiled simulator

SPEC = EnsembleSpec(input_bits=20, classes=3, tables=8, inputs=3, counter=4, margin=6, seed=3)
IMAGE = small_image(SPEC, 60, 20)
EPOCHS = 30
DIVISOR = 8


class OnUart(wiring.Component):
    """A flash trainer's board, with the host's UART on its pins."""

    def __init__(self, board: FlashTrainerLink) -> None:
        self.board = board
        super().__init__(
            {
                "received": In(stream.Signature(8)),
                "sent": Out(stream.Signature(8)),
                "activity": Out(1),
                "error": Out(1),
                "state": Out(8),
                "flash": Out(FlashPins()),
                "outcomes": Out(board.trainer.outcomes.signature),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.board = board = self.board
        m.submodules.transmitter = transmitter = UartTransmitter(DIVISOR)
        m.submodules.receiver = receiver = UartReceiver(DIVISOR)
        wiring.connect(m, wiring.flipped(self.received), transmitter.bytes)
        wiring.connect(m, wiring.flipped(self.flash), board.flash)
        m.d.comb += [
            board.rx.eq(transmitter.tx),
            receiver.rx.eq(board.tx),
            self.sent.valid.eq(receiver.bytes.valid),
            self.sent.payload.eq(receiver.bytes.payload),
            self.activity.eq(board.activity),
            self.error.eq(board.error),
            self.state.eq(board.trainer.state),
            self.outcomes.valid.eq(board.trainer.outcomes.valid),
            self.outcomes.payload.eq(board.trainer.outcomes.payload),
        ]
        return m


class Board:
    """The board in a simulator, and how the host reads it."""

    def __init__(self, content: bytes) -> None:
        trainer = MemoryTrainer(SPEC)
        self.design = FlashTrainer(trainer, FlashReader(CLOCK, latency=2), base=BASE, epochs=EPOCHS)
        bench = WithFlash(OnUart(FlashTrainerLink(self.design, DIVISOR)))
        registers = {"tables": trainer.tables, "dropout": trainer.dropout_state}
        self.simulator: Simulator = make_simulator(bench, choose_engine(), registers=registers)
        self.simulator.attach("address", "data", b"\xff" * BASE + content)

    def read(self, device: Device, address: int, count: int) -> bytes:
        """Bytes of the parameters."""
        return device._command("read", address.to_bytes(4, "little") + bytes([count]))

    def registers(self, device: Device) -> dict[str, int]:
        data, values = self.read(device, self.design.registers_address, sum(r.bytes for r in REGISTERS)), {}
        for register in REGISTERS:
            values[register.name] = int.from_bytes(data[: register.bytes], "little")
            data = data[register.bytes :]
        return values

    def tables(self, device: Device) -> Any:
        """The counters, read by the host."""
        trainer = self.design.trainer
        size = trainer.word_octets * (SPEC.tables << SPEC.inputs)
        data = b"".join(self.read(device, at, min(128, size - at)) for at in range(0, size, 128))
        words = np.frombuffer(data, np.uint8).reshape(-1, trainer.word_octets)
        bits = np.unpackbits(words, axis=1, bitorder="little")[:, : SPEC.classes * SPEC.counter]
        numbers = bits.reshape(-1, SPEC.classes, SPEC.counter).astype(np.int64) @ (1 << np.arange(SPEC.counter))
        signed = (numbers + (1 << SPEC.counter - 1)) % (1 << SPEC.counter) - (1 << SPEC.counter - 1)
        return signed.reshape(SPEC.counters_shape)


def software(epochs: int = EPOCHS) -> PlainEnsemble:
    engine = PlainEnsemble(SPEC)
    for _ in range(epochs):
        engine.learn(IMAGE.train.x, IMAGE.train.labels, IMAGE.order())
    return engine


def connect(board: Board, seed: int | None = None, rate: float = 0.25) -> Device:
    line: Any = SimulatedStream(board.simulator, cycles_a_second=40_000)
    # The numbers of sessions decide how many bytes of a packet are escaped, and so when the host reads.
    numbers = Random(seed or 0)
    return Device(
        line if seed is None else FaultyStream(line, seed, rate=rate), attempts=50, draw=lambda: numbers.getrandbits(32)
    )


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_faults_on_the_line_do_not_disturb_the_training(seed: int | None) -> None:
    board = Board(IMAGE.to_bytes())
    device = connect(board, seed)
    device.open()
    states, predictions = set(), []
    for _ in range(1000):
        found = board.registers(device)
        states.add(found["state"])
        if found["state"] == State.DONE:
            break
        # Of different lengths, as the host may otherwise read at the same place of every epoch.
        predictions.append(device.predict(IMAGE.test.x[: 1 + len(predictions) % 4]))
    assert {State.TRAINING, State.DONE} <= states
    assert len(predictions) > 4
    wanted = software()
    np.testing.assert_array_equal(board.tables(device), wanted.counters)
    assert board.simulator.peek("dropout") == wanted.dropout_state
    found = board.registers(device)
    right = int((wanted.classify(IMAGE.test.x) == IMAGE.test.labels).sum())
    assert (found["changed"], found["epoch"], found["right"]) == (0, EPOCHS, right)
    assert device.status().example_count == EPOCHS * len(IMAGE.train)
    classes = device.predict(IMAGE.test.x) @ (1 << np.arange(7))
    np.testing.assert_array_equal(classes, wanted.classify(IMAGE.test.x))
    if seed is not None:
        assert isinstance(device._stream, FaultyStream)
        assert sum(device._stream.faults.values()) > 4
    assert (board.simulator.get("fault"), board.simulator.get("activity")) == (0, 1)
    board.simulator.close()


def test_a_host_clears_stops_and_goes_on() -> None:
    board = Board(IMAGE.to_bytes())
    device = connect(board)
    device.open()
    board.simulator.tick(20_000)
    at = board.design.registers_address
    device._command("write", (at + 1).to_bytes(4, "little") + b"\x00")
    device.clear()
    board.simulator.tick(20_000)
    assert board.registers(device)["state"] == State.WAKING
    assert not board.tables(device).any()
    device._command("write", (at + 4).to_bytes(4, "little") + b"\x01")  # a single epoch
    device._command("write", (at + 1).to_bytes(4, "little") + b"\x01")
    board.simulator.tick(60_000)
    found = board.registers(device)
    assert (found["state"], found["epoch"], found["changed"]) == (State.DONE, 1, 0)
    np.testing.assert_array_equal(board.tables(device), software(1).counters)
    device.train(IMAGE.train.x[:1], np.zeros((1, 7), np.uint8), np.ones(1, np.uint8))
    assert board.registers(device)["changed"] == 1
    board.simulator.close()


def test_a_board_with_a_damaged_image_says_so() -> None:
    content = bytearray(IMAGE.to_bytes())
    content[100] ^= 8
    board = Board(bytes(content))
    board.simulator.tick(30_000)
    assert (board.simulator.get("error"), board.simulator.get("state")) == (1, State.DAMAGED)
    device = connect(board)
    device.open()
    assert board.registers(device)["state"] == State.DAMAGED
    assert device.status().example_count == 0
    assert not board.tables(device).any()
    board.simulator.close()
