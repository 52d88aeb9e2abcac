"""Mutants: the tables and the trainers with one thing wrong, and what notices it.

``python tests/mutants.py --write`` makes all of them, from every row of the reverse and of the hardware table
and from every signal and condition of the modules, and writes down what became of each, in
``tests/golden/mutants.tsv``. A mutant is *killed* by a claim that is refuted or by a named test that fails, or it is
*equivalent*: proved to do what the original does. Anything else is *alive*: a gap in the proofs and tests.
"""

from __future__ import annotations

import argparse
import importlib.util
import linecache
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from amaranth.back import rtlil
from faults import KINDS, NoPlace, fault, sites
from mutations import mutated_circuits, mutated_rows
from scenarios import Design, Scenario, designs

from rdahw import Circuit, Learner, Model, Switches, lookup_model, reverse, trace
from rdahw.claims import adjoint, equal
from rdahw.families.layers.circuits import PASSED
from rdahw.hdl import circuit as hdl_circuit
from rdahw.hdl import trainer as trainer_interface
from rdahw.hdl.proof import gateware, prove
from rdahw.hdl.serial_mask import SerialMaskTrainer
from rdahw.hdl.toolchain import ToolFailure, find
from rdahw.hdl.toolchain import run as run_tool
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.hdl.trainer_proof import trainer as trainer_claim
from rdahw.primitives import PRIMITIVES
from rdahw.sim.reference import run
from rdahw.tracing import Wire

TESTS = Path(__file__).parent
LIST = TESTS / "golden" / "mutants.tsv"
PAGE = TESTS.parent / "docs" / "mutants.md"

#: What a mutant is known by in the list: section, where, change.
Key = tuple[str, str, str]
Verdict = Literal["killed", "equivalent", "alive"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant. killer: the claim or the test. how: in which way it noticed."""

    verdict: Verdict
    killer: str = ""
    how: str = ""
    seconds: float = 0.0


#: Decides a mutant that is in force, or says nothing.
Killer = Callable[[], Fate | None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing wrong. where: the table or the trainer, and what of it. change: what is wrong with it.

    force: makes it so for a while. killers: are asked in this order.
    """

    section: str
    where: str
    change: str
    force: Callable[[], AbstractContextManager[None]]
    killers: Sequence[Killer]

    @property
    def key(self) -> Key:
        """What the mutant is known by in the list."""
        return self.section, self.where, self.change

    def fate(self) -> Fate:
        """Make it, and ask one killer after the other."""
        started = time.monotonic()
        with self.force():
            fate = next((found for killer in self.killers if (found := killer()) is not None), Fate("alive"))
        return replace(fate, seconds=time.monotonic() - started)


# -- killers -----------------------------------------------------------------------------------------------------------


def claimed(make: Callable[[], Any]) -> Killer:
    """A claim about the mutant: refuted, it is dead; proved, it is no mutant."""

    def ask() -> Fate | None:
        claim = make()
        with tempfile.TemporaryDirectory() as folder:
            (proof,) = prove([claim], replay=run, cache=Path(folder), jobs=1)
        if proof.verdict == "open":
            return None
        if proof.verdict == "proved":
            return Fate("equivalent", claim.name, "proved")
        how = ", ".join(f"{name}={bits}" for name, bits in (proof.counterexample or {}).items())
        if proof.cycles:
            different = dict.fromkeys(name for side in (proof.found or {}).values() for name in side)
            how = f"{', '.join(different)} in cycle {len(proof.cycles)}"
        return Fate("killed", claim.name, f"refuted: {how}")

    return ask


def refused(make: Callable[[], Any]) -> Killer:
    """What cannot even be made of the mutant."""

    def ask() -> Fate | None:
        try:
            make()
        except ValueError as error:
            return Fate("killed", "an error", str(error))
        return None

    return ask


def same(make: Callable[[], Circuit]) -> Killer:
    """Whether the mutant's circuit is proved to be that of the original, which is now in force."""
    original = make()

    def ask() -> Fate | None:
        fate = claimed(lambda: equal(make(), original))()
        return fate if fate is not None and fate.verdict == "equivalent" else None

    return ask


@cache
def module(file: str) -> ModuleType:
    """A file of tests, as a module."""
    spec = importlib.util.spec_from_file_location(Path(file).stem + "_for_mutants", TESTS / file)
    assert spec is not None
    assert spec.loader is not None
    result = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = result
    spec.loader.exec_module(result)
    return result


def tested(file: str, test: str, *arguments: Any) -> Killer:
    """A test, with its parameters: the mutant is dead if an assertion fails, and for no other reason."""
    name = f"{Path(file).stem}.{test}"
    shown = ", ".join("one gate" if isinstance(value, Circuit) else repr(value) for value in arguments)

    def ask() -> Fate | None:
        function = getattr(module(file), test)
        try:
            # Of a test of drawn circuits the test itself, of the one given.
            getattr(getattr(function, "hypothesis", None), "inner_test", function)(*arguments)
        except AssertionError as error:
            return Fate("killed", name, f"({shown}) {_failed(error)}")
        except NoPlace:  # the test's component is of another size and has no such bit
            return None
        return None

    return ask


def _failed(error: AssertionError) -> str:
    """The line of the tests that failed."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(TESTS)]
    return linecache.getline(ours[-1].filename, ours[-1].lineno or 0).strip()


def unchanged(make: Callable[[], Any]) -> Killer:
    """Whether the component is proved to be what it is without the fault: from any state and inputs it gives the same
    outputs and the same next state."""
    original = text(make(), "gold")

    def ask() -> Fate | None:
        found = find("yosys")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "gold.il").write_text(original, encoding="utf-8")
            (folder / "gate.il").write_text(text(make(), "gate"), encoding="utf-8")
            (folder / "proof.ys").write_text(_EQUIVALENCE, encoding="utf-8")
            try:
                log = run_tool(found, ["-q", "-s", "proof.ys"], cwd=folder, log="log").log
            except ToolFailure:  # the two have not the same registers
                return None
        return Fate("equivalent", "same machine", "proved") if _EQUIVALENT in log else None

    return ask


def text(component: Any, name: str) -> str:
    """The component as RTLIL, in which a name's number, for one of several alike, does not count other names."""
    numbers: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"{found[1]}$n{len(numbers)}")

    return re.sub(r"(\\\$signature__\w+)\$\d+\b", numbered, str(rtlil.convert(component, name=name, emit_src=False)))


