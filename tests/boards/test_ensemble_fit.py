"""Ensembles that cannot fit a board are refused before synthesis, with what is short and a way out; examples/s."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Fragment

from rdahw.boards import board
from rdahw.boards.ensemble_fit import check_ensemble_fits, check_folded_ensemble_fits, ensemble_needs
from rdahw.boards.ensemble_rates import ensemble_rates
from rdahw.boards.report import DesignError
from rdahw.ensemble import EnsembleSpec, Image
from rdahw.hdl.memory_trainer import MemoryTrainer

MNIST = Image(1, 28, 28)


def spec(**given: Any) -> EnsembleSpec:
    """The ensemble of 256 x 6 tables for MNIST, but for what is given."""
    image = given.pop("image", MNIST)
    return EnsembleSpec(**{"input_bits": image.bits, "classes": 10, "image": image, "wiring": "patch8", **given})


def test_the_ensemble_of_mnist_fits_the_icebreaker() -> None:
    needs = ensemble_needs(spec(), board("icebreaker"))
    # 6 copies of the examples, 4 for the wiring, 5 for words put by and 1 of the link.
    assert (needs.ebr, needs.spram) == (6 + 4 + 5 + 1, 4)
    # And what is expected in the header of an image in flash.
    assert ensemble_needs(spec(), board("icebreaker"), flash=True).ebr == needs.ebr + 1
    for fitting in (spec(), spec(tables=128, inputs=7), spec(image=Image(2, 28, 28)), spec(counter=5)):
        check_ensemble_fits(fitting, board("icebreaker"))
    check_ensemble_fits(spec(), board("ulx3s-85f"))
    assert ensemble_needs(spec(), board("ulx3s-85f")).ebr == 76  # as Yosys and nextpnr say


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "too many tables": (
        "icebreaker",
        dict(tables=512),
        "an ensemble of 512 x 6 tables, 10 classes and counters of 6 bits does not fit iCEBreaker: it needs 8 large "
        "memory blocks (SPRAM) of 4; lower the counters to 3 bits (--optimiser counter=3) or lower tables to 256",
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
        "examples of 3136 bits do not fit a packet of the host link, which takes at most 1784; binarise into at most 2 "
        "planes (--binarise threshold=K)",
    ),
    "no large memory": ("ice40-hx8k", dict(), "it needs 272 memory blocks (EBR) of 32; lower tables to 16"),
    "a smaller ECP5": ("ulx3s", dict(), "memory blocks (EBR) of 56; lower the counters to 4 bits"),
    "a small board": (
        "icestick",
        dict(),
        "does not fit iCEstick: it needs 272 memory blocks (EBR) of 16; lower tables and inputs, or choose a larger",
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
        check_ensemble_fits(spec(**given), board(of))


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
        check_ensemble_fits(spec(**given), board(of))
    check_ensemble_fits(spec(**{**given, **changed}), board(of))


def test_large_ensembles_are_not_folded_into_logic() -> None:
    sentence = "folded into logic, would need about 30,720 logic cells of 5,280 of iCEBreaker; leave --inference out"
    with pytest.raises(DesignError, match=re.escape(sentence)):
        check_folded_ensemble_fits(spec(), board("icebreaker"))
    check_folded_ensemble_fits(spec(tables=4, inputs=4, classes=3), board("icebreaker"))


def test_examples_a_second() -> None:
    trainer = MemoryTrainer(spec())
    Fragment.get(trainer, None)  # Amaranth warns of components that are never elaborated
    rates = ensemble_rates(trainer, 48.0, 3_000_000, 4)
    training, prediction = rates["training_examples_per_second"], rates["predictions_per_second"]
    assert prediction["core"] == 48_000_000 // trainer.cycles(False)
    assert training["core"] == 48_000_000 // trainer.cycles(True, 128)  # half of the tables are dropped
    assert prediction["flash"] == 48_000_000 // (99 * 4)  # the core is faster than the flash
    assert training["flash"] == min(training["core"], prediction["flash"])
    single = ensemble_rates(trainer, 48.0, 3_000_000, 16)
    assert single["training_examples_per_second"]["flash"] == 48_000_000 // (99 * 16)
    # Two examples of 99 bytes in a packet, and the results of a byte each.
    seconds = (2 * (99 + 1) + 2 * 12) * 10 / 3e6 + 2 * trainer.cycles(False) / 48e6
    assert prediction["uart"] == int(2 / seconds)
    assert "flash" not in ensemble_rates(trainer, 48.0, 3_000_000)["predictions_per_second"]
