"""The boards: names, files of pins, clocks."""

from __future__ import annotations

import gc
import re
import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from board_designs import Shifter

from rdahw.boards import BOARDS, board
from rdahw.boards.board import FAMILIES
from rdahw.boards.clock import PLLS, choose, ecp5_settings, ice40_settings
from rdahw.boards.design import Design
from rdahw.boards.top import Top
from rdahw.errors import UsageError, UserError
from rdahw.hdl.flash_reader import FlashPins
from rdahw.hdl.toolchain import TOOLS, find

#: By board: the pins of clock, UART rx and tx, LEDs, each as the board's schematic has them.
PINS = {
    "icebreaker": {"clk12": "35", "rx": "6", "tx": "9", "led_r": "11", "led_g": "37"},
    "icestick": {"clk12": "21", "rx": "9", "tx": "8", "led_0": "99", "led_4": "95"},
    "ice40-hx8k": {"clk12": "J3", "rx": "B10", "tx": "B12", "led_0": "C3", "led_1": "B3"},
    "ulx3s": {"clk25": "G2", "rx": "M1", "tx": "L4", "led_0": "B2", "led_1": "C2"},
    "ulx3s-85f": {"clk25": "G2", "rx": "M1", "tx": "L4", "led_0": "B2", "led_1": "C2"},
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


# -- flash -------------------------------------------------------------------------------------------------------------


class Blinker(wiring.Component):
    """A component with a member ``flash``."""

    def __init__(self) -> None:
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "flash": Out(FlashPins())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += [self.flash.clock.eq(~self.flash.clock), self.flash.select.eq(self.flash.i[1])]
        m.d.comb += [self.tx.eq(self.rx), self.flash.o.eq(self.flash.i), self.flash.oe.eq(self.rx.replicate(4))]
        return m


def test_the_pins_of_the_flash_are_those_of_the_schematic() -> None:
    its = board("icebreaker")
    plan = its.platform().prepare(Top(its, Blinker(), its.clock), "top", emit_src=False)
    found = dict(re.findall(r"set_io (\S+) (\w+)", str(plan.files["top.pcf"])))
    flash = {name: pin for name, pin in found.items() if "flash" in name}
    # FLASH_SSB, FLASH_SCK and FLASH_IO0 to IO3 of iCEBreaker v1.0e.
    assert sorted(flash.values()) == ["12", "13", "14", "15", "16", "17"]
    assert {pin for name, pin in flash.items() if "__cs" in name} == {"16"}
    assert {pin for name, pin in flash.items() if "__clk" in name} == {"15"}
    lines = {name: pin for name, pin in flash.items() if "__dq" in name}
    assert [pin for _, pin in sorted(lines.items())] == ["14", "17", "12", "13"]
    # Each line goes through flip-flops in its pad, as the reader is told. PIN_TYPE of SB_IO: 1101, output and enable
    # registered; then 00, the input registered, or 01, the input as it is.
    types = re.findall(r"PIN_TYPE 6'(\d{6})", str(plan.files["top.il"]))
    assert (types.count("110100"), types.count("110101")) == (4, 2)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_board_without_a_flash_for_data() -> None:
    its = board("ulx3s")
    with pytest.raises(UserError, match="the design reads a flash memory, and ULX3S 25F has none for data; choose ano"):
        Top(its, Blinker(), its.clock)
    gc.collect()  # so that Amaranth complains within this test


@pytest.mark.parametrize("name", BOARDS)
def test_data_lie_behind_the_bitstream_and_can_be_put_there(name: str) -> None:
    its = board(name)
    if its.flash is None:
        assert not any(programmer.data for programmer in its.programmers)
    else:
        assert 200_000 < its.flash.offset < its.flash.bytes
        assert its.flash.offset % (1 << 16) == 0
        assert all(programmer.data for programmer in its.programmers)
