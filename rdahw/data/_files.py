"""Files as streams of bytes, unpacked by what they begin with, with one-sentence errors."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from rdahw.errors import UsageError, UserError

#: How much a packed file may unpack to; a file of a few kilobytes can unpack to more than the machine holds.
MAX_UNPACKED = 1 << 32
#: How many packings may lie in each other, as in a gzip file in a zip file.
_MAX_DEPTH = 3
#: The first bytes of a file, by which its format is found.
HEAD = 1 << 22

Progress = Callable[[int, int], object]
"""Called with (bytes done, bytes in all) while a file is downloaded or read."""


def _gzip(stream: BinaryIO) -> BinaryIO:
    import gzip

    return cast(BinaryIO, gzip.GzipFile(fileobj=stream))


def _bzip2(stream: BinaryIO) -> BinaryIO:
    import bz2

    return cast(BinaryIO, bz2.BZ2File(stream))


def _xz(stream: BinaryIO) -> BinaryIO:
    import lzma

    return cast(BinaryIO, lzma.LZMAFile(stream))


def _zstd(stream: BinaryIO) -> BinaryIO:
    import pyarrow  # type: ignore[import-untyped]

    return cast(BinaryIO, pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, "r"), "zstd"))


def _zip(stream: BinaryIO) -> BinaryIO:
    archive = zipfile.ZipFile(stream)
    members = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    if len(members) != 1:
        names = ", ".join(repr(info.filename) for info in members[:5]) + (", …" if len(members) > 5 else "")
        raise UserError(f"holds {len(members)} files ({names}); expected one, so unpack it and give the file")
    if members[0].flag_bits & 1:
        raise UserError("is protected by a password; unpack it and give the file")
    return cast(BinaryIO, archive.open(members[0]))


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or Path(name).name.startswith(".")


#: The packings: name, first bytes of such a file, what opens it, and the ending of its name.
_PACKINGS: tuple[tuple[str, bytes, Callable[[BinaryIO], BinaryIO], str], ...] = (
    ("gzip", b"\x1f\x8b", _gzip, ".gz"),
    ("bzip2", b"BZh", _bzip2, ".bz2"),
    ("xz", b"\xfd7zXZ\0", _xz, ".xz"),
    ("zstd", b"\x28\xb5\x2f\xfd", _zstd, ".zst"),
    ("zip", b"PK\x03\x04", _zip, ".zip"),
)


def members_of(stream: BinaryIO) -> list[str]:
    """The names of the files in a zip archive; empty for anything else. The stream is where it was."""
    at = stream.tell()
    try:
        return zipfile.ZipFile(stream).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
    finally:
        stream.seek(at)


def is_document(members: list[str]) -> bool:
    """Whether a zip archive with these members is itself a format: NPZ, XLSX or one like it."""
    return bool(members) and (
        all(name.endswith(".npy") for name in members)
        or any(name in ("[Content_Types].xml", "mimetype") for name in members)
    )


class Source:
    """A file that may be packed; :meth:`stream` gives its unpacked bytes from the start, as often as wanted.

    ``digest``: a hash, such as hashlib's; :attr:`hash` is it after the bytes of the last stream that was counted.
    Raises UsageError if the file does not exist, UserError if it cannot be read.
    """

    def __init__(self, path: Path, digest: Any, progress: Progress | None = None) -> None:
        self.path, self.name, self.progress = path, str(path), progress
        self._digest = self.hash = digest
        #: The innermost packing: «gzip», or empty.
        self.packing = ""
        self._content: bytes | None = None
        try:
            self._stamp = _stamp(path)
            self.size = self._stamp[0]
            if not path.is_file() and not path.is_dir():  # a pipe can be read only once
                self._content = path.read_bytes()
                self.size = len(self._content)
        except OSError as error:
            raise _not_opened(path, error) from None
        except ValueError as error:  # a zero character in the path
            raise _not_opened(path, error) from None
        with self.stream(counted=False) as stream:
            self.head = stream.read(HEAD)

    @classmethod
    def of_bytes(cls, name: str, content: bytes, digest: Any) -> Source:
        """One that is in memory; messages call it ``name``."""
        made = cls.__new__(cls)
        made.path, made.name, made.progress, made.packing = Path(name), name, None, ""
        made._digest = made.hash = digest
        made._content, made.size, made.head = content, len(content), content[:HEAD]
        return made

    @property
    def stem(self) -> str:
        """The name of the file without its folders and endings."""
        return stem(self.path)

    @property
    def suffix(self) -> str:
        """The ending of the unpacked file's name, in lower case: «.csv» for data.csv.gz."""
        return Path(_without_packing(self.path.name)).suffix.lower()

    def stream(self, *, counted: bool = True) -> BinaryIO:
        """The unpacked bytes; with ``counted`` they update the hash, which begins anew, and the progress."""
        try:
            raw: Any = self.path.open("rb") if self._content is None else io.BytesIO(self._content)
        except OSError as error:
            raise _not_opened(self.path, error) from None
        try:
            stream = self._unpacked(raw if self._content is None else io.BufferedReader(raw))
        except BaseException:
            raw.close()
            raise
        if counted:
            self.hash = self._digest.copy()
            stream = io.BufferedReader(_Counted(self, stream, raw), 1 << 16)
        return cast(BinaryIO, stream)

    def check_unchanged(self) -> None:
        """Raise UserError if the file has another size or time than at first."""
        if self._content is not None:
            return
        try:
            is_same = _stamp(self.path) == self._stamp
        except OSError as error:
            raise _not_opened(self.path, error) from None
        if not is_same:
            raise UserError(f"{self.name} has changed while it was read; start again")

    def _unpacked(self, stream: Any) -> Any:
        self.packing = ""
        for depth in range(_MAX_DEPTH):
            start = self.guarded(partial(stream.peek, 8))[:8]
            row = next((row for row in _PACKINGS if start.startswith(row[1])), None)
            if row is None:
                break
            if row[0] == "zip":
                if depth:  # a zip file must be sought in
                    stream = io.BytesIO(stream.read())
                if is_document(members_of(stream)):
                    break
            self.packing = row[0]
            opened = self.guarded(partial(row[2], stream))
            stream = io.BufferedReader(_Unpacked(self, opened, stream), 1 << 16)
        return stream

    def content(self) -> bytes:
        """All unpacked bytes."""
        with self.stream() as stream:
            return stream.read()

    def file(self, *, counted: bool = True) -> BinaryIO:
        """The unpacked file for random access; ``counted`` as for :meth:`stream`."""
        if self.packing or self._content is not None:
            return io.BytesIO(self.content())
        with self.stream(counted=counted) as stream:
            while counted and stream.read(1 << 20):
                pass
        return self.path.open("rb")

    def guarded(self, read: Callable[[], Any]) -> Any:
        """What ``read`` gives; its errors become one sentence about a damaged or unreadable file."""
        try:
            return read()
        except UserError as error:
            raise error if self.name in str(error) else UserError(f"{self.name} {error}") from None
        except Exception as error:  # each packing has its own errors: OSError, EOFError, zlib.error, LZMAError, …
            if self.packing:
                what = str(error) or type(error).__name__
                raise UserError(f"{self.name} is a damaged {self.packing} file ({what}); get it again") from None
            raise unreadable(self.path, error) if isinstance(error, OSError) else error from None


