"""Saved models: what is written comes back, and a file from a stranger can do nothing but be refused."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdahw import Learner, Model, lookup_model, make_model, mask_model
from rdahw.data import Binariser, Column, Schema
from rdahw.GONE import EnsembleState
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.errors import UsageError, UserError
from rdahw.saved import FORMAT, SavedModel, load_circuit, load_model, pack_bits, save_model
from rdahw.saved_ensemble import BestEpoch, SavedEnsemble
from rdahw.sim.engines import ReferenceEngine
from rdahw.training import Best, Schedule, TrainingState

RANDOM = np.random.default_rng(3)


def some_bits(count):
    return RANDOM.integers(0, 2, count).astype(np.uint8)


COLUMNS = (Column("number"), Column("binary"), Column("category", ("red", "green")))
SCHEMA = Schema(("size", "sweet", "colour"), COLUMNS, ("appl\u00e9", "\U0001f350"), "kind", 3, True)
BINARISER = Binariser.fit("thermometer=2", [[0.1, 0, 0], [9.7, 1, 1]], COLUMNS, SCHEMA.feature_names)


def make(model, *, best=True):
    """A saved model of three columns, a number, a binary and a category one, and two classes."""
    count = model.parameter_bits
    kept = Best(7, 11, some_bits(count)) if best else None
    state = TrainingState(some_bits(count), 2, 5, 37, 4, kept)
    return SavedModel(
        Learner(model),
        some_bits(count),
        SCHEMA,
        BINARISER,
        "binary",
        state,
        Schedule(batch=3, epochs=9, updates=None, shuffle=True, seed=-(10**30)),
        {"options": {"data": "x.csv"}, "finished": True, "command": "rdahw train"},
    )


LOOKUP = make(Model("lookup", lookup_model(5, 1)))
MASK = make(Model("mask:k=2", mask_model(5, 2)), best=False)


def make_ensemble(counter=5, *, best=True):
    spec = EnsembleSpec(input_bits=5, classes=2, tables=3, inputs=2, counter=counter, margin=3, seed=(1 << 64) - 1)
    low, high = spec.counter_range

    def counters():
        return RANDOM.integers(low, high + 1, spec.counters_shape).astype(np.int8)

    return SavedEnsemble(
        spec=spec,
        state=EnsembleState(counters(), (1 << 63) - 5, 2, 17, 137, 9, 11),
        schema=SCHEMA,
        binariser=BINARISER,
        schedule=Schedule(epochs=9, updates=300, stride=7),
        provenance={"options": {"data": "x.csv"}, "finished": False, "curve": [{"epoch": 1, "wrong": 12}]},
        best=BestEpoch(41, 2, counters()) if best else None,
    )


ENSEMBLE = make_ensemble()
ALL = {"lookup": LOOKUP, "mask": MASK, "ensemble": ENSEMBLE}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of all three, and a folder to write others into."""
    folder = tmp_path_factory.mktemp("saved")
    contents = []
    for name, saved in ALL.items():
        save_model(saved, folder / name)
        contents.append((folder / name).read_bytes())
    return folder, contents


def signed(document):
    """The text of a document with a checksum that holds: a stranger can count too."""
    document = {key: value for key, value in document.items() if key != "sha256"}
    checksum = hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
    return json.dumps({**document, "sha256": checksum}).encode()


def loaded(path):
    """The model in a file, or the error about it."""
    try:
        return load_model(path)
    except UserError as error:
        return error


# What is written comes back


@pytest.mark.parametrize("saved", [LOOKUP, MASK], ids=["lookup", "mask"])
def test_round_trip(tmp_path, saved):
    save_model(saved, tmp_path / "x")
    read = load_model(tmp_path / "x")
    assert read.learner == saved.learner
    assert read.parameters.tolist() == saved.parameters.tolist()
    assert read.parameters.dtype == np.uint8
    assert (read.schema, read.labels, read.schedule) == (saved.schema, saved.labels, saved.schedule)
    assert read.provenance == saved.provenance
    assert read.is_finished
    assert read.binariser.to_json() == saved.binariser.to_json()
    assert read.binariser.table.tolist() == saved.binariser.table.tolist()
    before, after = saved.state, read.state
    assert after.parameters.tolist() == before.parameters.tolist()
    assert (after.epoch, after.position, after.updates, after.wrong) == (2, 5, 37, 4)
    if before.best is None:
        assert after.best is None
    else:
        assert (after.best.correct, after.best.update) == (7, 11)
        assert after.best.parameters.tolist() == before.best.parameters.tolist()
    save_model(read, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "x").read_bytes()


