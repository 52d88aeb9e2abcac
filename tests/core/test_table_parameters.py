"""Tables of a circuit as its parameters: their contents as the start, switches in place of bits, and back."""

from __future__ import annotations

import numpy as np
import pytest

from rdahw import Bits, Circuit, Learner, Model, UsageError, trace
from rdahw.families.circuits import CircuitSpec
from rdahw.families.switched import plain, switched
from rdahw.given import free_tables, learnable
from rdahw.learner import LOSSES
from rdahw.optimisers import OPTIMISERS
from rdahw.rules import find_rule
from rdahw.sim.reference import run
from rdahw.tracing import cat
from rdahw.types import Switches, Words

CONTENTS = (0b0110, 0b1000, 0b0110)


def two_levels() -> Circuit:
    """Three tables of two inputs, two with the same contents; one bit is none of a table."""

    def f(theta, x):
        tables = [x.const(content, 4) for content in CONTENTS]
        first, second = tables[0].lookup(x[:2]), tables[1].lookup(x[1:])
        return cat(tables[2].lookup(cat(first, second)), first ^ theta)

    return trace(f, theta=Bits(1), x=Bits(3))


def all_inputs(width: int) -> np.ndarray:
    return (np.arange(1 << width)[:, None] >> np.arange(width) & 1).astype(np.uint8)


def test_each_lookup_is_a_table_of_its_own() -> None:
    f = two_levels()
    freed, contents = free_tables(f)
    assert dict(freed.inputs) == {"theta": Bits(1), "x": Bits(3), "tables": Bits(12)}
    bits = [content >> i & 1 for content in CONTENTS for i in range(4)]
    assert list(contents) == bits
    x = all_inputs(4)
    given = x[:, :1], x[:, 1:]
    np.testing.assert_array_equal(run(freed, *given, np.tile(np.array(bits, np.uint8), (16, 1)))[0], run(f, *given)[0])


def test_tables_are_named_beside_inputs_and_start_with_their_contents() -> None:
    made, start = learnable("f", two_levels(), ["theta", "tables"])
    assert (made.input_types, start[0], len(start)) == ((Bits(13), Bits(3)), 0, 13)
    assert start[1:] == free_tables(two_levels())[1]
    assert learnable("f", two_levels(), ["theta"])[1] == ()
    named = trace(lambda tables, x: tables ^ x, tables=Bits(2), x=Bits(2))
    assert learnable("f", named, ["tables"]) == (trace(lambda theta, x: {"y": theta ^ x}, theta=Bits(2), x=Bits(2)), ())
    with pytest.raises(UsageError, match=r"'f' has no tables to learn, .*; map it to LUTs first, as with Yosys' synth"):
        learnable("f", trace(lambda x: ~x, x=Bits(2)), ["tables"])


def test_switches_compute_what_the_bits_do_and_become_bits_again() -> None:
    f, start = learnable("f", two_levels(), ["tables", "theta"])
    made = switched(f)
    assert (made.input_types, made.output_types) == ((Switches(13, 8), Bits(3)), (Switches(2, 8),))
    theta = np.random.default_rng(0).integers(0, 2, (40, 13), np.uint8)
    x = all_inputs(3)[np.arange(40) % 8]
    for circuit in (made, plain(made)):
        np.testing.assert_array_equal(run(circuit, theta, x)[0], run(f, theta, x)[0])
    assert plain(made).input_types == f.input_types
    spec = CircuitSpec("file", Learner(Model("f", made), "target", "sign=4"), 2, start=start)
    state = spec.initial_state()
    trained, bits = spec.trained(state)
    assert bits["parameters"].tolist() == list(start)
    assert CircuitSpec.from_json("file", spec.to_json()) == spec
    np.testing.assert_array_equal(run(trained.predicting(), start, x)[0], run(f, start, x)[0])


def test_sums_of_requests_fit_the_words_of_switches() -> None:
    def f(theta, x):
        read = theta[:2].lookup(x[:1])
        return cat(*(read ^ x[i % 2] for i in range(200)))

    made = switched(trace(f, theta=Bits(2), x=Bits(2)))
    assert made.input_types[0] == Switches(2, 8)  # the table passes on the sign alone
    unread = trace(lambda theta, x: cat(*(theta ^ x[i % 2] for i in range(200))), theta=Bits(1), x=Bits(2))
    assert switched(unread).input_types[0] == Switches(1, 16)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_first_state_gives_the_parameters(name: str) -> None:
    row = OPTIMISERS[name]
    type_ = {Bits: Bits(5), Words: Words(5, 24), Switches: Switches(5, 6)}[row.kind]
    bits = np.random.default_rng(1).integers(0, 2, type_.width, np.uint8)
    row, numbers = find_rule("optimiser", row.spelt(name), OPTIMISERS, "a test has", type_)
    lens = row.bound(type_, numbers)
    first = row.start(bits, type_.tangent, **numbers)
    state = np.zeros(lens.state.width, np.uint8)
    state[: len(first)] = first
    assert run(trace(lens.get, s=lens.state), state)[0].tolist() == bits.tolist()


def test_the_target_asks_for_each_bit() -> None:
    f = trace(lambda y, label: LOSSES["target"].apply(y, label), y=Switches(4, 3), label=Bits(4))
    (found,) = run(f, [0, 0, 1, 1], [0, 1, 0, 1])
    assert Words(4, 3).to_integers(found).tolist() == [-1, 1, -1, 1]
