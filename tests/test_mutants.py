"""The list of mutants is up to date, none is alive, and a sample of them is killed again on every run."""

from __future__ import annotations

from itertools import groupby

import pytest
from faults import sites
from mutants import Mutant, Trainer, document, gate, mutants, read_document, trainers

from rdahw.hdl.circuit import ROWS
from rdahw.primitives import PRIMITIVES

ROW_SECTIONS = {"reverse rules": PRIMITIVES, "hardware rows": ROWS}
TRAINERS = list(trainers())
SECTIONS = [*ROW_SECTIONS, *(trainer.name for trainer in TRAINERS)]


def test_the_list_is_up_to_date() -> None:
    listed, there = list(read_document()), [mutant.key for mutant in mutants()]
    missing, gone = (sorted(set(a) - set(b)) for a, b in ((there, listed), (listed, there)))
    assert not missing, (
        f"docs/mutants.md lacks {missing[0]} and {len(missing) - 1} more: run `python tests/mutants.py --write --new`"
    )
    assert not gone, f"docs/mutants.md lists {gone[0]}, which is none: run `python tests/mutants.py --write --new`"
    assert listed == there


def test_none_is_alive() -> None:
    assert [key for key, fate in read_document().items() if fate.verdict not in ("killed", "equivalent")] == []


@pytest.mark.parametrize("section", ROW_SECTIONS)
def test_each_row_has_mutants_that_are_killed(section: str) -> None:
    killed = {
        where for (listed, where, _), fate in read_document().items() if (listed, fate.verdict) == (section, "killed")
    }
    assert killed == set(ROW_SECTIONS[section])


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)
def test_each_port_of_a_trainer_has_faults_that_are_noticed(trainer: Trainer) -> None:
    killed = {
        where
        for (section, where, _), fate in read_document().items()
        if (section, fate.verdict) == (trainer.name, "killed")
    }
    component = trainer.make()
    assert {site.text for site in sites(component)} >= killed
    ports = {".".join(map(str, path)) for path, _, _ in component.signature.flatten(component)}
    unread = set() if "batch" in trainer.name else {"examples.payload.last"}
    assert {port for port in ports - unread if not any(where.startswith(port) for where in killed)} == set()


def test_the_page_is_read_as_it_is_written() -> None:
    page = read_document()
    results = [(mutant, page[mutant.key]) for mutant in mutants()]
    assert document(results).count("\n") > len(results)
    assert all(fate.killer and fate.how for fate in page.values()), "a mutant without a killer"


def sample(section: str) -> list[Mutant]:
    """A mutant of each row, and a few of each trainer."""
    group = [mutant for mutant in mutants() if mutant.section == section]
    if section in ROW_SECTIONS:
        rows = [list(row) for _, row in groupby(group, key=lambda mutant: mutant.where)]
        return [row[len(row) // 2] for row in rows]
    return group[3 :: len(group) // 3]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.slow
def test_a_sample_is_killed_as_it_says(section: str) -> None:
    page = read_document()
    for mutant in sample(section):
        assert mutant.key in page
        fate = mutant.fate()
        assert (fate.verdict, fate.killer) == (page[mutant.key].verdict, page[mutant.key].killer), mutant.key


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.slow
def test_what_kills_spares_the_original(section: str) -> None:
    group = sample(section)
    for killers in dict.fromkeys(tuple(mutant.killers) for mutant in group):
        for killer in killers:
            fate = killer()
            assert fate is None or fate.verdict == "equivalent", fate


def test_a_row_without_a_small_shape_has_mutants_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutants.MAX_BITS", 0)
    assert gate.__wrapped__("plus")[0].input_types[0].width == 1
