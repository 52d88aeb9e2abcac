"""Proofs: what holds is proved, what does not is refuted with a counterexample that is run, and nothing else counts."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from oracles import evaluate, inputs_of
from strategies import circuits

from rdahw import (
    Bits,
    Circuit,
    InternalError,
    Learner,
    MissingError,
    Model,
    UsageError,
    UserError,
    lookup_model,
    mask_model,
    mux,
    trace,
)
from rdahw.claims import adjoint, custom, difference, equal, one_hot, robust
from rdahw.families.ensemble.circuits import ensemble_learner, step_circuit
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl import circuit as hdl_circuit
from rdahw.hdl import proof as proof_module
from rdahw.hdl import toolchain
from rdahw.hdl.gates import ROWS, Gates, to_gates
from rdahw.hdl.proof import AnyClaim, Proof, gateware, prove
from rdahw.hdl.toolchain import find
from rdahw.primitives import CORE, PRIMITIVES
from rdahw.sim.reference import run
from rdahw.tracing import Builder

SQUARE = trace(lambda x: x & x, x=Bits(1))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "proofs"


def prove_one(claim: AnyClaim, cache: Path, **options: Any) -> Proof:
    (proof,) = prove([claim], replay=run, cache=cache, **options)
    return proof


# -- the expansion into gates ------------------------------------------------------------------------------------------


def test_gates_have_a_row_for_each_primitive_of_the_core_that_is_not_lowered() -> None:
    assert set(ROWS) == {name for name in CORE if PRIMITIVES[name].lowering is None}


@given(circuits())
def test_gates_compute_the_circuit(f: Circuit) -> None:
    gates, results = to_gates(f)
    inputs = inputs_of(f)
    bits = [np.zeros(len(inputs), np.uint8), np.ones(len(inputs), np.uint8), *inputs.T]
    for operator, a, b in gates.gates:
        bits.append(bits[a] ^ bits[b] if operator == "xor" else bits[a] & bits[b])
    found = np.stack([bits[bit] for result in results for bit in result], axis=-1)
    np.testing.assert_array_equal(found, evaluate(f, inputs))


def test_equal_gates_are_one_and_constants_are_folded() -> None:
    gates = Gates(2)
    a, b = 2, 3
    assert gates.xor(a, b) == gates.xor(b, a)
    assert gates.xor(gates.xor(a, 1), 1) == gates.xor(1, gates.xor(a, 1)) == a
    assert (gates.and_(a, gates.xor(a, 1)), gates.and_(a, a), gates.and_(0, a), gates.and_(a, 1)) == (0, a, 0, a)
    assert (gates.xor(a, a), gates.xor(0, a), gates.sum([]), gates.sum([a])) == (0, a, 0, a)
    assert len(gates.gates) == 2


# -- derivatives -------------------------------------------------------------------------------------------------------


def random_graph(seed: int, gates: int = 40) -> Circuit:
    """A graph of so many gates on 16 input bits, with fan-out and products of what depends on the same bits."""
    random = np.random.default_rng(seed)
    builder = Builder()
    wires = list(builder.input("x", Bits(16)))
    for _ in range(gates):
        a, b, c = (wires[-1 - int(random.integers(min(20, len(wires))))] for _ in range(3))
        choices = (
            lambda a=a, b=b: a ^ b,
            lambda a=a, b=b: a & b,
            lambda a=a, b=b: a | b,
            lambda a=a: ~a,
            lambda a=a, b=b, c=c: mux(a, b, c),
            lambda a=a, b=b: a <= b,
        )
        wires.append(choices[random.integers(len(choices))]())
    return builder.finish({"y": wires[-1], "z": wires[-2]})


@pytest.mark.slow
def test_the_circuits_of_an_ensemble_are_proved(cache: Path) -> None:
    spec = EnsembleSpec(input_bits=4, classes=3, tables=3, inputs=2, counter=3, margin=1, dropout=0.0)
    learner = ensemble_learner(spec)
    claims = [adjoint(learner.model.circuit), gateware(learner.model.circuit, "model"), gateware(step_circuit(spec))]
    assert [proof.verdict for proof in prove(claims, replay=run, cache=cache, timeout=600.0)] == ["proved"] * 3


@pytest.mark.slow
def test_the_adjoint_is_proved_of_20_random_graphs(cache: Path) -> None:
    graphs = [random_graph(seed) for seed in range(20)]
    proofs = prove([adjoint(f) for f in graphs], replay=run, solver="yosys", cache=cache)
    assert [proof.verdict for proof in proofs] == ["proved"] * 20
    assert all(proof.solver.startswith("yosys ") for proof in proofs)


@pytest.mark.parametrize("size", [(4, 3), (6, 3), (8, 1)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.slow
def test_a_lookup_has_its_boolean_difference_as_reverse(size: tuple[int, int], cache: Path) -> None:
    (claim,) = custom(lookup_model(*size))
    assert prove_one(claim, cache).verdict == "proved"


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [1, 2, 3, 5, 8, 12])
def test_a_mask_has_its_boolean_difference_as_reverse(inputs: int, cache: Path) -> None:
    (claim,) = custom(mask_model(inputs))
    proof = prove_one(claim, cache)
    assert (proof.verdict, proof.solver) == ("proved", f"all 2^{2 * inputs + 1} inputs")


SOLVERS = ["auto", "yosys", "boolector", "z3"]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_difference_of_a_square_is_refuted(solver: Any, cache: Path) -> None:
    proof = prove_one(difference(SQUARE), cache, solver=solver)
    assert proof.verdict == "refuted"
    assert proof.counterexample is not None
    assert proof.counterexample["dy"] == "1"
    assert proof.found == {"R[f]": {"dx": "0"}, "Boolean difference": {"dx": "1"}}
    assert prove_one(adjoint(SQUARE), cache, solver=solver).verdict == "proved"


@pytest.mark.slow
def test_a_wrong_reverse_rule_is_refuted(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    f = trace(lambda a, b: a | b, a=Bits(2), b=Bits(2))
    monkeypatch.setitem(PRIMITIVES, "or", replace(PRIMITIVES["or"], reverse=lambda dy, a, b: (b & dy, ~a & dy)))
    for solver in ("auto", "yosys"):
        proof = prove_one(adjoint(f), cache, solver=solver)
        assert proof.verdict == "refuted"
        assert proof.found is not None
        assert proof.found["R[f]"]["da"] != proof.found["adjoint of D[f]"]["da"]
        assert proof.found["R[f]"]["db"] == proof.found["adjoint of D[f]"]["db"]


# -- functions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.slow
def test_wide_inputs_are_named_and_in_order(solver: Any, cache: Path) -> None:
    f = trace(lambda differ, i0: differ[69] & ~i0[2], differ=Bits(70), i0=Bits(3))
    proof = prove_one(equal(f, trace(lambda p, q: p[69] & ~q[1], p=Bits(70), q=Bits(3))), cache, solver=solver)
    assert proof.verdict == "refuted"
    assert proof.counterexample is not None
    assert {name: len(bits) for name, bits in proof.counterexample.items()} == {"differ": 70, "i0": 3}
    assert proof.counterexample["differ"][0] == "1"
    assert proof.counterexample["i0"][0] != proof.counterexample["i0"][1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_last_input_of_all_is_tried(solver: Any, cache: Path) -> None:
    for width in (1, 3, 6, 7, 10):
        f = trace(lambda x, y: x.decode()[-1] & y, x=Bits(width), y=Bits(1))
        proof = prove_one(equal(f, trace(lambda x, y: y & 0, x=Bits(width), y=Bits(1))), cache, solver=solver)
        assert proof.counterexample == {"x": "1" * width, "y": "1"}
        assert proof.found == {"f": {"y": "1"}, "g": {"y": "0"}}
        if solver != "auto":
            break


def test_all_inputs_are_tried_in_more_than_one_chunk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "_MEMORY", 1 << 12)
    f = trace(lambda x: x.decode()[0b1011011010], x=Bits(10))
    assert prove_one(equal(f, f), cache).verdict == "proved"
    proof = prove_one(equal(f, trace(lambda x: x[:1] & 0, x=Bits(10))), cache)
    assert proof.counterexample == {"x": "1011011010"}


def test_sides_of_the_same_gates_are_proved_at_once(cache: Path) -> None:
    f, g = trace(lambda x: x ^ x, x=Bits(48)), trace(lambda x: x & ~x, x=Bits(48))
    (proof,) = prove([equal(f, g)], cache=cache, replay=run, timeout=5)
    assert proof.verdict == "proved"


def test_wishes_about_a_function(cache: Path) -> None:
    decoder = trace(lambda x: x.decode(), x=Bits(3))
    claims = [one_hot(decoder), robust(decoder, 1), robust(trace(lambda x: x[:1] & 0, x=Bits(3)), 3)]
    first, second, third = prove(claims, replay=run, cache=cache)
    assert [first.verdict, second.verdict, third.verdict] == ["proved", "refuted", "proved"]
    assert second.counterexample is not None
    assert second.counterexample["flips"].count("1") == 1


def test_a_search_refutes_without_a_solver(cache: Path) -> None:
    parity = trace(lambda x: x.parity(), x=Bits(40))
    x = np.arange(40).astype(np.uint8) & 1
    proof = prove_one(robust(parity, 2, lambda f: (x, 7)), cache)
    assert (proof.verdict, proof.solver) == ("refuted", "search")
    assert proof.counterexample == {"x": "10" * 20, "flips": format(1 << 7, "040b")}
    assert proof.found is not None
    assert {side: outputs["y"] for side, outputs in proof.found.items()} == {"with flips": "1", "without": "0"}


@pytest.mark.parametrize("search", [lambda f: None, lambda f: (np.zeros(3, np.uint8), 0)], ids=["nothing", "wrong"])
def test_where_a_search_finds_nothing_a_solver_decides(search: Any, cache: Path) -> None:
    claims = [
        robust(trace(lambda x: x[1:], x=Bits(3)), 1, search),
        robust(trace(lambda x: x & 0, x=Bits(3)), 1, search),
    ]
    found = prove(claims, replay=run, cache=cache)
    assert [proof.verdict for proof in found] == ["refuted", "proved"]
    assert {proof.solver for proof in found} == {"all 2^6 inputs"}


@pytest.mark.slow
def test_a_solver_that_is_named_decides_without_a_search(cache: Path) -> None:
    claim = robust(trace(lambda x: x, x=Bits(3)), 1, lambda f: (np.zeros(3, np.uint8), 0))
    assert "yosys" in prove_one(claim, cache, solver="yosys").solver


# -- hardware ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_hardware_is_proved(cache: Path) -> None:
    every_row = trace(
        lambda _a, b, differ: {
            "y": _a.concat(_a.popcount(), _a.plus(b), _a <= b, ~_a | b, b.decode()[:5], mux(differ, _a, b)),
            "differ": _a.concat(_a, b, b[:2]).lookup(b).scatter([1], 3).sum(3) ^ differ.repeat(1),
            "port": _a.gather([2, 2, 0]).repeat(2) ^ 5,
        },
        _a=Bits(3),
        b=Bits(3),
        differ=Bits(1),
    )
    learner = Learner(Model("lookup", lookup_model(4, 3)))
    proofs = prove([gateware(every_row), gateware(learner.step, "step")], replay=run, cache=cache)
    assert [(proof.verdict, proof.size) for proof in proofs] == [
        ("proved", "3+3+1 -> 18+1+6"),
        ("proved", "step: 48+4+3 -> 48"),
    ]


@pytest.mark.parametrize("solver", ["yosys", "boolector", "z3"])
def test_a_wrong_row_of_the_hardware_table_is_refuted(
    solver: Any, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    f = trace(lambda a, b: {"same": a & b, "sum": a | b}, a=Bits(2), b=Bits(2))
    monkeypatch.setitem(hdl_circuit.ROWS, "or", lambda a, b: a ^ b)  # type: ignore[attr-defined]
    proof = prove_one(gateware(f), cache, solver=solver)
    assert proof.verdict == "refuted"
    assert proof.counterexample is not None
    assert proof.found is not None
    a, b = int(proof.counterexample["a"], 2), int(proof.counterexample["b"], 2)
    assert proof.found == {
        "circuit": {"same": f"{a & b:02b}", "sum": f"{a | b:02b}"},
        "gateware": {"same": f"{a & b:02b}", "sum": f"{a ^ b:02b}"},
    }
    assert a & b


# -- verdicts ----------------------------------------------------------------------------------------------------------


def fake_yosys(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Make RDAHW_YOSYS a program that answers -V and else runs ``code`` with its ``log``, which then ends well."""
    program = folder / "fake.py"
    program.write_text(
        "import sys, time\nif sys.argv[1:] == ['-V']: print('Yosys 0.70'); sys.exit()\n"
        f"log = open(sys.argv[sys.argv.index('-L') + 1], 'w')\n{code}\nprint('End of script.', file=log)\n"
    )
    monkeypatch.setenv("RDAHW_YOSYS", f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}")


