"""What is packed: every source file, nothing but rdahw, and it works away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS = {"rdahw": "rdahw", "sim": "rdahw.sim", "hdl": "rdahw.hdl", "boards": "rdahw.boards", "cli": "rdahw.cli"}


def source_files() -> dict[str, str]:
    """Every file of the layers: its path in the checkout, and where a wheel must have it."""
    return {
        str(path.relative_to(ROOT)): str(Path(package.replace(".", "/"), path.relative_to(ROOT / folder)))
        for folder, package in LAYERS.items()
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def test_every_source_folder_is_listed() -> None:
    listed = PROJECT["tool"]["setuptools"]
    folders = {str(Path(to).parent).replace("/", "."): str(Path(file).parent) for file, to in source_files().items()}
    assert listed["package-dir"] == folders
    assert sorted(listed["packages"]) == sorted(folders)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that sees neither the checkout nor the user's settings, and return its stdout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RDAHW", "PIP_"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a user builds, from a copy: setuptools packs leftovers in build/ and writes into the checkout."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in LAYERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", copy / "dist", cwd=copy)
    [built] = (copy / "dist").iterdir()
    return built


@pytest.mark.slow
def test_the_wheel_holds_the_sources_and_nothing_else(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in packed if name.startswith(f"rdahw-{PROJECT['project']['version']}.dist-info/")}
    assert packed - info == set(source_files().values())
    assert {"rdahw/py.typed", "rdahw/data/iris.data", "rdahw/data/paper-iris.json"} <= packed


class Installed(NamedTuple):
    programs: Path  # bin/ of the environment
    elsewhere: Path  # an empty folder to run in


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a new environment that borrows this one's dependencies, but not its editable rdahw."""
    home = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    # The .pth files of a borrowed folder are not read, and an editable install works by one.
    [site] = (home / "venv" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (home / "elsewhere").mkdir()
    return Installed(python.parent, home / "elsewhere")


@pytest.mark.slow
def test_every_layer_comes_from_the_install(installed: Installed) -> None:
    program = "import importlib, sys; print(*(importlib.import_module(m).__file__ for m in sys.argv[1:]), sep='\\n')"
    said = run(installed.programs / "python", "-I", "-c", program, *LAYERS.values(), cwd=installed.elsewhere)
    inside = [Path(file).is_relative_to(installed.programs.parent) for file in said.splitlines()]
    assert inside == [True] * len(LAYERS), said


def test_the_installed_program_says_its_version(installed: Installed) -> None:
    said = run(installed.programs / "rdahw", "--version", cwd=installed.elsewhere)
    assert PROJECT["project"]["version"] in said


def test_the_installed_program_learns_iris(installed: Installed) -> None:
    result = json.loads(run(installed.programs / "rdahw", "train", "--sim", "--json", cwd=installed.elsewhere))
    assert result["test_correct"] == 55
    assert (installed.elsewhere / "iris-lookup.rdahw").is_file()
