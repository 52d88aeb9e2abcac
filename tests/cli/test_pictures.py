"""Training on folders of pictures, by planes, with mirrored images."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from PIL import Image

from rdahw.saved import load_model

TRAIN = ("train", "--data", "pets", "--model", "ensemble:tables=40,inputs=4", "--epochs", "3")


@pytest.fixture
def pets(tmp_path):
    """Coloured noise with a red bar that stands (a) or lies (b): 20 and 8 pictures of 9 x 8 pixels of each class."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 8)):
        for i in range(count):
            for name in "ab":
                pixels = rng.integers(0, 90, (9, 8, 3)).astype(np.uint8)
                at = int(rng.integers(2, 6))
                (pixels[:, at] if name == "a" else pixels[at])[:, 0] += 150
                folder = tmp_path / "pets" / part / name
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "pets"


def test_planes_and_mirrored_pictures(run, pets, tmp_path):
    options = ("--binarise", "threshold=100@r+hog=8/3/20,60@y", "--augment", "mirror", "--out", "m.rdahw")
    result = run.ok(*TRAIN, *options, "--json").json
    assert (result["train_examples"], result["test_examples"], result["mirror"]) == (80, 16, True)
    assert result["classes"] == ["a", "b"]
    assert result["test_accuracy"] > 0.75
    saved = load_model(tmp_path / "m.rdahw")
    assert saved.binariser.width == saved.spec.input_bits == 17 * 72
    assert (saved.schema.image_shape, tuple(saved.spec.image)) == ((3, 9, 8), (17, 9, 8))
    assert saved.options["augment"] == "mirror=1"
    evaluated = run.ok("eval", "m.rdahw", "--json").json
    assert evaluated["correct"] == result["test_correct"]
    assert run.ok("eval", "m.rdahw", "--data", "pets", "--json").json["correct"] == result["test_correct"]
    shown = run.ok("show", "m.rdahw", "--json").json
    assert shown["binarise"] == "threshold=100@r+hog=8/3/20,60@y"
    assert shown["wires"][72] == "hog=8/3/20@y h+ at row 0, column 0"


def test_predictions_without_labels(run, pets, tmp_path):
    run.ok(*TRAIN, "--binarise", "threshold=100@r", "--out", "m.rdahw")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for i in range(4):
            archive.write(pets / "test" / "ab"[i % 2] / "0.png", f"some/{i}.png")
    assert run.ok("eval", "m.rdahw", "--data", "some.zip", "--json").json["predictions"] == ["a", "b", "a", "b"]


def test_resized_pictures(run, pets, tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(pets / "train" / "a" / "large.png")
    assert "pixels; make them equal with --resize HxW" in run(*TRAIN).error
    run.ok(*TRAIN, "--resize", "6x5", "--binarise", "range=3/50", "--out", "m.rdahw")
    saved = load_model(tmp_path / "m.rdahw")
    assert saved.schema.image_shape == (3, 6, 5)
    assert saved.options["resize"] == "6x5"
    run.ok("eval", "m.rdahw")
    run.ok("eval", "m.rdahw", "--data", "pets/test")
    run.ok("train", "--resume", "m.rdahw", "--epochs", "4")
    assert "--resize 9 is not a size; write the height" in run(*TRAIN, "--resize", "9").error
    wrong = run("train", "--data", "iris", "--resize", "9x9").error
    assert "'iris' is not a folder or archive of pictures; leave out --resize" in wrong


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--binarise", "hog=4/3"), "the planes 'hog=4/3' are incomplete; expected hog=B/S/L"),
        (("--binarise", "hog=4/3/20@y", "--data", "iris"), "is for images of grey values or colours, which these data"),
        (("--augment", "turn"), "there is no augmentation 'turn'; expected shift=N or mirror"),
        (("--augment", "mirror", "--data", "iris"), "the data are not images and cannot be mirrored; use mirror=0"),
        (("--augment", "mirror=2"), "option mirror=2 of model 'ensemble' is invalid; expected 0 or 1"),
        (("--augment", "mirror", "--model", "lookup"), "--augment is not supported for model 'lookup'"),
    ],
)
def test_wrong_options(run, pets, options, sentence):
    ran = run(*TRAIN, *options)
    assert ran.code == 2
    assert sentence in ran.error


def test_mirrored_pictures_in_a_grown_model(run, pets, tmp_path):
    given = ("--model", "grown:tables=6,inputs=3,mirror=1", "--binarise", "threshold=100@r", "--out", "g.rdahw")
    result = run.ok("train", "--data", "pets", *given, "--json").json
    assert (result["train_examples"], result["mirror"]) == (80, True)
    assert load_model(tmp_path / "g.rdahw").spec.mirror


def test_mirroring_is_that_of_the_pixels(run, pets, tmp_path):
    for path in list((pets / "train").rglob("*.png")):
        with Image.open(path) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path.with_name(f"~{path.name}"))
    options = ("--binarise", "hog=8/4/20", "--no-shuffle", "--epochs", "1")
    both = run.ok(*TRAIN, *options, "--out", "both.rdahw", "--json").json
    for path in (pets / "train").rglob("~*"):
        path.unlink()
    mirrored = run.ok(*TRAIN, *options, "--augment", "mirror", "--out", "mirrored.rdahw", "--json").json
    assert both["train_examples"] == mirrored["train_examples"] == 80
    # The file names with ~ come after the others, so the order of both trainings is the same.
    one, other = (load_model(tmp_path / f"{name}.rdahw").state["counters"] for name in ("both", "mirrored"))
    assert np.array_equal(one, other)
