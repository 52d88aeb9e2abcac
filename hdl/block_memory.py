"""Block RAM as it is: what a read gives in the cycle of a write to the same place is left open."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory  # type: ignore[import-untyped]

__all__ = ["FORGET_FIRST_READ", "block_memory"]

#: For synthesis: what a block memory gives before its first clock cycle is not 0 but undefined. iCE40 block RAM has no
#: initial output, and Yosys would put a gate on each of its bits to make it 0 then; designs are in reset at that time.
FORGET_FIRST_READ = "setattr -unset init a:rdahw_first_read"


def block_memory(m: Module, name: str, data: Any, address: Any, *, granularity: int | None = None) -> tuple[Any, Any]:
    """A memory of contents ``data`` (a ``MemoryData``) as the submodule ``name``: what is at ``address``, a cycle
    later, and the write port, whose bits of ``granularity`` have an enable each.

    Nobody may look at what was read in the cycle in which it was written. Amaranth's own synchronous read port promises
    the old contents then, which costs block RAM that does not keep that promise comparators and multiplexers. Yosys
    takes our word for memories that are read into a register, and makes a block RAM of both.
    """
    m.submodules[name] = store = memory.Memory(data, attrs={"no_rw_check": 1})
    read, write = store.read_port(domain="comb"), store.write_port(granularity=granularity)
    there = Signal.like(read.data, name=f"{name}_data", reset_less=True, attrs={"rdahw_first_read": 1})
    m.d.comb += read.addr.eq(address)
    m.d.sync += there.eq(read.data)
    return there, write
