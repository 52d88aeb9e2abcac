"""The claim that a register trainer learns as its learner says, for ever: two machines in step, proved by induction.

The *model* is written from the learner's circuits and a few registers: what a trainer of one stage without a pipeline
would do. Each cycle the trainer's parameters, its results and its readiness are compared with the model's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rdahw.circuit import Circuit, Port
from rdahw.claims import MAX_GATES, TooLarge, count_gates
from rdahw.hdl.gates import to_gates, to_rtlil
from rdahw.learner import Learner
from rdahw.tracing import Wire, equal, mux, trace
from rdahw.types import Bits

__all__ = ["TrainerClaim", "trainer"]

#: So many cycles of agreement are assumed at most; a trainer of two stages needs two.
_MAX_STEPS = 4

_SCRIPT = """read_rtlil gate.il
hierarchy -check -top gate
proc
flatten
opt_clean
{expose}read_rtlil model.il
hierarchy -check -top top
flatten
opt -full
dffunmap
sat -tempinduct -maxsteps {steps} -set-init-zero -prove differ 0 top
"""


@dataclass(frozen=True, slots=True)
class TrainerClaim:
    """What :func:`trainer` states; files and script are for Yosys."""

    size: str
    files: Mapping[str, str] = field(repr=False)
    script: str = field(repr=False)
    name: str = "trainer"
    words: str = "the trainer learns as the learner says, for ever, with any gaps and back-pressure"
    symbols: str = "theta(t + 1) = step(theta(t), x, y) where an example is accepted, else theta(t)"


def trainer(learner: Learner, *, batch: bool = False, stages: int = 1) -> TrainerClaim:
    """The claim about :class:`rdahw.hdl.trainer.RegisterTrainer` with these arguments and no access to its parameters.

    For every stream of examples from the cycle on in which all registers are 0, whenever those come and results are
    taken: an example is accepted unless a result waits to be taken; its result is there in the next cycle and stays
    until it is taken; theta moves as :class:`rdahw.Learner` says, after ``stages`` cycles; with ``batch``, so does the
    accumulator. The reset is not used. In two stages a model needs a :func:`rdahw.kernel.tangent_kernel`, since without
    one the trainer waits, and the claim does not hold. Raises :class:`rdahw.claims.TooLarge`.
    """
    from amaranth.back import rtlil  # type: ignore[import-untyped]
    from amaranth.hdl import Module  # type: ignore[import-untyped]

    from rdahw.hdl.trainer import RegisterTrainer

    if (gates := count_gates(learner.step)) > MAX_GATES:
        raise TooLarge(f"the trainer's step has {gates:,} gates; at most {MAX_GATES:,} are tried: prove a smaller size")
    device = RegisterTrainer(learner, batch=batch, stages=stages)
    m = Module()
    m.submodules.trainer = device
    examples, results = device.examples, device.results
    ports = [examples.payload.as_value(), examples.valid, examples.ready]
    ports += [results.payload.as_value(), results.valid, results.ready, device.theta]
    files = {
        "gate.il": str(rtlil.convert(m, name="gate", ports=ports, emit_src=False)),
        "model.il": _machines(learner, batch=batch, stages=stages),
    }
    expose = "expose w:trainer.accumulator\n" if batch else ""
    kind = f"{'batch' if batch else 'immediate'}, {stages} stage{'s' * (stages > 1)}"
    model = learner.model
    size = f"{kind}: {model.parameter_bits}+{model.input_bits} -> {model.output_bits}"
    return TrainerClaim(size, files, _SCRIPT.format(expose=expose, steps=_MAX_STEPS))


def _next_state(learner: Learner, *, batch: bool) -> Circuit:
    """The model's registers in the next cycle, from those of this one and what comes in."""
    model = learner.model
    inputs = model.input_bits
    state, label = Bits(model.parameter_bits), Bits(model.output_bits)

    def following(
        theta: Wire, total: Wire, prediction: Wire, correct: Wire, valid: Wire, payload: Wire, accept: Wire, taken: Wire
    ) -> dict[str, Wire]:
        x, y, last = payload[:inputs], payload[inputs:-1], payload[-1]
        request, output = learner.request(theta, x, y)
        requests = total ^ request if batch else request
        moves = accept & last if batch else accept
        return {
            "next_theta": mux(moves, learner.update(theta, requests), theta),
            "next_total": mux(accept, mux(last, total.zeros(total.width), requests), total) if batch else total,
            "next_prediction": mux(accept, output, prediction),
            "next_correct": mux(accept, equal(output, y), correct),
            "next_valid": accept | (valid & ~taken),
        }

    states = {"theta": state, "total": state, "prediction": label, "correct": Bits(1), "valid": Bits(1)}
    incoming = {"payload": Bits(inputs + label.width + 1), "accept": Bits(1), "taken": Bits(1)}
    return trace(following, **states, **incoming)


