"""The parts of a flash trainer that handle the bytes of an image, each by itself."""

from __future__ import annotations

import zlib
from random import Random

import pytest
from flash_training import small_image

from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.flash_image import CRC_BYTES, HEADER_BYTES, header_fields
from rdahw.hdl.flash_records import FROM_HEADER, CheckedOctets, HeaderFields, RecordPlaces
from rdahw.hdl.flash_trainer import expected_header
from rdahw.sim.simulator import Simulator, make_simulator

SPEC = EnsembleSpec(input_bits=12, classes=3, tables=8, inputs=3, counter=4, margin=6, seed=3)


def checked() -> Simulator:
    return make_simulator(CheckedOctets(), "amaranth")


def pass_through(octets: Simulator, given: bytes, random: Random) -> bytes:
    """What is taken of the bytes, which come and are due at random."""
    taken, left = bytearray(), list(given)
    while len(taken) < len(given):
        octets.set("due", random.random() < 0.5)
        if left and random.random() < 0.7:
            octets.set("octets__valid", 1)
        octets.set("octets__payload", left[0] if left else 0)
        if octets.get("octets__valid") and octets.get("octets__ready"):
            left.pop(0)
            octets.tick()
            octets.set("octets__valid", 0)
        else:
            octets.tick()
        if octets.get("take"):
            taken.append(octets.get("octet"))
    octets.set("due", 0)
    octets.tick(3)
    return bytes(taken)


@pytest.mark.parametrize("damage", [None, 0, 7, 23])
def test_the_checksum_holds_of_whole_bytes_alone(damage: int | None) -> None:
    octets, random = checked(), Random(1)
    for _ in range(2):
        data = bytes(random.randrange(256) for _ in range(20))
        given = bytearray(data + zlib.crc32(data).to_bytes(CRC_BYTES, "little"))
        if damage is not None:
            given[damage] ^= 0x20
        octets.set("fresh", 1)
        octets.tick()
        octets.set("fresh", 0)
        assert pass_through(octets, bytes(given), random) == given
        assert octets.get("sound") == (damage is None)


def test_a_byte_that_is_forgotten_is_never_taken() -> None:
    octets = checked()
    octets.set("octets__valid", 1)
    octets.set("octets__payload", 0xAA)
    octets.tick()
    octets.set("octets__valid", 0)
    assert octets.get("full") == 1
    octets.set("forget", 1)
    octets.tick()
    octets.set("forget", 0)
    octets.set("due", 1)
    for _ in range(5):
        octets.tick()
        assert (octets.get("full"), octets.get("take")) == (0, 0)


def read_header(content: bytes) -> Simulator:
    header = make_simulator(HeaderFields(expected_header(SPEC), 7), "amaranth")
    header.set("begin", 1)
    header.tick()
    header.set("begin", 0)
    for number, octet in enumerate(content[:HEADER_BYTES]):
        header.set("number", number)
        header.set("octet", octet)
        header.tick(2)
        header.set("taken", 1)
        header.tick()
        header.set("taken", 0)
        header.set("number", number + 1)
        header.tick()
    return header


def test_the_fields_are_those_of_the_header() -> None:
    image = small_image(SPEC, 300, 70, stride=7)
    header = read_header(image.to_bytes())
    fields = header_fields(image)
    assert {name: header.get(name) for name in FROM_HEADER} == {name: fields[name] for name in FROM_HEADER}
    assert header.get("foreign") == 0


@pytest.mark.parametrize("at", range(len(expected_header(SPEC))))
def test_each_byte_that_is_expected_matters(at: int) -> None:
    content = bytearray(small_image(SPEC, 3, 1).to_bytes())
    content[at] ^= 1
    assert read_header(bytes(content)).get("foreign") == 1


@pytest.mark.parametrize("stride", [1, 3, 7, 11])
def test_places_go_round_by_the_stride(stride: int) -> None:
    base, each, count = 0x1000, 3, 12
    places = make_simulator(RecordPlaces(base), "amaranth")
    places.set("train_bytes", each * count)
    places.set("stride_bytes", each * (stride % count))
    places.set("rewind", 1)
    places.tick()
    places.set("rewind", 0)
    place = 0
    for _ in range(2 * count):
        place = (place + stride) % count
        places.set("step", 1)
        places.tick()
        places.set("step", 0)
        for _ in range(4):
            assert places.get("found") == 0
            places.tick()
        assert (places.get("found"), places.get("first")) == (1, place == 0)
        assert places.get("address") == base + HEADER_BYTES + CRC_BYTES + each * place
        places.tick()


def test_a_step_that_is_cancelled_finds_nothing() -> None:
    places = make_simulator(RecordPlaces(0), "amaranth")
    places.set("step", 1)
    places.tick()
    places.set("step", 0)
    places.set("cancel", 1)
    places.tick()
    places.set("cancel", 0)
    for _ in range(6):
        assert places.get("found") == 0
        places.tick()
