"""Scenarios: named runs of a module in small sizes, with all that must come out of them told by software.

A scenario is a function of a :class:`Bench`; it fails by an assertion, or because a stream stands still. What it
expects is computed by models that know nothing of the gateware, so each is a test, which the module as it is passes;
and each of its faults must fail one of them, or be proved to change nothing (``tests/mutants.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from importlib import import_module
from typing import Any, ClassVar
from unittest import mock

from amaranth.hdl import Cat, Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from equivalence import Comparison
from faults import Faulty, Site

from rdahw.sim import cxxrtl
from rdahw.sim.native import NativeSimulator
from rdahw.sim.simulator import Port, Simulator, choose_engine, make_simulator, ports_of


class Bench(wiring.Component):
    """A component with faults between two ports: all of its inputs in one, all of its outputs in the other, so that a
    cycle takes few calls into a simulator. Streams in ``streams`` are ports as they are.

    reset : In(1): that of the component.
    """

    def __init__(self, faulty: Faulty, streams: Collection[str] = ()) -> None:
        self.faulty = faulty
        members = {"reset": In(1), **faulty.switches}
        members |= {name: faulty.signature.members[name] for name in streams}
        self._streams = streams
        #: Where each port is: its first bit and its width.
        self.places: dict[str, tuple[int, int]] = {}
        self._parts: dict[bool, list[Any]] = {True: [], False: []}
        for name, port in ports_of(faulty).items():
            if name not in members and name.partition("__")[0] not in members:
                parts = self._parts[port.is_input]
                self.places[name] = sum(map(len, parts)), port.width
                parts.append(port.value)
        super().__init__(
            {
                **members,
                **{name: flow(sum(map(len, self._parts[way]))) for name, way, flow in _PACKED if self._parts[way]},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.faulty = ResetInserter(self.reset)(self.faulty)
        for name in self.faulty.switches:
            m.d.comb += getattr(self.faulty, name).eq(getattr(self, name))
        for name in self._streams:
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.faulty, name))
        if self._parts[True]:
            m.d.comb += Cat(self._parts[True]).eq(self.inputs)
        if self._parts[False]:
            m.d.comb += self.outputs.eq(Cat(self._parts[False]))
        return m


_PACKED = (("inputs", True, In), ("outputs", False, Out))


class Run:
    """A bench in a simulator from power-up on."""

    def __init__(self, simulator: Simulator, places: dict[str, tuple[int, int]]) -> None:
        self.simulator, self._places = simulator, places
        self._inputs = 0
        self.cycle = 0

    def set(self, **values: int) -> None:
        """Drive inputs of the component."""
        for name, value in values.items():
            at, width = self._places[name]
            self._inputs = self._inputs & ~((1 << width) - 1 << at) | (value & (1 << width) - 1) << at
        self.simulator.set("inputs", self._inputs)

    def get(self, *names: str) -> Any:
        """The values of outputs of the component, or the value of the only one asked for."""
        outputs = self.simulator.get("outputs")
        values = [outputs >> at & (1 << width) - 1 for at, width in (self._places[name] for name in names)]
        return values if len(values) > 1 else values[0]

    def tick(self, count: int = 1) -> None:
        self.simulator.tick(count)
        self.cycle += count

    def reset(self, cycles: int = 1) -> None:
        """The component is reset for some cycles."""
        self.simulator.set("reset", 1)
        self.tick(cycles)
        self.simulator.set("reset", 0)


#: Runs and asserts.
Scenario = Callable[[Run], None]


@dataclass(eq=False)
class Design:
    """A module at a small size, and what is known to notice its faults.

    name: the section of the list of mutants. make: the component. skip: its submodules that have sections of their own.
    bench: the component with faults, in what the scenarios need around it. parts: submodules by their names, which by
    themselves are run with more than comes their way in the module.
    """

    name: str
    make: Callable[[], Any]
    scenarios: Sequence[Scenario]
    skip: Collection[str] = ()
    bench: Callable[[Faulty], Any] = Bench
    parts: Mapping[str, Design] = field(default_factory=dict)
    #: Whether there are so many runs that a library with all faults is compiled for them.
    at_once: ClassVar[bool] = False
    #: The fault that is in force: a number of a place, and a kind.
    fault: tuple[int, str] | None = field(default=None, init=False)

    @cached_property
    def sites(self) -> list[Site]:
        """Where it can have a fault."""
        return self._faulty(fixed="none").sites

    @contextmanager
    def stuck(self, number: int, kind: str) -> Iterator[None]:
        """While this lasts, each run is one with this fault."""
        self.fault = number, kind
        for prefix, part in self.parts.items():
            same = [n for n, site in enumerate(part.sites) if f"{prefix}.{site.text}" == self.sites[number].text]
            part.fault = (same[0], kind) if same else None
        try:
            yield
        finally:
            for design in (self, *self.parts.values()):
                design.fault = None

    def all_scenarios(self) -> list[tuple[Design, Scenario]]:
        """Those of the module, then those of its parts."""
        designs = (self, *self.parts.values())
        return [(design, scenario) for design in designs for scenario in design.scenarios]

    def _faulty(self, **options: Any) -> Faulty:
        faulty = Faulty(self.make(), self.skip, **options)
        faulty._MustUse__used = True  # where it is only looked at
        return faulty

    @cached_property
    def comparison(self) -> Comparison:
        """With itself without a fault."""
        return Comparison(self._faulty())

    def _compile(self, bench: Any) -> Callable[[], Run]:
        """What begins a run of a bench in a compiled simulator."""
        ports, registers = ports_of(bench), getattr(bench, "registers", {})
        library = cxxrtl.build(bench, ports, registers)
        shown = {name: Port(port.width, port.is_input, None) for name, port in ports.items()}
        return lambda: Run(NativeSimulator("cxxrtl", library, shown, list(registers)), bench.places)

    @cached_property
    def _with_all_faults(self) -> Callable[[], Run]:
        # A design with so many inputs is compiled far sooner with fewer optimisations.
        with mock.patch.object(cxxrtl, "_OPTIMISED", "-O1"):
            return self._compile(self.bench(self._faulty()))

    @cached_property
    def _without_faults(self) -> Callable[[], Run]:
        return self._compile(self.bench(self._faulty(fixed="none")))

    def run(self) -> Run:
        """A run from power-up on, with the fault that is in force."""
        if self.at_once:
            run = self._with_all_faults()
            if self.fault is not None:
                name, bit = Faulty.switch(*self.fault)
                run.simulator.set(name, 1 << bit)
            return run
        if self.fault is None and choose_engine() == "cxxrtl":
            return self._without_faults()
        bench = self.bench(self._faulty(fixed=self.fault or "none"))
        return Run(make_simulator(bench, "amaranth", registers=getattr(bench, "registers", {})), bench.places)

    def called(self, scenario: Scenario) -> str:
        """The name of a scenario."""
        if isinstance(scenario, partial):
            options = ", ".join(f"{name}={value}" for name, value in scenario.keywords.items())
            return f"{self.called(scenario.func)}({options})"
        return f"{scenario.__module__.rpartition('.')[2]}.{scenario.__name__}"

    def ask(self, scenario: Scenario) -> str | None:
        """What the scenario finds wrong; ``None``: nothing."""
        run = self.run()
        try:
            scenario(run)
        except AssertionError as error:
            return str(error) or "an assertion"
        finally:
            run.simulator.close()
        return None


@cache
def designs() -> list[Design]:
    """All designs, module by module."""
    names = ("flash_reader", "host_link", "memory_trainer", "flash_trainer", "layer_trainer", "machine_trainer")
    return [design for name in names for design in import_module(f"scenarios.{name}").designs()]
