"""From a design to a bitstream with the real tools: files, reports, determinism, failures that leave what was there."""

from __future__ import annotations

import json
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from board_designs import small_design

from rdahw.boards import BOARDS, board
from rdahw.boards.board import FAMILIES
from rdahw.boards.design import trainer_design
from rdahw.boards.report import DesignError, Report
from rdahw.boards.synthesis import synthesise
from rdahw.errors import UserError
from rdahw.families import spec_of_widths
from rdahw.hdl.toolchain import Step, ToolFailure, find, run
from rdahw.jobs import ExecutorJobs

SUFFIXES = ("bin", "il", "v", "json", "netlist.v", "pcf", "asc", "ys", "log")
FILES = {f"small.{suffix}" for suffix in SUFFIXES}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """The small design on the iCEBreaker with two seeds."""
    out = tmp_path_factory.mktemp("small") / "out"
    return out, synthesise(small_design(), board("icebreaker"), out=out, pnr_seeds=(2, 1))


@pytest.mark.slow
def test_all_files_are_there_and_no_other(built: tuple[Path, Report]) -> None:
    out, report = built
    assert {path.name for path in out.iterdir()} == FILES | {"report.json"}
    assert json.loads((out / "report.json").read_text()) == report.to_json()
    assert report.bitstream == out / "small.bin"
    assert "Program finished normally." in (out / "small.log").read_text()
    assert "End of script." in (out / "small.log").read_text()
    logs = ["small.yosys.log", "small.2.log", "small.1.log", "small.icepack.log", "core.pack.log", "core.yosys.log"]
    assert re.findall(r"^==== (\S+) ====$", (out / "small.log").read_text(), re.MULTILINE) == logs


@pytest.mark.slow
def test_the_report_is_right(built: tuple[Path, Report]) -> None:
    _, report = built
    # An adder of 16 bits: a cell a bit, and one where its carry chain ends.
    assert 16 <= report.core_logic_cells <= 18
    assert 16 + 16 + 16 <= report.flip_flops <= report.logic_cells <= 150
    assert (report.ebr, report.spram, report.clock_mhz) == (0, 0, 24.0)
    assert (report.cycles_per_example, report.examples_per_second) == (1.5, 16_000_000)
    assert [seed.seed for seed in report.seeds] == [2, 1]
    assert report.fmax_mhz == max(seed.fmax_mhz or 0 for seed in report.seeds) > 40
    assert set(report.tools) == {"rdahw", "amaranth", "amaranth-boards", "yosys", "nextpnr-ice40", "icepack"}
    assert report.warnings == ()


