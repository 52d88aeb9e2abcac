"""Reading files with one sentence about what went wrong."""

from __future__ import annotations

from pathlib import Path

from rdahw.errors import UsageError, UserError


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises UsageError if there is none (a file option that does not exist), UserError otherwise."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no file {str(path)!r}; give the path of a CSV or NPZ file") from None
    except ValueError:  # a zero character in the path
        raise UsageError(f"{str(path)!r} is no path of a file; give the path of a CSV or NPZ file") from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> UserError:
    """The error about a file that is there and cannot be read."""
    return UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
