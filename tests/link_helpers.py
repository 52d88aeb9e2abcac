"""What tests of the host link share: a device in software, faults at stated seeds, a simulated device as a stream."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest import mock

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rdahw import Bits, Learner, Model, trace
from rdahw.families.lookup import lookup_model
from rdahw.fields import join, split
from rdahw.hdl.link import HostLink, UartLink
from rdahw.hdl.protocol import (
    COMMANDS,
    CRC_BYTES,
    ERRORS,
    FLAG,
    HEADER,
    HEADER_BYTES,
    IDENTITY,
    MAX_PAYLOAD,
    STATE,
    VERSION,
    Deframer,
    Layout,
    fingerprint,
    frame,
)
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.hdl.uart import UartReceiver, UartTransmitter
from rdahw.primitives import Array
from rdahw.sim.reference import Reference
from rdahw.sim.simulator import Exchange, Simulator, Stuck, make_simulator

#: Names of commands by code.
NAMES = {command.code: command.name for command in COMMANDS.values()}


def lookup_learner(inputs: int = 4, outputs: int = 3) -> Learner:
    return Learner(Model("lookup", lookup_model(inputs, outputs)))


def wide_learner() -> Learner:
    """Examples of three bytes, results of two, parameters that are no whole number of bytes."""

    def model(theta: Any, x: Any) -> Any:
        return (theta[:9] & x[:9]) ^ (theta[2:11] & x[5:14])

    return Learner(Model("wide", trace(model, theta=Bits(11), x=Bits(14))))


def long_learner() -> Learner:
    """256 bytes of parameters, more than a packet holds, with addresses of two bytes; most of them are never used."""
    return Learner(Model("long", trace(lambda theta, x: theta[2040:2048] & x, theta=Bits(2048), x=Bits(8))))


class SoftwareLearner:
    """Learns example by example, by the reference interpreter; an open batch is kept in between."""

    def __init__(self, learner: Learner, *, batch: bool) -> None:
        self.learner, self.batch = learner, batch
        self._request, self._update = Reference(learner.request), Reference(learner.update)
        self.theta = np.zeros(learner.model.parameter_bits, np.uint8)
        self.clear()

    def clear(self) -> None:
        self.theta = np.zeros_like(self.theta)
        self._pending = np.zeros_like(self.theta)
        self.batch_open = False
        self.example_count = self.error_count = 0

    def step(self, x: Array, y: Array, last: int, *, learn: bool) -> tuple[Array, bool]:
        """The prediction and whether it was right, for one example."""
        request, output = self._request(self.theta, x, y)
        correct = bool((output == y).all())
        if learn:
            self.example_count += 1
            self.error_count += not correct
            self._pending = self._pending ^ request
            self.batch_open = self.batch and not last
            if not self.batch_open:
                (self.theta,) = self._update(self.theta, self._pending)
                self._pending = np.zeros_like(self.theta)
        return output, correct

    def train(self, x: Array, y: Array, last: Array) -> Array:
        return np.array([self.step(*example, learn=True)[0] for example in zip(x, y, last, strict=True)])


class SoftwareDevice:
    """The gateware's twin: takes bytes, gives bytes, made from the same table of the protocol."""

    def __init__(
        self,
        learner: Learner,
        *,
        batch: bool = False,
        word: int = 0,
        theta: Array | None = None,
        version: int = VERSION,
    ) -> None:
        """``theta``: a fixed model. ``word``: the bits of a word of x."""
        self.state = SoftwareLearner(learner, batch=batch)
        self.learns = theta is None
        if theta is not None:
            self.state.theta = theta
        self.layout = Layout.of(learner, word)
        self.identity = {
            "version": version,
            "learns": int(self.learns),
            "word_bits": word,
            "batches": int(batch),
            "payload": MAX_PAYLOAD,
            "fingerprint": fingerprint(learner),
            "parameter_bits": self.layout.parameter_bits,
            "input_bits": self.layout.input_bits,
            "output_bits": self.layout.output_bits,
        }
        self._deframer = Deframer(HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES)
        self._memory = bytes(HEADER_BYTES)
        self._session: int | None = None
        self._sequence = 0
        self._answer = b""  # the payload of the last answer, in a report what is behind the identity

    def feed(self, data: bytes) -> bytes:
        """The bytes with which the device answers to ``data``."""
        sent = b""
        for packet in self._deframer.feed(data):
            taken = self._deframer.taken
            self._memory = (taken + self._memory[len(taken) :])[:HEADER_BYTES]
            code, payload = (ERRORS["damaged"].code, b"") if packet is None else self._judge(packet)
            sent += frame(bytes([code or self._memory[0]]) + self._memory[1:] + payload)
            self._deframer.reset()
        return sent

    def _judge(self, packet: bytes) -> tuple[int, bytes]:
        """The code of a refusal, or 0, and the answer's payload."""
        header, payload = split(HEADER, packet), packet[HEADER_BYTES:]
        name, sequence = NAMES.get(header["code"]), header["sequence"]
        # The device looks at three bits of the code of a repeated packet, as nobody repeats it with another one.
        identity = join(IDENTITY, self.identity) if NAMES.get(header["code"] & 7) in ("open", "status") else b""
        if header["session"] == self._session:
            if sequence == self._sequence:
                return 0, identity + self._answer
            if name == "open" or sequence != (self._sequence + 1) % 256:
                return ERRORS["wrong_sequence"].code, b""
        elif name != "open":
            return ERRORS["wrong_session"].code, b""
        if not self.learns and name in ("train", "write", "clear"):
            name = None
        done = "unknown_command" if name is None else getattr(self, f"_{name}")(payload)
        if isinstance(done, str):
            return ERRORS[done].code, b""
        self._session, self._sequence, self._answer = header["session"], sequence, done
        return 0, identity + done

    # -- each gives the answer's payload, or the name of an error and has changed nothing

    def _open(self, payload: bytes) -> bytes:
        return self._status(payload)

    def _status(self, payload: bytes) -> bytes:
        return join(STATE, {f.name: int(getattr(self.state, f.name)) for f in STATE})

    def _train(self, payload: bytes, learn: bool = True) -> bytes | str:
        if len(payload) % self.layout.example_bytes:
            return "wrong_length"
        if not payload:
            return b""
        results = [
            self.state.step(*example, learn=learn)
            for example in zip(*self.layout.unpack_examples(payload), strict=True)
        ]
        outputs, correct = zip(*results, strict=True)
        return self.layout.pack_results(np.array(outputs), np.array(correct)).tobytes()

    def _predict(self, payload: bytes) -> bytes | str:
        return self._train(payload, learn=False)

    def _read(self, payload: bytes) -> bytes | str:
        if any(payload[2:4]) or (self.layout.parameter_bytes < 256 and any(payload[1:4])):
            return "wrong_address"
        if len(payload) < 5:
            return "wrong_length"
        start, count = int.from_bytes(payload[:4], "little"), payload[4]
        if self.layout.parameter_bytes - start < min(count, MAX_PAYLOAD + 1):
            return "wrong_address" if count else b""
        if count > MAX_PAYLOAD:
            return "wrong_length"
        return np.packbits(self.state.theta, bitorder="little").tobytes()[start : start + count]

    def _write(self, payload: bytes) -> bytes | str:
        if any(payload[2:4]) or (self.layout.parameter_bytes < 256 and any(payload[1:4])):
            return "wrong_address"
        if len(payload) < 4:
            return "wrong_length"
        start, data = int.from_bytes(payload[:4], "little"), payload[4:]
        if data and start + len(data) > self.layout.parameter_bytes:
            return "wrong_address"
        theta = bytearray(np.packbits(self.state.theta, bitorder="little").tobytes())
        theta[start : start + len(data)] = data
        bits = np.unpackbits(np.frombuffer(theta, np.uint8), bitorder="little")
        self.state.theta = bits[: self.layout.parameter_bits]
        return b""

    def _clear(self, payload: bytes) -> bytes:
        self.state.clear()
        return b""


