"""Reading files, with one-sentence errors."""

from __future__ import annotations

from pathlib import Path

from rdahw.errors import UsageError, UserError


def read_bytes(path: Path) -> bytes:
    """The content of the file. Raises UsageError if it does not exist, UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no file {str(path)!r}; give the path of a CSV or NPZ file") from None
    except ValueError:  # a zero character in the path
        raise UsageError(f"{str(path)!r} is not a valid path; give the path of a CSV or NPZ file") from None
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> UserError:
    """The error for a file that exists and cannot be read."""
    return UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
