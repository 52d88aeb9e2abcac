"""A predictor or trainer with the ports of a bus: each of :data:`BUSES` gives those and the names of its standard to a
:class:`rdahw.hdl.packets.PacketModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.packets import PacketModel
from rdahw.hdl.registers import REGISTER_BITS, Registers

__all__ = ["BUSES", "Axi", "AxiStream", "Wishbone", "axi_members", "axi_registers"]

#: The responses of AXI: done, and refused by the one that was addressed.
_OKAY, _REFUSED = 0, 2
_AXI_CLOCK = "aclk: clock, rising edge; aresetn: synchronous reset, active low. All outputs are registers."
_AXI_REGISTERS = "The registers on s_axi, AXI4-Lite, are 32 bits, written as a whole; addresses in bytes:"


def axi_members(registers: Registers) -> dict[str, Any]:
    """The ports of AXI4-Lite for these registers."""
    address = len(registers.number) + 2
    return {
        "s_axi_awaddr": In(address),
        "s_axi_awprot": In(3),
        "s_axi_awvalid": In(1),
        "s_axi_awready": Out(1),
        "s_axi_wdata": In(REGISTER_BITS),
        "s_axi_wstrb": In(REGISTER_BITS // 8),
        "s_axi_wvalid": In(1),
        "s_axi_wready": Out(1),
        "s_axi_bresp": Out(2),
        "s_axi_bvalid": Out(1),
        "s_axi_bready": In(1),
        "s_axi_araddr": In(address),
        "s_axi_arprot": In(3),
        "s_axi_arvalid": In(1),
        "s_axi_arready": Out(1),
        "s_axi_rdata": Out(REGISTER_BITS),
        "s_axi_rresp": Out(2),
        "s_axi_rvalid": Out(1),
        "s_axi_rready": In(1),
    }


def axi_registers(m: Module, ports: Any, registers: Registers) -> None:
    """Let AXI4-Lite on ``ports`` access the registers: an address and its data are kept until both are there; a write
    goes before a read."""
    kept = {
        name: (Signal(name=f"{name}_full"), Signal(len(payload), name=f"{name}_kept", reset_less=True), payload)
        for name, payload in {
            "aw": ports.s_axi_awaddr,
            "w": Cat(ports.s_axi_wdata, ports.s_axi_wstrb),
            "ar": ports.s_axi_araddr,
        }.items()
    }
    writes, reads = Signal(), Signal()
    leaves = {"aw": writes, "w": writes, "ar": reads}
    for name, (full, value, payload) in kept.items():
        valid, ready = getattr(ports, f"s_axi_{name}valid"), getattr(ports, f"s_axi_{name}ready")
        m.d.comb += ready.eq(~full)
        with m.If(leaves[name]):
            m.d.sync += full.eq(0)
        with m.If(valid & ready):
            m.d.sync += [full.eq(1), value.eq(payload)]
    (aw, to, _), (w, data, _), (ar, source, _) = kept.values()
    whole = data[REGISTER_BITS:].all()
    m.d.comb += [
        writes.eq(aw & w & ~ports.s_axi_bvalid),
        reads.eq(ar & ~ports.s_axi_rvalid & ~writes),
        registers.chosen.eq((writes & whole) | reads),
        registers.write.eq(writes),
        registers.number.eq(Mux(writes, to, source)[2:]),
        registers.data.eq(data),
    ]
    response = Mux(registers.done, _OKAY, _REFUSED)
    with m.If(ports.s_axi_bready):
        m.d.sync += ports.s_axi_bvalid.eq(0)
    with m.If(writes):
        m.d.sync += [ports.s_axi_bvalid.eq(1), ports.s_axi_bresp.eq(response)]
    with m.If(ports.s_axi_rready):
        m.d.sync += ports.s_axi_rvalid.eq(0)
    with m.If(reads):
        m.d.sync += [
            ports.s_axi_rvalid.eq(1),
            ports.s_axi_rresp.eq(response),
            ports.s_axi_rdata.eq(registers.read),
        ]


def _axi_module(ports: Any) -> Module:
    """A module with the clock and reset of AXI."""
    m = Module()
    m.domains.sync = clocked = ClockDomain(local=True)
    m.d.comb += [clocked.clk.eq(ports.aclk), clocked.rst.eq(~ports.aresetn)]
    return m


class AxiStream(wiring.Component):  # type: ignore[misc]
    """``core`` with the ports of AXI4-Stream: ``s_axis`` takes the words, ``m_axis`` gives the predictions, with
    ``tuser`` for ``error``; ``aclk`` and ``aresetn``, the reset, synchronous and active low. A trainer has registers on
    ``s_axi`` (AXI4-Lite) too, for its parameters and counts."""

    about = "with AXI4-Stream ports,"

    def __init__(self, core: PacketModel) -> None:
        self.core = core
        self.registers = Registers(core, words=False) if core.interface.learns else None
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axis_tdata": In(core.width),
                "s_axis_tlast": In(1),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(core.result_width),
                "m_axis_tlast": Out(1),
                "m_axis_tuser": Out(1),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
            }
            | ({} if self.registers is None else axi_members(self.registers))
        )

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the comments of a file."""
        return (
            _AXI_CLOCK,
            *([] if self.registers is None else (_AXI_REGISTERS, *self.registers.notes)),
            *self.core.notes,
            "TLAST with the last word of an example ends a packet of any number of examples, and comes with its",
            "prediction. A packet that ends within an example has TUSER = 1 with its last prediction, which has no",
            "meaning." if self.registers is None else "meaning, and nothing is learned from that example.",
        )

    def header(self, name: str) -> str:
        """A C header of the registers; empty if there are none."""
        return "" if self.registers is None else self.registers.header(name)

    def elaborate(self, platform: Any) -> Module:
        m = _axi_module(self)
        core = self.core
        if self.registers is None:
            m.submodules.core = core
        else:
            m.submodules.registers = self.registers
            axi_registers(m, self, self.registers)
        words, predictions = core.words, core.predictions
        m.d.comb += [
            words.payload.data.eq(self.s_axis_tdata),
            words.payload.last.eq(self.s_axis_tlast),
            words.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(words.ready),
            self.m_axis_tdata.eq(predictions.payload.data),
            self.m_axis_tlast.eq(predictions.payload.last),
            self.m_axis_tuser.eq(predictions.payload.error),
            self.m_axis_tvalid.eq(predictions.valid),
            predictions.ready.eq(self.m_axis_tready),
        ]
        return m


