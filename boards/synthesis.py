"""From a design to the bitstream of a board, and its report: Amaranth, Yosys, nextpnr, the family's packer.

The tools run in a temporary folder inside the output folder. After the last step the results are moved to their
places, the bitstream and the report last, so that a failed run leaves an earlier bitstream as it was. The files of a
failed run are kept in ``failed/``.

The output is reproducible: file names are relative, Amaranth writes no source locations, and no tool is given a time
or a random number.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rdahw import __version__
from rdahw.boards import Board, all_boards
from rdahw.boards import board as board_of_name
from rdahw.boards.board import FAMILIES, Family
from rdahw.boards.clock import choose
from rdahw.boards.design import Design
from rdahw.boards.report import (
    EBR,
    HOLD,
    LOGIC_CELLS,
    SPRAM,
    Report,
    Seed,
    Usage,
    cells_in_netlist,
    check_clock,
    check_fit,
    examples_per_second,
    fmax_in_report,
    hold_warning,
    margin_warning,
    memory_warning,
    short,
    usage_in_log,
    with_full_tables,
    without_constants,
)
from rdahw.boards.top import Top
from rdahw.errors import InternalError, UserError
from rdahw.hdl.block_memory import FORGET_FIRST_READ
from rdahw.hdl.toolchain import FoundTool, Progress, Run, Step, Toolchain, ToolFailure, find, run, scratch
from rdahw.jobs import Jobs, ThreadJobs, cores, stopping

__all__ = ["Measured", "measure", "synthesise"]

_R = TypeVar("_R")

#: The RTL as Verilog, without Amaranth's private attributes; on a copy, since writing Verilog changes the design.
_WRITE_VERILOG = """
design -push-copy
proc -nomux -norom
memory_collect
attrmap -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding
attrmap -modattr -remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding
write_verilog -norename {name}.v
design -pop
"""

_SYNTHESISE = f"""
{FORGET_FIRST_READ}
{{synth}} -top {{name}}
write_json {{name}}.json
write_verilog -noattr {{name}}.netlist.v
"""

#: The base names of the files of the core, and of its frontend, alone.
_CORE, _FRONTEND = "core", "frontend"


@dataclass(frozen=True, slots=True)
class _Placed:
    """One place-and-route run. usage: what the netlist needs. run: None if it could not be placed or routed."""

    seed: Seed
    usage: dict[str, Usage]
    run: Run | None


@dataclass(frozen=True, slots=True)
class _Flow:
    """The tools of one device, in one folder."""

    family: Family
    board: Board
    clock: float
    yosys: FoundTool
    pnr: FoundTool
    pack: FoundTool
    folder: Path
    progress: Progress | None
    stop: threading.Event

    def run(self, tool: FoundTool, arguments: Sequence[str], log: str, makes: Sequence[str] = ()) -> Run:
        """Run a tool in the folder."""
        return run(tool, arguments, cwd=self.folder, log=log, makes=makes, progress=self.progress, stop=self.stop)

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        """The text of a file of the folder."""
        return (self.folder / name).read_text(encoding="utf-8")

    def prepare(self, design: Design, name: str, baud: int | None) -> tuple[str, str]:
        """Write the file of pins and clocks; its name, and the RTLIL."""
        top = Top(self.board, design.link(design.core(), round(self.clock * 1e6), baud or self.board.baud), self.clock)
        plan = self.board.platform().prepare(top, name, emit_src=False)
        pins = f"{name}.{self.family.constraints}"
        self.write(pins, _text(plan.files[pins]))
        return pins, _text(plan.files[f"{name}.il"])

    def synthesise(self, name: str, rtlil: str) -> Run:
        """``NAME.json``, ``NAME.v`` and ``NAME.netlist.v`` from RTLIL."""
        self.write(f"{name}.il", rtlil)
        synth = " ".join([self.family.synth, *self.board.synth])
        script = f"read_rtlil {name}.il\n" + (_WRITE_VERILOG + _SYNTHESISE).format(name=name, synth=synth)
        self.write(f"{name}.ys", script)
        makes = [f"{name}.json", f"{name}.v", f"{name}.netlist.v"]
        done = self.run(self.yosys, ["-q", "-s", f"{name}.ys"], f"{name}.yosys.log", makes)
        if self.family.open_inputs:
            self.write(f"{name}.json", without_constants(self.read(f"{name}.json"), self.family.open_inputs))
        if self.family.table_inputs:
            self.write(f"{name}.json", with_full_tables(self.read(f"{name}.json"), self.family.table_inputs))
        # Yosys warns so about every design of Amaranth; Amaranth's own back end hides it too.
        warnings = tuple(w for w in done.warnings if "because it contains processes" not in w)
        return Run(done.log, warnings, done.seconds)

    def _constraints(self, name: str, pinned: bool) -> list[str]:
        words = self.family.pins if pinned else self.family.unpinned
        assert words is not None
        return [*self.board.pnr, "--json", f"{name}.json", *(word.format(name=name) for word in words), "--quiet"]

    def alone(self, name: str, rtlil: str) -> dict[str, int]:
        """The logic cells, flip-flops and memory blocks of a component alone."""
        self.synthesise(name, rtlil)
        netlist = self.read(f"{name}.json")
        found = {"flip_flops": cells_in_netlist(netlist, self.family.flip_flop, name)}
        if kinds := self.family.core_cells:
            return found | {"logic_cells": sum(n * cells_in_netlist(netlist, kind, name) for kind, n in kinds.items())}
        # Packing is quick, and enough to count.
        packing = self.run(self.pnr, [*self._constraints(name, False), "--pack-only"], f"{name}.pack.log")
        usage = usage_in_log(packing.log, self.family)
        return found | {"logic_cells": usage[LOGIC_CELLS].used, "ebr": usage[EBR].used}

    def place(self, name: str, seed: int, dense: bool) -> _Placed:
        """One place-and-route run; its files have the base name ``NAME.SEED``."""
        base = f"{name}.{seed}"
        report, placed = f"{base}.report.json", f"{base}.{self.family.placed}"
        # check_clock decides from the report whether the clock is met; nextpnr would fail.
        options = ["--seed", str(seed), "--report", report, "--timing-allow-fail"]
        options += [word.format(placed=placed) for word in self.family.write]
        options += ["--freq", f"{self.clock:g}"]  # for families whose constraints do not name the clock
        options += self.family.dense if dense else ()
        try:
            done = self.run(self.pnr, [*self._constraints(name, True), *options], f"{base}.log", [report, placed])
        except ToolFailure as failure:
            try:
                usage = usage_in_log(failure.text, self.family)
            except UserError:  # it failed before it counted
                raise failure from None
            if not short(usage) and not any(words in failure.text for words in _FULL):
                raise
            return _Placed(Seed(seed, None), usage, None)
        fmax, required = fmax_in_report(self.read(report))
        if abs(required - self.clock) > 0.01 * self.clock:
            raise InternalError(f"the placer was asked for {required:g} MHz and the core's clock is {self.clock:g} MHz")
        return _Placed(Seed(seed, round(fmax, 2)), usage_in_log(done.log, self.family), done)

    def build(
        self,
        name: str,
        rtlil: str,
        parts: Mapping[str, str],
        seeds: Sequence[int],
        dense: bool,
        check: Callable[[Mapping[str, Usage]], object],
        meanwhile: Callable[[], object] | None,
        jobs: int | None,
        elsewhere: Jobs | None,
    ) -> tuple[Run, list[_Placed], dict[str, dict[str, int]]]:
        """Synthesise the design, place and route it with each seed, and measure each of ``parts`` alone, ``jobs`` at
        once: the run of Yosys, those of the seeds in their order, and what the parts have, by name.

        rtlil, parts: the RTLIL of the design, and of the parts by name. check: called with what a netlist needs when
        its run has ended. meanwhile: called once, while Yosys runs. elsewhere: where the seeds are placed, if not by
        tools of this machine. After an exception, Ctrl-C too, the other runs are stopped.
        """
        count = jobs or cores()
        alone = [partial(self.alone, part, its) for part, its in parts.items()]
        place = [partial(self.place, name, seed, dense) for seed in seeds] if elsewhere is None else []
        # One at a time, the seeds come first, as one of them tells whether the design fits.
        pieces: list[Callable[[], Any]] = [partial(self.synthesise, name, rtlil), *(alone if count > 1 else ())]

        def done(number: int, result: Any) -> None:
            if number == 0:
                pieces.extend([*place, *(alone if count == 1 else ())])
            elif isinstance(result, _Placed):
                check(result.usage)

        waiting = [] if meanwhile is None else [meanwhile]

        def tick(*_: int) -> None:
            if waiting:
                waiting.pop()()

        synthesis, *rest = ThreadJobs(count, self.stop.set).run(_result, pieces, None, done=done, progress=tick)
        placed = [found for found in rest if isinstance(found, _Placed)]
        counted = [found for found in rest if not isinstance(found, _Placed)]
        if elsewhere is not None:
            placed = self._place_elsewhere(name, seeds, dense, check, elsewhere)
        return synthesis, placed, dict(zip(parts, counted, strict=True))

    def _place_elsewhere(
        self,
        name: str,
        seeds: Sequence[int],
        dense: bool,
        check: Callable[[Mapping[str, Usage]], object],
        elsewhere: Jobs,
    ) -> list[_Placed]:
        files = {
            file: (self.folder / file).read_bytes() for file in (f"{name}.json", f"{name}.{self.family.constraints}")
        }
        given = _Elsewhere(self.board.name, self.clock, self.pnr.origin, str(self.pnr), name, dense, files)
        found = elsewhere.run(_place_elsewhere, seeds, given, done=lambda _, result: check(result[0].usage))
        for _, made in found:
            for file, content in made.items():
                (self.folder / file).write_bytes(content)
        return [placed for placed, _ in found]

    def pack_best(self, name: str, best: Seed) -> tuple[str, Run]:
        """The bitstream's name, and the packer's run, from the files of one seed."""
        placed, bitstream = f"{name}.{self.family.placed}", f"{name}.{self.family.bitstream}"
        (self.folder / f"{name}.{best.seed}.{self.family.placed}").rename(self.folder / placed)
        files = [word.format(placed=placed, bitstream=bitstream) for word in self.family.pack_files]
        log = f"{name}.{self.pack.tool.name}.log"
        return bitstream, self.run(self.pack, [*self.board.pack, *files], log, [bitstream])


def _result(_: None, piece: Callable[[], _R]) -> _R:
    return piece()


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """What another machine needs to place and route a netlist. tool: what runs there has to be this, for the same bits.
    files: the netlist and the constraints, by name."""

    board: str
    clock: float
    toolchain: str
    tool: str
    name: str
    dense: bool
    files: Mapping[str, bytes]


class _Ending(threading.Event):
    """Is set when the piece of work that this thread does is to end early."""

    def is_set(self) -> bool:
        return stopping()


def _place_elsewhere(given: _Elsewhere, seed: int) -> tuple[_Placed, dict[str, bytes]]:
    """As :meth:`_Flow.place`, in a folder of its own; also gives the files that were made."""
    its = board_of_name(given.board)
    family = FAMILIES[its.family]
    pnr = find(family.pnr, "native" if given.toolchain == "native" else "yowasp")
    if str(pnr) != given.tool:
        raise UserError(f"a worker has {pnr}, and this machine {given.tool}; install the same version on all machines")
    with tempfile.TemporaryDirectory(prefix="rdahw-") as name:
        folder = Path(name)
        for file, content in given.files.items():
            (folder / file).write_bytes(content)
        # Of the tools only that of place and route is used.
        flow = _Flow(family, its, given.clock, pnr, pnr, pnr, folder, None, _Ending())
        try:
            placed = flow.place(given.name, seed, given.dense)
        except ToolFailure as failure:  # its log is lost with the folder
            raise UserError(f"{failure.tool} failed on a worker: {failure.reason}") from failure
        made = {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in given.files}
        return placed, made


#: nextpnr's messages when a seed cannot be placed or routed; another seed may succeed.
_FULL = ("Unable to find a placement", "Unable to place", "no BELs remaining", "Failed to route", "failed to route")


def _versions(*tools: FoundTool) -> dict[str, str]:
    from importlib.metadata import version

    versions = {"rdahw": __version__, "amaranth": version("amaranth"), "amaranth-boards": version("amaranth-boards")}
    return versions | {tool.tool.name: tool.version or "unknown" for tool in tools}


def synthesise(
    design: Design,
    board: Board,
    *,
    out: Path,
    toolchain: Toolchain = "yowasp",
    pnr_seeds: Sequence[int] = (1,),
    jobs: int | None = None,
    elsewhere: Jobs | None = None,
    clock_mhz: float | None = None,
    baud: int | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> Report:
    """Make the bitstream of ``design`` for ``board``, and its intermediate files, in the folder ``out``.

    pnr_seeds: each is tried, ``jobs`` at once (default: one a processor), and the one with the highest Fmax is kept.
    elsewhere: what places and routes them instead, on machines with the same tools. clock_mhz: of the core; by default
    the board's. baud: of the UART; by default the board's. progress: called from several threads, but one at a time.
    meanwhile: called once, in this thread, while Yosys runs: Amaranth works in one thread only.

    For a design called NAME it writes: ``NAME.bin`` (``.bit``), the bitstream; ``NAME.il`` and ``NAME.v``, the design
    as RTLIL and Verilog; ``NAME.json`` and ``NAME.netlist.v``, the netlist; the file of pins and clocks; ``NAME.ys``,
    the script; ``NAME.asc`` (``.config``, ``.pnr.json``), the placed design; ``NAME.log``, the logs of all tools;
    ``report.json``, the report.

    Raises :class:`DesignError` if the design does not fit or misses the clock, :class:`ToolFailure` if a tool fails,
    :class:`MissingError` if one is missing, :class:`UserError` if the clock cannot be made.
    """
    seeds = list(pnr_seeds)
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 1 << 31 for seed in seeds):
        raise UserError(f"the place-and-route seeds are {seeds}; expected different whole numbers from 0")
    family = FAMILIES[board.family]
    yosys, pnr, pack = tools = [find(name, toolchain) for name in ("yosys", family.pnr, family.pack)]
    clock, _ = choose(board.pll, board.oscillator[1], clock_mhz or board.clock)
    name = design.name.replace("-", "_")
    with _folder(out) as folder:
        flow = _Flow(family, board, clock, yosys, pnr, pack, folder, _one_at_a_time(progress), threading.Event())
        pins, rtlil = flow.prepare(design, name, baud)
        core = design.core()
        cycles = design.cycles_per_example(core)
        parts = {_CORE: _rtlil(core, _CORE)}
        if design.frontend is not None:
            parts[_FRONTEND] = _rtlil(design.frontend(), _FRONTEND)

        def check(usage: Mapping[str, Usage]) -> None:
            check_fit(design.name, board, usage, all_boards())

        synthesis, placed, alone = flow.build(
            name, rtlil, parts, seeds, design.dense, check, meanwhile, jobs, elsewhere
        )
        best, fmax = check_clock(design.name, board, clock, placed[0].usage, [one.seed for one in placed])
        usage, routing = next((one.usage, one.run) for one in placed if one.seed == best)
        assert routing is not None
        bitstream, packing = flow.pack_best(name, best)
        said = margin_warning(fmax, clock), hold_warning(routing.log), memory_warning(family.untimed_memory, usage)
        estimates = [warning for warning in said if warning]
        warnings = [w for done in (synthesis, routing, packing) for w in done.warnings if not w.startswith(HOLD)]
        report = Report(
            board=board.name,
            bitstream=out / bitstream,
            logic_cells=usage[LOGIC_CELLS].used,
            core_logic_cells=alone[_CORE]["logic_cells"],
            flip_flops=cells_in_netlist(flow.read(f"{name}.json"), family.flip_flop, name),
            ebr=usage[EBR].used,
            spram=usage[SPRAM].used if SPRAM in usage else 0,
            fmax_mhz=fmax,
            clock_mhz=clock,
            cycles_per_example=float(cycles),
            latency_cycles=design.latency(core),
            examples_per_second=examples_per_second(clock, cycles),
            pnr_seed=best.seed,
            seeds=tuple(one.seed for one in placed),
            tools=_versions(*tools),
            rates={} if design.rates is None else design.rates(core, clock, baud or board.baud),
            tables=design.tables,
            frontend=alone.get(_FRONTEND, {}),
            warnings=(*estimates, *dict.fromkeys(warnings)),
        )
        flow.write("report.json", json.dumps(report.to_json(), indent=2) + "\n")
        logs = [f"{name}.yosys.log", *(f"{name}.{seed}.log" for seed in seeds), f"{name}.{pack.tool.name}.log"]
        flow.write(f"{name}.log", _all_logs(folder, logs))
        own = [f"{name}.{kind}" for kind in ("il", "v", "json", "netlist.v", "ys", "log")]
        for file in (*own, pins, f"{name}.{family.placed}", bitstream, "report.json"):
            os.replace(folder / file, out / file)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a build with one seed of place and route takes: as in :class:`Report`, and ``cells`` of the netlist by their
    type. fmax_mhz: None if it could not be placed or routed."""

    logic_cells: int
    flip_flops: int
    ebr: int
    spram: int
    fmax_mhz: float | None
    cells: Mapping[str, int]
    tools: Mapping[str, str]


