"""Models of images on a board that takes pixels: synth, and training over the link, as a user does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment
from link_helpers import SimulatedDevice, pseudo_terminal, simulate
from PIL import Image
from running import Runner

from rdahw.boards.design import Design
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.saved import load_model

RULE = "threshold=100+hog=4/3/30"
TRAIN = ("train", "--data", "pictures", "--model", "ensemble:tables=8,inputs=3", "--epochs", 1)


@pytest.fixture
def pictures(tmp_path: Path) -> None:
    """Grey noise with a bar that stands (a) or lies (b): 10 and 4 pictures of 7 x 6 pixels of each class; and the same
    in colour."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("test", 4)):
        for i in range(count):
            for name in "ab":
                pixels = rng.integers(0, 120, (7, 6)).astype(np.uint8)
                at = int(rng.integers(1, 5))
                pixels[(slice(None), at) if name == "a" else at] += 130
                for folder, image in (("pictures", pixels), ("coloured", np.stack([pixels, pixels, pixels // 2], 2))):
                    path = tmp_path / folder / part / name
                    path.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(path / f"{i}.png")


@pytest.mark.slow
@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("augment", [(), ("--augment", "mirror")])
def test_a_board_learns_from_pixels_as_software_does_from_planes(run: Runner, augment: tuple[str, ...]) -> None:
    options = (*TRAIN, "--binarise", RULE, *augment, "--json")
    soft = run.ok(*options, "--out", "soft.rdahw").json
    saved = load_model(run.folder / "soft.rdahw")
    core = make_trainer(saved.spec, frontend=PixelFrontend.of(saved.binariser))
    with pseudo_terminal(SimulatedDevice(simulate(core=core, engine="cxxrtl"))) as port:
        hard = run.ok(*options, "--device", port, "--out", "hard.rdahw").json
        status = run.ok("device", port, "status", "--json").json
        measured = run.ok("device", port, "predict", "hard.rdahw", "--json").json
    assert (hard["engine"], hard["parameters_sha256"]) == ("device", soft["parameters_sha256"])
    assert hard["test_correct"] == soft["test_correct"] == measured["correct"]
    assert (status["input_bits"], status["example_count"]) == (8 * 42, 20 * (2 if augment else 1))
    learned = load_model(run.folder / "hard.rdahw")
    assert all(np.array_equal(learned.state[field.name], saved.state[field.name]) for field in saved.spec.fields)


@pytest.mark.usefixtures("pictures")
def test_synth_makes_designs_that_take_pixels(run: Runner, designs: list[Design]) -> None:
    run.ok(*TRAIN, "--binarise", RULE, "--out", "m.rdahw")
    named = ("ensemble:tables=8,inputs=3", "--data", "pictures", "--binarise", RULE)
    for command in (("m.rdahw",), named, ("m.rdahw", "--inference")):
        assert run("synth", *command, "--frontend", "pixels").error == "synthesis was left out"
    assert run("synth", "m.rdahw").error == "synthesis was left out"
    cores = [design.core() for design in designs]
    for core in cores:
        Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
    assert [core.example_octets for core in cores] == [43, 43, 43, -(-5 * 42 // 8) + 1]
    assert [core.learns for core in cores] == [True, True, False, True]
    assert [design.frontend is None for design in designs] == [False, False, False, True]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize(
    ("training", "synth", "sentence"),
    [
        (
            ("--binarise", "threshold=100"),
            (),
            "--frontend pixels needs a model of images that is binarised by planes, and this one has the rule "
            "'threshold=100'; train it with planes, such as --binarise fashion, or leave --frontend out",
        ),
        (
            ("--binarise", RULE, "--augment", "shift=1"),
            (),
            "the model learns from images whose planes are shifted, which a board cannot do with its pixels; train "
            "without --augment shift, or leave --frontend pixels out",
        ),
        (
            ("--binarise", RULE, "--data", "coloured"),
            (),
            "--frontend pixels takes grey images, and the model has colour images of 7 x 6; leave --frontend out, or "
            "train on grey images",
        ),
        (
            ("--binarise", RULE),
            ("--flash", "quad"),
            "--flash and --frontend pixels were both given, and the flash holds bits of examples; leave one of them "
            "out",
        ),
        (
            ("--binarise", RULE, "--model", "mask:labels=binary"),
            (),
            "--frontend is not supported for model 'mask'; leave it out",
        ),
    ],
)
def test_what_no_board_takes(run: Runner, training: tuple[Any, ...], synth: tuple[Any, ...], sentence: str) -> None:
    run.ok(*TRAIN, *training, "--out", "m.rdahw")
    ran = run("synth", "m.rdahw", "--frontend", "pixels", *synth)
    assert (ran.code, ran.error) == (2, sentence)


@pytest.mark.usefixtures("pictures")
def test_export_of_gateware_that_takes_pixels(run: Runner) -> None:
    run.ok(*TRAIN, "--binarise", RULE, "--out", "m.rdahw")
    for what in ("--trainer", "--inference"):
        out = run.ok("export", "m.rdahw", "--to", "rtlil", what, "--frontend", "pixels", "--json").json["out"]
        said = "# An example is 43 bytes on examples__payload: the 7 x 6 pixels, row by row, each from 0 to 255;"
        text = (run.folder / out).read_text()
        assert said in text
        assert "input  examples__payload : 8 bits" in text
    ran = run("export", "m.rdahw", "--to", "rtlil", "--frontend", "pixels")
    assert (ran.code, ran.error) == (
        2,
        "--frontend pixels is for the gateware of a trainer or predictor; add --trainer or --inference, with --to "
        "verilog, or leave --frontend out",
    )


def test_a_model_without_data_has_no_pixels(run: Runner) -> None:
    ran = run("synth", "ensemble", "--inputs", 20, "--outputs", 3, "--frontend", "pixels")
    assert (ran.code, "and this one has bits without a rule; train it with planes" in ran.error) == (2, True)