#: Flip-flops become ports, so that what is compared is the next state and the outputs, from any state and inputs.
_PREPARE = """read_rtlil {0}.il
hierarchy -check -top {0}
proc
flatten
memory_map
opt -full
dffunmap
opt_clean -purge
expose -dff -evert-dff
design -stash {0}
"""
_EQUIVALENCE = (
    _PREPARE.format("gold")
    + _PREPARE.format("gate")
    + "design -copy-from gold gold\ndesign -copy-from gate gate\n"
    + "miter -equiv -flatten gold gate miter\nsat -prove trigger 0 miter\n"
)
_EQUIVALENT = "SAT proof finished - no model found: SUCCESS!"


# -- the reverse table and the hardware table --------------------------------------------------------------------------

#: Bounds for the gate that a row's mutants are looked at on: bits of its operands, of which all are tried, and
#: assignments of its reverse derivative, each of which is changed in several ways.
MAX_BITS = 10
MAX_ASSIGNMENTS = 50


#: The tests that have shapes for each primitive, of bits, of words and of scalars, and those of switches.
PRIMITIVE, WORDS, SCALARS = "core/test_primitives.py", "core/test_words.py", "core/test_rings.py"
SWITCHES = "core/test_switches.py"


@cache
def gate(name: str, kind: str = "") -> tuple[Circuit, tuple[Any, ...]]:
    """A circuit of one gate of this primitive, and its shape: of those that are tested the widest within the bounds.

    ``kind``: the tests with the shapes; by default the first that have some.
    """
    tests = module(kind or next(tests for tests in (PRIMITIVE, WORDS, SCALARS) if name in module(tests).SHAPES))
    sizes = {}
    for number, shape in enumerate(tests.SHAPES[name]):
        circuit = tests.single(name, *shape)
        bits = sum(type_.width for type_ in circuit.input_types)
        is_small = bits <= MAX_BITS and len(rule(circuit).assignments) <= MAX_ASSIGNMENTS
        sizes[number] = (is_small, bits if is_small else -bits, circuit.output_types[0].width)
    shape = tests.SHAPES[name][max(sizes, key=lambda number: sizes[number])]
    return tests.single(name, *shape), (name, *shape)


def rule(circuit: Circuit) -> Circuit:
    """The reverse rule of the one gate of a circuit: cotangents of all operands that there is a derivative by."""
    primitive, operands, _ = circuit.assignments[0]
    selects = {operands[k] for k in PRIMITIVES[primitive].selects}
    return reverse(circuit, wrt=[name for i, name in enumerate(circuit.input_names) if i not in selects])


@contextmanager
def patched(table: Any, name: str, row: Any) -> Iterator[None]:
    """While this lasts, the table has another row."""
    original = table[name]
    table[name] = row
    try:
        yield
    finally:
        table[name] = original


