"""The gateware's end of the host link: against its software twin, and behind the host's code with faults on the way."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
from link_helpers import (
    Crashed,
    FaultyStream,
    SimulatedStream,
    SoftwareDevice,
    SoftwareLearner,
    counter,
    long_learner,
    lookup_learner,
    simulate,
    wide_learner,
)

from rdahw import Learner, Model, lookup_model
from rdahw.boards.host import Device
from rdahw.errors import MissingError, UserError
from rdahw.families.circuits import CircuitSpec
from rdahw.fields import join
from rdahw.hdl.inference import FixedModel
from rdahw.hdl.protocol import (
    COMMANDS,
    CRC_BYTES,
    ERRORS,
    ESCAPE,
    FLAG,
    HEADER,
    HEADER_BYTES,
    MAX_PAYLOAD,
    Deframer,
    Layout,
    fingerprint,
    frame,
    tables,
)
from rdahw.hdl.serial_mask import SerialMaskTrainer
from rdahw.primitives import Array
from rdahw.sim.simulator import Exchange, Simulator, choose_engine

ROOT = Path(__file__).parents[2]


# -- the protocol ------------------------------------------------------------------------------------------------------


def packet(name: str, session: int, sequence: int, payload: bytes = b"") -> bytes:
    return join(HEADER, {"code": COMMANDS[name].code, "session": session, "sequence": sequence}) + payload


@pytest.mark.parametrize(
    ("data", "golden"),
    [
        (packet("open", 0x12345678, 0), "7e 01 78563412 00 e9b4cc06 7e"),
        (
            packet("train", 0x12345678, 1, bytes([0x03, 0x7E, 0x7D, 0xFF])),
            "7e 03 78563412 01 03 7d5e 7d5d ff 1a419404 7e",
        ),
        (packet("read", 0x7E, 0xFF, bytes([0, 0, 0, 0, 6])), "7e 05 7d5e000000 ff 00000000 06 7ca6f7ff 7e"),
    ],
)
def test_golden_frames(data: bytes, golden: str) -> None:
    assert frame(data) == bytes.fromhex(golden)


def test_the_crc_is_the_one_of_ethernet() -> None:
    # The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
    assert frame(b"123456789")[1:-1] == b"123456789" + bytes.fromhex("2639f4cb")
    assert zlib.crc32(b"123456789") == 0xCBF43926


def test_every_packet_survives_its_frame() -> None:
    random = Random(1)
    packets = [random.randbytes(HEADER_BYTES + n) for n in range(60)] + [bytes([FLAG, ESCAPE] * 40)]
    assert list(Deframer().feed(b"".join(map(frame, packets)))) == packets


def test_a_deframer_finds_the_next_frame_after_anything() -> None:
    good = packet("status", 5, 9)
    for rubbish in (b"\x00", frame(good)[:7], bytes([ESCAPE]), bytes([FLAG, ESCAPE]), frame(good)[1:]):
        assert list(Deframer().feed(rubbish + frame(good)))[-1] == good
    # A frame's own bytes without its first flag are no packet: the last flag begins one.
    assert list(Deframer().feed(frame(good)[1:])) == []


def test_a_deframer_gives_up_a_frame_that_is_too_long() -> None:
    good = packet("status", 5, 9)
    assert list(Deframer(limit=20).feed(bytes([FLAG]) + bytes(21) + frame(good))) == [None, good]
    assert list(Deframer(limit=20).feed(bytes([FLAG]) + bytes(20) + frame(good))) == [None, good]


@pytest.mark.parametrize("layout", [Layout(48, 4, 3), Layout(11, 14, 9), Layout(784, 784, 1), Layout(784, 784, 1, 16)])
def test_layouts_are_inverted(layout: Layout) -> None:
    rng = np.random.default_rng(3)
    x, y, last = (rng.integers(0, 2, (5, n), np.uint8) for n in (layout.input_bits, layout.output_bits, 1))
    data = layout.pack_examples(x, y, last[:, 0])
    assert data.shape == (5, layout.example_bytes)
    for given, back in zip((x, y, last[:, 0]), layout.unpack_examples(data.tobytes()), strict=True):
        np.testing.assert_array_equal(given, back)
    for given, back in zip(
        (y, last[:, 0]), layout.unpack_results(layout.pack_results(y, last[:, 0]).tobytes()), strict=True
    ):
        np.testing.assert_array_equal(given, back)


def test_examples_are_small() -> None:
    assert (Layout(48, 4, 3).example_bytes, Layout(48, 4, 3).result_bytes) == (1, 1)
    assert Layout(48, 4, 3).pack_examples(np.array([[1, 0, 0, 1]]), np.array([[0, 1, 1]]), np.array([1])).tolist() == [
        [0x9D]
    ]
    assert Layout(784, 784, 1).examples_per_packet == 2
    # In words x begins at a byte: 1 + 98 bytes in words of 16 bits.
    assert (Layout(784, 784, 1, 16).example_bytes, Layout(784, 784, 1, 16).words) == (99, 49)


def test_an_example_that_fits_no_packet() -> None:
    with pytest.raises(UserError, match="an example of 2000 inputs and 3 outputs takes 251 bytes; a packet holds 224"):
        Layout(8, 2000, 3)
    with pytest.raises(UserError, match="^invalid word width 12; expected a multiple of 8$"):
        Layout(8, 24, 3, 12)


def test_fingerprints_tell_learners_apart() -> None:
    same = Learner(Model("another name", lookup_model(4, 3)))
    assert fingerprint(lookup_learner()) == fingerprint(same) < 1 << 64
    assert fingerprint(lookup_learner()) != fingerprint(lookup_learner(3, 4))


def test_the_tables_in_the_documents() -> None:
    text = (ROOT / "docs" / "host-link.md").read_text()
    found = dict(re.findall(r"<!-- table (\w+) -->\n(.*?)\n<!-- end -->", text, flags=re.DOTALL))
    assert found == tables()


# -- the gateware against its twin -------------------------------------------------------------------------------------


def learners() -> dict[str, Learner]:
    return {"lookup": lookup_learner(), "wide": wide_learner(), "long": long_learner()}


def talk(simulator: Simulator, data: bytes, answer: int) -> bytes:
    """The bytes that come while ``data`` go in and ``answer`` bytes come out, and until the link is idle."""
    beats = np.unpackbits(np.frombuffer(data, np.uint8)[:, None], axis=1, bitorder="little")
    made = simulator.exchange(Exchange("received", "sent", beats, take=len(data), give=answer, patience=5_000))
    sent = np.packbits(made.results, axis=1, bitorder="little").tobytes()
    for _ in range(20_000):
        if not simulator.get("activity") and not simulator.get("sent__valid"):
            return sent
        made = simulator.exchange(Exchange("received", "sent", beats[:0], take=0, give=1, patience=5_000))
        sent += np.packbits(made.results, axis=1, bitorder="little").tobytes()
    raise AssertionError("the link never becomes idle")


class Requests:
    """Requests as no host would send them: all that the protocol allows, and much that it does not."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout, self.random = layout, Random(seed)
        self.session, self.sequence = 1, 0
        self.last = frame(packet("open", 1, 0))

    def payload(self, name: str) -> bytes:
        random, size = self.random, self.layout.parameter_bytes
        if name in ("train", "predict"):
            count = random.randrange(min(12, self.layout.examples_per_packet))
            return random.randbytes(count * self.layout.example_bytes + (random.random() < 0.1))
        start = random.choice([0, random.randrange(size), random.randrange(size + 3)])
        address = start.to_bytes(4, "little")
        if random.random() < 0.1:
            address = random.choice([random.randbytes(4), address[: random.randrange(4)], b"\0\1\0\0", b"\0\0\0\1"])
        count = random.randrange(max(0, size - start) + 2)
        if name == "read":
            return address + bytes([random.choice([min(count, 255), random.randrange(256)])]) * (random.random() > 0.1)
        if name == "write":
            return address + random.randbytes(min(count, MAX_PAYLOAD - 4))
        return random.randbytes(3) if random.random() < 0.1 else b""

    def next(self) -> bytes:
        """A frame, or what is left of one; every one ends so that the device looks for the next flag."""
        random = self.random
        kind = random.random()
        if kind < 0.1:
            return self.last
        name = random.choices(list(COMMANDS), [1, 2, 8, 4, 4, 4, 1])[0]
        session, sequence = self.session, (self.sequence + 1) % 256
        if name == "open" and random.random() < 0.8:
            session, sequence = random.randrange(1 << 32), random.choice([0, 255, 7])
        elif kind < 0.24:
            session = random.choice([session, session ^ 1 << random.randrange(32)])
            sequence = random.choice([self.sequence, random.randrange(256)])
        data = packet(name, session, sequence, self.payload(name))
        if kind > 0.95:
            data = bytes([random.randrange(256)]) + data[1:]
        framed = frame(data)
        if 0.24 < kind < 0.28:
            return bytes([FLAG]) + bytes(random.choices(range(FLAG), k=random.randrange(1, 14))) + bytes([FLAG])
        if 0.28 < kind < 0.3:
            return bytes([FLAG]) + bytes(HEADER_BYTES + MAX_PAYLOAD + CRC_BYTES + 1)  # too long: no flag behind it
        if 0.3 < kind < 0.35:
            at = random.randrange(1, len(framed) - 1)
            return framed[:at] + bytes([framed[at] ^ 1 << random.randrange(8)]) + framed[at + 1 :] + framed[-1:]
        self.last = framed
        return framed