def measure(design: Design, board: Board, *, clock_mhz: float | None = None, baud: int | None = None) -> Measured:
    """What ``design`` takes on ``board`` and how fast it is, with seed 1, without a bitstream and whether or not it
    meets the clock. Raises :class:`DesignError` if it does not fit, and as :func:`synthesise`."""
    family = FAMILIES[board.family]
    yosys, pnr = tools = [find(name) for name in ("yosys", family.pnr)]
    clock, _ = choose(board.pll, board.oscillator[1], clock_mhz or board.clock)
    name = design.name.replace("-", "_")
    with scratch() as folder:
        flow = _Flow(family, board, clock, yosys, pnr, pnr, folder, None, threading.Event())
        flow.synthesise(name, flow.prepare(design, name, baud)[1])
        placed = flow.place(name, 1, design.dense)
        usage = placed.usage
        check_fit(design.name, board, usage, all_boards())
        netlist = flow.read(f"{name}.json")
        return Measured(
            logic_cells=usage[LOGIC_CELLS].used,
            flip_flops=cells_in_netlist(netlist, family.flip_flop, name),
            ebr=usage[EBR].used,
            spram=usage[SPRAM].used if SPRAM in usage else 0,
            fmax_mhz=placed.seed.fmax_mhz,
            cells=Counter(cell["type"] for cell in json.loads(netlist)["modules"][name]["cells"].values()),
            tools=_versions(*tools),
        )


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


