"""``rdahw faults``: the table, the JSON, the test bench, and what stays undecided."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from running import Runner

from rdahw.hdl import proof
from rdahw.hdl.toolchain import find

C17 = Path(__file__).parent.parent.parent / "examples" / "c17.v"

FILE = """
from rdahw import Bits, trace
one = dict.fromkeys("abc", Bits(1))
consensus = trace(lambda a, b, c: (a & b) | (~a & c) | (b & c), **one)
adder = trace(lambda a, b: a.plus(b), a=Bits(8), b=Bits(8))
masked = trace(lambda theta, x: theta & x, theta=Bits(4), x=Bits(4))
print("this goes to stderr")
"""


@pytest.fixture(autouse=True)
def _prepared(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "user_cache", lambda name: tmp_path / "cache" / name)
    (run.folder / "mine.py").write_text(FILE)


def test_json(run: Runner) -> None:
    value = run.ok("faults", "mine.py:consensus", "--nets", "--json").json
    assert (value["gates"], value["lines"], value["faults"], value["collapsed"]) == (6, 15, 30, 18)
    assert value["detected"] + len(value["undetectable"]) == 18
    assert value["undecided"] == []
    assert value["flips"] == {"vectors": 8, "exact": True}
    names = [row["name"] for row in value["sensitivities"]]
    assert names[:3] == ["a", "b", "c"]
    assert names[-1] == "y"
    assert {row["share"] for row in value["sensitivities"][:3]} == {0.5}
    for vector in value["vectors"]:
        a, b, c = (int(vector["inputs"][name]) for name in "abc")
        assert vector["outputs"] == {"y": str((a & b) | (1 - a & c))}
    assert [proof["verdict"] for proof in value["proofs"]] == ["proved"]


def test_for_people(run: Runner) -> None:
    out = run.ok("faults", "mine.py:consensus").out
    assert "30 on 15 lines, 18 not equivalent" in out
    assert "and(b, c)" not in out  # only with --nets
    assert "stuck at 0" in out.partition("no vector finds:")[2]
    assert "and(b, c)" in run.ok("faults", "mine.py:consensus", "--nets").out


def test_a_model_by_name(run: Runner) -> None:
    value = run.ok("faults", "lookup", "--inputs", 2, "--json").json
    assert {*value["vectors"][0]["inputs"]} == {"theta", "x"}
    assert value["undetectable"] == value["undecided"] == []


def test_top_without_a_bench(run: Runner) -> None:
    ran = run("faults", "mine.py:consensus", "--top", "mine")
    assert ran.code == 2
    assert "--out FILE" in ran.err


def test_a_time_limit_is_finite(run: Runner) -> None:
    ran = run("faults", "mine.py:consensus", "--timeout", "nan")
    assert (ran.code, "'nan' is not a finite number" in ran.error) == (2, True)


@pytest.mark.slow
def test_c17_of_the_examples(run: Runner) -> None:
    """Icarus Verilog runs the test bench on the file itself."""
    (compiler,) = find("iverilog").command
    value = run.ok("faults", str(C17), "--out", "bench.v", "--json").json
    assert (value["gates"], value["faults"], value["collapsed"], value["detected"]) == (6, 34, 22, 22)
    assert len(value["vectors"]) <= 6
    subprocess.run([compiler, "-o", "bench", "bench.v", str(C17)], cwd=run.folder, check=True)
    ran = subprocess.run([run.folder / "bench"], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[0] == f"PASS {len(value['vectors'])} vectors"


@pytest.mark.slow
def test_out_of_time(run: Runner) -> None:
    ran = run("faults", "mine.py:consensus", "--solver", "yosys", "--timeout", "0.000001", "--json")
    assert ran.code == 1
    assert "1 fault undecided, such as" in ran.err
    assert ran.json["undecided"] == ran.json["undecided"][:1]


@pytest.mark.slow
def test_the_bench_runs_on_the_exported_verilog(run: Runner) -> None:
    (compiler,) = find("iverilog").command
    found = run.ok("faults", "mine.py:masked", "--out", "bench.v", "--json").json
    run.ok("export", "mine.py:masked", "--inputs", 4, "--outputs", 4, "--to", "verilog", "--out", "dut.v")
    subprocess.run([compiler, "-o", "bench", "bench.v", "dut.v"], cwd=run.folder, check=True)
    said = subprocess.run([run.folder / "bench"], check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[0] == f"PASS {len(found['vectors'])} vectors"
    text = (run.folder / "bench.v").read_text()
    wrong = re.sub(r"(expected\[0\] = 4'b)([01])", lambda found: found[1] + "10"[int(found[2])], text)
    (run.folder / "bench.v").write_text(wrong)
    subprocess.run([compiler, "-o", "bench", "bench.v", "dut.v"], cwd=run.folder, check=True)
    said = subprocess.run([run.folder / "bench"], check=True, capture_output=True, text=True).stdout
    assert [line.split(":")[0] for line in said.splitlines() if "FAIL" in line] == ["FAIL vector 0"]
    assert "PASS" not in said
