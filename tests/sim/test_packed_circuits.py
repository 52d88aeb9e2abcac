"""One body for every fast engine of circuits: the same bits as the reference interpreter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PLAIN, WORDS, circuits, mixed_circuits

from rdahw import Bits, Circuit, Learner, make_model, mux, reverse, trace
from rdahw.errors import UsageError, UserError
from rdahw.primitives import LOWERED, PRIMITIVES, Array
from rdahw.sim import lut_kernels, netlist, word_kernels, word_program
from rdahw.sim.lut_program import KINDS, schedule
from rdahw.sim.netlist import Netlist, lower
from rdahw.sim.packed import Packed, thread_count
from rdahw.sim.packing import pack_examples, pack_wires, turn_words, unpack_examples, unpack_wires
from rdahw.sim.reference import Reference, example_arrays
from rdahw.sim.word_kernels import run_words
from rdahw.sim.word_program import WordProgram
from rdahw.types import Words


class WordMachine:
    """A circuit run by the kernels of online learning, called as :class:`Packed` is."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._program = WordProgram.of(circuit)

    def __call__(self, *inputs: Array) -> tuple[Array, ...]:
        arrays, shape = example_arrays(self.circuit, inputs)
        examples = math.prod(shape)
        x = [pack_wires(np.broadcast_to(a, (*shape, a.shape[-1])).reshape(examples, a.shape[-1])) for a in arrays]
        program, places = self._program, self._program.output_words
        words = np.empty((examples, len(places)), np.uint64)
        rows = np.concatenate(x, axis=1) if x else np.empty((examples, 0), np.uint64)
        run_words(program.code, program.pool, program.memory, 0, rows, places, words)
        outputs, at = [], 0
        for place in program.outputs:
            outputs.append(unpack_wires(words[:, at : at + place.words], place.width).reshape(*shape, place.width))
            at += place.words
        return tuple(outputs)


ENGINES: dict[str, Callable[[Circuit], Any]] = {
    "packed": Packed,
    "packed, two threads": lambda circuit: Packed(circuit, threads=2),
    "word machine": WordMachine,
}


def bits(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 2, shape, dtype=np.uint8)


def assert_same_bits(engine: Callable[[Circuit], Any], circuit: Circuit, *inputs: Any) -> None:
    shape = np.broadcast_shapes(*(i.shape[:-1] for i in inputs))
    found, expected = engine(circuit)(*inputs), Reference(circuit)(*inputs)
    assert len(found) == len(expected)
    for (name, wire), a, b in zip(circuit.outputs, found, expected, strict=True):
        # The reference leaves out the axes that an output does not depend on.
        assert a.shape == (*shape, circuit.types[wire].width)
        np.testing.assert_array_equal(a, np.broadcast_to(b, a.shape), err_msg=name)


# -- every primitive has a row, at every width -------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [netlist.ROWS, word_program.ROWS], ids=["netlist", "word machine"])
def test_every_primitive_has_a_row(rows: dict[str, Any]) -> None:
    assert LOWERED <= rows.keys() <= PRIMITIVES.keys()


def test_every_operation_of_the_word_machine_has_a_function() -> None:
    assert tuple(word_kernels._FUNCTIONS) == word_program.OPERATIONS


def test_the_kinds_are_all_functions_of_three_inputs_up_to_their_order() -> None:
    # 256 functions of three inputs fall into 80 classes; the two constants and one input itself are no gates.
    assert len(KINDS) == 80 - 3
    assert lut_kernels._formulas().keys() >= KINDS.keys()


WIDTHS = (1, 2, 63, 64, 65, 130)


