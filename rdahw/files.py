"""Writing files so that a crash, a full disk or a Ctrl-C leaves the file that was there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rdahw.errors import UserError

__all__ = ["check_writable", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by one with ``content``, or leave it as it was and raise :class:`UserError`.

    The new file is written beside it, forced to the disk and renamed over it.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _mode(path))
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def _mode(path: Path) -> int:
    """The permissions of the file that is there, or those of any new file of this process."""
    if path.exists():
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def check_writable(path: Path) -> None:
    """Raise :class:`UserError` now if :func:`write_atomically` could not make ``path`` later."""
    if path.is_dir():
        raise UserError(f"{str(path)!r} is a folder; expected the name of a file to write")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(f"{str(path)!r} cannot be written ({error.strerror}); choose another file with enough space")
