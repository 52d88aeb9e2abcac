"""Estimates against the table of builds, and their counts on designs whose size is known."""

from __future__ import annotations

import functools
import importlib.util
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, ClockDomain, Const, Elaboratable, Instance, Module, Mux, Signal
from amaranth.lib.memory import Memory

from rdahw.boards import board
from rdahw.boards.estimate import SUMS, estimated, fitted
from rdahw.hdl import quick_synthesis
from rdahw.hdl.memory_map import BLOCK, DISTRIBUTED, LOGIC, RAMS, LogicMemory, mapped
from rdahw.hdl.quick_synthesis import Size, netlist_of, size_of
from rdahw.hdl.quick_timing import SMALL

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("estimates", BENCH / "estimates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def builds(bench: Any) -> list[dict[str, Any]]:
    return [its for its in bench.read(BENCH / "builds.jsonl") if "error" not in its]


def test_the_factors_are_those_of_the_builds(bench: Any, builds: list[dict[str, Any]]) -> None:
    found = {name: its for name, its in fitted().items() if name != "within"}
    again = bench.fit(bench.fitted_to(builds))
    assert found["builds"] == again["builds"]
    for name in ("logic_cells", "period"):
        assert found[name]["kinds"] == pytest.approx(again[name]["kinds"], abs=2e-3)
        for family, factors in again[name]["factors"].items():
            assert found[name]["factors"][family] == pytest.approx(factors, abs=2e-3)


def test_the_builds(builds: list[dict[str, Any]]) -> None:
    off: dict[str, list[bool]] = {"logic_cells": [], "fmax_mhz": []}
    errors, registers = [], []
    for its in builds:
        its_board = board(its["synth"][its["synth"].index("--board") + 1])
        found = estimated(its["counts"], its["gateware"], its_board, fitted())
        for name, are_within in off.items():
            if its[name]:
                error = abs(its[name] / found[name] - 1)
                are_within.append(error <= fitted()["within"][its_board.family][name])
        errors.append(abs(found["logic_cells"] / its["logic_cells"] - 1))
        assert its["counts"]["ebr"] == its["ebr"], its["number"]
        assert its["counts"]["spram"] == its["spram"], its["number"]
        registers.append(abs(its["counts"]["registers"] / its["flip_flops"] - 1))
    assert np.quantile(registers, 0.9) <= 0.02
    assert np.median(errors) <= 0.05
    assert min(np.mean(are_within) for are_within in off.values()) >= 0.9


@pytest.mark.parametrize("family", sorted(RAMS.keys() - {"nexus"}))  # of which nothing is built
def test_counts_are_those_of_the_table(bench: Any, builds: list[dict[str, Any]], family: str, tmp_path: Path) -> None:
    from rdahw.boards.clock import choose
    from rdahw.boards.estimate import counts_of

    def suits(its: dict[str, Any]) -> bool:
        name = its["synth"][its["synth"].index("--board") + 1]
        return its["train"] is None and "--data" not in its["synth"] and board(name).family == family

    its = min(filter(suits, builds), key=lambda its: int(its["logic_cells"]))
    design, its_board, clock, baud = bench.gateware_of(its, tmp_path)
    made = choose(its_board.pll, its_board.oscillator[1], clock or its_board.clock)[0]
    assert counts_of(design, its_board, made, baud or its_board.baud) == its["counts"]


def size(width: int, make: Any) -> Size:
    """The size of ``make(m, x)``, of a vector x of bits that something outside of the design gives and takes."""

    class Design(Elaboratable):
        def elaborate(self, platform: Any) -> Module:
            m = Module()
            m.domains.sync = ClockDomain(reset_less=True)
            x, y = Signal(width), Signal(width)
            m.submodules.source = Instance("SOURCE", o_x=x)
            m.d.comb += y.eq(make(m, x))
            m.submodules.sink = Instance("SINK", i_y=y)
            return m

    return size_of(netlist_of(Design(), None), "ice40")


def test_gates_are_joined() -> None:
    found = size(8, lambda m, x: x[0] & x[1] & x[2] & x[3] ^ x[4])
    assert found.tables == {2: 1, 4: 1}
    full_adder = size(3, lambda m, x: Cat(x[0] ^ x[1] ^ x[2], (x[0] ^ x[1]) & x[2] | x[0] & x[1]))
    assert full_adder.tables == {3: 2}


def test_a_conjunction_is_a_tree() -> None:
    found = size(64, lambda m, x: functools.reduce(lambda a, bit: a & bit, x))
    assert sum(found.tables.values()) == 21


def test_constants_are_folded() -> None:
    found = size(8, lambda m, x: Mux(x[0] & ~x[0], x, x | 0))
    assert (found.tables, found.carries) == ({}, 0)
    table = size(3, lambda m, x: Const(0b1100_1100, 8).bit_select(x, 1))  # bit 1 of x
    assert table.tables == {}


def test_an_adder_is_a_chain() -> None:
    found = size(16, lambda m, x: (x[:8] + x[8:])[:8])
    assert (found.carries, found.tables) == (8, {})


def test_several_numbers_are_added_at_once() -> None:
    three = size(24, lambda m, x: (x[:8] + x[8:16] + x[16:])[:8])
    assert three.tables[3] == 15  # a full adder for each bit, whose last carry nothing reads
    assert three.carries == 7  # bit 0 is the full adder's
    ones = size(15, lambda m, x: sum(x))
    assert 22 <= sum(ones.tables.values()) <= 23  # each full adder, of two tables, leaves a bit less: 11 of them
    assert ones.carries == 0


def test_a_sum_that_something_else_reads_is_an_adder_of_its_own() -> None:
    def make(m: Module, x: Signal) -> Any:
        first = Signal(9)
        m.d.comb += first.eq(x[:8] + x[8:16])
        return Cat(first ^ x[24:32], (first + x[16:24])[:8])

    assert size(32, make).carries == 17


def test_a_difference_is_added_by_the_same_adder() -> None:
    assert size(16, lambda m, x: x[:4] - x[4:8] + x[8:12]).carries == 6
    assert size(16, lambda m, x: x[12:16] - (x[:4] - x[4:8] + x[8:12])).carries <= 7


def values_of(gates: quick_synthesis._Gates, given: dict[int, int]) -> list[int]:
    """The value of each node, if the sources have the ``given`` ones."""
    values, carries = [given.get(node, 0) for node in range(len(gates.kinds))], [0] * len(gates.kinds)
    for node, (kind, reads) in enumerate(zip(gates.kinds, gates.reads, strict=True)):
        bits = [values[wire >> 1] ^ (wire & 1) for wire in reads]
        if kind == quick_synthesis._SUM:
            before = reads[2] >> 1
            total = bits[0] + bits[1] + (carries[before] if gates.kinds[before] == kind else bits[2])
            values[node], carries[node] = total & 1, total >> 1
        elif kind != quick_synthesis._SOURCE:
            values[node] = {
                quick_synthesis._AND: min,
                quick_synthesis._XOR: lambda bits: sum(bits) & 1,
                quick_synthesis._MUX: lambda bits: bits[1] if bits[0] else bits[2],
                quick_synthesis._MAJORITY: lambda bits: int(sum(bits) >= 2),
            }[kind](bits)
    return values


@pytest.mark.parametrize("seed", range(40))
def test_a_total_is_the_sum(seed: int) -> None:
    r = random.Random(seed)
    gates, width = quick_synthesis._Gates(), r.randint(1, 12)
    summands = []
    for _ in range(r.randint(1, 9)):
        wires = [r.choice([0, 1, *[gates.new(quick_synthesis._SOURCE) ^ r.randint(0, 1)] * 6]) for _ in range(width)]
        wires = wires[: r.randint(1, width)]
        summands.append(quick_synthesis._Summand(wires, r.choice([0, 1, wires[-1]])))
    found = gates.total([*summands, summands[0]], width)
    for _ in range(5):
        values = values_of(gates, {node: r.randint(0, 1) for node in range(1, len(gates.kinds))})

        def number(wires: Sequence[int], beyond: int, values: list[int] = values) -> int:
            *bits, sign = (values[wire >> 1] ^ (wire & 1) for wire in [*wires, beyond])
            return sum(bit << i for i, bit in enumerate(bits)) - (sign << len(bits))

        each = [number(its.wires, its.beyond) for its in summands]
        assert number(found, 0) == (sum(each) + each[0]) % (1 << width)
        assert all(low <= its <= high for its, (low, high) in zip(each, (s.range for s in summands), strict=True))


def paths(family: str, make: Any, width: int = 64) -> list[dict[str, float]]:
    """The parts of the slowest path of ``make(m, x)``, of a register x, to what registers take, and of that to their
    enables and resets."""

    class Design(Elaboratable):
        def elaborate(self, platform: Any) -> Module:
            m = Module()
            m.domains.sync = ClockDomain(reset_less=True)
            x, y = Signal(width), Signal(width)
            given = Signal(width)
            m.submodules.source = Instance("SOURCE", o_x=given)
            m.d.sync += [x.eq(given), y.eq(make(m, x))]
            m.submodules.sink = Instance("SINK", i_y=y)
            return m

    return [its.counts for its in size_of(netlist_of(Design(), None), family).paths]


def path(family: str, make: Any, width: int = 64) -> dict[str, float]:
    """The first of :func:`paths`."""
    return paths(family, make, width)[0]


def test_the_slowest_path() -> None:
    chain = path("ice40", lambda m, x: (x[:8] + x[8:16])[7])
    assert (chain["enter"], chain["bit"], chain["leave"], chain["table"]) == (1, 7, 1, 0)
    tree = path("ice40", lambda m, x: functools.reduce(lambda a, bit: a & bit, x))
    assert (tree["table"], tree["enter"], tree["fanout"]) == (3, 0, 0)
    read_often = path("ice40", lambda m, x: x[1:17] & x[0].replicate(16))
    assert (read_often["table"], read_often["fanout"]) == (1, 4)  # sixteen readers
    both = path("ice40", lambda m, x: Mux((x[:8] + x[8:16])[7], x[16:32], x[32:48]))
    assert (both["bit"], both["table"], both["fanout"]) == (7, 1, 4)


def test_the_slowest_path_to_an_enable() -> None:
    def make(m: Module, x: Signal) -> Any:
        kept = Signal(4)
        with m.If(functools.reduce(lambda a, bit: a & bit, x[:32])):
            m.d.sync += kept.eq(x[32:36] & x[36:40])
        return kept

    value, enable = paths("ice40", make)
    assert (value["table"], value["control"], value["fanout"]) == (1, 0, 0)
    assert (enable["table"], enable["control"], enable["fanout"]) == (3, 1, 2)  # four registers


def test_how_many_paths_are_nearly_as_slow() -> None:
    assert path("ice40", lambda m, x: x[:16] & x[16:32])["ends"] == 4
    assert path("ice40", lambda m, x: Cat(functools.reduce(lambda a, bit: a & bit, x), x[:8] & x[8:16]))["ends"] == 0


def test_the_slower_path_counts() -> None:
    factors = {name: {"kinds": {}, "factors": {"ice40": {"table": 1.0}}} for name in SUMS}
    its = board("icebreaker")
    for value, control in ((4, 5), (5, 4)):
        found = estimated({"table": 2, "value_table": value, "control_table": control}, [], its, factors)
        assert found == {"logic_cells": 2, "fmax_mhz": pytest.approx(1000 / (5 * its.level_ns))}


def test_wires_of_a_large_design_are_longer() -> None:
    def make(tables: int) -> dict[str, float]:
        return path("ice40", lambda m, x: x[:tables] & x[tables : 2 * tables], 2 * tables)

    assert make(SMALL)["spread"] == 0
    assert make(4 * SMALL)["spread"] == 2  # one table, twice doubled


def test_a_path_from_a_memory_where_the_placer_knows_its_time() -> None:
    def make(m: Module, x: Signal) -> Any:
        m.submodules.memory = memory = Memory(shape=16, depth=512, init=[])
        port, write = memory.read_port(), memory.write_port()
        m.d.comb += [port.addr.eq(x), write.addr.eq(x[9:]), write.data.eq(x[18:]), write.en.eq(x[40])]
        return port.data[:8] & port.data[8:]

    assert path("ecp5", make)["memory"] == 1
    assert path("gowin", make)["memory"] == 0


def test_registers() -> None:
    def make(m: Module, x: Signal) -> Any:
        first, second, still, kept = Signal(4), Signal(4), Signal(4), Signal(4)
        m.d.sync += [first.eq(x[:4]), second.eq(x[:4]), still.eq(x[:4] & 0)]
        with m.If(x[4]):
            m.d.sync += kept.eq(x[:4])
        return Cat(first ^ second, still, kept, first)

    found = size(16, make)
    assert found.registers == 8  # equal ones are one, and what is always 0 is none
    assert found.tables == {}  # an enable is none
    assert found.controls == 2


def store(words: int, bits: int, **options: Any) -> LogicMemory:
    """A memory with one read and one write port, or with other ``options``."""
    usual = {"granule": bits, "readers": 1, "registered": True, "checked": False, "shared": False}
    return LogicMemory(words=words, bits=bits, **(usual | options))


@pytest.mark.parametrize(
    ("family", "memory", "place"),
    [
        ("ice40", store(512, 8), (BLOCK, 1)),
        ("ice40", store(512, 9), (BLOCK, 2)),
        ("ice40", store(8, 8), (LOGIC, 0)),
        ("ice40", store(128, 67), (BLOCK, 5)),
        ("ice40", store(64, 8, registered=False), (LOGIC, 0)),
        ("ice40", store(256, 16, granule=0, content=[0xFF00 | i for i in range(256)]), (BLOCK, 1)),
        ("ice40", store(64, 4, granule=0), (LOGIC, 0)),
        ("ecp5", store(16, 8), (DISTRIBUTED, 2)),
        ("ecp5", store(512, 36), (BLOCK, 1)),
        ("ecp5", store(1024, 64, granule=8, shared=True), (BLOCK, 4)),
        ("gowin", store(16, 3), (DISTRIBUTED, 1)),
        ("nexus", store(1024, 64, granule=8, shared=True), (BLOCK, 4)),
        ("gatemate", store(160, 64, granule=8, shared=True), (BLOCK, 2)),
    ],
)
def test_memories(family: str, memory: LogicMemory, place: tuple[str, int]) -> None:
    assert mapped(memory, family) == place