def primitive_at(name: str, n: int) -> Circuit:
    """A circuit of one primitive (or little more) around ``n`` bits."""
    a, b = {"a": Bits(n)}, {"a": Bits(n), "b": Bits(n)}
    makers: dict[str, Callable[[], Circuit]] = {
        "xor": lambda: trace(lambda a, b: a ^ b, **b),
        "and": lambda: trace(lambda a, b: a & b, **b),
        "or": lambda: trace(lambda a, b: a | b, **b),
        "not": lambda: trace(lambda a: ~a, **a),
        "const": lambda: trace(lambda a: [a ^ ((1 << n) // 3), a.const((1 << n) - 1, n)], **a),
        "concat": lambda: trace(lambda a, b: a.concat(b, a, b[0], a), **b),
        "slice": lambda: trace(lambda a: [a[i:j] for i in range(0, n, 29) for j in range(i + 1, n + 1, 31)], **a),
        "repeat": lambda: trace(lambda a: [a.repeat(3), a.repeat(7), a[0].repeat(n)], **a),
        "sum": lambda: trace(lambda a, b: [a.parity(), a.concat(a, b, b, a, b).sum(5)], **b),
        "gather": lambda: trace(lambda a: a.gather([(7 * i) % n for i in range(100)]), **a),
        "scatter": lambda: trace(lambda a: a.scatter([(5 * i) % 70 for i in range(n)], 71), **a),
        "mux": lambda: trace(lambda a, b: mux(a[0], a, b), **b),
        "decode": lambda: trace(lambda a: a[:9].decode(), **a),
        "lookup": lambda: trace(lambda a, b: [a.repeat(128).lookup(b[:7]), b.repeat(66 * 2)[:132].lookup(a[0])], **b),
        "popcount": lambda: trace(lambda a: a.popcount(), **a),
        "less_equal": lambda: trace(lambda a, b: [a <= b, a <= a, (a | b) <= b, a < b], **b),
        "plus": lambda: trace(lambda a, b: [a.plus(b), (~a).plus(a), (~a).plus(1 if n > 1 else a)], **b),
    }
    assert makers.keys() == set(PLAIN)
    return makers[name]()


@pytest.mark.parametrize("engine", ["packed", "word machine"])
@pytest.mark.parametrize("name", PLAIN)
def test_every_primitive_at_every_width(name: str, engine: str) -> None:
    for width in WIDTHS:
        circuit = primitive_at(name, width)
        inputs = [bits(70, t.width, seed=i) for i, t in enumerate(circuit.input_types)]
        for array in inputs:
            array[0], array[1] = 0, 1
        assert_same_bits(ENGINES[engine], circuit, *inputs)


def words_at(name: str, n: int, k: int) -> Circuit:
    """A circuit of one primitive of words around ``n`` words of ``k`` bits."""
    a, b, w, m = Words(n, k), Words(n, k), Words(3, k), Bits(n)
    makers: dict[str, Callable[[], Circuit]] = {
        "add_words": lambda: trace(lambda a, b: a + b, a=a, b=b),
        "multiply_words": lambda: trace(lambda a, b: a * b, a=a, b=b),
        "mask_words": lambda: trace(lambda a, m: a.mask(m), a=a, m=m),
        "negate_words": lambda: trace(lambda a, m: a.negate(m), a=a, m=m),
        "gather_words": lambda: trace(lambda a: a.gather([(3 * i + 1) % n for i in range(n + 2)]), a=a),
        "scatter_words": lambda: trace(lambda a: a.scatter([i * i % 5 for i in range(n)], 6), a=a),
        "shift_words": lambda: trace(lambda a: [a.shift(by) for by in {0, k // 2, k - 1}], a=a),
        "saturating_add_words": lambda: trace(
            lambda a, b: [a.saturating_add(b, limit) for limit in {1, (k + 1) // 2, k}], a=a, b=b
        ),
        "cumulate_words": lambda: trace(lambda a: a.cumulate(), a=a),
        "count_below_words": lambda: trace(lambda a, w: [a.count_below(w), w.count_below(a)], a=a, w=w),
    }
    assert makers.keys() == word_program.ROWS.keys() & {*WORDS} - {"to_words", "to_bits", "to_switches"}
    return makers[name]()


@pytest.mark.parametrize("k", [1, 5, 31, 32, 33, 64])
@pytest.mark.parametrize("name", sorted(word_program.ROWS.keys() & {*WORDS} - {"to_words", "to_bits", "to_switches"}))
def test_every_operation_on_words_at_every_width(name: str, k: int) -> None:
    for n in (1, 2, 7):
        circuit = words_at(name, n, k)
        inputs = [bits(40, t.width, seed=i) for i, t in enumerate(circuit.input_types)]
        for array in inputs:
            array[0], array[1] = 0, 1
        assert_same_bits(WordMachine, circuit, *inputs)


# -- random circuits, models, shapes -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60)
@given(circuit=circuits(gates=12), data=st.data())
def test_random_circuits_and_their_derivatives(engine: str, circuit: Circuit, data: st.DataObject) -> None:
    examples = data.draw(st.sampled_from([1, 2, 64, 65, 1100]))
    for c in (circuit, reverse(circuit)):
        inputs = [
            bits(*([examples] if data.draw(st.booleans()) else []), t.width, seed=i)
            for i, t in enumerate(c.input_types)
        ]
        assert_same_bits(ENGINES[engine], c, *inputs)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60)
@given(circuit=mixed_circuits(), data=st.data())
def test_random_circuits_of_words(engine: str, circuit: Circuit, data: st.DataObject) -> None:
    examples = data.draw(st.sampled_from([1, 2, 65]))
    assert_same_bits(
        ENGINES[engine], circuit, *(bits(examples, t.width, seed=i) for i, t in enumerate(circuit.input_types))
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("k", [1, 7, 31, 63, 64])
def test_words_of_every_width(engine: str, k: int) -> None:
    circuit = trace(
        lambda a, b, x: [a + b, a * b, a.mask(x[:3]), a.scatter([1, 1, 1], 3), a.repeat(4).lookup(x[:2]), a[1] + b[2]],
        a=Words(3, k),
        b=Words(3, k),
        x=Bits(4),
    )
    assert_same_bits(ENGINES[engine], circuit, *(bits(65, t.width, seed=i) for i, t in enumerate(circuit.input_types)))


MODELS = [("lookup", 4, 3), ("lookup", 2, 70), ("mask", 70, 1), ("mask:k=3", 9, 1)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("examples", [0, 1, 63, 64, 65, 1023, 1024, 1025, 2500])
def test_models_on_ragged_numbers_of_examples(model: tuple[str, int, int], engine: str, examples: int) -> None:
    learner = Learner(make_model(*model))
    theta, x, y = (t.width for t in learner.request.input_types)
    assert_same_bits(
        ENGINES[engine], learner.request, bits(theta), bits(examples, x, seed=1), bits(examples, y, seed=2)
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_examples_broadcast_as_in_the_reference(engine: str) -> None:
    circuit = trace(lambda a, b: [a ^ b, a, b.popcount(), a.const(5, 3)], a=Bits(3), b=Bits(3))
    for a, b in [((), ()), ((5,), ()), ((2, 3), (3,)), ((2, 1), (1, 4)), ((1,), (7,)), ((0,), ())]:
        assert_same_bits(ENGINES[engine], circuit, bits(*a, 3, seed=1), bits(*b, 3, seed=2))


@pytest.mark.parametrize("engine", ["reference", *ENGINES])
def test_bad_inputs_are_told(engine: str) -> None:
    run = {"reference": Reference, **ENGINES}[engine](trace(lambda a, b: a ^ b, a=Bits(3), b=Bits(3)))
    with pytest.raises(UserError, match=r"^1 arrays were given to a circuit of 2 inputs; expected one each$"):
        run(bits(3))
    with pytest.raises(
        UserError, match=r"^input 'b' was given an array of shape \(5, 2\); expected 3 on the last axis$"
    ):
        run(bits(3), bits(5, 2))
    with pytest.raises(UserError, match=r"^the inputs have examples of shapes \(4,\), \(5,\); expected shapes that br"):
        run(bits(4, 3), bits(5, 3))


# -- the packed form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3, None])
def test_packed_inputs_and_outputs_on_any_number_of_threads(threads: int | None) -> None:
    circuit = trace(lambda a, b: {"s": a.plus(b), "c": a <= b}, a=Bits(5), b=Bits(5))
    a, b = bits(5000, 5), bits(5)
    packed = pack_examples(a)
    assert packed.shape == (5, 79)
    shared = (-b.astype(np.int64)).view(np.uint64)[:, None]
    outputs = Packed(circuit, threads=threads).run(packed, shared)
    for found, expected in zip(outputs, Reference(circuit)(a, b), strict=True):
        assert found.dtype == np.uint64
        np.testing.assert_array_equal(unpack_examples(found, 5000), expected)


def test_packed_inputs_need_not_be_contiguous() -> None:
    circuit = trace(lambda a: ~a, a=Bits(4))
    packed = np.random.default_rng(0).integers(0, 2**63, (8, 40)).astype(np.uint64)
    for view in (packed[::2], packed[:4, ::2], np.asfortranarray(packed[4:])):
        (found,) = Packed(circuit).run(view)
        np.testing.assert_array_equal(found, ~view)


def test_packed_inputs_of_a_wrong_form_are_told() -> None:
    run = Packed(trace(lambda a, b: a ^ b, a=Bits(3), b=Bits(3))).run
    good = np.zeros((3, 7), np.uint64)
    with pytest.raises(
        UserError, match=r"^input 'b' was given uint64 of shape \(3, 6\); expected uint64 of \(3, 7\) or"
    ):
        run(good, good[:, 1:])
    with pytest.raises(UserError, match=r"^input 'a' was given int64 of shape \(3, 7\); expected uint64"):
        run(good.view(np.int64), good)
    with pytest.raises(UserError, match=r"^1 arrays were given to a circuit of 2 inputs; expected one each$"):
        run(good)


@pytest.mark.parametrize("examples", [0, 1, 63, 64, 65, 300])
@pytest.mark.parametrize("wires", [1, 63, 64, 65, 200])
def test_packing_is_what_its_text_says(examples: int, wires: int) -> None:
    array = bits(examples, wires)
    by_examples, by_wires = pack_examples(array), pack_wires(array)
    assert by_examples.shape == (wires, -(-examples // 64))
    assert by_wires.shape == (examples, -(-wires // 64))
    for e in range(0, examples, 7):
        for w in range(0, wires, 5):
            assert by_examples[w, e // 64] >> np.uint64(e % 64) & np.uint64(1) == array[e, w]
            assert by_wires[e, w // 64] >> np.uint64(w % 64) & np.uint64(1) == array[e, w]
    np.testing.assert_array_equal(unpack_examples(by_examples, examples), array)
    np.testing.assert_array_equal(unpack_wires(by_wires, wires), array)
    np.testing.assert_array_equal(turn_words(by_wires, wires), by_examples)
    assert sum(int(word).bit_count() for word in by_wires.reshape(-1)) == array.sum()  # nothing after the last wire


def test_packing_takes_arrays_that_may_not_be_written() -> None:
    array = bits(70, 3)
    array.flags.writeable = False
    np.testing.assert_array_equal(unpack_examples(pack_examples(array), 70), array)
    assert unpack_wires(pack_wires(array), 3).tolist() == array.tolist()


# -- netlists ----------------------------------------------------------------------------------------------------------


def evaluate(net: Netlist, inputs: list[int]) -> list[list[int]]:
    values = [0, 1, *inputs]
    for table, a, b, c in net.gates:
        values.append(table >> (values[a] + 2 * values[b] + 4 * values[c]) & 1)
    return [[values[i] for i in output] for output in net.outputs]


@settings(max_examples=60)
@given(circuit=circuits(gates=12), seed=st.integers(0, 2**32))
def test_lowering_and_fusing_keep_the_function(circuit: Circuit, seed: int) -> None:
    inputs = [bits(t.width, seed=seed + i) for i, t in enumerate(circuit.input_types)]
    net = lower(circuit)
    fused = net.fused()
    flat = [int(bit) for array in inputs for bit in array]
    expected = [array.tolist() for array in Reference(circuit)(*inputs)]
    assert evaluate(net, flat) == expected
    assert evaluate(fused, flat) == expected
    assert len(fused.gates) <= len(net.gates)


def test_a_full_adder_is_two_gates_and_a_chain_of_inverters_none() -> None:
    n = 8
    adder = lower(trace(lambda a, b: a.plus(b), a=Bits(n), b=Bits(n))).fused()
    assert len(adder.gates) == 2 * n
    twice = lower(trace(lambda a: ~~a, a=Bits(n))).fused()
    assert (len(twice.gates), twice.outputs) == (0, [list(range(2, 2 + n))])


def test_dead_gates_and_unread_inputs_cost_nothing() -> None:
    circuit = trace(lambda a, b: (a & b)[0], a=Bits(9), b=Bits(9))
    program = schedule(lower(circuit).fused())
    assert (len(program.code), program.loads[:, 0].tolist(), program.slots) == (1, [0, 9], 2)


def test_memory_follows_what_is_alive_and_not_the_length() -> None:
    def chain(a: Any) -> Any:
        for _ in range(500):
            a = (a & a[1:].concat(a[1:], a[0])) ^ a[0].repeat(a.width)
        return a

    program = schedule(lower(trace(chain, a=Bits(10))).fused())
    assert len(program.code) > 2000
    assert program.slots < 40


def test_a_deep_chain_does_not_exhaust_the_stack() -> None:
    def chain(a: Any, b: Any) -> Any:
        for i in range(20_000):
            a = (a & b) if i % 2 else (a ^ b)
        return a

    circuit = trace(chain, a=Bits(1), b=Bits(1))
    assert_same_bits(Packed, circuit, bits(100, 1), bits(100, 1, seed=1))


def test_a_circuit_too_large_for_gates_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlist, "MAX_GATES", 1000)
    with pytest.raises(
        UserError, match=r"^the circuit has more than 1000 gates; that is too large for the packed engi"
    ):
        Packed(trace(lambda a: a.decode(), a=Bits(12)))


def test_threads_are_checked() -> None:
    assert thread_count(None) >= 1
    with pytest.raises(UsageError, match=r"^threads is 0; expected at least 1, or None for all cores$"):
        Packed(trace(lambda a: ~a, a=Bits(1)), threads=0)
