"""Families: one that only these tests define goes through every command, and nothing else knows one from another."""

from __future__ import annotations

import ast
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Ran, finish, start

from rdahw.families import BUILT_IN

ROOT = Path(__file__).parents[1]
NAME = "nearest-pattern"
PACKAGE = Path(__file__).parent / "families"

#: What is in an installed package besides its modules.
INSTALLED = {
    "METADATA": f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0.1\n",
    "entry_points.txt": f"[rdahw.families]\n{NAME} = nearest_pattern:FAMILY\n",
}


# -- a family of another package ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with the one that brings the family."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "nearest_pattern.py").write_text((PACKAGE / "nearest_pattern.py").read_text())
    information = folder / "nearest_pattern-0.1.dist-info"
    information.mkdir()
    for name, text in INSTALLED.items():
        (information / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


class Commands:
    """``rdahw`` in processes of its own, where the package is installed."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.folder = folder
        self.options: dict[str, Any] = {"folder": folder, "env": {"PYTHONPATH": str(site)}}

    def __call__(self, *words: object) -> Ran:
        ran = finish(start(*words, **self.options), timeout=600)
        assert ran.code == 0, ran.err
        return ran


@pytest.fixture(scope="module")
def rdahw(site: Path, folder: Path) -> Commands:
    return Commands(site, folder)


@pytest.fixture(scope="module")
def trained(rdahw: Commands) -> dict[str, Any]:
    """Iris, learned."""
    return rdahw("train", "--model", NAME, "--out", "iris.rdahw", "--json").json


def test_the_package_is_small() -> None:
    assert len((PACKAGE / "nearest_pattern.py").read_text().splitlines()) < 80


def test_no_file_of_ours_mentions_it() -> None:
    for layer in ("rdahw", "sim", "hdl", "boards", "cli"):
        for path in (ROOT / layer).rglob("*.py"):
            assert NAME not in path.read_text(), path
            assert "nearest_pattern" not in path.read_text(), path


def test_it_is_listed(rdahw: Commands) -> None:
    models = {model["name"]: model for model in rdahw("models", "--json").json["models"]}
    assert list(models)[: len(BUILT_IN)] == list(BUILT_IN)
    assert models[NAME]["options"][0] == {
        "name": "counter",
        "type": "whole",
        "default": 5,
        "range": [2, 8],
        "help": "count with this many bits",
    }
    assert NAME in rdahw("models").out


def test_train(trained: dict[str, Any]) -> None:
    assert trained["test_accuracy"] > 0.7
    assert (trained["family"], trained["loss"], trained["optimiser"]) == (NAME, "margin=2", "counter=5")
    assert trained["classes"] == ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
    assert trained["parameter_bits"] == 60


def test_options(rdahw: Commands) -> None:
    by_name = rdahw("train", "--model", f"{NAME}:counter=4", "--optimiser", "counter=4", "--json").json
    assert (by_name["counter"], by_name["optimiser"]) == (4, "counter=4")
    assert by_name["out"] == f"iris-{NAME}.rdahw"


def test_several_seeds(rdahw: Commands) -> None:
    several = rdahw("train", "--model", NAME, "--seeds", 2, "--out", "several.rdahw", "--json").json
    assert several["seeds"] == [0, 1]
    assert several["test_accuracy"]["min"] <= several["test_accuracy"]["mean"] <= several["test_accuracy"]["max"]


@pytest.mark.slow
def test_resume_after_kill(rdahw: Commands) -> None:
    words = ("train", "--model", NAME, "--binarise", "thermometer=3", "--epochs", 30)
    whole = rdahw(*words, "--out", "whole.rdahw", "--json").json
    process = start(*words, "--out", "killed.rdahw", "--checkpoint", 0, **rdahw.options)
    checkpoint = rdahw.folder / "killed.rdahw.checkpoint"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert finish(process).code == -signal.SIGKILL
    rest = rdahw("train", "--resume", checkpoint, "--json").json
    assert 0 < rest["resumed_from_update"] < whole["updates"]
    for key in ("updates", "parameters", "test_correct"):
        assert rest[key] == whole[key]


@pytest.mark.slow
def test_eval_show_and_report(rdahw: Commands, trained: dict[str, Any]) -> None:
    assert rdahw("eval", "iris.rdahw", "--json").json["accuracy"] == trained["test_accuracy"]
    shown = rdahw("show", "iris.rdahw", "--json").json
    assert (shown["family"], shown["parameters"]) == (NAME, trained["parameters"])
    assert "signs" in rdahw("show", "iris.rdahw", "--text").out
    assert rdahw("show", NAME, "--inputs", 5, "--outputs", 2, "--json").json["parameter_bits"] == 50
    rdahw("report", "iris.rdahw")
    assert NAME in (rdahw.folder / "iris.html").read_text()


@pytest.mark.parametrize("what", ["circuit", "reverse", "trainer", "inference"])
def test_export(rdahw: Commands, trained: dict[str, Any], what: str) -> None:
    asked = [] if what == "circuit" else [f"--{what}"]
    rdahw("export", "iris.rdahw", "--to", "verilog", *asked, "--out", f"{what}.v")
    assert "module iris" in (rdahw.folder / f"{what}.v").read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc, which is not installed")
def test_export_to_c(rdahw: Commands, trained: dict[str, Any]) -> None:
    rdahw("export", "iris.rdahw", "--to", "c", "--learn")
    sources = map(str, (rdahw.folder / "iris-c").glob("*.c"))
    subprocess.run(["gcc", "-std=c99", *sources, "-o", str(rdahw.folder / "iris")], check=True)
    assert subprocess.run([rdahw.folder / "iris"], check=False).returncode == 0


@pytest.mark.slow
def test_prove(rdahw: Commands, trained: dict[str, Any]) -> None:
    claims = rdahw("prove", "iris.rdahw", "--what", "gateware", "--timeout", 300, "--json").json["claims"]
    assert {claim["verdict"] for claim in claims} == {"proved"}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["amaranth", "cxxrtl"])
def test_simulated_hardware(rdahw: Commands, trained: dict[str, Any], engine: str) -> None:
    made = rdahw("train", "--model", NAME, "--hdl", "--engine", engine, "--out", "hdl.rdahw", "--json").json
    assert made["bit_exact"]
    assert made["parameters"] == trained["parameters"]


@pytest.mark.slow
def test_synth(rdahw: Commands, trained: dict[str, Any]) -> None:
    report = rdahw("synth", "iris.rdahw", "--board", "icebreaker", "--clock", 12, "--json").json
    assert 0 < report["core_logic_cells"] < report["logic_cells"] < 5280
    assert (rdahw.folder / report["bitstream"]).stat().st_size > 10_000


@pytest.mark.slow
def test_classifier(rdahw: Commands, site: Path) -> None:
    pytest.importorskip("sklearn")
    import subprocess

    program = f"""
from sklearn.datasets import load_iris
from rdahw import RDAClassifier
x, y = load_iris(return_X_y=True)
by_text = RDAClassifier(model="{NAME}:counter=4").fit(x, y)
by_keyword = RDAClassifier(model="{NAME}", counter=4).fit(x, y)
assert (by_text.predict(x) == by_keyword.predict(x)).all()
print(by_text.score(x, y))
"""
    environment = {"PYTHONPATH": str(site), "PATH": ""}
    done = subprocess.run([sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.7


# -- nothing knows one family from another -----------------------------------------------------------------------------

#: Files that may not import a family or compare with its name, and, relative to these, what may do so.
GENERAL = ["cli", "boards", "sim/engines.py", "rdahw/saved.py"]
#: The registry and what it is made of.
REGISTRY = {"rdahw.families"}


def _general_files() -> Iterator[Path]:
    for name in GENERAL:
        path = ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _family_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            modules = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base in REGISTRY else [base]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            if any(f"{module}.".startswith(f"rdahw.families.{name}.") for name in (*BUILT_IN, "circuits")):
                yield f"line {node.lineno} imports {module}"


def _family_names(tree: ast.AST) -> Iterator[str]:
    """Comparisons, and keys of tables, with the name of a family."""
    for node in ast.walk(tree):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            texts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            texts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.MatchValue):
            texts = [node.value]
        for text in texts:
            for part in ast.walk(text):
                if isinstance(part, ast.Constant) and part.value in {*BUILT_IN} - {"file"}:
                    yield f"line {part.lineno} compares with {part.value!r}"


def _kind_tests(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            kinds = ast.unparse(node.args[1])
            if any(word in kinds for word in ("Saved", "Spec")):
                yield f"line {node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Name | ast.FunctionDef) and getattr(node, "id", getattr(node, "name", "")) in (
            "is_ensemble",
            "find_ensemble",
        ):
            yield f"line {node.lineno}: a test for ensembles"


@pytest.mark.parametrize("path", list(_general_files()), ids=lambda path: str(path.relative_to(ROOT)))
def test_general_files_know_no_family(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert [*_family_imports(tree), *_family_names(tree)] == []


def test_nothing_asks_what_kind_a_model_is() -> None:
    for layer in ("rdahw", "sim", "hdl", "boards", "cli"):
        for path in (ROOT / layer).rglob("*.py"):
            assert list(_kind_tests(ast.parse(path.read_text()))) == [], path


@pytest.mark.parametrize(
    "source",
    [
        "from rdahw.families.ensemble import FAMILY",
        "from rdahw.families import lookup",
        "import rdahw.families.ensemble.spec",
        "if family.name == 'ensemble': pass",
        "x = 'mask' in names",
        "rows = {'lookup': 1}",
    ],
)
def test_the_rule_finds_a_family(source: str) -> None:
    tree = ast.parse(source)
    assert [*_family_imports(tree), *_family_names(tree)] != []


@pytest.mark.parametrize("source", ["isinstance(saved, SavedModel)", "isinstance(x, EnsembleSpec)", "is_ensemble(m)"])
def test_the_rule_finds_a_test_of_kind(source: str) -> None:
    assert list(_kind_tests(ast.parse(source))) != []
