"""A data set as one file for a board's flash.

The file, described in ``docs/flash-image.md``, is four sections, each followed by its CRC-32 (that of zlib, little-
endian): the header, the training records, the test records, and a JSON text with the meaning of the bits and classes. A
*record* is an example: its input bits, wire 0 in bit 0 of the first byte, padded with zeros to whole bytes, then the
class number in one byte, whose bit 7 is 0. Whole numbers are little-endian.

Gateware reads the header and the records as a stream. A section's length tells where its CRC is, and the CRC-32 over a
section and its own CRC is a constant.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data import LABELS, Binariser, Dataset
from rdahw.data._json import damaged, members, texts
from rdahw.data.images import Image, find_image
from rdahw.errors import UsageError, UserError
from rdahw.fields import Field, join, size, split
from rdahw.primitives import Array
from rdahw.training import Schedule

__all__ = [
    "CRC_BYTES",
    "HEADER",
    "HEADER_BYTES",
    "MAGIC",
    "MAX_CLASSES",
    "VERSION",
    "FlashImage",
    "Part",
    "header_fields",
    "make_image",
    "read_flash_image",
    "record_bytes",
]

MAGIC = b"RDAHWSET"
VERSION = 1
CRC_BYTES = 4

#: The most classes: bit 7 of a record's last byte is reserved.
MAX_CLASSES = 128
#: The longest image: the range of 24 address bits.
MAX_BYTES = 1 << 24
#: The most bytes of records in an image: the rest is for header and text.
MAX_RECORDS = MAX_BYTES - (1 << 16)

#: The header between :data:`MAGIC` and its CRC. The fields up to ``width`` must match the gateware.
HEADER = (
    Field("version", 2, "the version of the format, 1"),
    Field("record_bytes", 2, "R, the bytes of a record: input bits / 8, rounded up, and 1"),
    Field("input_bits", 4, "the bits of an example"),
    Field("classes", 2, "how many classes there are, 2 to 128"),
    Field("planes", 2, "of an image: bit = (plane * height + row) * width + column; else 0"),
    Field("height", 2, "rows of an image, else 0"),
    Field("width", 2, "columns of an image, else 0"),
    Field("train_examples", 4, "N, how many training records there are"),
    Field("train_bytes", 4, "N * R"),
    Field("test_examples", 4, "M, how many test records there are"),
    Field("test_bytes", 4, "M * R"),
    Field("stride", 4, "K: training takes record (i * K) mod N as its example number i"),
    Field("stride_bytes", 4, "K * R"),
    Field("text_bytes", 4, "the bytes of the JSON text"),
    Field("data", 8, "the first bytes of the SHA-256 of the files that the data set was read from"),
)
#: The bytes of the header, without its CRC.
HEADER_BYTES = len(MAGIC) + size(HEADER)


def record_bytes(input_bits: int) -> int:
    """The bytes of a record with this number of input bits."""
    return -(-input_bits // 8) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Examples in packed form: ``records`` (N, R), uint8."""

    records: NDArray[np.uint8]
    input_bits: int

    def __len__(self) -> int:
        return len(self.records)

    @property
    def x(self) -> Array:
        """The examples (N, input_bits), 0 and 1."""
        return np.unpackbits(self.records[:, :-1], axis=1, count=self.input_bits, bitorder="little")

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class numbers (N,)."""
        return self.records[:, -1].astype(np.int64)

    @classmethod
    def pack(cls, x: Array, labels: NDArray[np.int64]) -> Part:
        """Pack examples (N, A), 0 and 1, and class numbers (N,)."""
        records = np.empty((len(x), record_bytes(x.shape[1])), np.uint8)
        for start in range(0, len(x), 4096):
            rows = slice(start, start + 4096)
            records[rows, :-1] = np.packbits(x[rows], axis=1, bitorder="little")
        records[:, -1] = labels
        return cls(records, x.shape[1])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FlashImage:
    """A data set in packed form.

    train, test: the examples; test may be empty. image: the shape of images, or None. stride: K, see :meth:`order`.
    name, rule, label_names: the data set's name, binarising rule, and classes by number. checksum: of the data set,
    SHA-256 in hexadecimal.
    """

    train: Part
    test: Part
    image: Image | None
    stride: int
    name: str
    rule: str
    label_names: tuple[str, ...]
    checksum: str

    @property
    def input_bits(self) -> int:
        return self.train.input_bits

    @property
    def classes(self) -> int:
        return len(self.label_names)

    def order(self) -> NDArray[np.int64]:
        """The numbers of the training records in the order of every epoch, (N,): (i * K) mod N."""
        return Schedule(stride=self.stride).order(0, len(self.train))

    def to_bytes(self) -> bytes:
        """The file's content; :meth:`from_bytes` is the inverse."""
        text = self._text()
        header = MAGIC + join(HEADER, header_fields(self))
        sections = (header, self.train.records.tobytes(), self.test.records.tobytes(), text)
        return b"".join(part for section in sections for part in (section, _crc(section)))

    def _text(self) -> bytes:
        said = {"name": self.name, "rule": self.rule, "label_names": list(self.label_names), "checksum": self.checksum}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes, what: str = "the flash image") -> FlashImage:
        """Read :meth:`to_bytes` back; bytes after the image, such as the rest of a flash, are ignored.

        ``what`` names it in messages. Raises :class:`UserError` unless every section matches its CRC and the header.
        """
        if content[: len(MAGIC)] != MAGIC:
            raise UserError(f"{what} is not a flash image; make one with rdahw pack")
        header, rest = _section(content, HEADER_BYTES, what, "header")
        values = split(HEADER, header[len(MAGIC) :])
        if values["version"] != VERSION:
            raise UserError(
                f"{what} has version {values['version']} of the format, expected {VERSION}; pack the data set again"
            )
        image = _check_header(values, what)
        parts = []
        for kind in ("train", "test"):
            section, rest = _section(rest, values[f"{kind}_bytes"], what, f"{kind} records")
            parts.append(_part(section, values, f"{what}'s {kind} records"))
        text, _ = _section(rest, values["text_bytes"], what, "text")
        name, rule, names, checksum = _read_text(text, what)
        if len(names) != values["classes"]:
            raise damaged(f"{what}'s 'label_names'", f"{values['classes']} names")
        if checksum[:16] != values["data"].to_bytes(8, "big").hex():
            raise damaged(f"{what}'s 'checksum'", "that of the header")
        return cls(
            train=parts[0],
            test=parts[1],
            image=image,
            stride=values["stride"],
            name=name,
            rule=rule,
            label_names=names,
            checksum=checksum,
        )