class Axi(wiring.Component):  # type: ignore[misc]
    """``core`` behind registers (:class:`rdahw.hdl.registers.Registers`) on AXI4-Lite, whose outputs are all registers.
    An access that cannot be done, or that does not write all four bytes, has the response SLVERR."""

    about = "behind registers on AXI4-Lite,"

    def __init__(self, core: PacketModel) -> None:
        self.core = core
        self.registers = Registers(core)
        super().__init__({"aclk": In(1), "aresetn": In(1), **axi_members(self.registers)})

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the comments of a file."""
        return (_AXI_CLOCK, _AXI_REGISTERS, *self.registers.notes, *self.core.notes)

    def header(self, name: str) -> str:
        """A C header of the registers."""
        return self.registers.header(name)

    def elaborate(self, platform: Any) -> Module:
        m = _axi_module(self)
        m.submodules.registers = self.registers
        axi_registers(m, self, self.registers)
        return m


class Wishbone(wiring.Component):  # type: ignore[misc]
    """``core`` behind registers (:class:`rdahw.hdl.registers.Registers`) on a Wishbone bus (B4, classic cycles), with
    ports of 32 bits that are accessed as a whole; ``adr_i`` counts registers. An access takes two clock cycles. It ends
    with ``err_o`` instead of ``ack_o``, and without effect, if it cannot be done."""

    about = "behind registers on a Wishbone bus,"

    def __init__(self, core: PacketModel) -> None:
        self.core = core
        self.registers = Registers(core)
        super().__init__(
            {
                "clk_i": In(1),
                "rst_i": In(1),
                "cyc_i": In(1),
                "stb_i": In(1),
                "we_i": In(1),
                "adr_i": In(len(self.registers.number)),
                "dat_i": In(REGISTER_BITS),
                "dat_o": Out(REGISTER_BITS),
                "ack_o": Out(1),
                "err_o": Out(1),
            }
        )

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the comments of a file."""
        return (
            "clk_i: clock, rising edge; rst_i: synchronous reset, active high. Wishbone B4, classic cycles; adr_i",
            "counts registers of 32 bits, whose addresses in bytes are:",
            *self.registers.notes,
            *self.core.notes,
        )

    def header(self, name: str) -> str:
        """A C header of the registers."""
        return self.registers.header(name)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = clocked = ClockDomain(local=True)
        m.submodules.registers = registers = self.registers
        m.d.comb += [
            clocked.clk.eq(self.clk_i),
            clocked.rst.eq(self.rst_i),
            registers.chosen.eq(self.cyc_i & self.stb_i & ~self.ack_o & ~self.err_o),
            registers.write.eq(self.we_i),
            registers.number.eq(self.adr_i),
            registers.data.eq(self.dat_i),
        ]
        m.d.sync += [self.ack_o.eq(registers.done), self.err_o.eq(registers.chosen & ~registers.done)]
        with m.If(registers.done & ~self.we_i):
            m.d.sync += self.dat_o.eq(registers.read)
        return m


#: From the name that ``--bus`` takes to the component, which is made from a
#: :class:`rdahw.hdl.packets.PacketModel`.
BUSES: Mapping[str, Any] = {"axi-stream": AxiStream, "axi": Axi, "wishbone": Wishbone}
