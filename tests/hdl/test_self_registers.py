"""The registers of a flash trainer as bytes."""

from __future__ import annotations

from rdahw.fields import offset
from rdahw.hdl.flash_trainer_registers import REGISTERS, FlashTrainerRegisters
from rdahw.sim.simulator import Simulator, make_simulator


def octet(registers: Simulator, address: int) -> int:
    registers.set("address", address)
    registers.tick(3)
    return registers.get("read")


def write(registers: Simulator, address: int, value: int) -> None:
    registers.set("address", address)
    registers.set("write", value)
    registers.set("write_enable", 1)
    registers.tick()
    registers.set("write_enable", 0)
    registers.tick()


def test_each_byte_is_that_of_its_register() -> None:
    registers = make_simulator(FlashTrainerRegisters(run=True, epochs=0x1234), "amaranth")
    values = {"run": 1, "epochs": 0x1234}
    for number, register in enumerate(REGISTERS):
        if not register.writable:
            values[register.name] = int.from_bytes(bytes(range(16 * number, 16 * number + register.bytes)), "little")
            registers.set(register.name, values[register.name])
    for register in REGISTERS:
        first = offset(REGISTERS, register.name)
        found = [octet(registers, first + i) for i in range(register.bytes)]
        assert int.from_bytes(bytes(found), "little") == values[register.name], register.name


def test_a_write_changes_its_byte_of_what_can_be_written_alone() -> None:
    registers = make_simulator(FlashTrainerRegisters(run=False, epochs=0), "amaranth")
    for register in REGISTERS:
        for i in range(register.bytes):
            before = registers.get("run"), registers.get("epochs")
            write(registers, offset(REGISTERS, register.name) + i, 0xA5)
            expected = {("run", 0): (1, before[1]), ("epochs", 0): (1, 0xA5), ("epochs", 1): (1, 0xA5A5)}
            assert (registers.get("run"), registers.get("epochs")) == expected.get((register.name, i), before)
