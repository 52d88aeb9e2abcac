"""Machines: text and JSON, running, the laws of the delayed trace, and derivatives that agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from machines import inner
from strategies import PLAIN, circuits, ring_circuits

from rdahw import (
    Bits,
    Circuit,
    Machine,
    Switches,
    UserError,
    Words,
    cat,
    forward_derivative,
    reverse,
    trace,
    trace_machine,
    unroll,
)
from rdahw.combinators import identity, swap
from rdahw.machine import delay, feedback, lift
from rdahw.machine_derivative import adjoint_machine, forward_machine, reverse_machine, rtrl_machine
from rdahw.sim import run
from rdahw.sim.machine import ENGINES, run_machine
from rdahw.types import Scalars, Type

BIT = Bits(1)
RINGS: Sequence[Type] = (BIT, Words(1, 2), Words(1, 4), Scalars(1, "Z3"))


def of_elements(one: Type, counts: Sequence[int], outputs: Sequence[int]) -> st.SearchStrategy[Circuit]:
    """Circuits on wires of so many elements: of any primitive over bits, polynomials over other rings."""
    if one == BIT:
        return circuits(PLAIN, inputs=counts, outputs=outputs, gates=6)
    return ring_circuits(one, counts, outputs)


@st.composite
def machines(draw: DrawFn, one: Type = BIT, parameters: int = 0, read: int = 1, written: int = 1) -> Machine:
    """A machine over a ring with one state port of one or two elements, and symbols of ``read`` and ``written``."""
    count = draw(st.integers(1, 2))
    theta = [parameters] if parameters else []
    step = draw(of_elements(one, [*theta, count, read], [count, written]))
    size = one.width * count
    largest = (1 << size) - 1 if not isinstance(one, Scalars) else 0
    return Machine(step, (draw(st.integers(0, largest)),), len(theta))


def symbols(type_: Type, steps: int, generator: np.random.Generator) -> Any:
    """Random elements of a type as bits, (steps, width)."""
    size = 3 if isinstance(type_, Scalars) else 1 << type_.width // type_.count
    width = type_.width // type_.count
    numbers = generator.integers(size, size=(steps, type_.count))
    return (numbers[..., None] >> np.arange(width) & 1).reshape(steps, type_.width).astype(np.uint8)


def same(f: Machine, g: Machine, steps: int = 12) -> bool:
    """Whether two machines write the same on random sequences."""
    generator = np.random.default_rng(0)
    x = [np.stack([symbols(port.type, steps, generator) for _ in range(16)]) for port in f.inputs]
    found = [run_machine(machine, *x).outputs for machine in (f, g)]
    return all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


# -- data --------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(machines(parameters=2))
def test_text_and_json_round_trip(machine: Machine) -> None:
    assert Machine.parse(str(machine)) == machine
    assert Machine.from_json(json.loads(json.dumps(machine.to_json()))) == machine


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Machine(identity(2), (4,)), "starts with 4; expected a whole number of 2 bits"),
        (lambda: Machine(identity(2), (0, 0)), "0 parameters and 2 initial values were given for a step of 1 inputs"),
        (lambda: Machine(swap(1, 2), (0,)), r"the next state is \(Bits\(2\)\); expected the types of the state"),
        (lambda: Machine.parse("circuit () -> ():\n"), "expected a line like «machine parameters=1 initial=0,2:»"),
        (lambda: Machine.parse("machine parameters=0 initial=1:\n"), "the text ends where a circuit should begin"),
        (lambda: Machine.from_json(3), "the value is not a machine"),
        (lambda: Machine.from_json({"step": {}, "initial": [0], "parameters": 0}), "an initial value is 0; expected"),
        (lambda: delay(Bits(1)) >> delay(Bits(2)), r"one writes \(Bits\(1\)\), the next reads \(Bits\(2\)\)"),
        (
            lambda: feedback(lift(swap(1, 2)), 0),
            r"\(Bits\(2\)\) is written on the first 1 ports and \(Bits\(1\)\) read",
        ),
        (lambda: feedback(lift(identity(1)), 0, 0), "expected the same types"),
        (lambda: unroll(delay(BIT), 0), "0 steps were asked for; expected a whole number, at least 1"),
        (lambda: rtrl_machine(delay(BIT)), "the machine has no parameters; expected at least one"),
        (
            lambda: rtrl_machine(lift(trace(lambda t, x: t & x, t=Switches(1, 4), x=Switches(1, 4)), 1)),
            r"port 't' is of Switches\(1, 4\), whose cotangents are of Words\(1, 4\)",
        ),
        (lambda: trace_machine(lambda s: s, state={"s": BIT}), "expected the next state and the outputs"),
        (lambda: trace_machine(lambda s: ((s, s), s), state={"s": BIT}), "returned 2 next states; expected 1"),
        (
            lambda: trace_machine(lambda s, x: (s, x), state={"s": BIT}, initial={"t": 1}, x=BIT),
            "an initial value is given for 't'; expected names of the state",
        ),
        (
            lambda: trace_machine(lambda s, x: (s, x), state={"s": BIT}, initial=1, x=BIT),  # type: ignore[arg-type]
            "initial 1; expected the type and the first number of each name",
        ),
        (lambda: delay(BIT) >> identity(1), "expected a machine, which rdahw.machine.lift makes of a circuit"),
        (lambda: delay(BIT) @ identity(1), "expected a machine, which rdahw.machine.lift makes of a circuit"),
        (lambda: trace_machine(lambda s: (s, s), state={"s": BIT}, s=BIT), "a name is used for two of parameters"),
        (lambda: reverse(identity(1), 3), r"to differentiate by are 3; expected their names, such as \['x'\]"),  # type: ignore[call-overload]
        (lambda: unroll(identity(1), 2), "expected a machine, which rdahw.machine.lift makes of a circuit"),  # type: ignore[arg-type]
        (lambda: lift(delay(BIT)), "lift was given .*; expected a circuit"),  # type: ignore[arg-type]
    ],
)
def test_bad_machines(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


# -- running -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=30)
@given(machine=machines(parameters=2, read=2), seed=st.integers(0, 99))
def test_a_machine_runs_as_its_unrolled_circuit(engine: str, machine: Machine, seed: int) -> None:
    generator = np.random.default_rng(seed)
    theta = [symbols(port.type, 1, generator)[0] for port in machine.parameter_ports]
    x = np.stack([symbols(machine.inputs[0].type, 4, generator) for _ in range(3)])
    found = run_machine(machine, x, parameters=theta, engine=engine)
    first = [[machine.initial[0] >> bit & 1 for bit in range(machine.states[0].type.width)]]
    *written, state = run(unroll(machine, 4), *theta, *first, *np.moveaxis(x, 1, 0))
    np.testing.assert_array_equal(found.outputs[0], np.stack(np.broadcast_arrays(*written, x[..., 0, :1])[:-1], 1))
    np.testing.assert_array_equal(found.state[0], np.broadcast_to(state, found.state[0].shape))


def test_delay_writes_what_it_read_a_step_before() -> None:
    x = np.array([[1], [0], [1], [1]], np.uint8)
    assert run_machine(delay(BIT, 1), x).outputs[0].ravel().tolist() == [1, 1, 0, 1]
    assert run_machine(delay(BIT) >> delay(BIT), x).outputs[0].ravel().tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("sequences", "options", "message"),
    [
        ([], {}, "0 parameters, 1 states and 0 sequences were given; expected 0, 1 and 1"),
        ([np.zeros(1)], {}, r"the sequences have shapes \(1,\); expected \(…, steps, width\)"),
        ([np.zeros((3, 2))], {}, "'x' was given an array of shape \\(3, 2\\); expected 1 on the last axis"),
        ([np.zeros((2, 3, 1))], {"state": [np.zeros((3, 1))]}, "are of batches that do not broadcast"),
        ([[[2], [0]]], {}, "'x' was given other values than 0 and 1; expected one bit in each place"),
        ([[[0.5]]], {"engine": "packed"}, "'x' was given other values than 0 and 1"),
        ([np.full((1, 1), "a")], {}, "'x' was given other values than 0 and 1"),
        ([np.zeros((3, 1))], {"state": [[3]]}, "'s' was given other values than 0 and 1"),
        ([np.zeros((3, 1))], {"engine": "fast"}, "there is no engine 'fast' for machines"),
    ],
)
def test_bad_sequences(sequences: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_machine(delay(BIT), *sequences, **options)


# -- the laws of a delayed trace (arXiv 1903.01093, section 3) ---------------------------------------------------------


@settings(max_examples=30)
@given(f=machines(read=2, written=3), g=machines(read=2, written=1), h=machines(read=2, written=2))
def test_feedback_is_natural(f: Machine, g: Machine, h: Machine) -> None:
    # f : A × X → A × Y with one bit of A fed back; the ports are split off and joined by circuits.
    split = lift(trace(lambda a, x: cat(a, x), a=BIT, x=BIT))
    apart = lift(trace(lambda y: (y[:1], y[1:]), y=Bits(3)))
    f = split >> f >> apart
    wire = lift(identity(BIT))
    assert same(feedback((wire @ g) >> f, 1), g >> feedback(f, 1))
    assert same(feedback(f >> (wire @ h), 1), feedback(f, 1) >> h)


@settings(max_examples=30)
@given(f=machines(read=2, written=2), g=machines())
def test_feedback_superposes(f: Machine, g: Machine) -> None:
    split = lift(trace(lambda a, x: cat(a, x), a=BIT, x=BIT))
    f = split >> f >> lift(trace(lambda y: (y[:1], y[1:]), y=Bits(2)))
    assert same(feedback(f @ g, 1), feedback(f, 1) @ g)


def test_feedback_of_a_swap_is_a_delay_and_not_the_identity() -> None:
    yanked = feedback(lift(swap(BIT, BIT)), 0)
    assert same(yanked, delay(BIT))
    assert not same(yanked, lift(identity(BIT)))


def test_feedback_is_not_dinatural() -> None:
    invert, wire = lift(trace(lambda a: ~a, a=BIT)), lift(identity(BIT))
    f = lift(trace(lambda a, x: (x, a), a=BIT, x=BIT))
    after, before = feedback(f >> (invert @ wire), 0), feedback((invert @ wire) >> f, 0)
    x = np.array([[0], [0]], np.uint8)
    assert run_machine(after, x).outputs[0].ravel().tolist() == [0, 1]
    assert run_machine(before, x).outputs[0].ravel().tolist() == [1, 1]


# -- derivatives -------------------------------------------------------------------------------------------------------


def check_forms(one: Type, machine: Machine, seed: int, steps: int = 3) -> None:
    """Back-propagation, the adjoint of the unrolled circuit, the tangent machine and real-time recurrent learning."""
    generator = np.random.default_rng(seed)
    draw = lambda ports: [symbols(port.type, steps, generator) for port in ports]  # noqa: E731
    (theta,), (state,) = ([array[0] for array in draw(ports)] for ports in (machine.parameter_ports, machine.states))
    (x,), (dy,) = draw(machine.inputs), draw(machine.outputs)
    zero = np.zeros_like(state)
    results = [
        run(circuit, theta, state, *x, *dy, zero)
        for circuit in (reverse(machine, steps), reverse(unroll(machine, steps)))
    ]
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    found = run_machine(machine, x, parameters=[theta], state=[state], engine="packed")
    for a, b in zip(run(unroll(machine, steps), theta, state, *x), [*found.outputs[0], *found.state], strict=True):
        np.testing.assert_array_equal(a, b)
    dtheta, ds, *dx = results[0]
    rtrl = rtrl_machine(machine)
    zeros = [np.zeros(port.type.width, np.uint8) for port in rtrl.states[1:]]
    online = run_machine(rtrl, x, dy, parameters=[theta], state=[state, *zeros]).outputs[0]
    np.testing.assert_array_equal(online[-1], dtheta)
    (change,), (dstate,) = ([array[0] for array in draw(p)] for p in (machine.parameter_ports, machine.states))
    (dinput,) = draw(machine.inputs)
    forward = forward_derivative(machine)
    moved = run_machine(forward, x, dinput, parameters=[theta, change], state=[state, dstate]).outputs[0]
    pulled = [(dtheta, change), (ds, dstate), *zip(dx, dinput, strict=True)]
    total = sum(inner(one, np.reshape(a, (-1, one.width)), np.reshape(b, (-1, one.width))) for a, b in pulled)
    difference = total - inner(one, dy.reshape(-1, one.width), moved.reshape(-1, one.width))
    assert difference % modulus(one) == 0


def modulus(one: Type) -> int:
    return 3 if isinstance(one, Scalars) else 1 << one.width


@pytest.mark.parametrize("one", RINGS, ids=str)
@settings(max_examples=20)
@given(data=st.data())
def test_the_forms_of_the_derivative_agree(one: Type, data: st.DataObject) -> None:
    check_forms(one, data.draw(machines(one, parameters=2)), data.draw(st.integers(0, 99)))


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_the_forms_of_the_derivative_agree_on_hundreds_of_machines(data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(RINGS))
    check_forms(one, data.draw(machines(one, parameters=2)), data.draw(st.integers(0, 99)))


@settings(max_examples=30)
@given(f=machines(read=2, written=2), g=machines(read=2), seed=st.integers(0, 99))
def test_chain_rule(f: Machine, g: Machine, seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, dx = (symbols(Bits(2), 5, generator) for _ in range(2))
    whole = run_machine(forward_machine(f >> g), x, dx).outputs[0]
    y, dy = run_machine(f, x).outputs[0], run_machine(forward_machine(f), x, dx).outputs[0]
    np.testing.assert_array_equal(run_machine(forward_machine(g), y, dy).outputs[0], whole)


@pytest.mark.parametrize("one", RINGS, ids=str)
@settings(max_examples=20)
@given(data=st.data())
def test_the_second_derivative_is_symmetric(one: Type, data: st.DataObject) -> None:
    machine = data.draw(machines(one, read=2))
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    second = forward_machine(forward_machine(machine))
    x, a, b, c = (symbols(machine.inputs[0].type, 4, generator) for _ in range(4))
    np.testing.assert_array_equal(*(run_machine(second, x, *both, c).outputs[0] for both in ((a, b), (b, a))))


@settings(max_examples=30)
@given(machine=machines(parameters=2), seed=st.integers(0, 99))
def test_the_adjoint_machine_run_backwards(machine: Machine, seed: int) -> None:
    generator = np.random.default_rng(seed)
    theta, x, dy = (symbols(type_, 4, generator) for type_ in (Bits(2), BIT, BIT))
    states, parameters = [], [theta[0]]
    state = None
    for t in range(4):
        found = run_machine(machine, x[t : t + 1], parameters=parameters, state=state)
        states.append(run_machine(machine, x[:0], parameters=parameters, state=state).state[0])
        state = found.state
    backwards = run_machine(adjoint_machine(machine), np.array(states)[::-1], x[::-1], dy[::-1], parameters=parameters)
    zero = np.zeros_like(states[0])
    dtheta, ds, *dx = run(reverse_machine(machine, 4), theta[0], states[0], *x, *dy, zero)
    np.testing.assert_array_equal(backwards.outputs[0][::-1], dx)
    np.testing.assert_array_equal(backwards.state[0], ds)
    np.testing.assert_array_equal(backwards.state[1], dtheta)
