"""The IDX format of MNIST, plain or gzip: 0, 0, type (8: unsigned byte), number of dimensions; each dimension as four
bytes, most significant first; then the bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rdahw.data._files import unreadable
from rdahw.errors import UserError

MAX_BYTES = 1 << 30  # of one unpacked file; the training images of MNIST are 47 MB
_CHUNK = 1 << 20


def read_idx(path: Path, dimensions: int) -> tuple[NDArray[np.uint8], bytes]:
    """The array of unsigned bytes in an IDX file, and the unpacked bytes of the whole file.

    Raises UserError unless the file has exactly this many dimensions and exactly the size that its header says.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if packed:
                with gzip.open(file, "rb") as unpacked:
                    return _read(path, unpacked, dimensions)
            return _read(path, file, dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path} is cut short or damaged (its gzip data do not unpack); get the file again") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _read(path: Path, file: BinaryIO | gzip.GzipFile, dimensions: int) -> tuple[NDArray[np.uint8], bytes]:
    start = 4 + 4 * dimensions
    header = file.read(start)
    if len(header) < start or header[:4] != bytes([0, 0, 8, dimensions]):
        raise UserError(
            f"{path} is not an IDX file of unsigned bytes with {dimensions} dimensions (it starts with "
            f"{header[:4].hex() or 'nothing'}, expected 000008{dimensions:02x}); get the file again"
        )
    shape = [int.from_bytes(header[i : i + 4], "big") for i in range(4, start, 4)]
    size = math.prod(shape)
    if not 0 < size <= MAX_BYTES:
        raise UserError(
            f"the header of {path} has the shape {shape}, expected 1 to {MAX_BYTES} bytes in all; get the file again"
        )
    # In chunks, so that the memory depends on the content and not on the header.
    content = bytearray(header)
    while len(content) <= start + size and (piece := file.read(min(_CHUNK, start + size + 1 - len(content)))):
        content += piece
    if len(content) != start + size:
        held = "more" if len(content) > start + size else f"{len(content) - start}"
        raise UserError(f"{path} holds {held} bytes, expected {size} as its header says; get the file again")
    whole = bytes(content)
    return np.frombuffer(whole, dtype=np.uint8, offset=start).reshape(shape), whole