class SoftwareStream:
    """A software device as a stream of bytes; silence costs no time."""

    name = "software"

    def __init__(self, device: SoftwareDevice) -> None:
        self.device = device
        self._sent = b""

    def write(self, data: bytes) -> None:
        self._sent += self.device.feed(data)

    def read(self, timeout: float) -> bytes:
        sent, self._sent = self._sent, b""
        return sent

    def close(self) -> None:
        pass


class LinkBench(wiring.Component):
    """A trainer behind the host link, with streams of bytes as ports.

    With ``divisor`` they go through the pins of a :class:`UartLink`, from a host's UART of ``host_divisor``.
    """

    def __init__(self, trainer: Any, divisor: int | None = None, host_divisor: int | None = None) -> None:
        self.trainer, self.divisor, self.host_divisor = trainer, divisor, host_divisor or divisor
        super().__init__(
            {
                "received": In(stream.Signature(8)),
                "sent": Out(stream.Signature(8)),
                "activity": Out(1),
                "overrun": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if self.divisor is None:
            m.submodules.link = link = HostLink(self.trainer)
            m.d.comb += [
                link.received.valid.eq(self.received.valid),
                link.received.payload.eq(self.received.payload),
                self.received.ready.eq(1),
            ]
            wiring.connect(m, link.sent, wiring.flipped(self.sent))
        else:
            m.submodules.link = link = UartLink(self.trainer, self.divisor)
            m.submodules.transmitter = transmitter = UartTransmitter(self.host_divisor)
            m.submodules.receiver = receiver = UartReceiver(self.host_divisor)
            wiring.connect(m, wiring.flipped(self.received), transmitter.bytes)
            m.d.comb += [
                link.rx.eq(transmitter.tx),
                receiver.rx.eq(link.tx),
                self.sent.valid.eq(receiver.bytes.valid),
                self.sent.payload.eq(receiver.bytes.payload),
            ]
        m.d.comb += self.activity.eq(link.activity)
        return m


def simulate(
    learner: Learner | None = None,
    *,
    core: Any = None,
    batch: bool = False,
    stages: int = 1,
    divisor: int | None = None,
    host_divisor: int | None = None,
    engine: str = "amaranth",
    netlist: str | None = None,
) -> Simulator:
    """``core``, a trainer or a fixed model, or the register trainer of ``learner``, behind the link at power-up."""
    if core is None:
        core = RegisterTrainer(learner, batch=batch, stages=stages, access=True)
    return make_simulator(LinkBench(core.linked(), divisor, host_divisor), engine, netlist=netlist)


class SimulatedStream:
    """A :class:`LinkBench` in a simulator as a stream of bytes. Simulated time passes while the host reads."""

    name = "simulation"

    def __init__(self, simulator: Simulator, cycles_a_second: int = 4_000) -> None:
        self.simulator, self.rate = simulator, cycles_a_second
        self._pending, self._got = b"", b""

    def write(self, data: bytes) -> None:
        self._pending += data

    def read(self, timeout: float) -> bytes:
        try:
            if self._pending:
                pending, self._pending = self._pending, b""
                self._exchange(int(timeout * self.rate), pending)
            if not self._got:
                self._exchange(int(timeout * self.rate), give=1)
        except Stuck:
            pass
        got, self._got = self._got, b""
        return got

    def close(self) -> None:
        pass

    def _exchange(self, patience: int, data: bytes = b"", give: int = 0) -> None:
        beats = np.unpackbits(np.frombuffer(data, np.uint8)[:, None], axis=1, bitorder="little")
        made = self.simulator.exchange(
            Exchange("received", "sent", beats, take=len(data), give=give, patience=patience)
        )
        self._got += np.packbits(made.results, axis=1, bitorder="little").tobytes()


class SimulatedDevice:
    """The gateware in a simulator, in the place of a :class:`SoftwareDevice`.

    Its time passes until it has answered each packet that has come whole, and stands still in between.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._stream = SimulatedStream(simulator)
        self._requests, self._answers = Deframer(), Deframer()

    def feed(self, data: bytes) -> bytes:
        self._stream.write(data)
        missing = len(list(self._requests.feed(data)))
        sent = b""
        while missing and (part := self._stream.read(timeout=10.0)):
            missing -= len(list(self._answers.feed(part)))
            sent += part
        return sent


class Crashed(Exception):
    """The host was stopped."""


class FaultyStream:
    """Damages ``rate`` of the packets that go through, and as many answers; stops the host at ``crashes`` of them.

    Faults are drawn from ``seed``: a bit flipped, a byte dropped, doubled or inserted, the rest cut off, all of it
    lost, the packet sent twice.
    """

    KINDS = ("flip", "drop", "double", "insert", "truncate", "lose", "repeat")

    def __init__(self, stream: Any, seed: int, rate: float = 0.1, crashes: float = 0.0) -> None:
        self.stream, self.rate, self.crashes = stream, rate, crashes
        self.random = Random(seed)
        self.name = stream.name
        #: How many packets went through, and how many faults of each kind there were, on the way there and back.
        self.packets = 0
        self.faults = dict.fromkeys(
            [(way, kind) for way in ("to", "from") for kind in self.KINDS] + [("to", "crash")], 0
        )
        self._answer: tuple[str, int] | None = None  # the fault of the answer, and after how many bytes
        self._seen = 0

    def _draw(self, way: str) -> str | None:
        if self.random.random() >= self.rate:
            return None
        kind = self.random.choice(self.KINDS if way == "to" else self.KINDS[:-1])
        self.faults[way, kind] += 1
        return kind

    def damage(self, kind: str, data: bytes, at: int) -> bytes:
        before, byte, after = data[:at], data[at : at + 1], data[at + 1 :]
        if kind == "flip":
            return before + bytes([byte[0] ^ 1 << self.random.randrange(8)]) + after
        if kind == "insert":
            return before + bytes([self.random.choice([FLAG, self.random.randrange(256)])]) + byte + after
        return {
            "drop": before + after,
            "double": before + byte * 2 + after,
            "truncate": before,
            "lose": b"",
            "repeat": data + data,
        }[kind]

    def write(self, data: bytes) -> None:
        self.packets += 1
        self._seen = 0
        answer = self._draw("from")
        self._answer = (answer, self.random.randrange(20)) if answer else None
        crash = self.random.random()
        if crash < self.crashes:
            self.faults["to", "crash"] += 1
            # Half of the crashes come in the middle of a packet, half of them after it.
            whole = self.random.random() < 0.5
            self.stream.write(data if whole else data[: self.random.randrange(len(data))])
            self.stream.read(0.5)
            raise Crashed
        if kind := self._draw("to"):
            data = self.damage(kind, data, self.random.randrange(len(data)))
        self.stream.write(data)

    def read(self, timeout: float) -> bytes:
        data: bytes = self.stream.read(timeout)
        if self._answer and data:
            kind, at = self._answer
            if kind in ("truncate", "lose"):
                keep = max(0, (at if kind == "truncate" else 0) - self._seen)
                self._seen += len(data)
                return data[:keep]
            if self._seen <= at < self._seen + len(data):
                data = self.damage(kind, data, at - self._seen)
                self._answer = None
            self._seen += len(data)
        return data

    def close(self) -> None:
        self.stream.close()


def counter(start: int = 1) -> Any:
    """Session numbers for tests: never the same one twice."""
    numbers = iter(range(start, 1 << 32))
    return lambda: next(numbers)


@contextmanager
def pseudo_terminal(device: SoftwareDevice | SimulatedDevice) -> Iterator[str]:
    """The path of a pseudo-terminal behind which ``device`` answers.

    It loses nothing, and the device may be a slow simulation on a busy machine: no packet is sent again within a
    minute, so that time has no part in what happens.
    """
    import select
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    stop, stopped = os.pipe()

    def serve() -> None:
        while True:
            ready, _, _ = select.select([master, stop], [], [])
            if stop in ready:
                return
            if answer := device.feed(os.read(master, 4096)):
                os.write(master, answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with mock.patch("rdahw.boards.host.SILENCE", 60.0):
            yield os.ttyname(slave)
    finally:
        os.write(stopped, b"x")
        thread.join()
        for end in (master, slave, stop, stopped):
            os.close(end)
