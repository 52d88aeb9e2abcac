"""Circuits that other tools wrote: Verilog, BLIF, RTLIL and Yosys' JSON through Yosys, and AIGER.

Yosys makes a netlist of words from the file; :mod:`rdahw.hdl.netlist_cells` has what each cell becomes. Cells without a
row are broken into gates by Yosys first, and :class:`Design` says which.
"""

from __future__ import annotations

import json
import keyword
import re
import threading
from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from rdahw.circuit import Circuit
from rdahw.errors import UsageError, UserError, nearest
from rdahw.hdl.aiger import read_aiger
from rdahw.hdl.netlist_cells import LIBRARY, REGISTERS, ROWS, Cell
from rdahw.hdl.processes import Stopped
from rdahw.hdl.toolchain import Progress, Step, Toolchain, ToolFailure, find, run, scratch
from rdahw.hdl.torchlogix import is_torchlogix_json, read_torchlogix_c, read_torchlogix_json
from rdahw.machine import Machine, unused
from rdahw.tracing import Builder, Wire, cat
from rdahw.types import Bits
from rdahw.wording import plural

__all__ = ["SUFFIXES", "Design", "read_circuit", "read_design"]

#: By file ending the command of Yosys that reads it; none: it is read here.
SUFFIXES: Mapping[str, str] = {
    ".v": "read_verilog",
    ".sv": "read_verilog -sv",
    ".blif": "read_blif -sop -wideports",
    ".il": "read_rtlil",
    ".rtlil": "read_rtlil",
    ".json": "read_json",
    ".aag": "",
    ".aig": "",
    ".c": "",
}
#: What reads a file here, by ending; JSON only if it is that of torchlogix.
_OWN: Mapping[str, Callable[[bytes], dict[str, Any]]] = {
    ".aag": lambda data: read_aiger(data, _MOST_CELLS),
    ".aig": lambda data: read_aiger(data, _MOST_CELLS),
    ".c": read_torchlogix_c,
    ".json": read_torchlogix_json,
}

#: A net that BLIF gives as its own value: Yosys' ``write_blif`` writes this for bits that have two names of one text.
_SELF = re.compile(rb"^\.names[ \t]+(\S+)[ \t]+\1[ \t]*\r?\n1[ \t]+1[ \t]*\r?$\n?", re.MULTILINE)

#: The most bytes of a file, 16 MB except where a gate takes more text than in Verilog: some 300,000 gates, which Yosys
#: reads in minutes.
_MOST_BYTES = {**dict.fromkeys(SUFFIXES, 16_000_000), ".il": 64_000_000, ".rtlil": 64_000_000, ".json": 300_000_000}
#: The most cells, which a short file can have, too.
_MOST_CELLS = 400_000
#: The most that Yosys goes on with, dead ones included.
_MOST_READ = 2 * _MOST_CELLS
#: The most seconds for Yosys, which a loop without end would keep busy.
_MOST_SECONDS = 1800

#: Cells for simulators and provers, which compute nothing.
_CHECKS = "t:$print t:$check t:$assert t:$assume t:$cover t:$live t:$fair t:$scopeinfo"
#: Registers with an asynchronous input, which becomes one that is read at each step.
_ASYNCHRONOUS = ("$adff", "$adffe", "$aldff", "$aldffe", "$dffsr", "$dffsre", "$_DFF_*", "$_ALDFF*", "$_DFFSR*")

_SCRIPT = """{read} {file}
{boxes}
hierarchy -check -libdir cells {top}{parameters}
proc -noopt
flatten -noscopeinfo
delete {checks}
select -assert-max {most} t:*
opt_expr -keepdc
memory_collect
opt_muxtree
wreduce -keepdc {words}
opt_clean
memory_map t:$mem_v2 r:WR_PORTS>0 %i
memory_map t:$mem_v2 r:RD_CLK_ENABLE>0 %i
async2sync {asynchronous}
dffunmap
tee -q -o before.json stat -json
select -set kept {kept}
select -set other * @kept %d
{lower}
opt_clean
write_json netlist.json
"""
#: What can become narrower: cells and wires of more than a bit. Of single bits it would look at each, too.
_WORDS = "r:A_WIDTH>1 r:Y_WIDTH>1 r:WIDTH>1 s:2:"
_LOWER = "techmap @other\nsimplemap @other"
#: Every cell, where cells of words make a loop that those of bits do not.
_LOWER_ALL = "techmap\nsimplemap"


