"""Saved models: what is written comes back, and a file from a stranger can do nothing but be refused."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from golden_files import golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdahw import Circuit, Learner, Model, lookup_model, make_model, mask_model
from rdahw.data import Binariser, Column, Schema
from rdahw.errors import UsageError, UserError
from rdahw.families.circuits import CircuitSpec
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.grown import GrownSpec
from rdahw.families.layers import LayersSpec
from rdahw.families.lookup import FAMILY
from rdahw.saved import FORMAT, VERSION, SavedModel, load_model, save_model
from rdahw.sim.engines import make_engine
from rdahw.state import pack_bits
from rdahw.training import Batches, Best, Examples, Progress, Schedule

RANDOM = np.random.default_rng(3)


def some_bits(count):
    return RANDOM.integers(0, 2, count).astype(np.uint8)


COLUMNS = (Column("number"), Column("binary"), Column("category", ("red", "green")))
SCHEMA = Schema(("size", "sweet", "colour"), COLUMNS, ("appl\u00e9", "\U0001f350"), "kind", 3, True)
BINARISER = Binariser.fit("thermometer=2", [[0.1, 0, 0], [9.7, 1, 1]], COLUMNS, SCHEMA.feature_names)


def some_of(field):
    """A random value of a field."""
    zero = field.zero()
    low, high = (0, 2) if zero.dtype == np.uint8 else (-(1 << field.type.bits - 1), 1 << field.type.bits - 1)
    return RANDOM.integers(low, high, zero.shape).astype(zero.dtype)


def make(spec, *, best=True, schedule=None, finished=True):
    """A saved model of three columns, a number, a binary and a category one, and two classes."""
    kept = Best(7, 11, 2, some_of(spec.parameters)) if best else None
    return SavedModel(
        spec=spec,
        state={field.name: some_of(field) for field in spec.fields},
        progress=Progress(2, 5, 111, 37, 4, 3 if best else None, kept),
        schema=SCHEMA,
        binariser=BINARISER,
        schedule=schedule or Schedule(batch=3, epochs=9, updates=None, shuffle=True, seed=-(10**30)),
        provenance={
            "options": {"data": "x.csv"},
            "finished": finished,
            "command": "rdahw train",
            "seconds": 1.5,
            "curve": [{"epoch": 1, "wrong": 12}],
        },
    )


def circuit_spec(model, family, **options):
    return CircuitSpec(family, Learner(model), 2, "binary", options)


LOOKUP = make(circuit_spec(Model("lookup", lookup_model(5, 1)), "lookup"))
MASK = make(circuit_spec(Model("mask:k=2", mask_model(5, 2)), "mask", k=2), best=False)


def make_ensemble(counter=5, *, best=True):
    spec = EnsembleSpec(input_bits=5, classes=2, tables=3, inputs=2, counter=counter, margin=3, seed=(1 << 64) - 1)
    schedule = Schedule(epochs=9, updates=300, stride=7, scored="epoch")
    return make(spec, best=best, schedule=schedule, finished=False)


ENSEMBLE = make_ensemble()


def make_grown(grown, *, best=False):
    """A grown model of which so many tables are there."""
    spec = GrownSpec(input_bits=5, classes=2, tables=7, inputs=3, seed=5)
    saved = make(spec, schedule=Schedule(batch=40, epochs=4, scored="epoch"), finished=grown == 7, best=best)
    tables, wiring = saved.state["tables"], RANDOM.integers(0, 5, (7, 3), np.int8)
    tables[grown:] = wiring[grown:] = 0
    return replace(saved, state={"tables": tables, "wiring": wiring, "grown": np.array([grown], np.int64)})


GROWN = make_grown(4)
LAYERS = make(
    LayersSpec(input_bits=5, classes=2, sizes=((7, 3), (4, 2)), counter=5, seed=(1 << 64) - 1),
    schedule=Schedule(epochs=9, shuffle=True, scored="epoch"),
    finished=False,
)
#: The ensemble as a circuit whose parameters are words of nine bits.
VOTES = make(
    CircuitSpec("file", make_ensemble().spec.learner(), 2), schedule=Schedule(batch=2, updates=4, scored="epoch")
)
ALL = {"lookup": LOOKUP, "mask": MASK, "ensemble": ENSEMBLE, "grown": GROWN, "layers": LAYERS}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of all, and a folder to write others into."""
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


