"""The claim that a register trainer learns as its learner, for any number of cycles: two machines, by induction.

The *model* is made of the learner's circuits and a few registers. It is a trainer of one stage; for a trainer of two
stages its parameters are compared a cycle late. In each cycle everything observable is compared: parameters,
accumulator, results, readiness and, with ``access``, the byte read and the counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from rdahw.circuit import Circuit, Port
from rdahw.claims import MAX_GATES, TooLarge, count_gates
from rdahw.errors import InternalError
from rdahw.hdl.gates import cell, to_gates, to_rtlil
from rdahw.hdl.solvers import Question
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.tangent_kernel import tangent_kernel
from rdahw.tracing import Wire, WordWire, equal, mux, trace
from rdahw.types import Bits, Words

__all__ = [
    "ACCESSES",
    "RESULTS",
    "STREAMS",
    "Model",
    "Refutation",
    "Replay",
    "TrainerClaim",
    "check_counterexample",
    "claim_of",
    "describe_kind",
    "on_bits",
    "port_of",
    "simulate",
    "to_bits",
    "to_text",
    "trainer",
]

#: The most cycles of agreement that an induction may assume; a trainer of two stages needs two.
_MAX_STEPS = 4
#: The width of a trainer's counters.
_COUNTER = Bits(32)

#: Reads the component as the flat module ``gate``, and the two machines side by side as the flat module ``top``.
_SCRIPT = """read_rtlil gate.il
hierarchy -check -top gate
proc
flatten
opt_clean
read_rtlil model.il
hierarchy -check -top top
flatten
opt -full
setundef -init -zero
dffunmap
"""

#: The inputs and the observed outputs of a trainer: the name here, and the attributes that lead to the port.
STREAMS: Mapping[str, tuple[str, ...]] = {
    "x": ("examples", "payload", "x"),
    "y": ("examples", "payload", "y"),
    "last": ("examples", "payload", "last"),
    "learn": ("examples", "payload", "learn"),
    "offered": ("examples", "valid"),
    "taken": ("results", "ready"),
}
ACCESSES: Mapping[str, tuple[str, ...]] = {
    "address": ("control", "parameter_address"),
    "write": ("control", "parameter_write"),
    "write_enable": ("control", "parameter_write_enable"),
    "clear": ("control", "clear"),
}
RESULTS: Mapping[str, tuple[str, ...]] = {
    "accepts": ("examples", "ready"),
    "waiting": ("results", "valid"),
    "prediction": ("results", "payload", "prediction"),
    "correct": ("results", "payload", "correct"),
    "answers": ("control", "ready"),
    "example_count": ("control", "example_count"),
    "error_count": ("control", "error_count"),
}
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "theta": ("theta",),
    "accumulator": ("accumulator",),
    "read": ("control", "parameter_read"),
    **RESULTS,
}

#: Runs a circuit on one input an array; :func:`rdahw.sim.reference.run` is the one to give.
Replay = Callable[..., tuple[Array, ...]]


@dataclass(frozen=True, slots=True)
class Refutation:
    """A run of a machine that violates the claim in its last cycle, confirmed by simulation.

    cycles: the inputs of each cycle from the first, by name, as bits with bit 0 last. found: the values of each side in
    the last cycle, by name, where the two sides differ.
    """

    cycles: Sequence[Mapping[str, str]]
    found: Mapping[str, Mapping[str, str]]


def check_counterexample(claim: Any, wrong: Sequence[object]) -> None:
    """Raise :class:`InternalError` unless a replay went wrong (``wrong``, by cycle) in its last cycle and no other."""
    if not wrong[-1] or any(wrong[:-1]):
        raise InternalError(f"the counterexample to {claim.name} ({claim.size}) fails no claim when it is run")


def to_bits(text: str) -> Array:
    """Text of 0 and 1, bit 0 last, as an array of bits, bit 0 first."""
    return np.array([int(bit) for bit in reversed(text)], np.uint8)


def to_text(bits: Array) -> str:
    """The inverse of :func:`to_bits`."""
    return "".join(str(int(bit)) for bit in reversed(bits))


@dataclass(frozen=True, slots=True)
class Model:
    """The specification of a component: its registers in the next cycle, and its outputs in this one.

    Both circuits take the states, which begin as 0, and the inputs. inputs_at, outputs_at: the attributes of the
    component that lead to each input except ``rst``, and to each output. Outputs named ``prediction`` and ``correct``
    are compared only if ``waiting`` is 1; ``unreachable``, which is none of the component, is 1 in states that are not
    reached from power-up, which is part of the claim.
    """

    states: tuple[Port, ...]
    inputs: tuple[Port, ...]
    following: Circuit
    expected: Circuit
    inputs_at: Mapping[str, tuple[str, ...]]
    outputs_at: Mapping[str, tuple[str, ...]]

    @property
    def seen(self) -> tuple[Port, ...]:
        """The outputs of the component."""
        circuit = self.expected
        ports = map(Port, circuit.output_names, circuit.output_types)
        return tuple(port for port in ports if port.name != "unreachable")

    @property
    def paths(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """By name, the attributes that lead to each input and output of the component."""
        yield from ((port.name, self.inputs_at[port.name]) for port in self.inputs if port.name != "rst")
        yield from ((port.name, self.outputs_at[port.name]) for port in self.seen)


@dataclass(frozen=True, slots=True)
class TrainerClaim:
    """The claim of :func:`trainer`. files, script: for Yosys. make: makes the trainer again, for a replay. sides: the
    names of the component and its model."""

    size: str
    files: Mapping[str, str] = field(repr=False)
    script: str = field(repr=False)
    model: Model = field(repr=False)
    make: Callable[[], Any] = field(repr=False)
    name: str = "trainer"
    words: str = "the trainer learns as its learner, for any number of cycles, valid/ready pattern and resets"
    symbols: str = "theta(t + 1) = step(theta(t), x, y) where an example is accepted, else theta(t)"
    sides: tuple[str, str] = ("trainer", "learner")

    @property
    def question(self) -> Question:
        """The question for a solver."""
        shown = {port.name: port.type.width for port in self.model.inputs}
        return Question(self.files, self.script, "top", "differ", shown, _MAX_STEPS)

    def replayed(self, cycles: Sequence[Mapping[str, str]], replay: Replay) -> Refutation:
        """The refutation with these inputs; the trainer runs in Amaranth's simulator, the model by ``replay``.

        Raises :class:`InternalError` unless the two differ in the last cycle and agree in all others.
        """
        model = self.model
        outputs_at = {name: model.outputs_at[name] for name, _ in model.seen}
        seen = simulate(self.make(), cycles, model.inputs_at, outputs_at)
        states = [np.zeros(port.type.width, np.uint8) for port in model.states]
        wrong = []
        for row, its in zip(cycles, seen, strict=True):
            given = [to_bits(row[port.name]) for port in model.inputs]
            outputs = map(to_text, replay(model.expected, *states, *given))
            mine = dict(zip(model.expected.output_names, outputs, strict=True))
            states = list(replay(model.following, *states, *given))
            compared = [name for name in its if name not in _RESULT or mine["waiting"] == "1"]
            wrong.append([name for name in compared if mine[name] != its[name]])
        check_counterexample(self, wrong)
        sides = dict(zip(self.sides, (its, mine), strict=True))
        found = {side: {name: values[name] for name in wrong[-1]} for side, values in sides.items()}
        return Refutation(cycles, found)


#: The outputs that are valid only while a result waits to be taken.
_RESULT = ("prediction", "correct")


def trainer(
    learner: Learner,
    *,
    batch: bool = False,
    stages: int = 1,
    access: bool = False,
    make: Callable[..., Any] | None = None,
) -> TrainerClaim:
    """The claim about :class:`rdahw.hdl.trainer.RegisterTrainer` with these arguments.

    For every stream of examples from power-up on, with any valid/ready pattern and any resets: an example is accepted
    unless a result waits to be taken, an access takes the cycle, or a trainer of two stages without a tangent kernel
    waits for an update; its result is valid from the next cycle until it is taken; after ``stages`` cycles theta, and
    with ``batch`` the accumulator, are those of :class:`rdahw.Learner`. With ``access``, an example without ``learn``
    changes nothing, a write sets the byte at its address, a clear sets parameters, accumulator and counters to 0, the
    byte read is the one at the address, and the counters count.

    make: another constructor, with the same arguments. Raises :class:`rdahw.claims.TooLarge`.
    """
    from rdahw.hdl.trainer import RegisterTrainer

    if (gates := count_gates(learner.step)) > MAX_GATES:
        raise TooLarge(f"the trainer's step has {gates:,} gates; at most {MAX_GATES:,} are tried: prove a smaller size")

    def device() -> Any:
        return (make or RegisterTrainer)(learner, batch=batch, stages=stages, access=access)

    kind = f"{describe_kind(batch, stages)}{', access' * access}"
    bits = learner.model
    size = f"{kind}: {bits.parameter_bits}+{bits.input_bits} -> {bits.output_bits}"
    return claim_of(_model(learner, batch=batch, stages=stages, access=access), device, size)


def claim_of(model: Model, make: Callable[[], Any], size: str, **described: Any) -> TrainerClaim:
    """The claim that the component that ``make`` makes is ``model`` in every cycle. described: further fields of
    :class:`TrainerClaim`."""
    from amaranth.back import rtlil  # type: ignore[import-untyped]
    from amaranth.hdl import Fragment  # type: ignore[import-untyped]

    made = make()
    fragment = Fragment.get(made, None)  # makes its registers
    ports = {"__".join(path[:2]): (port_of(made, path[:2]), None) for _, path in model.paths}
    text = str(rtlil.convert(fragment, name="gate", ports=dict(sorted(ports.items())), emit_src=False))
    return TrainerClaim(size, {"gate.il": text, "model.il": _machines(model)}, _SCRIPT, model, make, **described)


def describe_kind(batch: bool, stages: int) -> str:
    """«batch, 2 stages»."""
    return f"{'batch' if batch else 'immediate'}, {stages} stage{'s' * (stages > 1)}"


def simulate(
    device: Any,
    cycles: Sequence[Mapping[str, str]],
    inputs: Mapping[str, Sequence[str]],
    outputs: Mapping[str, Sequence[str]],
) -> list[dict[str, str]]:
    """The outputs of an Amaranth component in each cycle from power-up, in Amaranth's simulator.

    cycles: the inputs, by name, as bits with bit 0 last; ``rst`` is the reset, and an input that is not named stays 0.
    inputs, outputs: the attributes that lead to each port, by name.
    """
    from amaranth.hdl import Module, ResetInserter, Signal
    from amaranth.sim import Simulator  # type: ignore[import-untyped]

    m = Module()
    reset = Signal()
    m.submodules.device = ResetInserter(reset)(device)
    seen = []

    async def bench(ctx: Any) -> None:
        for row in cycles:
            for name, bits in row.items():
                ctx.set(reset if name == "rst" else port_of(device, inputs[name]), int(bits, 2))
            ports = {name: port_of(device, path) for name, path in outputs.items()}
            seen.append({name: format(ctx.get(port), f"0{len(port)}b") for name, port in ports.items()})
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def port_of(device: Any, path: Sequence[str]) -> Any:
    """The port or register of a component that these attributes, or names in a mapping, lead to, as plain bits."""
    from amaranth.hdl import Value

    def step(at: Any, name: str) -> Any:
        return at[name] if isinstance(at, Mapping) else getattr(at, name)

    return Value.cast(reduce(step, path, device))


def _model(learner: Learner, *, batch: bool, stages: int, access: bool) -> Model:
    """The specification of the trainer with these arguments."""
    model = learner.model
    state, label = Bits(model.parameter_bits), Bits(model.output_bits)
    waits = stages == 2 and (learner.optimiser != "xor" or tangent_kernel(model.circuit) is None)
    late = stages == 2
    states = [Port("theta", state), Port("prediction", label), Port("correct", Bits(1)), Port("waiting", Bits(1))]
    states += [Port("accumulator", state)] * batch + [Port("moving", Bits(1))] * waits
    states += [Port("late_theta", state)] * late + [Port("late_accumulator", state)] * (late and batch)
    inputs = [Port("rst", Bits(1)), Port("x", Bits(model.input_bits)), Port("y", label), Port("last", Bits(1))]
    inputs += [Port("learn", Bits(1))] * access + [Port("offered", Bits(1)), Port("taken", Bits(1))]
    if access:
        size = -(-state.width // 8)
        states += [Port("counted", Bits(1)), Port("erred", Bits(1))]
        states += [Port("example_count", _COUNTER), Port("error_count", _COUNTER)]
        inputs += [Port("address", Bits(max(1, (size - 1).bit_length()))), Port("write", Bits(8))]
        inputs += [Port("write_enable", Bits(1)), Port("clear", Bits(1))]
    names = [name for name, _ in (*states, *inputs)]

    def accepts(w: Mapping[str, Wire]) -> Wire:
        free = ~w["waiting"] | w["taken"]
        if access:
            free = free & ~(w["write_enable"] | w["clear"])
        return free & ~w["moving"] if waits else free

    def following(*wires: Wire) -> dict[str, Wire]:
        w = dict(zip(names, wires, strict=True))
        theta, last = w["theta"], w["last"]
        accept = w["offered"] & accepts(w)
        learns = accept & w["learn"] if access else accept
        moves = learns & last if batch else learns
        request, output = on_bits(learner.request, theta, w["x"], w["y"])
        total = request if not batch else on_bits(learner.total, w["accumulator"], request)[0]
        result = {
            "theta": mux(moves, on_bits(learner.update, theta, total)[0], theta),
            "prediction": mux(accept, output, w["prediction"]),
            "correct": mux(accept, equal(output, w["y"]), w["correct"]),
            "waiting": accept | (w["waiting"] & ~w["taken"]),
        }
        if batch:
            result["accumulator"] = mux(learns, mux(last, total.zeros(total.width), total), w["accumulator"])
        if waits:
            result["moving"] = moves
        if access:
            result["theta"] = mux(w["write_enable"], _written(theta, w["address"], w["write"]), result["theta"])
            result |= {"counted": learns, "erred": w["counted"] & ~w["correct"]}
            for name, event in (("example_count", w["counted"]), ("error_count", w["erred"])):
                result[name] = w[name].plus(event.extend(_COUNTER.width))[: _COUNTER.width]
            for name in filter(result.__contains__, _CLEARED):
                result[name] = mux(w["clear"], result[name].zeros(result[name].width), result[name])
        for name in ("theta", "accumulator"):
            if f"late_{name}" in w:  # an example moves it a cycle later; an access does not wait
                at_once = w["write_enable"] | w["clear"] if access else None
                result[f"late_{name}"] = w[name] if at_once is None else mux(at_once, result[name], w[name])
        return {name: mux(w["rst"], w[name].zeros(type_.width), result[name]) for name, type_ in states}

    def expected(*wires: Wire) -> dict[str, Wire]:
        w = dict(zip(names, wires, strict=True))
        result = {name: w[f"late_{name}" if late else name] for name in ("theta", *["accumulator"] * batch)}
        result |= {name: w[name] for name in ("waiting", "prediction", "correct")} | {"accepts": accepts(w)}
        if access:
            result |= {name: w[name] for name in ("example_count", "error_count")}
            result |= {"read": _byte(result["theta"], w["address"]), "answers": ~w["rst"].zeros(1)}
            # The induction would need another cycle and many seconds without it.
            result |= {"unreachable": w["counted"] & ~w["waiting"]}
        return result

    given = {name: type_ for name, type_ in (*states, *inputs)}
    circuits = trace(following, **given), trace(expected, **given)
    return Model(tuple(states), tuple(inputs), *circuits, {**STREAMS, **ACCESSES}, _OUTPUTS)


def on_bits(circuit: Circuit, *wires: Wire) -> list[Wire]:
    """The outputs, as bits, of a circuit whose inputs are given as bits."""
    builder = wires[0].builder
    given = zip(wires, circuit.input_types, strict=True)
    typed = [wire.as_words(type_.bits) if isinstance(type_, Words) else wire for wire, type_ in given]
    return [wire.as_bits() if isinstance(wire, WordWire) else wire for wire in builder.inline(circuit, typed)]


#: The registers that a clear sets to 0, in a fixed order, so that the text, and with it the cache's key, is the same.
_CLEARED = ("theta", "accumulator", "erred", "example_count", "error_count")


def _written(theta: Wire, address: Wire, byte: Wire) -> Wire:
    """theta with the byte at the address replaced; bits and bytes beyond its width are lost."""
    bytes_ = [theta[at : at + 8] for at in range(0, theta.width, 8)]
    return theta.concat(*(mux(equal(address, k), byte[: old.width], old) for k, old in enumerate(bytes_)))


def _byte(theta: Wire, address: Wire) -> Wire:
    """The byte of theta at the address, 0 beyond its width."""
    count = 1 << address.width
    padded = theta.extend(8 * count)
    return padded.gather([8 * k + bit for bit in range(8) for k in range(count)]).lookup(address)


# -- the two machines --------------------------------------------------------------------------------------------------


def _compare(model: Model) -> Circuit:
    """The model's registers in the next cycle, and whether the component's outputs (``its_``) differ from the
    model's."""
    given = [*model.states, *model.inputs]
    seen = [Port(f"its_{name}", type_) for name, type_ in model.seen]

    def machine(*wires: Wire) -> dict[str, Wire]:
        own = wires[: len(given)]
        following, expected = ([*one(*own)] for one in (model.following, model.expected))
        mine = dict(zip(model.expected.output_names, expected, strict=True))
        waiting = mine["waiting"]
        differs = mine.get("unreachable", waiting.zeros(1))
        for (name, _), its in zip(model.seen, wires[len(given) :], strict=True):
            wrong = ~equal(mine[name], its)
            differs = differs | (wrong & waiting if name in _RESULT else wrong)
        following_ = {f"next_{name}": wire for (name, _), wire in zip(model.states, following, strict=True)}
        return following_ | {"differ": differs}

    return trace(machine, **{name: type_ for name, type_ in (*given, *seen)})


