"""The flash reader on a plain flash in Python: bytes, times, commands, faults of the part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from flash_model import PlainFlash

from rdahw.hdl.flash_reader import FlashReader
from rdahw.hdl.flash_receiver import FlashReceiver
from scenarios import Design, Run, Scenario

#: Slow, so that waking takes few cycles: 6, and as many before.
CLOCK = 2e5
WAKE = 6
MEMORY = Random(1).randbytes(256)
REQUESTS = ((5, 3), (0, 1), (250, 12), (16, 9))
#: Between two commands.
PAUSE = 3


@dataclass
class Read:
    """Bytes and the cycles in which they were taken; the cycles in which requests were taken."""

    octets: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    requested: list[int] = field(default_factory=list)


class Watched(PlainFlash):
    """Remembers the commands, whether they were obeyed or not, and for how long it was not selected before each."""

    def __init__(self, **options: Any) -> None:
        super().__init__(MEMORY, **{"size": 256, "wake": WAKE - 1, "pause": PAUSE, **options})
        self.codes: list[int] = []
        self.rests: list[int] = []
        self._resting = 0

    def step(self, select: int, clock: int, o: int, oe: int) -> int:
        if select and not self._select:
            self.rests.append(self._resting)
        self._resting = 0 if select else self._resting + 1
        return super().step(select, clock, o, oe)

    def _end(self) -> None:
        self.codes.append(self._single(0, 8))
        super()._end()


class Large(Watched):
    """It is as large as an address can say, and each of its bytes depends on the whole address."""

    def __init__(self) -> None:
        super().__init__(size=1 << 24)

    def _memory(self, address: int) -> Iterator[int]:
        while True:
            yield far(address)
            address += 1


def far(address: int) -> int:
    """A byte of a large part."""
    return MEMORY[(address ^ address >> 8 ^ address >> 16) & 0xFF]


class Stubborn(Watched):
    """Its status cannot be written."""

    def _end(self) -> None:
        super()._end()
        self.status[1] = 0


class Pins:
    """Pads that take ``latency`` cycles, half of them on the way out, and the flash behind them."""

    def __init__(self, flash: PlainFlash, latency: int) -> None:
        self.flash = flash
        self._out, self._into = [(0, 0, 0, 0)] * ((latency + 1) // 2), [15] * (latency // 2)

    def step(self, *pins: int) -> int:
        self._out.append(pins)  # type: ignore[arg-type]
        self._into.append(self.flash.step(*self._out.pop(0)))
        return self._into.pop(0)


def read(
    run: Run,
    pins: Pins,
    requests: Any = REQUESTS,
    *,
    ready: Callable[[int], bool] = lambda cycle: True,
    ask: Callable[[int], bool] = lambda cycle: True,
    cycles: int = 3000,
    early: bool = False,
) -> Read:
    """Until the reader is idle behind all requests, or for so many ``cycles``. ``early``: that is no mistake."""
    made, todo, asking = Read(), list(requests), False
    quiet, was_idle, end = 0, False, run.cycle + cycles
    while run.cycle < end:
        asking = bool(todo) and (asking or ask(run.cycle))
        address, length = todo[0] if todo else (0, 0)
        run.set(
            requests__valid=asking,
            requests__payload=address | length << 24,
            octets__ready=ready(run.cycle),
            pins__i=pins.step(*run.get("pins__select", "pins__clock", "pins__o", "pins__oe")),
        )
        taken, idle, valid, octet, failed = run.get(
            "requests__ready", "idle", "octets__valid", "octets__payload", "failed"
        )
        assert not failed, "the reader has failed"
        # Idle tells of the cycle before.
        is_over = len(made.octets) == sum(length for _, length in requests[: len(made.requested)])
        assert is_over or not idle, "the reader is idle while a byte is to come"
        assert not (run.get("pins__select") and idle and was_idle and not asking), "the part is selected for nothing"
        was_idle = idle
        quiet = quiet + 1 if is_over and not todo else 0
        if idle and quiet > 2:
            return made
        assert quiet <= 20, "the reader is not idle when all is over"
        if asking and taken:
            made.requested.append(run.cycle)
            todo.pop(0)
            asking = False
        if valid and ready(run.cycle):
            made.octets.append(octet)
            made.taken.append(run.cycle)
        run.tick()
    assert early, "the reader stands still"
    return made


def wanted(requests: Any) -> list[int]:
    return [MEMORY[(address + i) % 256] for address, length in requests for i in range(length)]


def scenarios(quad: bool, latency: int) -> list[Scenario]:
    reader = FlashReader(CLOCK, quad=quad, latency=latency)
    a_byte, overhead = reader.cycles_per_octet, reader.overhead

    def pins(flash: PlainFlash | None = None) -> Pins:
        return Pins(Watched() if flash is None else flash, latency)

    def requests_in_a_row(run: Run) -> None:
        """Bytes of several requests, and the time that they take."""
        flash = Watched()
        lines = pins(flash)
        outputs = run.get("pins__select", "pins__clock", "pins__o", "pins__oe")
        assert outputs == [0, 0, 0, 0], "something is driven at power-up"
        made = read(run, lines)
        assert made.octets == wanted(REQUESTS), "bytes"
        gaps = [b - a for a, b in zip(made.requested, made.requested[1:], strict=False)]
        assert gaps == [length * a_byte + overhead for _, length in REQUESTS[:-1]], "time of requests"
        last = made.taken[-REQUESTS[-1][1] :]
        assert {b - a for a, b in zip(last, last[1:], strict=False)} == {a_byte}, "time of bytes"
        # Waking takes its time twice, and eight cycles over for each of five commands and their pauses.
        assert made.requested[0] <= 2 * (WAKE + 20) + 4 * (40 + lines.flash.pause + latency), "time of waking"
        codes = [0xFF, 0xAB, *([0x35, 0x50, 0x31, 0x35, *[0xEB] * 4] if quad else [0x03] * 4)]
        assert flash.codes == codes, "commands"
        # It is left alone after a reset, as it may just have been woken, and when it was woken.
        assert min(flash.rests[0], flash.rests[2]) >= WAKE, "time to wake"
        assert flash.status[1] == 2 * quad, "status"

    def bytes_taken_late(run: Run, part: float) -> None:
        """The bytes are taken in some cycles only, and requests come with gaps."""
        random = Random(7)
        pattern, asks = ([random.random() < share for _ in range(997)] for share in (part, 0.02))
        made = read(
            run,
            pins(),
            ready=lambda cycle: pattern[cycle % 997],
            ask=lambda cycle: asks[cycle % 997],
            cycles=6000,
        )
        assert made.octets == wanted(REQUESTS), "bytes"

    def slow_pull_ups(run: Run) -> None:
        """Lines that nobody drives are at a level that would ask the part to go on without commands."""
        flash = Watched(floating=0b1010)
        assert read(run, pins(flash)).octets == wanted(REQUESTS), "bytes"
        run.reset()
        assert read(run, pins(Watched(floating=0))).octets == wanted(REQUESTS), "bytes without pull-ups"

    def far_addresses(run: Run) -> None:
        """Addresses and lengths up to the last bit; the end of the longest request is not waited for."""
        requests = [(0x800000, 2), (0x7FFFFF, 3), (0x123456, 1), (0xFEDCBA, 2), (0xAAAAAA, (1 << 23) + 1)]
        made = read(run, pins(Large()), requests, cycles=2000, early=True)
        expected = [far(address + i) for address, length in requests for i in range(min(length, 9))]
        assert made.octets[: len(expected)] == expected, "bytes"

    def a_long_stop(run: Run) -> None:
        """The bytes are not taken for a long time in the middle of a request."""
        begin = 400
        made = read(run, pins(), [(3, 30), (0, 2)], ready=lambda cycle: not begin < cycle < begin + 400)
        assert made.octets == wanted([(3, 30), (0, 2)]), "bytes"

    def awake_already(run: Run) -> None:
        """The part is awake and its quad-enable bit is set; its other status bits stay."""
        flash = Watched(asleep=False, quad=True)
        made = read(run, pins(flash), REQUESTS[:2])
        assert made.octets == wanted(REQUESTS[:2]), "bytes"
        assert flash.status[1] == 2, "status"
        assert 0x31 not in flash.codes, "a status was written"

    def other_status_bits(run: Run) -> None:
        """The other bits of the status stay as they are when quad-enable is set."""
        flash = Watched()
        flash.status[1] = 0b1101_1001
        assert read(run, pins(flash), REQUESTS[:2]).octets == wanted(REQUESTS[:2]), "bytes"
        assert flash.status[1] == (0b1101_1011 if quad else 0b1101_1001), "status"

    def left_reading(run: Run) -> None:
        """Other gateware has left the part reading without command bytes."""
        flash = Watched(asleep=False, quad=True)
        flash.continuous, flash._next = True, True
        assert read(run, pins(flash), REQUESTS[:2]).octets == wanted(REQUESTS[:2]), "bytes"
        assert not flash.continuous, "the part still reads without commands"

    def a_stubborn_part(run: Run) -> None:
        """The part does not let quad-enable be set."""
        lines = pins(Stubborn())
        failed = False
        for _ in range(1000):
            run.set(
                requests__valid=1,
                requests__payload=5 | 3 << 24,
                octets__ready=1,
                pins__i=lines.step(*run.get("pins__select", "pins__clock", "pins__o", "pins__oe")),
            )
            taken, valid, idle, failed = run.get("requests__ready", "octets__valid", "idle", "failed")
            assert (taken, valid, idle) == (0, 0, 0), "a request was taken"
            run.tick()
        assert failed, "the reader has not failed"
        assert not run.get("pins__select"), "the part is selected after the failure"

    def a_reset_while_it_reads(run: Run) -> None:
        """A reset in the middle of a request, and the part has not gone to sleep."""
        lines = pins(Watched(strict=False))
        for cycles in (100, 300, 37, 411):
            read(run, lines, [(7, 200)], cycles=cycles, early=True)
            run.set(requests__valid=0)
            run.reset()
        lines.flash.strict, lines.flash.faults = True, []
        assert read(run, lines).octets == wanted(REQUESTS), "bytes"

    found = [requests_in_a_row, partial(bytes_taken_late, part=0.5), partial(bytes_taken_late, part=0.1)]
    found += [
        slow_pull_ups,
        far_addresses,
        a_long_stop,
        awake_already,
        other_status_bits,
        left_reading,
        a_reset_while_it_reads,
    ]
    return [*found, a_stubborn_part] if quad else found


def bytes_of_both_kinds(run: Run, latency: int) -> None:
    """The receiver by itself: bytes over one line and over four, kept or not, and taken now and then."""
    random = Random(5)
    coming = [random.randrange(16) for _ in range(2 + latency)]
    expected: list[int] = []
    got: list[int] = []

    def cycle(bits: int | None = None, *, begin: bool = False) -> None:
        """One cycle, in which ``bits`` are asked for."""
        ready = random.random() < 0.3
        run.set(sample=bits is not None, begin=begin, lines=coming.pop(0), octets__ready=ready)
        coming.append(random.randrange(16) if bits is None else bits)
        valid, octet = run.get("octets__valid", "octets__payload")
        assert run.get("pending") == (len(got) < begun), "pending"
        if valid and ready:
            got.append(octet)
        run.tick()

    begun = 0
    for _ in range(30):
        single, keep = random.random() < 0.5, random.random() < 0.7
        run.set(single=single, keep=keep)
        octet = 0
        for _ in range(random.randrange(1, 7)):
            for _ in range(200):
                if run.get("room") or not keep:
                    break
                cycle()
            assert run.get("room") or not keep, "there is never room"
            octet = random.randrange(256)
            noise = random.randrange(16) & 0b1101
            bits = [octet >> i & 1 for i in range(7, -1, -1)]
            for k, lines in enumerate([bit << 1 | noise for bit in bits] if single else [octet >> 4, octet & 15]):
                cycle(lines, begin=keep and k == 0)
                begun += keep and k == 0
                cycle()
            expected += [octet] * keep
        for _ in range(2 + latency):
            cycle()
        assert run.get("latest") == octet, "the last byte"
    for _ in range(60):
        cycle()
    assert got == expected, "bytes"


def receiver(latency: int) -> Design:
    """The receiver by itself."""
    name = f"flash receiver, latency {latency}"
    return Design(name, partial(FlashReceiver, latency), [partial(bytes_of_both_kinds, latency=latency)])


def designs() -> list[Design]:
    return [
        Design(
            f"flash reader, {lines}",
            partial(FlashReader, CLOCK, quad=quad, latency=latency),
            scenarios(quad, latency),
            parts={"receiver": receiver(latency)},
        )
        for lines, quad, latency in (("four lines", True, 2), ("one line", False, 0))
    ]