def _rtlil(component: Any, name: str) -> str:
    from amaranth.back import rtlil  # type: ignore[import-untyped]

    return str(rtlil.convert(component, name=name, emit_src=False))


def _all_logs(folder: Path, first: Sequence[str]) -> str:
    """The logs in the folder, those called ``first`` at the beginning."""
    rest = sorted({path.name for path in folder.glob("*.log")} - set(first))
    texts = ((name, (folder / name).read_text(encoding="utf-8", errors="replace")) for name in [*first, *rest])
    return "".join(f"==== {name} ====\n{text}\n" for name, text in texts)


def _one_at_a_time(progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    lock = threading.Lock()

    def report(step: Step) -> None:
        with lock:
            progress(step)

    return report


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A temporary folder inside ``out``; after an exception it is kept as ``out/failed``."""
    failed = out / "failed"
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".build-", dir=out))
    except OSError as error:
        raise UserError(
            f"the folder {str(out)!r} cannot be written ({error.strerror}); choose another with --out"
        ) from error
    try:
        yield folder
    except BaseException as error:
        shutil.rmtree(failed, ignore_errors=True)
        folder.rename(failed)
        if isinstance(error, ToolFailure):
            raise ToolFailure(error.tool, error.reason, failed / error.log.name, error.text) from error
        if isinstance(error, OSError):
            raise UserError(f"the files of the build cannot be written to {str(out)!r} ({error.strerror})") from error
        raise
    shutil.rmtree(failed, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
