"""Where compiled simulators are kept."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rdahw.errors import UserError
from rdahw.sim import native


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setattr(native, "user_cache", lambda name: tmp_path / name)
    return tmp_path / "simulators"


def maker(made: list[str], content: str) -> object:
    def make(work: Path) -> Path:
        made.append(content)
        (work / "simulator.so").write_text(content)
        return work / "simulator.so"

    return make


def test_the_same_parts_are_made_once(folder: Path) -> None:
    made: list[str] = []
    said: list[str] = []
    first = native.cached(["a", "b"], maker(made, "one"), said.append, "CXXRTL")
    assert first == native.cached(["a", "b"], maker(made, "two"), said.append, "CXXRTL")
    assert first.read_text() == "one"
    assert said == [f"compiling the simulated hardware with CXXRTL; kept in {str(folder)!r} for the next time"]
    assert native.cached(["ab", ""], maker(made, "three"), None, "CXXRTL").read_text() == "three"
    assert made == ["one", "three"]
    assert sorted(path.suffix for path in folder.iterdir()) == [".so", ".so"], "and nothing else is left"


def test_several_at_once_make_it_once(folder: Path) -> None:
    made: list[str] = []
    all_here = threading.Barrier(4)  # none has begun to make it before all have found that it is not there

    def meet(said: str) -> None:
        all_here.wait()

    threads = [
        threading.Thread(target=native.cached, args=(["a"], maker(made, str(i)), meet, "CXXRTL")) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (library,) = folder.iterdir()
    assert [library.read_text()] == made


def test_a_failed_making_leaves_nothing(folder: Path) -> None:
    def fail(work: Path) -> Path:
        (work / "half").write_text("made")
        raise UserError("c++ failed")

    with pytest.raises(UserError, match=r"^c\+\+ failed$"):
        native.cached(["a"], fail, None, "CXXRTL")
    assert list(folder.iterdir()) == []


def test_the_oldest_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "KEPT", 2)
    made: list[str] = []
    paths = []
    for i in range(3):
        paths.append(native.cached([str(i)], maker(made, str(i)), None, "CXXRTL"))
        os.utime(paths[-1], (i, i))  # seconds apart, however coarse the clock of the file system
    assert [path.exists() for path in paths] == [False, True, True]
    native.cached(["1"], maker(made, "again"), None, "CXXRTL")
    native.cached(["3"], maker(made, "3"), None, "CXXRTL")
    assert [path.exists() for path in paths] == [False, True, False], "used longest ago, not made longest ago"


def test_what_another_process_begins_to_use_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [native.cached([str(i)], maker([], str(i)), None, "CXXRTL") for i in range(3)]
    for i, path in enumerate(paths):
        os.utime(path, (i, i))
    unlink = Path.unlink

    def use_the_next(path: Path, missing_ok: bool = False) -> None:
        os.utime(paths[1])
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", use_the_next)
    monkeypatch.setattr(native, "KEPT", 1)
    native._prune(folder)
    assert [path.exists() for path in paths] == [False, True, True]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "simulators").write_text("a file is in the way")
    with pytest.raises(
        UserError, match=r"cannot be written \(.*\), and compiled simulators are kept there; set XDG_CACHE"
    ):
        native.cached(["a"], maker([], ""), None, "CXXRTL")