def header_fields(image: FlashImage) -> dict[str, int]:
    """The values of :data:`HEADER`."""
    each = record_bytes(image.input_bits)
    planes, height, width = image.image or (0, 0, 0)
    return {
        "version": VERSION,
        "record_bytes": each,
        "input_bits": image.input_bits,
        "classes": image.classes,
        "planes": planes,
        "height": height,
        "width": width,
        "train_examples": len(image.train),
        "train_bytes": len(image.train) * each,
        "test_examples": len(image.test),
        "test_bytes": len(image.test) * each,
        "stride": image.stride,
        "stride_bytes": image.stride * each,
        "text_bytes": len(image._text()),
        "data": int(image.checksum[:16], 16),
    }


def make_image(
    dataset: Dataset,
    binariser: Binariser,
    *,
    train: bool = True,
    test: bool = True,
    examples: int | None = None,
    stride: int = 1,
) -> FlashImage:
    """Pack a data set.

    train, test: whether to pack these parts; without ``train`` the test examples are the training records. examples:
    the most examples of each part, which are its first ones. stride: K, coprime to the number of examples; 1 is the
    order of the data set.

    Raises :class:`UsageError` for an invalid stride or a missing part, :class:`UserError` for data that are too large.
    """
    if test and dataset.test is None:
        raise UsageError(f"the data set {dataset.name!r} has no test part; ask for --part train")
    if not LABELS[dataset.task].are_classes:
        raise UserError(
            f"the data set {dataset.name!r} is for the task {dataset.task}, and a flash image holds classes; pack data "
            "of classes"
        )
    if len(dataset.label_names) > MAX_CLASSES:
        raise UserError(
            f"the data set {dataset.name!r} has {len(dataset.label_names)} classes, and a flash image holds "
            f"{MAX_CLASSES}; keep fewer with --classes"
        )
    chosen = [
        part.take(slice(0, examples))
        for part, wanted in ((dataset.train, train), (dataset.test, test))
        if wanted and part is not None
    ]
    each = _check_size(binariser, [len(part) for part in chosen])
    parts = [Part.pack(binariser.transform(part.features), part.labels) for part in chosen]
    n = len(parts[0])
    if not _reaches_all(stride, n):
        raise UsageError(
            f"a stride of {stride} does not reach each of {n:,} examples; give a number below without a common divisor "
            f"with it, such as {_some_stride(n)}"
        )
    return FlashImage(
        train=parts[0],
        test=parts[1] if len(parts) > 1 else Part(np.empty((0, each), np.uint8), binariser.width),
        image=find_image(dataset.columns, dataset.image_shape, binariser.width),
        stride=stride,
        name=dataset.name,
        rule=binariser.rule,
        label_names=dataset.label_names,
        checksum=dataset.checksum,
    )


def read_flash_image(path: Path) -> FlashImage:
    """The flash image in a file. Raises :class:`UsageError` if there is no such file, and as
    :meth:`FlashImage.from_bytes`."""
    what = repr(str(path))
    try:
        if not path.is_file():
            raise UsageError(f"there is no flash image {what}; make one with rdahw pack --out {what}")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{what} cannot be read ({reason.lower()}); check its name and permissions") from error
    return FlashImage.from_bytes(content, what)


