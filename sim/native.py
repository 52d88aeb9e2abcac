"""A compiled simulator: a shared library of :mod:`rdahw.sim.cxxrtl` or :mod:`rdahw.sim.verilator`.

Compiling takes seconds, so libraries are kept in the user's cache under the digest of all inputs of the build.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import InternalError, UserError
from rdahw.files import user_cache
from rdahw.primitives import Array
from rdahw.sim.harness import HARNESS
from rdahw.sim.simulator import Exchange, Log, Port, Stuck, Transfers

__all__ = ["NativeSimulator", "cached", "convert"]

#: How many compiled simulators are kept; the least recently used are removed.
KEPT = 100
#: The most cycles of one call into the library; between calls Ctrl-C is handled.
_BUDGET = 1 << 18
#: The most changes of a watched register that one call records.
_CHANGES = 1 << 12

_Words = NDArray[np.uint32]


def convert(
    component: Any, ports: Mapping[str, Port], registers: Mapping[str, Any]
) -> tuple[str, list[tuple[str, ...]]]:
    """The component as RTLIL without source lines, in the module ``top``, and the path of each register below it."""
    from amaranth.back import rtlil  # type: ignore[import-untyped]
    from amaranth.hdl import Fragment, MemoryData  # type: ignore[import-untyped]
    from amaranth.hdl._ir import PortDirection  # type: ignore[import-untyped]

    directions = {True: PortDirection.Input, False: PortDirection.Output}
    fragment = Fragment.get(component, None)
    text, paths = rtlil.convert_fragment(
        fragment, {name: (port.value, directions[port.is_input]) for name, port in ports.items()}, "top", emit_src=False
    )
    memories = dict(_memories(fragment))
    return str(text), [
        memories[id(register)] if isinstance(register, MemoryData) else _driver(str(text), paths[register])
        for register in registers.values()
    ]


def _driver(text: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The path, without ``top``, of the wire that drives the one at ``path``: of a signal's wires, the register."""
    module = text.index(f"\nmodule \\{'.'.join(path[:-1])}\n")
    body = text[module : text.index("\nend\n", module)]
    name = re.escape(path[-1])
    # Not those indented further, which connect ports of cells.
    found = re.search(rf"^ {{0,2}}connect \\{name} \\(\S+)(?: \[\d+:0\])?$", body, re.MULTILINE)
    return (*path[1:-1], found[1] if found else path[-1])