@pytest.mark.slow
def test_the_same_inputs_make_the_same_bytes(built: tuple[Path, Report], tmp_path: Path) -> None:
    """Here, and with place and route elsewhere."""
    out, report = built
    with ThreadPoolExecutor(1) as pool:
        again = synthesise(
            small_design(),
            board("icebreaker"),
            out=tmp_path / "again",
            pnr_seeds=(report.pnr_seed,),
            elsewhere=ExecutorJobs(pool),
        )
    assert again.seeds == tuple(seed for seed in report.seeds if seed.seed == report.pnr_seed)
    assert {path.name for path in (tmp_path / "again").iterdir()} == FILES | {"report.json"}
    for name in ("small.bin", "small.il", "small.v", "small.json", "small.netlist.v", "small.pcf"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


@pytest.mark.slow
def test_a_failing_run_leaves_the_earlier_bitstream(built: tuple[Path, Report]) -> None:
    out, _ = built
    before = {name: (out / name).read_bytes() for name in FILES}
    steps: list[Step] = []
    with pytest.raises(DesignError, match=r"^small misses the clock of iCEBreaker: it reaches [\d.]+ MHz of 252 "):
        synthesise(small_design(), board("icebreaker"), out=out, clock_mhz=252, progress=steps.append)
    assert {name: (out / name).read_bytes() for name in FILES} == before
    assert (out / "failed" / "small.1.log").is_file()
    assert {path.name for path in out.iterdir()} == FILES | {"report.json", "failed"}
    assert {step.tool for step in steps} >= {"yosys", "nextpnr-ice40"}


@pytest.mark.slow
def test_a_design_that_is_too_large(tmp_path: Path) -> None:
    said = r"^large does not fit iCEstick: it needs 2,\d\d\d logic cells of 1,280; take a smaller .* \(icebreaker, "
    with pytest.raises(DesignError, match=said):
        synthesise(small_design(2000, "large"), board("icestick"), out=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"failed"}


@pytest.mark.slow
def test_ctrl_c_stops_all_seeds(tmp_path: Path) -> None:
    def interrupt(step: Step) -> None:
        if step.tool == "nextpnr-ice40" and threading.current_thread() is not threading.main_thread():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(small_design(), board("icebreaker"), out=tmp_path, pnr_seeds=(1, 2, 3), progress=interrupt)
    assert not list(tmp_path.glob("*.bin"))


def test_a_tool_that_fails_names_a_log_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDAHW_YOSYS", "echo")
    with pytest.raises(
        ToolFailure, match=r"^yosys failed: .* \(its log: '.*/failed/small\.yosys\.log\.out'\)$"
    ) as caught:
        synthesise(small_design(), board("icebreaker"), out=tmp_path, jobs=1)
    assert "-s small.ys" in caught.value.log.read_text()


@pytest.mark.slow
def test_a_placer_that_fails_before_it_has_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placer = tmp_path / "placer"
    placer.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "log = sys.argv[sys.argv.index('--log') + 1]\n"
        "open(log, 'w').write('Info: Device utilisation:\\nERROR: boom\\n')\n"
        "sys.exit(1)\n"
    )
    placer.chmod(0o755)
    monkeypatch.setenv("RDAHW_NEXTPNR_ICE40", str(placer))
    with pytest.raises(ToolFailure, match=r"^nextpnr-ice40 failed: boom \(its log: '.*/failed/small\.1\.log'\)$"):
        synthesise(small_design(), board("icebreaker"), out=tmp_path / "out", jobs=1)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^the folder '.*file/out' cannot be written \(Not a directory\); choose"):
        synthesise(small_design(), board("icebreaker"), out=tmp_path / "file" / "out")


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,)])
def test_seeds_that_make_no_sense(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="^the place-and-route seeds are .*; expected different whole numbers from 0"):
        synthesise(small_design(), board("icebreaker"), out=tmp_path, pnr_seeds=seeds)


WIDE = """module wide(input clk, input [63:0] x, input [5:0] at, output reg y);
reg [63:0] kept;
reg [5:0] its;
always @(posedge clk) begin kept <= x; its <= at; y <= kept[its]; end
endmodule
"""


@pytest.mark.slow
def test_gowin_has_no_cells_whose_delays_nextpnr_does_not_know(tmp_path: Path) -> None:
    """Not even where it has multiplexers behind its tables that would do."""
    (tmp_path / "wide.v").write_text(WIDE)
    script = f"read_verilog wide.v; {FAMILIES['gowin'].synth} -top wide; write_json wide.json"
    run(find("yosys"), ["-q", "-p", script], cwd=tmp_path, log="wide.log", makes=["wide.json"])
    cells = json.loads((tmp_path / "wide.json").read_text())["modules"]["wide"]["cells"].values()
    kinds = {cell["type"] for cell in cells} - {"$scopeinfo", "GND", "VCC", "GSR", "IBUF", "OBUF"}
    assert {kind for kind in kinds if not re.fullmatch(r"LUT[1-4]|DFF\w*", kind)} == set()
    assert "LUT4" in kinds


@pytest.mark.parametrize("name", [name for name in BOARDS if name != "icebreaker"])
@pytest.mark.slow
def test_every_board_has_a_bitstream(name: str, tmp_path: Path) -> None:
    """The fixture makes that of the iCEBreaker."""
    its = board(name)
    report = synthesise(small_design(flash=its.flash is not None), its, out=tmp_path)
    assert report.bitstream.stat().st_size > 8_000
    assert report.fmax_mhz > 1.1 * report.clock_mhz
    # An adder of 16 bits, and where its carry chain begins and ends; on GateMate registers and pads have their own.
    assert 16 <= report.core_logic_cells <= {"gatemate": 3 * 16 + 4}.get(its.family, 24)
    assert report.flip_flops >= 48


@pytest.mark.slow
def test_the_iris_trainer_on_the_icebreaker(tmp_path: Path) -> None:
    spec, its = spec_of_widths("lookup", 4, 3), board("icebreaker")
    report = synthesise(trainer_design(spec, its, name="iris"), its, out=tmp_path)
    assert report.core_logic_cells <= 290
    assert report.logic_cells < 1600
    assert (report.ebr, report.spram, report.cycles_per_example) == (1, 0, 1.0)
    assert (report.clock_mhz, report.warnings) == (24.0, ())  # so there are 10 % to spare
