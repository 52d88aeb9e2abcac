"""Planes of images: each kind against its definition written out for one pixel, and the sentences about rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdahw.data import Binariser, Column, check_rule
from rdahw.data.planes import KINDS, PRESETS, parse_planes
from rdahw.errors import UsageError, UserError


def number_columns(count):
    return [Column("number")] * count


def binariser(rule, shape):
    count = int(np.prod(shape))
    return Binariser.fit(rule, np.zeros((1, count), np.uint8), number_columns(count), None, shape)


# The definitions, for the pixel at row r and column c of an image whose value at any place is a(r, c).


def around(size):
    return range(-(size // 2), size - size // 2)


def threshold(a, inside, r, c):
    return [lambda level: a(r, c) > level]


def hog(a, inside, r, c, bins, size):
    def bin_of(x, y):
        if 5 * abs(y) <= 2 * abs(x):
            name = "h"
        elif 5 * abs(x) <= 2 * abs(y):
            name = "v"
        else:
            name = "d"
        if bins == 4:
            return {"h": 0, "v": 1}.get(name, 2 if (x > 0) == (y > 0) else 3)
        if x == y == 0:
            return None
        signs = {"h": (x > 0,), "v": (y > 0,), "d": (x > 0, y > 0)}[name]
        order = [("h", True), ("h", False), ("v", True), ("v", False)]
        order += [("d", True, True), ("d", False, False), ("d", True, False), ("d", False, True)]
        return order.index((name, *signs))

    sums = [0] * bins
    for i in around(size):
        for j in around(size):
            if inside(r + i, c + j):
                x = a(r + i, c + j + 1) - a(r + i, c + j - 1)
                y = a(r + i + 1, c + j) - a(r + i - 1, c + j)
                if (its := bin_of(x, y)) is not None:
                    sums[its] += abs(x) + abs(y)
    return [lambda level, total=total: total > level * size * size // 4 for total in sums]


def cell(a, r, c, size):
    return [a(r + i, c + j) for i in around(size) for j in around(size)]


def range_(a, inside, r, c, size):
    values = cell(a, r, c, size)
    return [lambda level: max(values) - min(values) > level]


def mid(a, inside, r, c, size):
    values = cell(a, r, c, size)
    low, span = min(values), max(values) - min(values)
    return [lambda level: 4 * (a(r, c) - low) > level * span and span > 8]


def haar(a, inside, r, c, size):
    half = size // 2
    right, left, down, up = (
        sum(cell(a, r + i, c + j, size)) for i, j in ((0, half), (0, -half), (half, 0), (-half, 0))
    )
    pairs = ((right, left), (left, right), (down, up), (up, down))
    return [lambda level, one=one, other=other: one - other > size * size * level for one, other in pairs]


def nb8(a, inside, r, c, distance):
    ways = [(i, j) for i in (-distance, 0, distance) for j in (-distance, 0, distance) if (i, j) != (0, 0)]
    return [lambda level, i=i, j=j: a(r, c) > a(r + i, c + j) + level for i, j in ways]


ORACLES = {"threshold": threshold, "hog": hog, "range": range_, "mid": mid, "haar": haar, "nb8": nb8}


def expected(rule, image, channels):
    """The bits of one image (channels, height, width) by the definitions, in the order of the planes."""
    height, width = image.shape[1:]

    def inside(r, c):
        return 0 <= r < height and 0 <= c < width

    def value(channel):
        def a(r, c):
            if not inside(r, c):
                return 0
            values = [int(v) for v in image[:, r, c]]
            if len(values) == 1:
                return values[0]
            return (values[0] + 2 * values[1] + values[2]) // 4 if channel == "y" else values["rgb".index(channel)]

        return a

    bits = []
    for term in rule.terms:
        read = term.channels or channels
        for level in term.levels:
            for channel in read:
                each = [
                    [ORACLES[term.kind.name](value(channel), inside, r, c, *term.settings) for c in range(width)]
                    for r in range(height)
                ]
                for part in range(len(each[0][0])):
                    bits += [each[r][c][part](level) for r in range(height) for c in range(width)]
    return np.array(bits, np.uint8)


TEXTS = {
    "threshold": "threshold=0,100,254",
    "hog": "hog=4/3/20,60+hog=8/4/12+hog=8/1/200+hog=4/8/5",
    "range": "range=3/16,48+range=7/100",
    "mid": "mid=5/0,1,2,3+mid=3/1",
    "haar": "haar=4/0,16+haar=2/5+haar=8/3",
    "nb8": "nb8=1/12+nb8=3/-20,0",
}


def some_images(shape):
    """Random images, ones of few values, flat ones and ones of edges."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (3, *shape))
    steps = np.where(np.arange(shape[-1]) < shape[-1] // 2, 0, 255) * np.ones((1, *shape))
    return np.concatenate([noise, noise // 64 * 64, noise[:, :, :1, :1] + 0 * noise, steps]).astype(np.uint8)


def test_every_kind_has_an_oracle_and_a_kernel():
    from rdahw.sim.planes import ROWS

    assert KINDS.keys() == ORACLES.keys() == TEXTS.keys() == ROWS.keys()


@pytest.mark.parametrize("term", "+".join(TEXTS.values()).split("+"))
def test_reach_is_what_a_bit_depends_on(term):
    rule, rng, at = parse_planes(term), np.random.default_rng(2), 20
    (its,) = rule.terms
    before, after = its.kind.reach(*its.settings)
    low, high = at - before, at + after
    images = rng.integers(0, 256, (40, 1, 41, 41)).astype(np.uint8)
    images[20:] //= 16

    def bits(changed):
        return rule.transform(np.where(changed, 255 - images, images))[:, :, at, at]

    outside, here = np.ones((41, 41), np.bool_), bits(np.False_)
    outside[low : high + 1, low : high + 1] = False
    assert np.array_equal(bits(outside), here)
    for row in {low, high}:
        edge = np.zeros((41, 41), np.bool_)
        edge[row] = True
        assert not np.array_equal(bits(edge), here)
        assert not np.array_equal(bits(edge.T), here)


@pytest.mark.parametrize(("shape", "channels"), [((1, 5, 6), "y"), ((3, 4, 5), "rgb")])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_its_definition(kind, shape, channels):
    text = TEXTS[kind] + ("" if channels == "y" else f"+{TEXTS[kind].partition('+')[0]}@yb")
    rule, images = parse_planes(text), some_images(shape)
    found = rule.transform(images)
    assert found.shape[1] == len(rule.planes(shape[0]))
    for image, bits in zip(images, found, strict=True):
        assert np.array_equal(bits.reshape(-1), expected(rule, image, channels))


@st.composite
def rules(draw):
    kind = draw(st.sampled_from(list(KINDS.values())))
    numbers = [draw(st.sampled_from(values)) for values in kind.settings]
    most = min(kind.most, 300)
    levels = sorted(draw(st.sets(st.integers(kind.least, most), min_size=1, max_size=3)))  # at most 219 planes
    return f"{kind.name}={'/'.join(map(str, [*numbers, ','.join(map(str, levels))]))}"


@settings(max_examples=40, deadline=None)
@given(rule=st.lists(rules(), min_size=1, max_size=3), data=st.data())
def test_compiled_planes_are_the_definition(rule, data):
    from rdahw.sim.planes import PlaneConversion, to_wires

    channels = data.draw(st.sampled_from(["", "@y", "@rb"]))
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    shape = (3, height, width) if channels else data.draw(st.sampled_from([(height, width), (3, height, width)]))
    text = "+".join(term + channels for term in rule) + "+range=3/0"
    made = binariser(text, shape)
    seed, top = data.draw(st.integers(0, 1 << 32)), data.draw(st.sampled_from([2, 12, 256]))
    x = np.random.default_rng(seed).integers(0, top, (3, int(np.prod(shape)))).astype(np.uint8) * (255 // (top - 1))
    bits = made.transform(x)
    assert bits.shape == (3, made.width)
    assert np.array_equal(np.asarray(to_wires(made, x)), bits)
    assert np.array_equal(PlaneConversion(made).one(x[1].astype(np.float64))[0], bits[1])


def test_the_largest_numbers_do_not_overflow():
    from rdahw.sim.planes import to_wires

    made = binariser("hog=4/8/2039+hog=8/8/2039,2040+haar=8/253,254+nb8=1/254+nb8=8/-255", (16, 16))
    row, column = np.mgrid[:16, :16]
    stripes = [(row // 2 % 2 * 255), (column // 2 % 2 * 255), (row + column) // 2 % 2 * 255, (column >= 8) * 255]
    x = np.stack(stripes).reshape(4, -1).astype(np.uint8)
    bits = made.transform(x)
    assert np.array_equal(np.asarray(to_wires(made, x)), bits)
    assert bits.any()


def test_thresholds_are_the_planes_of_before():
    x = np.random.default_rng(0).integers(0, 256, (5, 48), dtype=np.uint8)
    for shape in ((6, 8), (3, 4, 4)):
        before = Binariser.fit("threshold=32,128", x, number_columns(48), None, shape)
        made = Binariser.fit("threshold=32+threshold=128", x, number_columns(48), None, shape)
        assert np.array_equal(made.transform(x), before.transform(x))
        assert (made.planes, made.width) == (before.planes * (48 // made.plane_width), before.width)


def test_a_threshold_with_an_exponent_is_no_plane():
    x = np.array([[1e4], [1e6]])
    assert Binariser.fit("threshold=1e+5", x, number_columns(1)).transform(x).tolist() == [[0], [1]]


def test_order_and_names():
    made = binariser("threshold=9@yr+hog=4/3/20,60@b", (3, 2, 4))
    assert [str(plane) for plane in made.layout[:4]] == [
        "threshold=9@y",
        "threshold=9@r",
        "hog=4/3/20@b h",
        "hog=4/3/20@b v",
    ]
    assert (made.planes, made.plane_width, made.width) == (10, 8, 80)
    assert made.wire_names[8 + 5] == "threshold=9@r at row 1, column 1"
    assert len(set(made.wire_names)) == 80


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_written_out(name):
    assert binariser(name, (3, 8, 8)).rule == PRESETS[name]


@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 4)])
def test_json(shape):
    made = binariser("threshold=9+hog=4/3/20", shape)
    value = made.to_json()
    again = Binariser.from_json(value)
    assert again.to_json() == value
    assert again.image_shape == shape
    for change in (
        {"rule": "hog=4/3/+"},
        {"image_shape": [5, 5]},
        {"image_shape": [2, 3, 4]},
        {"image_shape": None},
        {"columns": ["binary"] * 24},
        {"names": ["a"]},
    ):
        with pytest.raises(UserError, match="damaged"):
            Binariser.from_json(value | change)


def test_pixels_are_whole_numbers():
    made = binariser("hog=4/3/20", (2, 3))
    x = np.arange(12).reshape(2, 6)
    assert np.array_equal(made.transform(x.astype(np.float64)), made.transform(x.astype(np.uint8)))
    for wrong in (0.5, -1, 256, np.nan):
        bad = x.astype(np.float64)
        bad[1, 4] = wrong
        with pytest.raises(
            UserError, match=rf"example 1, pixel 4 is {wrong}, and planes need whole numbers from 0 to 25"
        ):
            made.transform(bad)
    with pytest.raises(UserError, match=r"features of shape \(2, 5\) do not fit, expected \(N, 6\)"):
        made.transform(x[:, :5])


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("hug=4/3/20", "no binarising rule 'hug=4/3/20' among .* or, for images, hog=B/S/L.*; did you mean 'hog'"),
        (
            "threshold=3+hug=4",
            "no kind of planes 'hug'; expected threshold=L.* or the preset fashion or colour: did you",
        ),
        ("hog=4/20", "the planes 'hog=4/20' are incomplete; expected hog=B/S/L"),
        ("hog=5/3/20", "the planes 'hog=5/3/20' have the setting '5'; expected one of 4, 8"),
        ("hog=4/x/20", "have the setting 'x'; expected one of 1, 2, 3"),
        ("hog=4/3/20,20", "need rising whole levels from 0 to 2040; write hog=B/S/L"),
        ("hog=4/3/", "need rising whole levels"),
        ("mid=5/4", "need rising whole levels from 0 to 3"),
        ("nb8=1/-256", "need rising whole levels from -255 to 254"),
        ("threshold=1.5@y", "need rising whole levels from 0 to 254"),
        ("range=3/9@q", "have the channels 'q'; expected some of r, g, b and y, such as range=3/9@y"),
        ("range=3/9@rr", "have the channels 'rr'"),
        ("range=3/9@", "have the channels ''"),
        ("threshold=9+", "no kind of planes ''"),
    ],
)
def test_wrong_rules(rule, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_rule(rule)


def test_rules_that_do_not_suit_the_data():
    with pytest.raises(UsageError, match="reads the channels 'rg', and the images are grey; leave out @rg"):
        binariser("threshold=9@rg", (2, 3))
    with pytest.raises(UsageError, match="has 264 planes for images with 3 channels; give at most 256"):
        binariser("hog=8/3/" + ",".join(map(str, range(11))), (3, 2, 2))
    with pytest.raises(UsageError, match="is for images of grey values or colours, which these data are not"):
        Binariser.fit("hog=4/3/20", np.zeros((1, 6)), number_columns(6))
    with pytest.raises(UsageError, match="which these data are not; use a rule such as quantile=3"):
        Binariser.fit("hog=4/3/20", np.zeros((1, 6)), [Column("binary")] * 6, None, (2, 3))