def pair(name: str) -> tuple[Simulator, SoftwareDevice]:
    """Gateware and twin of one kind."""
    if name == "mask in words":
        trainer = SerialMaskTrainer(21, 3, word=8, access=True)
        return simulate(core=trainer), SoftwareDevice(trainer.learner, word=8)
    if name == "fixed model":
        learner = wide_learner()
        theta = np.array([1, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1], np.uint8)
        return simulate(core=FixedModel(learner, theta)), SoftwareDevice(learner, theta=theta)
    kind, _, batch = name.partition(" in ")
    learner = learners()[kind]
    return simulate(learner, batch=bool(batch)), SoftwareDevice(learner, batch=bool(batch))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lookup", 180),
        ("lookup in batches", 50),
        ("wide", 40),
        ("wide in batches", 40),
        ("long", 20),
        ("mask in words", 50),
        ("fixed model", 40),
    ],
)
def test_gateware_and_twin_answer_alike(name: str, count: int) -> None:
    simulator, twin = pair(name)
    requests, seen = Requests(twin.layout, seed=7), set()
    for number in range(count):
        data = requests.next()
        expected = twin.feed(data)
        assert talk(simulator, data, len(expected)) == expected, f"request {number}: {data.hex()}"
        for answer in Deframer().feed(expected):
            assert answer is not None
            seen.add(answer[0])
            if answer[0] & 0x7F == answer[0]:
                requests.session, requests.sequence = int.from_bytes(answer[1:5], "little"), answer[5]
    if name == "lookup":
        assert seen >= {command.code for command in COMMANDS.values()} | {error.code for error in ERRORS.values()}


