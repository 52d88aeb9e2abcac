"""The gateware's end of the host link: a stream of bytes in, a stream of bytes out, and a trainer between them.

The protocol is :mod:`rdahw.hdl.protocol`, described in ``docs/host-link.md``. One state machine takes one request after
the other: it stores the packet while it comes, checks its CRC, then its header, then goes through the payload twice.
The first pass changes nothing and only finds out whether the request can be done whole; the second does it. So no
request is ever half applied.

All of it lives in one block of memory: the request (its header and CRC included) in the lower half, the payload of the
last answer in the upper one, so that it can be sent again, and behind that the device's identity as initial contents.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, ResetInserter, Signal  # type: ignore[import-untyped]
from amaranth.lib import crc, memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.fields import join, size
from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.one_hot import OneHot
from rdahw.hdl.protocol import (
    COMMANDS,
    CRC_BYTES,
    ERRORS,
    ESCAPE,
    FLAG,
    HEADER_BYTES,
    IDENTITY,
    MAX_PAYLOAD,
    REFUSED,
    STATE,
    TOGGLE,
    VERSION,
    Layout,
    fingerprint,
)
from rdahw.hdl.uart import UartReceiver, UartTransmitter

__all__ = ["HostLink", "UartLink"]

#: Bytes of memory: one block RAM of an iCE40.
_MEMORY = 512
#: Where the identity is; a report is sent from here on.
_IDENTITY = _MEMORY // 2
#: Where the payload of an answer is, or the end of a report: behind the identity, up to the end of the memory.
_ANSWER = _IDENTITY + size(IDENTITY)
#: Where a request's sequence number is, the last byte of its header.
_SEQUENCE = HEADER_BYTES - 1
#: The longest request, CRC included.
_MAX_REQUEST = HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES

assert _ANSWER + MAX_PAYLOAD == _MEMORY
assert _MAX_REQUEST < _IDENTITY
assert sorted(command.code for command in COMMANDS.values()) == list(range(1, 8))


class HostLink(wiring.Component):  # type: ignore[misc]
    """A trainer behind the host link.

    received: bytes from the host. The link takes one in every cycle, and drops those that come while it works on a
        request or answers: hosts wait for the answer.
    sent: bytes to the host.
    activity: high while a request is worked on or answered. error: high for a cycle when a request is refused.

    ``trainer`` is a trainer with access or a fixed model, and becomes a submodule: of :mod:`rdahw.hdl.trainer`,
    :mod:`rdahw.hdl.inference` (whose ``learns`` is ``False``), :mod:`rdahw.hdl.serial_mask` (which takes x in words of
    ``word`` bits) or :mod:`rdahw.hdl.ensemble_link` (which has a ``layout`` and a ``fingerprint`` of its own).
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        layout = getattr(trainer, "layout", None)
        self.layout = Layout.of(trainer.learner, getattr(trainer, "word", 0)) if layout is None else layout
        self._learns = getattr(trainer, "learns", True)
        super().__init__(
            {
                "received": In(stream.Signature(8, always_ready=True)),
                "sent": Out(stream.Signature(8)),
                "activity": Out(1),
                "error": Out(1),
            }
        )

    @property
    def _fingerprint(self) -> int:
        own = getattr(self.trainer, "fingerprint", None)
        return fingerprint(self.trainer.learner) if own is None else int(own)

    @property
    def identity(self) -> dict[str, int]:
        """The values of :data:`rdahw.hdl.protocol.IDENTITY`."""
        layout = self.layout
        return {
            "version": VERSION,
            "learns": int(self._learns),
            "batches": int(self.trainer.batch),
            "payload": MAX_PAYLOAD,
            "fingerprint": self._fingerprint,
            "parameter_bits": layout.parameter_bits,
            "input_bits": layout.input_bits,
            "output_bits": layout.output_bits,
            "word_bits": layout.word_bits,
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.trainer = trainer = self.trainer
        control, layout = trainer.control, self.layout

        command, known = Signal(3), Signal()
        requested = {name: Signal(name=f"asks_{name}") for name in COMMANDS}  # a cycle after ``command``
        m.d.sync += [signal.eq(command == COMMANDS[name].code) for name, signal in requested.items()]

        def asks(*names: str) -> Any:
            """Whether the request is one of these commands."""
            return Cat(requested[name] for name in names).any()

        # -- memory: ``byte`` is what ``source`` points to, in the same cycle, as the address is given a cycle ahead
        contents = [0] * _IDENTITY + list(join(IDENTITY, self.identity)) + [0] * MAX_PAYLOAD
        data = memory.MemoryData(shape=8, depth=_MEMORY, init=contents)
        source, following = Signal(range(_MEMORY)), Signal(range(_MEMORY))  # following: what ``source`` is next
        ahead = Signal(range(_MEMORY), init=1)  # source + 1
        byte, write = block_memory(m, "memory", data, following)
        # On to the next byte, which is there two cycles later; to the request's first, to the answer's, in a cycle.
        advance, rewind, replay = Signal(), Signal(), Signal()
        step = Signal()  # ``advance`` in the cycle before, as so many states want it
        m.d.sync += step.eq(advance)
        fill = Signal(range(_MEMORY))  # where the next byte is written
        m.d.comb += following.eq(source)
        report = asks("open", "status")
        with m.If(step):
            m.d.comb += following.eq(ahead)
            m.d.sync += ahead.eq(ahead + 1)
        with m.If(rewind):
            m.d.comb += following.eq(0)
            m.d.sync += ahead.eq(1)
        with m.If(replay):
            m.d.comb += following.eq(Mux(report, _IDENTITY, _ANSWER))
            m.d.sync += ahead.eq(Mux(report, _IDENTITY + 1, _ANSWER + 1))
        m.d.sync += source.eq(following)
        push, dry = Signal(), Signal()  # write a byte, and on to the next; dry: the first pass, nothing is written
        put_data = Signal(8)
        # A byte is written a cycle after it was put; none is read so soon.
        write_enable, write_address, write_data = Signal(), Signal.like(fill), Signal(8, reset_less=True)
        m.d.sync += [write_enable.eq(push & ~dry), write_address.eq(fill), write_data.eq(put_data)]
        m.d.comb += [write.en.eq(write_enable), write.addr.eq(write_address), write.data.eq(write_data)]
        with m.If(push):
            m.d.sync += fill.eq(fill + 1)

        def put(value: Any) -> None:
            m.d.comb += [put_data.eq(value), push.eq(1)]

        # -- the state of the link
        opened = Signal()  # a session is open, its number and its last sequence number are:
        session = Signal(32, reset_less=True)
        sequence = Signal(8)
        answered = Signal(8, reset_less=True)  # where the last answer ends
        batch_open = Signal()
        # -- the request in hand
        end = Signal(8, reset_less=True)  # where its payload ends
        ours = Signal()  # its session is the open one
        at_end = Signal()  # source == end
        with m.If(step):
            m.d.sync += at_end.eq(ahead[:8] == end)
        with m.If(rewind):
            m.d.sync += at_end.eq(0)  # there is a header before
        # -- the answer in hand
        refusal, refused = Signal(3), Signal()  # why it is a refusal, or 0; whether it is one
        at_code = Signal()  # the code of a refusal is sent
        part = Signal(range(max(16, layout.head_bytes)))  # counts within whatever the state machine is at

        # Comparisons go through registers, and have a state to settle in where they are needed: at 48 MHz an iCE40
        # UltraPlus has time for few look-up tables between two flip-flops.
        sound, long_enough = Signal(), Signal()
        m.d.sync += long_enough.eq(fill >= HEADER_BYTES + CRC_BYTES)
        check, restart = crc.catalog.CRC32_ISO_HDLC(8).create(), Signal()
        octet, checked = Signal(8), Signal()  # a byte goes into the checksum
        m.d.sync += [check.data.eq(octet), check.valid.eq(checked), sound.eq(check.match_detected)]
        # Its own ``start`` may come with a byte, which costs a multiplexer a bit; here it never does.
        m.submodules.crc = ResetInserter(restart)(check)
        escaping = Signal()  # the byte before was ESCAPE

        # -- trainer
        example = Signal(layout.head_bytes * 8, reset_less=True)  # without x if that comes in words
        word = Signal(layout.word_bits, reset_less=True)
        number = Signal(range(max(layout.words, 1)))
        offered, result = trainer.examples, trainer.results
        m.d.comb += [
            offered.payload.learn.eq(asks("train")),
            offered.payload.last.eq(example[0] & offered.payload.learn),
            offered.payload.y.eq(example[1 : 1 + layout.output_bits]),
            offered.payload.x.eq(word if layout.words else example[1 + layout.output_bits :]),
        ]
        address_bytes = -(-layout.parameter_bytes.bit_length() // 8)  # also of the byte behind the last
        address = Signal(8 * address_bytes, reset_less=True)
        beyond, write_byte, clear = Signal(), Signal(), Signal()
        # What the trainer is asked comes from flip-flops, and all that its readiness does is to change the state.
        m.d.comb += [
            control.parameter_write_enable.eq(write_byte),
            control.clear.eq(clear),
            control.parameter_address.eq(address),
            control.parameter_write.eq(byte),
        ]
        m.d.sync += beyond.eq(address >= layout.parameter_bytes)

        # -- results and counts as bytes
        result_bits = Cat(result.payload.prediction, result.payload.correct)
        result_bytes = Array([result_bits[i * 8 : i * 8 + 8] for i in range(layout.result_bytes)])
        live = {"batch_open": batch_open, "example_count": control.example_count, "error_count": control.error_count}
        state_bytes = Array([live[f.name][i * 8 : i * 8 + 8] for f in STATE for i in range(f.bytes)])

        # -- stuffing: ``outgoing`` is sent, with ESCAPE before it if need be; ``flag``: it is a flag, and sent as it is
        outgoing, waiting, flag = Signal(8, reset_less=True), Signal(), Signal()
        special, settled = Signal(), Signal()  # settled: ``special`` is of the byte that waits
        m.d.sync += [special.eq(((outgoing == FLAG) | (outgoing == ESCAPE)) & ~flag), settled.eq(waiting)]
        m.d.comb += [
            self.sent.valid.eq(waiting & settled),
            self.sent.payload.eq(outgoing ^ Mux(escaping, TOGGLE, 0)),
        ]
        with m.If(special & ~escaping):
            m.d.comb += self.sent.payload.eq(ESCAPE)
        with m.If(self.sent.valid & self.sent.ready):
            m.d.sync += [waiting.eq(special & ~escaping), escaping.eq(special & ~escaping)]

        def send(value: Any) -> None:
            """Put a byte in line, when none waits there."""
            m.d.sync += [outgoing.eq(value), flag.eq(0), waiting.eq(1)]

        def send_flag() -> None:
            m.d.sync += [outgoing.eq(FLAG), flag.eq(1), waiting.eq(1)]

        def refuse(error: str) -> None:
            """Answer with an error; nothing was changed."""
            refusals.add(error)
            machine.next = error

        machine = OneHot(m, "HUNT")
        refusals: set[str] = set()
        # -- receiving
        arrived, arrives, is_flag, is_escape = Signal(8), Signal(), Signal(), Signal()
        begun, too_long = Signal(), Signal()
        m.d.sync += [
            arrives.eq(self.received.valid),
            arrived.eq(self.received.payload),
            is_flag.eq(self.received.payload == FLAG),
            is_escape.eq(self.received.payload == ESCAPE),
        ]
        with machine.state("HUNT"):  # for the flag before a frame
            m.d.sync += [fill.eq(0), dry.eq(0), escaping.eq(0), begun.eq(0), too_long.eq(0)]
            m.d.comb += restart.eq(1)
            with m.If(arrives & is_flag):
                machine.next = "RECEIVE"

        with machine.state("RECEIVE"):
            unstuffed = arrived ^ Mux(escaping, TOGGLE, 0)
            m.d.comb += [octet.eq(unstuffed), rewind.eq(1)]
            m.d.sync += [end.eq(fill - CRC_BYTES), part.eq(0), ours.eq(opened)]
            with m.If(arrives):
                m.d.sync += escaping.eq(is_escape)
                with m.If(is_flag & ~begun):
                    pass  # the end of a frame was lost, or this is one
                with m.Elif(is_flag):
                    machine.next = "CHECK NEXT"
                with m.Elif(~is_escape):
                    put(unstuffed)
                    m.d.comb += checked.eq(1)
                    m.d.sync += [begun.eq(1), too_long.eq(fill == _MAX_REQUEST - 1)]
                    with m.If(too_long):
                        refuse("damaged")

        with machine.state("CHECK NEXT"):
            machine.next = "CHECK"

        with machine.state("CHECK"):
            with m.If(sound & long_enough):
                machine.next = "HEADER"
            with m.Else():
                refuse("damaged")

        # -- whether the packet is new: ``source`` goes over the header
        header_end = source[:3] == _SEQUENCE

        with machine.state("HEADER"):
            m.d.comb += advance.eq(1)
            with m.If(source[:3] == 0):
                m.d.sync += [command.eq(byte), known.eq((byte != 0) & (byte[3:] == 0))]
            with m.Else():
                m.d.sync += session.eq(session.rotate_right(8))
                with m.If(byte != session[:8]):
                    m.d.sync += ours.eq(0)
            machine.next = "HEADER NEXT"

        with machine.state("HEADER NEXT"):
            machine.next = "HEADER"
            with m.If(source[:3] == _SEQUENCE - 1):
                machine.next = "COMPARE"

        repeated, follows, following = Signal(), Signal(), Signal(8)
        m.d.sync += [
            following.eq(sequence + 1),
            repeated.eq(byte == sequence),
            follows.eq(byte == following),
        ]
        with machine.state("COMPARE"):
            machine.next = "JUDGE"

        with machine.state("JUDGE"):
            m.d.sync += [dry.eq(1), refusal.eq(0)]
            m.d.comb += advance.eq(1)
            with m.If(ours):
                with m.If(repeated):
                    machine.next = "ANSWER"
                with m.Elif(~follows | (known & asks("open"))):
                    refuse("wrong_sequence")
                with m.Else():
                    machine.next = "BEGIN"
            with m.Elif(known & asks("open")):
                machine.next = "ADOPT FIRST"
            with m.Else():
                refuse("wrong_session")

        with machine.state("ADOPT FIRST"):
            m.d.comb += rewind.eq(1)
            machine.next = "ADOPT"

        with machine.state("ADOPT"):
            m.d.comb += advance.eq(1)
            m.d.sync += opened.eq(1)
            machine.next = "ADOPT NEXT"
            with m.If(header_end):
                machine.next = "REWIND"
            with m.Else():  # the code goes through as well
                m.d.sync += session.eq(Cat(session[8:], byte))

        with machine.state("ADOPT NEXT"):
            machine.next = "ADOPT"

        # -- between the passes: now the request will be executed
        with machine.state("REWIND"):
            m.d.comb += rewind.eq(1)
            machine.next = "NUMBER"

        with machine.state("NUMBER"):
            m.d.comb += advance.eq(1)
            m.d.sync += [sequence.eq(byte), dry.eq(0)]
            machine.next = "NUMBER NEXT"
            with m.If(header_end):
                machine.next = "BEGIN"

        with machine.state("NUMBER NEXT"):
            machine.next = "NUMBER"

        # -- a pass over the payload: ``source`` goes over it, and ``fill`` over the answer
        with machine.state("BEGIN"):
            m.d.sync += [part.eq(0), number.eq(0), fill.eq(_ANSWER)]
            with m.If(asks("open", "status")):
                machine.next = "STATE NEXT"
            with m.If(asks("train", "predict")):
                machine.next = "LOAD NEXT"
            with m.If(asks("read", "write")):
                machine.next = "ADDRESS NEXT"
            with m.If(asks("clear")):
                machine.next = "CLEAR"
            unknown = ~known if self._learns else ~known | asks("train", "write", "clear")
            with m.If(unknown):
                refuse("unknown_command")

        state_byte, state_over = Signal(8), Signal()
        m.d.sync += [state_byte.eq(state_bytes[part]), state_over.eq(part == size(STATE))]
        with machine.state("STATE NEXT"):
            machine.next = "STATE"

        with machine.state("STATE"):
            m.d.sync += part.eq(part + 1)
            with m.If(state_over):
                machine.next = "FINISH"
            with m.Else():
                put(state_byte)
                machine.next = "STATE NEXT"

        loaded, word_loaded, in_example = Signal(), Signal(), Signal()  # with the byte that is loaded in this cycle
        m.d.sync += [
            loaded.eq(part == layout.head_bytes - 1),
            word_loaded.eq(part == layout.word_bits // 8 - 1),
            in_example.eq(part != 0),
        ]
        with machine.state("LOAD NEXT"):
            machine.next = "LOAD"

        with machine.state("LOAD"):
            m.d.comb += advance.eq(1)
            m.d.sync += [example.eq(Cat(example[8:], byte)), part.eq(part + 1)]
            machine.next = "LOAD NEXT"
            with m.If(at_end):
                machine.next = "FINISH"
                with m.If(in_example):
                    refuse("wrong_length")
            with m.Elif(loaded):
                m.d.sync += part.eq(0)
                if layout.words:
                    machine.next = "LOAD WORD NEXT"
                else:
                    with m.If(~dry):
                        machine.next = "OFFER"

        if layout.words:
            with machine.state("LOAD WORD NEXT"):
                machine.next = "LOAD WORD"

            with machine.state("LOAD WORD"):
                m.d.comb += advance.eq(1)
                m.d.sync += [word.eq(Cat(word[8:], byte)), part.eq(part + 1)]
                machine.next = "LOAD WORD NEXT"
                with m.If(at_end):
                    refuse("wrong_length")
                with m.Elif(word_loaded):
                    m.d.sync += part.eq(0)
                    machine.next = "OFFER"

        last_word, result_byte, result_over = Signal(), Signal(8), Signal()
        m.d.sync += [
            last_word.eq(number == layout.words - 1),
            result_byte.eq(result_bytes[part]),
            result_over.eq(part == layout.result_bytes - 1),
        ]
        with machine.state("OFFER"):
            m.d.comb += offered.valid.eq(~dry)
            with m.If(offered.ready | dry):
                machine.next = "OFFERED"

        with machine.state("OFFERED"):
            machine.next = "RESULT"
            with m.If(offered.payload.learn & ~dry):
                m.d.sync += batch_open.eq(~offered.payload.last & self.trainer.batch)
            if layout.words:
                m.d.sync += number.eq(number + 1)
                with m.If(~last_word):
                    machine.next = "LOAD WORD NEXT"
                with m.Else():
                    m.d.sync += number.eq(0)
                    with m.If(dry):
                        machine.next = "LOAD NEXT"

        with machine.state("RESULT"), m.If(result.valid):
            machine.next = "RESULT NEXT"

        with machine.state("RESULT NEXT"):
            machine.next = "RESULT BYTE"

        with machine.state("RESULT BYTE"):
            put(result_byte)
            m.d.sync += part.eq(part + 1)
            machine.next = "RESULT NEXT"
            with m.If(result_over):
                m.d.comb += result.ready.eq(1)
                m.d.sync += part.eq(0)
                machine.next = "LOAD NEXT"

        too_high = Signal()  # a byte of the address that is not 0, above those that there are
        m.d.sync += too_high.eq((part >= address_bytes) & (byte != 0))
        with machine.state("ADDRESS NEXT"):
            machine.next = "ADDRESS BYTE"

        with machine.state("ADDRESS BYTE"):
            machine.next = "ADDRESS"

        with machine.state("ADDRESS"):
            m.d.comb += advance.eq(1)
            m.d.sync += part.eq(part + 1)
            machine.next = "ADDRESS NEXT"
            with m.If(part < address_bytes):
                m.d.sync += address.eq(Cat(address[8:], byte))
            with m.If(at_end):
                refuse("wrong_length")
            with m.Elif(too_high):
                refuse("wrong_address")
            with m.Elif(part == 3):
                machine.next = "WRITE NEXT"
                with m.If(asks("read")):
                    machine.next = "READ COUNT"

        with machine.state("WRITE NEXT"):
            machine.next = "WRITE"

        with machine.state("WRITE"):
            with m.If(at_end):
                machine.next = "FINISH"
            with m.Elif(beyond):
                refuse("wrong_address")
            with m.Else():
                m.d.sync += write_byte.eq(~dry)
                machine.next = "WRITING"

        with machine.state("WRITING"), m.If(control.ready | dry):
            m.d.sync += write_byte.eq(0)
            machine.next = "WRITTEN"

        with machine.state("WRITTEN"):
            m.d.comb += advance.eq(1)
            m.d.sync += address.eq(address + 1)
            machine.next = "WRITE NEXT"

        with machine.state("CLEAR"):
            m.d.sync += clear.eq(~dry)
            machine.next = "CLEARING"

        with machine.state("CLEARING"), m.If(control.ready | dry):
            m.d.sync += clear.eq(0)
            machine.next = "CLEARED"

        with machine.state("CLEARED"):
            m.d.sync += batch_open.eq(0)
            machine.next = "FINISH"

        all_read = Signal()
        m.d.sync += all_read.eq((fill - _ANSWER)[:8] == byte)
        with machine.state("READ COUNT"):  # and at the count ``byte`` stays
            machine.next = "READ NEXT"

        with machine.state("READ NEXT"):
            machine.next = "READ"

        with machine.state("READ"):
            with m.If(control.ready):
                machine.next = "READ DATA"
            with m.If(at_end):
                refuse("wrong_length")
            with m.Elif(all_read):
                machine.next = "FINISH"
            with m.Elif(beyond):
                refuse("wrong_address")
            with m.Elif(~fill[8]):  # beyond the end of the memory
                refuse("wrong_length")

        fetched = Signal(8, reset_less=True)
        m.d.sync += fetched.eq(control.parameter_read)
        with machine.state("READ DATA"):
            machine.next = "READ FETCH"

        with machine.state("READ FETCH"):
            machine.next = "READ BYTE"

        with machine.state("READ BYTE"):
            put(fetched)
            m.d.sync += address.eq(address + 1)
            machine.next = "READ NEXT"

        with machine.state("FINISH"):  # a pass
            m.d.sync += answered.eq(fill)
            machine.next = "REWIND"
            with m.If(~dry):
                machine.next = "ANSWER"

        # -- answering
        for error in sorted(refusals):
            with machine.state(error):
                m.d.comb += self.error.eq(1)
                m.d.sync += refusal.eq(ERRORS[error].code & ~REFUSED)
                machine.next = "ANSWER"

        with machine.state("ANSWER"):
            m.d.comb += [restart.eq(1), rewind.eq(1)]
            m.d.sync += [escaping.eq(0), part.eq(0), refused.eq(refusal != 0), at_code.eq(refusal != 0)]
            send_flag()
            machine.next = "ANSWER HEADER"

        with machine.state("ANSWER HEADER"):  # that of the request
            m.d.comb += octet.eq(byte)
            with m.If(at_code):
                m.d.comb += octet.eq(REFUSED | refusal)
            with m.If(~waiting):
                m.d.sync += at_code.eq(0)
                send(octet)
                m.d.comb += [checked.eq(1), advance.eq(1)]
                with m.If(header_end):
                    machine.next = "REPLAY"

        with machine.state("REPLAY"):
            m.d.comb += replay.eq(1)
            machine.next = "ANSWER PAYLOAD"

        all_sent = Signal()  # while a byte waits, it is found out whether that is the last one
        m.d.sync += all_sent.eq(refused | (source[:8] == answered))
        with machine.state("ANSWER PAYLOAD"):
            m.d.comb += octet.eq(byte)
            with m.If(~waiting):
                m.d.comb += advance.eq(1)
                with m.If(all_sent):
                    machine.next = "ANSWER CRC"
                with m.Else():
                    send(byte)
                    m.d.comb += checked.eq(1)

        crc_byte = Signal(8, reset_less=True)  # settled while a byte waits, too
        m.d.sync += crc_byte.eq(check.crc.word_select(part[:2], 8))
        with machine.state("ANSWER CRC"), m.If(~waiting):
            send(crc_byte)
            m.d.sync += part.eq(part + 1)
            with m.If(part == CRC_BYTES):
                send_flag()
                machine.next = "HUNT"
        machine.finish()
        m.d.comb += self.activity.eq(~(machine.ongoing("HUNT") | machine.ongoing("RECEIVE")))
        return m


class UartLink(wiring.Component):  # type: ignore[misc]
    """A trainer behind the host link on a UART, ``divisor`` clock cycles a bit: the lines ``rx`` and ``tx``, idle high.

    activity, error: those of :class:`HostLink`.
    """

    def __init__(self, trainer: Any, divisor: int) -> None:
        self.divisor = divisor
        self.link = HostLink(trainer)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "activity": Out(1), "error": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        wiring.connect(m, receiver.bytes, link.received)
        wiring.connect(m, link.sent, transmitter.bytes)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            self.activity.eq(link.activity),
            self.error.eq(link.error),
        ]
        return m