@pytest.mark.parametrize(
    "saved",
    [
        LOOKUP,
        MASK,
        ENSEMBLE,
        make_ensemble(8, best=False),
        make_ensemble(2),
        VOTES,
        make_grown(7),
        make_grown(4, best=True),
        LAYERS,
    ],
    ids=[
        "lookup",
        "mask",
        "ensemble",
        "ensemble of bytes",
        "ensemble of 2 bits",
        "votes",
        "grown",
        "half grown",
        "layers",
    ],
)
def test_round_trip(tmp_path, saved):
    save_model(saved, tmp_path / "x")
    read = load_model(tmp_path / "x")
    assert read.spec == saved.spec
    assert (read.spec.family, read.spec.options()) == (saved.spec.family, saved.spec.options())
    assert (read.schema, read.schedule) == (saved.schema, saved.schedule)
    assert (read.provenance, read.is_finished) == (saved.provenance, saved.provenance["finished"])
    assert (read.options, read.seconds, read.curve) == ({"data": "x.csv"}, 1.5, [{"epoch": 1, "wrong": 12}])
    assert read.binariser.to_json() == saved.binariser.to_json()
    assert read.binariser.table.tolist() == saved.binariser.table.tolist()
    assert read.state.keys() == saved.state.keys()
    for name, value in saved.state.items():
        assert read.state[name].dtype == value.dtype
        assert read.state[name].tolist() == value.tolist()
    before, after = saved.progress, read.progress
    for name in ("epoch", "position", "examples", "updates", "wrong", "changed"):
        assert getattr(after, name) == getattr(before, name)
    parameters = saved.spec.parameters.name
    if before.best is None:
        assert after.best is None
        assert read.parameters.tolist() == saved.state[parameters].tolist()
    else:
        assert (after.best.correct, after.best.update, after.best.epoch) == (7, 11, 2)
        assert read.parameters.tolist() == after.best.parameters.tolist() == before.best.parameters.tolist()
        assert read.parameters.tolist() != saved.state[parameters].tolist()
    assert read.best_state[parameters].tolist() == read.parameters.tolist()
    others = saved.state.keys() - {parameters}
    assert {name: read.best_state[name].tolist() for name in others} == {n: saved.state[n].tolist() for n in others}
    save_model(read, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "x").read_bytes()


def test_the_size_of_a_saved_ensemble(tmp_path):
    spec = EnsembleSpec(input_bits=5, classes=2, tables=300, inputs=5, counter=6)
    save_model(replace(make_ensemble(best=False), spec=spec, state=spec.initial_state()), tmp_path / "x")
    assert (tmp_path / "x").stat().st_size < 300 * 32 * 2 * 6 / 6 + 3000  # six bits a character


# Files of version 1 and 2, which tests/golden/models has more of