@dataclass(frozen=True, slots=True)
class Design:
    """A circuit, or a machine, that was read from a file.

    top: the module. kept: how many cells of each kind became wires as they are. lowered: likewise those that Yosys
    broke into gates. names: the ports that have another name here, from theirs to ours. notes: what the reader should
    know, in sentences without the full stop.
    """

    made: Circuit | Machine
    top: str
    kept: Mapping[str, int] = field(default_factory=dict)
    lowered: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def describe(self) -> Iterator[str]:
        """What was kept, broken up and renamed, in sentences for people."""
        yield f"read {self.top!r}: {_listed(self.kept) or 'wires alone'}"
        if self.lowered:
            yield f"broken into gates: {_listed(self.lowered)}"
        for theirs, ours in self.names.items():
            yield f"{theirs!r} is called {ours!r} here"
        yield from self.notes


def _listed(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: -item[1]))


def read_circuit(
    path: str | Path, top: str | None = None, parameters: Mapping[str, int] | None = None, *, tables: bool = False
) -> Circuit | Machine:
    """The circuit that a file describes; with flip-flops of one clock, the machine.

    path: Verilog or SystemVerilog (``.v``, ``.sv``), BLIF, AIGER (``.aag``, ``.aig``), RTLIL (``.il``), Yosys' JSON, or
    a network of torchlogix (``.c``, ``.json``).
    top: its module; by default the only one that no other uses.
    parameters: values of parameters of that module.
    tables: LUTs of two inputs, which otherwise become gates, stay tables (lookups), and so do sums of products of two
    to eight.

    Each port is a wire of bits with its name. Bit 0 is the least significant one. Values that Verilog leaves open (a
    bit read from outside of a vector, a flip-flop without initial value) are 0. :func:`read_design` says what became of
    the cells.

    Raises :class:`UsageError` for another ending, a missing file or module, :class:`UserError` for a file that is too
    large (16 MB of Verilog, 400,000 cells), damaged, or has what no circuit can be (latches, tri-states, ``x``, several
    clocks), with its line, and :class:`MissingError` without Yosys.
    """
    return read_design(path, top, parameters, tables=tables).made


def read_design(
    path: str | Path,
    top: str | None = None,
    parameters: Mapping[str, int] | None = None,
    *,
    tables: bool = False,
    toolchain: Toolchain = "yowasp",
    progress: Progress | None = None,
) -> Design:
    """As :func:`read_circuit`, with what became of the file's cells and names. progress: is told what is done."""
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{str(file)!r} has the ending {file.suffix!r}; {nearest(file.suffix, SUFFIXES)}")
    try:
        if (size := file.stat().st_size) > (most := _MOST_BYTES[file.suffix.lower()]):
            raise UserError(
                f"{file}: the file has {size / 1e6:,.0f} MB; expected at most {most / 1e6:,.0f}, some 300,000 gates; "
                "read its modules one by one, each from a file of its own"
            )
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"the file {str(file)!r} cannot be read ({error.strerror}); name one that exists") from None
    data = data.removeprefix(b"\xef\xbb\xbf")  # the mark of UTF-8, which editors write and Yosys refuses
    source = _Source(file)
    suffix = file.suffix.lower()
    if suffix == ".blif":
        data = _SELF.sub(b"#\n#\n", data)
    if not SUFFIXES[suffix] or (suffix == ".json" and is_torchlogix_json(data)):
        if parameters or top:
            raise UsageError(f"{str(file)!r} has one module without a name or parameters; leave both out")
        try:
            module = _OWN[suffix](data)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        try:
            return _translated(module, file.stem, source, {}, progress, tables)
        except _Loop as loop:
            raise loop.refused(source) from None
    for lower in (_LOWER, _LOWER_ALL):
        name, module, before = _netlist(source, data, top, dict(parameters or {}), lower, toolchain, progress)
        try:
            return _translated(module, name, source, before, progress, tables)
        except _Loop as loop:
            found = loop
    raise found.refused(source)