def test_out_of_time_is_open_and_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    fake_yosys(monkeypatch, tmp_path, "time.sleep(60)")
    proof = prove_one(adjoint(SQUARE), cache, solver="yosys", timeout=0.05)
    assert (proof.verdict, proof.reason) == ("open", "not decided in 0.05 seconds")
    (claim,) = custom(mask_model(12))
    assert prove_one(claim, cache, timeout=0.0).verdict == "open"
    assert not cache.exists()


def test_a_log_without_a_verdict_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    for said in ("", "SAT proof finished - model found: FAIL!"):
        fake_yosys(monkeypatch, tmp_path, f"print({said!r}, file=log)")
        with pytest.raises(InternalError, match="yosys ended well without a verdict that can be read"):
            prove_one(adjoint(SQUARE), cache, solver="yosys")
    fake_yosys(monkeypatch, tmp_path, "print('ERROR: no such module', file=log); sys.exit(1)")
    with pytest.raises(UserError, match="^yosys failed: no such module"):
        prove_one(adjoint(SQUARE), cache, solver="yosys")
    assert not cache.exists()


@pytest.mark.slow
def test_another_solver_must_say_so_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    program = tmp_path / "solver.py"
    for said in ("", "unknown", "sat\nunsat"):
        program.write_text(f"print({said!r})")
        monkeypatch.setenv("RDAHW_Z3", f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}")
        with pytest.raises(InternalError, match="^z3 ended well without a verdict that can be read; expected sat or"):
            prove_one(adjoint(SQUARE), cache, solver="z3")
    program.write_text("print('sat')")
    with pytest.raises(InternalError, match="^z3 found a counterexample that cannot be read"):
        prove_one(adjoint(SQUARE), cache, solver="z3")
    assert not cache.exists()


