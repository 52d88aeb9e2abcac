"""The gateware's end of the host link: a stream of bytes in, a stream of bytes out, and a trainer between them.

The protocol is :mod:`rdahw.hdl.protocol`, described in ``docs/host-link.md``. Requests are handled one at a time: the
framer (:mod:`rdahw.hdl.framer`) receives a packet into the packet store (:mod:`rdahw.hdl.packet_store`); the session
(:mod:`rdahw.hdl.session`) checks it, lets the commands (:mod:`rdahw.hdl.commands`) execute it, and sends the answer
through the framer.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux  # type: ignore[import-untyped]
from amaranth.lib import stream, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.commands import Commands
from rdahw.hdl.framer import Framer
from rdahw.hdl.interface import Interface
from rdahw.hdl.packet_store import PacketStore
from rdahw.hdl.protocol import VERSION
from rdahw.hdl.session import Session
from rdahw.hdl.uart import UartReceiver, UartTransmitter

__all__ = ["HostLink", "UartLink"]


class HostLink(wiring.Component):  # type: ignore[misc]
    """A trainer behind the host link.

    received: bytes from the host, one in any cycle. Those received while a request is processed or answered are
        dropped: hosts wait for the answer.
    sent: bytes to the host.
    activity: high while a request is processed or answered. error: high for a cycle when a request is refused.

    ``trainer``: the result of :meth:`rdahw.hdl.trainer.Trainer.linked` of a trainer with access; becomes a submodule.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self._interface: Interface = trainer.interface
        super().__init__(
            {
                "received": In(stream.Signature(8, always_ready=True)),
                "sent": Out(stream.Signature(8)),
                "activity": Out(1),
                "error": Out(1),
            }
        )

    @property
    def identity(self) -> dict[str, int]:
        """The values of :data:`rdahw.hdl.protocol.IDENTITY`."""
        interface, layout = self._interface, self._interface.layout
        return {
            "version": VERSION,
            "learns": int(interface.learns),
            "batches": int(interface.batches),
            "payload": interface.payload,
            "fingerprint": interface.fingerprint,
            "parameter_bits": layout.parameter_bits,
            "input_bits": layout.input_bits,
            "output_bits": layout.output_bits,
            "word_bits": layout.word_bits,
        }

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        its = self._interface
        m.submodules.framer = framer = Framer(its.payload)
        m.submodules.store = store = PacketStore(self.identity, its.payload)
        m.submodules.session = session = Session()
        m.submodules.commands = commands = Commands(its.layout, learns=its.learns, batch=its.batches)
        m.submodules.trainer = trainer = self.trainer
        wiring.connect(m, wiring.flipped(self.received), framer.received)
        wiring.connect(m, framer.sent, wiring.flipped(self.sent))
        wiring.connect(m, session.body, framer.body)
        wiring.connect(m, commands.examples, trainer.examples)
        wiring.connect(m, trainer.results, commands.results)
        wiring.connect(m, commands.control, trainer.control)
        m.d.comb += [
            framer.count.eq(store.count),
            framer.begin.eq(session.begin),
            store.advance.eq(session.advance | commands.advance),
            store.rewind.eq(session.rewind | framer.receiving),
            store.replay.eq(session.replay),
            store.report.eq(session.report),
            store.octets.valid.eq(framer.octets.valid | commands.answer.valid),
            store.octets.payload.eq(Mux(framer.receiving, framer.octets.payload, commands.answer.payload)),
            store.dry.eq(session.dry),
            store.forget.eq(framer.hunting),
            store.receiving.eq(framer.receiving),
            store.fresh.eq(commands.fresh),
            store.keep.eq(session.keep),
            session.receiving.eq(framer.receiving),
            session.packet.eq(framer.packet),
            session.damaged.eq(framer.damaged),
            session.byte.eq(store.byte),
            session.place.eq(store.place),
            session.answer_over.eq(store.answer_over),
            session.done.eq(commands.done),
            session.failed.eq(commands.failed),
            commands.execute.eq(session.execute),
            commands.asked.eq(session.asked),
            commands.known.eq(session.known),
            commands.dry.eq(session.dry),
            commands.byte.eq(store.byte),
            commands.at_end.eq(store.at_end),
            commands.answer_count.eq(store.answer_count),
            commands.full.eq(store.full),
            self.activity.eq(~(framer.hunting | framer.receiving)),
            self.error.eq(session.error),
        ]
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
