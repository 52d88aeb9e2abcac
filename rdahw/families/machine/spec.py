"""The :class:`MachineSpec` of a machine of tables, and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rdahw.data import MAX_LABELS, Code
from rdahw.data._json import damaged, is_int, members
from rdahw.draw import state_diagram
from rdahw.errors import UsageError, UserError
from rdahw.families.ensemble.spec import register_bits
from rdahw.families.layers.spec import first_noise_state
from rdahw.family import Option, Spec
from rdahw.languages import LANGUAGES, find_language
from rdahw.machine import Machine, trace_machine, unroll
from rdahw.random import stream, words
from rdahw.state import Field, State
from rdahw.tracing import Wire, cat, trace
from rdahw.types import Bits, Words

if TYPE_CHECKING:
    from rdahw.circuit import Circuit
    from rdahw.learner import Learner
    from rdahw.training import Schedule

__all__ = ["OPTIONS", "RULES", "SETTLED", "MachineSpec", "bits_of", "random_tables", "without_evidence"]

#: After so many sequences in turn without a wrong label a machine learns no more.
SETTLED = 1000

#: How tables are changed, see :mod:`rdahw.families.machine.rule`
#: and, for ``shadow``, :mod:`rdahw.families.machine.shadow`.
RULES = ("difference", "xor", "climb", "shadow")

#: The most state bits of a machine that learns in gateware, which has a shadow machine for each bit of the tables.
_MOST_IN_GATEWARE = 6

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
_RANGES = {
    "steps": (1, MAX_LABELS),
    "seed": (0, (1 << 64) - 1),
    **{option.name: option.range for option in OPTIONS if option.type == "whole"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec(Spec):
    """The hyperparameters of a machine that reads a bit and writes a bit at each step.

    steps: the length of the sequences that it learns from. states: the bits of its state, which starts with 0. counter:
    the bits of a counter. restart, rule: see :mod:`rdahw.families.machine.rule`. start: ``random`` or a
    language of as many state bits. live: see :mod:`rdahw.families.machine.shadow`. Its input is a sequence, its class
    number the set of the steps whose label is 1.

    Raises :class:`UsageError` for an invalid value.
    """

    family: ClassVar[str] = "machine"
    code: ClassVar[Code] = "binary"
    loss: ClassVar[str] = "xor"
    update_unit: ClassVar[str] = "sequences"  # type: ignore[misc]

    steps: int
    states: int = 3
    counter: int = 4
    restart: int = 200
    rule: str = "difference"
    live: bool = False
    start: str = "random"
    seed: int = 0

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

    @property
    def input_bits(self) -> int:
        return self.steps

    @property
    def classes(self) -> int:
        return 1 << self.steps

    @property
    def size(self) -> int:
        """The number of bits of a table: one for each state and each bit that is read."""
        return 1 << self.states + 1

    @property
    def name(self) -> str:
        """«machine:states=3», or the name of the language that it starts from."""
        return f"machine:states={self.states}" if self.start == "random" else self.start

    @property
    def optimiser(self) -> str:
        return f"difference={self.counter}" if self.rule == "difference" else self.rule

    @property
    def description(self) -> str:
        """«machine of 3 state bits, 64 parameter bits, sequences of 16 steps»."""
        return (
            f"machine of {self.states} state bits, {(self.states + 1) * self.size} parameter bits, sequences of "
            f"{self.steps} steps"
        )

    def diagram(self, state: State) -> str:
        """The states that are reached from the first one, and the steps between them, as Graphviz dot text."""
        following, written = self.reached(state)
        return state_diagram(following, written, self.name)

    def reached(self, state: State) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
        """For each state that is reached from the first one, in the order of a breadth-first search, the next states
        and the labels after a 0 and after a 1."""
        tables = bits_of(state["counters"]).reshape(self.states + 1, self.size)
        following, written, waiting, known = {}, {}, [0], {0}
        for s in waiting:
            cells = [tables[:, s | x << self.states].tolist() for x in range(2)]
            zero, one = (sum(bit << j for j, bit in enumerate(cell[:-1])) for cell in cells)
            following[s], written[s] = (zero, one), (cells[0][-1], cells[1][-1])
            waiting += [n for n in dict.fromkeys((zero, one)) if n not in known]
            known |= {zero, one}
        return following, written

    @property
    def shadows(self) -> bool:
        """Whether it learns by shadow machines."""
        return self.rule == "shadow"

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
        if self.shadows:
            return ""
        return (
            f"machines that learn by rule={self.rule} learn in software only; train with --optimiser shadow, or "
            "without --hdl and --device"
        )

    def options(self) -> dict[str, Any]:
        return {option.name: getattr(self, option.name) for option in OPTIONS}

    @property
    def fields(self) -> tuple[Field, ...]:
        """``counters``, ((states + 1) · 2^(states + 1),): a table for each bit of the next state, then that of the
        label; the index is the state, and above it the bit that is read. A bit of a table is 1 where its counter is
        not negative. ``run``: how many sequences in turn had no wrong label, how many were read since the last start,
        how often it started again, and how many were read until it was settled. With shadow machines: ``noise``, the
        shift register of the next random tables, as in :mod:`rdahw.families.layers.spec`; if they are ``live`` also
        ``now``, (1 + P, states), the bits of the states of the machine and of its P shadow machines."""
        count = (self.states + 1) * self.size
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

    def theta(self, state: State) -> NDArray[np.uint8]:
        return bits_of(state["counters"])

    def check_schedule(self, schedule: Schedule, examples: int | None = None) -> None:
        """Raise :class:`UsageError` for batches."""
        if schedule.batch != 1:
            raise UsageError(f"batch is {schedule.batch}; a machine takes sequences one at a time: use batch 1")

    def machine(self, state: State) -> Machine:
        """The machine with the tables of ``state``: it reads ``x`` and writes ``y``, a bit each."""
        table = bits_of(state["counters"])
        number = int("".join(map(str, table[::-1])), 2)

        def step(s: Wire, x: Wire) -> tuple[Wire, Wire]:
            found = s.const(number, len(table)).lookup(cat(s, x))
            return found[: self.states], found[self.states]

        return trace_machine(step, state={"s": Bits(self.states)}, x=Bits(1))

    def learner(self) -> Learner:
        """The machine unrolled over a sequence, ``f : P × A → A``, with its tables as parameters."""
        from rdahw.learner import Learner
        from rdahw.model import Model

        return Learner(Model(self.name, self.circuit()))

    def circuit(self) -> Circuit:
        """See :meth:`learner`."""

        def step(theta: Wire, s: Wire, x: Wire) -> tuple[Wire, Wire]:
            found = theta.lookup(cat(s, x))
            return found[: self.states], found[self.states]

        bits = Bits((self.states + 1) * self.size)
        made = trace_machine(step, parameters={"theta": bits}, state={"s": Bits(self.states)}, x=Bits(1))
        whole = unroll(made, self.steps)

        def run(theta: Wire, x: Wire) -> Wire:
            written = whole(theta, theta.zeros(self.states), *(x[t] for t in range(self.steps)))
            return cat(*written[: self.steps])

        return trace(run, theta=bits, x=Bits(self.steps))

    def trained(self, state: State) -> tuple[Spec, State]:
        """The machine unrolled over a sequence, whose parameters are the bits of the tables."""
        from rdahw.families.circuits import CircuitSpec

        return CircuitSpec.of(self.learner(), code="binary"), {"parameters": self.theta(state)}

    def facts(self, state: State) -> dict[str, Any]:
        """How often it started again, and after how many sequences it was settled, None if it is not."""
        right, _, restarts, read = map(int, state["run"])
        return {"restarts": restarts, "settled_after": read if right >= SETTLED else None}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; :meth:`from_json` is the inverse."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_json(cls, value: object) -> MachineSpec:
        """Read :meth:`to_json` back. Raises :class:`UserError` for a malformed value."""
        names = tuple(field.name for field in fields(cls))
        given: Mapping[str, Any] = dict(zip(names, members(value, "the machine", names), strict=True))
        if not (isinstance(given["rule"], str) and isinstance(given["live"], bool)) or given["start"] not in (
            "random",
            *LANGUAGES,
        ):
            raise damaged("the 'rule', 'live' or 'start' of the machine", "the name of one, true or false")
        try:
            return cls(**given)
        except UsageError as error:
            raise UserError(f"{error} (in the file: it is damaged or was not written by rdahw)") from None


def bits_of(counters: NDArray[Any]) -> NDArray[np.uint8]:
    """The bits of the tables: 1 where a counter is not negative."""
    return (counters >= 0).astype(np.uint8)


def without_evidence(spec: MachineSpec, bits: NDArray[Any]) -> NDArray[np.int8]:
    """The counters of tables of these bits, as far from the other bit as they can be."""
    return np.where(bits, spec.level - 1, -spec.level).astype(np.int8)


def random_tables(spec: MachineSpec, start: int) -> NDArray[np.int8]:
    """The counters after start number ``start``: bit i of the tables is the highest bit of word i of ``stream(seed,
    "tables", start)``, and its counter 0 or -1."""
    count = (spec.states + 1) * spec.size
    bits = words(stream(spec.seed, "tables", start), count) >> np.uint64(63)
    return np.where(bits, 0, -1).astype(np.int8)
