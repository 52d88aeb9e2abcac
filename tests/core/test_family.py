"""Families and their options: how they are listed, read and refused, and those that other packages bring."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from running import Runner

from rdahw import UsageError
from rdahw import families as registry
from rdahw.cli._options import given_options, switches
from rdahw.families import BUILT_IN, all_families, find_family, is_model_name, names, parse_model, spec_of_widths
from rdahw.family import RESERVED, DataSize, Family, Option, Task

#: One option of each type.
OPTIONS = (
    Option(name="size", default=4, range=(1, 16), help="be so large"),
    Option(name="part", type="fraction", default=0.5, range=(0, 1), help="take this part"),
    Option(name="way", type="text", default="up", range=("up", "down"), help="go there"),
    Option(name="text", type="text", usual="by the data", help="say this"),
    Option(name="mark", type="flag", default=False, help="be marked"),
    Option(name="free", usual="2 a size", help="any number"),
)
FAMILY = Family(
    name="toy",
    help="a toy",
    options=OPTIONS,
    make=lambda task, **options: (task, options),  # type: ignore[arg-type, return-value]
    read=lambda value: value,  # type: ignore[arg-type, return-value]
)
TASK = Task(input_bits=3, classes=2)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    return Runner(capsys, tmp_path)


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        (",,", {}),
        ("size=1", {"size": 1}),
        ("size=16,part=0", {"size": 16, "part": 0.0}),
        ("part=1,part=1"[:6], {"part": 1.0}),
        ("part=0.25,way=down", {"part": 0.25, "way": "down"}),
        ("text=a=b,mark=1", {"text": "a=b", "mark": True}),
        ("text=,mark=false", {"text": "", "mark": False}),
        ("mark=0,free=-7", {"mark": False, "free": -7}),
        ("mark=true,free=999999999999999999", {"mark": True, "free": 10**18 - 1}),
    ],
)
def test_options_are_read_from_text(text: str, options: dict[str, Any]) -> None:
    found = FAMILY.parse(text)
    assert found == options
    assert {name: type(value) for name, value in found.items()} == {n: type(v) for n, v in options.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size=0", "option size=0 of model 'toy' is invalid; expected a whole number from 1 to 16"),
        ("size=17", "option size=17 of model 'toy' is invalid; expected a whole number from 1 to 16"),
        ("size", "option size= of model 'toy' is invalid; expected a whole number from 1 to 16"),
        ("size=1.0", "option size=1.0 of model 'toy' is invalid; expected a whole number"),
        ("size= 1", "option size= 1 of model 'toy' is invalid; expected a whole number"),
        ("size=1_0", "option size=1_0 of model 'toy' is invalid; expected a whole number"),
        ("size=\u0663", "option size=\u0663 of model 'toy' is invalid; expected a whole number"),
        ("size=" + "9" * 5000, "option size=9"),
        ("part=-0.1", "option part=-0.1 of model 'toy' is invalid; expected a number from 0 to 1"),
        ("part=nan", "option part=nan of model 'toy' is invalid; expected a number from 0 to 1"),
        ("part=inf", "option part=inf of model 'toy' is invalid; expected a number from 0 to 1"),
        ("part=half", "option part=half of model 'toy' is invalid; expected a number from 0 to 1"),
        ("way=left", "option way=left of model 'toy' is invalid; expected up or down"),
        ("mark=2", "option mark=2 of model 'toy' is invalid; expected 0 or 1"),
        ("mark", "option mark= of model 'toy' is invalid; expected 0 or 1"),
        ("free=x", "option free=x of model 'toy' is invalid; expected a whole number"),
        ("size=1,part=0,size=1", "option size of model 'toy' is given twice in 'size=1,part=0,size=1'; leave one of"),
        ("sise=1", "model 'toy' has no option 'sise=1'; it takes size=NUMBER, .*; did you mean 'size'\\?$"),
        (
            "zzz",
            "model 'toy' has no option 'zzz'; it takes size=NUMBER, part=FRACTION, way=TEXT, text=TEXT, mark=0\\|1, "
            "free=NUMBER$",
        ),
    ],
)
def test_options_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        FAMILY.parse(text)


def test_a_family_without_options_says_so() -> None:
    bare = Family(name="bare", help="", options=(), make=FAMILY.make, read=FAMILY.read)
    with pytest.raises(UsageError, match=r"^model 'bare' has no option 'a=1'; it takes no options$"):
        bare.parse("a=1")


def test_what_is_not_given_has_its_default() -> None:
    defaults = {"size": 4, "part": 0.5, "way": "up", "text": None, "mark": False, "free": None}
    assert FAMILY.spec(TASK) == (TASK, defaults)
    assert FAMILY.spec(TASK, size=7, mark=None, text="x") == (TASK, {**defaults, "size": 7, "text": "x"})
    for wrong in ({"size": 0}, {"part": 2}, {"way": "left"}, {"size": "many"}):
        with pytest.raises(UsageError, match="is invalid; expected"):
            FAMILY.spec(TASK, **wrong)
    with pytest.raises(UsageError, match="has no option 'other'"):
        FAMILY.spec(TASK, other=1)


def test_rules_set_the_options_that_the_family_says() -> None:
    assert FAMILY.rule_options("loss", "margin=3") == {"loss": "margin=3"}
    ruled = Family(
        name="ruled", help="", options=OPTIONS, make=FAMILY.make, read=FAMILY.read, rules={"loss": {"margin": "size"}}
    )
    assert ruled.rule_options("loss", "margin=3") == {"size": 3}
    for rule in ("margin", "margin=", "margin=-1", "margin=x", "xor", "", "margin=\u0663"):
        with pytest.raises(UsageError, match=f"^loss '{rule}' is not supported for model 'ruled'; use margin=NUMBER$"):
            ruled.rule_options("loss", rule)
    with pytest.raises(UsageError, match="option size=17 of model 'ruled' is invalid"):
        ruled.rule_options("loss", "margin=17")
    for rules in ({"loss": {"margin": "size"}}, {"loss": {"margin": "size"}, "optimiser": {}}):
        fixed = replace(ruled, rules=rules)
        sentence = "^optimiser 'counter=3' is not supported for model 'ruled', which has its own; leave it out$"
        with pytest.raises(UsageError, match=sentence):
            fixed.rule_options("optimiser", "counter=3")


@pytest.mark.parametrize("name", ["seed", "task", "test_accuracy"])
def test_a_reserved_name_of_an_option_is_refused(name: str) -> None:
    options = (*OPTIONS, Option(name=name, help="mean something else"))
    with pytest.raises(ValueError, match=f"^option '{name}' of model 'toy' has a name of rdahw.family.RESERVED"):
        replace(FAMILY, options=options)


@pytest.mark.parametrize(
    "options", ["", "--validation 5", "--model ensemble:tables=4 --epochs 1 --validation 5", "--hdl --updates 2"]
)
def test_all_other_results_of_a_training_are_reserved(run: Runner, options: str) -> None:
    result = run.ok("train", "--json", "--out", "m.rdahw", *options.split()).json
    own = {option.name for option in find_family(result["family"]).options}
    assert result.keys() - own - {"loss", "optimiser"} <= RESERVED


def test_a_switch_that_a_built_in_family_has_is_shared(installed: Any) -> None:
    """A family of another package adds no switch to the command."""
    installed(toy=f"{__name__}:FAMILY")
    assert {row for rows in switches().values() for row in rows} <= set(BUILT_IN)
    sharing = replace(FAMILY, options=(replace(OPTIONS[0], switch="margin"), replace(OPTIONS[1], switch="part")))
    nothing = dict.fromkeys([*switches(), "loss", "optimiser"])
    assert "part" not in nothing
    assert given_options(sharing, {**nothing, "margin": 3}) == {"size": 3}
    with pytest.raises(UsageError, match="^--margin is not supported for model 'toy'; leave it out$"):
        given_options(FAMILY, {**nothing, "margin": 3})


# -- the families there are --------------------------------------------------------------------------------------------


def test_every_option_of_every_family_is_stated_whole() -> None:
    for family in all_families():
        assert family is find_family(family.name)
        assert len({option.name for option in family.options}) == len(family.options)
        for option in family.options:
            assert option.help
            assert option.help[0].islower() or option.help.startswith("FILE.py")
            assert not option.help.endswith(".")
            if option.default is not None:
                assert option.parse(str(option.default), family.name) == option.default
        for options in family.rules.values():
            names = [[sets] if isinstance(sets, str) else list(sets) for sets in options.values()]
            assert all(family.option(name) for its in names for name in its)


def test_models_are_listed_as_json(run: Runner) -> None:
    listed = run.ok("models", "--json").json
    assert list(listed) == ["models"]
    assert [model["name"] for model in listed["models"]][: len(BUILT_IN)] == list(BUILT_IN)
    for model in listed["models"]:
        assert list(model) == ["name", "help", "tasks", "options"]
        assert model["help"]
        for option in model["options"]:
            assert list(option) == ["name", "type", "default", "range", "help"]
            assert option["type"] in ("whole", "fraction", "text", "flag", "sizes")
            assert isinstance(option["range"], list)
    by_name = {model["name"]: {o["name"]: o for o in model["options"]} for model in listed["models"]}
    assert by_name["ensemble"]["tables"]["default"] == 256
    assert by_name["ensemble"]["tables"]["range"] == [1, 1 << 20]
    assert by_name["mask"]["k"]["default"] == 4
    assert by_name["ensemble"]["candidates"]["default"] == 64
    assert by_name["ensemble"]["slope"]["default"] == "60 for images, else 200"
    assert by_name["lookup"]["labels"]["range"] == ["one-hot", "binary"]
    out = run.ok("models").out
    for name, options in by_name.items():
        assert f"{name}: " in out
        for option in options:
            assert f"\n  {option} " in out


@pytest.mark.parametrize("name", ["lookup", "mask", "ensemble:tables=5", "grown:tables=5", "layers:9x2,6x2"])
def test_a_spec_is_read_back_and_made_again_by_its_options(name: str) -> None:
    family, outputs = parse_model(name)[0], 1 if name == "mask" else 3
    spec = spec_of_widths(name, 6, outputs, seed=3)
    assert (spec.family, spec.input_bits) == (family.name, 6)
    assert family.read(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.options().keys() <= {option.name for option in family.options}
    assert family.spec(Task.of_widths(6, outputs, seed=3), **spec.options()) == spec
    assert spec.fields[0] == spec.parameters
    assert {field.name for field in spec.fields} == spec.initial_state().keys()
    made, state = spec.trained(spec.initial_state())
    assert len(made.theta(state)) == made.learner().model.parameter_bits


def test_models_by_name_or_file() -> None:
    assert parse_model("mask:k=2") == (find_family("mask"), {"k": 2})
    assert parse_model("a/b.py:f") == (find_family("file"), {"source": "a/b.py:f"})
    assert [is_model_name(text) for text in ("mask", "mask:k=2", "b.py:f", "b.rdahw", "lokup", "")] == [
        *(True, True, True, False, False, False)
    ]
    with pytest.raises(UsageError, match=r"^model 'lokup' is unknown .*; did you mean 'lookup'\?$"):
        parse_model("lokup:k=2")


# -- of other packages -------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives families of other packages by the text of their entry points."""

    def install(**points: str) -> None:
        found = [EntryPoint(name, value, "rdahw.families") for name, value in points.items()]

        def entry_points(*, group: str, name: str | None = None) -> list[EntryPoint]:
            assert group == "rdahw.families"
            return [point for point in found if name in (None, point.name)]

        monkeypatch.setattr(registry, "entry_points", entry_points)
        find_family.cache_clear()

    yield install
    find_family.cache_clear()


