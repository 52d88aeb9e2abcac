"""Faults: lines and classes, detection against brute force, tests that find all, and sensitivities."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from oracles import evaluate, every
from strategies import PLAIN, circuits

from rdahw import Bits, Circuit, UserError, equal, trace
from rdahw.claims import Claim
from rdahw.hdl import proof
from rdahw.hdl.proof import Proof
from rdahw.hdl.reader import read_circuit
from rdahw.hdl.test_bench import test_bench as make_bench
from rdahw.hdl.toolchain import find
from rdahw.primitives import Array
from rdahw.sim import faults
from rdahw.sim.faults import Fault, Faults
from rdahw.sim.netlist import lower
from rdahw.tracing import Wire

#: c17 of the ISCAS-85 benchmarks (Brglez and Fujiwara, 1985): the output of each NAND and its two inputs.
C17 = {
    "n10": ("n1", "n3"),
    "n11": ("n3", "n6"),
    "n16": ("n2", "n11"),
    "n19": ("n11", "n7"),
    "n22": ("n10", "n16"),
    "n23": ("n16", "n19"),
}
C17_INPUTS = ("n1", "n2", "n3", "n6", "n7")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(proof, "user_cache", lambda name: folder / name)


def c17() -> Circuit:
    def f(*inputs: Wire) -> dict[str, Wire]:
        wires = dict(zip(C17_INPUTS, inputs, strict=True))
        for name, (a, b) in C17.items():
            wires[name] = ~(wires[a] & wires[b])
        return {name: wires[name] for name in ("n22", "n23")}

    return trace(f, **{name: Bits(1) for name in C17_INPUTS})


def consensus(a: Wire, b: Wire, c: Wire) -> Wire:
    """The third term is redundant: the other two are 1 wherever it is."""
    return (a & b) | (~a & c) | (b & c)


def outputs_with(circuit: Circuit, vectors: Array, fault: Fault | None) -> Array:
    """All output bits for each vector, gate by gate in Python."""
    net = lower(circuit).with_joined_inverters()
    results = []

    def forced(node: int, gate: int, pin: int, value: int) -> int:
        here = fault is not None and fault.line == (node, gate, pin)
        return fault.value if here and fault is not None else value

    for vector in vectors.tolist():
        nodes = [0, 1, *(forced(2 + i, -1, 0, value) for i, value in enumerate(vector))]
        for g, (table, *operands) in enumerate(net.gates):
            row = sum(forced(node, g, pin, nodes[node]) << pin for pin, node in enumerate(operands))
            nodes.append(forced(len(nodes), -1, 0, table >> row & 1))
        pins = enumerate((node for output in net.outputs for node in output), start=len(net.gates))
        results.append([forced(node, place, 0, nodes[node]) for place, node in pins])
    return np.array(results, np.uint8)


def test_c17() -> None:
    found = Faults(c17())
    assert (found.gates, len(found.lines), len(found.classes)) == (6, 17, 22)
    tests = found.tests()
    assert len(tests.detected) == 22
    assert tests.undetectable == tests.undecided == tests.proofs == ()
    assert len(tests.vectors) <= 6
    assert found.detects(tests.vectors, tests.detected).any(axis=1).all()
    assert (evaluate(c17(), tests.vectors) == tests.outputs).all()


@given(circuits(primitives=PLAIN))
@settings(max_examples=30, deadline=None)
def test_against_brute_force(circuit: Circuit) -> None:
    """Detection by every vector, for every fault; equivalent faults; undetectable faults; and the chosen vectors."""
    width = sum(type_.width for type_ in circuit.input_types)
    vectors = every(width)
    good = outputs_with(circuit, vectors, None)
    assert (good == evaluate(circuit, vectors)).all()
    found = Faults(circuit)
    assert sorted(fault for members in found.classes for fault in members) == [
        Fault(line, value) for line in sorted(found.lines) for value in (0, 1)
    ]
    detected = {}
    for members in found.classes:
        wrong = [(outputs_with(circuit, vectors, fault) != good).any(axis=1) for fault in members]
        assert (found.detects(vectors, members) == wrong).all()
        assert all((wrong[0] == other).all() for other in wrong)
        detected[members[0]] = wrong[0]
    tests = found.tests()
    assert tests.undecided == ()
    assert {*tests.undetectable} == {fault for fault, by in detected.items() if not by.any()}
    assert all(each.verdict == "proved" for each in tests.proofs)
    assert {*tests.detected} == {fault for fault, by in detected.items() if by.any()}
    assert found.detects(tests.vectors, tests.detected).any(axis=1).all()
    for left_out in range(len(tests.vectors)):  # each vector is needed
        rest = np.delete(tests.vectors, left_out, axis=0)
        assert not found.detects(rest, tests.detected).any(axis=1).all()


@given(circuits(primitives=PLAIN))
@settings(max_examples=30, deadline=None)
def test_exact_sensitivities_are_those_of_flipping_each_input(circuit: Circuit) -> None:
    width = sum(type_.width for type_ in circuit.input_types)
    vectors = every(width)
    here = evaluate(circuit, vectors)
    for i, each in enumerate(Faults(circuit).sensitivities()):
        flipped = vectors ^ (np.arange(width) == i).astype(np.uint8)
        share = (evaluate(circuit, flipped) != here).any(axis=1).mean()
        assert each.exact
        assert each.low == each.share == each.high == share


def test_sampled_sensitivities_have_an_interval_with_the_true_one() -> None:
    """A bit of the AND of the first three of 21 bits matters where the other two are 1; one of a parity always."""
    found = Faults(trace(lambda x: [x[0] & x[1] & x[2], x[3:].parity()], x=Bits(21))).sensitivities()
    assert not any(each.exact for each in found)
    for i, each in enumerate(found):
        true = 1 / 4 if i < 3 else 1
        assert each.low <= true <= each.high
        assert each.high - each.low < 0.02


def test_the_names_of_nodes_are_not_those_of_ports() -> None:
    found = Faults(c17())
    names = [each.name for each in found.sensitivities(nets=True)]
    assert len({*names}) == len(names) == 11
    assert found.sensitivities(nets=True)[-1].gate == f"nand({names[-4]}, {names[-3]})"


def test_a_redundant_gate() -> None:
    found = Faults(trace(consensus, a=Bits(1), b=Bits(1), c=Bits(1)))
    tests = found.tests()
    (fault,) = tests.undetectable
    assert found.gate(fault.line.node) == "and(b, c)"
    assert found.describe(fault).endswith("stuck at 0")
    (claim,) = tests.proofs
    assert (claim.name, claim.verdict, claim.solver) == ("undetectable", "proved", "all 2^4 inputs")


def test_an_input_that_nothing_reads() -> None:
    found = Faults(trace(lambda a, b: a, a=Bits(1), b=Bits(1)))
    assert [found.describe(fault) for fault in found.tests().undetectable] == ["b stuck at 0", "b stuck at 1"]


def test_no_inputs() -> None:
    from rdahw.tracing import Builder

    circuit = Builder()
    with pytest.raises(UserError, match="no input"):
        Faults(circuit.finish({"y": circuit.apply("const", attributes=(1, 1))}))


@pytest.mark.slow
def test_a_solver_decides_what_random_vectors_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without random vectors all of it is left: four bits of a sum, and redundant terms."""
    monkeypatch.setattr(faults, "_FEW_INPUTS", 0)
    monkeypatch.setattr(faults, "_MOST_BLOCKS", 0)
    circuit = trace(lambda a, b, c: [a.plus(b), consensus(a, b, c)], a=Bits(3), b=Bits(3), c=Bits(3))
    found = Faults(circuit)
    tests = found.tests(solver="yosys")
    assert tests.undecided == ()
    assert [found.gate(fault.line.node) for fault in tests.undetectable] == [f"and(b[{i}], c[{i}])" for i in range(3)]
    assert {each.verdict for each in tests.proofs} == {"proved", "refuted"}
    assert all(each.solver.startswith("yosys") for each in tests.proofs)
    assert found.detects(tests.vectors, tests.detected).any(axis=1).all()
    assert (evaluate(circuit, tests.vectors) == tests.outputs).all()


