"""Images in the files that people have: a folder, ZIP or TAR of PNG, JPEG and other pictures, read by Pillow.

The pictures of class C lie in a folder of that name: ``train/C/…`` and ``test/C/…``, or ``C/…`` without a test part. An
archive is read member by member and never unpacked to the disk. The classes are numbered in the order of their names;
the examples are the first picture of each class, in the order of file names, then the second of each, and so on, so
that held-out examples, the last ones, are of all classes. The checksum is that of names and contents, the same in every
container.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from rdahw.data._dataset import Column, Dataset, Examples, Schema
from rdahw.data._files import unreadable
from rdahw.data._image_sources import MOST_BYTES, SUFFIXES, members
from rdahw.errors import UsageError, UserError, nearest

__all__ = ["image_dataset", "image_examples"]

Progress = Callable[[int, int], object]

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
#: The names of the folders of the parts; the first of the last ones that is there is the test part.
_TRAIN, _TEST = "train", ("test", "val", "valid", "validation")
#: What a stranger's archive may hold at most: pictures, pixels of one, and bytes of all pixels.
_MOST_FILES, _MOST_PIXELS, _MOST_IN_ALL = 1 << 21, 1 << 26, 1 << 32
#: What Pillow raises for content that is damaged.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, struct.error, zlib.error)


@dataclass(slots=True, eq=False)
class _Picture:
    """The folders that it lies in, from the outermost, its file name, its pixels (height, width) or (height, width, 3),
    and the SHA-256 of its file."""

    folders: tuple[str, ...]
    file: str
    pixels: NDArray[np.uint8]
    sha256: bytes

    @property
    def name(self) -> str:
        return "/".join((*self.folders, self.file))


def image_dataset(path: Path, resize: tuple[int, int] | None = None, progress: Progress | None = None) -> Dataset:
    """The data set in a folder or archive; each picture is resized to ``resize``, (height, width), if that is given.

    ``progress`` is called with (bytes read, bytes in all). Raises UsageError if there is no such folder or file,
    UserError for anything else than pictures of one size in class folders.
    """
    pictures = _read(path, resize, progress)
    parts = _parts(path, pictures)
    train, test = parts.get(_TRAIN, []), next((parts[name] for name in _TEST if name in parts), None)
    is_colour = any(picture.pixels.ndim == 3 for picture in pictures)
    names = tuple(sorted({picture.folders[0] for picture in train}))
    if len(names) < 2:
        raise UserError(
            f"{path} has pictures of {len(names)} classes; expected a folder for each of two or more, such as "
            "train/cat/1.png and train/dog/1.png"
        )
    shape = _shape(path, pictures, is_colour)
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.name.encode() + b"\0" + picture.sha256)
    features = int(np.prod(shape))
    name = Path(os.path.abspath(path)).name  # the folder may be given as «.»
    return Dataset(
        name=name.partition(".")[0] or name,
        train=_examples(path, _in_turn(train), names, shape),
        test=None if test is None else _examples(path, _in_turn(test), names, shape),
        label_names=names,
        feature_names=tuple(f"pixel{i}" for i in range(features)),
        columns=(Column("number"),) * features,
        checksum=digest.hexdigest(),
        image_shape=shape,
    )


def image_examples(
    path: Path, schema: Schema, resize: bool, progress: Progress | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Pictures for a model with this schema, (N, F), and their class numbers (N,) where they lie in folders of classes:
    the test part if there is one. With ``resize`` they may be of any size.

    Raises as :func:`image_dataset`, and UserError for a class or a size that the model does not have.
    """
    shape = schema.image_shape
    if shape is None or {column.kind for column in schema.columns} != {"number"}:
        raise UserError(f"{path} holds pictures, and the model was not trained on images; give a file of its features")
    height, width = shape[-2:]
    pictures = _read(path, (height, width) if resize else None, progress)
    if found := [picture for picture in pictures if picture.pixels.shape[:2] != (height, width)]:
        tall, wide = found[0].pixels.shape[:2]
        raise UserError(
            f"{found[0].name} in {path} is {tall} x {wide} pixels, expected {height} x {width} as in training; a model "
            f"trained with --resize {height}x{width} takes pictures of any size"
        )
    folders = {picture.folders for picture in pictures}
    if folders == {()} or (len(folders) == 1 and not set(*folders) & {*schema.label_names, _TRAIN, *_TEST}):
        return np.stack([_flat(picture.pixels, shape) for picture in pictures]), None
    parts = _parts(path, pictures)
    part = next((parts[name] for name in (*_TEST, _TRAIN) if name in parts), [])
    examples = _examples(path, _in_turn(part), schema.label_names, shape)
    return examples.features, examples.labels


# -- files -------------------------------------------------------------------------------------------------------------


