"""The :class:`MachineSpec` of a machine of tables, and its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.data import MAX_LABELS, Code
from rdahw.data._json import damaged, is_int, members
from rdahw.data.sequences import MAX_LABEL_BITS, MAX_STEPS, MAX_SYMBOL_BITS, SequenceShape
from rdahw.draw import state_diagram
from rdahw.errors import UsageError, UserError
from rdahw.families.ensemble.spec import register_bits
from rdahw.families.layers.spec import first_noise_state
from rdahw.family import Option, Spec
from rdahw.languages import LANGUAGES, find_language
from rdahw.machine import Machine, trace_machine
from rdahw.random import stream, words
from rdahw.state import Field, State
from rdahw.tracing import ElementWire, SwitchWire, Wire, cat, constant, mux, trace
from rdahw.transform import bind
from rdahw.types import Bits, Words
from rdahw.wording import plural

if TYPE_CHECKING:
    from rdahw.circuit import Circuit, Port
    from rdahw.learner import Learner
    from rdahw.training import Schedule

__all__ = ["OPTIONS", "RULES", "SETTLED", "MachineSpec", "bits_of", "random_tables", "without_evidence"]

#: After so many sequences in turn without a wrong label a machine learns no more.
SETTLED = 1000

#: How tables are changed, see :mod:`rdahw.families.machine.rule`
#: and, for ``shadow``, :mod:`rdahw.families.machine.shadow`.
RULES = ("difference", "xor", "climb", "shadow")

#: The most state bits of a machine that learns in gateware, which has a shadow machine for each bit of the tables.
_MOST_IN_GATEWARE = 8

#: The options of the family, each a field of :class:`MachineSpec`.
OPTIONS = (
    Option(name="states", default=3, range=(1, 11), help="keep a state of this many bits"),
    Option(name="counter", default=4, range=(2, 8), help="count the requests for a bit of a table with this many bits"),
    Option(
        name="restart",
        default=200,
        range=(1, 1 << 30),
        help="start again from random tables after so many sequences, unless the last ten were right",
    ),
    Option(
        name="rule",
        type="text",
        default="difference",
        range=RULES,
        help="learn by counters of Boolean differences, or on a stream by shadow machines (shadow), or, to compare, by "
        "flipping every bit whose flip helps (xor), or random bits whose flip helps, one after the other (climb)",
    ),
    Option(
        name="live",
        type="flag",
        default=False,
        help="with shadow machines, learn from one stream: a sequence goes on in the state in which the last one ended",
    ),
    Option(
        name="start",
        type="text",
        default="random",
        range=("random", *LANGUAGES),
        help="start from random tables, or from the reference machine of a language",
    ),
)
#: The most arrows of a picture of states; Graphviz takes minutes for a thousand of them.
_MOST_ARROWS = 128
#: The most bits of the state and of a symbol together, and of all parameters.
_MAX_INDEX, _MAX_PARAMETERS = 14, 1 << 17
_RANGES = {
    "steps": (1, MAX_STEPS),
    "symbol": (1, MAX_SYMBOL_BITS),
    "label": (1, MAX_LABEL_BITS),
    "seed": (0, (1 << 64) - 1),
    **{option.name: option.range for option in OPTIONS if option.type == "whole"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec(Spec):
    """The hyperparameters of a machine that reads a symbol and writes a label at each step.

    steps, symbol, label, ragged, at_end: of the sequences that it learns from, see
    :class:`rdahw.data.sequences.SequenceShape`, which also says what its input bits and its class number are. states:
    the bits of its state, which starts with 0. counter: the bits of a counter. restart, rule: see
    :mod:`rdahw.families.machine.rule`. start: ``random`` or a language of as many state bits. live: see
    :mod:`rdahw.families.machine.shadow`. own: a machine of the user's, called ``own_name``, whose parameters are
    learned in place of tables.

    Raises :class:`UsageError` for an invalid value, and :class:`UserError` for an own machine that does not fit the
    sequences.
    """

    family: ClassVar[str] = "machine"
    code: ClassVar[Code] = "binary"
    loss: ClassVar[str] = "xor"
    update_unit: ClassVar[str] = "sequences"  # type: ignore[misc]
    settles: ClassVar[bool] = True  # type: ignore[misc]

    steps: int
    states: int = 3
    counter: int = 4
    restart: int = 200
    rule: str = "difference"
    live: bool = False
    start: str = "random"
    seed: int = 0
    symbol: int = 1
    label: int = 1
    ragged: bool = False
    at_end: bool = False
    own: Machine | None = None
    own_name: str = ""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not is_int(value) or not least <= value <= most:
                raise UsageError(f"{name} of a machine is {value!r}; expected a whole number from {least} to {most}")
        if self.rule not in RULES:
            raise UsageError(f"rule of a machine is {self.rule!r}; expected {' or '.join(RULES)}")
        if self.live and not self.shadows:
            raise UsageError(f"live=1 is for machines that learn by rule=shadow, and the rule is {self.rule}")
        if self.start != "random" and find_language(self.start).state_bits != self.states:
            raise UsageError(
                f"a machine of {self.states} state bits starts from {self.start}, which has "
                f"{find_language(self.start).state_bits}; set states={find_language(self.start).state_bits}"
            )
        if self.start != "random" and (self.symbol, self.label) != (1, 1):
            raise UsageError(
                f"the machine of {self.start} reads and writes a bit, and the sequences have symbols of {self.symbol} "
                f"bits and labels of {self.label}; leave start={self.start} out"
            )
        if self.own is not None:
            self._check_own(self.own)
        elif self.states + self.symbol > _MAX_INDEX or self.count > _MAX_PARAMETERS:
            raise UsageError(
                f"a machine of {self.states} state bits and symbols of {self.symbol} bits has {self.count} parameter "
                f"bits; expected at most {_MAX_PARAMETERS}, and {_MAX_INDEX} bits of state and symbol: lower states, "
                "or use fewer symbols"
            )

    def _check_own(self, own: Machine) -> None:
        if self.shadows:
            raise UsageError(f"{self.own_name} cannot learn by rule=shadow; use difference, xor or climb")
        for what, ports, bits in (
            ("reads symbols", own.inputs, self.symbol),
            ("writes labels", own.outputs, self.label),
        ):
            if (width := sum(port.type.width for port in ports)) != bits:
                raise UserError(
                    f"{self.own_name} {what} of {width} bits; the sequences have {what.split()[1]} of {bits}: change "
                    "the machine or the data"
                )

    @property
    def shape(self) -> SequenceShape:
        """The wires of its sequences."""
        return SequenceShape(
            steps=self.steps, symbol=self.symbol, label=self.label, ragged=self.ragged, at_end=self.at_end
        )

    @property
    def input_bits(self) -> int:
        return self.shape.input_bits

    @property
    def classes(self) -> int:
        return 1 << self.shape.label_wires

    @property
    def size(self) -> int:
        """The number of bits of a table: one for each state and each symbol that is read."""
        return 1 << self.states + self.symbol

    @property
    def count(self) -> int:
        """The number of bits of all tables, or of the parameters of an own machine."""
        if self.own is not None:
            return sum(port.type.width for port in self.own.parameter_ports)
        return (self.states + self.label) * self.size

    @property
    def name(self) -> str:
        """«machine:states=3», the name of the language that it starts from, or that of an own machine."""
        return self.own_name or self._usual_name

    @property
    def _usual_name(self) -> str:
        return f"machine:states={self.states}" if self.start == "random" else self.start

    @property
    def optimiser(self) -> str:
        return f"difference={self.counter}" if self.rule == "difference" else self.rule

    @property
    def description(self) -> str:
        """«machine of 3 state bits, 64 parameter bits, sequences of 16 steps»."""
        states = self.states if self.own is None else sum(port.type.width for port in self.own.states)
        most = "up to " * self.ragged
        bits = ", ".join(plural(n, f"{what} bit") for n, what in ((states, "state"), (self.count, "parameter")))
        return f"machine of {bits}, sequences of {most}{plural(self.steps, 'step')}"

    def diagram(self, state: State) -> str | None:
        """The states that are reached from the first one, and the steps between them, as Graphviz dot text; None for an
        own machine, and for one of many states or symbols, whose circuit is drawn."""
        if self.own is not None:
            return None
        following, written = self.reached(state)
        if sum(len(set(after)) for after in following.values()) > _MOST_ARROWS:
            return None
        return state_diagram(following, written, self.name)

    def reached(self, state: State) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
        """For each state that is reached from the first one, in the order of a breadth-first search, the next states
        and the labels after each symbol."""
        tables = bits_of(state["counters"]).reshape(self.states + self.label, self.size).astype(np.int64)
        cells = (1 << np.arange(len(tables))) @ tables
        following, written, waiting = dict[int, tuple[int, ...]](), dict[int, tuple[int, ...]](), [0]
        known = {0}
        for s in waiting:
            own = cells[s :: 1 << self.states]
            following[s] = tuple((own & (1 << self.states) - 1).tolist())
            written[s] = tuple((own >> self.states).tolist())
            waiting += [n for n in dict.fromkeys(following[s]) if n not in known]
            known |= set(following[s])
        return following, written

    @property
    def shadows(self) -> bool:
        """Whether it learns by shadow machines."""
        return self.rule == "shadow"

    @property
    def road(self) -> str:
        """How it learns: ``tables``, ``shadow``, or ``own`` for a machine of the user's."""
        return "own" if self.own is not None else "shadow" if self.shadows else "tables"

    @property
    def level(self) -> int:
        """The evidence at which a shadow machine is believed, half the range of a counter."""
        return 1 << self.counter - 1

    @property
    def run_bits(self) -> int:
        """The bits of a number of ``run``; hardware has shorter ones, which wrap to 0 after 2^31 - 1."""
        return 32 if self.shadows else 48

    @property
    def software_only(self) -> str:
        """Gateware learns by shadow machines, of which there are not too many."""
        if self.states > _MOST_IN_GATEWARE:
            return (
                f"machines of {self.states} state bits learn in software only; train with at most {_MOST_IN_GATEWARE}, "
                "or without --hdl and --device"
            )
        if self.shadows and self.shape == SequenceShape(steps=self.steps) and self.steps <= MAX_LABELS:
            return ""
        if self.shadows:
            return (
                f"machines learn in hardware from bits, in sequences of one length of at most {MAX_LABELS} with a "
                "label at each step, and these are others; train without --hdl and --device"
            )
        return (
            f"machines that learn by rule={self.rule} learn in software only; train with --optimiser shadow, or "
            "without --hdl and --device"
        )

    def options(self) -> dict[str, Any]:
        said = {option.name: getattr(self, option.name) for option in OPTIONS}
        return said if self.own is None else {name: said[name] for name in ("counter", "restart", "rule")}

    @property
    def fields(self) -> tuple[Field, ...]:
        """``counters``, ((states + label) · 2^(states + symbol),): a table for each bit of the next state, then those
        of the label; the index is the state, and above it the symbol that is read. An own machine has a counter for
        each bit of its parameters instead. A bit is 1 where its counter is not negative. ``run``: how many sequences in
        turn had no wrong label, how many were read since the last start, how often it started again, and how many were
        read until it was settled. With shadow machines: ``noise``, the shift register of the next random tables, as in
        :mod:`rdahw.families.layers.spec`; if they are ``live`` also ``now``, (1 + P, states), the bits of the states of
        the machine and of its P shadow machines."""
        count = self.count
        usual = Field("counters", Words(1, self.counter), (count,)), Field("run", Words(4, self.run_bits))
        if not self.shadows:
            return usual
        noise, now = Field("noise", Bits(63)), Field("now", Bits(self.states), (1 + count, self.states))
        return (*usual, noise, now) if self.live else (*usual, noise)

    def initial_state(self) -> dict[str, NDArray[Any]]:
        """Random tables, or those of a language, with counters of 0 and -1; with shadow machines, without evidence."""
        counters = random_tables(self, 0)
        if self.start != "random":
            counters = np.array(find_language(self.start).tables, np.int8) - np.int8(1)
        state = {field.name: field.zero() for field in self.fields} | {"counters": counters}
        if self.shadows:
            state |= {"counters": without_evidence(self, bits_of(counters))}
            state |= {"noise": register_bits(first_noise_state(self.seed))}
        return state

    def check_state(self, state: State) -> None:
        """Raise :class:`UserError` for numbers of sequences that are negative."""
        if (state["run"] < 0).any():
            raise damaged("the field 'run'", "numbers that are not negative")
        if self.shadows and not state["noise"].any():
            raise damaged("the field 'noise'", "63 bits, not all zero")
        if self.shadows and state["run"][0] > SETTLED:
            raise damaged("the field 'run'", f"at most {SETTLED} right sequences in turn")

    def is_settled(self, state: State) -> bool:
        """Whether :data:`SETTLED` sequences in turn had no wrong label. The states of a ``live`` one still move."""
        return not self.live and int(state["run"][0]) >= SETTLED

    def theta(self, state: State) -> NDArray[np.uint8]:
        return bits_of(state["counters"]) if self.count else np.zeros(1, np.uint8)

    def schedule(self, examples: int) -> Mapping[str, Any]:
        return {"scored": "epoch"}

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for batches, and for a machine that has nothing to learn."""
        if not self.count:
            raise UsageError(
                f"{self.name} has no parameters to learn; give it some with trace_machine(…, parameters=…), or name it "
                "in show, export and prove"
            )
        if schedule.batch != 1:
            raise UsageError(f"batch is {schedule.batch}; a machine takes sequences one at a time: use batch 1")

    def machine(self, state: State) -> Machine:
        """The machine with the tables of ``state``: it reads ``x`` and writes ``y``; or the own one with its
        parameters."""
        bits = bits_of(state["counters"])
        if self.own is not None:
            return bound(self.own, bits)
        number = int("".join(map(str, bits[::-1])), 2)
        return self._tables(lambda wire: wire.const(number, len(bits)))

    def _tables(self, table: Callable[[Wire], Wire], **parameters: Bits) -> Machine:
        """The machine of tables; ``table`` gives their bits for the first wire of a step."""

        def step(*wires: Wire) -> tuple[Wire, Wire]:
            found = table(wires[0]).lookup(cat(*wires[-2:]))
            return found[: self.states], found[self.states :]

        return trace_machine(step, parameters=parameters, state={"s": Bits(self.states)}, x=Bits(self.symbol))

    def learner(self) -> Learner:
        """The machine unrolled over a sequence, ``f : P × A → B``, with its tables as parameters."""
        from rdahw.learner import Learner
        from rdahw.model import Model

        return Learner(Model(self.name, self.circuit()))

    def circuit(self) -> Circuit:
        """See :meth:`learner`."""
        made = self.own or self._tables(lambda theta: theta, theta=Bits(self.count))
        shape = self.shape

        def run(theta: Wire, x: Wire) -> Wire:
            builder = x.builder
            fixed = _split(theta, made.parameter_ports)
            state = [constant(builder, n, port.type) for n, port in zip(made.initial, made.states, strict=True)]
            written, last = list[Wire](), x.zeros(self.label)
            there = [x[shape.steps * shape.symbol + t] for t in range(self.steps * self.ragged)]
            for t in range(self.steps):
                symbol = x[t * self.symbol : (t + 1) * self.symbol]
                outputs = builder.inline(made.step, [*fixed, *state, *_split(symbol, made.inputs)])
                state, label = outputs[: len(state)], cat(*map(_as_bits, outputs[len(state) :]))
                written.append(label & there[t].repeat(self.label) if self.ragged else label)
                last = mux(there[t], label, last) if self.ragged else label
            if self.at_end:
                return last
            if not self.ragged:
                return cat(*written)
            whole = cat(*written, x.zeros(1))
            ends = [v & ~after if after is not None else v for v, after in zip(there, [*there[1:], None], strict=True)]
            at = [(t + 1) * self.label for t in range(self.steps)]
            return whole | cat(*ends).scatter(at, shape.label_wires)

        return trace(run, theta=Bits(max(1, self.count)), x=Bits(self.input_bits))

    def trained(self, state: State) -> tuple[Spec, State]:
        """The machine unrolled over a sequence, whose parameters are the bits of the tables."""
        from rdahw.families.circuits import CircuitSpec

        return CircuitSpec.of(self.learner(), code="binary"), {"parameters": self.theta(state)}

    def facts(self, state: State) -> dict[str, Any]:
        """How often it started again, and after how many sequences it was settled, None if it is not."""
        right, _, restarts, read = map(int, state["run"])
        return {"restarts": restarts, "settled_after": read if right >= SETTLED else None}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without those of sequences that are usual; :meth:`from_json` is the inverse."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.own is not None:
            said["own"] = self.own.to_json()
        return {name: value for name, value in said.items() if name not in _USUAL or value != _USUAL[name]}

    @classmethod
    def from_json(cls, value: object) -> MachineSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        names = tuple(field.name for field in fields(cls))
        whole = {**_USUAL, **value} if isinstance(value, dict) else value
        given = dict(zip(names, members(whole, "the machine", names), strict=True))
        flags = all(isinstance(given[name], bool) for name in ("live", "ragged", "at_end"))
        said = isinstance(given["rule"], str) and isinstance(given["own_name"], str)
        if not (said and flags) or given["start"] not in ("random", *LANGUAGES):
            raise damaged("the 'rule', 'live', 'ragged', 'at_end' or 'start' of the machine", "a name, true or false")
        if given["own"] is not None:
            given["own"] = Machine.from_json(given["own"])
        try:
            return cls(**given)
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


#: The values of the fields that are not in a file unless they differ.
_USUAL = {"symbol": 1, "label": 1, "ragged": False, "at_end": False, "own": None, "own_name": ""}


def bound(machine: Machine, bits: NDArray[np.uint8]) -> Machine:
    """``machine`` with these bits as its parameters, the first parameter lowest."""
    places, low = dict[str, list[int]](), 0
    for name, type_ in machine.parameter_ports:
        places[name] = bits[low : low + type_.width].tolist()
        low += type_.width
    return Machine(bind(machine.step, **places), machine.initial)


def _split(wire: Wire, ports: Sequence[Port]) -> list[Wire]:
    """The bits of ``wire`` as wires of these types, the first lowest."""
    found, low = list[Wire](), 0
    for _, type_ in ports:
        found.append(wire[low : low + type_.width].cast(type_))
        low += type_.width
    return found


def _as_bits(wire: Wire) -> Wire:
    return wire.as_bits() if isinstance(wire, ElementWire | SwitchWire) else wire


def bits_of(counters: NDArray[Any]) -> NDArray[np.uint8]:
    """The bits of the tables: 1 where a counter is not negative."""
    return (counters >= 0).astype(np.uint8)


def without_evidence(spec: MachineSpec, bits: NDArray[Any]) -> NDArray[np.int8]:
    """The counters of tables of these bits, as far from the other bit as they can be."""
    return np.where(bits, spec.level - 1, -spec.level).astype(np.int8)


def random_tables(spec: MachineSpec, start: int) -> NDArray[np.int8]:
    """The counters after start number ``start``: bit i of the tables is the highest bit of word i of ``stream(seed,
    "tables", start)``, and its counter 0 or -1."""
    count = spec.count
    bits = words(stream(spec.seed, "tables", start), count) >> np.uint64(63)
    return np.where(bits, 0, -1).astype(np.int8)
