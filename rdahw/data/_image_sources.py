"""Where pictures are: the members of a folder, ZIP or TAR, one after the other, without writing to the disk."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["MOST_BYTES", "SUFFIXES", "holds_images", "members"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pbm", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
_TARS = (".tar", ".tgz", ".txz", ".tbz2", ".tar.gz", ".tar.xz", ".tar.bz2")
#: The most bytes of one picture's file; one byte more is read of a larger one.
MOST_BYTES = 1 << 26


def holds_images(path: Path) -> bool:
    """Whether ``path`` is a folder, a TAR, or a ZIP that holds a picture."""
    name = path.name.lower()
    if os.path.isdir(path) or name.endswith(_TARS):  # not Path's, which raises
        return True
    if not name.endswith(".zip"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_is_picture(member) for member in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts if part not in (".", ".."))
    return path.suffix.lower() in SUFFIXES and not hidden


def members(path: Path) -> Iterator[tuple[str, bytes, int, int]]:
    """Name and content of each picture, and how many bytes of how many have been read."""
    if path.is_dir():
        return _of_folder(path)
    if path.name.lower().endswith(".zip"):
        return _of_zip(path)
    return _of_tar(path)


def _of_folder(path: Path) -> Iterator[tuple[str, bytes, int, int]]:
    files = [
        Path(folder, name)
        for folder, folders, names in os.walk(path)
        for name in names
        if _is_picture(Path(folder, name).relative_to(path).as_posix())
    ]
    done, total = 0, sum(file.stat().st_size for file in files)
    for file in files:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        done += len(content)
        yield file.relative_to(path).as_posix(), content, done, total


def _of_zip(path: Path) -> Iterator[tuple[str, bytes, int, int]]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if _is_picture(member.filename)]
        done, total = 0, sum(member.compress_size for member in members)
        for member in members:
            with archive.open(member) as opened:
                content = opened.read(MOST_BYTES + 1)
            done += member.compress_size
            yield member.filename, content, done, total


def _of_tar(path: Path) -> Iterator[tuple[str, bytes, int, int]]:
    total = path.stat().st_size
    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            if member.isreg() and _is_picture(member.name):
                opened = archive.extractfile(member)
                assert opened is not None
                yield member.name, opened.read(MOST_BYTES + 1), file.tell(), total
