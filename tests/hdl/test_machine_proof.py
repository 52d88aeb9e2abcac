"""Claims about the gateware of machines: proved, refuted for faults, and about the rule that the software has."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import fault, sites

from rdahw import Bits, Words, trace_machine
from rdahw.errors import UserError
from rdahw.families.machine import MachineSpec
from rdahw.families.machine.shadow import PlainShadows
from rdahw.families.machine.spec import SETTLED, bits_of
from rdahw.hdl.machine_module import MachineModule
from rdahw.hdl.machine_proof import machine_gateware, machine_trainer, shadow_circuits
from rdahw.hdl.machine_trainer import MachineTrainer
from rdahw.hdl.proof import Proof, prove
from rdahw.languages import find_language
from rdahw.sim.reference import run
from rdahw.training import Batches, Examples

SMALL = MachineSpec(steps=2, states=1, counter=2, rule="shadow")


def prove_one(claim: Any, cache: Path) -> Proof:
    (proof,) = prove([claim], replay=run, cache=cache, timeout=300.0)
    return proof


def as_bits(value: int, width: int) -> Any:
    return np.array([value >> i & 1 for i in range(width)], np.uint8)


@pytest.mark.parametrize(("states", "counter"), [(1, 2), (2, 3)])
def test_the_circuits_of_a_symbol_are_the_plain_rule(states: int, counter: int) -> None:
    spec = MachineSpec(steps=1, states=states, counter=counter, rule="shadow", live=True)
    count, rng, rule = (states + 1) * spec.size, np.random.default_rng(1), shadow_circuits(spec)
    flips = 0
    for _ in range(60):
        plain = PlainShadows(spec)
        tables = rng.integers(0, 2, count)
        evidence = np.minimum(rng.integers(0, spec.level, count), rng.integers(0, spec.level, count))
        now, x, y = rng.integers(0, 1 << states, 1 + count).tolist(), *map(int, rng.integers(0, 2, 2))
        state = spec.initial_state()
        state["counters"] = np.where(tables, spec.level - 1 - evidence, evidence - spec.level).astype(np.int8)
        plain.state = state
        packed_now = np.concatenate([as_bits(s, states) for s in now])
        packed_evidence = np.concatenate([as_bits(int(e), counter - 1) for e in evidence])
        label, after, more, reached = run(rule.read, tables.astype(np.uint8), packed_evidence, packed_now, [x], [y])
        bits = tables.astype(np.uint8)
        if reached.any():
            bits, after = run(rule.flip, bits, after, reached)
            more = np.zeros_like(more)
            flips += 1
        assert plain._symbol(now, x, y, learn=True) == label[0]
        counters = plain.state["counters"]
        assert bits_of(counters).tolist() == bits.tolist()
        its = np.where(counters >= 0, spec.level - 1 - counters, counters + spec.level)
        assert [int(v) for v in its] == (more.reshape(count, -1) << np.arange(counter - 1)).sum(1).tolist()
        assert now == (after.reshape(-1, states) << np.arange(states)).sum(1).tolist()
    assert flips > 5


@pytest.mark.parametrize("right", [0, 8, 9, 10, SETTLED - 1])
@pytest.mark.parametrize("since", [0, 4, 5, 6])
@pytest.mark.parametrize("wrong", [0, 1])
def test_the_circuits_of_the_end_of_a_sequence_are_the_plain_rule(right: int, since: int, wrong: int) -> None:
    spec = MachineSpec(steps=1, states=2, rule="shadow", restart=6, seed=4)
    plain, rule = PlainShadows(spec), shadow_circuits(spec)
    before = plain.state = {**spec.initial_state(), "run": np.array([right, since, 2, 77])}
    label = bits_of(before["counters"])[states_of(spec)]
    prepared = plain.prepare(Examples(np.zeros((1, 1), np.uint8), np.array([label ^ wrong])))
    plain.train(prepared, Batches.single(np.arange(1)))
    *ended, starts = run(rule.end, *(as_bits(value, 31) for value in (right, since, 2, 77)), [wrong])
    assert [int((part.astype(np.int64) << np.arange(31)).sum()) for part in ended] == plain.state["run"].tolist()
    bits, noise = bits_of(before["counters"]), before["noise"]
    if starts[0]:
        for _ in range(len(bits) // 8):
            bits, noise = run(rule.shift, bits, noise)
        assert bits_of(plain.state["counters"]).tolist() == bits.tolist()
    assert plain.state["noise"].tolist() == noise.tolist()
    assert int(starts[0]) == plain.state["run"][2] - 2


def states_of(spec: MachineSpec) -> int:
    """Where the label of the first state and the symbol 0 is in the tables."""
    return spec.states * spec.size


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"live": True, "counter": 3, "steps": 3}, {"steps": 1, "restart": 3}], ids=str)
def test_a_small_trainer_is_proved(changes: dict[str, Any], tmp_path: Path) -> None:
    assert prove_one(machine_trainer(replace(SMALL, **changes)), tmp_path).verdict == "proved"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("examples.ready", "stuck at 0"), ("after[0]", "stuck at 1")])
def test_a_faulty_trainer_is_refuted(name: str, kind: str, tmp_path: Path) -> None:
    (site,) = [site for site in sites(MachineTrainer(SMALL)) if site.text == name]
    with fault(MachineTrainer, site, kind):
        proof = prove_one(machine_trainer(SMALL), tmp_path)
    assert proof.verdict == "refuted"
    assert proof.found is not None
    assert proof.found["trainer"] != proof.found["rule"]


@pytest.mark.slow
def test_machines_on_a_stream_are_proved(tmp_path: Path) -> None:
    def step(s: Any, n: Any, x: Any, c: Any) -> Any:
        return (s ^ x, n + n), (s & x, n.as_bits() ^ c)

    state = {"s": Bits(2), "n": Words(1, 3)}
    machine = trace_machine(step, state=state, initial={"s": 1, "n": 5}, x=Bits(2), c=Bits(3))
    for claim in (machine_gateware(machine), machine_gateware(find_language("tomita4").machine)):
        assert prove_one(claim, tmp_path).verdict == "proved"


@pytest.mark.slow
def test_a_faulty_machine_is_refuted(tmp_path: Path) -> None:
    machine = find_language("tomita4").machine
    (site, *_) = [site for site in sites(MachineModule(machine)) if site.text.startswith("state")]
    with fault(MachineModule, site, "stuck at 0"):
        proof = prove_one(machine_gateware(machine), tmp_path)
    assert (proof.verdict, bool(proof.found)) == ("refuted", True)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_machine_with_parameters_has_no_gateware() -> None:
    machine = trace_machine(lambda p, s, x: (s ^ x, p), parameters={"p": Bits(1)}, state={"s": Bits(1)}, x=Bits(1))
    with pytest.raises(UserError, match="bind them to constants"):
        MachineModule(machine)
    gc.collect()  # while the warning is ignored
