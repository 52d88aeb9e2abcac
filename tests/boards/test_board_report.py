"""Reports read from what nextpnr really wrote (tests/golden/nextpnr), and the sentences when a design does not do."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from golden_files import golden

from rdahw.boards import BOARDS, board
from rdahw.boards.board import FAMILIES
from rdahw.boards.report import (
    EBR,
    LOGIC_CELLS,
    SPRAM,
    DesignError,
    Report,
    Seed,
    Usage,
    cells_in_netlist,
    check_clock,
    check_fit,
    examples_per_second,
    fmax_in_report,
    hold_warning,
    margin_warning,
    memory_warning,
    usage_in_log,
    with_full_tables,
    without_constants,
)
from rdahw.errors import UserError

GOLDEN = golden("nextpnr")
ALL_BOARDS = [board(name) for name in BOARDS]
ICEBREAKER = board("icebreaker")


def usage(family: str) -> dict[str, Usage]:
    return usage_in_log((GOLDEN / f"{family}-pack.log").read_text(), FAMILIES[family])


def test_usage_of_an_ice40() -> None:
    found = usage("ice40")
    assert (found[LOGIC_CELLS], found[EBR], found[SPRAM]) == (Usage(1307, 5280), Usage(1, 30), Usage(0, 4))
    assert found["SB_IO"] == Usage(5, 39)


def test_usage_of_an_ecp5() -> None:
    found = usage("ecp5")
    assert (found[LOGIC_CELLS], found[EBR]) == (Usage(107, 24288), Usage(0, 56))
    assert SPRAM not in found


def test_usage_of_a_gowin_counts_adders_too() -> None:
    found = usage("gowin")
    assert (found[LOGIC_CELLS], found[EBR]) == (Usage(94 + 70, 8640), Usage(0, 26))


def test_usage_of_a_nexus_and_a_gatemate() -> None:
    found = usage("nexus")
    assert (found[LOGIC_CELLS], found[EBR]) == (Usage(79, 32_256), Usage(0, 84))
    found = usage("gatemate")
    assert (found[LOGIC_CELLS], found[EBR]) == (Usage(144, 40_960), Usage(0, 64))


def test_a_constant_input_of_a_carry_chain_is_left_open() -> None:
    """But no other input, and no carry."""
    cells = {
        "low": {"type": "VLO", "connections": {"Z": [5]}},
        "first": {"type": "CCU2", "connections": {"CIN": [5], "A0": [5], "COUT": [6]}},
        "second": {"type": "CCU2", "connections": {"CIN": [6], "A0": [5], "COUT": [7]}},
    }
    text = without_constants(json.dumps({"modules": {"top": {"cells": cells}, "box": {}}}), {"CCU2": "CIN"})
    found = {name: cell["connections"] for name, cell in json.loads(text)["modules"]["top"]["cells"].items()}
    assert found == {"low": {"Z": [5]}, "first": {"A0": [5], "COUT": [6]}, "second": cells["second"]["connections"]}


@pytest.mark.parametrize(
    ("inputs", "content"), [(1, "01"), (1, f"{1:032b}"), (2, "0110"), (3, "11101000"), (4, "1001011001101001")]
)
def test_a_small_look_up_table_is_a_full_one_that_reads_no_more(inputs: int, content: str) -> None:
    ports = ("I0", "I1", "I2", "I3")
    cell = {
        "type": f"LUT{inputs}",
        "parameters": {"INIT": content},
        "port_directions": {"F": "output", **dict.fromkeys(ports[:inputs], "input")},
        "connections": {"F": [9], **{port: [at] for at, port in enumerate(ports[:inputs])}},
    }
    other = {"type": "DFF", "parameters": {}, "port_directions": {}, "connections": {"D": [9]}}
    text = json.dumps({"modules": {"top": {"cells": {"small": cell, "other": other}}, "box": {}}})
    cells = json.loads(with_full_tables(text, ports))["modules"]["top"]["cells"]
    made = cells["small"]
    assert (made["type"], cells["other"]) == ("LUT4", other)
    assert made["connections"] == {**cell["connections"], **{port: [] for port in ports[inputs:]}}
    assert made["port_directions"] == {"F": "output", **dict.fromkeys(ports, "input")}
    for address in range(16):
        assert made["parameters"]["INIT"][-1 - address] == content[-1 - address % (1 << inputs)]


def test_the_last_table_counts() -> None:
    text = (GOLDEN / "ice40-pack.log").read_text()
    again = text + text.replace("1307/", "1310/")
    assert usage_in_log(again, FAMILIES["ice40"])[LOGIC_CELLS].used == 1310


def test_a_log_without_a_table() -> None:
    with pytest.raises(UserError, match="^the placer's log has no table «Device utilisation»; try"):
        usage_in_log("Info: Packing constants..\n", FAMILIES["ice40"])


def test_the_clock_with_the_least_to_spare_counts() -> None:
    clocks = {"slow": {"achieved": 30.5, "constraint": 12.0}, "fast": {"achieved": 50.25, "constraint": 48.0}}
    assert fmax_in_report(json.dumps({"fmax": clocks, "utilization": {}})) == (50.25, 48.0)
    with pytest.raises(UserError, match="has no clock; expected a design with flip-flops"):
        fmax_in_report(json.dumps({"fmax": {}}))


def test_flip_flops_are_counted_in_the_netlist() -> None:
    cells = dict(enumerate(["SB_LUT4", "SB_DFF", "SB_DFFESR", "SB_CARRY", "SB_DFFN"]))
    netlist = {"modules": {"SB_DFF": {"cells": {}}, "top": {"cells": {k: {"type": t} for k, t in cells.items()}}}}
    assert cells_in_netlist(json.dumps(netlist), FAMILIES["ice40"].flip_flop, "top") == 3


def test_a_design_that_is_too_large_says_what_is_short_and_where_it_fits() -> None:
    needs = {LOGIC_CELLS: Usage(7659, 5280), EBR: Usage(34, 30), SPRAM: Usage(4, 4)}
    with pytest.raises(DesignError) as caught:
        check_fit("mask", ICEBREAKER, needs, ALL_BOARDS)
    assert str(caught.value) == (
        "mask does not fit iCEBreaker: it needs 7,659 logic cells of 5,280 and 34 memory blocks (EBR) of 30; take a "
        "smaller model, or a larger board (ice40-hx8k, ulx3s, ulx3s-85f, orangecrab, colorlight-i5, tangnano9k, "
        "tangnano20k, crosslink-nx, gatemate-evb)"
    )
    assert (caught.value.exit_code, caught.value.usage) == (1, needs)


def test_a_design_that_fits_to_the_last_cell() -> None:
    check_fit("full", ICEBREAKER, {LOGIC_CELLS: Usage(5280, 5280)}, ALL_BOARDS)


def test_a_missed_clock_says_by_how_much_and_what_to_do() -> None:
    seeds = [Seed(1, 21.34), Seed(2, 23.98), Seed(3, None)]
    with pytest.raises(DesignError) as caught:
        check_clock("iris", ICEBREAKER, 24.0, {}, seeds)
    assert str(caught.value) == (
        "iris misses the clock of iCEBreaker: it reaches 23.98 MHz of 24 (the best of seeds 1, 2, 3); try --pnr-seed "
        "best-of-8, --stages 2 if the model supports it, a slower --clock or a smaller model"
    )
    assert caught.value.seeds == tuple(seeds)


def test_a_design_that_no_seed_could_place() -> None:
    with pytest.raises(DesignError, match=r"^iris could not be placed and routed on iCEBreaker \(seed 7\); take a sm"):
        check_clock("iris", ICEBREAKER, 24.0, {}, [Seed(7, None)])


def test_the_best_seed_is_kept_and_of_equals_the_first() -> None:
    seeds = [Seed(1, 25.0), Seed(2, 31.0), Seed(3, 31.0)]
    assert check_clock("iris", ICEBREAKER, 24.0, {}, seeds) == (Seed(2, 31.0), 31.0)


def test_a_thin_margin_is_said() -> None:
    assert margin_warning(26.4, 24.0) is None
    assert hold_warning("Info: Max frequency for clock 'clk': 30.00 MHz\n") is None
    found = hold_warning("Info: 56 Hold/min time violations (showing 10 worst paths):\n\nWarning: Hold/min time viol")
    assert str(found).startswith("56 paths change too soon after a clock edge (hold violations)")
    assert str(margin_warning(25.2, 24.0)).startswith("Fmax is 5% above the clock of 24 MHz, and it is an")
    with_memory, without = {EBR: Usage(1, 26)}, {EBR: Usage(0, 26)}
    assert str(memory_warning(True, with_memory)).startswith("the placer does not know the delays of this device's mem")
    assert [memory_warning(True, without), memory_warning(False, with_memory)] == [None, None]


def test_examples_a_second() -> None:
    assert examples_per_second(24.0, Fraction(1)) == 24_000_000
    assert examples_per_second(48.0, Fraction(286)) == 167_832


def test_the_json_has_exactly_the_documented_keys() -> None:
    report = Report(
        board="icebreaker",
        bitstream=Path("out/x.bin"),
        logic_cells=1,
        core_logic_cells=1,
        flip_flops=1,
        ebr=1,
        spram=0,
        fmax_mhz=30.0,
        clock_mhz=24.0,
        cycles_per_example=1.0,
        examples_per_second=24_000_000,
        pnr_seed=1,
        seeds=(Seed(1, 30.0), Seed(2, None)),
        tools={"yosys": "0.70"},
        warnings=("w",),
    )
    assert list(report.to_json()) == [
        *("board", "bitstream", "logic_cells", "core_logic_cells", "flip_flops", "ebr", "spram", "fmax_mhz"),
        *("clock_mhz", "cycles_per_example", "examples_per_second", "pnr_seed", "seeds", "tools"),
    ]
    assert json.loads(json.dumps(report.to_json()))["seeds"][1] == {"seed": 2, "fmax_mhz": None}
