"""Models that cannot fit a board are refused before synthesis, with what is short and a way out; examples/s."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment

from rdahw import UsageError
from rdahw.boards import board
from rdahw.boards.design import trainer_design
from rdahw.boards.fit import check_trainer_fits, choose_predictor
from rdahw.boards.rates import rates_of
from rdahw.boards.report import DesignError
from rdahw.data.images import Image
from rdahw.families import parse_model, spec_of_widths
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.family import Spec, Task
from rdahw.hdl.memory_fit import table_needs
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.trainer_factory import choose_trainer, make_trainer

MNIST = Image(1, 28, 28)
LOGIC, BLOCK_RAM = "logic", "block RAM"


def spec(**given: Any) -> EnsembleSpec:
    """The ensemble of 256 x 6 tables for MNIST, but for what is given."""
    image = given.pop("image", MNIST)
    return EnsembleSpec(**{"input_bits": image.bits, "classes": 10, "image": image, "wiring": "patch8", **given})


def test_a_trainer_may_count_alarms() -> None:
    for drift in (False, True):
        core = trainer_design(spec(), board("icebreaker"), drift=drift).core()
        Fragment.get(core, None)  # else Amaranth warns that it was not used
        assert ("alarm_count" in core.signature.members) == drift
    with pytest.raises(UsageError, match="--drift is not supported for model 'lookup'; leave it out"):
        trainer_design(spec_of_widths("lookup", 4, 3), board("icebreaker"), drift=True)


def test_no_board_trains_a_model_that_forgets() -> None:
    with pytest.raises(UsageError, match="forget is 5, and no trainer on an FPGA forgets; train in software, or leave"):
        trainer_design(spec(forget=5), board("icebreaker"))
    assert choose_predictor(spec(forget=5, tables=16), board("ulx3s")).name == BLOCK_RAM
    with pytest.raises(DesignError, match="does not fit"):
        choose_predictor(spec(forget=5), board("ulx3s"))


def layers(sizes: str) -> Spec:
    family, options = parse_model(f"layers:{sizes}")
    return family.spec(Task(input_bits=784, classes=10, image=MNIST, seed=0), **options)


@pytest.mark.parametrize("batch", [False, True])
def test_layers_of_three_times_300_tables_fit_the_icebreaker(batch: bool) -> None:
    core = trainer_design(layers("300x4,300x4,300x4"), board("icebreaker"), batch=batch).core()
    Fragment.get(core, None)
    assert core.interface.batches == batch
    rates = rates_of(core, 24.0, 3_000_000)
    assert rates["training_examples_per_second"]["core"] > (5000 if batch else 8000)


def test_layers_that_do_not_fit_are_refused_with_a_way_out() -> None:
    with pytest.raises(
        DesignError,
        match=r"^layers of 600x4,600x4,600x4 tables, .* does not fit iCEBreaker: it needs 40 memory blocks \(EBR\) of "
        "30; use layers of 300x4,300x4,300x4 tables or use layers of 600x2,600x2,600x2 tables$",
    ):
        trainer_design(layers("600x4,600x4,600x4"), board("icebreaker"))


def check_fits(its: Spec, of: str) -> None:
    check_trainer_fits(its, choose_trainer(its), board(of))


def tables_of(its: Spec, of: str) -> str:
    return choose_predictor(its, board(of)).name


def test_the_ensemble_of_mnist_fits_the_icebreaker() -> None:
    needs = table_needs(spec(), board("icebreaker"))
    # 6 copies of the examples, 4 for the wiring, 5 for words put by and 1 of the link.
    assert (needs.ebr, needs.spram) == (6 + 4 + 5 + 1, 4)
    # And what is expected in the header of an image in flash.
    assert table_needs(spec(), board("icebreaker"), flash=True).ebr == needs.ebr + 1
    for fitting in (spec(), spec(tables=128, inputs=7), spec(image=Image(2, 28, 28)), spec(counter=5)):
        check_fits(fitting, "icebreaker")
    check_fits(spec(), "ulx3s-85f")
    assert table_needs(spec(), board("ulx3s-85f")).ebr == 76  # as Yosys and nextpnr say


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "too many tables": (
        "icebreaker",
        dict(tables=512),
        "ensemble of 512 x 6 tables, 784 -> 10 classes, 327680 counters of 6 bits does not fit iCEBreaker: it needs 8 "
        "large memory blocks (SPRAM) of 4; lower the counters to 3 bits (--optimiser counter=3) or lower tables to 256",
    ),
    "too wide": (
        "icebreaker",
        dict(counter=8),
        "it needs 5 large memory blocks (SPRAM) of 4; lower the counters to 6 bits (--optimiser counter=6)",
    ),
    "too many words to put by": (
        "icebreaker",
        dict(tables=1024, inputs=4),
        "it needs 34 memory blocks (EBR) of 30; lower the counters to ",
    ),
    "too many planes for the examples": (
        "icebreaker",
        dict(image=Image(8, 28, 28)),
        "it needs 35 memory blocks (EBR) of 30; binarise into 2 planes (--binarise threshold=K)",
    ),
    "too many planes for a packet": (
        "icebreaker",
        dict(image=Image(4, 28, 28)),
        "examples of 3136 bits do not fit a packet of the host link, which takes at most 1784; binarise into 2 "
        "planes (--binarise threshold=K)",
    ),
    "no large memory": ("ice40-hx8k", dict(), "it needs 272 memory blocks (EBR) of 32; lower tables to 16"),
    "a smaller ECP5": ("ulx3s", dict(), "memory blocks (EBR) of 56; lower the counters to 4 bits"),
    "a small board": (
        "icestick",
        dict(),
        "does not fit iCEstick: it needs 272 memory blocks (EBR) of 16; take a smaller model, or a larger board",
    ),
    "many classes": (
        "icestick",
        dict(tables=2, inputs=2, classes=40, counter=6),
        "and at least 1,600 logic cells of 1,280; ",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    of, given, sentence = REFUSED[name]
    with pytest.raises(DesignError, match=re.escape(sentence)):
        check_fits(spec(**given), of)


def test_the_page_about_mnist_shows_these_sentences() -> None:
    page = (Path(__file__).parents[2] / "docs" / "mnist-on-a-board.md").read_text()
    shown = [REFUSED[name][2] for name in REFUSED if name not in ("a smaller ECP5", "many classes")]
    for sentence in shown:
        said = sentence.partition("it needs ")
        assert (said[1] + said[2] if said[1] else sentence).removesuffix("lower the counters to ") in page


@pytest.mark.parametrize(
    ("of", "given", "changed"),
    [
        ("icebreaker", dict(tables=512), dict(tables=256)),
        ("icebreaker", dict(counter=8), dict(counter=6)),
        ("ice40-hx8k", dict(), dict(tables=16)),
    ],
)
def test_the_ways_out_are_ways_out(of: str, given: dict[str, Any], changed: dict[str, Any]) -> None:
    with pytest.raises(DesignError, match="does not fit"):
        check_fits(spec(**given), of)
    check_fits(spec(**{**given, **changed}), of)


@pytest.mark.parametrize(
    ("of", "given", "tables"),
    [
        ("icebreaker", dict(tables=4, inputs=4, classes=3), LOGIC),
        ("icebreaker", dict(tables=16), BLOCK_RAM),
        ("icebreaker", dict(tables=96, sign=True), BLOCK_RAM),
        ("icebreaker", dict(tables=256, inputs=5, sign=True), BLOCK_RAM),
        ("icebreaker", dict(tables=32, inputs=4, sign=True), LOGIC),
        ("ulx3s-85f", dict(), BLOCK_RAM),
        # It would fit, but is no circuit any more.
        ("ulx3s-85f", dict(tables=64), BLOCK_RAM),
    ],
)
def test_where_the_tables_of_a_trained_ensemble_are(of: str, given: dict[str, Any], tables: str) -> None:
    assert tables_of(spec(**given), of) == tables


NOT_PREDICTED = {
    "too many counters": (
        "icebreaker",
        dict(tables=64),
        "ensemble of 64 x 6 tables, 784 -> 10 classes, 40960 counters of 6 bits does not fit iCEBreaker to predict "
        "only: it needs about 36,584 logic cells of 5,280 with its tables in logic, or 67 memory blocks (EBR) of 30 "
        "with its tables in block RAM; train with --sign or lower the counters to 2 bits (--optimiser counter=2), or "
        "leave --inference out, for a trainer, which predicts once its tables were written over the link",
    ),
    "too many signs": (
        "icebreaker",
        dict(sign=True),
        "it needs about 24,424 logic cells of 5,280 with its tables in logic, or 51 memory blocks (EBR) of 30 with "
        "its tables in block RAM; lower tables to 64 or lower inputs to 5, or leave --inference out, ",
    ),
    "a small board": (
        "icestick",
        dict(),
        "or 251 memory blocks (EBR) of 16 with its tables in block RAM; take a smaller model, or a larger board",
    ),
    "too many bits for a packet": ("icebreaker", dict(tables=4, image=Image(4, 28, 28)), "examples of 3136 bits do "),
}


@pytest.mark.parametrize("name", NOT_PREDICTED)
def test_what_fits_neither_logic_nor_block_ram_is_refused(name: str) -> None:
    of, given, sentence = NOT_PREDICTED[name]
    with pytest.raises(DesignError, match=re.escape(sentence)) as caught:
        tables_of(spec(**given), of)
    assert ("leave --inference out" in str(caught.value)) == (of == "icebreaker" and "image" not in given)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        (dict(tables=64), dict(sign=True)),
        (dict(tables=64), dict(counter=2)),
        (dict(sign=True), dict(tables=64)),
    ],
)
def test_the_ways_out_of_predicting_only_are_ways_out(given: dict[str, Any], changed: dict[str, Any]) -> None:
    with pytest.raises(DesignError, match="does not fit"):
        tables_of(spec(**given), "icebreaker")
    assert tables_of(spec(**{**given, **changed}), "icebreaker") == BLOCK_RAM


def test_examples_a_second() -> None:
    trainer = MemoryTrainer(spec())
    Fragment.get(trainer, None)  # Amaranth warns of components that are never elaborated
    rates = rates_of(trainer, 48.0, 3_000_000, 4)
    training, prediction = rates["training_examples_per_second"], rates["predictions_per_second"]
    assert prediction["core"] == 48_000_000 // trainer.cycles(False)
    assert training["core"] == 48_000_000 // trainer.cycles(True, 128)  # half of the tables are dropped
    assert prediction["flash"] == 48_000_000 // (99 * 4)  # the core is faster than the flash
    assert training["flash"] == min(training["core"], prediction["flash"])
    single = rates_of(trainer, 48.0, 3_000_000, 16)
    assert single["training_examples_per_second"]["flash"] == 48_000_000 // (99 * 16)
    # Two examples of 99 bytes in a packet, and the results of a byte each.
    seconds = (2 * (99 + 1) + 2 * 12) * 10 / 3e6 + 2 * trainer.cycles(False) / 48e6
    assert prediction["uart"] == int(2 / seconds)
    assert "flash" not in rates_of(trainer, 48.0, 3_000_000)["predictions_per_second"]


def test_predictions_a_second() -> None:
    core = MemoryInference(spec(), np.zeros(spec().counters_shape, np.int8))
    Fragment.get(core, None)
    rates = rates_of(core, 48.0, 3_000_000)
    assert rates.keys() == {"predictions_per_second"}
    assert rates["predictions_per_second"]["core"] == 48_000_000 // core.cycles()


def test_a_learner_in_registers() -> None:
    """Only synthesis knows what it needs, but for its examples."""
    lookup = spec_of_widths("lookup", 4, 3)
    check_fits(lookup, "icestick")
    assert tables_of(lookup, "icestick") == LOGIC
    for check, most in ((check_fits, 1776), (tables_of, 1790)):  # in words of 16 bits, and whole
        check(spec_of_widths("mask", most, 1), "icebreaker")
        with pytest.raises(
            DesignError, match=r"^examples of 1800 bits do not fit a packet of the host link, which take"
        ):
            check(spec_of_widths("mask", 1800, 1), "icebreaker")
    trainer = make_trainer(lookup)
    Fragment.get(trainer, None)
    rates = rates_of(trainer, 24.0, 1_000_000)
    # 224 examples of a byte in a packet, and the results of a byte each.
    seconds = (2 * 224 + 2 * 12) * 10 / 1e6 + 224 / 24e6
    assert rates["predictions_per_second"] == {"core": 24_000_000, "uart": int(224 / seconds)}
    assert rates["training_examples_per_second"] == rates["predictions_per_second"]
