"""Whether a fault changes anything: a component with and without it, compared by a SAT solver.

Both are the same and-inverter graph, whose registers move together. It is proved by induction over the cycles: wherever
the registers of both are equal, so are all outputs and, in the next cycle, the registers. Faults often show in states
only that the component never reaches; so the induction may assume *invariants* of the component without the fault,
which are found by simulation, and each proved by the same solver to hold at power-up and, if all of them do, in the
next cycle. And registers that the fault changes may be left out, if nothing that they do is seen.

Large memories that are written to are outside: what is read is any value, but the same for both, and what both do to
their memory must be the same.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, combinations, groupby
from pathlib import Path
from random import Random
from typing import Any

import z3
from amaranth.back import rtlil
from amaranth.hdl import Cat, Const, Fragment, Mux, Signal, Value
from amaranth.hdl._ir import PortDirection
from amaranth.hdl._mem import MemoryInstance
from faults import Faulty

from rdahw.hdl.toolchain import find
from rdahw.hdl.toolchain import run as run_tool
from rdahw.sim.simulator import ports_of

_SCRIPT = """read_rtlil top.il
hierarchy -check -top top
proc
flatten
memory_map
opt -full
simplemap
techmap
opt -fast
setundef -zero
dfflegalize -cell $_DFF_P_ 01
aigmap
opt_clean -purge
write_aiger -ascii -map map.txt top.aag
"""

#: Of the simulation that invariants are guessed from.
_LANES, _CYCLES = 256, 1000
#: So many registers at most are looked at in pairs, those of narrow signals first.
_PAIRED = 120
#: The bits of a register that says what is going on.
_NARROW = 5
#: Of the solver for one question, in milliseconds: so many that a busy machine does not matter.
_PATIENCE = 600_000
#: Memories of so many bits are registers; larger ones are outside.
_SMALL = 128
#: Over how many cycles an induction goes: tried in this order.
_WINDOWS = (1, 4)


class Graph:
    """An and-inverter graph. A literal is twice a node's number, and one more for its complement; 0 is false.

    inputs, outputs: names and literals. registers: names, and literals of what is there and of what comes next. init:
    their values at power-up. ands: node, and the two literals that it is the conjunction of, in an order in which they
    can be computed.
    """

    def __init__(self, text: str, names: str) -> None:
        lines = iter(text.splitlines())
        _, n_inputs, n_registers, n_outputs, *rest = map(int, next(lines).split()[1:])
        n_ands = rest[0]
        assert not any(rest[1:]), "more than inputs, registers, outputs and gates"
        called: dict[tuple[str, int], str] = {}
        for line in names.splitlines():
            kind, number, bit, name = line.split(maxsplit=3)
            called[kind, int(number)] = f"{name}[{bit}]"
        inputs = [int(next(lines)) for _ in range(n_inputs)]
        registers = [[*map(int, next(lines).split())] for _ in range(n_registers)]
        outputs = [int(next(lines)) for _ in range(n_outputs)]
        self.ands = [tuple(map(int, next(lines).split())) for _ in range(n_ands)]
        self.inputs = {called["input", i]: literal for i, literal in enumerate(inputs)}
        self.outputs = {called.get(("output", i), f"output {i}"): literal for i, literal in enumerate(outputs)}
        self.registers = {called.get(("latch", i), f"register {i}"): (r[0], r[1]) for i, r in enumerate(registers)}
        self.init = [r[2] if len(r) > 2 else 0 for r in registers]
        assert (len(self.registers), len(self.outputs)) == (n_registers, n_outputs)

    def simulate(self, state: Sequence[int], cycles: int, random: Random) -> Iterator[list[int]]:
        """The values of each register after each of some cycles with random inputs, a bit for each of ``_LANES`` runs.

        Resets are rare; a third of the inputs changes in every cycle, the others now and then.
        """
        mask, registers = (1 << _LANES) - 1, list(self.registers.values())
        nodes = [*(a[0] for a in self.ands), *self.inputs.values(), *(r for r, _ in registers)]
        node = [0] * (max(nodes) // 2 + 1)
        gates = [(a >> 1, b >> 1, mask * (b & 1), c >> 1, mask * (c & 1)) for a, b, c in self.ands]
        inputs = {name: n >> 1 for name, n in self.inputs.items() if not name.startswith(("stuck_at_", "rst["))}
        rare = {name: random.getrandbits(_LANES) for name in inputs}
        resets = [n >> 1 for name, n in self.inputs.items() if name.startswith("rst[")]
        for cycle in range(cycles):
            for (literal, _), value in zip(registers, state, strict=True):
                node[literal >> 1] = value
            for name, n in inputs.items():
                if random.random() < 0.02:
                    rare[name] = random.choice((0, mask, random.getrandbits(_LANES)))
                node[n] = rare[name] if cycle % 3 else random.getrandbits(_LANES)
            for n in resets:
                node[n] = 0
                if random.random() < 0.02:
                    node[n] = random.getrandbits(_LANES) & random.getrandbits(_LANES) & random.getrandbits(_LANES)
            for a, b, complement_b, c, complement_c in gates:
                node[a] = (node[b] ^ complement_b) & (node[c] ^ complement_c)
            state = [node[n >> 1] ^ mask * (n & 1) for _, n in registers]
            yield list(state)


class Copy:
    """The graph over variables of the solver: literals as its expressions."""

    def __init__(self, graph: Graph, leaves: Mapping[int, Any], like: Copy | None = None) -> None:
        """leaves: of inputs and registers, by their nodes. like: a copy that equal parts are shared with."""
        self._graph, self._like = graph, like
        self._nodes: list[Any] = [None] * (1 + max(a[0] for a in graph.ands) // 2 + len(leaves))
        self._nodes[0] = False
        for n, value in leaves.items():
            self._nodes[n] = value
        # Without recursion, since they come in order.
        for a, b, c in graph.ands:
            self._nodes[a >> 1] = self._and(a >> 1, b, c)

    def _and(self, number: int, b: int, c: int) -> Any:
        x, y = self.literal(b), self.literal(c)
        if x is False or y is False:
            return False
        if x is True:
            return y
        if y is True or x is y:
            return x
        if self._like is not None and self._like.literal(b) is x and self._like.literal(c) is y:
            return self._like._nodes[number]
        return z3.And(x, y)

    def literal(self, literal: int) -> Any:
        value = self._nodes[literal >> 1]
        if not literal & 1:
            return value
        return (not value) if isinstance(value, bool) else self._not(literal >> 1, value)

    def _not(self, number: int, value: Any) -> Any:
        if self._like is not None and self._like._nodes[number] is value:
            return self._like._not(number, value)
        found = self._negations.get(number)
        if found is None:
            found = self._negations[number] = z3.Not(value)
        return found

    @cached_property
    def _negations(self) -> dict[int, Any]:
        return {}


def _differ(a: Any, b: Any) -> Any:
    """Whether two expressions differ; ``None``: they are one."""
    if a is b:
        return None
    if isinstance(a, bool) and isinstance(b, bool):
        return a != b
    if isinstance(b, bool):
        a, b = b, a
    if isinstance(a, bool):
        return z3.Not(b) if a else b
    return z3.Xor(a, b)


class Comparison:
    """A component, and whether each of its faults changes anything."""

    def __init__(self, faulty: Faulty) -> None:
        self.graph = graph = _graph(faulty)
        self._registers = list(graph.registers.values())
        self._given: dict[int, dict[int, Any]] = {}
        self._state = {literal >> 1: z3.Bool(f"now {name}") for name, (literal, _) in graph.registers.items()}
        self._golds: list[Copy] = []
        (self._gold,) = self._window(1)

    def _stuck(self, number: int, kind: str) -> Mapping[int, Any]:
        name, bit = Faulty.switch(number, kind)
        literal = self.graph.inputs.get(f"{name}[{bit}]")
        return {} if literal is None else {literal >> 1: True}

    def same_in_any_state(self, number: int, kind: str) -> bool:
        """Whether outputs and next state are proved to be the same with this fault, from any state on."""
        return self._induction(number, kind, 1, is_strict=True) is not None

    def same(self, number: int, kind: str) -> str | None:
        """How this fault is proved to change nothing; ``None``: it is not."""
        if self.same_in_any_state(number, kind):
            return "the same outputs and next state, in any state"
        for cycles in _WINDOWS:
            apart = self._induction(number, kind, cycles)
            if apart is not None:
                how = f"the same outputs in all states that are reached, by induction over {cycles} cycles"
                return (
                    f"{how}; of its own: {', '.join(apart)}" if apart else how.replace("outputs", "outputs and states")
                )
        return None

    def _induction(self, number: int, kind: str, cycles: int, *, is_strict: bool = False) -> list[str] | None:
        """The names of the registers that the fault may change, unseen; ``None``: the induction does not close.

        Assumed for so many cycles, and proved for the next one: all registers are equal in both machines but for some
        that are ``apart``, and each of these is equal as long as one of some other bits has a certain value. Which ones
        and which bits is found by what the solver finds against it. ``is_strict``: none is apart, and in any state.
        """
        gold = self._window(cycles)
        solver = self._any_state if is_strict else self._reachable(cycles)
        apart: dict[int, set[int]] = {}  # under which conditions they are equal
        stuck = self._stuck(number, kind)
        while True:
            gate: list[Copy] = []
            assumed: list[Any] = []
            state = {r >> 1: gold[0].literal(r) for r, _ in self._registers}
            state |= {self._registers[i][0] >> 1: z3.Bool(f"its own {i}") for i in apart}
            for j, step in enumerate(gold):
                gate.append(Copy(self.graph, {**self._inputs(j), **state, **stuck}, step))
                there = self._unlike(step, gate[-1], apart, gold[j + 1] if j + 1 < cycles else None)
                if j + 1 < cycles:
                    assumed += [z3.Not(d) for d in there.values() if not isinstance(d, bool)]
                    if True in there.values():
                        return None
                    state = {
                        r >> 1: gate[-1].literal(n) if i in apart else step.literal(n)
                        for i, (r, n) in enumerate(self._registers)
                    }
            first = self._conditions(
                gold[0],
                {i: _differ(gold[0].literal(self._registers[i][0]), z3.Bool(f"its own {i}")) for i in apart},
                apart,
            )
            assumed += [z3.Not(d) for d in first.values() if not isinstance(d, bool)]
            if not there:
                break
            solver.push()
            solver.set("timeout", _PATIENCE)
            solver.add(*assumed, z3.Or(list(there.values())))
            found = solver.check()
            model = solver.model() if found == z3.sat else None
            solver.pop()
            if model is None:
                if found != z3.unsat:
                    return None
                break
            last, wrong = self._against(model, stuck, cycles, apart)
            if is_strict or any(isinstance(key, str) for key in wrong):
                return None
            for i, condition in wrong:
                if condition is None:
                    apart[i] = {c for c in self._literals if not self._next(last, c)}
                else:
                    apart[i].discard(condition)
        if cycles > 1 and not self._starts_alike(stuck, cycles, apart):
            return None
        return sorted({list(self.graph.registers)[i].partition("[")[0] for i in apart})

    def _against(
        self, model: Any, stuck: Mapping[int, Any], cycles: int, apart: Mapping[int, set[int]]
    ) -> tuple[Copy, list[Any]]:
        """What the solver found against an induction: the last cycle without the fault, in values, and what differs."""

        def valued(leaves: Mapping[int, Any]) -> dict[int, bool]:
            return {
                n: v if isinstance(v, bool) else z3.is_true(model.eval(v, model_completion=True))
                for n, v in leaves.items()
            }

        state = valued(self._state)
        theirs = state | valued({self._registers[i][0] >> 1: z3.Bool(f"its own {i}") for i in apart})
        for j in range(cycles):
            inputs = valued(self._inputs(j))
            gold, gate = Copy(self.graph, inputs | state), Copy(self.graph, {**inputs, **theirs, **stuck})
            state = {r >> 1: gold.literal(n) for r, n in self._registers}
            theirs = state | {self._registers[i][0] >> 1: gate.literal(self._registers[i][1]) for i in apart}
        return gold, list(self._unlike(gold, gate, apart, None))

    def _unlike(self, gold: Copy, gate: Copy, apart: Mapping[int, set[int]], following: Copy | None) -> dict[Any, Any]:
        """What may not be: outputs that differ, and registers that will in the next cycle and must not."""
        found: dict[Any, Any] = {
            name: _differ(gold.literal(o), gate.literal(o)) for name, o in self.graph.outputs.items()
        }
        for i, (_, n) in enumerate(self._registers):
            if i not in apart:
                found[i, None] = _differ(gold.literal(n), gate.literal(n))
        found |= self._conditions(
            gold,
            {i: _differ(gold.literal(self._registers[i][1]), gate.literal(self._registers[i][1])) for i in apart},
            apart,
            following=True,
        )
        return {key: d for key, d in found.items() if d is not None and d is not False}

    def _conditions(
        self, gold: Copy, differ: Mapping[int, Any], apart: Mapping[int, set[int]], *, following: bool = False
    ) -> dict[Any, Any]:
        """Registers apart that differ under a condition under which they must not."""
        found: dict[Any, Any] = {}
        for i, d in differ.items():
            if d is None or d is False:
                continue
            for c in apart[i]:
                value = self._next(gold, c) if following else self._now(gold, c)
                if value is not False:
                    found[i, c] = d if value is True else (value if d is True else z3.And(value, d))
        return found

    def _starts_alike(self, stuck: Mapping[int, Any], cycles: int, apart: Mapping[int, set[int]]) -> bool:
        """Whether all that is assumed for so many cycles is so after power-up."""
        state = {r >> 1: bool(init) for (r, _), init in zip(self._registers, self.graph.init, strict=True)}
        theirs, solver = dict(state), z3.SolverFor("QF_FD")
        for j in range(cycles):
            gold = Copy(self.graph, {**self._inputs(j), **state})
            gate = Copy(self.graph, {**self._inputs(j), **theirs, **stuck}, gold)
            wrong = list(self._unlike(gold, gate, apart, None).values())
            if wrong:
                solver.push()
                solver.add(z3.Or([z3.BoolVal(x) if isinstance(x, bool) else x for x in wrong]))
                if solver.check() != z3.unsat:
                    return False
                solver.pop()
            state = {r >> 1: gold.literal(n) for r, n in self._registers}
            theirs = {r >> 1: gate.literal(n) for r, n in self._registers}
        return True

    @cached_property
    def _literals(self) -> list[int]:
        """Bits that conditions are made of, as in clauses: those of narrow registers."""
        names = [name.partition("[")[0] for name in self.graph.registers]
        counts = Counter(names)
        return [sign * (i + 1) for i, name in enumerate(names) if counts[name] <= _NARROW for sign in (1, -1)]

    def _now(self, gold: Copy, literal: int) -> Any:
        value = gold.literal(self._registers[abs(literal) - 1][0])
        return value if literal > 0 else _negated(value)

    def _next(self, gold: Copy, literal: int) -> Any:
        value = gold.literal(self._registers[abs(literal) - 1][1])
        return value if literal > 0 else _negated(value)

    def _window(self, cycles: int) -> list[Copy]:
        """The component without a fault in so many cycles, from any state on."""
        while len(self._golds) < cycles:
            j, before = len(self._golds), self._golds[-1:]
            state = {r >> 1: before[0].literal(n) for r, n in self._registers} if before else self._state
            self._golds.append(Copy(self.graph, {**self._inputs(j), **state}))
        return self._golds[:cycles]

    def _inputs(self, cycle: int) -> dict[int, Any]:
        if cycle not in self._given:
            self._given[cycle] = {
                literal >> 1: False if name.startswith("stuck_at_") else z3.Bool(f"in {cycle} {name}")
                for name, literal in self.graph.inputs.items()
            }
        return self._given[cycle]

    @cached_property
    def _any_state(self) -> Any:
        return z3.SolverFor("QF_FD")

    def _reachable(self, cycles: int) -> Any:
        """A solver that knows the invariants of so many cycles."""
        if cycles not in self._solvers:
            self._solvers[cycles] = solver = z3.SolverFor("QF_FD")
            for gold in self._window(cycles):
                for clause in self.invariants:
                    solver.add(_any(self._now(gold, literal) for literal in clause))
        return self._solvers[cycles]

    @cached_property
    def _solvers(self) -> dict[int, Any]:
        return {}

    @cached_property
    def invariants(self) -> list[tuple[int, ...]]:
        """Clauses of registers that hold in every state that is reached."""
        clauses = list(self._candidates())
        solver = z3.SolverFor("QF_FD")
        holds = [z3.Bool(f"clause {i}") for i in range(len(clauses))]
        breaks = [z3.Bool(f"broken {i}") for i in range(len(clauses))]
        for clause, hold, broken in zip(clauses, holds, breaks, strict=True):
            solver.add(z3.Implies(hold, _any(self._now(self._gold, i) for i in clause)))
            solver.add(z3.Implies(broken, z3.Not(_any(self._next(self._gold, i) for i in clause))))
        alive = list(range(len(clauses)))
        random, mask, self.rounds = Random(2), (1 << _LANES) - 1, 0
        while True:
            self.rounds += 1
            solver.push()
            solver.add(z3.Or([breaks[i] for i in alive]))
            found = solver.check(*(holds[i] for i in alive))
            model = solver.model() if found == z3.sat else None
            solver.pop()
            if model is None:
                assert found == z3.unsat
                return [clauses[i] for i in alive]
            # What breaks clauses in the next cycle breaks others in those behind it, and with other inputs.
            now = [self._gold.literal(r) for r, _ in self._registers]
            following = [self._gold.literal(n) for _, n in self._registers]
            first, second = (
                [
                    mask * (v if isinstance(v, bool) else z3.is_true(model.eval(v, model_completion=True)))
                    for v in values
                ]
                for values in (now, following)
            )
            for state in chain([second], self.graph.simulate(first, 1, random), self.graph.simulate(second, 6, random)):
                wrong = [[value ^ mask for value in state], state]  # where a literal is 0: i + 1, and -i - 1
                alive = [i for i in alive if not self._broken(clauses[i], wrong)]

    @staticmethod
    def _broken(clause: tuple[int, ...], wrong: Sequence[Sequence[int]]) -> int:
        """In which lanes all literals of the clause are 0."""
        lanes = -1
        for i in clause:
            lanes &= wrong[0][i - 1] if i > 0 else wrong[1][-i - 1]
        return lanes

    def _candidates(self) -> Iterator[tuple[int, ...]]:
        """Clauses that hold at power-up and were never seen broken: of a register, of two, of a machine's states."""
        graph = self.graph
        kept, seen = _LANES // 4, [0] * len(graph.registers)
        start = [(1 << _LANES) - 1 if init else 0 for init in graph.init]
        for state in graph.simulate(start, _CYCLES, Random(1)):
            seen = [before << kept | value & (1 << kept) - 1 for before, value in zip(seen, state, strict=True)]
        ones = (1 << kept * _CYCLES) - 1
        names = list(graph.registers)
        constant = {i for i, value in enumerate(seen) if value in (0, ones)}
        for i in sorted(constant):
            if bool(seen[i]) == bool(graph.init[i]):
                yield (i + 1 if seen[i] else -i - 1,)
        widths: dict[str, int] = {}
        for name in names:
            widths[name.partition("[")[0]] = widths.get(name.partition("[")[0], 0) + 1
        order = sorted(set(range(len(names))) - constant, key=lambda i: (widths[names[i].partition("[")[0]], i))
        # Those of one bit that were never seen to change are looked at beside the others.
        paired = {*order[:_PAIRED], *(i for i in constant if widths[names[i].partition("[")[0]] == 1)}
        pairs = set(combinations(sorted(paired), 2))
        # Values that a narrow register never has.
        for _, bits in groupby(sorted(order), key=lambda i: names[i].partition("[")[0]):
            pairs |= {pair for pair in combinations(bits, 2) if widths[names[pair[0]].partition("[")[0]] <= _NARROW}
        for i, j in sorted(pairs):
            for one, other in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                # The clause is broken where both literals are 0.
                a, b = (seen[k] if sign < 0 else ones ^ seen[k] for k, sign in ((i, one), (j, other)))
                at_start = (graph.init[i] if one > 0 else not graph.init[i]) or (
                    graph.init[j] if other > 0 else not graph.init[j]
                )
                if at_start and not a & b:
                    yield (one * (i + 1), other * (j + 1))
        states = [i for i, name in enumerate(names) if ".at_" in f".{name}" and widths[name.partition("[")[0]] == 1]
        # What narrow registers beside a machine are in one of its states, also in those that were never seen.
        for i in states:
            machine = names[i].rpartition(".")[0]
            for j, name in enumerate(names):
                if name.rpartition(".")[0] != machine or widths[name.partition("[")[0]] > _NARROW or {i, j} <= paired:
                    continue
                for other in (1, -1):
                    at_start = not graph.init[i] or graph.init[j] == (other > 0)
                    if i != j and at_start and not seen[i] & (seen[j] if other < 0 else ones ^ seen[j]):
                        yield (-i - 1, other * (j + 1))
        # Of states that were never seen: no two at once.
        for i, j in combinations(states, 2):
            if (i in constant or j in constant) and not (graph.init[i] and graph.init[j]):
                yield (-i - 1, -j - 1)
        groups: dict[str, list[int]] = {}
        for i in states:
            groups.setdefault(names[i].rpartition(".")[0], []).append(i)
        for group in groups.values():
            if any(graph.init[i] for i in group):
                yield tuple(i + 1 for i in group)


