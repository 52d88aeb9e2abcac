"""The list of mutants is up to date, none is alive, and a sample of them is killed again on every run."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
from faults import sites
from mutants import LIST, PAGE, Mutant, Trainer, gate, mutants, named, page, read_list, trainers, write_list
from scenarios import designs

from rdahw.families.layers.circuits import PASSED
from rdahw.hdl.circuit import ROWS
from rdahw.primitives import PRIMITIVES

SIGNED = {name: row for name, row in PRIMITIVES.items() if row.signed is not None}
ROW_SECTIONS = {
    "reverse rules": PRIMITIVES,
    "signed rules": SIGNED,
    "hardware rows": ROWS,
    "blocks of layers": PASSED,
}
TRAINERS = list(trainers())
DESIGNS = {design.name: design for design in designs()}
SECTIONS = [*ROW_SECTIONS, *(trainer.name for trainer in TRAINERS)]


def test_the_list_is_complete() -> None:
    listed, there = set(read_list()), {mutant.key for mutant in mutants()}
    missing, gone = sorted(there - listed), sorted(listed - there)
    run = "run `.venv/bin/python tests/mutants.py --write --new`"
    assert not missing, f"tests/golden/mutants.tsv lacks {missing[0]} and {len(missing) - 1} more: {run}"
    assert not gone, f"tests/golden/mutants.tsv lists {gone[0]}, which is none: {run}"


def test_none_is_alive() -> None:
    assert [key for key, fate in read_list().items() if fate.verdict not in ("killed", "equivalent")] == []


@pytest.mark.parametrize("section", ROW_SECTIONS)
def test_each_row_has_mutants_that_are_killed(section: str) -> None:
    killed = {
        where for (listed, where, _), fate in read_list().items() if (listed, fate.verdict) == (section, "killed")
    }
    assert killed == set(ROW_SECTIONS[section])


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)
def test_each_port_of_a_trainer_has_faults_that_are_noticed(trainer: Trainer) -> None:
    killed = {
        where
        for (section, where, _), fate in read_list().items()
        if (section, fate.verdict) == (trainer.name, "killed")
    }
    component = trainer.make()
    assert {site.text for site in sites(component)} >= killed
    ports = {".".join(map(str, path)) for path, _, _ in component.signature.flatten(component)}
    unread = set() if "batch" in trainer.name else {"examples.payload.last"}
    assert {port for port in ports - unread if not any(where.startswith(port) for where in killed)} == set()


def test_the_list_is_read_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, text = read_list(), LIST.read_text(encoding="utf-8")
    assert all(fate.killer and fate.how for fate in listed.values()), "a mutant without a killer"
    monkeypatch.setattr("mutants.LIST", tmp_path / "list")
    write_list(dict(reversed(listed.items())))
    assert (tmp_path / "list").read_text(encoding="utf-8") == text


def test_the_table_of_the_page_is_that_of_the_list() -> None:
    assert page(read_list()) == PAGE.read_text(encoding="utf-8")


def sample(section: str) -> list[Mutant]:
    """A mutant of each row, and a few of each trainer."""
    group = [mutant for mutant in mutants() if mutant.section == section]
    if section in ROW_SECTIONS:
        rows = [list(row) for _, row in groupby(group, key=lambda mutant: mutant.where)]
        return [row[len(row) // 2] for row in rows]
    return group[3 :: len(group) // 2]


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_a_sample_is_killed_as_it_says(section: str) -> None:
    listed = read_list()
    for mutant in sample(section):
        assert mutant.key in listed
        fate = mutant.fate()
        assert (fate.verdict, fate.killer) == (listed[mutant.key].verdict, listed[mutant.key].killer), mutant.key


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_what_kills_spares_the_original(section: str) -> None:
    group = sample(section)
    for killers in dict.fromkeys(tuple(mutant.killers) for mutant in group):
        for killer in killers:
            fate = killer()
            assert fate is None or fate.verdict == "equivalent", fate


@pytest.mark.slow
@pytest.mark.parametrize("section", DESIGNS)
def test_a_sample_of_a_module_is_killed_as_it_says(section: str) -> None:
    listed = read_list()
    killed = [m for m in mutants() if m.section == section and listed[m.key].verdict == "killed"]
    for mutant in killed[len(killed) // 8 :: len(killed) // 2]:
        found = [killer for killer in mutant.killers if named(killer) == listed[mutant.key].killer]
        assert len(found) == 1, mutant.key
        assert found[0]() is None, f"{mutant.key[0]}: the killer finds something wrong where nothing is"
        with mutant.force():
            fate = found[0]()
        assert fate is not None, mutant.key
        assert (fate.verdict, fate.how) == ("killed", listed[mutant.key].how), mutant.key


@pytest.mark.slow
def test_a_fault_that_changes_nothing_is_told_from_one_that_does() -> None:
    design = DESIGNS["flash reader, four lines"]
    numbers = {site.text: number for number, site in enumerate(design.sites)}
    # The state goes on in any case, so what would keep it there is always 0.
    assert design.comparison.same_in_any_state(numbers["to_end #5"], "stuck at 0")
    assert not design.comparison.same_in_any_state(numbers["to_end #5"], "stuck at 1")


def test_a_row_without_a_small_shape_has_mutants_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutants.MAX_BITS", 0)
    assert gate.__wrapped__("plus")[0].input_types[0].width == 1