@pytest.mark.parametrize("saved", [ENSEMBLE, make_ensemble(8, best=False)], ids=["with best", "without"])
def test_round_trip_of_an_ensemble(tmp_path, saved):
    save_model(saved, tmp_path / "x")
    read = load_model(tmp_path / "x")
    assert (read.spec, read.schema, read.schedule) == (saved.spec, saved.schema, saved.schedule)
    assert (read.provenance, read.is_finished) == (saved.provenance, False)
    assert read.binariser.to_json() == saved.binariser.to_json()
    assert (read.state.counters == saved.state.counters).all()
    for name in ("dropout_state", "epoch", "position", "examples", "wrong", "updates"):
        assert getattr(read.state, name) == getattr(saved.state, name)
    if saved.best is None:
        assert read.best is None
        assert (read.counters == saved.state.counters).all()
    else:
        assert (read.best.correct, read.best.epoch) == (41, 2)
        assert (read.counters == saved.best.counters).all()
        assert (read.counters != saved.state.counters).any()
    save_model(read, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "x").read_bytes()


def test_the_size_of_a_saved_ensemble(tmp_path):
    spec = EnsembleSpec(input_bits=5, classes=2, tables=300, inputs=5, counter=6)
    state = EnsembleState(np.zeros(spec.counters_shape, np.int8), 1)
    save_model(replace(make_ensemble(best=False), spec=spec, state=state), tmp_path / "x")
    assert (tmp_path / "x").stat().st_size < 300 * 32 * 2 * 6 / 6 + 3000  # six bits a character


def test_what_works_on_circuits_only_says_so(written):
    folder, _ = written
    assert load_circuit(folder / "lookup").learner == LOOKUP.learner
    with pytest.raises(UsageError, match=r"is a table ensemble and no circuit; make a circuit of it with rdahw bin"):
        load_circuit(folder / "ensemble")


def test_files_of_version_1_are_read(written):
    folder, (content, *_) = written
    document = json.loads(content)
    del document["kind"], document["schedule"]["stride"]
    (folder / "old").write_bytes(signed({**document, "version": 1}))
    read = load_model(folder / "old")
    assert (read.learner, read.schedule) == (LOOKUP.learner, LOOKUP.schedule)
    assert read.parameters.tolist() == LOOKUP.parameters.tolist()
    save_model(read, folder / "old")
    assert (folder / "old").read_bytes() == content


def test_what_was_read_predicts_the_same(tmp_path):
    save_model(MASK, tmp_path / "x")
    x = RANDOM.integers(0, 2, (50, 5)).astype(np.uint8)
    outputs = []
    for saved in (MASK, load_model(tmp_path / "x")):
        engine = ReferenceEngine(saved.learner)
        engine.parameters = saved.parameters
        outputs.append([engine.predict(x).tolist(), engine.train(x, x[:, :1]).tolist(), engine.parameters.tolist()])
    assert outputs[0] == outputs[1]


def test_the_file_is_one_line_of_ascii_json_with_its_checksum(written):
    for content in written[1]:
        assert content.isascii()
        assert content.endswith(b"}\n")
        assert content.count(b"\n") == 1
        document = json.loads(content)
        assert document["format"] == FORMAT == "rdahw model"
        assert document["version"] == 2
        assert signed(document) == content.rstrip(b"\n")


def test_wire_0_is_the_least_significant_bit():
    assert pack_bits(np.array([1, 0, 1, 1, 0, 0, 0, 0, 0, 1], np.uint8)) == bytes([0b00001101, 0b10])


def test_a_failing_write_leaves_the_file_that_was_there(written, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"before")
    with pytest.raises(UserError, match="its folder must exist"):
        save_model(LOOKUP, tmp_path / "none" / "x")
    assert path.read_bytes() == b"before"


# Files that are not whole


def test_no_file(tmp_path):
    for name in ("none", "."):
        with pytest.raises(UsageError, match="there is no model file .* make one with rdahw train --out"):
            load_model(tmp_path / name)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setattr("pathlib.Path.read_bytes", refused)
    with pytest.raises(UserError, match=r"cannot be read \(permission denied\); check its name and permissions"):
        load_model(tmp_path / "x")


def test_a_file_larger_than_any_model(tmp_path):
    with open(tmp_path / "x", "wb") as file:
        os.truncate(file.fileno(), (1 << 32) + 1)  # a hole: it takes no space
    with pytest.raises(UserError, match="is larger than any model"):
        load_model(tmp_path / "x")


def test_truncated_at_every_length(written):
    folder, contents = written
    for content in contents:
        whole = len(content) - 1  # only the line feed at the end may go
        for length in (*range(0, whole, 7), *range(whole - 80, whole)):
            (folder / "cut").write_bytes(content[:length])
            with pytest.raises(UserError, match="is no model, or only part of one"):
                load_model(folder / "cut")


