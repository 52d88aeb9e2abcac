"""A model behind Wishbone registers as a folder for LiteX: Verilog, the C header of the registers, a Python module."""

from __future__ import annotations

from string import Template

from rdahw.hdl.bus import Wishbone
from rdahw.hdl.registers import REGISTER_BITS

__all__ = ["litex_files"]

_MODULE = Template('''# $about
"""A peripheral of a LiteX SoC. With this folder on Python's path:

    from ${name}_litex import Peripheral

    Peripheral.add_to(soc)

Its registers are those of $name.h, in bytes from ${prefix}_BASE of LiteX's generated/mem.h on.
"""

from pathlib import Path

from litex.gen import LiteXModule
from litex.soc.integration.soc import SoCRegion
from litex.soc.interconnect import wishbone
from migen import ClockSignal, Instance, Replicate, ResetSignal, Signal


class Peripheral(LiteXModule):
    """$name.v with its Wishbone slave, ``bus``, in the clock domain ``sys``. A refused access ends with ``ack`` and
    ``err``, as LiteX has it, changes nothing, and reads all ones."""

    #: The bytes of its registers.
    SIZE = $size

    def __init__(self, platform):
        self.bus = bus = wishbone.Interface(data_width=$bits, adr_width=30)
        done, refused, read = Signal(), Signal(), Signal($bits)
        platform.add_source(str(Path(__file__).resolve().with_name("$name.v")))
        self.specials += Instance(
            "$name",
            i_clk_i=ClockSignal(),
            i_rst_i=ResetSignal(),
            i_cyc_i=bus.cyc,
            i_stb_i=bus.stb,
            i_we_i=bus.we,
            i_adr_i=bus.adr[:$numbers],
            i_dat_i=bus.dat_w,
            o_dat_o=read,
            o_ack_o=done,
            o_err_o=refused,
        )
        self.comb += [
            bus.ack.eq(done | refused),
            bus.err.eq(refused),
            bus.dat_r.eq(read | Replicate(refused, $bits)),
        ]

    @classmethod
    def add_to(cls, soc, name="$name", origin=None):
        """Add it to a SoC at the address ``origin``, or one that LiteX chooses; returns it."""
        made = cls(soc.platform)
        soc.add_module(name, made)
        soc.bus.add_slave(name, made.bus, SoCRegion(origin=origin, size=cls.SIZE, cached=False))
        return made
''')


def litex_files(component: Wishbone, name: str, about: str, verilog: str) -> dict[str, str]:
    """The files of the folder by name. verilog: ``component`` as the module ``name``; about: a line on it."""
    numbers = len(component.adr_i)
    module = _MODULE.substitute(
        about=about,
        name=name,
        prefix=name.upper(),
        size=REGISTER_BITS // 8 << numbers,
        bits=REGISTER_BITS,
        numbers=numbers,
    )
    return {f"{name}.v": verilog, f"{name}.h": component.header(name), f"{name}_litex.py": module}
