"""The host link against its software twin: requests as hosts send them, and as no host would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from faults import Faulty
from link_helpers import SoftwareDevice, wide_learner

from rdahw import Learner, Model, mask_model
from rdahw.fields import join
from rdahw.hdl.link import HostLink
from rdahw.hdl.protocol import (
    COMMANDS,
    CRC_BYTES,
    ESCAPE,
    FLAG,
    HEADER,
    HEADER_BYTES,
    MAX_PAYLOAD,
    STATE,
    Deframer,
    Layout,
    frame,
)
from rdahw.hdl.serial_mask import SerialMaskTrainer
from rdahw.hdl.trainer import RegisterTrainer, TrainerControl
from rdahw.sim.simulator import Exchange, Stuck
from scenarios import Design, Run


class LinkBench(wiring.Component):
    """A link with faults: its streams, how many requests it has refused, and how many frames it has worked on.

    outputs: ``activity``, and above it both counts, which wrap.
    """

    def __init__(self, faulty: Faulty) -> None:
        self.faulty = faulty
        self.places = {"activity": (0, 1), "refusals": (1, 8), "frames": (9, 8)}
        super().__init__(
            {
                "received": In(stream.Signature(8)),
                "sent": Out(stream.Signature(8)),
                "outputs": Out(17),
                "reset": In(1),
                **faulty.switches,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        faulty, refusals, frames, was_active = self.faulty, Signal(8), Signal(8), Signal()
        draw, noise = Signal(15, init=1), Signal(8)
        m.submodules.faulty = ResetInserter(self.reset)(faulty)
        wiring.connect(m, faulty.sent, wiring.flipped(self.sent))
        m.d.comb += [
            faulty.received.valid.eq(self.received.valid),
            # What is there beside the bytes is anything.
            faulty.received.payload.eq(Mux(self.received.valid, self.received.payload, noise)),
            self.received.ready.eq(1),
            *(getattr(faulty, name).eq(getattr(self, name)) for name in faulty.switches),
            self.outputs[0].eq(faulty.activity),
            self.outputs[1:9].eq(refusals),
            self.outputs[9:].eq(frames),
        ]
        m.d.sync += [was_active.eq(faulty.activity), draw.eq(Cat(draw[-1] ^ draw[-2], draw))]
        m.d.comb += noise.eq(Mux(draw[8], ESCAPE, draw))
        with m.If(faulty.activity & ~was_active):
            m.d.sync += frames.eq(frames + 1)
        with m.If(faulty.error):
            m.d.sync += refusals.eq(refusals + 1)
        return m


class Conversation:
    """A link and its twin, which must answer alike."""

    def __init__(self, run: Run, twin: SoftwareDevice, **pace: Any) -> None:
        self.run, self.twin, self._pace = run, twin, pace
        self.session, self.sequence = 0, 0
        self._refusals, self._frames = run.get("refusals", "frames")

    def send(self, data: bytes, answer: int | None = None) -> bytes:
        """Bytes into both; the answer. ``answer``: only so many bytes of it are waited for."""
        expected = self.twin.feed(data)
        count = len(expected) if answer is None else answer
        made = self._exchange(data, count)
        if answer is not None:
            return made
        assert made == expected, "the link does not answer as its twin does"
        self.run.tick(4)
        activity, refusals, frames = self.run.get("activity", "refusals", "frames")
        assert not activity, "the link is still active"
        self._frames += len(list(Deframer().feed(expected)))
        assert frames == self._frames % 256, f"activity was shown {frames} times, of {self._frames}"
        self._refusals += bool(expected) and expected[1] >= 0x80
        assert refusals == self._refusals % 256, f"{refusals} errors were shown, of {self._refusals} refusals"
        silent = self._exchange(b"", 0)
        assert not silent, "the link says more"
        return expected

    def _exchange(self, data: bytes, answer: int) -> bytes:
        beats = np.unpackbits(np.frombuffer(data, np.uint8)[:, None], axis=1, bitorder="little")
        exchange = Exchange("received", "sent", beats, len(data), answer, patience=9000, **self._pace)
        try:
            made = self.run.simulator.exchange(exchange)
        except Stuck as error:
            raise AssertionError("the link does not answer") from error
        return np.packbits(made.results, axis=1, bitorder="little").tobytes()

    def ask(self, name: str, payload: bytes = b"", *, session: int | None = None, step: int = 1, **sent: int) -> bytes:
        """A request in sequence."""
        sequence = (self.sequence + step) % 256
        asked = self.session if session is None else session
        answer = self.send(frame(packet(name, asked, sequence, payload)), **sent)
        if len(answer) > 1 and answer[1] < 0x80:
            self.session, self.sequence = asked, sequence
        return answer

    def open(self, session: int = 0xDEADBEEF, sequence: int = 0) -> None:
        self.session, self.sequence = session, (sequence - 1) % 256
        self.ask("open")


def packet(name: str, session: int, sequence: int, payload: bytes = b"") -> bytes:
    return join(HEADER, {"code": COMMANDS[name].code, "session": session, "sequence": sequence}) + payload


def address(at: int, more: bytes = b"") -> bytes:
    return at.to_bytes(4, "little") + more


class Scenarios:
    """The scenarios of one kind of trainer behind the link; ``twin`` makes the software."""

    def __init__(self, twin: Any) -> None:
        self._twin = twin

    def start(self, run: Run, **pace: Any) -> Conversation:
        return Conversation(run, self._twin(), **pace)

    def _examples(self, random: Random, count: int) -> bytes:
        return random.randbytes(count * self._twin().layout.example_bytes)

    def a_conversation(self, run: Run, **pace: Any) -> None:
        """Each command once or more, as a host gives them."""
        talk, random = self.start(run, **pace), Random(1)
        layout = talk.twin.layout
        last = layout.parameter_bytes - 1
        tail = max(0, last - 2)
        talk.open()
        talk.ask("train", self._examples(random, 5))
        talk.ask("status")
        once = self._examples(random, 1)
        talk.ask("train", bytes([once[0] | 1]) + once[1:])
        # Of zeros comes zero, which is right.
        talk.ask("train", bytes([1]) + bytes(layout.example_bytes - 1))
        talk.ask("predict", bytes(layout.example_bytes))
        talk.ask("predict", self._examples(random, 3) + once)
        talk.ask("read", address(tail, bytes([last + 1 - tail])))
        talk.ask("write", address(last - 1, b"\x7e\x7d"))
        talk.ask("read", address(0, b"\2"))
        talk.ask("write", address(0, b"\xa9\x05"))
        talk.ask("read", address(0, b"\2"))
        talk.ask("read", address(tail, bytes([last + 1 - tail])))
        talk.ask("train", self._examples(random, 4))
        talk.ask("read", address(tail, bytes([last + 1 - tail])))
        talk.ask("clear")
        talk.ask("status")
        talk.ask("read", address(tail, bytes([last + 1 - tail])))

    def slowly(self, run: Run) -> None:
        """The same with gaps between bytes, and an answer that is taken slowly."""
        random = np.random.default_rng(2)
        self.a_conversation(run, gaps=random.random(211) < 0.7, stalls=random.random(199) < 0.8)

    def repeats(self, run: Run) -> None:
        """A packet that comes twice is answered twice and executed once, unless it is of a new session."""
        talk, random = self.start(run), Random(3)
        talk.open(0x01020304, 255)
        for name, payload in (
            ("train", self._examples(random, 3)),
            ("status", b""),
            ("read", address(0, b"\2")),
            ("write", address(0, b"\x5a")),
            ("predict", self._examples(random, 2)),
        ):
            first = talk.ask(name, payload)
            assert talk.ask(name, payload, step=0) == first, "a repeated packet is answered otherwise"
        talk.ask("status")
        # The last opening again, and one with another sequence number; a new session with the old number.
        talk.ask("open", session=0x11020304, step=0)
        talk.ask("open", session=0x11020304, step=0)
        talk.ask("open")
        talk.ask("status")
        talk.ask("train", self._examples(random, 2), step=2)
        talk.ask("train", self._examples(random, 2), step=-1)
        talk.ask("status")

    def an_answer_is_kept(self, run: Run) -> None:
        """Requests that are refused, however late, leave the last answer as it was."""
        talk, random = self.start(run), Random(10)
        size = talk.twin.layout.parameter_bytes
        talk.open()
        for name, payload in (("read", address(0, b"\2")), ("train", self._examples(random, 3)), ("status", b"")):
            first = talk.ask(name, payload)
            talk.ask("read", address(size - 2, b"\3"))
            talk.ask("write", address(size - 1, b"\1\2"))
            talk.ask("train", self._examples(random, 3) + b"\1")
            assert talk.ask(name, payload, step=0) == first, "a repeated packet is answered otherwise"

    def other_sessions(self, run: Run) -> None:
        """Nothing is done for another session, whichever bit tells them apart, nor before one is open."""
        talk, random = self.start(run), Random(4)
        for session in (0, 0xDEADBEEF):
            talk.ask("train", self._examples(random, 1), session=session)
        # What a power-up leaves is no session.
        talk.ask("status", session=0, step=0)
        talk.open(0x80000001, 7)
        for bit in (0, 7, 8, 15, 16, 23, 24, 31):
            talk.ask("train", self._examples(random, 1), session=0x80000001 ^ 1 << bit)
        for session in (0x80000001, 0x7FFFFFFE, 0x00FF00FF, 0x5500AA00):
            talk.open(session, 3)
            talk.ask("status")

    def sequence_numbers(self, run: Run) -> None:
        """Only the next number goes on, whatever the bit that is wrong, over the end of them."""
        talk = self.start(run)
        for start in (0xFE, 0x7F, 0x00):
            talk.open(0x100 + start, start)
            for bit in range(8):
                talk.ask("status", step=1 ^ 1 << bit)
            talk.ask("status")
            talk.ask("clear")

    def wrong_requests(self, run: Run) -> None:
        """Codes, lengths and addresses that are refused; nothing is done of them."""
        talk, random = self.start(run), Random(5)
        layout = talk.twin.layout
        size = layout.parameter_bytes
        talk.open()
        talk.ask("train", self._examples(random, 2))
        for code in (0, 8, 16, 32, 64, 127, 0x80, 0x83):
            data = bytearray(packet("train", talk.session, (talk.sequence + 1) % 256, self._examples(random, 1)))
            data[0] = code
            talk.send(frame(bytes(data)))
        for length in {0, 1, layout.example_bytes - 1, layout.example_bytes + 1, 2 * layout.example_bytes - 1}:
            for name in ("train", "predict"):
                talk.ask(name, random.randbytes(length))
        for name in ("read", "write"):
            for length in range(5):
                talk.ask(name, address(0)[:length])
            for at in (1 << 8, 1 << 15, 1 << 16, 1 << 24, 1 << 31, size - 1, size, size + 1):
                talk.ask(name, address(at, b"\1"))
                talk.ask(name, address(at, b"\2"))
                talk.ask(name, address(at, b"\0"))
        talk.ask("read", address(0, b"\2\2"))
        talk.ask("status", b"\1\2\3")
        talk.ask("clear", b"\4")
        talk.ask("status")

    def clears_after_wrong_lengths(self, run: Run) -> None:
        """Examples of each length, each followed by a whole one and a clear, which come at many times."""
        talk, random = self.start(run), Random(14)
        talk.open()
        for length in range(2 * talk.twin.layout.example_bytes):
            for name in ("train", "predict"):
                talk.ask(name, random.randbytes(length))
                talk.ask("train", self._examples(random, 1))
                talk.ask("clear")
                talk.ask("status")

    def long_packets(self, run: Run) -> None:
        """As long as a packet can be, and longer."""
        talk, random = self.start(run), Random(6)
        layout = talk.twin.layout
        talk.open()
        talk.ask("train", self._examples(random, layout.examples_per_packet))
        talk.ask("train", random.randbytes(MAX_PAYLOAD))
        for count in (MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 255):
            talk.ask("read", address(0, bytes([count])))
        talk.ask("write", address(0, random.randbytes(min(MAX_PAYLOAD - 4, layout.parameter_bytes))))
        talk.ask("read", address(0, bytes([min(MAX_PAYLOAD, layout.parameter_bytes)])))
        for more in (1, 3):
            # The link gives up such a frame before its end, so its last flag would begin the next one.
            talk.send(frame(packet("train", talk.session, 1, random.randbytes(MAX_PAYLOAD + more)))[:-more])
        talk.send(bytes([FLAG]) + bytes(HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES + 1))
        talk.ask("status")

    def damage(self, run: Run) -> None:
        """Bits flipped, bytes lost, rubbish between the frames, frames without an end, short frames."""
        talk, random = self.start(run), Random(7)
        talk.open()
        data = frame(packet("train", talk.session, 1, self._examples(random, 2)))
        for at in range(1, len(data) - 1):
            byte = data[at] ^ 1 << at % 8
            if byte not in (FLAG, ESCAPE) and data[at] != ESCAPE:
                talk.send(data[:at] + bytes([byte]) + data[at + 1 :])
        for rubbish in (b"\0\1\2", bytes([ESCAPE]), bytes([FLAG]), bytes([FLAG, FLAG]), bytes([ESCAPE, FLAG])):
            talk.send(rubbish + frame(packet("status", talk.session, 0)))
        for length in range(1, HEADER_BYTES + CRC_BYTES + 1):
            talk.send(bytes([FLAG]) + bytes(range(1, length + 1)) + bytes([FLAG]))
            # The CRC of nothing, and of less than a header, holds.
            talk.send(frame(bytes(length)) if length < HEADER_BYTES else b"")
        talk.send(bytes([FLAG, 0, 0, 0, 0, FLAG]))
        talk.send(bytes([FLAG, ESCAPE, FLAG]) + frame(packet("status", talk.session, 0)))
        talk.ask("train", self._examples(random, 2))
        talk.ask("status")

    def while_it_answers(self, run: Run) -> None:
        """Bytes that come while the link is at work are dropped."""
        talk, random = self.start(run), Random(8)
        talk.open()
        for count in (1, 20, 300, 600):
            request = packet("train", talk.session, talk.sequence + 1, self._examples(random, 2))
            talk.sequence += 1
            talk.send(frame(request) + bytes(random.choices((0, ESCAPE, random.randrange(FLAG)), k=count)))
            talk.ask("status")

    def anything(self, run: Run, seed: int, count: int = 40) -> None:
        """Requests that are drawn."""
        talk, random = self.start(run), Random(seed)
        layout = talk.twin.layout
        talk.open(random.randrange(1 << 32), random.randrange(256))
        for _ in range(count):
            name = random.choices(list(COMMANDS), [1, 2, 8, 4, 4, 4, 1])[0]
            start = random.choice([0, random.randrange(layout.parameter_bytes), layout.parameter_bytes - 1])
            payload = {
                "train": self._examples(random, random.randrange(4)),
                "predict": self._examples(random, random.randrange(4)),
                "read": address(start, bytes([random.randrange(min(layout.parameter_bytes - start, 9) + 1)])),
                "write": address(start, random.randbytes(random.randrange(min(layout.parameter_bytes - start, 6) + 1))),
            }.get(name, b"")
            kind = random.random()
            session = talk.session ^ (1 << random.randrange(32) if name == "open" or kind < 0.05 else 0)
            talk.ask(name, payload, session=session, step=random.choice((0, 1, 1, 1, 1, 2)))
        talk.ask("status")

    def after_a_reset(self, run: Run) -> None:
        """A reset in the middle of a request and of an answer; then the link is as after power-up."""
        random = Random(9)
        for answer in (0, 3, 9):
            talk = self.start(run)
            talk.open()
            talk.ask("train", self._examples(random, 3), answer=answer)
            run.tick(answer * 3)
            run.reset()
        talk = self.start(run)
        talk.ask("status")
        talk.open()
        # A trainer may keep its parameters.
        talk.ask("clear")
        talk.ask("train", self._examples(random, 3))
        talk.ask("status")

    def all(self) -> list[Any]:
        drawn: Iterable[Any] = (partial(self.anything, seed=seed) for seed in (11, 12, 13))
        return [
            self.a_conversation,
            self.repeats,
            self.an_answer_is_kept,
            self.other_sessions,
            self.sequence_numbers,
            self.wrong_requests,
            self.damage,
            self.slowly,
            self.while_it_answers,
            self.after_a_reset,
            self.long_packets,
            *drawn,
            self.clears_after_wrong_lengths,
        ]


#: The bytes of the parameters behind the trainer: more than an answer holds, with addresses of two bytes.
_BYTES = 300
#: What is added to the trainer's counts, so that they wrap.
_COUNTED = {"example_count": -6, "error_count": -4}


class SlowTrainer(wiring.Component):
    """A trainer that is ready in some cycles only, with counts that are large and parameters that are long: byte k
    behind those of the trainer reads as 37 * k, and cannot be written."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.interface = replace(inner.interface, parameter_bits=8 * _BYTES)
        super().__init__(
            {
                "examples": self._inner.signature.members["examples"],
                "results": self._inner.signature.members["results"],
                "control": In(TrainerControl(8 * _BYTES)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = inner = self._inner
        ours, theirs = self.control, inner.control
        pace = Signal(15, init=1)
        m.d.sync += pace.eq(Cat(pace[-1] ^ pace[-2], pace))
        takes, works, shown = pace[0], pace[7] & pace[2], Signal()  # shown: a result, which stays until it is taken
        m.d.sync += shown.eq(inner.results.valid & ~self.results.ready & (shown | (pace[3] & pace[5])))
        own = ours.parameter_address < self._inner.interface.layout.parameter_bytes
        tail, was_own = Signal(8), Signal()
        m.d.sync += [tail.eq(37 * ours.parameter_address), was_own.eq(own)]
        # An address takes effect when it is there in a cycle in which the trainer is ready.
        taken, last = Signal(), Signal.like(ours.parameter_address)
        m.d.sync += [last.eq(ours.parameter_address), taken.eq(ours.ready | (taken & (last == ours.parameter_address)))]
        m.d.comb += [
            inner.examples.payload.eq(self.examples.payload),
            inner.examples.valid.eq(self.examples.valid & takes),
            self.examples.ready.eq(inner.examples.ready & takes),
            self.results.payload.eq(inner.results.payload),
            self.results.valid.eq(inner.results.valid & shown),
            inner.results.ready.eq(self.results.ready & shown),
            theirs.parameter_address.eq(ours.parameter_address),
            theirs.parameter_write.eq(ours.parameter_write),
            theirs.parameter_write_enable.eq(ours.parameter_write_enable & works & own),
            theirs.clear.eq(ours.clear & works),
            ours.ready.eq(theirs.ready & works),
            ours.parameter_read.eq(Mux(was_own, theirs.parameter_read, tail) ^ Mux(taken, 0, 0x5A)),
            *(getattr(ours, name).eq(getattr(theirs, name) + more) for name, more in _COUNTED.items()),
        ]
        return m


class SlowDevice(SoftwareDevice):
    """Its twin."""

    def __init__(self, learner: Learner, *, word: int = 0, **options: Any) -> None:
        super().__init__(learner, word=word, **options)
        self.layout = Layout(8 * _BYTES, learner.model.input_bits, learner.model.output_bits, word)
        self.identity["parameter_bits"] = self.layout.parameter_bits

    def _status(self, payload: bytes) -> bytes:
        state = {field.name: int(getattr(self.state, field.name)) for field in STATE}
        return join(STATE, {name: (value + _COUNTED.get(name, 0)) % (1 << 32) for name, value in state.items()})

    def _with_tail(self, access: Any, payload: bytes) -> Any:
        own, count = self.state.theta, 8 * -(-len(self.state.theta) // 8)
        tail = np.array([37 * k & 0xFF for k in range(count // 8, _BYTES)], np.uint8)
        padding = np.zeros(count - len(own), np.uint8)
        self.state.theta = np.concatenate([own, padding, np.unpackbits(tail, bitorder="little")])
        done = access(payload)
        self.state.theta = self.state.theta[: len(own)]
        return done

    def _read(self, payload: bytes) -> bytes | str:
        return self._with_tail(super()._read, payload)  # type: ignore[no-any-return]

    def _write(self, payload: bytes) -> bytes | str:
        return self._with_tail(super()._write, payload)  # type: ignore[no-any-return]


def designs() -> list[Design]:
    wide, mask = wide_learner(), Learner(Model("mask:k=3", mask_model(21, 3)))
    return [
        Design(name, partial(_link, make), Scenarios(twin).all(), skip=("trainer",), bench=LinkBench)
        for name, make, twin in (
            (
                "host link",
                partial(RegisterTrainer, wide, batch=True, access=True),
                partial(SlowDevice, wide, batch=True),
            ),
            (
                "host link, examples in words",
                partial(SerialMaskTrainer, 21, 3, word=8, access=True),
                partial(SlowDevice, mask, word=8),
            ),
        )
    ]


def _link(make: Any) -> HostLink:
    return HostLink(SlowTrainer(make()))
