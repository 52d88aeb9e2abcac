"""Flash images: round trip, every damage, what cannot be packed."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdahw.data import Column, Dataset, Examples, fit_binariser, load
from rdahw.data.images import Image
from rdahw.errors import UsageError, UserError
from rdahw.flash_image import (
    HEADER,
    HEADER_BYTES,
    MAGIC,
    FlashImage,
    Part,
    header_fields,
    make_image,
    read_flash_image,
    record_bytes,
)


def pictures(train: int = 20, test: int = 6, side: int = 3, classes: int = 4) -> Dataset:
    """Images of pixels 0 to 255, of side x side."""
    random = np.random.default_rng(1)

    def examples(n: int) -> Examples:
        features = random.integers(0, 256, (n, side * side)).astype(np.uint8)
        return Examples(features, np.arange(n, dtype=np.int64) % classes)

    return Dataset(
        name="pictures",
        train=examples(train),
        test=examples(test),
        label_names=tuple(f"class {c}" for c in range(classes)),
        feature_names=tuple(f"x{i}" for i in range(side * side)),
        columns=(Column("number"),) * (side * side),
        checksum="0123456789abcdef" * 4,
        image_shape=(side, side),
    )


def image(rule: str = "threshold=64,128", **options: Any) -> FlashImage:
    dataset = pictures()
    return make_image(dataset, fit_binariser(dataset, rule), **options)


def test_the_bytes_are_as_documented() -> None:
    made = image()
    content = made.to_bytes()
    x = fit_binariser(pictures(), "threshold=64,128").transform(pictures().train.features)
    assert (record_bytes(18), made.image) == (4, Image(2, 3, 3))
    assert HEADER_BYTES == 60
    values = struct.unpack_from("<8sHHIHHHHIIIIIIIQ", content)
    assert values[:8] == (MAGIC, 1, 4, 18, 4, 2, 3, 3)
    assert values[8:14] == (20, 80, 6, 24, 1, 4)
    assert values[15] == 0x0123456789ABCDEF
    assert struct.unpack_from("<I", content, 60)[0] == zlib.crc32(content[:60])
    seventh = content[64 + 7 * 4 :][:4]
    assert [seventh[i // 8] >> i % 8 & 1 for i in range(18)] == x[7].tolist()
    assert (seventh[2] >> 2, seventh[3]) == (0, 7 % 4)
    assert struct.unpack_from("<I", content, 64 + 80)[0] == zlib.crc32(content[64:144])
    assert struct.unpack_from("<I", content, 148 + 24)[0] == zlib.crc32(content[148:172])
    assert json.loads(content[176:-4])["label_names"] == ["class 0", "class 1", "class 2", "class 3"]


def test_the_fields_of_the_header_are_in_the_order_of_the_table() -> None:
    made = image(stride=3)
    content, at = made.to_bytes(), len(MAGIC)
    for field in HEADER:
        assert int.from_bytes(content[at : at + field.bytes], "little") == header_fields(made)[field.name], field.name
        at += field.bytes


@pytest.mark.parametrize("options", [{}, {"test": False}, {"train": False}, {"examples": 5}, {"stride": 7}])
def test_round_trip(options: dict[str, Any]) -> None:
    made = image(**options)
    read = FlashImage.from_bytes(made.to_bytes() + b"\xff" * 100)
    for name in ("image", "stride", "name", "rule", "label_names", "checksum", "input_bits", "classes"):
        assert getattr(read, name) == getattr(made, name)
    dataset, limit = pictures(), options.get("examples")
    parts = [part.take(slice(0, limit)) for part in (dataset.train, dataset.test) if part is not None]
    if options.get("train") is False:
        parts = parts[1:]
    bits = fit_binariser(dataset, "threshold=64,128").transform
    np.testing.assert_array_equal(read.train.x, bits(parts[0].features))
    np.testing.assert_array_equal(read.train.labels, parts[0].labels)
    assert len(read.test) == (len(parts[1]) if len(parts) > 1 and options.get("test") is not False else 0)
    if len(read.test):
        np.testing.assert_array_equal(read.test.x, bits(parts[1].features))


def test_the_order_of_a_stride() -> None:
    assert image(stride=7).order().tolist() == [i * 7 % 20 for i in range(20)]
    assert image().order().tolist() == list(range(20))


def test_data_that_are_no_images() -> None:
    iris = load("iris")
    read = FlashImage.from_bytes(make_image(iris, fit_binariser(iris)).to_bytes())
    assert (read.image, read.input_bits, read.classes, len(read.train), len(read.test)) == (None, 4, 3, 75, 75)


def test_every_damaged_bit_is_seen() -> None:
    content = image(examples=3).to_bytes()
    for at in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(UserError, match=r"is damaged: the CRC-32 of its|is not a flash image"):
            FlashImage.from_bytes(bytes(damaged))


def test_every_shorter_file_is_seen() -> None:
    content = image(examples=3).to_bytes()
    for length in range(len(content)):
        with pytest.raises(UserError, match="is cut short in its|is not a flash image"):
            FlashImage.from_bytes(content[:length])


def forge(**changes: int) -> bytes:
    """An image with other values in its header, and a CRC that holds."""
    made = image()
    values = {**header_fields(made), **changes}
    header = MAGIC + b"".join(values[field.name].to_bytes(field.bytes, "little") for field in HEADER)
    return header + zlib.crc32(header).to_bytes(4, "little") + made.to_bytes()[64:]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 2}, "has version 2 of the format, expected 1; pack the data set again"),
        ({"record_bytes": 5}, "'record_bytes' is not 4, for examples of 18 bits"),
        ({"input_bits": 0}, "'record_bytes' is not"),
        ({"classes": 1}, "'classes' is not 2 to 128"),
        ({"classes": 3}, "train records is not of classes 0 to 2"),
        ({"classes": 5}, "'label_names' is not 5 names"),
        ({"train_examples": 21}, "'train_bytes' is not 21 records of 4 bytes"),
        ({"test_bytes": 25}, "'test_bytes' is not 6 records of 4 bytes"),
        ({"stride": 2, "stride_bytes": 8}, "'stride' is not one that reaches each of 20 examples"),
        ({"stride_bytes": 8}, "'stride' is not one"),
        ({"planes": 1}, "image is not one of 18 bits"),
        ({"planes": 0}, "image is not one of 18 bits"),
        ({"input_bits": 17, "planes": 0, "height": 0, "width": 0}, "is not filled with zeros behind the last bit"),
        ({"data": 5}, "'checksum' is not that of the header"),
        ({"train_examples": 0, "train_bytes": 0}, "'stride' is not one that reaches each of 0"),
        ({"text_bytes": 1 << 31}, "is cut short in its text"),
    ],
)
def test_headers_that_contradict_themselves(changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        FlashImage.from_bytes(forge(**changes))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "text is not JSON"),
        (b"[" * 60_000, "text is not JSON"),
        (b"{}", "text is not an object with the keys name, rule, label_names, checksum"),
        (b'{"name":1,"rule":"","label_names":[],"checksum":""}', "'name' or 'rule' is not a text"),
        (b'{"name":"","rule":"","label_names":[],"checksum":"x"}', "'checksum' is not a SHA-256"),
        (b'{"name":"","rule":"","label_names":["a","a"],"checksum":"%s"}' % (b"0" * 64), "'label_names' is not a list"),
    ],
)
def test_texts_that_are_not_ours(text: bytes, sentence: str) -> None:
    head = forge(text_bytes=len(text))[: 64 + 84 + 28]
    with pytest.raises(UserError, match=sentence):
        FlashImage.from_bytes(head + text + zlib.crc32(text).to_bytes(4, "little"))


def test_what_does_not_fit() -> None:
    dataset = replace(pictures(), train=Examples(np.zeros((70_000, 2000), np.uint8), np.zeros(70_000, np.int64)))
    dataset = replace(
        dataset, columns=(Column("number"),) * 2000, feature_names=tuple(map(str, range(2000))), image_shape=None
    )
    with pytest.raises(UserError) as caught:
        make_image(dataset, fit_binariser(dataset, "threshold=64,128"), test=False)
    assert str(caught.value) == (
        "70,000 examples of 501 bytes each take 35,070,000 bytes, and a flash image holds 16,711,680; give "
        "--examples 33356"
    )
    dataset = replace(dataset, train=dataset.train.take(slice(0, 30_000)))
    with pytest.raises(UserError, match=r"; with 2 of the 3 planes of --binarise it would be 15,030,000 \(501 an exa"):
        make_image(dataset, fit_binariser(dataset, "threshold=1,2,3"), test=False)


def test_strides_and_parts_that_cannot_be() -> None:
    with pytest.raises(UsageError) as caught:
        image(stride=6)
    assert str(caught.value) == (
        "a stride of 6 does not reach each of 20 examples; give a number below without a common divisor with it, "
        "such as 13"
    )
    with pytest.raises(UsageError, match="a stride of 21 does not reach each of 20"):
        image(stride=21)
    dataset = replace(pictures(), test=None)
    with pytest.raises(UsageError, match="^the data set 'pictures' has no test part; ask for --part train$"):
        make_image(dataset, fit_binariser(dataset))
    many = replace(pictures(), label_names=tuple(map(str, range(129))))
    with pytest.raises(UserError, match="has 129 classes, and a flash image holds 128; keep fewer with --classes"):
        make_image(many, fit_binariser(many))


def test_files(tmp_path: Path) -> None:
    made = image()
    (tmp_path / "a.bin").write_bytes(made.to_bytes())
    np.testing.assert_array_equal(read_flash_image(tmp_path / "a.bin").train.records, made.train.records)
    with pytest.raises(UsageError, match=r"there is no flash image '.*none\.bin'; make one with rdahw pack"):
        read_flash_image(tmp_path / "none.bin")
    (tmp_path / "b.bin").write_bytes(b"bits")
    with pytest.raises(UserError, match=r"b\.bin' is not a flash image; make one with rdahw pack$"):
        read_flash_image(tmp_path / "b.bin")


def test_a_part_is_its_examples() -> None:
    x = np.random.default_rng(2).integers(0, 2, (9000, 13)).astype(np.uint8)
    part = Part.pack(x, np.arange(9000) % 100)
    np.testing.assert_array_equal(part.x, x)
    assert part.labels[:3].tolist() == [0, 1, 2]
    assert (len(part), part.records.shape) == (9000, (9000, 3))