class _Loop(Exception):
    """Cells that read each other: one of them, and the name of its output."""

    def __init__(self, cell: Mapping[str, Any], name: str) -> None:
        super().__init__(name)
        self.cell, self.name = cell, name

    def refused(self, source: _Source) -> UserError:
        """That no circuit can be made of it."""
        place = source.place(self.cell)
        return UserError(f"{place}the values of {self.name} depend on themselves; break the loop with a flip-flop")


@dataclass(frozen=True, slots=True)
class _Source:
    """The file as messages name it."""

    path: Path

    def place(self, cell: Mapping[str, Any]) -> str:
        """«FILE:LINE: » of a cell or a net, as far as Yosys knows it."""
        found = re.match(r"[^|]*?:(\d+)", str(cell.get("attributes", {}).get("src", "")))
        return f"{self.path}:{found[1]}: " if found else f"{self.path}: "


# -- from the file to a netlist ----------------------------------------------------------------------------------------


def _netlist(
    source: _Source,
    data: bytes,
    top: str | None,
    parameters: dict[str, int],
    lower: str,
    toolchain: Toolchain,
    progress: Progress | None,
) -> tuple[str, dict[str, Any], dict[str, int]]:
    """The top module, as Yosys' JSON, its name, and the cells there were before any were broken into gates."""
    for name in (*([top] if top else []), *parameters):
        if not re.fullmatch(r"[A-Za-z_][\w$]*", name):
            raise UsageError(f"{name!r} is not a name of Verilog; expected letters, digits, _ and $")
    suffix = source.path.suffix.lower()
    file = f"design{suffix}"
    yosys = find("yosys", toolchain)
    with scratch() as work:
        (work / file).write_bytes(data)
        library = [name for name in LIBRARY if name.encode() in data]
        (work / "cells").mkdir()
        for each in library:
            (work / "cells" / f"{each}.v").write_text(LIBRARY[each], encoding="utf-8")
        _copy_included(source.path.parent, data, work)
        script = _SCRIPT.format(
            read=SUFFIXES[suffix],
            file=file,
            # Where a file has no box of such a cell Yosys takes the cell from the folder.
            boxes="delete =A:blackbox =A:whitebox" if library and suffix == ".json" else "",
            top=f"-top {top}" if top else "-auto-top",
            parameters="".join(f" -chparam {name} {value}" for name, value in parameters.items()),
            checks=_CHECKS,
            asynchronous=" ".join(f"t:{kind}" for kind in _ASYNCHRONOUS),
            kept=" ".join(f"t:{kind}" for kind in (*ROWS, *REGISTERS)),
            lower=lower,
            words=_WORDS,
            most=_MOST_READ,
        )
        (work / "read.ys").write_text(script, encoding="utf-8")
        makes, stop = ["netlist.json", "before.json"], threading.Event()
        timer = threading.Timer(_MOST_SECONDS, stop.set)
        timer.daemon = True
        try:
            timer.start()
            done = run(yosys, ["-q", "-s", "read.ys"], cwd=work, log="log", makes=makes, progress=progress, stop=stop)
        except Stopped:
            raise UserError(
                f"{source.path}: Yosys did not read the file in {_MOST_SECONDS:,} seconds; look for a loop without end "
                "in it, or read a smaller part"
            ) from None
        except ToolFailure as failure:
            raise _explained(failure, source, data) from None
        finally:
            timer.cancel()
        if top is None:
            _check_top(done.log, source)
        modules = json.loads((work / "netlist.json").read_text(encoding="utf-8"))["modules"]
        said = json.loads((work / "before.json").read_text(encoding="utf-8"))["modules"]
        counts = Counter[str]()
        for each in said.values():
            counts.update(each.get("num_cells_by_type", {}))
    tops = [name for name, each in modules.items() if int(str(each["attributes"].get("top", "0")), 2)]
    name = tops[0] if tops else ""
    module: dict[str, Any] = modules.get(name, {})
    if not module:
        raise UsageError(f"{source.path}: there is no module in the file with contents; expected one with outputs")
    known = module.get("parameter_default_values", {})
    if wrong := next((each for each in parameters if each not in known), None):
        raise UsageError(f"module {name!r} of {str(source.path)!r} has no parameter {wrong!r}; {nearest(wrong, known)}")
    return name, module, counts