def before_version_3(document):
    """The document of a circuit as version 2 had it."""
    spec, progress = document["spec"], document["progress"]
    best = progress["best"]
    bits = document["state"]["parameters"]
    kept = best and {"correct": best["correct"], "update": best["update"], "parameters": best["state"]["parameters"]}
    state = {name: progress[name] for name in ("epoch", "position", "updates", "wrong")}
    return {
        **{name: document[name] for name in ("format", "schema", "binariser", "provenance")},
        "version": 2,
        "kind": "circuit",
        "model": {"name": spec["name"], "circuit": spec["circuit"]},
        "learner": {"error": spec["loss"], "optimiser": spec["optimiser"]},
        "parameters": kept["parameters"] if kept else bits,
        "labels": spec["labels"],
        "state": {"parameters": bits, **state, "best": kept},
        "schedule": {name: value for name, value in document["schedule"].items() if name != "scored"},
    }


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("which", [0, 1], ids=["lookup", "mask"])
def test_files_of_earlier_versions_are_read(written, version, which):
    folder, contents = written
    saved, document = [*ALL.values()][which], json.loads(contents[which])
    old = before_version_3(document)
    if version == 1:
        old["version"] = 1
        del old["kind"], old["schedule"]["stride"]
    (folder / "old").write_bytes(signed(old))
    read = load_model(folder / "old")
    assert (read.spec, read.schedule) == (saved.spec, saved.schedule)
    assert read.spec.options() == saved.spec.options()
    assert read.parameters.tolist() == saved.parameters.tolist()
    save_model(read, folder / "old")
    # What they do not say: how many examples there were, how many asked for a change, and the epoch of the best.
    document["progress"] |= {"examples": 0, "changed": None}
    if document["progress"]["best"]:
        document["progress"]["best"]["epoch"] = 0
    assert json.loads((folder / "old").read_bytes()) == json.loads(signed(document))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("kind",), "tree", "its 'kind' is not 'circuit' or 'ensemble'"),
        (("kind",), ["circuit"], "its 'kind' is not 'circuit' or 'ensemble'"),
        (("kind",), "ensemble", "the model is not an object with the keys"),
        (("model",), [], "its 'model' is not an object with the keys name, circuit"),
        (("model", "name"), 3, "a name is not text"),
        (("learner", "error"), "xor ", "loss 'xor ' is unknown; did you mean 'xor'"),
        (("parameters",), "AAAAAA==", "its 'parameters' is not those of its 'state'"),
        (("state", "updates"), -1, "its 'progress' is not counts"),
        (("state", "best"), 5, "its 'best' is not an object with the keys correct, update, parameters"),
        (("schedule",), None, "its 'schedule' is not an object"),
        (("schema", "label_names"), 7, "is not a list of texts"),
    ],
)
def test_what_is_wrong_with_an_earlier_file_is_said(written, path, value, sentence):
    folder, (content, *_) = written
    (folder / "wrong").write_bytes(signed(replaced(before_version_3(json.loads(content)), path, value)))
    with pytest.raises(UserError) as caught:
        load_model(folder / "wrong")
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2])
def test_any_value_of_an_earlier_file_replaced_by_an_odd_one(written, version):
    folder, (content, *_) = written
    document = before_version_3(json.loads(content))
    if version == 1:
        document["version"] = 1
        del document["kind"], document["schedule"]["stride"]
    replace_each(folder, document, [path for path in paths(document) if path])


@pytest.mark.slow
def test_any_value_of_an_earlier_ensemble_replaced_by_an_odd_one(written):
    folder, _ = written
    document = json.loads((golden("models") / "ensemble.rdahw.checkpoint").read_text())
    assert document["version"] == 2
    # The provenance may be anything.
    own = [path for path in paths(document) if path and path[0] not in ("sha256", "provenance")]
    replace_each(folder, document, own)


@pytest.mark.parametrize("saved", ALL.values(), ids=ALL)
def test_what_was_read_predicts_and_learns_the_same(tmp_path, saved):
    save_model(saved, tmp_path / "x")
    examples = Examples(RANDOM.integers(0, 2, (50, 5)).astype(np.uint8), RANDOM.integers(0, 2, 50))
    found = []
    for each in (saved, load_model(tmp_path / "x")):
        engine = make_engine(each.spec, "reference")
        prepared = engine.prepare(examples)
        engine.state = each.best_state
        predicted = engine.predict(prepared).tolist()
        batch = each.spec.schedule(50).get("batch", 1)
        wrong = engine.train(prepared, Batches(np.arange(50), np.arange(batch, 51, batch))).wrong.tolist()
        found.append([predicted, wrong, {name: value.tolist() for name, value in engine.state.items()}])
    assert found[0] == found[1]
    assert len(set(found[0][0])) == 2


def test_the_file_is_one_line_of_ascii_json_with_its_checksum(written):
    for content in written[1]:
        assert content.isascii()
        assert content.endswith(b"}\n")
        assert content.count(b"\n") == 1
        document = json.loads(content)
        assert document["format"] == FORMAT == "rdahw model"
        assert document["version"] == VERSION == 3
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
    with pytest.raises(UsageError, match="there is no model file .* make one with rdahw train --out"):
        load_model(tmp_path / "none")
    with pytest.raises(UsageError, match="is a folder"):
        load_model(tmp_path)


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
            with pytest.raises(UserError, match="is not a valid model file, or truncated"):
                load_model(folder / "cut")


