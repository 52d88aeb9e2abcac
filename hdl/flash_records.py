"""The parts of a flash trainer that handle the bytes of a flash image: checksum, header, and address of records."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal  # type: ignore[import-untyped]
from amaranth.lib import crc, memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.fields import offset
from rdahw.flash_image import CRC_BYTES, HEADER, HEADER_BYTES, MAGIC
from rdahw.hdl.flash_reader import ADDRESS_BITS

__all__ = ["COUNT_BITS", "FROM_HEADER", "CheckedOctets", "HeaderFields", "RecordPlaces"]

#: The bits of a number of records or of bytes: an image has fewer bytes than 24 bits count.
COUNT_BITS = 24

#: The fields of the header that are stored, the lower three bytes of each.
FROM_HEADER = ("train_examples", "train_bytes", "test_examples", "test_bytes", "stride", "stride_bytes")
#: The bytes of those fields: name, and which byte of it.
_KEPT = tuple((name, i) for name in FROM_HEADER for i in range(COUNT_BITS // 8))


class CheckedOctets(wiring.Component):  # type: ignore[misc]
    """A register for one byte of a stream, and the CRC-32 of all bytes received.

    The register separates the paths of producer and consumer. A byte takes three cycles.

    octets : In(stream of 8 bits).
    octet : Out(8): the stored byte, while ``full``; it stays for a cycle after it was taken.
    due : In(1): the consumer is ready. take : Out(1): the byte is taken, in the cycle after it was due.
    fresh : In(1): restarts the checksum. sound : Out(1): the last four bytes are the CRC-32 of all before them; two
        cycles after the last one was stored.
    forget : In(1): discards the byte; one received in this cycle is not added to the checksum.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "octets": In(stream.Signature(8)),
                "octet": Out(8),
                "full": Out(1),
                "due": In(1),
                "take": Out(1),
                "fresh": In(1),
                "sound": Out(1),
                "forget": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        octet, full, came = Signal(8, name="rests", reset_less=True), self.full, Signal()
        check = crc.catalog.CRC32_ISO_HDLC(8).create()
        m.submodules.crc = ResetInserter(self.fresh)(check)
        m.d.comb += [
            self.octet.eq(octet),
            self.octets.ready.eq(~full),
            check.valid.eq(came),
            check.data.eq(octet),
        ]
        m.d.sync += [
            self.take.eq(full & self.due & ~self.take),
            came.eq(self.octets.valid & ~full),
            self.sound.eq(check.match_detected),
        ]
        with m.If(self.take):
            m.d.sync += full.eq(0)
        with m.Elif(self.octets.valid & ~full):
            m.d.sync += [full.eq(1), octet.eq(self.octets.payload)]
        with m.If(self.forget):
            m.d.sync += [full.eq(0), came.eq(0)]
        return m


class HeaderFields(wiring.Component):  # type: ignore[misc]
    """Checks the bytes of the header of a flash image (:mod:`rdahw.flash_image`) and stores fields of it.

    expected: the bytes that every header begins with.

    number : In: the number of ``octet`` in the header, from two cycles before ``taken`` on.
    octet : In(8): stable from a cycle before ``taken`` to a cycle after it. taken : In(1): the byte is valid.
    begin : In(1): sets ``foreign`` to 0. foreign : Out(1): since then a byte was not the expected one, or made one of
        the fields larger than 24 bits.
    ``FROM_HEADER`` : Out(24) each: the fields, without reset.
    """

    def __init__(self, expected: bytes, number_bits: int) -> None:
        self.expected = expected
        super().__init__(
            {
                "number": In(number_bits),
                "octet": In(8),
                "taken": In(1),
                "begin": In(1),
                "foreign": Out(1),
                **{name: Out(COUNT_BITS) for name in FROM_HEADER},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # For each byte: its expected value, whether that is checked, and its number among the stored ones; 0: none.
        known = dict(enumerate(self.expected)) | {_in_header(name) + COUNT_BITS // 8: 0 for name in FROM_HEADER}
        kept = {_in_header(name) + i: which for which, (name, i) in enumerate(_KEPT, 1)}
        words = [
            known.get(k, 0) | (k in known) << 8 | kept.get(k, 0) << 9 for k in range(max(max(known), max(kept)) + 1)
        ]
        m.submodules.plan = plan = memory.Memory(
            shape=9 + len(_KEPT).bit_length(), depth=1 << len(self.number), init=words
        )
        row = plan.read_port()
        other, keep = Signal(), Signal()
        m.d.comb += row.addr.eq(self.number)
        m.d.sync += [other.eq(row.data[8] & (self.octet != row.data[:8])), keep.eq(self.taken)]
        for which, (name, i) in enumerate(_KEPT, 1):
            field = Signal(8, name=f"{name}{i}", reset_less=True)
            m.d.comb += getattr(self, name)[8 * i : 8 * i + 8].eq(field)
            with m.If(keep & (row.data[9:] == which)):
                m.d.sync += field.eq(self.octet)
        with m.If(self.begin):
            m.d.sync += self.foreign.eq(0)
        with m.Elif(self.taken & other):
            m.d.sync += self.foreign.eq(1)
        return m


def _in_header(name: str) -> int:
    """The position of a field's first byte."""
    return len(MAGIC) + offset(HEADER, name)


class RecordPlaces(wiring.Component):  # type: ignore[misc]
    """The addresses of records that are read one by one, a stride apart: (place + stride) mod all, in bytes.

    base: the address of the image.

    train_bytes, stride_bytes : In(24): of the header.
    rewind : In(1): back to the first record. step : In(1): to the next one. cancel : In(1): aborts a step.
    found : Out(1): five cycles after ``step``, ``address`` is that of the next record. first : Out(1): that is the
        first one again, so all were read.
    """

    def __init__(self, base: int) -> None:
        self._first = base + HEADER_BYTES + CRC_BYTES
        super().__init__(
            {
                "train_bytes": In(COUNT_BITS),
                "stride_bytes": In(COUNT_BITS),
                "rewind": In(1),
                "step": In(1),
                "cancel": In(1),
                "found": Out(1),
                "first": Out(1),
                "address": Out(ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        place, total = Signal(COUNT_BITS, reset_less=True), Signal(COUNT_BITS + 1, reset_less=True)
        wrapped, following = Signal(COUNT_BITS + 1), Signal(5)
        # One adder between two registers, as each takes half of a clock cycle.
        m.d.sync += [
            following.eq(following << 1 | self.step),
            wrapped.eq(total - self.train_bytes),
            self.address.eq(place + self._first),
            total.eq(place + self.stride_bytes),
        ]
        m.d.comb += [self.found.eq(following[4]), self.first.eq(place == 0)]
        with m.If(following[2]):
            m.d.sync += place.eq(Mux(wrapped[-1], total, wrapped))
        with m.If(self.rewind):
            m.d.sync += place.eq(0)
        with m.If(self.cancel):
            m.d.sync += following.eq(0)
        return m
