"""The boards: names, files of pins, clocks."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from board_designs import Shifter

from rdahw.boards import BOARDS, board
from rdahw.boards.board import FAMILIES
from rdahw.boards.clock import PLLS, choose, ecp5_settings, ice40_settings
from rdahw.boards.design import Design
from rdahw.boards.top import Top
from rdahw.errors import UsageError, UserError
from rdahw.hdl.toolchain import TOOLS, find

#: By board: the pins of clock, UART rx and tx, LEDs, each as the board's schematic has them.
PINS = {
    "icebreaker": {"clk12": "35", "rx": "6", "tx": "9", "led_r": "11", "led_g": "37"},
    "icestick": {"clk12": "21", "rx": "9", "tx": "8", "led_0": "99", "led_4": "95"},
    "ice40-hx8k": {"clk12": "J3", "rx": "B10", "tx": "B12", "led_0": "C3", "led_1": "B3"},
    "ulx3s": {"clk25": "G2", "rx": "M1", "tx": "L4", "led_0": "B2", "led_1": "C2"},
    "orangecrab": {"clk": "A9", "rx": "N17", "tx": "M18", "r__io": "K4", "g__io": "M3"},
    "tangnano9k": {"clk27": "52", "rx": "18", "tx": "17", "led_0": "10", "led_5": "16"},
}


def constraints(name: str) -> str:
    its = board(name)
    plan = its.platform().prepare(Top(its, Shifter(16), its.clock), "top", emit_src=False)
    return str(plan.files[f"top.{FAMILIES[its.family].constraints}"])


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_complete(name: str) -> None:
    its = board(name)
    assert its.name == name
    assert its.family in FAMILIES
    assert its.pll in PLLS
    assert {programmer.tool for programmer in its.programmers} <= set(TOOLS)
    assert all(programmer.store for programmer in its.programmers)
    assert set(its.leds) == {"error", "activity"}
    made, _ = choose(its.pll, its.oscillator[1], its.clock)
    assert made == pytest.approx(its.clock, rel=1e-9)
    assert its.clock * 1e6 / its.baud >= 8


@pytest.mark.parametrize("name", BOARDS)
def test_the_pins_are_those_of_the_schematic(name: str) -> None:
    text = constraints(name)
    sites = {
        "ice40": r"set_io (\w+) (\w+)",
        "ecp5": r'LOCATE COMP "(\w+)" SITE "(\w+)"',
        "gowin": r'IO_LOC "(\w+)" (\w+)',
    }
    found = dict(re.findall(sites[board(name).family], text))
    assert len(found) == 5
    for part, pin in PINS[name].items():
        [port] = [port for port in found if part in port]
        assert found[port] == pin


def test_an_unknown_board_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"^board 'icebraker' is unknown; did you mean 'icebreaker'\?$"):
        board("icebraker")


def test_a_design_name_is_a_file_name() -> None:
    with pytest.raises(UserError, match=r"^a design is named '\.\./x'; expected letters, digits"):
        Design(name="../x", core=Shifter, link=Shifter, cycles_per_example=1)  # type: ignore[arg-type]


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", [16.5, 24, 30, 36, 48, 60, 100])
def test_ice40_settings_are_those_of_icepll(core: float, tmp_path: Path) -> None:
    # The command that projects for this family use; it comes with the packer.
    command = [*find("icepack").command]
    command[-1] = command[-1].replace("_run_icepack_argv", "_run_icepll_argv")
    said = subprocess.run([*command, "-i", "12", "-o", str(core)], capture_output=True, text=True, check=True).stdout
    made, settings = next(ice40_settings(12, core))
    theirs = {name: int(value) for name, value in re.findall(r"(DIV[RFQ]|FILTER_RANGE): +(\d+)", said)}
    their_mhz = float(re.findall(r"PLLOUT: +([\d.]+) MHz \(achieved\)", said)[0])
    assert made == pytest.approx(their_mhz, abs=0.001)
    assert settings["FILTER_RANGE"] == theirs["FILTER_RANGE"]
    assert 12 / (settings["DIVR"] + 1) * (settings["DIVF"] + 1) / 2 ** settings["DIVQ"] == made


def test_ecp5_settings_are_within_the_data_sheet() -> None:
    for core in (20, 50, 62.5, 100, 200):
        made, settings = next(ecp5_settings(25, core))
        assert made == pytest.approx(core)
        assert 25 / settings["CLKI_DIV"] * settings["CLKFB_DIV"] == made
        assert 400 <= made * settings["CLKOP_DIV"] <= 800


@pytest.mark.parametrize(("name", "core", "nearest"), [("orangecrab", 50, "48"), ("icebreaker", 3, "8.4375")])
def test_a_clock_that_cannot_be_made(name: str, core: float, nearest: str) -> None:
    its = board(name)
    with pytest.raises(UserError, match=rf"^a clock of {core} MHz cannot be made .*; the nearest is {nearest} MHz$"):
        choose(its.pll, its.oscillator[1], core)
