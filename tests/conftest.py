"""What every test shares: Hypothesis profiles, no limits of time, the mark ``slow``, data sets that may be absent."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

# No deadline and no complaint about slow generation: both measure the machine, not the code.
settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
# In CI the same commit gets the same verdict, from half as many examples; developers search for new ones.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session", autouse=True)
def _no_limit_of_time() -> Iterator[None]:
    """A proof takes as long as it takes: on a busy machine many times what it takes on a quiet one."""
    with mock.patch("rdahw.hdl.proof.SECONDS", 3600.0):
        yield


@pytest.fixture(scope="session", autouse=True)
def _simulators_are_compiled_quickly() -> Iterator[None]:
    """Few tests simulate so many cycles that all optimisations of a compiler save more time than they take."""
    with mock.patch("rdahw.sim.cxxrtl._OPTIMISED", "-O1"), mock.patch("rdahw.sim.verilator._OPTIMISED", "-O1"):
        yield


# A shell starts what runs in the background with Ctrl-C ignored, which programs that tests stop would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# -- the mark slow, for what `make quick` leaves out ------------------------------------------------------------------

#: Compilers, solvers, and place and route.
SLOW_PROGRAMS = {"yosys", "boolector", "z3", "verilator", "iverilog", "c++", "g++", "clang++"} | {
    f"nextpnr-{family}" for family in ("ice40", "ecp5", "himbaechel")
}
#: Simulators that are compiled, as tests name them.
SLOW_ENGINES = {"cxxrtl", "verilator", "netlist", "ice40 netlist"}
_started: set[str] = set()


def _note_program(event: str, arguments: tuple[object, ...]) -> None:
    """The audit hook of Python; a program that was only asked for its version does not count."""
    if event != "subprocess.Popen":
        return
    words = [os.fsdecode(word) for word in arguments[1]]  # type: ignore[attr-defined]
    if words[1:] not in (["--version"], ["-V"]):
        # A YoWASP tool is a line of Python that says under which name it runs.
        name = words[2].partition("yowasp-")[2].partition("'")[0] if words[1:2] == ["-c"] else Path(words[0]).name
        _started.update({name} & SLOW_PROGRAMS)


sys.addaudithook(_note_program)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is given a compiled simulator or a solver by name is slow; others say so themselves."""
    for item in items:
        given = getattr(item, "callspec", None)
        names = {v for v in given.params.values() if isinstance(v, str)} if given is not None else set()
        if names & (SLOW_PROGRAMS | SLOW_ENGINES):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _started.clear()


@pytest.fixture(autouse=True)
def _slow_tests_are_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that runs a compiler or a solver fails unless it is marked."""
    yield
    if _started and request.node.get_closest_marker("slow") is None:
        pytest.fail(f"this test runs {', '.join(sorted(_started))}: mark it slow", pytrace=False)


MNIST_FILES = [
    f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
]  # each plain or with .gz


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder RDAHW_DATA/mnist; without MNIST there the test skips, or fails if RDAHW_REQUIRE_MNIST is set."""
    data = os.environ.get("RDAHW_DATA")
    if not data:
        why = "needs MNIST: RDAHW_DATA is not set"
    else:
        folder = Path(data).absolute() / "mnist"
        missing = [f for f in MNIST_FILES if not (folder / f).exists() and not (folder / f"{f}.gz").exists()]
        if not missing:
            return folder
        why = f"needs MNIST: no {missing[0]} or {missing[0]}.gz in {folder}"
    if os.environ.get("RDAHW_REQUIRE_MNIST"):
        pytest.fail(f"{why} (RDAHW_REQUIRE_MNIST is set)", pytrace=False)
    pytest.skip(why)
