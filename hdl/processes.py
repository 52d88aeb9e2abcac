"""Running a tool outside Python, watching it, and stopping it.

Whether a tool succeeded is read from its own log file, which has to end with the tool's line of success. An exit code
of 0 is not enough: a stopped tool can have one, and the redirected stdout of a YoWASP tool can be cut off.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdahw.errors import UserError
from rdahw.files import can_hold_files, temporary_cache, user_cache

if TYPE_CHECKING:
    from rdahw.hdl.toolchain import FoundTool, Tool

__all__ = ["Progress", "Run", "Step", "Stopped", "ToolFailure", "run", "scratch", "yowasp_cache"]

#: What a YoWASP tool writes to stderr before it is compiled for this machine, once after each installation.
_FIRST_RUN = "Preparing to run"
#: What is reported as its progress then.
_COMPILED = "being compiled for this machine, once"


@dataclass(frozen=True, slots=True)
class Step:
    """The progress of a running tool: what it is doing, and for how many seconds it has run."""

    tool: str
    what: str
    seconds: float


#: What is called with each :class:`Step`, a few times a second.
Progress = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Run:
    """A successful run: the text of its log, the distinct warnings in it, and the seconds that it took."""

    log: str
    warnings: tuple[str, ...]
    seconds: float


class ToolFailure(UserError):
    """A tool refused its input or ended early (exit code 1).

    tool: its name. reason: its last error message. log: the path of its log. text: the log's contents.
    """

    def __init__(self, tool: str, reason: str, log: Path, text: str) -> None:
        super().__init__(f"{tool} failed: {reason} (its log: {str(log)!r})")
        self.tool = tool
        self.reason = reason
        self.log = log
        self.text = text

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle, which a process sends it by."""
        return ToolFailure, (self.tool, self.reason, self.log, self.text)


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
    """Run a tool until it ends.

    arguments: without those for its log. File names are relative to ``cwd``: a YoWASP tool has its own ``/tmp``.
    log: the name of the log in ``cwd``; a file of that name is replaced.
    makes: files in ``cwd`` that the tool has to make; old ones are removed first.
    stop: when another thread sets it, the tool is stopped and :class:`Stopped` is raised.

    Raises :class:`ToolFailure` if the log does not end in success, a file is missing, or the exit code is not 0. On any
    exception, Ctrl-C too, the tool is stopped before the exception is passed on.
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
            process = subprocess.Popen(
                command, cwd=cwd, env=_environment(found), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
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


def yowasp_cache() -> Path:
    """The folder of YoWASP's tools, compiled for this machine: YOWASP_CACHE_DIR, or the user's cache.

    If that one cannot be written and is empty, a tool would fail after its compilation; then it is a temporary folder.
    Raises :class:`UserError` if that cannot be written either.
    """
    given = os.environ.get("YOWASP_CACHE_DIR")
    folder = Path(given) if given else user_cache("", "YoWASP")
    if can_hold_files(folder) or any(folder.glob("*/*/*")):
        return folder
    return temporary_cache("yowasp", "YOWASP_CACHE_DIR")


def _environment(found: FoundTool) -> dict[str, str] | None:
    """The variables that a tool runs with; ``None``: those of this process."""
    return {**os.environ, "YOWASP_CACHE_DIR": str(yowasp_cache())} if found.origin == "yowasp" else None


@contextmanager
def _compiled_once(found: FoundTool, tell: Callable[[str], None]) -> Iterator[None]:
    """Make other runs of a YoWASP tool wait for its first one, so that it is compiled only once after an installation.

    A file in the user's cache marks it as compiled; where that or a lock cannot be made, no run waits.
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
    """A temporary folder for tools; removed at the end, but kept, with the log, after a :class:`ToolFailure`."""
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
    """Yield what the process is doing, repeatedly until it has ended."""
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
    """Why a run failed: the tool's own error message if it wrote one."""
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
