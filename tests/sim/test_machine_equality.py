"""Machines compared on all sequences: against brute force, and on the built-in languages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rdahw.sim.machine_equality as equality
from rdahw import Bits, UserError, cat, trace_machine
from rdahw.combinators import identity
from rdahw.languages import LANGUAGES, find_language
from rdahw.machine import Machine, delay, lift
from rdahw.sim.machine import run_machine
from rdahw.sim.machine_equality import compare_machines

SEQUENCES = np.array(list(itertools.product((0, 1), repeat=9)), np.uint8)

#: What each language is, in words that know nothing of automata: of the text of the bits read so far.
MEANINGS = {
    "parity": lambda w: w.count("1") % 2 == 1,
    "delay2": lambda w: w[-3:-2] == "1",
    "tap2": lambda w: (w[-1] == "1") != (w[-3:-2] == "1"),
    "pattern1011": lambda w: w.endswith("1011"),
    "mod3": lambda w: w.count("1") % 3 == 0,
    "setreset": lambda w: w.rfind("11") > w.rfind("00"),
    "tomita1": lambda w: "0" not in w,
    "tomita2": lambda w: w == "10" * (len(w) // 2),
    "tomita3": lambda w: (
        not any(ones % 2 and zeros % 2 for (bit, ones), (_, zeros) in itertools.pairwise(runs(w)) if bit == "1")
    ),
    "tomita4": lambda w: "000" not in w,
    "tomita5": lambda w: w.count("0") % 2 == 0 and w.count("1") % 2 == 0,
    "tomita6": lambda w: (w.count("0") - w.count("1")) % 3 == 0,
    "tomita7": lambda w: len(runs(w)) + (w[0] == "1") <= 4,
}


def runs(word: str) -> list[tuple[str, int]]:
    """The runs of equal bits and their lengths."""
    return [(bit, len(list(group))) for bit, group in itertools.groupby(word)]


@pytest.mark.parametrize("name", MEANINGS)
def test_labels_are_what_the_language_says(name: str) -> None:
    language = find_language(name)
    words = ["".join(map(str, row)) for row in SEQUENCES]
    expected = [[MEANINGS[name](word[: t + 1]) for t in range(9)] for word in words]
    np.testing.assert_array_equal(language.label(SEQUENCES), expected)


def test_uart_frames_are_found() -> None:
    rng = np.random.default_rng(0)
    line, expected = [], []
    for _ in range(50):
        idle = int(rng.integers(3))
        line += [1] * idle + [0, *rng.integers(2, size=8), 1]
        expected += [0] * (idle + 9) + [1]
    broken = [0, *[1] * 8, 0, 0, 1]  # no stop bit: nothing is found, and a 1 ends the wait
    found = find_language("uart8n1").label(np.array([*line, *broken, *line], np.uint8))
    assert found.tolist() == [*expected, *[0] * len(broken), *expected]


def test_frames_are_marked() -> None:
    frame, broken = [0, *[1, 0] * 4, 1], [0, *[0, 1] * 4, 0, 0, 1]
    found = find_language("uartmarks").label(np.array([1, *frame, 1, 1, *broken, *frame], np.uint8))
    marks = [0, *(0, 0, 1, 1, 0, 1, 0, 1)]
    assert found.tolist() == [0, *marks, 1, 0, 0, *marks, 0, 0, 1, *marks, 1]


def test_marks_and_their_pattern_are_the_detector_of_frames() -> None:
    marks, pattern, frames = (find_language(name).machine for name in ("uartmarks", "pattern1011", "uart8n1"))
    assert compare_machines(marks >> pattern, frames).equal
    assert not compare_machines(pattern >> marks, frames).equal


def _joined(following: Sequence[Sequence[int]], pair: tuple[int, int]) -> set[frozenset[int]]:
    """The classes of the finest congruence of an automaton in which two states are one."""
    classes, waiting = {s: frozenset([s]) for s in range(len(following))}, [pair]
    for a, b in waiting:
        if classes[a] != classes[b]:
            both = classes[a] | classes[b]
            classes |= dict.fromkeys(both, both)
            waiting += list(zip(following[a], following[b], strict=True))
    return set(classes.values())


def test_a_detector_of_frames_is_a_series_only_of_a_machine_with_ten_states() -> None:
    """Its eleven states are all needed, and each congruence but one joins all of them."""
    language = find_language("uart8n1")
    starts = [replace(language.machine, initial=(s,)) for s in range(11)]
    for a, b in itertools.combinations(range(11), 2):
        assert not compare_machines(starts[a], starts[b]).equal
    sizes = {pair: len(_joined(language.following, pair)) for pair in itertools.combinations(range(11), 2)}
    assert sizes.pop((9, 10)) == 10
    assert set(sizes.values()) == {1}


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_reference_machine_writes_the_labels(name: str) -> None:
    language = LANGUAGES[name]
    x = np.random.default_rng(0).integers(2, size=(64, 40)).astype(np.uint8)
    found = run_machine(language.machine, x[..., None]).outputs[0][..., 0]
    np.testing.assert_array_equal(found, language.label(x))


def test_unknown_languages() -> None:
    with pytest.raises(UserError, match="there is no language 'tomita8'; did you mean 'tomita7'"):
        find_language("tomita8")


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(MEANINGS, 2)))
def test_languages_are_told_apart_by_a_shortest_sequence(a: str, b: str) -> None:
    f, g = find_language(a), find_language(b)
    found = compare_machines(f.machine, g.machine).distinguishing
    assert found is not None
    x = found[0][:, 0]
    assert f.label(x)[-1] != g.label(x)[-1]
    shorter = SEQUENCES[:, : len(x) - 1]
    assert len(x) > 9 or np.array_equal(f.label(shorter), g.label(shorter))


def tables(bits: int) -> st.SearchStrategy[Machine]:
    """A machine of random tables, as its parameters would be, bound."""
    size = (bits + 1) << bits + 1

    def make(number: int) -> Machine:
        def step(s, x):  # type: ignore[no-untyped-def]
            found = s.const(number, size).lookup(cat(s, x))
            return found[:bits], found[bits]

        return trace_machine(step, state={"s": Bits(bits)}, x=Bits(1))

    return st.integers(0, (1 << size) - 1).map(make)


@settings(max_examples=50)
@given(tables(2), tables(2))
def test_equality_is_that_of_all_sequences(f: Machine, g: Machine) -> None:
    # Machines of 4 states each that differ do so within 16 steps; 9 tell nearly all of them apart.
    outputs = [run_machine(machine, SEQUENCES[..., None]).outputs[0][..., 0] for machine in (f, g)]
    same = np.array_equal(*outputs)
    found = compare_machines(f, g)
    assert found.equal <= same
    assert found.equal == same or len(found.distinguishing[0]) > 9  # type: ignore[index]
    assert compare_machines(f, f).equal


def test_a_machine_equals_itself_with_other_states() -> None:
    inverted = trace_machine(lambda s, x: (s ^ x, ~(s ^ x)), state={"s": Bits(1)}, initial={"s": 1}, x=Bits(1))
    assert compare_machines(inverted, find_language("parity").machine) == (2, None)


def test_parameters_and_machines_without_state() -> None:
    masked = lift(find_language("parity").machine.step, 1)
    assert not compare_machines(masked, masked, ([[0]], [[1]])).equal
    assert compare_machines(lift(identity(3)), lift(identity(3))).equal


@pytest.mark.parametrize(
    ("f", "g", "message"),
    [
        (delay(Bits(1)), delay(Bits(2)), r"the machines have inputs \(Bits\(1\)\) and \(Bits\(2\)\)"),
        (delay(Bits(13)), delay(Bits(13)), "a symbol has 13 bits; machines are compared on all symbols of at most 12"),
    ],
)
def test_machines_that_are_not_compared(f: Machine, g: Machine, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare_machines(f, g)


def test_too_many_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equality, "MAX_STATES", 100)
    with pytest.raises(UserError, match="reach more than 100 pairs of states"):
        compare_machines(delay(Bits(8)), delay(Bits(8)))