def test_a_payload_of_the_full_length() -> None:
    learner = lookup_learner()
    simulator, twin = simulate(learner), SoftwareDevice(learner)
    requests = [
        packet("open", 1, 0),
        packet("train", 1, 1, Random(2).randbytes(MAX_PAYLOAD)),
        packet("train", 1, 2, Random(2).randbytes(MAX_PAYLOAD + 1)),  # one too many
        packet("status", 1, 2),
    ]
    for request in requests:
        # As the device gives up a frame that is too long before its end, its last flag would begin the next one.
        data = frame(request)[: -1 if len(request) > HEADER_BYTES + MAX_PAYLOAD else None]
        expected = twin.feed(data)
        assert talk(simulator, data, len(expected)) == expected
    assert twin.state.example_count == MAX_PAYLOAD


@pytest.mark.slow
def test_reading_more_than_a_payload() -> None:
    learner = long_learner()
    simulator, twin = simulate(learner), SoftwareDevice(learner)
    requests = [packet("open", 1, 0)] + [
        packet("read", 1, 1, start.to_bytes(4, "little") + bytes([count]))
        for start, count in [
            (0, 225),
            (0, 255),
            (32, 225),
            (200, 57),
            (255, 2),
            (256, 1),
            (256, 0),
            (257, 0),
            (32, 224),
        ]
    ]
    codes = []
    for request in requests:
        expected = twin.feed(frame(request))
        assert talk(simulator, frame(request), len(expected)) == expected
        codes.append(expected[1])
    assert codes[1:3] == [ERRORS["wrong_length"].code] * 2
    assert codes[3:7] == [ERRORS["wrong_address"].code] * 4


# -- the gateware behind the host's code -------------------------------------------------------------------------------


