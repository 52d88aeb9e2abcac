"""Planes in gateware give exactly the bits of their definition, whatever the streams and the memory do."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from rdahw.data import Binariser, Column, load
from rdahw.data.images import Image
from rdahw.data.planes import KINDS, PRESETS, parse_planes
from rdahw.errors import UsageError
from rdahw.families.ensemble.rule import PlainEnsemble
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.memory_inference import MemoryInference
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.pixel_buffer import KeptBits
from rdahw.hdl.pixels import ROWS, PixelPlanes, PlaneFlow
from rdahw.sim.planes import to_wires
from rdahw.sim.simulator import Exchange, Simulator, make_simulator

FASHION = parse_planes("fashion")
RULES = [
    "threshold=0,100,254",
    "hog=4/3/20,60",
    "hog=4/1/200+hog=4/8/5",
    "hog=8/4/12,40",
    "hog=4/2/30+hog=8/5/9",
    "range=3/16,48+range=7/100",
    "mid=5/0,1,2,3+mid=3/1",
    "haar=4/0,16",
    "haar=2/5+haar=6/3+haar=8/3",
    "nb8=1/12",
    "nb8=3/-20,0+nb8=8/-255,254",
]


def some_images(shape: tuple[int, ...], count: int, seed: int = 0) -> np.ndarray:
    """Random images (count, channels, height, width): noise, few values, and 0 and 255 alone, in turn."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *((1, *shape) if len(shape) == 2 else shape))).astype(np.uint8)
    images[1::3] = images[1::3] // 64 * 64
    images[2::3] = images[2::3] // 128 * 255
    return images


def beats_of(images: np.ndarray) -> np.ndarray:
    """The pixels (N, 8 or 24) of images (n, channels, height, width)."""
    return np.unpackbits(images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1]), axis=1, bitorder="little")


def bits_at_pixels(bits: np.ndarray) -> np.ndarray:
    """Planes (n, planes, height, width) in the order of the stream, (N, planes)."""
    return bits.transpose(0, 2, 3, 1).reshape(-1, bits.shape[1])


def through(simulator: Simulator, images: np.ndarray, seed: int | None = None) -> Any:
    """Send the images; every bit is given before a pixel of another image. ``seed``: of pauses on both sides."""
    beats, pauses = beats_of(images), {}
    if seed is not None:
        rng = np.random.default_rng(seed)
        gaps, stalls = (rng.random(length) < rng.choice([0.1, 0.5, 0.9]) for length in (97, 89))
        pauses = {"gaps": gaps, "stalls": stalls}
    return simulator.exchange(Exchange("pixels", "planes", beats, len(beats), len(beats), patience=20_000, **pauses))


def test_every_kind_is_in_the_table_and_in_the_tests() -> None:
    assert ROWS.keys() == KINDS.keys() == {term.kind.name for text in RULES for term in parse_planes(text).terms}


@pytest.mark.parametrize("shape", [(5, 6), (3, 3, 4)])
@pytest.mark.parametrize("text", RULES)
def test_planes_are_their_definition(text: str, shape: tuple[int, ...]) -> None:
    rule, images = parse_planes(text), some_images(shape, 3 if len(shape) == 2 else 1)
    found = through(make_simulator(PixelPlanes(rule, shape), "amaranth"), images, seed=len(text))
    assert np.array_equal(found.results, bits_at_pixels(rule.transform(images)))


@pytest.mark.parametrize("text", ["threshold=9", "hog=4/3/20+mid=3/1", "haar=2/1@y"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (2, 3), (9, 2)])
def test_images_smaller_than_the_planes_reach(shape: tuple[int, int], text: str) -> None:
    rule, images = parse_planes(text), some_images(shape, 4)
    simulator = make_simulator(PixelPlanes(rule, shape), "amaranth")
    # One by one, so that the last bits of an image need no pixel of the next one.
    found = np.concatenate([through(simulator, images[i : i + 1], seed=i).results for i in range(4)])
    assert np.array_equal(found, bits_at_pixels(rule.transform(images)))


def test_channels() -> None:
    rule, images = parse_planes("threshold=90@bgry+range=3/60@y+nb8=1/5@gb"), some_images((3, 4, 3), 2)
    found = through(make_simulator(PixelPlanes(rule, (3, 4, 3)), "amaranth"), images)
    assert np.array_equal(found.results, bits_at_pixels(rule.transform(images)))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_grey_images_lack_colours() -> None:
    with pytest.raises(UsageError, match="reads the channels 'gb', and the images are grey; leave out @gb"):
        PixelPlanes(parse_planes("threshold=9+nb8=1/5@gb"), (4, 3))
    gc.collect()  # its complaint of not being used, while that is ignored