#: The columns of the table with reverse rules, by the section of their mutants.
RULES = {"reverse rules": "reverse", "signed rules": "signed"}


def reverse_mutants(name: str, section: str = "reverse rules") -> Iterator[Mutant]:
    """The reverse rule of a primitive, as the circuit that it makes, with one thing in that circuit changed.

    A row without a rule has that of its expansion, so it is that which is changed.
    """
    signed = section == "signed rules"
    circuit, shape = gate(name, SWITCHES if signed else "")
    row, arguments = PRIMITIVES[name], len(circuit.assignments[0].operands)

    def force(rule: Callable[..., Any]) -> Callable[[], AbstractContextManager[None]]:
        return lambda: patched(PRIMITIVES, name, replace(row, **{RULES[section]: rule}))

    def inlined(changed: Circuit) -> Callable[..., Any]:
        def reverse(dy: Wire, *given: Any) -> list[Wire | None]:
            cotangents = iter(dy.builder.inline(changed, [*given[:arguments], dy]))
            return [None if k in row.selects else next(cotangents) for k in range(arguments)]

        return reverse

    def one_more(dy: Wire, *given: Any) -> list[Wire]:
        return [*given[:arguments], dy]

    if signed:
        killers = [
            tested(SWITCHES, "test_a_signed_rule_is_the_derivative_of_the_polynomial", *shape),
            same(lambda: rule(circuit)),
        ]
    elif name == "embed_switches":
        killers = [tested(SWITCHES, "test_cotangents_of_embedded_switches_pass", circuit.input_types[0])]
    elif name in module(PRIMITIVE).SHAPES:
        killers = [
            claimed(lambda: adjoint(circuit)),
            tested(PRIMITIVE, "test_reverse_is_the_boolean_difference", *shape),
        ]
    elif name in module(SCALARS).SHAPES:
        killers = [claimed(lambda: adjoint(circuit)), same(lambda: rule(circuit))]
    else:  # the claim is of bits alone
        named = circuit.renamed(outputs=["words"])
        killers = [
            tested(WORDS, "test_forward_and_reverse_derivative_are_adjoint_over_the_ring", named),
            same(lambda: rule(circuit)),
        ]
    if len(row.selects) < arguments:
        for change, changed in mutated_circuits(rule(circuit)):
            yield Mutant(section, name, change, force(inlined(changed)), killers)
    yield Mutant(section, name, "a cotangent more than operands", force(one_more), [refused(lambda: rule(circuit))])


LAYERS = "core/test_table_layers.py"


def block_mutants(name: str) -> Iterator[Mutant]:
    """What a block of this name in layers of tables passes back, as the circuit that it makes, with one thing in that
    circuit changed."""
    type_ = Switches(2, 3)

    def back() -> Circuit:
        return trace(PASSED[name], v=type_, dy=type_.tangent)

    killers = [tested(LAYERS, "test_what_a_block_passes_back", name), same(back)]
    for change, changed in mutated_circuits(back()):
        inlined = lambda v, dy, changed=changed: dy.builder.inline(changed, [v, dy])[0]  # noqa: E731
        force = lambda inlined=inlined: patched(PASSED, name, inlined)  # noqa: E731
        yield Mutant("blocks of layers", name, change, force, killers)


def hardware_mutants(name: str) -> Iterator[Mutant]:
    """The row of a primitive in the hardware table with its result, an operand or an attribute changed."""
    circuit, _ = gate(name)
    _, operands, attributes = circuit.assignments[0]
    types = [circuit.types[i] for i in operands]
    row, killers = hdl_circuit.ROWS[name], [claimed(lambda: gateware(circuit))]
    for change, changed in mutated_rows(row, types, circuit.output_types[0], attributes, name):
        force = lambda changed=changed: patched(hdl_circuit.ROWS, name, changed)  # noqa: E731
        yield Mutant("hardware rows", name, change, force, killers)


# -- trainers ----------------------------------------------------------------------------------------------------------

REGISTER = "hdl/test_register_trainer.py"
ACCESS = "hdl/test_trainer_with_access.py"
SERIAL = "hdl/test_serial_mask.py"


@dataclass(frozen=True, slots=True)
class Trainer:
    """A kind of trainer: how one is made, and what is asked about its mutants."""

    name: str
    make: Callable[[], Any]
    killers: Sequence[Killer]

    def mutants(self) -> Iterator[Mutant]:
        component = self.make()
        killers = [*self.killers, unchanged(self.make)]
        for site in sites(component):
            for kind in KINDS:
                force = lambda site=site, kind=kind: fault(type(component), site, kind)  # noqa: E731
                yield Mutant(self.name, site.text, kind, force, killers)