@pytest.mark.slow
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
    engine = make_engine(saved.spec, "reference")
    engine.state = saved.best_state
    x, labels = np.zeros((2, saved.spec.input_bits), np.uint8), np.zeros(2, np.int64)
    assert engine.predict(engine.prepare(Examples(x, labels))).shape == (2,)
    assert isinstance(saved.curve, list)
    assert saved.seconds >= 0
    assert isinstance(saved.spec.options(), dict)
    assert saved.spec.description
    save_model(saved, path)
    load_model(path)
    return True


def replace_each(folder, document, chosen):
    """Load the document with each of the values replaced; most of them are refused."""
    refused = worked = 0
    for path in chosen:
        for k in range(2):
            value = ODD[(len(str(path)) + 7 * k + refused) % len(ODD)]
            (folder / "odd").write_bytes(signed(replaced(document, path, value)))
            if refuses_or_works(folder / "odd"):
                worked += 1
            else:
                refused += 1
    assert refused > 4 * worked


@pytest.mark.slow
@pytest.mark.parametrize("which", range(len(ALL)), ids=ALL)
def test_any_value_replaced_by_an_odd_one(written, which):
    folder, contents = written
    document = json.loads(contents[which])
    every = [path for path in paths(document) if path and path != ("sha256",)]
    # Assignments of a circuit are alike, so a part of them will do.
    replace_each(folder, document, every[:: len(every) // 100] if which == 1 else every)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.slow
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
    with pytest.raises(UserError, match="is not a (valid )?model file"):
        load_model(folder / "anything")


def test_a_key_more_or_less(written):
    folder, (content, *_) = written
    document = json.loads(content)
    for key in document.keys() - {"sha256", "format", "version"}:
        (folder / "less").write_bytes(signed({k: v for k, v in document.items() if k != key}))
        with pytest.raises(UserError, match="the model is not an object with the keys format, version, family, spec"):
            load_model(folder / "less")
    (folder / "more").write_bytes(signed({**document, "more": 1}))
    with pytest.raises(UserError, match="the model is not an object with the keys"):
        load_model(folder / "more")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("format",), "other", "is not a model file; expected a file written by rdahw train"),
        (("version",), 4, "has format version 4; this rdahw reads versions 1 to 3"),
        (("version",), True, "has format version True"),
        (("family",), "tree", "its model is of the family 'tree', which is not installed"),
        (("family",), ["lookup"], "which is not installed"),
        (("family",), "ensemble", "the ensemble is not an object with the keys"),
        (("spec", "optimiser"), "fastest", "optimiser 'fastest' is unknown; known are 'xor'"),
        (("spec", "loss"), "xor ", "loss 'xor ' is unknown; did you mean 'xor'"),
        (("spec", "loss"), None, "a name is not text"),
        (("spec", "labels"), "gray", "there is no label code 'gray'"),
        (("spec", "labels"), "one-hot", "has 1 output bits; expected 2, for 2 classes as one-hot labels"),
        (("spec", "classes"), 1, "the size of the model is not that of the binariser and the classes"),
        (("spec", "options"), None, "its 'spec' is not a number of classes and options"),
        (("state",), {}, "its 'state' is not an object with the keys parameters"),
        (("state", "parameters"), "AAA", "the field 'parameters' is not base64 text"),
        (("state", "parameters"), 3, "the field 'parameters' is not base64 text"),
        (("state", "parameters"), "AAAA", "the field 'parameters' is not 32 bits"),
        (("progress", "updates"), -1, "its 'progress' is not counts"),
        (("progress", "epoch"), True, "its 'progress' is not counts"),
        (("progress", "changed"), 1.5, "its 'progress' is not counts"),
        (("progress", "best", "update"), True, "its 'best' is not counts"),
        (("progress", "best", "correct"), -1, "its 'best' is not counts"),
        (("progress", "best", "state"), {}, "its 'best' is not an object with the keys parameters"),
        (("progress", "best"), {}, "its 'best' is not an object with the keys correct, update, epoch, state"),
        (("schedule", "batch"), 0, "batch is 0; expected 1 to 9223372036854775807"),
        (("schedule", "shuffle"), 1, "its 'schedule' is not whole numbers"),
        (("schedule", "scored"), "never", "its 'schedule' is not scored by update or epoch"),
        (("schedule", "stride"), 2, "a stride of 2 and shuffling were both asked for"),
        (("provenance",), [], "its 'provenance' is not an object"),
        (("schema", "columns", 2), ["red", "blue"], "its 'binariser' is not for the columns of its 'schema'"),
        (("spec", "circuit", "inputs", 0, 1), "Bits(99999999999)", "the type 'Bits(99999999999)' is unknown"),
        (("spec", "circuit", "inputs", 1, 1), "Bits(26)", "expected a multiple of"),
        (("spec", "circuit", "assignments", 0, 0), "exec", "'exec'; known are 'xor'"),
        (("spec", "circuit", "outputs", 0, 1), 9, "output 'y' is wire "),
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
        (("spec", "tables"), 4, "the field 'counters' is not 160 bits"),
        (("spec", "classes"), 3, "the size of the model is not that of the binariser and the classes"),
        (("spec", "image"), [1, 1, 5], "the 'image' of the model is not that of the data"),
        (("spec", "tables"), 1 << 21, "tables of an ensemble is 2097152; expected a whole number from 1"),
        (("spec", "tables"), 1 << 20, "the field 'counters' is not 41943040 bits"),
        (("schedule", "batch"), 2, "batch is 2; an ensemble takes examples one at a time"),
        (("state", "counters"), "", "the field 'counters' is not 120 bits"),
        (("state", "dropout"), "AAAAAAAAAAA=", "the field 'dropout' is not 63 bits, not all zero"),
        (("state", "dropout"), "AAAA", "the field 'dropout' is not 63 bits"),
        (("progress", "best", "state", "counters"), "AAAA", "the field 'counters' is not 120 bits"),
        (("progress", "best", "correct"), -1, "its 'best' is not counts"),
        (("progress", "best", "state", "dropout"), "", "its 'best' is not an object with the keys counters"),
        (("family",), "lookup", "its 'spec' is not an object with the keys"),
    ],
)
def test_what_is_wrong_with_an_ensemble_is_said(written, path, value, sentence):
    folder, contents = written
    (folder / "wrong").write_bytes(signed(replaced(json.loads(contents[2]), path, value)))
    with pytest.raises(UserError) as caught:
        load_model(folder / "wrong")
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.slow
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
    circuit = document["spec"]["circuit"]
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
    document["spec"]["circuit"]["blocks"] = [block]
    (folder / "blocks").write_bytes(signed(document))
    with pytest.raises(UserError, match="blocks"):
        load_model(folder / "blocks")


