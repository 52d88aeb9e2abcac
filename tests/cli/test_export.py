"""``rdahw export``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest
from running import Runner

from rdahw.cli.export import command
from rdahw.hdl.bus import BUSES
from rdahw.hdl.packets import WIDTHS
from rdahw.hdl.registers import REGISTERS
from rdahw.hdl.toolchain import find
from rdahw.saved import load_model
from rdahw.sim.engines import predict


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)


@pytest.mark.slow
def test_a_trained_model(run: Runner) -> None:
    run.ok("train", "-q")
    result = run.ok("export", "iris-lookup.rdahw", "--to", "verilog", "--inference", "--json").json
    assert result == {
        "model": "lookup",
        "what": "inference",
        "format": "verilog",
        "module": "iris_lookup",
        "out": "iris-lookup-inference.v",
    }
    text = (run.folder / result["out"]).read_text()
    assert re.findall(r"^//   (\w+) +(\w+) : (\d+) bits$", text, re.MULTILINE) == [
        ("input", "x", "4"),
        ("output", "y", "3"),
    ]
    assert "module iris_lookup(" in text


@pytest.mark.parametrize(("what", "out"), [("--reverse", "lookup-reverse.dot"), (None, "lookup.dot")])
def test_a_drawing_of_a_model_by_name(run: Runner, what: str | None, out: str) -> None:
    run.ok("export", "lookup", "--to", "dot", *([what] if what else []))
    text = (run.folder / out).read_text()
    assert text.startswith("// The ")
    assert "digraph" in text


@pytest.mark.parametrize("what", ["trainer", "inference"])
def test_the_gateware_of_an_ensemble(run: Runner, what: str) -> None:
    """One that is too large for a circuit."""
    run.ok("train", "-q", "--model", "ensemble:tables=128", "--epochs", 1)
    out = run.ok("export", "iris-ensemble.rdahw", "--to", "rtlil", f"--{what}", "--json").json["out"]
    text = (run.folder / out).read_text()
    names = {name for _, name, _ in re.findall(r"^#   (\w+) +(\w+) : (\d+) bits$", text, re.MULTILINE)}
    assert {"examples__payload", "results__valid", "control__parameter_read", "control__clear"} <= names
    assert ("update_count" in names) == (what == "trainer")
    bits = load_model(run.folder / "iris-ensemble.rdahw").spec.input_bits
    octets = -(-bits // 8) + 1
    assert f"# An example is {octets} bytes on examples__payload: the {bits} bits of the input, bit i in bit i" in text
    assert text.startswith(
        {
            "trainer": "# The trainer of the model ",
            "inference": "# The predictor, with its parameters as the contents of a memory, of the model ",
        }[what]
    )
    ran = run("export", "iris-ensemble.rdahw", "--to", "rtlil", "--reverse")
    assert ran.code == 2
    assert ran.error.endswith("--to verilog, without --reverse and --inference")


def test_the_trainer_of_a_wide_mask_says_how_it_takes_the_input(run: Runner) -> None:
    run.ok("export", "mask", "--inputs", 100, "--to", "rtlil", "--trainer", "--out", "mask.il")
    assert "# An example is 7 beats of examples: x is 16 bits of the input" in (run.folder / "mask.il").read_text()


def test_a_model_too_large_for_a_circuit_is_exported_as_gateware(run: Runner) -> None:
    run.ok("train", "-q", "--model", "ensemble:tables=128", "--epochs", 1)
    trained = run.ok("export", "iris-ensemble.rdahw", "--to", "rtlil", "--json")
    assert "the model has no circuit, or one too large for export; writing its predictor" in trained.err
    assert (trained.json["what"], trained.json["out"]) == ("inference", "iris-ensemble-inference.il")
    assert run.ok("export", "ensemble:tables=128", "--to", "rtlil", "--inputs", 60, "--json").json["what"] == "trainer"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what"), [("x", None), ("theta", "--reverse"), ("clk", "--trainer"), ("table", "--trainer")]
)
def test_a_model_named_like_a_port_or_a_word_of_verilog_passes_lint(run: Runner, name: str, what: str | None) -> None:
    (run.folder / "models.py").write_text(
        "from rdahw import Bits, trace\n"
        f"def {name}(inputs, outputs):\n"
        "    return trace(lambda theta, x: (theta ^ x)[:outputs], theta=Bits(inputs), x=Bits(inputs))\n"
    )
    options = ["--inputs", 4, "--out", "dut.v", "--json", *([what] if what else [])]
    made = run.ok("export", f"models.py:{name}", "--to", "verilog", *options).json
    assert made["module"] == f"model_{name}"
    assert f"module model_{name}(" in (run.folder / "dut.v").read_text()
    found = find("verilator", "native")
    subprocess.run([*found.command, "--lint-only", "dut.v"], cwd=run.folder, check=True)


def test_what_cannot_be(run: Runner) -> None:
    ran = run("export", "lookup", "--to", "dot", "--trainer")
    assert (ran.code, ran.error) == (2, "a trainer has state and cannot be drawn; leave --trainer out")
    ran = run("export", "lookup", "--to", "verilog", "--inference")
    assert (ran.code, ran.error) == (2, "--inference needs a trained model; give a file of rdahw train")
    assert not list(run.folder.iterdir())


def test_a_reverse_derivative_that_is_too_large_is_said(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdahw.cli.export._MOST_ASSIGNMENTS", 16)
    run.ok("export", "lookup", "--inputs", "2", "--to", "dot", "--reverse", "--out", "small.dot")
    ran = run("export", "lookup", "--inputs", "3", "--to", "dot", "--reverse")
    assert ran.code == 2
    assert "assignments, and at most 16 are exported" in ran.error


def test_a_program_in_c(run: Runner) -> None:
    run.ok("train", "-q")
    said = run.ok("export", "iris-lookup.rdahw", "--to", "c").out.splitlines()
    assert re.fullmatch(r"flash \d+ bytes, RAM 0 bytes and \d+ of stack \(Cortex-M3, gcc -Os\)", said[0])
    assert said[1:] == ["wrote iris-lookup-c"]
    names = ["iris_lookup.c", "iris_lookup.h", "iris_lookup_test.c"]
    assert sorted(path.name for path in (run.folder / "iris-lookup-c").iterdir()) == names
    header = (run.folder / "iris-lookup-c" / "iris_lookup.h").read_text()
    assert " *   petal_length: in units of 1/100, rounded up\n" in header
    assert '#define IRIS_LOOKUP_CLASS_NAMES {"Iris-setosa", "Iris-versicolor", "Iris-virginica"}\n' in header
    assert "learn" not in header
    (run.folder / "iris-lookup.rdahw").rename(run.folder / "model-2.rdahw")
    run.ok("export", "model-2.rdahw", "--to", "c", "--out", "another")
    assert '#include "model_2.h"\n' in (run.folder / "another" / "model_2.c").read_text()
    (run.folder / "model-2.rdahw").rename(run.folder / "iris-lookup.rdahw")
    result = run.ok("export", "iris-lookup.rdahw", "--to", "arduino", "--learn", "--out", "library", "--json").json
    assert (result["what"], result["out"]) == ("learner", "library")
    assert result["ram_bytes"] > 0
    assert result["files"] == [
        "examples/iris_lookup_serial/iris_lookup_serial.ino",
        "library.properties",
        "src/iris_lookup.c",
        "src/iris_lookup.h",
    ]
    assert all((run.folder / "library" / name).is_file() for name in result["files"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lookup", "--to", "c"), "--to c needs a trained model; give a file of rdahw train, or add --learn"),
        (("lookup", "--to", "c", "--reverse"), "--to c writes programs and no hardware; leave out all options but"),
        (("lookup", "--to", "verilog", "--learn"), "--learn is for programs; use --to c or --to arduino"),
        (("lookup", "--to", "c", "--learn", "--out", "a/b"), "the folder 'a/b' cannot be made (not a directory)"),
    ],
)
def test_what_no_program_can_be(run: Runner, arguments: tuple[str, ...], said: str) -> None:
    (run.folder / "a").write_text("")
    failed = run("export", *arguments)
    assert (failed.code, failed.error.startswith(said)) == (2, True), failed.error


def test_a_predictor_on_a_bus(run: Runner) -> None:
    run.ok("train", "-q", "--model", "ensemble:tables=128", "--epochs", 1)
    options = ["iris-ensemble.rdahw", "--to", "rtlil", "--inference"]
    run.ok("export", *options, "--bus", "axi-stream")
    text = (run.folder / "iris-ensemble-inference.il").read_text()
    assert text.startswith("# The predictor with AXI4-Stream ports, of the model 'ensemble'")
    ports = {name: int(width) for name, width in re.findall(r"^#   \w+ +(\w+) : (\d+) bits$", text, re.MULTILINE)}
    both = {"tdata": 8, "tlast": 1, "tvalid": 1, "tready": 1}
    streams = {f"{side}_axis_{name}": width for side in "sm" for name, width in both.items()}
    assert ports == {"aclk": 1, "aresetn": 1, "m_axis_tuser": 1, **streams}
    assert "# An example x is 8 words of 8 bits; bit i of x, which has\n# 60 bits, is bit i mod 8 of word i " in text
    made = run.ok("export", *options, "--bus", "wishbone", "--out", "registers.il", "--json").json
    assert (made["out"], made["header"]) == ("registers.il", "registers.h")
    defined = dict(
        re.findall(r"^#define IRIS_ENSEMBLE_(\w+) (\w+) /", (run.folder / "registers.h").read_text(), re.MULTILINE)
    )
    rows = {row.name: number for number, row in enumerate(REGISTERS) if row.needs != "learns"}
    assert {name: int(defined[name], 16) // 4 for name in rows} == rows
    assert (defined["STATUS_PREDICTION"], defined["CONTROL_DROP"]) == ("0x2", "0x2")
    assert not {"DATA", "CONTROL_CLEAR", "STATUS_PARAMETERS"} & set(defined)
    assert (defined["WORDS"], defined["WORD_BITS"], defined["PREDICTION_BITS"]) == ("8", "8", "7")
    ran = run("export", *options, "--bus", "wishbone", "--out", "a.h")
    assert (ran.code, ran.error[:31]) == (2, "the header would replace 'a.h';")
    for wrong, message in {
        ("--inference", "--bus-bits", "8"): "--bus-bits is the width of a bus; add --bus, or leave it out",
        ("--reverse", "--bus", "axi-stream"): "--bus axi-stream is for the gateware of a trainer or predictor; add ",
    }.items():
        ran = run("export", "iris-ensemble.rdahw", "--to", "verilog", *wrong)
        assert ran.code == 2
        assert ran.error.startswith(message)


@pytest.mark.parametrize("bus", BUSES)
def test_a_trainer_on_a_bus(run: Runner, bus: str) -> None:
    run.ok("export", "lookup", "--inputs", 4, "--to", "rtlil", "--trainer", "--bus", bus)
    text, header = ((run.folder / f"lookup-trainer.{ending}").read_text() for ending in ("il", "h"))
    assert re.match(r"# The trainer (behind registers|with AXI4-Stream ports)\b.*, of the model 'lookup'; wri", text)
    defined = set(re.findall(r"^#define LOOKUP_(\w+) \w+ /", header, re.MULTILINE))
    assert {"ADDRESS", "DATA", "CONTROL_CLEAR", "PARAMETER_WORDS", "HEAD_WORDS"} < defined
    assert ("PREDICTION" in defined) == ("CONTROL_DROP" in defined) == (bus != "axi-stream")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs iverilog, which is not installed")
@pytest.mark.skipif(find_spec("cocotb") is None, reason="needs cocotb, which is not installed")
@pytest.mark.parametrize("bus", BUSES)
def test_a_folder_that_cocotb_runs(run: Runner, bus: str) -> None:
    run.ok("export", "lookup", "--inputs", 4, "--outputs", 3, "--to", "cocotb", "--bus", bus, "--out", "it")
    paths = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(["make"], cwd=run.folder / "it", env=paths, capture_output=True, text=True)
    assert (ran.returncode, "PASS=1 FAIL=0" in ran.stdout) == (0, True), ran.stdout
    golden = json.loads((run.folder / "it" / "examples.json").read_text())
    golden["predictions"][-1] ^= 1
    (run.folder / "it" / "examples.json").write_text(json.dumps(golden))
    assert subprocess.run(["make"], cwd=run.folder / "it", env=paths, capture_output=True).returncode != 0


@pytest.mark.slow
def test_a_folder_for_cocotb_of_a_predictor(run: Runner) -> None:
    run.ok("train", "-q")
    made = run.ok("export", "iris-lookup.rdahw", "--to", "cocotb", "--json").json
    assert (made["what"], made["out"]) == ("inference", "iris-lookup-cocotb")
    folder = run.folder / made["out"]
    assert {path.name for path in folder.iterdir()} == {
        "Makefile", "examples.json", "iris_lookup.v", "test_iris_lookup.py"
    }  # fmt: skip
    golden = json.loads((folder / "examples.json").read_text())
    table = {tuple(words): due for words, due in zip(golden["examples"], golden["predictions"], strict=True)}
    saved = load_model(run.folder / "iris-lookup.rdahw")
    x = np.array([[word >> bit & 1 for bit in range(4)] for (word,) in table], np.uint8)
    classes = predict(saved.spec, saved.best_state, x)
    codes = [due.bit_length() - 1 if due.bit_count() == 1 else -1 for due in table.values()]
    assert codes == classes.tolist()
    for given in ("--reverse", "--encoder"):
        failed = run("export", "iris-lookup.rdahw", "--to", "cocotb", given, *(["5"] if given == "--encoder" else []))
        assert (failed.code, failed.error[:31]) == (2, "--to cocotb tests a predictor o")


@pytest.mark.slow
def test_a_peripheral_for_litex(run: Runner) -> None:
    made = run.ok("export", "lookup", "--inputs", 4, "--to", "litex", "--json").json
    assert (made["what"], made["module"], made["out"]) == ("trainer", "lookup", "lookup-litex")
    folder = run.folder / "lookup-litex"
    assert {path.name for path in folder.iterdir()} == {"lookup.v", "lookup.h", "lookup_litex.py"}
    module = (folder / "lookup_litex.py").read_text()
    compile(module, "lookup_litex.py", "exec")
    (wires,) = re.findall(r"^module lookup\((.*)\);$", (folder / "lookup.v").read_text(), re.MULTILINE)
    assert set(re.findall(r"\b[io]_(\w+)=", module)) == set(wires.split(", "))
    registers = re.findall(r"^#define LOOKUP_\w+ 0x(\w\w) /", (folder / "lookup.h").read_text(), re.MULTILINE)
    (size,) = re.findall(r"SIZE = (\d+)$", module, re.MULTILINE)
    assert max(int(at, 16) for at in registers) < int(size) == 64
    for given in (("--bus", "axi"), ("--reverse",), ("--stream",)):
        failed = run("export", "lookup", "--inputs", 4, "--to", "litex", *given)
        assert (failed.code, failed.error[:30]) == (2, "--to litex makes a peripheral ")


def test_files_of_others_in_a_folder_are_kept_unless_they_are_to_be_replaced(run: Runner) -> None:
    export = ("export", "lookup", "--inputs", 2, "--to", "c", "--learn", "--out", "it")
    run.ok(*export)
    run.ok(*export)  # the same contents
    (run.folder / "it" / "lookup.c").write_text("mine")
    failed = run(*export)
    assert (failed.code, failed.error) == (
        2,
        "'lookup.c' in the folder 'it' would be replaced by other contents; add --force to do so, or name another "
        "folder with --out",
    )
    (run.folder / "it" / "lookup.h").write_text("mine")
    assert " and 1 more file in the folder 'it' would" in run(*export).error
    assert {(run.folder / "it" / name).read_text() for name in ("lookup.c", "lookup.h")} == {"mine"}
    run.ok(*export, "--force")
    assert "#include" in (run.folder / "it" / "lookup.c").read_text()
    failed = run("export", "lookup", "--to", "dot", "--force")
    assert (failed.code, failed.error[:35]) == (2, "--force is for formats that are fol")


def test_folders_of_other_things(run: Runner) -> None:
    export = ("export", "lookup", "--inputs", 2, "--to", "c", "--learn", "--out", "it")
    (run.folder / "it" / "lookup.h").mkdir(parents=True)
    failed = run(*export)
    assert (failed.code, failed.error) == (2, "'it/lookup.h' is a folder, not a file; name another folder with --out")
    assert [path.name for path in (run.folder / "it").iterdir()] == ["lookup.h"]
    (run.folder / "it" / "lookup.h").rmdir()
    (run.folder / "it" / "notes.txt").write_text("mine")
    assert "note" not in run.ok(*export).err
    (run.folder / "it" / "mine.c").write_text("mine")
    said = "note: in the folder 'it' are other files of these kinds, too, among them 'mine.c'"
    assert said in run.ok(*export).err


def test_the_buses_and_widths_of_the_command_are_those_of_the_gateware() -> None:
    options = {option.name: option.type for option in command.params}
    assert isinstance(options["bus"], click.Choice)
    assert isinstance(options["bus_bits"], click.Choice)
    assert list(options["bus"].choices) == list(BUSES)
    assert list(options["bus_bits"].choices) == [str(width) for width in WIDTHS]
