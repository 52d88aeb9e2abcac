"""Boards that take pixels: the designs behind the host link learn and predict with the bits of software."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Fragment
from link_helpers import SimulatedStream, simulate

from rdahw.bits import PackedBits
from rdahw.boards import board
from rdahw.boards.design import inference_design, trainer_design
from rdahw.boards.fit import check_trainer_fits, choose_predictor
from rdahw.boards.host import Device, DeviceEngine
from rdahw.boards.rates import rates_of
from rdahw.boards.report import DesignError
from rdahw.data.images import Image
from rdahw.data.planes import parse_planes
from rdahw.errors import UsageError, UserError
from rdahw.families import spec_of_widths
from rdahw.families.ensemble.spec import EnsembleSpec, make_wiring
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.memory_fit import frontend_needs, rom_needs, table_needs
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.pixel_buffer import KeptBits, expected_steps
from rdahw.hdl.trainer_factory import choose_trainer, make_trainer
from rdahw.sim.engines import make_engine
from rdahw.sim.packing import pack_wires
from rdahw.training import Batches, Examples


def model(rule: str, shape: tuple[int, int], **options: Any) -> tuple[PixelFrontend, EnsembleSpec]:
    frontend = PixelFrontend(parse_planes(rule), shape)
    image = Image(len(frontend.rule.planes(1)), *shape)
    defaults = {"tables": 6, "inputs": 3, "classes": 3, "counter": 4, "margin": 4, "seed": 2}
    return frontend, EnsembleSpec(input_bits=image.bits, image=image, **defaults | options)


def examples(frontend: PixelFrontend, count: int) -> Examples:
    """Random images, as bits that keep their pixels."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (count, frontend.octets)).astype(np.uint8)
    bits = frontend.rule.transform(pixels.reshape(count, 1, *frontend.image_shape)).reshape(count, -1)
    return Examples(PackedBits(pack_wires(bits), bits.shape[1], pixels), rng.integers(0, 3, count))


# Images that fit the usual packet, and larger ones.
@pytest.mark.parametrize(
    ("shape", "rule"),
    [((4, 5), "threshold=90+hog=4/3/9"), pytest.param((17, 16), "threshold=90", marks=pytest.mark.slow)],
)
def test_a_trainer_learns_over_the_link_as_in_software(shape: tuple[int, int], rule: str) -> None:
    frontend, spec = model(rule, shape)
    core = trainer_design(spec, board("ulx3s"), frontend=frontend).core()
    engine = "amaranth" if shape == (4, 5) else "cxxrtl"
    device = Device(SimulatedStream(simulate(core=core, engine=engine), 40_000), spec, frontends=[frontend])
    there, software = DeviceEngine(device, spec), make_engine(spec, "reference")
    data, rows = examples(frontend, 4), np.array([3, 0, 3])
    made = [engine.train(engine.prepare(data), Batches.single(rows)) for engine in (there, software)]
    assert made[0].wrong.tolist() == made[1].wrong.tolist()
    assert device.status().example_count == 3
    for field in spec.fields:
        assert np.array_equal(there.state[field.name], software.state[field.name])
    assert there.predict(data).tolist() == software.predict(software.prepare(data)).tolist()
    assert device.identify().payload == (224 if shape == (4, 5) else 480)


@pytest.mark.slow
def test_a_predictor_behind_the_pins_of_a_uart() -> None:
    frontend, spec = model("hog=4/3/9", (5, 4), sign=True)
    software, data = make_engine(spec, "reference"), examples(frontend, 5)
    software.train(software.prepare(data), Batches.single(np.arange(5)))
    design = inference_design(spec, software.state, board("ulx3s"), frontend=frontend)
    simulator = simulate(core=design.core(), divisor=8)
    there = DeviceEngine(Device(SimulatedStream(simulator, 40_000), spec, frontends=[frontend]), spec)
    assert there.predict(data).tolist() == software.predict(software.prepare(data)).tolist()
    assert design.tables == "block RAM"


