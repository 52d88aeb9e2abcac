"""Models as C: the program gives the results of the software, learns as it does, and is as large as the export says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdahw.data import Binariser, Column
from rdahw.data.integer_inputs import MISSING, integer_inputs
from rdahw.errors import MissingError, UsageError
from rdahw.families import parse_model
from rdahw.family import Task
from rdahw.saved import load_model
from rdahw.sim.c_export import FORMATS, CModel, c_model, c_name
from rdahw.sim.c_source import write_source

MODELS = Path(__file__).parents[1] / "golden" / "models"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def made_of(text: str, classes: int, binariser: Binariser | None, *, learn: bool, inputs: int = 0) -> CModel:
    """A model with random tables, which is as good as a trained one here."""
    family, options = parse_model(text)
    bits = binariser.width if binariser else inputs
    spec = family.spec(Task(input_bits=bits, classes=classes, kind=family.tasks[0]), **options)
    state, random = dict(spec.initial_state()), np.random.default_rng(1)
    low, high = getattr(spec, "counter_range", (0, 1))
    first = spec.parameters.name
    state[first] = random.integers(low, high + 1, state[first].shape).astype(state[first].dtype)
    return c_model(spec, state, name="dut", learn=learn, binariser=binariser)


def table() -> Binariser:
    """Of a number with missing values, a category, some of which are rare, and a binary column."""
    random = np.random.default_rng(1)
    number = np.where(random.random(3000) < 0.2, np.nan, np.round(random.normal(size=3000), 2))
    category = np.where(random.random(3000) < 0.01, random.integers(4, 20, 3000), random.integers(0, 4, 3000))
    names = tuple(f"*/ category \\ {i} é" for i in range(20))
    columns = [Column("number", missing=True), Column("category", names), Column("binary")]
    return Binariser.fit("quantile=3", np.column_stack([number, category, random.integers(0, 2, 3000)]), columns)


def numbers(rule: str, columns: int) -> Binariser:
    """Of numbers with one decimal."""
    features = np.round(np.random.default_rng(2).normal(size=(50, columns)) * 10, 1)
    return Binariser.fit(rule, features, [Column("number")] * columns)


def saved(name: str, *, learn: bool) -> CModel:
    found = load_model(MODELS / f"{name}.rdahw")
    given: dict[str, Any] = {"binariser": found.binariser, "schema": found.schema}
    return c_model(found.spec, found.best_state, name="dut", learn=learn, **given)


#: A program of each form: of a circuit, of tables that vote, of layers below them, with each way to learn.
PROGRAMS = {
    "lookup": lambda: saved("lookup", learn=True),
    "binary labels": lambda: made_of("lookup:labels=binary", 3, numbers("quantile=2", 2), learn=True),
    "Boolean": lambda: saved("binarised", learn=False),
    "ensemble": lambda: saved("ensemble-csv", learn=True),
    "signs": lambda: made_of("ensemble:tables=20,inputs=4,sign=1,dropout=0", 3, table(), learn=True),
    "bits": lambda: made_of("ensemble:tables=20,inputs=4,sign=1", 3, table(), learn=False),
    "numbers": lambda: made_of("ensemble:tables=300,inputs=2", 3, None, learn=False, inputs=300),
    "forgetting": lambda: made_of("ensemble:tables=8,inputs=2,forget=5", 2, numbers("threshold=3", 9), learn=True),
    "anomalies": lambda: made_of("coverage:tables=9,inputs=3", 1 << 16, numbers("midrange", 13), learn=False),
    "layers": lambda: made_of("layers:20x3,30x4,10x4", 3, numbers("midrange", 13), learn=False),
}


def build(model: CModel, folder: Path, compiler: str, *flags: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}, which is not installed")
    for name, text in FORMATS["c"](model).items():
        (folder / name).write_text(text)
    sources = sorted(map(str, folder.glob("*.c")))
    subprocess.run([compiler, *flags, *STRICT, *sources, "-o", str(folder / "test")], check=True)
    return folder / "test"


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gives_the_results_of_the_software(name: str, tmp_path: Path) -> None:
    model = PROGRAMS[name]()
    test = build(model, tmp_path, "gcc", "-std=c99")
    assert subprocess.run([test], check=False).returncode == 0
    # And its test would see another class.
    text = (tmp_path / "dut_test.c").read_text()
    first = text.index("classes[")
    at = text.index("\n", first) + 1
    (tmp_path / "dut_test.c").write_text(f"{text[:at]}9{text[at:].lstrip('-')}")
    assert subprocess.run([build_again(tmp_path)], check=False).returncode == 1


def build_again(folder: Path) -> Path:
    subprocess.run(["gcc", "-std=c99", *sorted(map(str, folder.glob("*.c"))), "-o", str(folder / "test")], check=True)
    return folder / "test"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lookup", "forgetting"])
def test_a_program_is_cxx_too(name: str, tmp_path: Path) -> None:
    test = build(PROGRAMS[name](), tmp_path, "g++", "-x", "c++")
    assert subprocess.run([test], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_sizes_are_those_of_a_build(name: str, tmp_path: Path) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs arm-none-eabi-gcc, which is not installed (Debian: apt install gcc-arm-none-eabi)")
    model = PROGRAMS[name]()
    (tmp_path / "dut.h").write_text("".join(model.source.header))
    (tmp_path / "dut.c").write_text("".join(model.source.source))
    flags = ["-mcpu=cortex-m3", "-mthumb", "-Os", "-ffreestanding", "-c", "dut.c"]
    subprocess.run(["arm-none-eabi-gcc", *flags], cwd=tmp_path, check=True)
    listed = subprocess.run(["arm-none-eabi-size", "dut.o"], cwd=tmp_path, check=True, capture_output=True, text=True)
    code, data, zeros = map(int, listed.stdout.splitlines()[1].split()[:3])
    assert model.sizes["flash_bytes"] == pytest.approx(code + data, rel=0.05)
    assert model.sizes["ram_bytes"] == pytest.approx(data + zeros, rel=0.05)


@pytest.mark.parametrize(
    "binariser", [table(), *(numbers(r, 4) for r in ("midrange", "thermometer=5", "threshold=-3,2"))]
)
def test_whole_numbers_have_the_bits_of_the_features(binariser: Binariser) -> None:
    inputs = integer_inputs(binariser)
    assert inputs is not None
    random, tests = np.random.default_rng(3), inputs.tests
    near = [np.unique(tests[tests[:, 1] == i][:, 2:]).clip(-9000, 9000) for i in range(len(inputs.decimals))]
    given = np.stack([random.choice([*each, *(each - 1), *(each + 1)], 500) for each in near], axis=1)
    kinds = [column.kind for column in binariser.columns]
    if "category" in kinds:
        given = np.stack([given[:, 0], random.choice([MISSING, -1, *range(20)], 500), given[:, 2].clip(0, 1)], axis=1)
        given[::7, 0] = MISSING
    bits = np.zeros((500, binariser.width), np.uint8)
    for wire, feature, low, high in tests.tolist():
        bits[:, wire] |= (given[:, feature] >= low) & (given[:, feature] <= high)
    np.testing.assert_array_equal(bits, binariser.transform(inputs.values(given)))
    np.testing.assert_array_equal(inputs.numbers(inputs.values(given)), given)


@pytest.mark.parametrize(
    ("values", "decimals"),
    [(np.arange(8) / 1e8, 8), (np.arange(8) * 3e-14, 14), (np.arange(8) * 1e9 / 4, 0), (np.zeros(8), 0)],
)
def test_features_have_the_decimals_of_their_thresholds(values: Any, decimals: int) -> None:
    binariser = Binariser.fit("quantile=3", values[:, None], [Column("number")])
    inputs = integer_inputs(binariser)
    assert inputs is not None
    assert inputs.decimals.tolist() == [decimals]
    given = inputs.values(inputs.numbers(values[:, None]))
    np.testing.assert_array_equal(binariser.transform(given), binariser.transform(values[:, None]))


@pytest.mark.parametrize(
    ("rule", "last", "are_bytes"),
    [("threshold=-1", 9, True), ("threshold=254", 9, True), ("threshold=255", 9, False), ("midrange", 600, False)],
)
def test_pixels_are_bytes_if_these_have_all_bits(rule: str, last: int, are_bytes: bool) -> None:
    features = np.array([[0, 7], [last, 7]])
    inputs = integer_inputs(Binariser.fit(rule, features, [Column("number")] * 2))
    assert inputs is not None
    assert inputs.are_bytes == are_bytes


@pytest.mark.parametrize(("rule", "last"), [("threshold=-1", 9), ("midrange", 0)])
def test_a_byte_is_not_compared_with_what_no_byte_is(rule: str, last: int) -> None:
    binariser = Binariser.fit(rule, np.array([[0] * 4, [last] * 4]), [Column("number")] * 4)
    made = made_of("ensemble:tables=3,inputs=2", 2, binariser, learn=False)
    text = "".join(write_source(made.program, "dut", [""], made.inputs, pixels=True).source)
    assert "features[feature] >= (uint" in text


def test_a_rule_that_does_not_compare_is_not_written_as_comparisons() -> None:
    assert integer_inputs(numbers("fixed=4", 3)) is None


def test_a_model_that_grows_does_not_learn_in_c() -> None:
    with pytest.raises(UsageError, match=r"'layers:10x2' does not learn in C.*; train it with rdahw train and export"):
        made_of("layers:10x2", 2, numbers("midrange", 4), learn=True)


def test_texts_of_users_stay_as_they_are_and_end_no_comment() -> None:
    made = made_of("ensemble:tables=3,inputs=2", 2, None, learn=False, inputs=4)
    said = write_source(made.program, "dut", ["of */ é??/"], None, result="model_a ??/").header
    assert said[0] == "/* dut.h: of _/ é__/\n */\n"
    assert "\n/* The prediction for x, model_a __/. Bit i" in said[-1]


def test_names_are_those_of_c() -> None:
    assert [c_name(text) for text in ("iris-lookup", "9 é", "_a")] == ["iris_lookup", "model_9__", "model__a"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lookup", "linear", "layers:12x3,12x3", "grown:tables=12"])
def test_a_compiled_classifier_of_each_form_predicts_the_same(model: str) -> None:
    from rdahw import RDAClassifier

    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("needs a C compiler, which is not installed")
    random = np.random.default_rng(4)
    x = random.normal(size=(40, 3))
    fitted = RDAClassifier(model=model, bits=2, epochs=1, random_state=1).fit(x, (x > 0) @ [1, 1, 0])
    expected = fitted.predict(x).tolist()
    assert len(set(expected)) > 1
    fitted.compile()
    assert [fitted.predict_one(row) for row in x] == expected


@pytest.mark.slow
def test_a_compiled_classifier_predicts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.datasets import load_wine

    from rdahw import RDAClassifier

    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("needs a C compiler, which is not installed")
    x, y = load_wine(return_X_y=True)
    model = RDAClassifier(tables=40, epochs=1, random_state=1).fit(x, y)
    expected = model.predict(x)
    compiled = model.compile()
    assert [compiled.predict_one(row) for row in x] == expected.tolist()
    model.partial_fit(x[::-1], y[::-1])
    assert [model.predict_one(row) for row in x] == model.predict(x).tolist()
    model.compile().fit(x[::2], y[::2])
    assert [model.predict_one(row) for row in x] == model.predict(x).tolist()
    with pytest.raises(ValueError, match=r"x\[1\] is inf; expected a finite number"):
        model.compile().predict_one([1.0, np.inf, *x[0, 2:]])
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingError, match=r"^cc \(models compiled from C\) is not on the PATH; install it"):
        model.compile()