def _check_size(binariser: Binariser, counts: Sequence[int]) -> int:
    """The bytes of a record; raises :class:`UserError`, with a size that would fit, if the records are too large."""
    each, number = record_bytes(binariser.width), binariser.plane_width
    total = sum(counts)
    if each < 1 << 16 and total * each <= MAX_RECORDS:
        return each
    room = MAX_RECORDS // each
    # The most examples of each of one or two parts, of which the smaller one may fit completely.
    way_out = f"give --examples {max(room // len(counts), room - min(counts) if len(counts) > 1 else room)}"
    for planes in range(binariser.planes - 1, 0, -1):
        fewer = record_bytes(binariser.width - (binariser.planes - planes) * number)
        if number and fewer < 1 << 16 and fewer * total <= MAX_RECORDS:
            way_out = (
                f"with {planes} of the {binariser.planes} planes of --binarise it would be {fewer * total:,} "
                f"({fewer} an example), or " + way_out
            )
            break
    raise UserError(
        f"{total:,} examples of {each:,} bytes each take {total * each:,} bytes, and a flash image holds "
        f"{MAX_RECORDS:,}; {way_out}"
    )


def _reaches_all(stride: int, n: int) -> bool:
    return 1 <= stride <= max(1, n - 1) and math.gcd(stride, n) == 1


def _some_stride(n: int) -> int:
    """A stride near the golden section of n, which spreads neighbours far apart."""
    start = max(1, round(n * 0.6180339887))
    return next((k for k in range(start, n) if math.gcd(k, n) == 1), 1)


# -- reading -----------------------------------------------------------------------------------------------------------


def _crc(section: bytes | memoryview) -> bytes:
    return zlib.crc32(section).to_bytes(CRC_BYTES, "little")


def _section(content: bytes, length: int, what: str, name: str) -> tuple[bytes, bytes]:
    """The section at the start of ``content``, and the rest after its CRC."""
    section, crc = content[:length], content[length : length + CRC_BYTES]
    if len(crc) < CRC_BYTES:
        raise UserError(f"{what} is cut short in its {name}; pack the data set again, or copy the file again")
    if crc != _crc(section):
        raise UserError(
            f"{what} is damaged: the CRC-32 of its {name} is {zlib.crc32(section):08x}, expected "
            f"{int.from_bytes(crc, 'little'):08x}; pack the data set again, or copy the file again"
        )
    return section, content[length + CRC_BYTES :]


def _check_header(values: dict[str, int], what: str) -> Image | None:
    each, bits = values["record_bytes"], values["input_bits"]
    if not bits or each != record_bytes(bits):
        raise damaged(f"{what}'s 'record_bytes'", f"{record_bytes(bits)}, for examples of {bits} bits")
    if not 2 <= values["classes"] <= MAX_CLASSES:
        raise damaged(f"{what}'s 'classes'", f"2 to {MAX_CLASSES}")
    for kind in ("train", "test"):
        if values[f"{kind}_bytes"] != values[f"{kind}_examples"] * each:
            raise damaged(f"{what}'s '{kind}_bytes'", f"{values[f'{kind}_examples']} records of {each} bytes")
    n, stride = values["train_examples"], values["stride"]
    if not (n and _reaches_all(stride, n) and values["stride_bytes"] == stride * each):
        raise damaged(f"{what}'s 'stride'", f"one that reaches each of {n} examples")
    shape = Image(values["planes"], values["height"], values["width"])
    if shape == (0, 0, 0):
        return None
    if min(shape) < 1 or shape.bits != bits:
        raise damaged(f"{what}'s image", f"one of {bits} bits")
    return shape


def _part(section: bytes, values: dict[str, int], what: str) -> Part:
    records = np.frombuffer(section, np.uint8).reshape(-1, values["record_bytes"])
    if len(records) and records[:, -1].max() >= values["classes"]:
        raise damaged(what, f"of classes 0 to {values['classes'] - 1}")
    if len(records) and values["input_bits"] % 8 and (records[:, -2] >> values["input_bits"] % 8).any():
        raise damaged(what, "filled with zeros behind the last bit")
    return Part(records, values["input_bits"])


def _read_text(text: bytes, what: str) -> tuple[str, str, tuple[str, ...], str]:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged(f"{what}'s text", "JSON") from None
    name, rule, names, checksum = members(value, f"{what}'s text", ("name", "rule", "label_names", "checksum"))
    if not (isinstance(name, str) and isinstance(rule, str)):
        raise damaged(f"{what}'s 'name' or 'rule'", "a text")
    if not (isinstance(checksum, str) and len(checksum) == 64 and set(checksum) <= set("0123456789abcdef")):
        raise damaged(f"{what}'s 'checksum'", "a SHA-256 in hexadecimal")
    return name, rule, texts(names, f"{what}'s 'label_names'"), checksum
