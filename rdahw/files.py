"""Writing files atomically: after a crash, a full disk or Ctrl-C the old file is unchanged. Cache folders."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rdahw.errors import UserError

__all__ = ["can_hold_files", "check_writable", "temporary_cache", "user_cache", "write_atomically", "write_together"]


def user_cache(name: str, program: str = "rdahw") -> Path:
    """The folder ``name`` in the user's cache of ``program``; it may not exist yet."""
    import platformdirs

    return platformdirs.user_cache_path(program, appauthor=False) / name


def can_hold_files(folder: Path) -> bool:
    """Whether files can be created in ``folder``, which is created if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def temporary_cache(name: str, variable: str) -> Path:
    """A folder among the temporary files, for use if the user's cache cannot be written.

    It is reused only if no other user can write to it, as its content is executed. If it cannot be created either,
    raises :class:`UserError` that names ``variable``, the environment variable for another folder.
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
            f"compiled code cannot be cached: no cache and no temporary files can be written ({error.strerror}); set "
            f"{variable} to a folder that can be written"
        ) from error
    return folder


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file at ``path`` by one with ``content``, or leave it as it was and raise :class:`UserError`.

    The new file is written beside it, synced to the disk and renamed over it, with the permissions of the old one.
    Symbolic links are followed. Anything but a regular file, such as a pipe, is written to directly.
    """
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """As :func:`write_atomically` for each file, but none is replaced before all of them are on the disk."""
    with contextlib.ExitStack() as temporaries:
        replaced: list[tuple[Path, Path | None, str | None]] = []
        for path, content in files.items():
            with _naming(path):
                target = _target(path)
                replaced.append((path, target, None if target is None else _written(target, content, temporaries)))
        for path, target, temporary in replaced:
            with _naming(path):
                if target is None or temporary is None:
                    path.write_bytes(files[path])
                else:
                    os.replace(temporary, target)
                    _sync_folder(target.parent)


def _written(target: Path, content: bytes, temporaries: contextlib.ExitStack) -> str:
    """A file with ``content`` beside ``target``; ``temporaries`` removes it."""
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporaries.callback(_remove, temporary)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, _mode(target))
    return temporary


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """The file is named in what goes wrong within."""
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_writable(path: Path) -> None:
    """Raise :class:`UserError` if :func:`write_atomically` cannot write ``path``."""
    with _naming(path):
        target = _target(path)
        if target is not None:
            tempfile.TemporaryFile(dir=target.parent).close()


def _target(path: Path) -> Path | None:
    """The file to replace, or None if ``path`` is not a regular file, such as a pipe. Raises OSError."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not path.is_file():
        return None
    target = Path(os.path.realpath(path))
    if target.exists() and not os.access(target, os.W_OK):
        # Renaming needs the folder's permission only, but a read-only file must stay.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return target


def _mode(path: Path) -> int:
    """The permissions of the existing file, or those of a new file of this process."""
    if path.exists():
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Sync the renaming to the disk if the system can sync folders; the file is complete in any case."""
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