#: What files name that they read: other files of Verilog, and the contents of memories.
_INCLUDED = re.compile(rb'(?:`include|\$readmem[hb]\s*\()\s*"([^"\n]{1,200})"')


def _copy_included(folder: Path, data: bytes, work: Path) -> None:
    """Copy the files beside the design that it names, and those that these name, to where Yosys runs."""
    waiting = [data]
    while waiting:
        for name in _INCLUDED.findall(waiting.pop()):
            text = name.decode(errors="replace")
            file, copy = folder / text, work / text
            if ".." in Path(text).parts or Path(text).is_absolute() or copy.exists() or not file.is_file():
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            waiting.append(file.read_bytes())
            copy.write_bytes(waiting[-1])


def _check_top(log: str, source: _Source) -> None:
    """Raise :class:`UsageError` if no module uses some module beside the top one."""
    removed = re.findall(r"^Removing unused module `\\(.+)'\.$", log, re.MULTILINE)
    # A module that is only used with other parameters is removed, too.
    others = [name for name in removed if not re.search(rf"\$paramod\S*\\{re.escape(name)}(?![\w$])", log)]
    if others:
        found = re.findall(
            r"^(?:Automatically selected (.+) as design top module|Top module: +\\(.+))", log, re.MULTILINE
        )
        tops = [*dict.fromkeys(a or b for a, b in found), *others]
        raise UsageError(
            f"{source.path}: the file has several modules that no other uses, {', '.join(map(repr, tops))}; name one, "
            f"as in {source.path.name}:{tops[0]}"
        )


def _explained(failure: ToolFailure, source: _Source, data: bytes) -> UserError:
    """What Yosys said about the file, with its line."""
    found = re.findall(r"^(?:\S*?design\.\w+:(\d+)(?:\.[\d.:-]*)?: )?ERROR: ?(.+)$", failure.text, re.MULTILINE)
    if not found:
        return UserError(f"{source.path}: Yosys cannot read the file: {failure.reason}; correct it")
    line, reason = found[-1]
    reason = reason.strip().rstrip(".!").replace("\\", "")
    if missing := re.match(r"Module `(.+)' referenced in module `(.+)' in cell `(.+)' is not part", reason):
        kind, inside, cell = missing.groups()
        at = re.search(rf"\b{re.escape(kind)}\b[^;]*?\b{re.escape(cell)}\b".encode(), data)
        line = str(data.count(b"\n", 0, at.start()) + 1) if at else ""
        reason = f"module {kind!r}, which {inside!r} uses as {cell!r}, is not in the file"
    elif large := re.match(r"Assertion failed: selection contains (\d+) ", reason):
        return UserError(
            f"{source.path}: it has {int(large[1]):,} cells; expected at most {_MOST_CELLS:,}; read a part of "
            "the design"
        )
    elif missing := re.match(r"Module `(.+)' not found", reason):
        return UsageError(f"{source.path}: there is no module {missing[1]!r}; name one of the file")
    where = f"{source.path}:{line}: " if line else f"{source.path}: "
    return UserError(f"{where}{reason}; correct it, or read a file without it")


# -- from a netlist to a circuit ---------------------------------------------------------------------------------------


#: Kinds of cells that no circuit can be, by the beginning of their names: what they are, and what to do.
_REFUSED: Mapping[str, tuple[str, str]] = {
    "$dlatch": ("a latch", "assign it in every branch, or clock it"),
    "$adlatch": ("a latch", "assign it in every branch, or clock it"),
    "$_DLATCH": ("a latch", "clock it"),
    "$sr": ("a latch", "clock it"),
    "$_SR": ("a latch", "clock it"),
    "$tribuf": ("a tri-state driver", "choose between its values with a multiplexer"),
    "$_TBUF": ("a tri-state driver", "choose between its values with a multiplexer"),
    "$mem": ("a memory that is clocked when read", "read it without a clock, or keep it out of the circuit"),
}