def _read(path: Path, resize: tuple[int, int] | None, progress: Progress | None) -> list[_Picture]:
    """All pictures, by name, without the folders that all of them lie in but for the last, which may be that of a
    class."""
    found: list[_Picture] = []
    size, report = 0, progress or (lambda done, total: None)
    try:
        for name, content, done, total in members(path):
            parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", ".")]
            if ".." in parts:
                raise UserError(f"{path} has the member {name!r}, which lies outside of it; give an archive without")
            if len(content) > MOST_BYTES:
                raise UserError(f"{name} in {path} is larger than {MOST_BYTES >> 20} MB; give smaller pictures")
            pixels = _decode(path, name, content, resize)
            size += pixels.size
            if size > _MOST_IN_ALL or len(found) == _MOST_FILES:
                raise UserError(
                    f"{path} holds more than {_MOST_FILES:,} pictures or {_MOST_IN_ALL >> 30} GiB of pixels; give "
                    "fewer, or make them smaller with --resize HxW"
                )
            found.append(_Picture(tuple(parts[:-1]), parts[-1], pixels, hashlib.sha256(content).digest()))
            report(done, total)
    except FileNotFoundError:
        raise UsageError(f"there is no file or folder {str(path)!r}; give the path of pictures") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (*_DAMAGED, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, RuntimeError) as error:
        # A RuntimeError is for a password or an unknown compression.
        raise UserError(
            f"{path} is not a ZIP or TAR archive that can be read ({str(error) or 'cut short'}); make it again"
        ) from None
    if not found:
        raise UserError(
            f"{path} holds no picture; expected files such as train/CLASS/1.png, with {', '.join(SUFFIXES)}, or, in a "
            "folder of sequences, --sequence files"
        )
    shared = os.path.commonprefix([picture.folders[:-1] for picture in found])
    while shared and shared[-1] in (_TRAIN, *_TEST):
        shared = shared[:-1]
    for picture in found:
        picture.folders = picture.folders[len(shared) :]
    return sorted(found, key=lambda picture: picture.name)


# -- pictures ----------------------------------------------------------------------------------------------------------


def _decode(path: Path, name: str, content: bytes, resize: tuple[int, int] | None) -> NDArray[np.uint8]:
    """The pixels (height, width) or (height, width, 3), upright as the camera was held."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; the number of pixels is checked here
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise UserError(
                        f"{name} in {path} is {picture.height} x {picture.width} pixels; expected at most "
                        f"{_MOST_PIXELS:,} in all"
                    )
                ImageOps.exif_transpose(picture, in_place=True)
                upright = _eight_bits(picture)
                if resize is not None and upright.size != resize[::-1]:
                    upright = upright.resize(resize[::-1], Image.Resampling.BILINEAR)
                return np.array(upright, np.uint8)
        except (*_DAMAGED, Image.DecompressionBombError) as error:
            raise UserError(
                f"{name} in {path} is not a picture that can be read ({str(error).partition(' <')[0]}); correct it or "
                "leave it out"
            ) from None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """As grey values or colours of 8 bits; transparency is left out."""
    if picture.mode.startswith(("I", "F")):  # grey values of 16 bits, whatever Pillow holds them in
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8))
    mode = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _flat(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The features (F,) of a picture as a model takes it, in grey or in colours."""
    if len(shape) == 2:
        grey = pixels if pixels.ndim == 2 else np.array(Image.fromarray(pixels).convert("L"))
        return grey.reshape(-1)
    colours = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    return colours.transpose(2, 0, 1).reshape(-1)


def _shape(path: Path, pictures: Sequence[_Picture], is_colour: bool) -> tuple[int, ...]:
    sizes = {picture.pixels.shape[:2]: picture.name for picture in pictures}
    if len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise UserError(
            f"{path} has pictures of {len(sizes)} sizes, such as {one} of {first[0]} x {first[1]} and {other} of "
            f"{second[0]} x {second[1]} pixels; make them equal with --resize HxW, such as --resize 32x32"
        )
    (height, width) = next(iter(sizes))
    return (3, height, width) if is_colour else (height, width)


def _parts(path: Path, pictures: Iterable[_Picture]) -> dict[str, list[_Picture]]:
    """The pictures of each part, with the folders below that of the part; «train» if there are only classes."""
    pictures = list(pictures)
    # A class may be called «train», too.
    tops = {picture.folders[0].lower() for picture in pictures if len(picture.folders) > 1}
    has_parts = _TRAIN in tops or (bool(tops) and tops <= set(_TEST))
    parts: dict[str, list[_Picture]] = {}
    for picture in pictures:
        name, part, folders = picture.name, _TRAIN, picture.folders
        if has_parts and folders:
            part, folders = folders[0].lower(), folders[1:]
            if part not in (_TRAIN, *_TEST):
                raise UserError(
                    f"{name} in {path} lies in none of the folders {_TRAIN} and {', '.join(_TEST)}; expected "
                    "train/CLASS/… and test/CLASS/…, or CLASS/… alone"
                )
        if not folders:
            raise UserError(f"{name} in {path} lies in no folder of a class; expected train/CLASS/… or CLASS/…")
        parts.setdefault(part, []).append(_Picture(folders, picture.file, picture.pixels, picture.sha256))
    return parts


def _in_turn(pictures: Iterable[_Picture]) -> list[_Picture]:
    """The first picture of each class, then the second of each, and so on."""
    counts: dict[str, int] = {}
    keyed: list[tuple[int, str, int, _Picture]] = []
    for picture in pictures:
        label = picture.folders[0]
        counts[label] = counts.get(label, 0) + 1
        keyed.append((counts[label], label, len(keyed), picture))
    return [picture for *_, picture in sorted(keyed, key=lambda item: item[:3])]


def _examples(path: Path, pictures: list[_Picture], names: Sequence[str], shape: tuple[int, ...]) -> Examples:
    numbers = {name: c for c, name in enumerate(names)}
    for picture in pictures:
        if (name := picture.folders[0]) not in numbers:
            raise UserError(f"{path}: there is no class {name!r} in training; {nearest(name, names)}")
    labels = np.array([numbers[picture.folders[0]] for picture in pictures], np.int64)
    features = np.empty((len(pictures), int(np.prod(shape))), np.uint8)
    for i, picture in enumerate(pictures):
        features[i] = _flat(picture.pixels, shape)
    return Examples(features, labels)
