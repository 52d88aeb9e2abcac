"""The claims about the gateware of machines, in every cycle from power-up on, by induction.

:func:`machine_gateware` is about a machine on a stream, :func:`machine_trainer` about the trainer with shadow machines
(:mod:`rdahw.hdl.machine_trainer`). Its model applies the rule of :mod:`rdahw.families.machine.shadow` a symbol at a
time: :func:`shadow_circuits` states its steps as circuits, without what the trainer does to be small and fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from rdahw.circuit import Circuit, Port
from rdahw.claims import MAX_GATES, TooLarge, count_gates
from rdahw.families.ensemble.spec import register_number
from rdahw.families.machine.rule import ENOUGH
from rdahw.families.machine.spec import SETTLED, MachineSpec, bits_of
from rdahw.hdl.trainer_proof import RESULTS, STREAMS, Model, TrainerClaim, claim_of, on_bits
from rdahw.machine import Machine
from rdahw.tracing import Wire, cat, equal, mux, trace
from rdahw.types import Bits
from rdahw.wording import plural

__all__ = ["Shadows", "machine_gateware", "machine_trainer", "shadow_circuits"]

#: The bits of a number of ``run``, without its sign; and those that a start takes from the shift register in a cycle.
_NUMBER, _TAKEN = 31, 8

_Wires = Mapping[str, Wire]


class _Registers:
    """The registers of a model, and the two circuits with them as states."""

    def __init__(self, registers: Mapping[str, tuple[int, int]], inputs: Iterable[tuple[str, int]]) -> None:
        """registers: width and first value, by name; those without bits are left out. inputs: names and widths."""
        self.registers = {name: one for name, one in registers.items() if one[0]}
        self.inputs = [Port(name, Bits(width)) for name, width in inputs]

    def model(
        self,
        following: Callable[[_Wires], _Wires],
        expected: Callable[[_Wires], _Wires],
        inputs_at: Mapping[str, tuple[str, ...]],
        outputs_at: Mapping[str, tuple[str, ...]],
        kept: Iterable[str] = (),
    ) -> Model:
        """The model. following: the registers in the next cycle unless there is a reset, which leaves those in ``kept``
        as if there were none. A register that is left out stays."""
        states = [Port(name, Bits(width)) for name, (width, _) in self.registers.items()]

        def read(wires: Iterable[Wire]) -> dict[str, Wire]:
            w = dict(zip((port.name for port in (*states, *self.inputs)), wires, strict=True))
            return w | {name: w[name] ^ first for name, (_, first) in self.registers.items()}  # states begin as 0

        def step(*wires: Wire) -> dict[str, Wire]:
            w = read(wires)
            after = {**{port.name: w[port.name] for port in states}, **following(w)}
            moved = {name: after[name] ^ first for name, (_, first) in self.registers.items()}
            return {n: one if n in kept else mux(w["rst"], one.zeros(one.width), one) for n, one in moved.items()}

        given = {port.name: port.type for port in (*states, *self.inputs)}
        seen = trace(lambda *wires: expected(read(wires)), **given)
        return Model(tuple(states), tuple(self.inputs), trace(step, **given), seen, inputs_at, outputs_at)


# -- a machine on a stream ---------------------------------------------------------------------------------------------


def machine_gateware(machine: Machine, make: Callable[[Machine], Any] | None = None) -> TrainerClaim:
    """The claim that :class:`rdahw.hdl.machine_module.MachineModule` does what ``machine``, without parameters, does:
    for every sequence of symbols, of any length, with any valid/ready pattern and any resets.

    make: another constructor. Raises :class:`TooLarge`.
    """
    from rdahw.hdl.machine_module import MachineModule, first_number, widths

    if (gates := count_gates(machine.step)) > MAX_GATES:
        raise TooLarge(f"the machine's step has {gates:,} gates; at most {MAX_GATES:,} are tried: prove a smaller one")
    state, read, written = widths(machine)
    first = first_number(machine)
    registers = _Registers(
        {"state": (state, first), "prediction": (written, 0), "waiting": (1, 0)},
        [("rst", 1), ("x", read), ("first", 1), ("offered", 1), ("taken", 1)],
    )

    def step(w: _Wires) -> tuple[list[Wire], list[Wire]]:
        now = [] if not state else [mux(w["first"], w["state"].const(first, state), w["state"])]
        given = cat(*now, w["x"])
        ends = list(accumulate((type_.width for type_ in machine.step.input_types), initial=0))
        wires = on_bits(machine.step, *(given[a:b] for a, b in pairwise(ends)))
        return wires[: len(machine.states)], wires[len(machine.states) :]

    def following(w: _Wires) -> dict[str, Wire]:
        ready = ~w["waiting"] | w["taken"]
        accept = w["offered"] & ready
        after, out = step(w)
        moved = {"state": mux(accept, cat(*after), w["state"])} if state else {}
        return moved | {"prediction": mux(accept, cat(*out), w["prediction"]), "waiting": accept | ~ready}

    def expected(w: _Wires) -> dict[str, Wire]:
        seen = {name: w[name] for name in ("state", "prediction", "waiting") if name in w}
        return seen | {"accepts": ~w["waiting"] | w["taken"]}

    symbols = {name: ("symbols", "payload", name) for name in ("x", "first")}
    inputs_at = {**symbols, "offered": ("symbols", "valid"), "taken": ("results", "ready")}
    outputs_at = {"state": ("state",), "prediction": ("results", "payload"), "waiting": ("results", "valid")}
    model = registers.model(following, expected, inputs_at, outputs_at | {"accepts": ("symbols", "ready")})
    return claim_of(
        model,
        lambda: (make or MachineModule)(machine),
        f"machine: {read} -> {written}, {plural(state, 'bit')} of state",
        name="gateware",
        words="the emitted machine does what the machine does on all sequences, for any valid/ready pattern and resets",
        symbols="(state, y)(t + 1) = step(state(t), x(t)) where a symbol is accepted",
        sides=("gateware", "machine"),
    )


# -- the trainer of a machine ------------------------------------------------------------------------------------------


class Shadows(NamedTuple):
    """The steps of the rule as circuits; P is the number of bits of the tables.

    bits (P): the tables. evidence (P · (counter - 1)): of each shadow machine, below the level. now: the states of the
    machine and of the shadow machines. reached (P): whose evidence has reached the level.

    read : (bits, evidence, now, x, y) → (label, now, evidence, reached): steps 1 and 2 of the rule.
    flip : (bits, now, reached) → (bits, now): step 3.
    end : (right, since, restarts, read, wrong) → (right, since, restarts, read, starts): count a sequence, and
        whether it is time to start again.
    shift : (bits, noise) → (bits, noise): eight new bits of the tables of a start.
    """

    read: Circuit
    flip: Circuit
    end: Circuit
    shift: Circuit


def shadow_circuits(spec: MachineSpec) -> Shadows:
    """The steps of the rule of ``spec``."""
    states, count, width = spec.states, (spec.states + 1) * spec.size, spec.counter - 1
    sizes = {"bits": Bits(count), "evidence": Bits(count * width), "now": Bits((1 + count) * states)}
    bit, number = Bits(1), Bits(_NUMBER)

    def read(bits: Wire, evidence: Wire, now: Wire, x: Wire, y: Wire) -> dict[str, Wire]:
        written, after = [], []
        for machine in range(1 + count):
            tables = bits if machine == 0 else bits ^ bits.const(1 << machine - 1, count)
            cell = tables.lookup(cat(now[machine * states : (machine + 1) * states], x))
            after.append(cell[:states])
            written.append(cell[states])
        missed, moved, reached = written[0] ^ y, [], []
        for p in range(count):
            before = evidence[p * width : (p + 1) * width]
            more, less = before.plus(1), before.plus((1 << width) - 1)[:width]
            at_level, differs = more[width], written[1 + p] ^ written[0]
            up, down = differs & missed & ~at_level, differs & ~missed & ~equal(before, 0)
            moved.append(mux(up, more[:width], mux(down, less, before)))
            reached.append(differs & missed & at_level)
        return {"label": written[0], "now": cat(*after), "evidence": cat(*moved), "reached": cat(*reached)}

    def flip(bits: Wire, now: Wire, reached: Wire) -> dict[str, Wire]:
        table, state = bits, now[:states]
        for p in reversed(range(count)):  # so that the lowest one decides
            table = mux(reached[p], bits ^ bits.const(1 << p, count), table)
            state = mux(reached[p], now[(1 + p) * states : (2 + p) * states], state)
        return {"bits": table, "now": state.repeat(1 + count)}

    def end(right: Wire, since: Wire, restarts: Wire, read: Wire, wrong: Wire) -> dict[str, Wire]:
        def more(wire: Wire) -> Wire:
            return wire.plus(1)[:_NUMBER]

        row, sequences = mux(wrong, right.zeros(_NUMBER), more(right)), more(since)
        starts = (sequences >= spec.restart) & (row < ENOUGH)
        return {
            "right": mux(starts, right.zeros(_NUMBER), row),
            "since": mux(starts, right.zeros(_NUMBER), sequences),
            "restarts": mux(starts, more(restarts), restarts),
            "read": more(read),
            "starts": starts,
        }

    def shift(bits: Wire, noise: Wire) -> dict[str, Wire]:
        for _ in range(_TAKEN):
            new = noise[0] ^ noise[31]
            noise, bits = cat(noise[1:], new), cat(bits[1:], new)
        return {"bits": bits, "noise": noise}

    numbers = dict.fromkeys(("right", "since", "restarts", "read"), number)
    return Shadows(
        trace(read, **sizes, x=bit, y=bit),
        trace(flip, bits=sizes["bits"], now=sizes["now"], reached=Bits(count)),
        trace(end, **numbers, wrong=bit),
        trace(shift, bits=sizes["bits"], noise=Bits(63)),
    )


def machine_trainer(spec: MachineSpec, make: Callable[[MachineSpec], Any] | None = None) -> TrainerClaim:
    """The claim about :class:`rdahw.hdl.machine_trainer.MachineTrainer` of ``spec``.

    For every stream of sequences from power-up on, with any valid/ready pattern and any resets: tables, evidence,
    states, the numbers of ``run``, the shift register, results, readiness and counters are in each cycle those of a
    model that reads a symbol in a cycle and applies the circuits of :func:`shadow_circuits`: a flip takes a cycle of
    its own, and a start one for each eight bits of the tables. Assumed: nothing is written or cleared over ``control``.

    make: another constructor. Raises :class:`TooLarge`.
    """
    from rdahw.hdl.machine_trainer import MachineTrainer

    rule = shadow_circuits(spec)
    if (gates := count_gates(rule.read)) > MAX_GATES:
        raise TooLarge(f"the rule's step has {gates:,} gates; at most {MAX_GATES:,} are tried: prove fewer state bits")
    model = _Trainer(spec, rule).model()
    size = f"{plural(spec.states, 'state bit')}, counters of {spec.counter}, {plural(spec.steps, 'step')}"
    size += ", live" * spec.live
    return claim_of(
        model,
        lambda: (make or MachineTrainer)(spec),
        size,
        words=(
            "the trainer of the machine learns by the rule of shadow machines, for any sequences, valid/ready pattern "
            "and resets, while nothing is written over its control"
        ),
        symbols="(tables, evidence, states)(t + 1) = step((tables, evidence, states)(t), x(t), y(t))",
        sides=("trainer", "rule"),
    )


#: The fields of an example, lowest first.
_EXAMPLE = ("x", "y", "last", "learn")
_NUMBERS = ("right", "since", "restarts", "read")


class _Trainer:
    """The model of a trainer, which reads a symbol in a cycle."""

    def __init__(self, spec: MachineSpec, rule: Shadows) -> None:
        self.spec, self.rule = spec, rule
        self.count = (spec.states + 1) * spec.size
        first = spec.initial_state()
        tables = register_number(bits_of(first["counters"]))
        steps, count = spec.steps, self.count
        own = {
            "bits": (count, tables), "evidence": (count * (spec.counter - 1), 0), "reached": (count, 0),
            "now": ((1 + count) * spec.states, 0), "noise": (63, register_number(first["noise"])),
            **{name: (_NUMBER, 0) for name in _NUMBERS},
            "probe": (spec.states if spec.live else 0, 0),
            "starting": ((count // _TAKEN).bit_length(), 0),
        }  # fmt: skip
        protocol = {
            "own_x": (steps, 0), "own_y": (steps, 0), "own_last": (1, 0), "own_learn": (1, 0),
            "full": (1, 0), "left": ((steps - 1).bit_length(), 0), "fresh": (1, 1), "wrong": (1, 0), "ended": (1, 0),
            "prediction": (steps, 0), "correct": (1, 0), "waiting": (1, 0),
            "erred": (1, 0), "example_count": (32, 0), "error_count": (32, 0),
        }  # fmt: skip
        inputs = [("rst", 1), ("x", steps), ("y", steps), ("last", 1), ("learn", 1), ("offered", 1), ("taken", 1)]
        self.registers = _Registers(own | protocol, inputs)

    def model(self) -> Model:
        hidden = ("reached", "starting", "example", "full", "left", "fresh", "wrong", "ended", "now", "probe", "erred")
        outputs_at: dict[str, tuple[str, ...]] = {name: ("proof_registers", name) for name in hidden}
        outputs_at |= {name: ("fields", name) for name in ("counters", "run", "noise")} | {"busy": ("busy",), **RESULTS}
        kept = [f"own_{name}" for name in _EXAMPLE]  # without a reset, as they mean nothing then
        return self.registers.model(self.following, self.expected, STREAMS, outputs_at, kept)

    def signals(self, w: _Wires) -> dict[str, Wire]:
        """What is done in a cycle."""
        spec = self.spec
        numbers = [w[name] for name in _NUMBERS]
        ended = dict(zip(self.rule.end.output_names, _inline(self.rule.end, *numbers, w["wrong"]), strict=True))
        settled = equal(w["right"], SETTLED)
        counts = w["ended"] & ~settled
        starts, flips = counts & ended["starts"], ~equal(w["reached"], 0)
        starting = ~equal(w["starting"], 0)
        waits = w["ended"] if spec.steps == 1 else w["ended"] & equal(w["right"], SETTLED - 1)
        last = equal(w["left"], 0) if "left" in w else ~w["rst"].zeros(1)
        blocked = flips | starts | starting | waits | (last & w["waiting"] & ~w["taken"])
        step = w["full"] & ~blocked
        ready = ~w["full"] | (step & last)
        idle = ~(w["full"] | w["ended"] | flips | starting)
        done = {name: mux(counts, ended[name], w[name]) for name in _NUMBERS}
        return {**done, "settled": settled, "starts": starts, "flips": flips, "begins": starting, "last": last,
                "step": step, "ready": ready, "accept": w["offered"] & ready, "idle": idle}  # fmt: skip

    def following(self, w: _Wires) -> dict[str, Wire]:
        spec, s, states = self.spec, self.signals(w), self.spec.states
        step, last, accept, starts, flips = (s[name] for name in ("step", "last", "accept", "starts", "flips"))
        learns = step & w["own_learn"]
        now = w["now"]
        if spec.live:
            now = cat(mux(w["own_learn"], now[:states], w["probe"]), now[states:])
        rule = self.rule
        label, after, evidence, reached = _inline(
            rule.read, w["bits"], w["evidence"], now, w["own_x"][0], w["own_y"][0]
        )
        flipped, jumped = _inline(rule.flip, w["bits"], w["now"], w["reached"])
        drawn, noise = _inline(rule.shift, w["bits"], w["noise"])
        counts = learns & ~s["settled"]
        erred = (w["wrong"] & ~w["fresh"]) | (label ^ w["own_y"][0])
        labels = cat(w["own_x"], label)[1:]
        own = mux(learns if spec.live else step, after[:states], w["now"][:states])
        moved = mux(flips, jumped, cat(own, mux(learns, after[states:], w["now"][states:])))
        ends = starts if spec.live else starts | (step & last) | (flips & w["fresh"])
        ended = step & last
        result = {
            **{name: s[name] for name in _NUMBERS},
            "bits": mux(s["begins"], drawn, mux(flips, flipped, w["bits"])),
            "noise": mux(s["begins"], noise, w["noise"]),
            "evidence": _unless(flips | starts, mux(counts, evidence, w["evidence"])),
            "reached": _unless(~counts, reached),
            "now": _unless(ends, moved),
            "starting": mux(
                starts,
                w["starting"].const(self.count // _TAKEN, w["starting"].width),
                _less(s["begins"], w["starting"]),
            ),
            "own_x": mux(accept, w["x"], mux(step, labels, w["own_x"])),
            "own_y": mux(accept, w["y"], mux(step, cat(w["own_y"], label.zeros(1))[1:], w["own_y"])),
            "own_last": mux(accept, w["last"], w["own_last"]),
            "own_learn": mux(accept, w["learn"], w["own_learn"]),
            "full": accept | (w["full"] & ~ended),
            "fresh": mux(step, last, w["fresh"]),
            "wrong": mux(step, erred, w["wrong"]),
            "ended": learns & last,
            "prediction": mux(ended, labels, w["prediction"]),
            "correct": mux(ended, ~erred, w["correct"]),
            "waiting": ended | (w["waiting"] & ~w["taken"]),
            "erred": w["ended"] & w["wrong"],
            "example_count": w["example_count"].plus(w["ended"].extend(32))[:32],
            "error_count": w["error_count"].plus(w["erred"].extend(32))[:32],
        }
        if "left" in w:
            result["left"] = mux(accept, w["left"].const(spec.steps - 1, w["left"].width), _less(step, w["left"]))
        if spec.live:
            result["probe"] = mux(step, _unless(last, after[:states]), w["probe"])
        return result

    def expected(self, w: _Wires) -> dict[str, Wire]:
        s, width = self.signals(w), self.spec.counter - 1
        zero = w["rst"].zeros(1)
        words = [cat(w["evidence"][p * width : (p + 1) * width], w["bits"][p]) for p in range(self.count)]
        same = ("reached", "starting", "full", "left", "fresh", "wrong", "ended", "now", "probe", "erred", "noise")
        seen = ("waiting", "prediction", "correct", "example_count", "error_count")
        # A wrong label once it is time to start again starts again, so both numbers stay below such sums.
        late = (w["since"] >= self.spec.restart) & (
            w["since"].extend(_NUMBER + 1) >= w["right"].plus(self.spec.restart)
        )
        return {
            **{name: w[name] for name in (*same, *seen) if name in w},
            "counters": cat(*words),
            "run": cat(*(part for name in _NUMBERS for part in (w[name], zero))),
            "example": cat(*(w[f"own_{name}"] for name in _EXAMPLE)),
            "accepts": s["ready"],
            "answers": s["idle"],
            "busy": ~s["idle"],
            "unreachable": (w["right"] > SETTLED) | late,
        }


def _inline(circuit: Circuit, *wires: Wire) -> list[Wire]:
    return wires[0].builder.inline(circuit, wires)


def _unless(condition: Wire, value: Wire) -> Wire:
    """``value``, or 0 under the condition."""
    return mux(condition, value.zeros(value.width), value)


def _less(condition: Wire, value: Wire) -> Wire:
    """``value``, less 1 under the condition."""
    return mux(condition, value.plus((1 << value.width) - 1)[: value.width], value)
