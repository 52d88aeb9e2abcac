"""The boards: names, files of pins, clocks."""

from __future__ import annotations

import gc
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth.hdl import Cat, Fragment, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import Out
from amaranth.sim import Simulator, SimulatorContext
from board_designs import Shifter

from rdahw.boards import BOARDS, board
from rdahw.boards.board import FAMILIES
from rdahw.boards.clock import PLLS, choose, ecp5_settings, ice40_settings
from rdahw.boards.design import Design
from rdahw.boards.top import Top
from rdahw.errors import UsageError, UserError
from rdahw.hdl.toolchain import TOOLS, find

#: By board: all pins of a design with a UART (clock, UART rx and tx, LEDs, and what is held inactive), each as the
#: board's schematic or its maker's file of constraints has them.
PINS = {
    "icebreaker": {"clk12": "35", "rx": "6", "tx": "9", "led_r": "11", "led_g": "37"},
    "icestick": {"clk12": "21", "rx": "9", "tx": "8", "led_0": "99", "led_4": "95"},
    "ice40-hx8k": {"clk12": "J3", "rx": "B10", "tx": "B12", "led_0": "C3", "led_1": "B3"},
    "ulx3s": {"clk25": "G2", "rx": "M1", "tx": "L4", "led_0": "B2", "led_1": "C2"},
    "ulx3s-85f": {"clk25": "G2", "rx": "M1", "tx": "L4", "led_0": "B2", "led_1": "C2"},
    "orangecrab": {"clk": "A9", "rx": "N17", "tx": "M18", "r__io": "K4", "g__io": "M3"},
    "tangnano9k": {"clk27": "52", "rx": "18", "tx": "17", "led_0": "10", "led_5": "16"},
    "upduino3": {"clock": "20", "rx": "15", "tx": "14", "led_0": "41", "led_1": "39", "select": "16"},
    "pico-ice": {"clock": "35", "rx": "27", "tx": "25", "led_0": "41", "led_1": "39"},
    "colorlight-i5": {"clock": "P3", "rx": "H18", "tx": "J17", "led_0": "U16"},
    "tangnano20k": {"clock": "4", "rx": "70", "tx": "69", "led_0": "15", "led_1": "20"},
    "crosslink-nx": {"clock": "L13", "rx": "F16", "tx": "F18", "led_0": "E17", "led_1": "F13"},
    "gatemate-evb": {"clock": "IO_SB_A8", "rx": "IO_SA_A6", "tx": "IO_SA_B6", "led_0": "IO_SB_B6"},
}

#: By board with a flash memory for data: its select, clock (``None``: no pin) and four data lines, as above. The
#: iCEBreaker's are FLASH_SSB, FLASH_SCK and FLASH_IO0 to IO3 of version 1.0e.
FLASH_PINS = {
    "icebreaker": ("16", "15", ["14", "17", "12", "13"]),
    "ulx3s": ("R2", None, ["W2", "V2", "Y2", "W1"]),
    "ulx3s-85f": ("R2", None, ["W2", "V2", "Y2", "W1"]),
}

#: By family: how a pin is placed.
SITES = {
    "ice40": r"set_io (?P<port>\S+) (?P<pin>\w+)",
    "ecp5": r'LOCATE COMP "(?P<port>\S+)" SITE "(?P<pin>\w+)"',
    "gowin": r'IO_LOC "(?P<port>\w+)" (?P<pin>\w+)',
    "nexus": r"ldc_set_location -site \{(?P<pin>\w+)\} \[get_ports (?P<port>\w+)\]",
    "gatemate": r'Net "(?P<port>\w+)" Loc = "(?P<pin>\w+)"',
}


def prepared(name: str, design: wiring.Component) -> tuple[dict[str, str], str]:
    """The pin of each port, and the RTLIL."""
    its = board(name)
    plan = its.platform().prepare(Top(its, design, its.clock), "top", emit_src=False)
    text = str(plan.files[f"top.{FAMILIES[its.family].constraints}"])
    found = {match["port"]: match["pin"] for match in re.finditer(SITES[its.family], text)}
    return found, str(plan.files["top.il"])


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
    found, _ = prepared(name, Shifter(16))
    assert len(found) == len(PINS[name])
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


# -- LEDs --------------------------------------------------------------------------------------------------------------


class Events(wiring.Component):
    """Drives the events of a board's LEDs with ``which``: an error, activity."""

    def __init__(self) -> None:
        self.which = Signal(2)
        super().__init__({"error": Out(1), "activity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += Cat(self.error, self.activity).eq(self.which)
        return m


@pytest.mark.parametrize("event", [0b01, 0b10])
def test_a_single_led_shows_both_events(event: int) -> None:
    its, events = board("gatemate-evb"), Events()
    assert its.leds["error"] == its.leds["activity"]
    ports = {"clock": io.SimulationPort("i", 1), "led": io.SimulationPort("o", 1)}
    platform = SimpleNamespace(request=lambda name, number, dir: ports.pop(name))
    clock, led = ports["clock"], ports["led"]
    simulator = Simulator(Fragment.get(Top(its, events, its.clock), platform))

    async def testbench(ctx: SimulatorContext) -> None:
        async def run(cycles: int) -> int:
            for level in (1, 0) * cycles:
                ctx.set(clock.i, level)
                await ctx.delay(50e-9)
            return int(ctx.get(led.o))

        assert await run(200) == 0  # the reset is over
        ctx.set(events.which, event)
        assert await run(3) == 1
        ctx.set(events.which, 0)
        assert await run(3) == 1  # it glows on

    simulator.add_testbench(testbench)
    simulator.run()


# -- flash -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in BOARDS if board(name).flash])
def test_the_pins_of_the_flash_are_those_of_the_schematic(name: str) -> None:
    found, rtlil = prepared(name, Shifter(16, flash=True))
    flash = {port: pin for port, pin in found.items() if "flash" in port}
    select, clock, lines = FLASH_PINS[name]
    assert [pin for port, pin in flash.items() if "__cs" in port] == [select]
    assert [pin for port, pin in flash.items() if "__clk" in port] == ([] if clock is None else [clock])
    assert [flash.pop(port) for port in sorted(flash) if "__dq" in port] == lines
    assert len(flash) == 1 + (clock is not None)
    assert ("cell \\USRMCLK" in rtlil) == (clock is None)
    # Each line goes through flip-flops in its pad, as the reader is told; USRMCLK's is in a cell. PIN_TYPE of SB_IO:
    # 1101, output and enable registered; then 00, the input registered, or 01, the input as it is. OFS1P3DX: an output
    # or its enable; IFS1P3DX: an input.
    registers = {
        "ice40": {r"PIN_TYPE 6'110100": 4, r"PIN_TYPE 6'110101": 2},
        "ecp5": {r"cell \\OFS1P3DX ": 2 * 5, r"cell \\IFS1P3DX ": 4},
    }
    for pattern, count in registers[board(name).family].items():
        assert len(re.findall(pattern, rtlil)) == count, pattern


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_board_without_a_flash_for_data() -> None:
    its = board("orangecrab")
    with pytest.raises(
        UserError, match="the design reads a flash memory, and OrangeCrab .* has none for data; choose "
    ):
        Top(its, Shifter(16, flash=True), its.clock)
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
