"""Writing files: all or nothing, with the permissions of before."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import threading

import pytest

from rdahw.errors import UserError
from rdahw.files import check_writable, temporary_cache, write_atomically, write_together

STEPS = ["os.fsync", "os.replace", "os.chmod", "tempfile.mkstemp"]


def fails(monkeypatch, name, code=errno.ENOSPC):
    def failing(*arguments, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(name, failing)


def test_a_new_file_and_a_replaced_one(tmp_path):
    path = tmp_path / "x"
    for content in (b"one", b"two, and longer", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o640)
    fails(monkeypatch, step)
    with pytest.raises(
        UserError, match=r"x' cannot be written \(no space left on device\); choose a place with enough space$"
    ):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_leaves_nothing_where_nothing_was(tmp_path, monkeypatch, step):
    fails(monkeypatch, step)
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "x", b"new")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    def interrupted(handle):
        raise KeyboardInterrupt

    path = tmp_path / "x"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    true_open = os.open

    def refusing(path, flags, *rest, **options):
        if os.path.isdir(path) and flags == os.O_RDONLY:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return true_open(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", refusing)
    write_atomically(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_of_files_that_are_written_together_none_is_replaced_if_one_cannot_be(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"old")
    second.mkdir()
    with pytest.raises(UserError, match="second' cannot be written"):
        write_together({first: b"new", second: b"new"})
    assert first.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first", "second"]
    second.rmdir()
    write_together({first: b"new", second: b"newer"})
    assert (first.read_bytes(), second.read_bytes()) == (b"new", b"newer")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first", "second"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_permissions_are_kept(tmp_path, mode):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "x", b"new")
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "true").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to("folder/true")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "true").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    check_writable(path)
    write_atomically(path, b"new")
    reader.join()
    assert read == [b"new"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_check_leaves_nothing(tmp_path):
    check_writable(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").write_bytes(b"old")
    check_writable(tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize("check", [check_writable, lambda path: write_atomically(path, b"new")])
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("folder", r"folder' cannot be written \(is a directory\); give the name of a file in it$"),
        ("none/x", r"none/x' cannot be written \(no such file or directory\); its folder must exist$"),
        ("file/x", r"file/x' cannot be written \(not a directory\); its folder must exist$"),
        ("x" * 300, r"xxx' cannot be written \(file name too long\); choose another file$"),
    ],
)
def test_what_cannot_be_written(tmp_path, check, name, sentence):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(UserError, match=sentence) as caught:
        check(tmp_path / name)
    assert caught.value.exit_code == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("check", [check_writable, lambda path: write_atomically(path, b"new")])
def test_a_file_that_is_read_only_stays(tmp_path, monkeypatch, check):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda p, mode: False)  # root may write to anything
    with pytest.raises(UserError, match=r"\(permission denied\); choose a place that you may write to$"):
        check(path)
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="of systems with owners of files")
def test_temporary_files_of_others_are_no_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = tmp_path / f"rdahw-{os.getuid()}"
    assert temporary_cache("kernels", "VARIABLE") == temporary_cache("kernels", "VARIABLE") == ours / "kernels"
    ours.chmod(0o777)
    assert temporary_cache("kernels", "VARIABLE").parent != ours
    ours.chmod(0o700)
    somebody = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: somebody)
    ours.rename(tmp_path / f"rdahw-{somebody}")
    other = temporary_cache("kernels", "VARIABLE").parent
    assert other.parent == tmp_path
    assert other.name != f"rdahw-{somebody}"
    assert other.stat().st_mode & 0o077 == 0