def _machines(model: Model) -> str:
    """RTLIL of the model, and of the model beside the component as module ``top``."""
    machine = _compare(model)
    text = to_rtlil(*to_gates(machine), "machine", machine.inputs, machine.output_names)
    return text + "".join(f"{line}\n" for line in _top(model, machine))


def _top(model: Model, machine: Circuit) -> Iterator[str]:
    incoming = [Port("clk", Bits(1)), *model.inputs]
    yield "module \\top"
    for number, (name, type_) in enumerate(incoming, 1):
        yield f"  wire width {type_.width} input {number} \\{name}"
    yield f"  wire width 1 output {len(incoming) + 1} \\differ"
    seen = machine.inputs[len(model.states) + len(model.inputs) :]
    for name, type_ in (*model.states, *(Port(f"next_{name}", type_) for name, type_ in model.states), *seen):
        yield f"  wire width {type_.width} \\{name}"
    for name, type_ in model.states:
        ports = {"CLK": "\\clk", "D": f"\\next_{name}", "Q": f"\\{name}"}
        yield from cell("$dff", f"\\its_register_{name}_cell", ports, {"WIDTH": type_.width, "CLK_POLARITY": 1})
    own = {name: f"\\{name}" for name in (*machine.input_names, *machine.output_names)}
    yield from cell("\\machine", "\\its_machine_cell", own)
    device = {"clk": ["\\clk"], "rst": ["\\rst"]}
    # The fields of a port, the first in its lowest bits.
    inputs = {name for name, _ in model.inputs}
    for name, path in sorted(model.paths, key=lambda one: [*model.inputs_at, *model.outputs_at].index(one[0])):
        device.setdefault("__".join(path[:2]), []).insert(0, f"\\{'' if name in inputs else 'its_'}{name}")
    ports = {port: f"{{ {' '.join(fields)} }}" for port, fields in device.items()}
    yield from cell("\\gate", "\\its_gate_cell", ports)
    yield "end"
