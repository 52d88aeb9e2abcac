"""The claim that a memory trainer (:mod:`rdahw.hdl.memory_trainer`) learns as the step of its ensemble.

Beside the trainer runs a *monitor*: a circuit that collects the accepted bytes, applies the ensemble's step
(:func:`rdahw.families.ensemble.circuits.step_circuit`) when a result appears, and compares that result. The trainer
*rests* between two examples if its tables and shift register, including a pending write, equal those of the monitor,
and its buffer contains the examples whose results the monitor expects.

The proof is an induction over examples: from every state at rest and for any inputs, no result is wrong, and after a
bounded number of cycles the trainer rests again. A result can wait to be taken for any number of cycles; it is shown
that after a few of them nothing but the buffer changes. From a reset, with any memory contents, the trainer comes to
rest as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import Any

from rdahw.circuit import Circuit, Port
from rdahw.claims import MAX_GATES, TooLarge, count_gates
from rdahw.data.labels import label_width
from rdahw.families.ensemble.circuits import step_bits, step_circuit
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state
from rdahw.hdl.gates import cell, to_gates, to_rtlil
from rdahw.hdl.solvers import Question
from rdahw.hdl.table_words import sign_bits, word_octets
from rdahw.hdl.trainer_proof import Refutation, Replay, check_counterexample, port_of, simulate, to_bits, to_text
from rdahw.tracing import Wire, cat, equal, mux, trace
from rdahw.types import Bits, Type

__all__ = ["MemoryTrainerClaim", "memory_trainer"]

#: The most input bits, so that an example is two bytes, and the most cycles from rest to rest.
_MAX_INPUT_BITS = 8
_MAX_CYCLES = 60
#: How many examples a run from power-up is long that has to show a fault.
_EXAMPLES_SHOWN = 2
#: The cycles that a result waits before nothing but the buffer changes.
_SETTLED = 4

#: The inputs and outputs of the trainer: the name here, and the attributes that lead to the port.
_INPUTS: Mapping[str, tuple[str, ...]] = {
    "octet": ("examples", "payload"),
    "offered": ("examples", "valid"),
    "taken": ("results", "ready"),
    "address": ("control", "parameter_address"),
}
_OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "accepts": ("examples", "ready"),
    "waiting": ("results", "valid"),
    "prediction": ("results", "payload", "prediction"),
    "correct": ("results", "payload", "correct"),
    "updated": ("results", "payload", "updated"),
}

_SCRIPT = """read_rtlil gate.il
hierarchy -check -top gate
proc
flatten
memory_collect
memory_map
read_rtlil monitor.il
hierarchy -check -top top
flatten
{connections}
"""
#: From any state: no step that uses initial values, removes registers or merges them.
_FROM_ANY = "setattr -unset init w:*\nopt_expr\nopt_clean\nsetundef -zero\ndffunmap\nopt_expr\nopt_clean\n"
_FROM_POWER_UP = "setundef -init -zero\nopt_expr\nopt_merge\nopt_clean\nsetundef -zero\ndffunmap\n"

Wires = Mapping[str, Wire]


@dataclass(frozen=True, slots=True)
class MemoryTrainerClaim:
    """The claim of :func:`memory_trainer`. files, script: for Yosys. make: makes the trainer again, for a replay."""

    size: str
    files: Mapping[str, str] = field(repr=False)
    script: str = field(repr=False)
    monitor: _Monitor = field(repr=False)
    make: Callable[[], Any] = field(repr=False)
    window: int
    address_bits: int
    name: str = "trainer"
    words: str = (
        "the memory trainer predicts and learns as the ensemble's step, for any examples, valid/ready pattern and "
        "resets, while nothing is written over its control"
    )
    symbols: str = "(state, prediction, updated)(n + 1) = step(state(n), x(n), y(n)); without learn, state(n)"

    @property
    def question(self) -> Question:
        """Whether there is a fault between a state at rest, or a reset in any state, and the next state at rest; and if
        so, whether a run from power-up has a wrong or missing result."""
        shown = {"rst": 1, "address": self.address_bits} | {port.name: port.type.width for port in self.monitor.inputs}
        power_up, anywhere = self.script + _FROM_POWER_UP, self.script + _FROM_ANY
        cycles = _EXAMPLES_SHOWN * self.window
        run = Question(self.files, power_up, "top", "seen", {**shown, "seen": 1}, window=cycles)
        shown |= {"differ": 1}
        return Question(self.files, anywhere, "top", "differ", shown, start="start", window=self.window, run=run)

    def replayed(self, cycles: Sequence[Mapping[str, str]], replay: Replay) -> Refutation:
        """The refutation with these inputs; the trainer runs in Amaranth's simulator, the monitor by ``replay``.

        Raises :class:`InternalError` unless a result is wrong or missing in the last cycle and in no other.
        """
        monitor = self.monitor
        cycles = [{name: bits for name, bits in row.items() if name != "seen"} for row in cycles]
        seen = simulate(self.make(), cycles, _INPUTS, _OUTPUTS)
        circuit = monitor.visible
        states = [to_bits(format(port.first, f"0{port.width}b")) for port in monitor.states]
        wrong = []
        for row, its in zip(cycles, seen, strict=True):
            named = {**row, **its}
            given = [to_bits(named[name]) for name in circuit.input_names[len(states) :]]
            outputs = dict(zip(circuit.output_names, replay(circuit, *states, *given), strict=True))
            wrong.append(bool(outputs["seen"][0]))
            states = [outputs[f"next_{port.name}"] for port in monitor.states]
        check_counterexample(self, wrong)
        expected = {name: to_text(outputs[f"expected_{name}"]) for name in ("prediction", "correct", "updated")}
        expected["waiting"] = "1"
        different = [name for name in expected if its[name] != expected[name]]
        sides = {"trainer": its, "learner": expected}
        return Refutation(cycles, {side: {name: values[name] for name in different} for side, values in sides.items()})


def memory_trainer(spec: EnsembleSpec, make: Callable[[EnsembleSpec], Any] | None = None) -> MemoryTrainerClaim:
    """The claim about :class:`rdahw.hdl.memory_trainer.MemoryTrainer` of ``spec``, with its tables in block memory.

    For every stream of examples, with any valid/ready pattern and any resets: each example has one result, in order,
    held until it is taken; the result is that of :func:`rdahw.families.ensemble.circuits.step_circuit`, or without
    ``learn`` the prediction of all tables; when the next example begins, tables and shift register are those of the
    step. Assumed: nothing is written or cleared over ``control``.

    make: another constructor. Raises :class:`rdahw.claims.TooLarge` for more than 8 input bits, or an example of more
    than 60 cycles.
    """
    from amaranth.back import rtlil  # type: ignore[import-untyped]
    from amaranth.hdl import Fragment, Value  # type: ignore[import-untyped]

    from rdahw.hdl.memory_trainer import MemoryTrainer

    def device() -> Any:
        return (make or MemoryTrainer)(spec)

    if spec.input_bits > _MAX_INPUT_BITS:
        raise TooLarge(
            f"the trainer takes {spec.input_bits} input bits; at most {_MAX_INPUT_BITS} are tried: prove a model by "
            "name with --inputs"
        )
    trainer = device()
    longest = max(trainer.cycles(True), (spec.tables << spec.inputs) + 3) + 1
    if longest > _MAX_CYCLES:
        raise TooLarge(f"an example takes {longest} cycles; at most {_MAX_CYCLES} are tried: prove fewer tables")
    if (gates := count_gates(step_circuit(spec))) > MAX_GATES:
        raise TooLarge(f"the trainer's step has {gates:,} gates; at most {MAX_GATES:,} are tried: prove a smaller size")
    fragment = Fragment.get(trainer, None)
    ports = {name: port_of(trainer, path) for name, path in (*_INPUTS.items(), *_OUTPUTS.items()) if len(path) == 2}
    ports["result"] = Value.cast(trainer.results.payload)
    inner = {name: Value.cast(signal) for name, signal in _inner(trainer).items()}
    stored = _stored(trainer)
    text = rtlil.convert(
        fragment, name="gate", emit_src=False, ports={k: (v, None) for k, v in (ports | inner).items()}
    )
    monitor = _Monitor(spec, longest, {name: len(signal) for name, signal in inner.items()}, stored, trainer)
    connections = "\n".join(
        f"connect -nomap -nounset -set its_{name} \\gate.{path}" for name, (path, _) in stored.items()
    )
    files = {"gate.il": str(text), "monitor.il": monitor.rtlil(ports, inner)}
    size = (
        f"memory: {spec.tables} tables x {spec.inputs} of {spec.input_bits} inputs, {spec.classes} classes, "
        f"{spec.counter} bits a counter"
    )
    script, window = _SCRIPT.format(connections=connections), longest + _SETTLED + 2
    return MemoryTrainerClaim(size, files, script, monitor, device, window, len(ports["address"]))


def _inner(trainer: Any) -> dict[str, Any]:
    """The registers that the relation refers to, by name."""
    parts = {"": trainer, **{f"{name}_": part for name, part in trainer.parts.items()}}
    found = {
        f"{prefix}{name}": signal for prefix, part in parts.items() for name, signal in part.proof_registers.items()
    }
    found |= {"buffer_waiting": trainer.parts["buffer"].waiting, "buffer_ready": trainer.parts["buffer"].examples.ready}
    words = trainer.parts["words"]
    found |= {"new_word": words.new_word, "new_address": words.new_address, "dropout": trainer.dropout_state}
    return found | {"margin": trainer.margin, "below": trainer.dropout_below}


def _stored(trainer: Any) -> dict[str, tuple[str, int]]:
    """The memory words that the relation refers to: their names in the flat netlist, and their widths."""
    spec, buffer = trainer.spec, trainer.parts["buffer"]
    octets, kept = 8 * word_octets(spec), trainer.parts["words"]
    found = {f"table{a}": (f"tables.memory[{a}]", octets) for a in range(spec.tables << spec.inputs)}
    for i in range(spec.inputs):
        for side in range(2):
            found[f"input{i}_{side}"] = (f"buffer.input{i}[{side << buffer.byte_bits}]", 8)
    width = len(kept.word) + len(kept.address)
    return found | {f"kept{a}": (f"words.memory[{a}]", width) for a in range(spec.tables)}


@dataclass(frozen=True, slots=True)
class _Register:
    """A register of the monitor. first: its value after a reset."""

    name: str
    width: int
    first: int = 0


class _Monitor:
    """The circuit beside the trainer. inner: the widths of the trainer's registers; stored: of its memory words."""

    def __init__(
        self,
        spec: EnsembleSpec,
        longest: int,
        inner: Mapping[str, int],
        stored: Mapping[str, tuple[str, int]],
        trainer: Any,
    ) -> None:
        self.spec, self.longest, self.stored = spec, longest, stored
        self.inner = {name: width for name, width in inner.items() if width} | {
            name: width for name, (_, width) in stored.items()
        }
        self.margin, self.bit = trainer.margin.init, trainer.parts["scores"].bits - 1
        self.label = label_width(spec.classes, "binary")
        register = first_dropout_state(spec.seed) << spec.parameters.bits if spec.dropout else 0
        entry = spec.input_bits + 8
        result = self.label + 2
        self.states = [
            _Register("state", step_bits(spec), register),
            _Register("count", 2),
            *(_Register(f"entry{k}", entry) for k in range(3)),
            _Register("partial", spec.input_bits),
            _Register("has_partial", 1),
            _Register("was_waiting", 1),
            _Register("was_taken", 1),
            _Register("was_result", result),
            _Register("overdue", 7),
        ]
        self.inputs = [Port("octet", Bits(8)), Port("offered", Bits(1)), Port("taken", Bits(1))]
        self.outputs = [Port("accepts", Bits(1)), Port("waiting", Bits(1)), Port("prediction", Bits(self.label))]
        self.outputs += [Port("correct", Bits(1)), Port("updated", Bits(1))]
        self.visible = self._visible()
        #: The registers that only the relation uses.
        self.more = [_Register("age", 7), _Register("settled", 3), _Register("core", self._core_width())]
        # begun: this is not the first cycle checked; again: a new induction may have begun since that one.
        self.more += [_Register("begun", 1), _Register("again", 1)]
        self.machine = self._machine()

    def _visible(self) -> Circuit:
        """The expected results, from the trainer's inputs and outputs alone."""
        spec, n, label = self.spec, self.spec.input_bits, self.label
        step = step_circuit(spec)
        plain = step_circuit(replace(spec, dropout=0.0)) if spec.dropout else None

        def visible(*wires: Wire) -> dict[str, Wire]:
            w = dict(
                zip(
                    (*(s.name for s in self.states), "rst", *(p.name for p in (*self.inputs, *self.outputs))),
                    wires,
                    strict=True,
                )
            )
            count, state = w["count"], w["state"]
            new = w["waiting"] & ~w["was_waiting"]
            x, octet = w["entry0"][:n], w["entry0"][n:]
            y, known = octet[:label], octet[:7] < spec.classes
            learns = octet[7] & known
            following, prediction, updated = step(state, x, y)
            if plain is not None:
                prediction = mux(learns, prediction, plain(state[: spec.parameters.bits], x, y)[1])
            updated = updated & learns
            result = cat(w["prediction"], w["correct"], w["updated"])
            wrong = new & (
                equal(count, 0)
                | ~equal(w["prediction"], prediction)
                | ~equal(w["updated"], updated)
                | (known & ~equal(w["correct"], equal(prediction, y)))
            )
            wrong = wrong | (w["was_waiting"] & ~w["was_taken"] & (~w["waiting"] | ~equal(result, w["was_result"])))
            now = {
                "state": mux(new & learns, following, state),
                "count": mux(new, count.plus(3)[:2], count),
                "entry0": mux(new, w["entry1"], w["entry0"]),
                "entry1": mux(new, w["entry2"], w["entry1"]),
                "entry2": w["entry2"],
            }
            accepted = w["offered"] & w["accepts"]
            whole = accepted & w["has_partial"]
            wrong = wrong | (whole & equal(now["count"], 3))
            entry = cat(w["partial"], w["octet"])
            late = equal(now["count"], 0) | w["waiting"]
            nothing = state.zeros(1)
            after = {
                **now,
                **{f"entry{k}": mux(whole & equal(now["count"], k), entry, now[f"entry{k}"]) for k in range(3)},
                "count": mux(whole, now["count"].plus(1)[:2], now["count"]),
                "partial": mux(accepted & ~w["has_partial"], w["octet"][:n], w["partial"]),
                "has_partial": w["has_partial"] ^ accepted,
                "was_waiting": w["waiting"],
                "was_taken": w["taken"],
                "was_result": result,
                "overdue": mux(late, nothing.extend(7), w["overdue"].plus(1)[:7]),
            }
            reset = {s.name: state.const(s.first, s.width) for s in self.states}
            return {
                **{f"next_{s.name}": mux(w["rst"], reset[s.name], after[s.name]) for s in self.states},
                **{f"now_{name}": wire for name, wire in now.items()},
                "expected_prediction": prediction,
                "expected_correct": equal(prediction, y),
                "expected_updated": updated,
                "wrong": wrong,
                "seen": wrong | equal(w["overdue"], 2 * self.longest),
            }

        types: dict[str, Type] = {s.name: Bits(s.width) for s in self.states}
        types["rst"] = Bits(1)
        types |= {port.name: port.type for port in (*self.inputs, *self.outputs)}
        return trace(visible, **types)

    # -- the relation ----------------------------------------------------------------------------------------------

    def _core_width(self) -> int:
        return sum(self.inner[name] for name in self._core())

    def _core(self) -> list[str]:
        """What does not change while a result has waited for :data:`_SETTLED` cycles."""
        moving = ("buffer_", "write_", "input", "margin", "below")
        return [name for name in self.inner if not name.startswith(moving)]

    def _rests(self, its: Wires, now: Wires, w: Wires) -> Wire:
        """The trainer is between two examples, and related to the monitor."""
        spec, n = self.spec, self.spec.input_bits
        idle = ["clearing", "naming", "deciding", "passing", "kept", "last", "set_register", "clear", "words_coming"]
        idle += ["scores_reading", "scores_read", "scores_found", "scores_ends"]
        facts = [equal(its[name], 0) for name in idle]
        facts += [its["idle"], equal(its["scores_bit"], self.bit), equal(its["margin"], self.margin)]
        facts.append(its["writing"] | equal(its["write_enable"], 0))
        # The tables, including a pending write.
        width, zero = spec.classes * spec.counter, sign_bits(spec)
        for a in range(spec.tables << spec.inputs):
            written = its["writing"] & equal(its["write_address"], a)
            word = cat(
                *(
                    mux(written & its["write_enable"][k], its["write_data"][part], its[f"table{a}"][part])
                    for k in range(word_octets(spec))
                    for part in (slice(8 * k, 8 * k + 8),)
                )
            )[:width]
            word = mux(its["words_valid"] & equal(its["new_address"], a), its["new_word"], word)
            facts.append(equal(word ^ zero, now["state"][a * width : (a + 1) * width]))
        if spec.dropout:
            facts.append(equal(its["dropout"], now["state"][spec.parameters.bits :]))
            facts.append(equal(its["below"], spec.dropout_rule[1]))
        # The buffer.
        looked, filling, filled = its["buffer_looked_at"], its["buffer_filling"], its["buffer_filled"]
        here, there = mux(looked, filled[1], filled[0]), mux(looked, filled[0], filled[1])
        count = now["count"]
        facts += [
            equal(count, cat(here ^ there, here & there)),
            here | ~there,
            equal(filling, looked ^ (here & ~there)),
            equal(its["buffer_waiting"], here),
            ~(its["buffer_ready"] & mux(filling, filled[1], filled[0])),
            equal(its["buffer_octet"], w["has_partial"].extend(self.inner["buffer_octet"])),
            equal(its["buffer_at_end"], w["has_partial"]),
        ]
        for side, on_side in ((0, ~looked), (1, looked)):
            # The example being read is the first whose result is expected.
            entry = mux(on_side, now["entry0"], now["entry1"])
            x, octet = entry[:n], entry[n:]
            holds = [equal(its[f"input{i}_{side}"][:n], x) for i in range(spec.inputs)]
            holds.append(equal(its[f"buffer_label{side}"], octet[: self.label]))
            holds.append(equal(its["buffer_learns"][side], octet[7] & (octet[:7] < spec.classes)))
            facts.append(~filled[side] | reduce(and_, holds))
            partial = reduce(and_, (equal(its[f"input{i}_{side}"][:n], w["partial"]) for i in range(spec.inputs)))
            facts.append(~(w["has_partial"] & equal(filling, side)) | partial)
        return reduce(and_, facts)

    def _machine(self) -> Circuit:
        """All registers in the next cycle; ``start``: an induction may begin; ``differ``: there is a fault."""
        own = [*self.states, *self.more]
        seen = [*self.inputs, *self.outputs]

        def machine(*wires: Wire) -> dict[str, Wire]:
            names = [s.name for s in own] + ["rst"] + [p.name for p in seen] + [f"its_{name}" for name in self.inner]
            w = dict(zip(names, wires, strict=True))
            its = {name: w[f"its_{name}"] for name in self.inner}
            given = [w[name] for name in self.visible.input_names]
            found = dict(zip(self.visible.output_names, self.visible(*given), strict=True))
            now = {name[4:]: wire for name, wire in found.items() if name.startswith("now_")}
            rests = self._rests(its, now, w) & equal(w["settled"], 0)
            stuck = its["deciding"] & its["scores_done"] & w["waiting"]
            core = cat(*(its[name] for name in self._core()))
            long = equal(w["settled"], _SETTLED)
            moved = stuck & long & ~equal(core, w["core"])
            following = {
                "age": mux(rests, w["age"].const(1, 7), mux(stuck, w["age"], w["age"].plus(1)[:7])),
                "settled": mux(stuck, mux(long, w["settled"], w["settled"].plus(1)[:3]), w["settled"].zeros(3)),
                "core": core,
            }
            following = {k: mux(w["rst"], v.zeros(v.width), v) for k, v in following.items()}
            starts = (rests & ~found["wrong"]) | w["rst"]
            following |= {"begun": w["begun"] | starts, "again": w["again"] | (w["begun"] & starts)}
            late = equal(w["age"], self.longest) & ~rests & ~stuck
            return {
                **{f"next_{s.name}": found[f"next_{s.name}"] for s in self.states},
                **{f"next_{name}": wire for name, wire in following.items()},
                "seen": found["seen"],
                "start": starts & ~w["begun"] & ~w["again"],
                "differ": ~w["rst"] & ~w["again"] & (found["wrong"] | moved | late),
            }

        types: dict[str, Type] = {s.name: Bits(s.width) for s in own}
        types["rst"] = Bits(1)
        types |= {port.name: port.type for port in seen}
        types |= {f"its_{name}": Bits(width) for name, width in self.inner.items()}
        return trace(machine, **types)

    def rtlil(self, ports: Mapping[str, Any], inner: Mapping[str, Any]) -> str:
        """RTLIL of the monitor, and of the monitor beside the trainer as module ``top``."""
        machine = self.machine
        text = to_rtlil(*to_gates(machine), "monitor", machine.inputs, machine.output_names)
        return text + "".join(f"{line}\n" for line in self._top(ports, inner))

    def _top(self, ports: Mapping[str, Any], inner: Mapping[str, Any]) -> Iterator[str]:
        incoming = [("clk", 1), ("rst", 1), *((name, len(ports[name])) for name in _INPUTS)]
        bits = ("differ", "seen", "start")
        yield "module \\top"
        for number, (name, width) in enumerate(incoming, 1):
            yield f"  wire width {width} input {number} \\{name}"
        for number, name in enumerate(bits, len(incoming) + 1):
            yield f"  wire width 1 output {number} \\{name}"
        own = [*self.states, *self.more]
        wires = {s.name: s.width for s in own} | {f"next_{s.name}": s.width for s in own}
        wires |= {port.name: port.type.width for port in self.outputs} | {f"its_{n}": w for n, w in self.inner.items()}
        for name, width in wires.items():
            yield f"  wire width {width} \\{name}"
        for s in own:
            # Their first values are those of power-up.
            yield f"  attribute \\init {s.width}'{s.first:0{s.width}b}"
            yield f"  wire width {s.width} $first_{s.name}"
            pins = {"CLK": "\\clk", "D": f"\\next_{s.name}", "Q": f"$first_{s.name}"}
            yield from cell("$dff", f"\\the_register_{s.name}", pins, {"WIDTH": s.width, "CLK_POLARITY": 1})
            yield f"  connect \\{s.name} $first_{s.name}"
        machine = self.machine
        monitor = {name: f"\\{name}" for name in (*machine.input_names, *machine.output_names)}
        yield from cell("\\monitor", "\\the_monitor", monitor)
        device = {name: f"\\{name}" for name in ("clk", "rst", *_INPUTS, "accepts", "waiting")}
        device["result"] = "{ \\updated \\correct \\prediction }"
        device |= {name: f"\\its_{name}" for name in inner if name in self.inner}
        yield from cell("\\gate", "\\gate", device)
        yield "end"