def test_a_device_that_takes_pixels_needs_them() -> None:
    frontend, spec = model("threshold=90", (5, 4))
    stream = SimulatedStream(simulate(core=make_trainer(spec, frontend=frontend)), 40_000)
    with pytest.raises(UserError, match="is not a trainer of 'ensemble': its input bits: 160, the model's: 20"):
        DeviceEngine(Device(stream, spec), spec)
    other = PixelFrontend(parse_planes("threshold=91"), (5, 4))
    with pytest.raises(UserError, match="is not a trainer of 'ensemble'"):
        DeviceEngine(Device(stream, spec, frontends=[other]), spec)
    there = DeviceEngine(Device(stream, spec, frontends=[frontend]), spec)
    with pytest.raises(UsageError, match="takes the pixels of images, and only their bits were given"):
        there.predict(Examples(np.zeros((1, 20), np.uint8), np.zeros(1, np.int64)))


def test_rates_of_pixels() -> None:
    frontend, spec = model("fashion", (28, 28), tables=256, inputs=6, classes=10, counter=6, wiring="patch8")
    core = MemoryTrainer(spec, frontend=frontend)
    Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
    rates = rates_of(core, 24.0, 3_000_000)
    # The planes of an image take longer than a pass over the tables.
    assert rates["training_examples_per_second"]["core"] == 24_000_000 // core.buffer.cycles >= 10_000
    assert core.interface.layout.example_bytes == 785
    assert 300 < rates["training_examples_per_second"]["uart"] < 382


def test_what_the_frontend_needs_is_counted() -> None:
    frontend, spec = model("fashion", (28, 28), tables=256, inputs=6, classes=10, counter=6, wiring="patch8")
    its = board("icebreaker")
    # 7 for the lines of the planes, 9 for what is kept of them, and one that keeps it.
    assert frontend_needs(spec, its, frontend).ebr == 7 + 9 + 1
    # 5 for words put by, and 3 for the requests of the link: as the build of docs/planes.md has.
    assert table_needs(spec, its, frontend=frontend).ebr == 17 + 5 + 3
    assert table_needs(spec, its, frontend=frontend).logic_cells > frontend_needs(spec, its, frontend).logic_cells
    assert rom_needs(spec, board("ulx3s"), frontend).ebr > rom_needs(spec, board("ulx3s"), frontend=None).ebr - 48
    check_trainer_fits(spec, choose_trainer(spec, frontend=frontend), its, frontend=frontend)
    large = model("fashion", (28, 28), tables=512, inputs=6, classes=10, counter=6, wiring="patch8")[1]
    said = r"of these the frontend at least [\d,]+ logic cells and \d+ memory blocks \(EBR\); lower "
    with pytest.raises(DesignError, match=said):
        check_trainer_fits(large, choose_trainer(large, frontend=frontend), its, frontend=frontend)
    with pytest.raises(DesignError, match=said):
        choose_predictor(large, its, frontend)


@pytest.mark.parametrize(("tables", "inputs"), [(20, 2), (256, 6), (1024, 6), (600, 12)])
def test_steps_are_about_as_expected(tables: int, inputs: int) -> None:
    spec = model("threshold=9,90", (28, 28), tables=tables, inputs=inputs)[1]
    kept, (lanes, steps) = KeptBits.choose(make_wiring(spec), 2, 784), expected_steps(tables, inputs, 784)
    assert kept.lanes == lanes
    assert abs(kept.steps - steps) < 0.08 * steps


def test_images_that_fit_no_packet() -> None:
    frontend, spec = model("threshold=9", (256, 256))
    with pytest.raises(DesignError, match=r"images of 65,536 pixels do not fit .*at most 65,247 bytes; train on sm"):
        trainer_design(spec, board("ulx3s-85f"), frontend=frontend)


def test_models_without_such_gateware() -> None:
    frontend, spec = model("threshold=9", (6, 6))
    with pytest.raises(UsageError, match="--frontend is not supported for model 'lookup'; leave it out"):
        trainer_design(spec_of_widths("lookup", 4, 3), board("ulx3s"), frontend=frontend)
    with pytest.raises(UsageError, match="--frontend is not supported for model 'lookup'; leave it out"):
        choose_predictor(spec_of_widths("lookup", 4, 3), board("ulx3s"), frontend)
    with pytest.raises(UsageError, match="--flash and --frontend pixels were both given"):
        trainer_design(spec, board("icebreaker"), frontend=frontend, flash=True)