def test_every_flipped_byte_is_noticed(written):
    folder, contents = written
    unnoticed = []
    for content in (contents[0], contents[2]):
        for at in range(0, len(content) - 1, 3):
            for bit in (0, 4):
                altered = bytearray(content)
                altered[at] ^= 1 << bit
                (folder / "altered").write_bytes(altered)
                if not isinstance(loaded(folder / "altered"), UserError):
                    unnoticed.append((at, bytes(altered[at - 9 : at + 9])))
    assert unnoticed == []


# Files of a stranger, who knows how the checksum is made


ODD = [None, True, -1, 0, 1.5, float("nan"), 10**400, "", "x", "\ud800", [], [0], [[]], {}, {"": 0}, 1 << 62, "A" * 99]


def paths(value, path=()):
    """Where a value is in a document, for every value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*path, key))


def replaced(document, path, value):
    new = copy.deepcopy(document)
    inner = new
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return new


def refuses_or_works(path):
    """Load a file, which raises nothing but a UserError of one line; what is loaded can be run and saved."""
    saved = loaded(path)
    if isinstance(saved, UserError):
        assert saved.exit_code == 1
        assert str(saved).startswith(repr(str(path)))
        assert "\n" not in str(saved)
        assert len(str(saved)) < 1000
        return False
    if isinstance(saved, SavedEnsemble):
        if saved.spec.input_bits * saved.spec.tables < 1 << 12:
            make_wiring(saved.spec)
        engine = PlainEnsemble(saved.spec) if saved.spec.tables < 100 else None
        if engine is not None:
            engine.counters = saved.counters
            assert engine.predict(np.zeros((2, saved.spec.input_bits), np.uint8)).shape == (2,)
        save_model(saved, path)
        load_model(path)
        return True
    x = np.zeros((2, saved.learner.model.input_bits), np.uint8)
    engine = ReferenceEngine(saved.learner)
    engine.parameters = saved.parameters
    assert engine.predict(x).shape == (2, saved.learner.model.output_bits)
    save_model(saved, path)
    load_model(path)
    return True


@pytest.mark.parametrize("which", [0, 1, 2], ids=ALL)
def test_any_value_replaced_by_an_odd_one(written, which):
    folder, contents = written
    document = json.loads(contents[which])
    every = [path for path in paths(document) if path and path != ("sha256",)]
    # Assignments of a circuit are alike, so a part of them will do.
    chosen = every[:: len(every) // 100] if which == 1 else every
    refused = worked = 0
    for path in chosen:
        for k in range(4):
            value = ODD[(len(str(path)) + 7 * k + refused) % len(ODD)]
            (folder / "odd").write_bytes(signed(replaced(document, path, value)))
            if refuses_or_works(folder / "odd"):
                worked += 1
            else:
                refused += 1
    assert refused > 4 * worked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_several_values_replaced_by_anything(written, data):
    folder, contents = written
    document = json.loads(data.draw(st.sampled_from(contents)))
    for _ in range(data.draw(st.integers(1, 3))):
        choices = [path for path in paths(document) if path and path != ("sha256",)]
        document = replaced(document, data.draw(st.sampled_from(choices)), data.draw(JSON))
    (folder / "any").write_bytes(signed(document))
    refuses_or_works(folder / "any")


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_a_file_of_anything(written, content):
    folder, _ = written
    (folder / "anything").write_bytes(content)
    with pytest.raises(UserError, match="is no model"):
        load_model(folder / "anything")


def test_a_key_more_or_less(written):
    folder, (content, *_) = written
    document = json.loads(content)
    for key in document.keys() - {"sha256", "format", "version"}:
        (folder / "less").write_bytes(signed({k: v for k, v in document.items() if k != key}))
        with pytest.raises(
            UserError, match="the model is not an object with the keys format, version|its 'kind' is not"
        ):
            load_model(folder / "less")
    (folder / "more").write_bytes(signed({**document, "more": 1}))
    with pytest.raises(UserError, match="the model is not an object with the keys"):
        load_model(folder / "more")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("format",), "other", "is no model; expected a file written by rdahw train"),
        (("version",), 3, "has format version 3; this rdahw reads versions 1 to 2"),
        (("version",), True, "has format version True"),
        (("kind",), "tree", "its 'kind' is not 'circuit' or 'ensemble'"),
        (("kind",), "ensemble", "the model is not an object with the keys"),
        (("learner", "optimiser"), "adam", "optimiser 'adam' is unknown; known are 'xor'"),
        (("learner", "error"), "xor ", "error 'xor ' is unknown; did you mean 'xor'"),
        (("labels",), "gray", "there is no label code 'gray'"),
        (("labels",), "one-hot", "the width of the circuit is not that of the binariser and the labels"),
        (("parameters",), "AAA", "its 'parameters' is not base64 text"),
        (("parameters",), "AAAA", "its 'parameters' is not 32 bits"),
        (("state", "updates"), -1, "its 'state' is not counts"),
        (("state", "best", "update"), True, "its 'best' is not counts"),
        (("schedule", "batch"), 0, "batch is 0; expected at least 1"),
        (("schedule", "shuffle"), 1, "its 'schedule' is not whole numbers"),
        (("schedule", "stride"), 2, "a stride of 2 and shuffling were both asked for"),
        (("provenance",), [], "its 'provenance' is not an object"),
        (("schema", "columns", 2), ["red", "blue"], "its 'binariser' is not for the columns of its 'schema'"),
        (("model", "circuit", "inputs", 0, 1), "Bits(99999999999)", "the type 'Bits(99999999999)' is unknown"),
        (("model", "circuit", "inputs", 1, 1), "Bits(26)", "expected a multiple of"),
        (("model", "circuit", "assignments", 0, 0), "exec", "'exec'; known are 'xor'"),
        (("model", "circuit", "outputs", 0, 1), 9, "output 'y' is wire "),
    ],
)
def test_what_is_wrong_is_said(written, path, value, sentence):
    folder, (content, *_) = written
    (folder / "wrong").write_bytes(signed(replaced(json.loads(content), path, value)))
    with pytest.raises(UserError) as caught:
        load_model(folder / "wrong")
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("ensemble", "tables"), 4, "the ensemble's 'counters' is not 160 bits"),
        (("ensemble", "classes"), 3, "the ensemble's size is not that of the binariser and the classes"),
        (("ensemble", "image"), [1, 1, 5], "the ensemble's 'image' is not that of the data"),
        (("ensemble", "tables"), 1 << 21, "tables of an ensemble is 2097152; expected a whole number from 1"),
        (("schedule", "batch"), 2, "its 'schedule' is not for an ensemble, which takes examples one at a time"),
        (("state", "counters"), "", "the ensemble's 'counters' is not 120 bits"),
        (("state", "dropout_state"), "0", "the ensemble's 'dropout_state' is not a number of 63 bits"),
        (("best", "counters"), "AAAA", "the ensemble's 'counters' is not 120 bits"),
        (("best", "correct"), -1, "its 'best' is not counts"),
        (("best",), {}, "its 'best' is not an object with the keys correct, epoch, counters"),
        (("kind",), "circuit", "the model is not an object with the keys"),
    ],
)
def test_what_is_wrong_with_an_ensemble_is_said(written, path, value, sentence):
    folder, contents = written
    (folder / "wrong").write_bytes(signed(replaced(json.loads(contents[2]), path, value)))
    with pytest.raises(UserError) as caught:
        load_model(folder / "wrong")
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("primitive", "operands", "attributes"),
    [
        ("const", [], ["1", 10**18]),
        ("const", [], ["f" * 100_000, 8]),
        ("repeat", [0], [10**18]),
        ("scatter", [1], [[0] * 5, 10**18]),
        ("decode", [0], []),
        ("sum", [0], [10**18]),
        ("concat", [0] * 100_000, []),
        ("gather", [0], [[0] * 100_000]),
        ("custom", [0], [10**18]),
    ],
)
def test_a_circuit_that_asks_for_the_world_gets_nothing(written, primitive, operands, attributes):
    folder, (content, *_) = written
    document = json.loads(content)
    circuit = document["model"]["circuit"]
    circuit["assignments"] = [[primitive, operands, attributes], *circuit["assignments"]]
    (folder / "greedy").write_bytes(signed(document))
    with pytest.raises(UserError, match="greedy"):
        load_model(folder / "greedy")


@pytest.mark.parametrize("depth", [40, 900, 5000])
def test_deep_nesting(written, depth):
    folder, (content, *_) = written
    document = json.loads(content)
    nested = b"[" * depth + b"]" * depth
    text = json.dumps({**document, "provenance": "HERE"}).encode().replace(b'"HERE"', b'{"x": ' + nested + b"}")
    (folder / "deep").write_bytes(text)
    with pytest.raises(UserError, match="deep"):
        load_model(folder / "deep")
    block = {"name": "b", "exact": True, "forward": {}, "reverse": {}}
    for _ in range(depth if depth < 900 else 40):
        block = {**block, "forward": {"inputs": [], "assignments": [], "outputs": [], "blocks": [block]}}
    document["model"]["circuit"]["blocks"] = [block]
    (folder / "blocks").write_bytes(signed(document))
    with pytest.raises(UserError, match="blocks"):
        load_model(folder / "blocks")


def test_models_by_name_are_saved_with_their_circuit(tmp_path):
    saved = make(make_model("mask:k=3", 5, 1))
    save_model(saved, tmp_path / "x")
    assert load_model(tmp_path / "x").learner.model == make_model("mask:k=3", 5, 1)