def test_models_by_name_are_saved_with_their_circuit(tmp_path):
    model = make_model("mask:k=3", 5, 1)
    save_model(make(circuit_spec(model, "mask", k=3)), tmp_path / "x")
    assert load_model(tmp_path / "x").spec.learner().model == model


def test_a_circuit_in_a_file_is_what_it_says_and_not_what_its_family_makes(tmp_path):
    # A file is whole: what the family's code would make of its options now does not matter.
    other = Model("lookup", mask_model(5, 2))
    save_model(make(circuit_spec(other, "lookup")), tmp_path / "x")
    read = load_model(tmp_path / "x").spec
    assert (read.family, read.learner().model) == ("lookup", other)
    assert isinstance(read.learner().model.circuit, Circuit)
    assert FAMILY.name == "lookup"


@pytest.mark.parametrize(
    ("provenance", "curve", "seconds", "options"),
    [
        ({}, [], 0.0, {}),
        ({"curve": {}, "seconds": "1", "options": []}, [], 0.0, {}),
        ({"curve": [1], "seconds": -1, "options": None}, [], 0.0, {}),
        (
            {"curve": [{"epoch": 1}, {"epoch": 3}, {}], "seconds": 1e9, "options": {"a": []}},
            [{"epoch": 1}],
            0.0,
            {"a": []},
        ),
        ({"curve": [], "seconds": float("nan")}, [], 0.0, {}),
    ],
)
def test_what_a_stranger_says_of_the_training(provenance, curve, seconds, options):
    saved = replace(LOOKUP, provenance=provenance)
    assert (saved.curve, saved.seconds, saved.options, saved.is_finished) == (curve, seconds, options, False)
