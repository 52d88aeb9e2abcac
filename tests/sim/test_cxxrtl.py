"""How the C++ of a design is compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from rdahw.sim import cxxrtl, native


class Empty(wiring.Component):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += Signal(name="toggle").eq(1)
        return m


@pytest.mark.parametrize(("more", "level"), [(0, "-O1"), (1, "-O0")])  # of tests; else -O2
def test_a_large_netlist_is_not_optimised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, level: str
) -> None:
    compiled: list[str] = []

    def run(tool: Any, arguments: list[str], *, cwd: Path, log: str, makes: list[str]) -> None:
        compiled.extend(argument for argument in arguments if argument.startswith("-O"))
        (cwd / makes[0]).write_bytes(b" " * (cxxrtl.MOST_OPTIMISED + more))

    monkeypatch.setattr(native, "user_cache", lambda name: tmp_path / name)
    monkeypatch.setattr(cxxrtl.toolchain, "run", run)
    assert cxxrtl.build(Empty(), {}, {}).exists()
    assert compiled == [level]