def examples(learner: Learner, count: int, *, batch: bool, seed: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (count, learner.model.input_bits), np.uint8)
    y = rng.integers(0, 2, (count, learner.model.output_bits), np.uint8)
    last = (rng.random(count) < 0.5).astype(np.uint8) if batch else np.ones(count, np.uint8)
    last[-1:] = 1
    return x, y, last


def train_through_crashes(
    stream: FaultyStream, learner: Learner, data: tuple[Array, Array, Array], chunk: int
) -> tuple[Array, int]:
    """The parameters after training on all of ``data``, and how often a new host took over."""
    draw, hosts, done = counter(), 0, 0

    def host() -> Device:
        nonlocal hosts
        hosts += 1
        return Device(stream, CircuitSpec.of(learner), draw=draw, timeout=0.05)

    device = host()
    while True:
        try:
            # All that a new host knows is what the device tells it.
            done = device.found.example_count
            while done < len(data[0]):
                device.train(*(part[done : done + chunk] for part in data))
                done += chunk
            status = device.status()
            assert (status.batch_open, status.example_count) == (False, len(data[0]))
            return device.read_parameters(), hosts
        except Crashed:
            device = host()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "batch", "stages"), [("lookup", True, 1), ("lookup", False, 2), ("wide", True, 2)])
def test_each_example_counts_once_under_faults(name: str, batch: bool, stages: int) -> None:
    learner = learners()[name]
    data = examples(learner, 120, batch=batch, seed=5)
    stream = FaultyStream(
        SimulatedStream(simulate(learner, batch=batch, stages=stages), 2_000), seed=6, rate=0.15, crashes=0.1
    )
    parameters, hosts = train_through_crashes(stream, learner, data, chunk=2)
    software = SoftwareLearner(learner, batch=batch)
    software.train(*data)
    np.testing.assert_array_equal(parameters, software.theta)
    assert hosts > 2
    assert sum(stream.faults.values()) > stream.packets // 10


@pytest.mark.slow
def test_results_and_parameters_come_back() -> None:
    learner = wide_learner()
    x, y, last = examples(learner, 200, batch=True, seed=7)
    software = SoftwareLearner(learner, batch=True)
    device = Device(SimulatedStream(simulate(learner, batch=True)), CircuitSpec.of(learner), draw=counter())
    np.testing.assert_array_equal(device.train(x, y, last), software.train(x, y, last))
    np.testing.assert_array_equal(device.read_parameters(), software.theta)
    np.testing.assert_array_equal(
        device.predict(x), [software.step(*e, 1, learn=False)[0] for e in zip(x, y, strict=True)]
    )
    assert device.status().example_count == 200
    assert device.status().error_count == software.error_count
    device.write_parameters(1 - software.theta)
    np.testing.assert_array_equal(device.read_parameters(), 1 - software.theta)
    device.clear()
    assert not device.read_parameters().any()
    assert device.status().example_count == 0
    assert device.repeats == 0


@pytest.mark.slow
def test_through_the_pins_of_a_uart() -> None:
    learner = lookup_learner()
    x, y, last = examples(learner, 12, batch=False, seed=8)
    stream = SimulatedStream(simulate(learner, divisor=8), cycles_a_second=4_000)
    device = Device(stream, CircuitSpec.of(learner), draw=counter())
    software = SoftwareLearner(learner, batch=False)
    np.testing.assert_array_equal(device.train(x, y, last), software.train(x, y, last))
    np.testing.assert_array_equal(device.read_parameters(), software.theta)
    assert device.repeats == 0


@pytest.mark.slow
def test_thousands_of_examples_through_the_pins() -> None:
    """Every tenth packet damaged, either way, and hosts that stop: the weights are the software's."""
    try:
        engine = choose_engine("cxxrtl")
    except MissingError as error:
        pytest.skip(str(error))
    learner = lookup_learner()
    data = examples(learner, 3_000, batch=True, seed=9)
    simulator = simulate(learner, batch=True, divisor=8, engine=engine)
    stream = FaultyStream(SimulatedStream(simulator, cycles_a_second=100_000), seed=10, rate=0.1, crashes=0.03)
    parameters, hosts = train_through_crashes(stream, learner, data, chunk=10)
    software = SoftwareLearner(learner, batch=True)
    software.train(*data)
    np.testing.assert_array_equal(parameters, software.theta)
    assert hosts > 5
    assert sum(stream.faults.values()) > stream.packets // 10