def test_a_family_of_another_package(run: Runner, installed: Any) -> None:
    installed(toy=f"{__name__}:FAMILY")
    assert names() == [*BUILT_IN, "toy"]
    assert find_family("toy").name == "toy"
    assert parse_model("toy:size=3") == (find_family("toy"), {"size": 3})
    listed = {model["name"]: model for model in run.ok("models", "--json").json["models"]}
    assert [option["default"] for option in listed["toy"]["options"]] == [
        4,
        0.5,
        "up",
        "by the data",
        False,
        "2 a size",
    ]


def test_an_entry_point_has_the_name_of_its_family(installed: Any) -> None:
    installed(another=f"{__name__}:FAMILY")  # a model saved as one of "toy" could not be loaded again
    with pytest.raises(UsageError, match="its family is named 'toy', and the entry point must have the same name"):
        find_family("another")


def test_ours_cannot_be_replaced(installed: Any) -> None:
    installed(lookup=f"{__name__}:FAMILY")
    assert names() == list(BUILT_IN)
    assert find_family("lookup").name == "lookup"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package_at_all:FAMILY", "ModuleNotFoundError: No module named 'no_such_package_at_all'"),
        (f"{__name__}:NOTHING", "AttributeError: module .* has no attribute 'NOTHING'"),
        (f"{__name__}:OPTIONS", "TypeError: it is a tuple and not a rdahw.family.Family"),
    ],
)
def test_a_family_that_cannot_be_loaded_is_one_sentence(run: Runner, installed: Any, value: str, reason: str) -> None:
    installed(broken=value)
    start = f"model 'broken' of '{value}' cannot be loaded"
    message = rf"^{start} \({reason}\); update or uninstall its package$"
    with pytest.raises(UsageError, match=message):
        find_family("broken")
    for words in (["models"], ["train", "--model", "broken"], ["show", "broken"]):
        ran = run(*words)
        assert ran.code == 2
        assert ran.error.startswith(start)
    listed = run("models", "--json").json
    assert [model["name"] for model in listed["models"]] == list(BUILT_IN)
    assert listed["error"].startswith(start)
    assert f"\n{BUILT_IN[-1]}: " in run("models").out
    # It is in nobody's way.
    run.ok("train", "-q")
    run.ok("eval", "iris-lookup.rdahw")
    assert [family.name for family in all_families(skip_broken=True)] == list(BUILT_IN)


@pytest.mark.parametrize(
    ("rows", "classes", "tables"),
    [(1_000, 2, [1000, 2000]), (600_000, 2, [1000, 2000]), (1_000_000, 2, [600, 1200]), (1_000_000, 10, [1500, 1500])],
)
def test_grown_models_of_few_classes_have_fewer_tables_for_very_many_rows(
    rows: int, classes: int, tables: list[int]
) -> None:
    tried = find_family("grown").candidates(DataSize(rows=rows, columns=10, classes=classes, images=False))
    assert [candidate.options["tables"] for candidate in tried if "tables" in candidate.options] == tables
