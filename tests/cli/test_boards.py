"""``rdahw boards``."""

from __future__ import annotations

from running import Runner

from rdahw.boards import BOARDS, board


def test_all_boards_are_listed(run: Runner) -> None:
    lines = run.ok("boards").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(BOARDS)
    assert all(board(name).title in line for name, line in zip(BOARDS, lines[2:], strict=True))


def test_json(run: Runner) -> None:
    found = run.ok("boards", "--json").json["boards"]
    assert [its["name"] for its in found] == list(BOARDS)
    assert [its["logic_cells"] for its in found] == [board(name).logic_cells for name in BOARDS]