def test_vectors_near_others_find_what_random_ones_do_not() -> None:
    """Two random numbers of 20 bits are never equal."""
    circuit = trace(lambda a, b: equal(a, b), a=Bits(20), b=Bits(20))
    tests = Faults(circuit).tests()
    assert tests.undetectable == tests.undecided == tests.proofs == ()


@pytest.mark.slow
def test_out_of_time_is_undecided() -> None:
    found = Faults(trace(consensus, a=Bits(1), b=Bits(1), c=Bits(1)))
    tests = found.tests(solver="yosys", timeout=1e-6)
    assert len(tests.undecided) == 1
    assert tests.undetectable == ()
    assert len(tests.detected) == len(found.classes) - 1


class Clock:
    """The module ``time`` with a clock that goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.monotonic = itertools.count().__next__


@pytest.mark.parametrize(("timeout", "asked"), [(None, [30, 30, 30, 30]), (3, [0.3, 0.3]), (1, [])])
def test_all_questions_together_have_a_limit(
    monkeypatch: pytest.MonkeyPatch, timeout: float | None, asked: list[float]
) -> None:
    """A solver that leaves all open: two groups, then the halves of both while there is time; the rest is undecided."""
    timeouts, said = [], []

    def prove(claims: list[Claim], *, timeout: float, **_: object) -> list[Proof]:
        timeouts.append(timeout)
        return [Proof("undetectable", "", "", "", "open", 0.0, "none")]

    monkeypatch.setattr(faults, "prove", prove)
    monkeypatch.setattr(faults, "time", Clock())
    monkeypatch.setattr(faults, "_FEW_INPUTS", 0)
    monkeypatch.setattr(faults, "_MOST_BLOCKS", 0)
    monkeypatch.setattr(faults, "_GROUP", 5)
    found = Faults(trace(lambda a, b: a & b, a=Bits(2), b=Bits(2)))
    assert len(found.classes) == 8
    tests = found.tests(timeout=timeout, progress=lambda *values: said.append(values))
    assert timeouts[:4] == pytest.approx(asked)
    assert len(timeouts) == (14 if timeout is None else len(asked))  # 5, 3; 2, 3, 1, 2; and so on
    assert {*tests.undecided} == {members[0] for members in found.classes}
    assert tests.detected == tests.undetectable == ()


def with_fault(place: int, value: int) -> str:
    """c17 in Verilog, written from its netlist alone; line number ``place`` of 17 is stuck (-1: none)."""
    readers = {name: [] for name in (*C17_INPUTS, *C17)}
    for name, operands in C17.items():
        for pin, operand in enumerate(operands):
            readers[operand].append((name, pin))
    numbers = itertools.count()

    def stuck(signal: str) -> str:
        return f"1'b{value}" if next(numbers) == place else signal

    lines, pins = [], {}
    for name, read_by in readers.items():
        lines.append(f"wire {name}_stem = {stuck(f'{name}_made')};")
        for reader, pin in read_by:
            pins[reader, pin] = f"{name}_{reader}"
            lines.append(f"wire {name}_{reader} = {stuck(f'{name}_stem') if len(read_by) > 1 else f'{name}_stem'};")
    lines += [f"wire {name}_made = {name};" for name in C17_INPUTS]
    lines += [f"wire {name}_made; nand ({name}_made, {pins[name, 0]}, {pins[name, 1]});" for name in C17]
    lines += [f"assign {name} = {name}_stem;" for name in ("n22", "n23")]
    assert next(numbers) == 17
    ports = [*(f"input {name}" for name in C17_INPUTS), "output n22", "output n23"]
    return f"module c17 ({', '.join(ports)});\n{chr(10).join(lines)}\nendmodule\n"


@pytest.mark.slow
def test_the_vectors_for_c17_find_each_fault_in_icarus_verilog(tmp_path: Path) -> None:
    """The test bench for the file of the examples, on c17 with each of the 34 stuck-at faults, and without any."""
    (compiler,) = find("iverilog").command
    circuit = read_circuit(Path(__file__).parent.parent.parent / "examples" / "c17.v")
    assert isinstance(circuit, Circuit)
    tests = Faults(circuit).tests()
    (tmp_path / "bench.v").write_text(make_bench("c17", circuit, tests.vectors, tests.outputs, "c17"))
    said = {}
    for place, value in [(-1, 0), *itertools.product(range(17), (0, 1))]:
        (tmp_path / "dut.v").write_text(with_fault(place, value))
        command = [compiler, "-Wall", "-o", "bench", "bench.v", "dut.v"]
        assert (
            subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stderr.count("error") == 0
        )
        said[place, value] = subprocess.run([tmp_path / "bench"], check=True, capture_output=True, text=True).stdout
    assert said.pop((-1, 0)).splitlines()[0] == f"PASS {len(tests.vectors)} vectors"
    assert len(said) == 34
    assert all("FAIL vector" in text and "PASS" not in text for text in said.values())