@pytest.mark.parametrize("text", ["threshold=9", "hog=4/3/20", "haar=4/1+hog=4/6/9", PRESETS["fashion"]])
def test_a_pixel_a_cycle(text: str) -> None:
    design = PixelPlanes(parse_planes(text), (6, 7))
    images = some_images((6, 7), 3)
    taken = through(make_simulator(design, "amaranth"), images).taken.reshape(3, 6, 7)
    assert (np.diff(taken, axis=2) == 1).all()
    assert (np.diff(taken, axis=1) == 7 + design.flow.padding).all()
    assert (np.diff(taken, axis=0) == design.flow.cycles_per_image).all()
    assert design.flow.cycles_per_image == (6 + design.flow.padding_rows) * (7 + design.flow.padding)


@pytest.mark.parametrize("text", PRESETS.values())
def test_ten_thousand_images_a_second(text: str) -> None:
    assert 24e6 / PlaneFlow(parse_planes(text), (28, 28)).cycles_per_image >= 10_000


class Restarted(wiring.Component):  # type: ignore[misc]
    """A component with an input that resets it."""

    def __init__(self, inner: PixelPlanes) -> None:
        self.inner = inner
        super().__init__({**inner.signature.members, "restart": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = ResetInserter(self.restart)(self.inner)
        for name in self.inner.signature.members:
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(self.inner, name))
        return m


@pytest.mark.parametrize("text", ["threshold=9", "hog=4/3/2", "hog=8/6/1+mid=5/1", "haar=4/0+nb8=1/0"])
def test_nothing_remains_after_a_reset(text: str) -> None:
    shape = (5, 4)
    rule, images = parse_planes(text), some_images(shape, 4)
    simulator = make_simulator(Restarted(PixelPlanes(rule, shape)), "amaranth")
    wanted = rule.transform(images)
    for i, pixels in enumerate((20, 7, 13, 20)):
        beats = beats_of(images[i : i + 1])[:pixels]
        found = simulator.exchange(Exchange("pixels", "planes", beats, pixels, 0, patience=500)).results
        if pixels == 20:
            rest = simulator.exchange(Exchange("pixels", "planes", beats[:0], 0, 20 - len(found), patience=500)).results
            assert np.array_equal(np.concatenate([found, rest]), bits_at_pixels(wanted[i : i + 1]))
        simulator.set("restart", 1)
        simulator.tick()
        simulator.set("restart", 0)


def ensemble(rule: str, shape: tuple[int, int], **options: Any) -> tuple[PixelFrontend, EnsembleSpec]:
    """A frontend, and an ensemble of its bits."""
    frontend = PixelFrontend(parse_planes(rule), shape)
    image = Image(len(frontend.rule.planes(1)), *shape)
    defaults = {"tables": 6, "inputs": 3, "classes": 3, "counter": 4, "margin": 4, "seed": 2}
    return frontend, EnsembleSpec(input_bits=image.bits, image=image, **defaults | options)


# From one plane to more than a byte of them; tables that read every pixel several times, and few of them; one lane and
# several.
@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("threshold=90", {}),
        ("threshold=90+hog=4/2/9,30", {"tables": 1, "inputs": 2}),
        ("hog=4/3/5,20+threshold=40,90", {"tables": 60, "inputs": 3}),
        ("threshold=9,20,40", {"tables": 70, "inputs": 4, "wiring": "any"}),
    ],
)
@pytest.mark.parametrize("learns", [True, False])
def test_ensembles_behind_pixels(text: str, options: dict[str, Any], learns: bool) -> None:
    frontend, spec = ensemble(text, (3, 5), **options)
    images, rng = some_images((3, 5), 10), np.random.default_rng(5)
    software, labels = PlainEnsemble(spec), rng.integers(0, 3, 10)
    x = frontend.rule.transform(images).reshape(10, -1)
    if learns:
        core: Any = MemoryTrainer(spec, frontend=frontend)
        expected = software.learn(x, labels, np.arange(10)).predictions
    else:
        low, high = spec.counter_range
        software.counters = rng.integers(low, high + 1, spec.counters_shape).astype(np.int8)
        core, expected = MemoryInference(spec, software.counters, frontend), software.classify(x)
    simulator = make_simulator(core, "amaranth", registers={"tables": core.tables})
    beats = core.encoder(frontend.encode(images.reshape(10, -1)), core.interface.encode(labels))
    gaps, stalls = (rng.random(97) < 0.3 for _ in range(2))
    # The first ones with pauses, the others as fast as it goes.
    cut = 6 * core.example_octets
    found = [
        simulator.exchange(Exchange("examples", "results", beats[:cut], cut, 6, gaps=gaps, stalls=stalls)),
        simulator.exchange(Exchange("examples", "results", beats[cut:], len(beats) - cut, 4)),
    ]
    results = np.concatenate([part.results for part in found])
    assert np.array_equal(core.interface.decode(core.encoder.prediction(results)), expected)
    if learns:
        while simulator.get("busy"):
            simulator.tick()
        assert np.array_equal(core.registers[0].value(simulator.peek("tables")), software.counters)


