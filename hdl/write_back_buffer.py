"""The write-back buffer of a memory trainer: keeps the words that an example has read, and returns them changed."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal  # type: ignore[import-untyped]
from amaranth.lib import memory, wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.block_memory import block_memory

__all__ = ["WriteBackBuffer"]


class WriteBackBuffer(wiring.Component):  # type: ignore[misc]
    """Stores up to ``most`` words of one counter for each class, and their addresses.

    forget: removes all words. put: stores ``word`` and ``address``. empty: no words are stored.
    start: from two cycles later the words are returned, the last one first, one per cycle while ``valid``:
        ``new_address`` and ``new_word``, in which the counter of ``target`` is one up and that of ``rival`` one down,
        saturating. ends: the last word is returned in the next cycle. target, rival: one-hot, stable until then.

    Counters are unsigned, with inverted sign bits. After ``start`` the words must be removed by ``forget``.
    ``elaborate`` sets the attribute ``proof_registers``, the registers that proofs refer to, by name.
    """

    def __init__(self, classes: int, counter: int, address_bits: int, most: int) -> None:
        self.classes, self.counter, self.most = classes, counter, most
        width = classes * counter
        super().__init__(
            {
                "forget": In(1),
                "put": In(1),
                "word": In(width),
                "address": In(address_bits),
                "empty": Out(1),
                "start": In(1),
                "target": In(classes),
                "rival": In(classes),
                "valid": Out(1),
                "ends": Out(1),
                "new_word": Out(width),
                "new_address": Out(address_bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = len(self.word)
        # ``top``: the word stored last, -1: none. Its contents are ``there`` a cycle later.
        held, top = Signal(range(self.most)), Signal(range(-1, self.most), init=-1)
        # ``coming``: a word is ``there``; a cycle later it is ``old`` and ``valid``. flips: its bits that change.
        coming, old, flips = Signal(), Signal(width), Signal(width)
        marked, down = Signal(self.classes), Signal(self.classes)
        self.proof_registers = {"held": held, "top": top, "coming": coming, "valid": self.valid}
        data = memory.MemoryData(shape=width + len(self.address), depth=self.most, init=[])
        there, write = block_memory(m, "memory", data, top)
        m.d.comb += [
            write.addr.eq(held),
            write.data.eq(Cat(self.word, self.address)),
            write.en.eq(self.put),
            self.empty.eq(top < 0),
            self.ends.eq(coming & self.empty),
            self.new_word.eq(old ^ flips),
        ]
        m.d.sync += [
            coming.eq((self.start | coming) & ~self.empty),
            self.valid.eq(coming),
            old.eq(there),
            self.new_address.eq(there[width:]),
            flips.eq(self._flips(there, marked, down)),
            # The two classes whose counters change, and the one that counts down.
            marked.eq(self.target | self.rival),
            down.eq(self.rival),
        ]
        with m.If(self.start | coming):
            m.d.sync += top.eq(top - 1)
        with m.If(self.put):
            m.d.sync += [held.eq(held + 1), top.eq(held)]
        with m.If(self.forget):
            m.d.sync += [held.eq(0), top.eq(-1)]
        return m

    def _flips(self, word: Any, marked: Any, down: Any) -> Any:
        """The bits of ``word`` that change."""
        flips = []
        for c in range(self.classes):
            counter = word[c * self.counter : (c + 1) * self.counter]
            # Counting down is counting up the complement.
            upwards = counter ^ down[c].replicate(self.counter)
            flips += [marked[c] & ~upwards.all() & upwards[:b].all() for b in range(self.counter)]
        return Cat(flips)