def _any(values: Iterable[Any]) -> Any:
    return z3.Or([z3.BoolVal(x) if isinstance(x, bool) else x for x in values])


def _negated(value: Any) -> Any:
    return (not value) if isinstance(value, bool) else z3.Not(value)


def _graph(faulty: Faulty) -> Graph:
    """The graph of a component with faults."""
    fragment = Fragment.get(faulty, None)
    ports = {
        name: (port.value, PortDirection.Input if port.is_input else PortDirection.Output)
        for name, port in ports_of(faulty).items()
        if not isinstance(port.value, Const)
    }
    ports |= _cut_memories(fragment)
    text, _ = rtlil.convert_fragment(fragment, ports, "top", emit_src=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "top.il").write_text(str(text), encoding="utf-8")
        (folder / "graph.ys").write_text(_SCRIPT, encoding="utf-8")
        run_tool(find("yosys"), ["-q", "-s", "graph.ys"], cwd=folder, log="log", makes=["top.aag", "map.txt"])
        return Graph((folder / "top.aag").read_text(encoding="utf-8"), (folder / "map.txt").read_text(encoding="utf-8"))


def _cut_memories(fragment: Fragment, path: str = "") -> dict[str, Any]:
    """Takes each memory that is written to out of the fragment: its ports become those of the design."""
    ports: dict[str, Any] = {}

    def shown(name: str, value: Any) -> None:
        signal = Signal(len(value), name=name)
        fragment.add_statements("comb", signal.eq(value))
        ports[name] = signal, PortDirection.Output

    kept = []
    for part, name, line in fragment.subfragments:
        inside = f"{path}{name}_"
        if not isinstance(part, MemoryInstance):
            ports |= _cut_memories(part, inside)
        elif part._write_ports and part._data.depth * len(part._read_ports[0]._data) > _SMALL:
            for number, port in enumerate(part._read_ports):
                ports[f"{inside}read{number}"] = port._data, PortDirection.Input
                if len(port._addr):
                    shown(f"{inside}read{number}_at", Cat(port._addr, port._en))
            for number, port in enumerate(part._write_ports):
                mask = Cat(bit.replicate(port._granularity) for bit in Value.cast(port._en))
                shown(f"{inside}write{number}", Cat(port._en, port._data & mask))
                if len(port._addr):
                    shown(f"{inside}write{number}_at", Mux(port._en.any(), port._addr, 0))
            continue
        kept.append((part, name, line))
    fragment.subfragments[:] = kept
    return ports