def _stamp(path: Path) -> tuple[int, int]:
    """The size of a file and when it was written."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class _Raw(io.RawIOBase):
    """A stream whose :meth:`_next` gives up to so many bytes."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, count: int) -> bytes:
        raise NotImplementedError

    #: What is closed with it.
    _below: tuple[Any, ...] = ()

    def close(self) -> None:
        if not self.closed:
            for stream in self._below:
                stream.close()
        super().close()


class _Unpacked(_Raw):
    """What a packed stream unpacks to, up to the limit."""

    def __init__(self, source: Source, stream: Any, below: Any) -> None:
        self._source, self._stream, self._done = source, stream, 0
        self._below = stream, below

    def _next(self, count: int) -> bytes:
        data: bytes = self._source.guarded(lambda: self._stream.read(count))
        self._done += len(data)
        if self._done > MAX_UNPACKED:
            raise UserError(
                f"{self._source.name} unpacks to more than {MAX_UNPACKED / (1 << 30):g} GiB; if it is meant to be that "
                "large, unpack it and give the unpacked file"
            )
        return data


class _Counted(_Raw):
    """A stream that updates the digest and the progress of its source."""

    def __init__(self, source: Source, stream: Any, raw: Any) -> None:
        self._source, self._stream, self._raw, self._below = source, stream, raw, (stream,)

    def _next(self, count: int) -> bytes:
        source = self._source
        data: bytes = source.guarded(lambda: self._stream.read(count))
        source.hash.update(data)
        if source.progress is not None and data:
            source.progress(min(self._raw.tell(), source.size), source.size)
        return data


def stem(path: Path) -> str:
    """The name of a file without its folders, its ending, and the ending of a packing: «data» of data.csv.gz."""
    return Path(_without_packing(path.name)).stem


def _without_packing(name: str) -> str:
    ending = next((row[3] for row in _PACKINGS if name.lower().endswith(row[3])), "")
    return name[: len(name) - len(ending)]


def _not_opened(path: Path, error: OSError | ValueError) -> UserError | UsageError:
    if isinstance(error, FileNotFoundError):
        return UsageError(f"there is no file {str(path)!r}; give the path of a table, such as CSV or Parquet")
    if isinstance(error, IsADirectoryError):
        return UserError(f"{path} is a folder, and a file was expected; --sequence files reads a folder of sequences")
    if isinstance(error, OSError):
        return unreadable(path, error)
    return UsageError(f"{str(path)!r} is not a valid path; give the path of a table, such as CSV or Parquet")


def unreadable(path: Path, error: OSError) -> UserError:
    """The error for a file that exists and cannot be read."""
    return UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