def _compare(learner: Learner) -> Circuit:
    """Whether the trainer (``its_``) differs from the model."""
    state, label = Bits(learner.model.parameter_bits), Bits(learner.model.output_bits)

    def differ(
        theta: Wire, total: Wire, prediction: Wire, correct: Wire, valid: Wire, taken: Wire,
        its_theta: Wire, its_total: Wire, its_result: Wire, its_valid: Wire, its_ready: Wire,
    ) -> dict[str, Wire]:  # fmt: skip
        result = equal(prediction, its_result[: label.width]) & equal(correct, its_result[-1])
        same = equal(theta, its_theta) & equal(total, its_total) & equal(valid, its_valid) & (~valid | result)
        return {"differ": ~(same & equal(its_ready, ~valid | taken))}

    return trace(
        differ, theta=state, total=state, prediction=label, correct=Bits(1), valid=Bits(1), taken=Bits(1),
        its_theta=state, its_total=state, its_result=Bits(label.width + 1), its_valid=Bits(1), its_ready=Bits(1),
    )  # fmt: skip


def _machines(learner: Learner, *, batch: bool, stages: int) -> str:
    """RTLIL of the model, and of it and the trainer side by side, as module ``top``."""
    following, comparison = _next_state(learner, batch=batch), _compare(learner)
    text = ""
    for circuit, name in ((following, "following"), (comparison, "comparison")):
        text += to_rtlil(*to_gates(circuit), name, circuit.inputs, circuit.output_names)
    return text + "".join(f"{line}\n" for line in _top(following, comparison, batch=batch, stages=stages))


def _top(following: Circuit, comparison: Circuit, *, batch: bool, stages: int) -> Iterator[str]:
    states, (payload, accept, taken) = following.inputs[:5], following.inputs[5:]
    incoming = [Port("clk", Bits(1)), payload, Port("offered", Bits(1)), taken]
    yield "module \\top"
    for number, (name, type_) in enumerate(incoming, 1):
        yield f"  wire width {type_.width} input {number} \\{name}"
    yield f"  wire width 1 output {len(incoming) + 1} \\differ"
    wires = [accept, *comparison.inputs[6:]]
    for name, type_ in states:
        wires += [Port(prefix + name, type_) for prefix in ("", "next_", "late_")]
    for name, type_ in wires:
        yield f"  wire width {type_.width} \\{name}"

    wide = {"A_WIDTH": 1, "B_WIDTH": 1, "Y_WIDTH": 1, "A_SIGNED": 0, "B_SIGNED": 0}
    yield from _cell("$and", "accept", {"A": "\\offered", "B": "\\its_ready", "Y": "\\accept"}, wide)
    for name, type_ in states:
        for d, q in ((f"next_{name}", name), (name, f"late_{name}")):
            yield from _register(d, q, type_.width)
    names = (*following.input_names, *following.output_names)
    yield from _cell("\\following", "following", {name: f"\\{name}" for name in names})
    ports = {name: f"\\{name}" for name in (*comparison.input_names, "differ")}
    if stages == 2:  # theta and the accumulator move a cycle later
        ports |= {"theta": "\\late_theta", "total": "\\late_total"}
    if not batch:  # there is no accumulator
        ports["its_total"] = ports["total"]
    yield from _cell("\\comparison", "comparison", ports)
    device = {
        "clk": "\\clk",
        "rst": "1'0",
        "examples__payload": "\\payload",
        "examples__valid": "\\offered",
        "examples__ready": "\\its_ready",
        "results__payload": "\\its_result",
        "results__valid": "\\its_valid",
        "results__ready": "\\taken",
        "theta": "\\its_theta",
    }
    yield from _cell("\\gate", "gate", device | ({"trainer.accumulator": "\\its_total"} if batch else {}))
    yield "end"


def _register(d: str, q: str, width: int) -> Iterator[str]:
    ports = {"CLK": "\\clk", "D": f"\\{d}", "Q": f"\\{q}"}
    return _cell("$dff", f"register_{q}", ports, {"WIDTH": width, "CLK_POLARITY": 1})


def _cell(kind: str, name: str, ports: Mapping[str, str], parameters: Mapping[str, int] | None = None) -> Iterator[str]:
    yield f"  cell {kind} \\its_{name}_cell"
    for parameter, value in (parameters or {}).items():
        yield f"    parameter \\{parameter} {value}"
    for port, wire in ports.items():
        yield f"    connect \\{port} {wire}"
    yield "  end"