def counting_in_4_bits(make: Callable[[], Any]) -> Callable[[], Any]:
    """The trainer with counters that wrap within a test, so that a fault of their highest bit is noticed."""

    def small() -> Any:
        with patched(vars(trainer_interface), "COUNTER_BITS", 4):
            return make()

    return small


def trainers() -> Iterator[Trainer]:
    """Every kind of trainer that there is."""
    lookup = Learner(Model("lookup", lookup_model(3, 2)))
    gated = module(REGISTER).LEARNERS["gated"]
    kinds = [
        (lookup, batch, stages, access) for access in (False, True) for batch in (False, True) for stages in (1, 2)
    ]
    for learner, batch, stages, access in [*kinds, (gated, False, 2, False), (gated, True, 2, False)]:
        name = f"register trainer, {'batch' if batch else 'immediate'}, {stages} stage{'s' * (stages > 1)}"
        name += ", access" * access + ", no kernel" * (learner is gated)
        options = {"batch": batch, "stages": stages, "access": access}
        make = partial(RegisterTrainer, learner, **options)
        claim = claimed(partial(trainer_claim, learner, **options))
        # The claim is of any stream; the test is for what would take it more cycles than it looks at.
        if access:  # what a test sees is seen sooner
            killers = [
                tested(REGISTER, "test_parameters_counters_and_clear", "lookup 3 -> 2", batch, stages),
                tested(ACCESS, "test_it_is_the_software_learner", batch, stages),
                claim,
            ]
        else:
            known = "gated" if learner is gated else "lookup 3 -> 2"
            stream = (known, "any" if batch else None, stages, "both")
            killers = [claim, tested(REGISTER, "test_it_is_the_software_learner", *stream)]
        yield Trainer(name, counting_in_4_bits(make) if access else make, killers)
    sizes = [(20, 4, 8, 150, 0), (20, 4, 8, 150, 0.3), (16, 2, 8, 150, 0.3)]
    streams = [tested(SERIAL, "test_it_is_the_software_learner", *size) for size in sizes]
    yield Trainer("serial mask trainer", lambda: SerialMaskTrainer(20, 4, word=8), streams)
    accesses = [tested(SERIAL, "test_parameters_counters_and_clear", 21, 8)]
    accesses += [
        tested(SERIAL, "test_examples_and_accesses_at_any_time", *size)
        for size in ((21, 3, 0), (21, 3, 0.3), (16, 2, 0))
    ]
    make = counting_in_4_bits(partial(SerialMaskTrainer, 21, 3, word=8, access=True))
    yield Trainer("serial mask trainer, access", make, accesses)


# -- modules in scenarios ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Played:
    """A scenario with the fault that is in force: the mutant is dead if what comes of it is not what software says."""

    design: Design
    scenario: Scenario

    @property
    def name(self) -> str:
        """What the list calls it."""
        return self.design.called(self.scenario)

    def __call__(self) -> Fate | None:
        """The killer."""
        wrong = self.design.ask(self.scenario)
        return None if wrong is None else Fate("killed", self.name, wrong[:80])


def named(killer: Killer) -> str:
    """The name of a scenario that is a killer; of others none."""
    return killer.name if isinstance(killer, Played) else ""


def compared(design: Design) -> Killer:
    """Whether the fault that is in force is proved to change nothing."""

    def ask() -> Fate | None:
        how = None if design.fault is None else design.comparison.same(*design.fault)
        return None if how is None else Fate("equivalent", "proved by induction", how)

    return ask


def design_mutants(design: Design) -> Iterator[Mutant]:
    """Each fault of a module that is run in scenarios."""
    killers = [*(Played(*scenario) for scenario in design.all_scenarios()), compared(design)]
    for number, site in enumerate(design.sites):
        for kind in KINDS:
            yield Mutant(design.name, site.text, kind, partial(design.stuck, number, kind), killers)


@cache
def mutants() -> tuple[Mutant, ...]:
    """All mutants there are, in the order in which they are made."""
    signed = (name for name, row in PRIMITIVES.items() if row.signed is not None)
    rules = chain(
        chain.from_iterable(map(reverse_mutants, PRIMITIVES)),
        chain.from_iterable(reverse_mutants(name, "signed rules") for name in signed),
        chain.from_iterable(map(block_mutants, PASSED)),
    )
    rows = chain.from_iterable(map(hardware_mutants, hdl_circuit.ROWS))
    modules = chain.from_iterable(design_mutants(design) for design in designs())
    found = tuple(chain(rules, rows, *(trainer.mutants() for trainer in trainers()), modules))
    twice = [key for key, count in Counter(mutant.key for mutant in found).items() if count > 1]
    assert not twice, f"two mutants are called {twice[0]}"
    return found


