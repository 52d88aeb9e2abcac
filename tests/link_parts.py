"""What tests of the parts of the host link share: the packet store's reading side in Python, and a runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.sim import Simulator

from rdahw.hdl.protocol import CRC_BYTES, MAX_PAYLOAD


class StoreModel:
    """The bytes of a packet store, and where its pointer is, cycle by cycle."""

    def __init__(self, identity: bytes = b"", payload: int = MAX_PAYLOAD) -> None:
        self.identity_at = payload + 32
        self.answer_at = self.identity_at + 32
        self.memory = bytearray(self.identity_at + 256)
        self.memory[self.identity_at : self.identity_at + len(identity)] = identity
        self.pointer = 0
        self.end = 0  # of the request's payload
        self.answered = 0  # where the kept answer ends
        self._steps = False

    def put_request(self, octets: bytes) -> None:
        """A request, its CRC included, as it is when it has come."""
        self.memory[: len(octets)] = octets
        self.end, self.pointer, self._steps = len(octets) - CRC_BYTES, 0, False

    def keep(self, answer: bytes) -> None:
        self.memory[self.answer_at : self.answer_at + len(answer)] = answer
        self.answered = self.answer_at + len(answer)

    @property
    def byte(self) -> int:
        return self.memory[self.pointer]

    def tick(self, *, advance: int, rewind: int = 0, replay: int = 0, report: int = 0) -> None:
        """What is asked in a cycle; what comes of it is there in the next one."""
        if replay:
            self.pointer = self.identity_at if report else self.answer_at
        elif rewind:
            self.pointer = 0
        elif self._steps:
            self.pointer = (self.pointer + 1) % len(self.memory)
        self._steps = bool(advance)


def play(device: Any, bench: Callable[[Any], Any]) -> None:
    """Run a test bench on a component."""
    simulator = Simulator(device)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