def test_lanes_are_as_few_as_keep_the_rate() -> None:
    def lanes(tables: int, inputs: int) -> int:
        spec = ensemble("fashion", (6, 6), tables=tables, inputs=inputs)[1]
        return KeptBits.choose(make_wiring(spec), 54, 36).lanes

    assert [lanes(tables, 3) for tables in (1, 30, 500)] == [1, 1, 3]
    assert lanes(10, 6) == 1 < lanes(40, 6) < lanes(60, 6) == 6


@pytest.mark.parametrize(("text", "tables"), [("hog=4/3/20", 5), ("fashion", 40)])
def test_cycles_of_an_image(text: str, tables: int) -> None:
    frontend, spec = ensemble(text, (6, 7), tables=tables)
    core = MemoryTrainer(spec, frontend=frontend)
    beats = core.encoder(
        frontend.encode(some_images((6, 7), 5).reshape(5, -1)), np.zeros((5, 7), np.uint8), learn=False
    )
    found = make_simulator(core, "amaranth").exchange(Exchange("examples", "results", beats, len(beats), 5))
    assert (np.diff(found.given)[1:] == core.cycles(False)).all()  # the first waited until the tables were cleared
    assert core.cycles(False) == core.buffer.cycles


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_models_that_do_not_suit_the_images() -> None:
    frontend, spec = ensemble("hog=4/3/20", (6, 7))
    with pytest.raises(
        UsageError, match=r"4 planes of images of 7 x 6 are 168 bits|4 planes of images of 6 x 6 are 144"
    ):
        MemoryTrainer(spec, frontend=PixelFrontend(frontend.rule, (6, 6)))
    moved = replace(spec, shift=1)
    with pytest.raises(
        UsageError, match=r"planes are shifted.*without --augment shift, or leave --frontend pixels out"
    ):
        MemoryTrainer(moved, frontend=frontend)
    MemoryInference(moved, np.zeros(spec.counters_shape, np.int8), frontend)  # it need not learn
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["hog=8/8/12,50+threshold=32@rgb+range=5/30@g", "+".join(RULES[:4] + RULES[5:8])])
def test_larger_images(text: str) -> None:
    shape = (3, 13, 16) if "@" in text else (17, 12)
    rule, images = parse_planes(text), some_images(shape, 60)
    found = through(make_simulator(PixelPlanes(rule, shape), "cxxrtl"), images, seed=3)
    assert np.array_equal(found.results, bits_at_pixels(rule.transform(images)))


def real_images(rule: str, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Test images of MNIST, and their bits by the compiled rule, in the order of the stream."""
    features = np.asarray(load("mnist").test.features[start:stop])
    binariser = Binariser.fit(rule, features[:1], [Column("number")] * 784, None, (28, 28))
    bits = np.asarray(to_wires(binariser, features)).reshape(len(features), -1, 28, 28)
    return features.reshape(-1, 1, 28, 28).astype(np.uint8), bits_at_pixels(bits)


@pytest.fixture(scope="module")
def fashion() -> Simulator:
    return make_simulator(PixelPlanes(parse_planes("fashion"), (28, 28)), "cxxrtl")


@pytest.mark.slow
@pytest.mark.usefixtures("mnist_folder")
@pytest.mark.parametrize("start", range(0, 10_000, 2_000))
def test_real_images(start: int, fashion: Simulator) -> None:
    """A quarter of what bench/pixels.py compares."""
    images, wanted = real_images("fashion", start, start + 500)
    assert np.array_equal(through(fashion, images).results, wanted)


@pytest.mark.slow
@pytest.mark.usefixtures("mnist_folder")
@pytest.mark.parametrize("family", ["ice40", "ecp5"])
def test_the_netlist_on_real_images(family: str) -> None:
    text = "threshold=32+hog=4/3/20+mid=3/3"
    images, wanted = real_images(text, 0, 100)
    simulator = make_simulator(PixelPlanes(parse_planes(text), (28, 28)), "cxxrtl", netlist=family)
    assert np.array_equal(through(simulator, images, seed=1).results, wanted)
