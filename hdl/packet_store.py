"""A request and the last answer, in one memory.

It begins with the request, with its header and CRC. The last page of 256 bytes contains the device's identity, as
initial contents, and after it the payload of the last answer, so that it can be sent again. A report is sent from the
identity on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.fields import join, size
from rdahw.hdl.block_memory import block_memory
from rdahw.hdl.framer import MAX_FRAME
from rdahw.hdl.protocol import CRC_BYTES, IDENTITY, MAX_PAYLOAD, store_bytes

__all__ = ["PacketStore"]

#: The bytes of a page: the answer's, and those that a request has a whole number of. With the usual payload two, one
#: block RAM of an iCE40.
_PAGE = 256
assert size(IDENTITY) + MAX_PAYLOAD == _PAGE
assert MAX_FRAME < _PAGE


class PacketStore(wiring.Component):  # type: ignore[misc]
    """The memory, with a read pointer and a write pointer.

    identity: the values of :data:`rdahw.hdl.protocol.IDENTITY`. payload: the longest one of a request; see
        :func:`rdahw.hdl.protocol.payload_of`.

    Reading:

    byte: the byte at the read pointer. advance: to the next byte, which is valid two cycles later.
    rewind, replay: to the first byte of the request, or of the stored answer (with ``report``, of the identity before
        it), which is valid in the next cycle.
    place: the number of the byte in a request, modulo 8. at_end, answer_over: the payload of the request, or the stored
        answer, ends before this byte.

    Writing:

    octets: a byte is appended, unless ``dry``. It must not be read in the next two cycles.
    forget: discards the request. receiving: a request is being written; so far it ends with its CRC.
    fresh: an answer is written from now on. keep: what was written becomes the stored answer.
    count, answer_count: the bytes written of a request, or of an answer; ``full``: 224 of an answer.
    """

    def __init__(self, identity: Mapping[str, int], payload: int = MAX_PAYLOAD) -> None:
        self._identity = identity
        #: The address of the identity, where a report begins; what is before it is for a request.
        self._depth = store_bytes(payload)
        self._report = self._depth - _PAGE
        assert self._report % _PAGE == 0
        super().__init__(
            {
                "byte": Out(8),
                "advance": In(1),
                "rewind": In(1),
                "replay": In(1),
                "report": In(1),
                "place": Out(3),
                "at_end": Out(1),
                "answer_over": Out(1),
                "octets": In(stream.Signature(8, always_ready=True)),
                "dry": In(1),
                "forget": In(1),
                "receiving": In(1),
                "fresh": In(1),
                "keep": In(1),
                "count": Out(range(payload - MAX_PAYLOAD + MAX_FRAME + 1)),
                "answer_count": Out(8),
                "full": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # -- ``byte`` is at ``source`` in the same cycle, as the address ``following`` is given a cycle before
        report, depth = self._report, self._depth
        # The address of the payload of an answer, or of the rest of a report: up to the memory's end.
        answer = report + size(IDENTITY)
        contents = [0] * report + list(join(IDENTITY, self._identity)) + [0] * MAX_PAYLOAD
        data = memory.MemoryData(shape=8, depth=depth, init=contents)
        source, following = Signal(range(depth)), Signal(range(depth))  # following: what ``source`` is next
        ahead = Signal(range(depth), init=1)  # source + 1
        byte, write = block_memory(m, "memory", data, following)
        step = Signal()  # ``advance`` in the cycle before, registered for its fan-in
        end, at_end = Signal(range(report), reset_less=True), Signal()  # at_end: source == end
        m.d.sync += step.eq(self.advance)
        m.d.comb += following.eq(source)
        with m.If(step):
            m.d.comb += following.eq(ahead)
            m.d.sync += [ahead.eq(ahead + 1), at_end.eq(ahead[: len(end)] == end)]
        with m.If(self.rewind):
            m.d.comb += following.eq(0)
            m.d.sync += [ahead.eq(1), at_end.eq(0)]  # there is a header before
        with m.If(self.replay):
            m.d.comb += following.eq(Mux(self.report, report, answer))
            m.d.sync += ahead.eq(Mux(self.report, report + 1, answer + 1))
        m.d.sync += source.eq(following)

        # -- a byte is written a cycle after it was received
        fill = Signal(range(depth))  # the write pointer
        answered = Signal(8, reset_less=True)  # the end of the stored answer
        write_enable, write_address, write_data = Signal(), Signal.like(fill), Signal(8, reset_less=True)
        m.d.sync += [
            write_enable.eq(self.octets.valid & ~self.dry),
            write_address.eq(fill),
            write_data.eq(self.octets.payload),
        ]
        m.d.comb += [write.en.eq(write_enable), write.addr.eq(write_address), write.data.eq(write_data)]
        with m.If(self.octets.valid):
            m.d.sync += fill.eq(fill + 1)
        with m.If(self.forget):
            m.d.sync += fill.eq(0)
        with m.If(self.receiving):
            m.d.sync += end.eq(fill - CRC_BYTES)
        with m.If(self.fresh):
            m.d.sync += fill.eq(answer)
        with m.If(self.keep):
            m.d.sync += answered.eq(fill)
        m.d.comb += [
            self.byte.eq(byte),
            self.place.eq(source),
            self.at_end.eq(at_end),
            self.answer_over.eq(source[:8] == answered),
            self.count.eq(fill),
            self.answer_count.eq(fill - answer),
            self.full.eq(fill[8] if report & _PAGE == 0 else ~fill[8]),  # beyond the end of the memory
        ]
        return m
