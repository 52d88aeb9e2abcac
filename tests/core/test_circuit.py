"""The circuit as data: what is checked, how it prints, JSON, malformed text and values, and very long chains."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ALL, circuits

from rdahw import (
    Bits,
    Circuit,
    UserError,
    cat,
    custom_reverse,
    expand,
    forward_derivative,
    is_safe,
    mask_model,
    mux,
    reverse,
    trace,
)
from rdahw.circuit import Assignment, Port
from rdahw.sim.reference import run
from rdahw.tracing import Wire
from rdahw.types import MAX_WIDTH, parse_type

# -- printing ----------------------------------------------------------------------------------------------------------


def test_printed_text_of_rich_gates() -> None:
    def body(theta: Wire, x: Wire, s: Wire) -> dict[str, Wire]:
        return {"score": mux(s, theta.lookup(x), x).popcount(), "rest": cat(x[1:], x.const(5, 3))[::-2], "x": x}

    assert str(trace(body, theta=Bits(8), x=Bits(2), s=Bits(1))) == (
        "circuit (theta: Bits(8), x: Bits(2), s: Bits(1)) -> (score: Bits(2), rest: Bits(2), x: Bits(2)):\n"
        "  %3: Bits(2) = lookup(theta, x)\n"
        "  %4: Bits(2) = mux(s, %3, x)\n"
        "  %5: Bits(2) = popcount(%4)\n"
        "  %6: Bits(1) = slice(x, start=1, stop=2)\n"
        '  %7: Bits(3) = const(value="5", width=3)\n'
        "  %8: Bits(4) = concat(%6, %7)\n"
        "  %9: Bits(2) = gather(%8, indices=[3, 1])\n"
        "  return score=%5, rest=%9, x=x"
    )


def test_printed_text_of_a_reverse_derivative() -> None:
    assert str(reverse(trace(lambda a, b: a & b | a, a=Bits(4), b=Bits(4)))) == (
        "circuit (a: Bits(4), b: Bits(4), dy: Bits(4)) -> (da: Bits(4), db: Bits(4)):\n"
        "  %3: Bits(4) = and(a, b)\n"
        "  %4: Bits(4) = not(a)\n"
        "  %5: Bits(4) = and(%4, dy)\n"
        "  %6: Bits(4) = not(%3)\n"
        "  %7: Bits(4) = and(%6, dy)\n"
        "  %8: Bits(4) = and(b, %5)\n"
        "  %9: Bits(4) = and(a, %5)\n"
        "  %10: Bits(4) = xor(%7, %8)\n"
        "  return da=%10, db=%9"
    )


def test_printed_text_of_a_block() -> None:
    f = trace(lambda x: x.zeros(1), x=Bits(1))
    block = custom_reverse(f, trace(lambda x, dy: dy, x=Bits(1), dy=Bits(1)), name="straight through", exact=False)
    assert str(trace(lambda x: block(block(x)), x=Bits(1))) == (
        "circuit (x: Bits(1)) -> (y: Bits(1)):\n"
        "  %1: Bits(1) = custom(x, block=0)\n"
        "  %2: Bits(1) = custom(%1, block=0)\n"
        "  return y=%2\n"
        '  block 0 "straight through" surrogate:\n'
        "    circuit (x: Bits(1)) -> (y: Bits(1)):\n"
        '      %1: Bits(1) = const(value="0", width=1)\n'
        "      return y=%1\n"
        "    circuit (x: Bits(1), dy: Bits(1)) -> (y: Bits(1)):\n"
        "      return y=dy"
    )


def test_printed_text_of_nothing() -> None:
    assert str(Circuit((), (), ())) == "circuit () -> ():\n  return"


@given(circuits(ALL))
def test_text_and_json_are_read_back(f: Circuit) -> None:
    assert Circuit.parse(str(f)) == f
    assert Circuit.from_json(json.loads(json.dumps(f.to_json()))) == f


@given(circuits(ALL))
def test_what_a_builder_makes_passes_all_checks(f: Circuit) -> None:
    for circuit in (f, reverse(f), expand(f)):
        again = Circuit(circuit.inputs, circuit.assignments, circuit.outputs)
        assert again == circuit
        assert again.types == circuit.types


@pytest.mark.parametrize("f", [Circuit((), (), ()), mask_model(9), reverse(mask_model(5))], ids=["empty", "mask", "R"])
def test_special_circuits_are_read_back(f: Circuit) -> None:
    assert Circuit.parse(str(f)) == f
    assert Circuit.from_json(json.loads(json.dumps(f.to_json()))) == f


def test_equal_circuits_have_equal_names_and_hashes() -> None:
    f, g = (trace(lambda x: ~x, x=Bits(2)) for _ in range(2))
    assert f == g
    assert hash(f) == hash(g)
    assert f.renamed(inputs=["z"]) != f
    assert f.renamed(outputs=["z"]).output_names == ("z",)
    assert f.renamed(outputs=["z"]).renamed(outputs=["y"]) == f


def test_a_circuit_cannot_be_changed() -> None:
    f = trace(lambda x: ~x, x=Bits(2))
    with pytest.raises(AttributeError):
        f.outputs = ()  # type: ignore[misc]


# -- checks of circuits made by hand -----------------------------------------------------------------------------------

X = (Port("x", Bits(2)),)


@pytest.mark.parametrize(
    ("inputs", "assignments", "outputs", "message"),
    [
        ((Port("2x", Bits(1)),), (), (), "an input is named '2x'; expected letters, digits and _, not a digit first"),
        (X, (), (("", 0),), "an output is named ''; expected letters"),
        (X, (), (("y z", 0),), "an output is named 'y z'; expected letters"),
        (X + X, (), (), "two inputs are named 'x'; give each its own name"),
        (X, (), (("y", 0), ("z", 0), ("y", 0)), "two outputs are named 'y'; give each its own name"),
        (X, (), (("y", 1),), "output 'y' is wire 1; expected one from 0 to 0"),
        (X, (), (("y", -1),), "output 'y' is wire -1; expected one from 0 to 0"),
        (X, (), (("y", False),), "output 'y' is wire False"),
        (
            X,
            (Assignment("not", (1,)),),
            (),
            "wire %1 = not: it reads wire 1; expected a wire that is assigned before it",
        ),
        (X, (Assignment("not", (-1,)),), (), "wire %1 = not: it reads wire -1; expected a wire that is assigned"),
        (X, (Assignment("not", (False,)),), (), "wire %1 = not: it reads wire False"),
        (X, (Assignment("not", (0.0,)),), (), "wire %1 = not: it reads wire 0.0"),
        (X, (Assignment("not", ()),), (), "wire %1 = not: operands of types none were given; expected one"),
        (
            X,
            (Assignment("gather", (0,), ([0],)),),
            (),
            r"wire %1 = gather: indices is \[0\]; expected a tuple of",
        ),
        (X, (Assignment("gather", (0,), ((True,),)),), (), r"wire %1 = gather: indices is \(True,\); expected"),
    ],
)
def test_a_circuit_made_by_hand_is_checked(inputs, assignments, outputs, message) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Circuit(inputs, assignments, outputs)


@pytest.mark.parametrize("width", [0, -1, MAX_WIDTH + 1, True, 2.0, "8", None])
def test_a_width_is_a_whole_number(width: Any) -> None:
    message = f"width {width!r} is invalid; expected a whole number from 1 to {MAX_WIDTH}"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        Bits(width)


@pytest.mark.parametrize("text", ["Bits", "Bits(0x8)", "Bits(-1)", "Floats(2, 3)", "Bits(1234567890)", "Bits(٣)", ""])
def test_an_unknown_type_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"^the type {re.escape(repr(text))} is unknown; expected one like Bits"):
        parse_type(text)


def test_a_very_large_number_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="^width a number of thousands of digits is invalid"):
        Bits(10**5000)
    with pytest.raises(UserError, match="^output 'y' is wire a number of thousands of digits"):
        Circuit(X, (), (("y", 10**5000),))


# -- malformed text ----------------------------------------------------------------------------------------------------

GOOD = "circuit (x: Bits(2), z: Bits(2)) -> (y: Bits(2)):\n  %2: Bits(2) = and(x, z)\n  return y=%2"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GOOD, "", "the text ends where a circuit should begin; expected a line «circuit"),
        ("circuit", "circus", r"line 1 of the circuit reads 'circus .*; expected «circuit \(name: type, …\) -> "),
        ("x: Bits(2)", "x; Bits(2)", "the circuit reads 'x; Bits.*; expected «name: …»"),
        ("z: Bits(2)", "z: Bytes(2)", r"the type 'Bytes\(2\)' is unknown; expected one like Bits\(8\)"),
        (
            "-> (y: Bits(2)",
            "-> (y: Bits(3)",
            r"line 1 of .*; expected 'circuit \(x: Bits\(2\), z.*-> \(y: Bits\(2\)\):'",
        ),
        ("%2: Bits(2)", "%2: Bits(3)", r"line 2 of the circuit reads '%2: Bits\(3\).*; expected '%2: Bits\(2\) ="),
        ("%2: ", "%3: ", "line 2 of the circuit reads '%3: .*; expected «%2: type = primitive"),
        ("and", "nand", "line 2 of .*; expected a primitive; did you mean 'and'?"),
        ("and(x, z)", "and(x, w)", "line 2 of .*; expected an input or a wire in place of 'w'"),
        ("and(x, z)", "and(x, %9)", "wire %2 = and: it reads wire 9; expected a wire that is assigned before it"),
        ("and(x, z)", "and(x,z)", r"line 2 of .*; expected '%2: Bits\(2\) = and\(x, z\)'"),
        ("and(x, z)", "and(x)", r"wire %2 = and: operands of types Bits\(2\) were given; expected two"),
        ("and(x, z)", "slice(x)", "line 2 of .*; expected start=…, stop=…"),
        ("and(x, z)", "slice(x, start=0, end=2)", "line 2 of .*; expected stop=…"),
        ("and(x, z)", "slice(x, start=0, stop=-2)", "line 2 of .*; expected stop=…"),
        ("and(x, z)", "slice(x, start=0, stop=2.0)", "line 2 of .*; expected stop=…"),
        ("and(x, z)", "const(value=3, width=2)", "a constant is 3; expected a string of hexadecimal digits"),
        ("and(x, z)", 'const(value="03", width=2)', "line 2 of .*; expected '%2: .*"),
        ("and(x, z)", "gather(x, indices=[[0], 1])", "line 2 of .*"),
        ("and(x, z)", "custom(x, block=0)", "block 0 is used; expected one of the 0 that are listed"),
        ("  return", "  retrun", "line 3 of the circuit reads 'retrun y=%2'; expected «return name=wire, …»"),
        ("y=%2", "y=%7", "output 'y' is wire 7; expected one from 0 to 2"),
        ("y=%2", "y", "the circuit reads 'y'; expected «name=…»"),
        ("y=%2", "y=%2\nand more", "line 4 of the circuit reads 'and more'; expected nothing after the end"),
        (
            "y=%2",
            "y=%" + "9" * 5000,
            r"line 3 of .*; expected an input or a wire in place of '%999.*… \(5003 characters\)",
        ),
    ],
)
def test_wrong_text_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert str(Circuit.parse(GOOD)) == GOOD
    with pytest.raises(UserError, match=f"^{message}"):
        Circuit.parse(GOOD.replace(old, new))


def test_a_block_that_nothing_uses_is_refused() -> None:
    text = str(trace(custom_reverse(_f(), reverse(_f()), name="b", exact=False), x=Bits(1)))
    text = text.replace("custom(x, block=0)", "not(x)")
    with pytest.raises(UserError, match=r"^line 4 of .*; expected the circuit to end before it, as nothing uses this"):
        Circuit.parse(text)


def _f() -> Circuit:
    return trace(lambda x: x & x, x=Bits(1))


@pytest.mark.parametrize(
    "line",
    [
        "gather(x, indices=" + "[" * 100_000 + "]" * 100_000 + ")",
        "gather(x, indices=" + "{" * 100_000 + ")",
        "gather(x, indices=[" + "0, " * 100_000,
        "gather(x, indices=[" + "9" * 100_000 + "])",
        "repeat(x, times=" + "9" * 100_000 + ")",
        "repeat(x, times=1000000000)",
        "concat(" + "x, " * 100_000 + "y)",
        "const(value=\"" + "f" * 100_000 + '", width=2)',
        "const(value=\"0\", width=999999999999)",
        "x" * 100_000 + "()",
        "(" * 100_000,
    ],
    ids=lambda line: line[:20],
)  # fmt: skip
def test_monstrous_text_is_refused_shortly(line: str) -> None:
    with pytest.raises(UserError) as caught:
        Circuit.parse(GOOD.replace("and(x, z)", line))
    assert len(str(caught.value)) < 500


# -- malformed JSON ----------------------------------------------------------------------------------------------------


def nested() -> Circuit:
    block = custom_reverse(_f(), reverse(_f()), name="inner", exact=False)
    inner = trace(lambda x: block(x) ^ x.const(1, 1), x=Bits(1))
    outer = custom_reverse(inner, reverse(inner), name="outer", exact=True)
    return trace(lambda t, x: outer(t.lookup(x))[0:1].repeat(3).gather([2, 0]), t=Bits(4), x=Bits(2))


def _gate(assignment: Any) -> Callable[[Any], Any]:
    return lambda value: value["assignments"].append(assignment)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda j: j.pop("inputs"), r"the value is not a circuit \(KeyError: 'inputs'\); expected one from to_json"),
        (lambda j: j.pop("blocks"), r"the value is not a circuit \(KeyError: 'blocks'\)"),
        (lambda j: j.update(assignments=5), r"the value is not a circuit \(TypeError: .*not iterable"),
        (_gate(["xor", [0, 1]]), r"the value is not a circuit \(ValueError: not enough values"),
        (_gate(["xor", "01", []]), r"the value is not a circuit \(TypeError: '01' in place of a list"),
        (_gate(["exec", [], []]), "there is no primitive 'exec'; "),
        (_gate([["xor"], [], []]), r"the value is not a circuit \(TypeError: unhashable"),
        (_gate(["not", [True], []]), "wire %6 = not: it reads wire True"),
        (_gate(["not", [-1], []]), "wire %6 = not: it reads wire -1"),
        (_gate(["not", [10**30], []]), "wire %6 = not: it reads wire 1000"),
        (_gate(["const", [], ["-1", 2]]), "a constant is '-1'; expected a string of hexa"),
        (_gate(["const", [], [1, 2]]), "a constant is 1; expected a string of hexadecimal"),
        (_gate(["const", [], ["0", 10**15]]), "wire %6 = const: width is 1000000000000000;"),
        (_gate(["repeat", [0], [10**9]]), "wire %6 = repeat: times is 1000000000; expected"),
        (_gate(["repeat", [0], [2.0]]), "wire %6 = repeat: times is 2.0; expected"),
        (_gate(["gather", [0], ["01"]]), r"wire %6 = gather: indices is \('0', '1'\)"),
        (_gate(["custom", [2], [1]]), "block 1 is used; expected one of the 1 that are"),
        (_gate(["custom", [2], [-1]]), "block -1 is used; expected one of the 1 that are"),
        (lambda j: j["outputs"].append(["z", 0.0]), "output 'z' is wire 0.0; expected one from 0 to 5"),
        (lambda j: j["outputs"].append([["z"], 0]), r"the value is not a circuit \(TypeError: \['z'\] in place of a"),
        (lambda j: j["inputs"].append(["w", "Bits(0)"]), "width 0 is invalid"),
        (lambda j: j["inputs"].append(["w", 8]), r"the value is not a circuit \(AttributeError"),
        (lambda j: j["blocks"][0].update(exact="yes"), r"the value is not a circuit \(TypeError: 'yes' in place of a"),
        (lambda j: j["blocks"][0].update(name=None), r"the value is not a circuit \(TypeError: None in place of a str"),
        (lambda j: j["blocks"][0].pop("reverse"), r"the value is not a circuit \(KeyError: 'reverse'\)"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(change: Callable[[Any], Any], message: str) -> None:
    value = nested().to_json()
    change(value)
    with pytest.raises(UserError, match=f"^{message}"):
        Circuit.from_json(value)


def test_values_nested_without_end_are_refused() -> None:
    value = nested().to_json()
    block = value["blocks"][0]
    block["forward"]["blocks"] = [block]
    with pytest.raises(UserError, match="^blocks are nested more than 16 levels deep; expected fewer$"):
        Circuit.from_json(value)


ODD = [None, True, False, -1, 0, 1, 1.5, float("nan"), 10**9, 1 << 70, "", "x", "Bits(99999999)", "ff", [], {}, [[[]]]]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    found, rest = [], [value]
    while rest:
        container = rest.pop()
        keys = range(len(container)) if isinstance(container, list) else list(container)
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], (list, dict)):
                rest.append(container[key])
    return found


@settings(max_examples=100)
@given(circuits(ALL), st.randoms(use_true_random=False))
def test_mutated_values_raise_nothing_but_user_errors(f: Circuit, rng: random.Random) -> None:
    for _ in range(5):
        value = copy.deepcopy(f.to_json())
        for _ in range(rng.randint(1, 2)):
            container, key = rng.choice(_places(value))
            action = rng.randrange(3)
            if action == 0:
                container[key] = copy.deepcopy(rng.choice(ODD))
            elif action == 1:
                del container[key]
            else:
                container[key] = copy.deepcopy(rng.choice([c[k] for c, k in _places(value)]))
        try:
            read = Circuit.from_json(value)
        except UserError:
            continue
        assert Circuit.from_json(read.to_json()) == read


@settings(max_examples=100)
@given(circuits(ALL), st.randoms(use_true_random=False))
def test_mutated_text_raises_nothing_but_user_errors(f: Circuit, rng: random.Random) -> None:
    text = str(f)
    pieces = [
        "(",
        ")",
        "[",
        "]",
        "%",
        "=",
        ",",
        " ",
        "\n",
        '"',
        "0",
        "9" * 30,
        "é",
        "\x00",
        "block",
        "return",
        "x0",
        "-",
    ]
    for _ in range(5):
        at, end = sorted(rng.choices(range(len(text) + 1), k=2))
        end = min(end, at + rng.choice([0, 1, 1, 5, 50]))
        changed = text[:at] + rng.choice([*pieces, "", text[at:end] * 2]) + text[end:]
        try:
            read = Circuit.parse(changed)
        except UserError:
            continue
        # Only white space that means nothing may differ.
        assert str(read).split("\n") == [line.rstrip() for line in changed.splitlines() if line.strip()]


# -- very long chains --------------------------------------------------------------------------------------------------

GATES = 30_000


@pytest.fixture(scope="module")
def chain() -> Circuit:
    def body(x: Wire, y: Wire) -> Wire:
        for i in range(GATES):
            x = x & y if i % 3 else ~x if i % 2 else x ^ y
        return x

    return trace(body, x=Bits(1), y=Bits(1))


def _evaluated_by_hand(x: int, y: int) -> int:
    for i in range(GATES):
        x = x & y if i % 3 else 1 - x if i % 2 else x ^ y
    return x


@pytest.mark.parametrize(
    "transform",
    [
        reverse,
        forward_derivative,
        expand,
        is_safe,
        lambda c: Circuit(c.inputs, c.assignments, c.outputs),
    ],
    ids=["reverse", "forward_derivative", "expand", "is_safe", "check"],
)
@pytest.mark.slow
def test_a_chain_of_thousands_of_gates_is_transformed(chain: Circuit, transform: Callable[[Circuit], Any]) -> None:
    assert len(chain.assignments) == GATES
    result = transform(chain)
    if isinstance(result, Circuit):
        assert len(result.assignments) >= GATES


@pytest.mark.slow
def test_a_chain_of_thousands_of_gates_runs_prints_and_is_read_back(chain: Circuit) -> None:
    x, y = np.array([[0], [0], [1], [1]], np.uint8), np.array([[0], [1], [0], [1]], np.uint8)
    (result,) = run(chain, x, y)
    assert result[:, 0].tolist() == [_evaluated_by_hand(int(a), int(b)) for a, b in zip(x[:, 0], y[:, 0], strict=True)]
    assert Circuit.parse(str(chain)) == chain
    assert Circuit.from_json(json.loads(json.dumps(chain.to_json()))) == chain