def test_a_solver_that_is_missing_or_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    monkeypatch.setattr(toolchain, "_from_package", lambda tool: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match=r"^z3 .* is not installed; pip install 'rdahw\[proof\]'$"):
        find("z3")
    with pytest.raises(UsageError, match="^no solver is called 'z4'; did you mean 'z3'"):
        prove_one(adjoint(SQUARE), cache, solver="z4")


def test_a_counterexample_is_run_before_it_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    model = "SAT proof finished - model found: FAIL!\\n  \\\\i0  0 0 1\\n  \\\\i1  1 1 1\\n  \\\\differ 1 1 1"
    fake_yosys(monkeypatch, tmp_path, f"print('{model}', file=log)")
    assert prove_one(difference(SQUARE), cache, solver="yosys").verdict == "refuted"
    with pytest.raises(InternalError, match=r"^the counterexample to adjoint \(1 -> 1\) fails no claim when it is run"):
        prove_one(adjoint(SQUARE), cache, solver="yosys")


def test_verdicts_are_kept_by_content(cache: Path) -> None:
    proofs = [prove_one(difference(SQUARE), cache) for _ in range(2)]
    assert [proof.is_cached for proof in proofs] == [False, True]
    assert replace(proofs[0], is_cached=True) == proofs[1]
    assert not prove_one(adjoint(SQUARE), cache).is_cached
    for file in cache.iterdir():
        file.write_text(file.read_text()[:-5])
    assert not prove_one(difference(SQUARE), cache).is_cached


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert prove_one(adjoint(SQUARE), tmp_path / "file" / "proofs").verdict == "proved"


