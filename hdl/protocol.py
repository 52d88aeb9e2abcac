"""The host link's protocol in one table: frames, commands, fields and error codes, for the gateware and for the host.

``docs/host-link.md`` describes it; its tables are made by :func:`tables`. Nothing here knows Amaranth or a serial port.

A *frame* is ``FLAG``, the packet and its CRC-32 with ``FLAG`` and ``ESCAPE`` stuffed, ``FLAG``: the framing of RFC
1662. A *packet* is a header (code, session, sequence number) and a payload. Whole numbers are little-endian. Bits are
packed least significant first, wire 0 first.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rdahw.errors import UserError
from rdahw.fields import Field, size
from rdahw.learner import Learner
from rdahw.primitives import Array

__all__ = [
    "COMMANDS",
    "CRC_BYTES",
    "ERRORS",
    "ESCAPE",
    "FLAG",
    "HEADER",
    "HEADER_BYTES",
    "IDENTITY",
    "MAX_PAYLOAD",
    "MOST_PAYLOAD",
    "REFUSED",
    "REPORT",
    "STATE",
    "TOGGLE",
    "VERSION",
    "Command",
    "Deframer",
    "Error",
    "Layout",
    "fingerprint",
    "fingerprint_of",
    "frame",
    "payload_of",
    "store_bytes",
    "tables",
]

#: The version of the protocol. ``open`` and the first byte of its answer are the same in all versions.
VERSION = 1

#: The first and last byte of every frame; it occurs nowhere else.
FLAG = 0x7E
#: Precedes a FLAG or ESCAPE in the packet, whose bits ``TOGGLE`` are inverted.
ESCAPE = 0x7D
TOGGLE = 0x20

#: CRC-32/ISO-HDLC (that of Ethernet and zlib), least significant byte first.
CRC_BYTES = 4

#: The longest payload of a request or an answer: both, and the identity, fit a block RAM of 512 bytes.
MAX_PAYLOAD = 224

#: The bytes of a device's identity, before the answers in its memory.
_IDENTITY_BYTES = 32
#: The longest payload of a request to a device whose examples need more than :data:`MAX_PAYLOAD`.
MOST_PAYLOAD = (1 << 16) - 256 - _IDENTITY_BYTES

#: Set in the code of an answer if the request was refused; the code is then the reason.
REFUSED = 0x80


class Command(NamedTuple):
    """A request: its name and code, what its payload and that of its answer are, and what it does."""

    name: str
    code: int
    request: str
    answer: str
    meaning: str


class Error(NamedTuple):
    """Why a request was refused: name, code, what it means. Nothing was changed; the sequence number is still free."""

    name: str
    code: int
    meaning: str


HEADER = (
    Field("code", 1, "the command; in a refusal, the reason"),
    Field("session", 4, "a number that the host drew at random for its session"),
    Field("sequence", 1, "one more than in the packet before, modulo 256; 0 in `open`"),
)

#: What a device is: constants, the same as long as the bitstream is.
IDENTITY = (
    Field("version", 1, "the version of the protocol"),
    Field("learns", 1, "1: a trainer; 0: a fixed model, which refuses `train`, `write` and `clear` as unknown"),
    Field("batches", 1, "1: updates are applied after the last example of a batch; 0: after each example"),
    Field("payload", 2, "the longest payload in bytes"),
    Field("fingerprint", 8, "the first bytes of the SHA-256 of the learning step's circuit"),
    Field("parameter_bits", 4, "P, the bits of the parameters"),
    Field("input_bits", 4, "A, the bits of x"),
    Field("output_bits", 2, "B, the bits of y"),
    Field("word_bits", 2, "0: x follows y without a gap; else the bits of the words in which x is sent"),
    Field("reserved", 7, "0"),
)

#: What a device has done.
STATE = (
    Field("batch_open", 1, "1: examples were trained on whose batch is not ended"),
    Field("example_count", 4, "examples trained on since `clear`"),
    Field("error_count", 4, "those of them that were predicted wrongly"),
)

#: The answer of ``open`` and ``status``.
REPORT = IDENTITY + STATE

COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        Command("open", 1, "nothing", "report", "begins a session: only its packets are executed from now on"),
        Command("status", 2, "nothing", "report", "says what the device is and has done"),
        Command("train", 3, "examples", "a result each", "makes a learning step by each example"),
        Command("predict", 4, "examples", "a result each", "predicts, and changes nothing"),
        Command("read", 5, "address (4 bytes), count (1 byte)", "count bytes", "reads parameters"),
        Command("write", 6, "address (4 bytes), bytes", "nothing", "writes parameters"),
        Command("clear", 7, "nothing", "nothing", "sets parameters, open batch and counts to zero"),
    )
}

ERRORS: Mapping[str, Error] = {
    error.name: error
    for error in (
        Error("damaged", 0x81, "the frame's CRC or size is wrong: send it again"),
        Error("wrong_session", 0x82, "the packet does not belong to the open session, or none is open"),
        Error("wrong_sequence", 0x83, "the sequence number is neither the last one nor the next"),
        Error("unknown_command", 0x84, "no command has this code, or the device does not learn"),
        Error("wrong_length", 0x85, "the payload ends within an example or a field, or the answer would be too long"),
        Error("wrong_address", 0x86, "a byte beyond the parameters was asked for"),
    )
}


HEADER_BYTES = size(HEADER)
assert size(IDENTITY) == _IDENTITY_BYTES


def payload_of(octets: int) -> int:
    """The payload of requests of at least so many bytes: whole pages of 256 bytes of memory, less 32 for the frame; at
    most :data:`MOST_PAYLOAD`."""
    return min(-(-(octets + _IDENTITY_BYTES) // 256) * 256 - _IDENTITY_BYTES, MOST_PAYLOAD)


def store_bytes(payload: int) -> int:
    """The bytes of memory of a device with this payload: a request, the identity, an answer."""
    return payload + _IDENTITY_BYTES + _IDENTITY_BYTES + MAX_PAYLOAD


# -- frames ------------------------------------------------------------------------------------------------------------


def frame(packet: bytes) -> bytes:
    """The frame that carries ``packet``."""
    body = bytearray()
    for byte in packet + zlib.crc32(packet).to_bytes(CRC_BYTES, "little"):
        body += bytes([ESCAPE, byte ^ TOGGLE]) if byte in (FLAG, ESCAPE) else bytes([byte])
    return bytes([FLAG, *body, FLAG])


class Deframer:
    """Takes received bytes and yields the packets in them; ``None`` stands for a damaged one.

    Bytes before the first flag are ignored. With ``limit``, a frame of more than that many bytes (flags and escapes not
    counted) is damaged, and all bytes up to the next flag are ignored.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        #: The bytes of the last frame, header and CRC included, also if it was damaged.
        self.taken = b""
        self._body: bytearray | None = None
        self._escaped = False

    def reset(self) -> None:
        """Ignore everything up to the next flag."""
        self._body, self._escaped = None, False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The packets that end in ``data``."""
        for byte in data:
            if byte == FLAG:
                body, self._body, self._escaped = self._body, bytearray(), False
                if body:
                    self.taken = bytes(body)
                    yield self._check(self.taken)
            elif self._body is not None:
                if byte == ESCAPE:
                    self._escaped = True
                elif self.limit is not None and len(self._body) >= self.limit:
                    self.taken = bytes(self._body)
                    self.reset()
                    yield None
                else:
                    self._body.append(byte ^ TOGGLE if self._escaped else byte)
                    self._escaped = False

    @staticmethod
    def _check(body: bytes) -> bytes | None:
        packet, crc = body[:-CRC_BYTES], body[-CRC_BYTES:]
        if len(packet) < HEADER_BYTES or zlib.crc32(packet) != int.from_bytes(crc, "little"):
            return None
        return packet


# -- payloads ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions of the bits of examples and results.

    An example is ``last`` (1 bit: the last one of its batch), y and x, padded with zeros to whole bytes; a result is
    the prediction and ``correct`` (1 bit), padded likewise. With ``word_bits`` (a multiple of 8), for a trainer that
    takes x in words, x begins at a byte and is padded with zeros to whole words. ``payload``: the longest one of a
    request.

    Raises :class:`UserError` if an example is longer than a payload.
    """

    parameter_bits: int
    input_bits: int
    output_bits: int
    word_bits: int = 0
    payload: int = MAX_PAYLOAD

    def __post_init__(self) -> None:
        if self.word_bits % 8:
            raise UserError(f"invalid word width {self.word_bits}; expected a multiple of 8")
        if self.example_bytes > self.payload:
            raise UserError(
                f"an example of {self.input_bits} inputs and {self.output_bits} outputs takes {self.example_bytes} "
                f"bytes; a packet holds {self.payload}: choose fewer inputs"
            )

    @staticmethod
    def of(learner: Learner, word_bits: int = 0) -> Layout:
        """The layout for a learner's widths."""
        model = learner.model
        return Layout(model.parameter_bits, model.input_bits, model.output_bits, word_bits)

    @property
    def parameter_bytes(self) -> int:
        """The bytes of the parameters."""
        return -(-self.parameter_bits // 8)

    @property
    def head_bytes(self) -> int:
        """The bytes of an example before the words of x: all of them if x is not sent in words."""
        return -(-(1 + self.output_bits + (0 if self.word_bits else self.input_bits)) // 8)

    @property
    def words(self) -> int:
        """The words of x; 0 if it is not sent in words."""
        return -(-self.input_bits // self.word_bits) if self.word_bits else 0

    @property
    def example_bytes(self) -> int:
        """The bytes of an example."""
        return self.head_bytes + self.words * self.word_bits // 8

    @property
    def result_bytes(self) -> int:
        """The bytes of a result; never more than those of an example."""
        return -(-(self.output_bits + 1) // 8)

    @property
    def examples_per_packet(self) -> int:
        """The examples that fit a payload."""
        return self.payload // self.example_bytes

    @property
    def _x_bits(self) -> slice:
        start = self.head_bytes * 8 if self.word_bits else 1 + self.output_bits
        return slice(start, start + self.input_bits)

    def pack_examples(self, x: Array, y: Array, last: Array) -> Array:
        """Examples as bytes, (N, example_bytes), from x (N, A), y (N, B) and last (N,), all of 0 and 1."""
        bits = np.zeros((len(x), self.example_bytes * 8), np.uint8)
        bits[:, 0] = last
        bits[:, 1 : 1 + self.output_bits] = y
        bits[:, self._x_bits] = x
        return np.packbits(bits, axis=1, bitorder="little")

    def unpack_examples(self, data: bytes) -> tuple[Array, Array, Array]:
        """The inverse of :meth:`pack_examples`, for whole examples."""
        rows = np.frombuffer(data, np.uint8).reshape(-1, self.example_bytes)
        bits = np.unpackbits(rows, axis=1, bitorder="little")
        return bits[:, self._x_bits], bits[:, 1 : 1 + self.output_bits], bits[:, 0]

    def pack_results(self, prediction: Array, correct: Array) -> Array:
        """Results as bytes, (N, result_bytes), from predictions (N, B) and correct (N,)."""
        return np.packbits(np.column_stack([prediction, correct]), axis=1, bitorder="little")

    def unpack_results(self, data: bytes) -> tuple[Array, Array]:
        """The inverse of :meth:`pack_results`: predictions (N, B) and correct (N,)."""
        rows = np.frombuffer(data, np.uint8).reshape(-1, self.result_bytes)
        bits = np.unpackbits(rows, axis=1, bitorder="little")
        return bits[:, : self.output_bits], bits[:, self.output_bits]


def fingerprint(learner: Learner) -> int:
    """The fingerprint of a learner, 64 bits: that of its step circuit."""
    return fingerprint_of(learner.step.to_json())


def fingerprint_of(value: object) -> int:
    """The fingerprint of plain JSON values, 64 bits: the first bytes of the SHA-256 of their text."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


# -- for the documents -------------------------------------------------------------------------------------------------


def tables() -> dict[str, str]:
    """The tables of ``docs/host-link.md`` by name, in Markdown."""

    def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
        return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows))

    def fields(rows: Sequence[Field]) -> str:
        at = [sum(field.bytes for field in rows[:i]) for i in range(len(rows))]
        return markdown(
            ("at", "field", "bytes", "meaning"), [(a, f"`{f.name}`", *f[1:]) for a, f in zip(at, rows, strict=True)]
        )

    return {
        "header": fields(HEADER),
        "commands": markdown(
            ("command", "code", "payload", "answer's payload", "what it does"),
            [(f"`{c.name}`", c.code, *c[2:]) for c in COMMANDS.values()],
        ),
        "report": fields(REPORT),
        "errors": markdown(
            ("error", "code", "meaning"), [(f"`{e.name}`", hex(e.code), e.meaning) for e in ERRORS.values()]
        ),
    }
