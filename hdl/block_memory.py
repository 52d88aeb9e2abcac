"""Block RAM: a read during a write to the same address is undefined."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory  # type: ignore[import-untyped]

__all__ = ["FORGET_FIRST_READ", "block_memory"]

#: For synthesis: the output of a block memory before its first clock cycle is undefined, not 0. iCE40 block RAM has no
#: initial output, and Yosys would add a gate to each bit to make it 0 then; designs are in reset at that time.
FORGET_FIRST_READ = "setattr -unset init a:rdahw_first_read"


def block_memory(m: Module, name: str, data: Any, address: Any, *, granularity: int | None = None) -> tuple[Any, Any]:
    """A memory of contents ``data`` (a ``MemoryData``) as the submodule ``name``. Returns the word at ``address``, a
    cycle later, and the write port, which has an enable for every ``granularity`` bits.

    A read during a write to the same address is undefined. Amaranth's synchronous read port guarantees the old contents
    then, which costs comparators and multiplexers on block RAM without that guarantee. With the attribute
    ``no_rw_check``, Yosys maps the memory and the register of its output to block RAM without them.
    """
    m.submodules[name] = store = memory.Memory(data, attrs={"no_rw_check": 1})
    read, write = store.read_port(domain="comb"), store.write_port(granularity=granularity)
    there = Signal.like(read.data, name=f"{name}_data", reset_less=True, attrs={"rdahw_first_read": 1})
    m.d.comb += read.addr.eq(address)
    m.d.sync += there.eq(read.data)
    return there, write