def _memories(fragment: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The identity of each memory's data below ``fragment``, and its path."""
    for below, name, _ in fragment.subfragments:
        if (data := getattr(below, "_data", None)) is not None:
            yield id(data), (*path, name)
        yield from _memories(below, (*path, name))


def cached(parts: Iterable[str], make: Callable[[Path], Path], log: Log | None, what: str) -> Path:
    """The library made from ``parts``: from the cache, or made by ``make(folder)`` in an empty folder.

    Safe with several processes: the library is renamed into place, and where the system has file locks the other
    processes wait for the one that makes it.
    """
    digest = hashlib.sha256("\0".join([HARNESS, *parts]).encode()).hexdigest()[:32]
    folder = user_cache("simulators")
    library = folder / f"{digest}.so"
    try:
        os.utime(library)
        return library
    except OSError:
        pass
    if log is not None:
        log(f"compiling the simulated hardware with {what}; kept in {str(folder)!r} for the next time")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (folder / f".{digest}.lock").open("w")
        work = Path(tempfile.mkdtemp(prefix=".build-", dir=folder))
    except OSError as error:
        raise UserError(
            f"{str(folder)!r} cannot be written ({error.strerror}), and compiled simulators are kept there; set "
            "XDG_CACHE_HOME to another folder, or choose --engine amaranth"
        ) from error
    try:
        _lock(lock)
        if not library.exists():
            os.replace(make(work), library)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        Path(lock.name).unlink(missing_ok=True)
        lock.close()
    _prune(folder)
    return library


def _lock(file: IO[str]) -> None:
    """Wait until no other process holds a lock of this file; closing it unlocks it."""
    try:
        import fcntl
    except ImportError:  # Windows: two processes may do the same work
        return
    fcntl.flock(file, fcntl.LOCK_EX)


def _prune(folder: Path) -> None:
    def age(path: Path) -> float:
        try:
            return path.stat().st_mtime
        except FileNotFoundError:  # another process pruned it
            return 0.0

    ages = {path: age(path) for path in folder.glob("*.so")}
    for path in sorted(ages, key=lambda path: ages[path])[:-KEPT]:
        if age(path) == ages[path]:  # else another process has begun to use it meanwhile
            path.unlink(missing_ok=True)


class _Stream(ctypes.Structure):
    _fields_ = [
        ("valid", ctypes.c_int32),
        ("ready", ctypes.c_int32),
        ("payload", ctypes.c_int32),
        ("words", ctypes.c_uint32),
    ]


class _Exchange(ctypes.Structure):
    """``struct Exchange`` of the harness."""

    _fields_ = [
        ("source", _Stream),
        ("sink", _Stream),
        ("watch", ctypes.c_int32),
        ("watch_words", ctypes.c_uint32),
        ("beats", ctypes.c_void_p),
        ("n_beats", ctypes.c_uint64),
        ("take", ctypes.c_uint64),
        ("give", ctypes.c_uint64),
        ("gaps", ctypes.c_void_p),
        ("stalls", ctypes.c_void_p),
        ("n_gaps", ctypes.c_uint64),
        ("n_stalls", ctypes.c_uint64),
        ("patience", ctypes.c_uint64),
        ("budget", ctypes.c_uint64),
        ("taken", ctypes.c_void_p),
        ("given", ctypes.c_void_p),
        ("results", ctypes.c_void_p),
        ("n_taken", ctypes.c_uint64),
        ("n_given", ctypes.c_uint64),
        ("results_room", ctypes.c_uint64),
        ("changed", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("n_changed", ctypes.c_uint64),
        ("changes_room", ctypes.c_uint64),
        ("quiet", ctypes.c_uint64),
        ("offered", ctypes.c_uint8),
    ]


class NativeSimulator:
    """A component in a compiled simulator."""

    def __init__(
        self,
        engine: str,
        library: Path,
        ports: Mapping[str, Port],
        registers: Sequence[str],
        vcd: Path | None = None,
    ) -> None:
        self.engine = engine
        self._items = {name: item for item, name in enumerate([*ports, *registers])}
        self._handle: int | None = None
        self._attached: list[bytes] = []  # kept alive, as the library reads them
        self._library = ctypes.CDLL(str(library))
        for name, result, arguments in (
            ("open", ctypes.c_void_p, [ctypes.c_char_p]),
            ("close", None, [ctypes.c_void_p]),
            ("width", ctypes.c_uint32, [ctypes.c_void_p, ctypes.c_int]),
            ("cycles", ctypes.c_uint64, [ctypes.c_void_p]),
            ("get", None, [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]),
            ("set", ctypes.c_int, [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]),
            ("tick", None, [ctypes.c_void_p, ctypes.c_uint64]),
            (
                "attach",
                None,
                [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint8],
            ),
            ("exchange", None, [ctypes.c_void_p, ctypes.POINTER(_Exchange)]),
        ):
            function = getattr(self._library, f"sim_{name}")
            function.restype, function.argtypes = result, arguments
        self._handle = self._library.sim_open(None if vcd is None else os.fsencode(vcd))
        if self._handle is None:
            raise UserError(f"{str(vcd)!r} cannot be written; choose another file for the waveforms")
        self._widths = {name: int(self._library.sim_width(self._handle, item)) for name, item in self._items.items()}
        for name, port in ports.items():
            if self._widths[name] != port.width:
                raise InternalError(f"port {name!r} has {port.width} bits and is compiled to {self._widths[name]}")
        for name in registers:
            if not self._widths[name]:
                raise InternalError(f"the simulated design has no register {name!r}")

    @property
    def cycles(self) -> int:
        """How many clock cycles have passed since power-up."""
        return int(self._library.sim_cycles(self._handle))

    def set(self, port: str, value: int) -> None:
        """Drive an input port."""
        words = _pack(value, self._widths[port])  # a name keeps the array alive during the call
        if not self._library.sim_set(self._handle, self._items[port], words.ctypes.data):
            raise InternalError(f"{port!r} cannot be overwritten in engine {self.engine!r}")

    def get(self, port: str) -> int:
        """The value of a port."""
        words = np.empty((self._widths[port] + 31) // 32, np.uint32)
        self._library.sim_get(self._handle, self._items[port], words.ctypes.data)
        return int.from_bytes(words.astype("<u4").tobytes(), "little")

    #: Registers are items as ports are.
    peek = get
    poke = set

    def tick(self, count: int = 1) -> None:
        """Let ``count`` clock cycles pass."""
        while count > 0:
            self._library.sim_tick(self._handle, min(count, _BUDGET))
            count -= _BUDGET

    def attach(self, address: str, data: str, contents: bytes, behind: int = 0xFF) -> None:
        """Serve ``contents`` to the ports ``address`` and ``data``."""
        self._attached.append(contents)
        items = self._items[address], self._items[data]
        self._library.sim_attach(self._handle, *items, contents, len(contents), behind)

    def exchange(self, exchange: Exchange) -> Transfers:
        """Run until the exchange is over."""
        source, sink = self._stream(exchange.source), self._stream(exchange.sink)
        beats = _pack_rows(exchange.beats)
        watched = 0 if exchange.watch is None else (self._widths[exchange.watch] + 31) // 32
        room = exchange.give + len(beats) + 1
        taken, given = np.empty(len(beats) + 1, np.uint64), np.empty(room, np.uint64)
        results = np.empty((room, sink.words), np.uint32)
        changes = _CHANGES if watched else 1
        changed, values = np.empty(changes, np.uint64), np.empty((changes, max(watched, 1)), np.uint32)
        gaps = np.ascontiguousarray([] if exchange.gaps is None else exchange.gaps, np.uint8)
        stalls = np.ascontiguousarray([] if exchange.stalls is None else exchange.stalls, np.uint8)
        e = _Exchange(
            source=source,
            sink=sink,
            watch=-1 if exchange.watch is None else self._items[exchange.watch],
            watch_words=watched,
            beats=beats.ctypes.data,
            n_beats=len(beats),
            take=exchange.take,
            give=exchange.give,
            gaps=gaps.ctypes.data,
            stalls=stalls.ctypes.data,
            n_gaps=len(gaps),
            n_stalls=len(stalls),
            patience=exchange.patience,
            budget=_BUDGET,
            taken=taken.ctypes.data,
            given=given.ctypes.data,
            results=results.ctypes.data,
            results_room=room,
            changed=changed.ctypes.data,
            values=values.ctypes.data,
            changes_room=changes,
        )
        end = None if exchange.cycles is None else self.cycles + exchange.cycles
        made = Transfers(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.uint8))
        while True:
            if end is not None:
                e.budget = min(_BUDGET, end - self.cycles)
            self._library.sim_exchange(self._handle, ctypes.byref(e))
            made.changed += changed[: e.n_changed].tolist()
            made.values += [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in values[: e.n_changed]]
            e.n_changed = 0
            if (e.n_taken >= exchange.take and e.n_given >= exchange.give) or end == self.cycles:
                break
            if e.quiet > exchange.patience or e.n_given == room:
                raise Stuck(
                    f"streams {exchange.source!r} and {exchange.sink!r} have not moved for {e.quiet} cycles, "
                    f"up to {self.cycles}"
                )
        made.taken = taken[: e.n_taken].astype(np.int64)
        made.given = given[: e.n_given].astype(np.int64)
        packed = results[: e.n_given].astype("<u4").view(np.uint8)
        made.results = np.unpackbits(packed, axis=1, count=self._widths[f"{exchange.sink}__payload"], bitorder="little")
        return made

    def close(self) -> None:
        """Free the simulated design."""
        if self._handle is not None:
            self._library.sim_close(self._handle)
            self._handle = None

    __del__ = close

    def _stream(self, name: str) -> _Stream:
        items = [self._items[f"{name}__{part}"] for part in ("valid", "ready", "payload")]
        return _Stream(*items, (self._widths[f"{name}__payload"] + 31) // 32)


def _pack(value: int, width: int) -> _Words:
    size = (width + 31) // 32
    return np.frombuffer((value & (1 << width) - 1).to_bytes(4 * size, "little"), "<u4").astype(np.uint32)


def _pack_rows(bits: Array) -> _Words:
    packed = np.packbits(bits, axis=1, bitorder="little")
    words = np.zeros((len(bits), (bits.shape[1] + 31) // 32 * 4), np.uint8)
    words[:, : packed.shape[1]] = packed
    return words.view("<u4").astype(np.uint32)
