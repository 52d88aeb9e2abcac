"""A serial flash in plain Python, cycle by cycle: what the simulated part and the reader are tested against.

Written from Winbond's data sheet W25Q128JV, and not from the gateware.
"""

from __future__ import annotations

from collections.abc import Iterator

#: What a flash makes of a command byte: how its address, waiting and data go. (lines of the address, clocks of mode
#: bits, clocks of waiting, lines of the data)
READS = {0x03: (1, 0, 0, 1), 0x0B: (1, 0, 8, 1), 0x6B: (1, 0, 8, 4), 0xEB: (4, 2, 4, 4)}
STATUS = {0x05: 1, 0x35: 2, 0x15: 3}
JEDEC_ID = b"\xef\x40\x18"


class FlashFault(AssertionError):
    """The part was used in a way that it is not made for."""


class PlainFlash:
    """A part of ``size`` bytes that holds ``contents`` from address 0 on, and is erased (0xff) behind them.

    wake, write: for how many cycles the part is busy after it was woken, and after a status was written for good.
    pause: for how many cycles at least it must not be selected between two commands. asleep: at power-up. quad: whether
    quad-enable is set for good. floating: what is on lines that nobody drives; they are pulled up, but slowly.

    :meth:`step` takes the pins of one clock cycle and gives the four lines as they are in it; ``faults`` collects what
    was wrong, and with ``strict`` the first is raised.
    """

    def __init__(
        self,
        contents: bytes,
        *,
        size: int = 1 << 24,
        wake: int = 144,
        write: int = 1000,
        pause: int = 3,
        asleep: bool = True,
        quad: bool = False,
        strict: bool = True,
        floating: int = 0xF,
    ) -> None:
        self.contents, self.size, self.wake, self.write, self.pause = contents, size, wake, write, pause
        self.asleep, self.strict, self.floating = asleep, strict, floating
        self.status = [0, int(quad) << 1, 0x60]  # 0x60: the drivers' strength as it leaves the factory
        self.continuous = False
        self.faults: list[str] = []
        self._busy = 0  # cycles
        self._waking = False
        self._writable: str | None = None
        self._off = pause  # for how many cycles it was not selected
        self._bits: Iterator[tuple[int, int]] | None = None
        self._in: list[int] = []  # the lines at each rising edge since it was selected
        self._clock = self._select = 0
        self._out, self._drives = 0, 0
        self._code: int | None = None

    def _fault(self, what: str) -> None:
        self.faults.append(what)
        if self.strict:
            raise FlashFault(what)

    def step(self, select: int, clock: int, o: int, oe: int) -> int:
        """The lines in this cycle."""
        if self._drives & oe:
            self._fault("contention")
        lines = (o & oe) | (self._out & self._drives) | (self.floating & ~oe & ~self._drives)
        if self._busy:
            self._busy -= 1
            if not self._busy:
                self._waking = False
                self.status[0] &= ~1
        if select and not self._select:
            if self._off < self.pause:
                self._fault("pause")
            self._in, self._bits, self._code = [], None, None
        if select and self.asleep is False and not self.status[1] & 2 and not lines & 8:
            self._fault("hold")
        if select and clock and not self._clock:
            self._in.append(lines)
            self._rise()
        if select and not clock and self._clock and self._bits is not None:
            self._out, self._drives = next(self._bits)
        if self._select and not select:
            self._end()
            self._out = self._drives = 0
        self._off = 0 if select else min(self._off + 1, self.pause)
        self._select, self._clock = select, clock
        return lines

    def _single(self, start: int, count: int) -> int:
        value = 0
        for line in self._in[start : start + count]:
            value = value << 1 | line & 1
        return value

    def _rise(self) -> None:
        n = len(self._in)
        if n == 8 and not self.continuous:
            self._code = self._single(0, 8)
            if self.asleep:
                if self._code != 0xAB:
                    self._code = None
            elif self._waking:
                self._fault("early")
                self._code = None
            elif self._busy and self._code not in STATUS:
                self._fault("busy")
                self._code = None
            elif self._code in STATUS:
                self._bits = self._serial(self._register(STATUS[self._code]))
            elif self._code == 0x9F:
                self._bits = self._serial(iter([*JEDEC_ID] + [0xFF] * 1000))
            elif self._code in READS:
                if READS[self._code][3] == 4 and not self.status[1] & 2:
                    self._fault("quad")
                    self._code = None
            elif self._code not in (0xAB, 0xB9, 0xFF, 0x06, 0x04, 0x50, 0x31):
                self._fault("unknown")
                self._code = None
        code = 0xEB if self.continuous else self._code
        if code in READS:
            start = 0 if self.continuous else 8
            address_lines, mode, gap, lines = READS[code]
            clocks = 24 // address_lines
            if n == start + clocks:
                if address_lines == 1:
                    self._address = self._single(start, 24)
                else:
                    self._address = sum(v << 4 * (5 - i) for i, v in enumerate(self._in[start : start + 6]))
            if mode and n == start + clocks + mode:
                self._mode = self._in[start + clocks] << 4 | self._in[start + clocks + 1]
            if n == start + clocks + mode + gap:
                data = self._memory(self._address)
                self._bits = self._serial(data) if lines == 1 else self._quad(data)
                if mode:
                    self._next = self._mode >> 4 & 3 == 2

    def _register(self, number: int) -> Iterator[int]:
        while True:
            yield self.status[number - 1]

    def _memory(self, address: int) -> Iterator[int]:
        while True:
            address %= self.size
            yield self.contents[address] if address < len(self.contents) else 0xFF
            address += 1

    @staticmethod
    def _serial(data: Iterator[int]) -> Iterator[tuple[int, int]]:
        for byte in data:
            for i in range(7, -1, -1):
                yield (byte >> i & 1) << 1, 0b0010

    @staticmethod
    def _quad(data: Iterator[int]) -> Iterator[tuple[int, int]]:
        for byte in data:
            yield byte >> 4, 0b1111
            yield byte & 15, 0b1111

    def _end(self) -> None:
        """The part is no longer selected: commands that change something take effect."""
        n, code = len(self._in), self._code
        if self.continuous or code in READS:
            # Without mode bits nothing tells the part to go on in this way.
            address_lines = 4 if self.continuous else READS[code or 0][0]
            if self.continuous or READS[code or 0][1]:
                whole = n >= (0 if self.continuous else 8) + 24 // address_lines + 2 + 4
                self.continuous = self._next if whole else False
            return
        if code in (0xAB, 0xB9, 0x06, 0x04, 0x50) and n != 8 or code == 0x31 and n != 16:
            self._fault("cut")
            return
        if code == 0xAB and self.asleep:
            self.asleep, self._waking, self._busy = False, True, self.wake
        elif code == 0xB9:
            self.asleep = True
        elif code == 0x06:
            self._writable = "for good"
            self.status[0] |= 2
        elif code == 0x04:
            self._writable = None
            self.status[0] &= ~2
        elif code == 0x50:
            self._writable = "volatile"
        elif code == 0x31:
            if self._writable is None:
                self._fault("write")
                return
            self.status[1] = self._single(8, 8)
            self.status[0] &= ~2
            if self._writable == "for good":
                self._busy = self.write
                self.status[0] |= 1
            self._writable = None
