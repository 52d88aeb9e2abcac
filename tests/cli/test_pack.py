"""``rdahw pack`` and ``rdahw flash --data``: a data set on its way into a board's flash."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from rdahw.flash_image import read_flash_image

TABLE = "size,colour,label\n1,red,apple\n2,green,pear\n3,red,apple\n4,green,pear\n5,red,apple\n"


@pytest.fixture
def programmer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only programmer that is there, ``iceprog``, which says how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "iceprog"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint('called', sys.argv[1:])\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("RDAHW_ICEPROG", raising=False)
    return program


def test_pack_says_what_is_in_the_file(run):
    result = run.ok("pack", "--data", "iris", "--json").json
    said = {name: result[name] for name in ("data", "binarise", "part", "input_bits", "record_bytes", "stride", "out")}
    assert said == {
        "data": "iris",
        "binarise": "midrange",
        "part": "both",
        "input_bits": 4,
        "record_bytes": 2,
        "stride": 1,
        "out": "iris.bin",
    }
    image = read_flash_image(run.folder / "iris.bin")
    assert (len(image.train), len(image.test), image.name) == (75, 75, "iris")
    assert (result["train_examples"], result["test_examples"], result["image"]) == (75, 75, None)
    assert result["bytes"] == (run.folder / "iris.bin").stat().st_size
    assert result["data_sha256"] == image.checksum
    out = run.ok("pack", "--data", "iris", "--part", "test", "--examples", 10, "--out", "ten.bin").out
    assert out.splitlines()[0] == "packed the test part of iris by midrange: 10 examples of 4 bits, 2 bytes each"
    assert len(read_flash_image(run.folder / "ten.bin").train) == 10


def test_pack_of_a_table_without_a_test_part(run, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    assert run.ok("pack", "--data", "table.csv", "--stride", 2, "--json").json["part"] == "train"
    assert read_flash_image(tmp_path / "table.bin").order().tolist() == [0, 2, 4, 1, 3]
    ran = run("pack", "--data", "table.csv", "--part", "both", "--json")
    assert (ran.code, ran.error) == (2, "the data set 'table' has no test part; ask for --part train")
    assert ran.json == {"error": ran.error, "exit_code": 2}
    ran = run("pack", "--data", "table.csv", "--stride", 5)
    assert (ran.code, ran.error.partition(";")[0]) == (2, "a stride of 5 does not reach each of 5 examples")
    assert run.ok("pack", "--data", "table.csv", "--split", 0.4, "--json").json["test_examples"] == 2


def test_pack_of_mnist(run, mnist_folder, monkeypatch):
    monkeypatch.setenv("RDAHW_DATA", str(mnist_folder.parent))
    result = run.ok("pack", "--data", "mnist", "--examples", 500, "--json").json
    assert (result["record_bytes"], result["image"], result["binarise"]) == (99, [1, 28, 28], "threshold=32")
    assert (run.folder / "mnist.bin").stat().st_size < 100_000


def test_flash_puts_the_data_behind_the_bitstream(run, programmer):
    run.ok("pack", "--data", "iris")
    words = [str(programmer), "-o", "1048576", str(run.folder / "iris.bin")]
    ran = run.ok("flash", "--data", "iris.bin", "--dry-run", "--json")
    assert ran.json == {"board": "icebreaker", "command": words, "permanent": True, "done": False}
    ran = run.ok("flash", "--data", "iris.bin", "-v")
    assert f"called {words[1:]}" in ran.err
    assert ran.out == "wrote iris.bin into the flash of iCEBreaker\n"


def test_flash_refuses_damaged_data(run, programmer):
    run.ok("pack", "--data", "iris")
    content = bytearray((run.folder / "iris.bin").read_bytes())
    content[100] ^= 4
    (run.folder / "iris.bin").write_bytes(content)
    ran = run("flash", "--data", "iris.bin", "--json")
    assert ran.code == 1
    assert "iris.bin' is damaged: the CRC-32 of its train records is" in ran.error
    assert ran.json == {"error": ran.error, "exit_code": 1}


@pytest.mark.slow
def test_flash_of_data_that_are_too_large(run, programmer, tmp_path):
    bits = np.zeros((16_000, 8000), np.uint8)
    np.savez_compressed(tmp_path / "large.npz", x=bits, y=np.arange(16_000) % 2)
    run.ok("pack", "--data", "large.npz")
    ran = run("flash", "--data", "large.bin")
    assert ran.code == 1
    assert "and the flash of iCEBreaker has room for 15,728,640 behind the bitstream; pack fewer" in ran.error


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ([], 2, "give either a bitstream or a data set with --data"),
        (["a.bin", "--data", "iris.bin"], 2, "give either a bitstream or a data set with --data"),
        (
            ["--data", "iris.bin", "--volatile"],
            2,
            "--volatile cannot be used with --data, which is written into the flash; leave",
        ),
        (["--data", "iris.bin", "--board", "icestick"], 2, "iCEstick has no flash memory for data; boards that have"),
        (["--data", "none.bin"], 2, "there is no flash image 'none.bin'; make one with rdahw pack"),
    ],
)
def test_flash_of_data_that_cannot_be(run, programmer, command, code, sentence):
    run.ok("pack", "--data", "iris")
    ran = run("flash", *command)
    assert (ran.code, sentence in ran.error) == (code, True), ran.error


def test_no_programmer_for_data(run, programmer):
    run.ok("pack", "--data", "iris")
    programmer.unlink()
    ran = run("flash", "--data", "iris.bin", "--toolchain", "native")
    assert ran.code == 3
    assert ran.error.startswith(
        "iCEBreaker is programmed with iceprog or openFPGALoader, and none of them is installed"
    )


def test_the_other_programmer(run, programmer):
    run.ok("pack", "--data", "iris")
    loader = shutil.move(programmer, programmer.with_name("openFPGALoader"))
    words = run.ok("flash", "--data", "iris.bin", "--dry-run", "--toolchain", "native", "--json").json["command"]
    options = ["-b", "ice40_generic", "-f", "-o", "1048576", "--file-type", "raw"]
    assert words == [str(loader), *options, str(run.folder / "iris.bin")]
