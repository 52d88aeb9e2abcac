"""Models of images by many planes, mirrored images, and rules that follow from the data."""

from dataclasses import replace

import numpy as np
import pytest

from rdahw.data import Column, Dataset, Examples, image_rule
from rdahw.data.images import Image, with_mirrored
from rdahw.errors import UsageError, UserError
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.families.grown.spec import GrownSpec

IMAGE = Image(20, 16, 16)
ENSEMBLE = EnsembleSpec(input_bits=IMAGE.bits, classes=3, tables=8, wiring="patch8", image=IMAGE)
GROWN = GrownSpec(input_bits=IMAGE.bits, classes=3, tables=6, image=IMAGE)


def dataset(shape, kind="number"):
    count = int(np.prod(shape))
    examples = Examples(np.zeros((2, count), np.uint8), np.arange(2))
    return Dataset("x", examples, None, ("a", "b"), ("p",) * count, (Column(kind),) * count, "", shape)


@pytest.mark.parametrize("spec", [ENSEMBLE, GROWN])
def test_mirror_is_saved_only_where_it_is_used(spec):
    assert "mirror" not in spec.to_json()  # as in files of before
    mirrored = replace(spec, mirror=True)
    assert mirrored.to_json() == spec.to_json() | {"mirror": True}
    for one in (spec, mirrored):
        assert type(one).from_json(one.to_json()) == one
    with pytest.raises(UserError, match="mirror"):
        type(spec).from_json(mirrored.to_json() | {"mirror": 1})


@pytest.mark.parametrize("spec", [ENSEMBLE, GROWN])
def test_only_images_are_mirrored(spec):
    wiring = {"wiring": "any"} if spec is ENSEMBLE else {}
    with pytest.raises(UsageError, match="the data are not images and cannot be mirrored; use mirror=0"):
        replace(spec, image=None, mirror=True, **wiring)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 3)])
def test_mirrored_pixels(shape):
    x = np.arange(2 * int(np.prod(shape)), dtype=np.uint8).reshape(2, -1)
    found = with_mirrored(x, shape)
    assert np.array_equal(found[:2], x)
    assert np.array_equal(found[2:].reshape(2, *shape), x.reshape(2, *shape)[..., ::-1])
    assert np.array_equal(with_mirrored(found[2:], shape)[2:], x)


def test_wiring_is_grown_otherwise_with_many_planes():
    def growth(planes, **more):
        image = Image(planes, 16, 16)
        grown = replace(ENSEMBLE, input_bits=image.bits, image=image, wiring="grown", **more).preparation
        return grown.patch, grown.inset, grown.sample, grown.refinements, grown.margin

    assert growth(8) == (8, 2, 6000, 6, 16)
    assert growth(9) == (12, 0, 12000, 0, 16)
    assert growth(8, copies=1) == (8, 2, 12000, 6, 24)
    assert growth(9, copies=1) == (12, 0, 12000, 0, 24)


def test_the_caution_counts_pixels():
    assert replace(ENSEMBLE, tables=60).caution == ""  # 360 of 5120 bits, but most pixels
    assert "the tables read" in replace(ENSEMBLE, tables=4).caution
    assert "of 256 pixels, and the others cannot matter" in replace(ENSEMBLE, tables=4).caution


@pytest.mark.parametrize(
    ("shape", "kind", "rule"),
    [
        ((28, 28), "number", "threshold=32"),
        ((3, 32, 32), "number", "colour"),
        ((3, 64, 64), "number", "colour"),
        ((3, 64, 65), "number", "threshold=32"),
        ((3, 8, 8), "binary", "midrange"),
    ],
)
def test_the_rule_for_images(shape, kind, rule):
    assert image_rule(dataset(shape, kind)) == rule
