"""The registers of a flash trainer, by which the host reads its progress and controls it."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Any, NamedTuple

from amaranth.hdl import Array, Cat, Const, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.fields import offset, size
from rdahw.hdl.interface import Interface

__all__ = ["REGISTERS", "REGISTER_BYTES", "Register", "FlashTrainerRegisters", "State", "flash_trainer_interface"]


class State(enum.IntEnum):
    """The state of a flash trainer; from ``NO_FLASH`` on a fault has stopped it until a reset or ``clear``."""

    WAKING = 0  # the flash, and the header is read
    CHECKING = 1  # the CRC-32 of all records
    TRAINING = 2
    TESTING = 3  # the test records after an epoch
    DONE = 4  # all epochs that were asked for
    NO_FLASH = 8  # the part does not let four data lines be used
    NO_IMAGE = 9  # the header is damaged, or there is none
    FOREIGN = 10  # a whole image, of other examples than the trainer's
    DAMAGED = 11  # records whose CRC-32 does not hold; nothing was trained on
    SPOILED = 12  # the same, found in an epoch: the tables have learned from damaged records


class Register(NamedTuple):
    """A number that the host reads or writes behind the trainer's parameters: name, bytes, writable, meaning."""

    name: str
    bytes: int
    writable: bool
    meaning: str


#: The registers of a flash trainer, from byte ``registers_address`` of the parameters on.
REGISTERS = (
    Register("state", 1, False, "a number of the table of states"),
    Register("run", 1, True, "1: go on; 0: stop before the next example"),
    Register("changed", 1, False, "1: the host has trained, or written parameters, since the training began"),
    Register("reserved", 1, False, "0"),
    Register("epochs", 2, True, "how many epochs to train; 0: without an end"),
    Register("epoch", 2, False, "how many are finished; it wraps"),
    Register("left", 4, False, "records that are still to come in this epoch or test"),
    Register("errors", 4, False, "wrong predictions while training, from the start to the end of the last epoch"),
    Register("updates", 4, False, "examples that changed counters, from the start to the end of the last epoch"),
    Register("right", 4, False, "right predictions of the last test"),
    Register("train_examples", 4, False, "training records of the image"),
    Register("test_examples", 4, False, "test records of the image"),
)
REGISTER_BYTES = 64
assert size(REGISTERS) <= REGISTER_BYTES


def flash_trainer_interface(trainer: Interface) -> Interface:
    """The interface of a board that trains by itself: the parameters of its ``trainer``, followed by registers."""
    registers = 1 << (trainer.parameter_bits // 8 - 1).bit_length()
    run = registers + offset(REGISTERS, "run")
    return replace(trainer, parameter_bits=8 * (registers + REGISTER_BYTES), run=run)


class FlashTrainerRegisters(wiring.Component):  # type: ignore[misc]
    """:data:`REGISTERS` as bytes, from address 0 on, the lowest byte of each first.

    run, epochs: their values after a reset.

    address : In(6). write : In(8). write_enable : In(1): the byte at ``address`` becomes ``write``, two cycles later.
    read : Out(8): the byte at ``address`` three cycles ago; undefined beyond the registers.
    run : Out(1), epochs : Out(16): written by the host.
    All others : In(8 * bytes): their values.
    """

    def __init__(self, *, run: bool, epochs: int) -> None:
        super().__init__(
            {
                "address": In(REGISTER_BYTES.bit_length() - 1),
                "write": In(8),
                "write_enable": In(1),
                "read": Out(8),
                "run": Out(1, init=run),
                "epochs": Out(16, init=epochs),
                **{register.name: In(8 * register.bytes) for register in REGISTERS if not register.writable},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Registered: a long path.
        number, write, data = Signal.like(self.address), Signal(), Signal(8)
        m.d.sync += [number.eq(self.address), write.eq(self.write_enable), data.eq(self.write)]
        octets: list[Any] = []
        for register in REGISTERS:
            signal = getattr(self, register.name)
            value = Cat(signal, Const(0, 8 * register.bytes))
            for i in range(register.bytes):
                if register.writable:
                    with m.If(write & (number == len(octets))):
                        m.d.sync += signal[8 * i : 8 * i + 8].eq(data)
                octets.append(value[8 * i : 8 * i + 8])
        groups = []
        for i in range(0, len(octets), 8):
            groups.append(Signal(8, name=f"registers{i}"))
            m.d.sync += groups[-1].eq(Array(octets[i : i + 8])[number[:3]])
        m.d.sync += self.read.eq(Array(groups)[number[3:]])
        return m