def _translated(
    module: Mapping[str, Any],
    top: str,
    source: _Source,
    before: Mapping[str, int],
    progress: Progress | None,
    tables: bool,
) -> Design:
    if (count := len(module["cells"])) > _MOST_CELLS:
        raise UserError(
            f"{source.path}: {top!r} has {count:,} cells; expected at most {_MOST_CELLS:,}; read a part of the design"
        )
    netlist = _Netlist(module, source, tables)
    made, names, notes = netlist.translate(progress)
    kinds = Counter(cell["type"] for cell in module["cells"].values())
    kept = {kind: count for kind, count in kinds.items() if not before or before.get(kind)}
    lowered = {kind: count for kind, count in before.items() if kind not in kinds and kind not in (*ROWS, *REGISTERS)}
    return Design(made, top, kept, lowered, names, notes)


class _Netlist:
    """A module of Yosys' JSON on its way to a circuit: which wire, and which bit of it, each net is."""

    def __init__(self, module: Mapping[str, Any], source: _Source, keeps_tables: bool) -> None:
        self.module, self.source, self.keeps_tables = module, source, keeps_tables
        self.builder = Builder()
        self._nets: dict[int, tuple[Wire, int]] = {}
        self._drivers: dict[int, Mapping[str, Any]] = {}
        self._given: set[int] = set()
        self._notes: list[str] = []
        self._names: dict[str, str] = {}

    def fail(self, where: Mapping[str, Any], what: str) -> UserError:
        return UserError(f"{self.source.place(where)}{what}")

    def translate(self, progress: Progress | None) -> tuple[Circuit | Machine, dict[str, str], list[str]]:
        """The circuit or machine, the names that changed, and notes."""
        cells: list[Mapping[str, Any]] = []
        registers: list[Mapping[str, Any]] = []
        for port in self.module["ports"].values():
            if port["direction"] == "input":
                self._given.update(port["bits"])
        for cell in self.module["cells"].values():
            (registers if cell["type"] in REGISTERS else cells).append(self._checked(cell))
        clock = self._clock(registers)
        ports = self.module["ports"]
        for name, port in ports.items():
            if port["direction"] == "inout":
                raise self.fail(self._net_of(name), f"port {name!r} is an inout; make it an input and an output")
        taken: dict[str, Any] = {}
        states = [self._state(cell, taken) for cell in registers]
        for name, port in ports.items():
            if port["direction"] == "input" and port["bits"] != [clock]:
                self._drive(self.builder.input(self._named(name, taken), Bits(len(port["bits"]))), port["bits"])
        self._run(self._ordered(cells), progress)
        outputs: dict[str, Wire] = {}
        written: dict[str, Any] = {}
        for name, port in ports.items():
            if port["direction"] == "output":
                written[self._named(name, written)] = self.wire(port["bits"], self._net_of(name), f"output {name!r}")
        if not written:
            raise UserError(f"{self.source.path}: the module has no outputs; expected at least one")
        for name, cell in zip(list(taken)[: len(states)], registers, strict=True):
            bits = cell["connections"]["D"]
            outputs[unused(f"next_{name}", ChainMap(outputs, written))] = self.wire(
                bits, cell, f"the input of {name!r}"
            )
        circuit = self.builder.finish({**outputs, **written})
        made = Machine(circuit, tuple(states)) if registers else circuit
        return made, self._names, self._notes

    def _checked(self, cell: Mapping[str, Any]) -> Mapping[str, Any]:
        """The cell, its outputs known as driven; raises :class:`UserError` for one that no circuit can be."""
        kind = cell["type"]
        if kind not in ROWS and kind not in REGISTERS:
            what, how = next((row for begin, row in _REFUSED.items() if kind.startswith(begin)), ("", ""))
            if not what:
                what, how = f"a cell {kind!r} without contents", "read a file that has its contents, too"
            raise self.fail(cell, f"there is {what}; {how}")
        for port, direction in cell["port_directions"].items():
            bits = cell["connections"][port]
            if direction == "output":
                for bit in bits:
                    if isinstance(bit, str) or bit in self._drivers or bit in self._given:
                        raise self.fail(cell, "a net has two drivers; leave one of them out")
                    self._drivers[bit] = cell
        return cell

    def _clock(self, registers: Sequence[Mapping[str, Any]]) -> Any:
        """The net of the only clock, if there is one."""
        found: dict[tuple[Any, int], Mapping[str, Any]] = {}
        for cell in registers:
            port, edge = REGISTERS[cell["type"]]
            if port:
                rises = edge if isinstance(edge, int) else int(str(cell["parameters"][edge]), 2)
                found.setdefault((cell["connections"][port][0], rises), cell)
        if len(found) > 1:
            names = [f"{self._name_of(net)!r} ({'rising' if rises else 'falling'})" for net, rises in found]
            raise self.fail(
                list(found.values())[1], f"flip-flops have the clocks {', '.join(names)}; expected one, and one edge"
            )
        for net, _ in found:
            inputs = [port["bits"] for port in self.module["ports"].values() if port["direction"] == "input"]
            if [net] not in inputs:
                raise self.fail(
                    found[net, _], f"the clock {self._name_of(net)!r} is not an input of one bit; expected one that is"
                )
            return net
        return None

    def _state(self, cell: Mapping[str, Any], taken: dict[str, Any]) -> int:
        """Make the register's output an input of the step, and return its first value."""
        bits = cell["connections"]["Q"]
        name = self._name_of(bits[0], alone=False)
        self._drive(self.builder.input(self._named(name, taken), Bits(len(bits))), bits)
        first = [self._first.get(bit, "x") for bit in bits]
        if "x" in first:
            self._notes.append(f"{self.source.place(cell)}{name!r} has no first value, and starts with 0")
        return sum(1 << i for i, value in enumerate(first) if value == "1")

    @cached_property
    def _first(self) -> dict[Any, str]:
        found: dict[Any, str] = {}
        for net in self.module["netnames"].values():
            if (init := net["attributes"].get("init")) is not None:
                found.update(zip(net["bits"], str(init)[::-1], strict=False))
        return found

    @cached_property
    def _names_of(self) -> dict[Any, list[str]]:
        """The names of each net, once for all of them: each register of a large design is named."""
        found: dict[Any, list[str]] = {}
        for name, row in self.module["netnames"].items():
            for bit in dict.fromkeys(row["bits"]):
                found.setdefault(bit, []).append(name)
        return found

    def _named(self, name: str, taken: dict[str, Any]) -> str:
        """The name here of a port or state, noted if it is another one."""
        ours = re.sub(r"\W", "_", name, flags=re.ASCII)
        ours = f"p{ours}" if not ours or not ours[0].isalpha() and ours[0] != "_" else ours
        ours = unused(f"{ours}_" if keyword.iskeyword(ours) else ours, taken)
        taken[ours] = name
        if ours != name:
            self._names[name] = ours
        return ours

    def _net_of(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.module["netnames"].get(name, {})
        return found

    def _name_of(self, net: Any, *, alone: bool = True) -> str:
        """The name of a net in the file, with its index unless the whole vector is meant; rather one of the file than
        one of Yosys, and rather that of a vector that begins with it and is no port."""

        def rank(name: str) -> tuple[int, bool, bool]:
            return nets[name]["hide_name"], nets[name]["bits"][0] != net, name in self.module["ports"]

        nets, names = self.module["netnames"], self._names_of.get(net)
        if not names:
            return f"net {net}"
        name = min(names, key=rank)
        bits = nets[name]["bits"]
        return name if len(bits) == 1 or not alone else f"{name}[{bits.index(net)}]"

    def _ordered(self, cells: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The cells, each behind those that drive it; raises :class:`_Loop`."""
        number = {id(cell): k for k, cell in enumerate(cells)}
        readers: list[list[int]] = [[] for _ in cells]
        missing = [0] * len(cells)
        for k, cell in enumerate(cells):
            before = set()
            for port, direction in cell["port_directions"].items():
                if direction == "input":
                    drivers = (self._drivers.get(bit) for bit in cell["connections"][port])
                    before |= {number[id(driver)] for driver in drivers if driver is not None and id(driver) in number}
            missing[k] = len(before)
            for driver in before:
                readers[driver].append(k)
        ready = [k for k, count in enumerate(missing) if not count]
        for k in ready:
            yield cells[k]
            for reader in readers[k]:
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
        if len(ready) < len(cells):
            cell = next(cell for cell, count in zip(cells, missing, strict=True) if count)
            raise _Loop(cell, repr(self._name_of(cell["connections"][_output(cell)][0])))

    def _run(self, cells: Iterator[Mapping[str, Any]], progress: Progress | None) -> None:
        """Make the wires of all cells."""
        total = len(self.module["cells"])
        for done, data in enumerate(cells):
            if progress is not None and done and done % 10_000 == 0:
                progress(Step("reader", f"{done:,} of {plural(total, 'cell')}", 0.0))
            cell = self._cell(self._without_dead_default(data))
            try:
                result = ROWS[cell.kind](cell)
            except UserError as error:
                message = str(error)
                raise error if message.startswith(str(self.source.path)) else self.fail(data, message) from None
            bits = cell.bits[_output(data)]
            self._drive(result if result.width == len(bits) else result.extend(len(bits)), bits)

    def _cell(self, data: Mapping[str, Any]) -> Cell:
        return Cell(data, lambda bits: self.wire(bits, data, "a value"), self._driving, self.keeps_tables)

    def _driving(self, net: Any) -> Cell | None:
        data = self._drivers.get(net)
        return None if data is None else self._cell(data)

    def _without_dead_default(self, cell: Mapping[str, Any]) -> Mapping[str, Any]:
        """A choice that lists all values of what it asks has a default ``x`` that is never taken: leave it out."""
        if cell["type"] != "$pmux" or "x" not in cell["connections"]["A"]:
            return cell
        asked = set()
        for bit in cell["connections"]["S"]:
            driver = self._drivers.get(bit, {"type": ""})
            compared = driver["type"] in ("$eq", "$logic_not")
            asked.add(tuple(driver["connections"]["A"]) if compared else ())
        if len(asked) != 1 or 1 << len(next(iter(asked))) != len(cell["connections"]["S"]):
            return cell
        ports = dict(cell["connections"])
        width = len(ports["Y"])
        ports["A"], ports["B"], ports["S"] = ports["B"][-width:], ports["B"][:-width], ports["S"][:-1]
        return {**cell, "connections": ports}

    def _drive(self, wire: Wire, bits: Sequence[Any]) -> None:
        for i, bit in enumerate(bits):
            if bit in self._nets:
                raise UserError(f"{self.source.path}: {self._name_of(bit)!r} has two drivers; leave one of them out")
            self._nets[bit] = wire, i

    def wire(self, bits: Sequence[Any], where: Mapping[str, Any], what: str) -> Wire:
        """The wire of these bits; raises :class:`UserError` if one is ``x``, ``z`` or driven by nothing."""
        found: list[tuple[Wire | None, int]] = []
        for bit in bits:
            if isinstance(bit, str):
                if bit not in "01":
                    raise self.fail(where, _OPEN[bit].format(what))
                found.append((None, int(bit)))
            elif bit in self._nets:
                found.append(self._nets[bit])
            else:
                raise self.fail(where, f"{self._name_of(bit)!r} is driven by nothing; give it a value")
        parts = []
        for wire, run_ in groupby(found, key=lambda each: each[0]):
            indices = [i for _, i in run_]
            if wire is None:
                value = sum(bit << i for i, bit in enumerate(indices))
                parts.append(self.builder.apply("const", attributes=(value, len(indices))))
            elif indices == list(range(indices[0], indices[0] + len(indices))):
                parts.append(wire[indices[0] : indices[-1] + 1])
            else:
                parts.append(wire.gather(indices))
        return cat(*parts)


#: Values that no circuit has.
_OPEN = {
    "x": "{} is x, neither 0 nor 1; give it a value",
    "z": "{} is z, a tri-state; choose between its values with a multiplexer",
}


def _output(cell: Mapping[str, Any]) -> str:
    outputs = (port for port, direction in cell["port_directions"].items() if direction == "output")
    return str(next(outputs))