def test_too_many_gates_are_open(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "MAX_GATES", 10)
    proof = prove_one(equal(lookup_model(4, 3), lookup_model(4, 3)), cache)
    assert (proof.verdict, proof.solver) == ("open", "none")
    assert proof.reason.endswith("gates are more than the 10 tried")


def test_progress_counts_to_the_end_and_an_interrupt_stops_the_solvers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    seen: list[tuple[int, int]] = []
    prove([adjoint(SQUARE)] * 3, replay=run, cache=cache, progress=lambda *counts: seen.append(counts))
    assert seen[-1] == (3, 3)
    fake_yosys(monkeypatch, tmp_path, "time.sleep(60)")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prove([adjoint(SQUARE)] * 3, replay=run, solver="yosys", cache=cache, jobs=1, progress=interrupt)
    assert threading.active_count() == 1


def test_a_verdict_is_reported_before_the_others_are_there(cache: Path) -> None:
    """The second claim is refuted by a replay that waits for the report of the first."""
    reported = threading.Event()

    def replay(*arguments: Any) -> Any:
        assert reported.wait(60)
        return run(*arguments)

    proofs = prove(
        [adjoint(SQUARE), difference(SQUARE)], replay=replay, jobs=2, cache=cache, report=lambda proof: reported.set()
    )
    assert [proof.verdict for proof in proofs] == ["proved", "refuted"]


def test_a_proof_as_json(cache: Path) -> None:
    value = prove_one(difference(SQUARE), cache).to_json()
    assert json.loads(json.dumps(value)) == value
    assert (value["name"], value["size"], value["verdict"]) == ("difference", "1 -> 1", "refuted")
    assert (value["solver"], value["cached"]) == ("all 2^2 inputs", False)
    assert value["counterexample"] == {"x": "0", "dy": "1"}
    assert value["found"] == {"R[f]": {"dx": "0"}, "Boolean difference": {"dx": "1"}}
    assert "counterexample" not in prove_one(adjoint(SQUARE), cache).to_json()