# -- the list and the page ---------------------------------------------------------------------------------------------

_COLUMNS = ("section", "where", "change", "verdict", "by", "how")


def write_list(fates: Mapping[Key, Fate]) -> None:
    """The list: a line a mutant, sorted, so that two changes of it are merged as those of a source file are."""
    lines = [(*key, fate.verdict, fate.killer, fate.how) for key, fate in sorted(fates.items())]
    text = "".join("\t".join(" ".join(cell.split()) for cell in line) + "\n" for line in [_COLUMNS, *lines])
    LIST.write_text(text, encoding="utf-8")


def read_list() -> dict[Key, Fate]:
    """What the list says of each mutant."""
    head, *lines = (line.split("\t") for line in LIST.read_text(encoding="utf-8").splitlines())
    assert tuple(head) == _COLUMNS
    return {(section, where, change): Fate(verdict, *rest) for section, where, change, verdict, *rest in lines}


def table(fates: Mapping[Key, Fate]) -> str:
    """How many mutants there are of each section, and what became of them, for the page."""
    lines = [
        "| section | mutants | found by a claim | found by a test | equivalent | alive |",
        "|---|---|---|---|---|---|",
    ]
    for section in [*dict.fromkeys(section for section, _, _ in fates), ""]:
        found = [fate for key, fate in fates.items() if section in ("", key[0])]
        ways = Counter(_way(fate) for fate in found)
        counts = [len(found), *(ways[way] for way in ("claim", "test", "equivalent", "alive"))]
        lines.append(f"| {section or 'all'} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def _way(fate: Fate) -> str:
    if fate.verdict != "killed":
        return fate.verdict
    return "claim" if fate.how.startswith("refuted") else "test"


_TABLE = re.compile(r"(?<=<!-- table mutants -->\n).*?(?=\n<!-- end -->)", re.DOTALL)


def page(fates: Mapping[Key, Fate]) -> str:
    """The page with the table of these."""
    return _TABLE.sub(lambda _: table(fates), PAGE.read_text(encoding="utf-8"))


def false_alarms() -> Iterator[str]:
    """Killers that find something wrong where nothing is."""
    for killers in dict.fromkeys(tuple(mutant.killers) for mutant in mutants()):
        for killer in killers:
            fate = killer()
            if fate is not None and fate.verdict != "equivalent":
                yield f"{fate.killer}: {fate.how}"


def at_once() -> None:
    """From now on there are many runs of each design."""
    Design.at_once = True


def fate_of(number: int) -> Fate:
    """The fate of one mutant; for processes, which know it by its number."""
    return mutants()[number].fate()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make all mutants, and see what kills them.")
    written = " and ".join(str(path.relative_to(TESTS.parent)) for path in (LIST, PAGE))
    parser.add_argument("--write", action="store_true", help=f"write {written}")
    parser.add_argument(
        "--new", action="store_true", help="only those that it does not list; the others stay as listed"
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="only those in whose name this is, without writing")
    parser.add_argument("--jobs", metavar="N", type=int, help="processes (default: one a processor)")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("the list holds all mutants: --write does not go with --only")
    fates = read_list() if options.new else {}
    numbers = [n for n, m in enumerate(mutants()) if m.key not in fates and options.only in ": ".join(m.key)]
    at_once()
    if not options.new:
        for alarm in false_alarms():
            print(f"without any mutant: {alarm}")  # noqa: T201
            return 1
    with ProcessPoolExecutor(options.jobs, initializer=at_once) as pool:
        for done, (number, fate) in enumerate(zip(numbers, pool.map(fate_of, numbers), strict=True), 1):
            key = mutants()[number].key
            fates[key] = fate
            if fate.verdict == "alive" or not options.write:
                print(*key, fate.verdict, fate.killer, fate.how, f"{fate.seconds:.1f}", sep=" | ", flush=True)  # noqa: T201
            elif done % 100 == 0:
                print(f"{done} of {len(numbers)}", flush=True)  # noqa: T201
    if options.write:
        fates = {mutant.key: fates[mutant.key] for mutant in mutants()}
        write_list(fates)
        PAGE.write_text(page(read_list()), encoding="utf-8")
    return int(any(fate.verdict == "alive" for fate in fates.values()))


if __name__ == "__main__":
    sys.exit(main())
