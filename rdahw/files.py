"""Writing files so that a crash, a full disk or a Ctrl-C leaves the file that was there."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from pathlib import Path

from rdahw.errors import UserError

__all__ = ["can_hold_files", "check_writable", "temporary_cache", "user_cache", "write_atomically"]


def user_cache(name: str, program: str = "rdahw") -> Path:
    """Where the user's cache is for what ``name`` says; it may not exist yet."""
    import platformdirs

    return platformdirs.user_cache_path(program, appauthor=False) / name


def can_hold_files(folder: Path) -> bool:
    """Files can be made in ``folder``, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def temporary_cache(name: str, variable: str) -> Path:
    """A folder among the temporary files, for where no cache of the user can be written.

    It is kept for the next time if it belongs to this user alone, as what is in it is run. Raises :class:`UserError`
    that names ``variable``, with which another folder is chosen, if no temporary files can be made either.
    """
    try:
        folder = Path(tempfile.gettempdir(), f"rdahw-{getattr(os, 'getuid', str)()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if hasattr(os, "getuid") and (
            not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077
        ):
            folder = Path(tempfile.mkdtemp(prefix="rdahw-"))
        folder /= name
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"what is compiled cannot be kept: no cache and no temporary files can be written ({error.strerror}); set "
            f"{variable} to a folder that can be written"
        ) from error
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by one with ``content``, or leave it as it was and raise :class:`UserError`.

    The new file is written beside it, forced to the disk and renamed over it, with the permissions of the old one. A
    symbolic link is followed. Something other than a file, like a pipe, has no content to keep and is written to.
    """
    temporary = None
    try:
        target = _target(path)
        if target is None:
            path.write_bytes(content)
            return
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def check_writable(path: Path) -> None:
    """Raise :class:`UserError` now if :func:`write_atomically` could not make ``path`` later."""
    try:
        target = _target(path)
        if target is not None:
            with tempfile.TemporaryFile(dir=target.parent):
                pass
    except OSError as error:
        raise _cannot_write(path, error) from error


def _target(path: Path) -> Path | None:
    """The file that a new one is to replace, or None for something that is no file. Raises OSError."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        return None
    target = Path(os.path.realpath(path))
    if target.exists() and not os.access(target, os.W_OK):
        # Renaming asks for the folder's permission only; a file that is read-only is meant to stay.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return target


def _mode(path: Path) -> int:
    """The permissions of the file that is there, or those of any new file of this process."""
    if path.exists():
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Force the renaming to the disk, where folders can be; the file is whole either way."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_SPACE = "choose a place with enough space"
_FOLDER = "its folder must exist"
_ALLOWED = "choose a place that you may write to"
_WAYS_OUT = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.ENOENT: _FOLDER,
    errno.ENOTDIR: _FOLDER,
    errno.EACCES: _ALLOWED,
    errno.EPERM: _ALLOWED,
    errno.EROFS: _ALLOWED,
    errno.EISDIR: "give the name of a file in it",
}


def _cannot_write(path: Path, error: OSError) -> UserError:
    way_out = _WAYS_OUT.get(error.errno or 0, "choose another file")
    return UserError(f"{str(path)!r} cannot be written ({(error.strerror or str(error)).lower()}); {way_out}")
