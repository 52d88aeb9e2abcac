"""Iris, MNIST and Fashion-MNIST: what is in them, where they are found, and damaged files."""

import collections
import functools
import gzip
import hashlib
import http.server
import io
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdahw.data import DRAWN, _idx, _named, catalogue, default_rule, fit_binariser, load
from rdahw.data._sequences import WINDOWS
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.languages import LANGUAGES, TAPS

FOLDER = Path(os.environ.get("RDAHW_DATA") or "/nowhere")
DEBIAN = Path("/usr/share/datasets")

needs_mnist = pytest.mark.skipif(
    not (FOLDER / "mnist").is_dir(), reason="RDAHW_DATA names no folder with MNIST (a folder mnist with its IDX files)"
)
needs_fashion = pytest.mark.skipif(
    not any((place / "fashion-mnist").is_dir() for place in (FOLDER, DEBIAN)),
    reason="Fashion-MNIST is neither in RDAHW_DATA nor installed as Debian's package dataset-fashion-mnist",
)

needs_cifar = pytest.mark.skipif(
    not (FOLDER / "cifar-10.tar.xz").is_file(), reason="RDAHW_DATA names no folder with cifar-10.tar.xz"
)

TWO_BY_THREE = np.arange(30, dtype=np.uint8).reshape(5, 2, 3)
DIGITS = np.array([1, 0, 9, 1, 0], dtype=np.uint8)


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


CONTENT = dict(zip(_named.FILES, map(idx, (TWO_BY_THREE, DIGITS, TWO_BY_THREE[:2], DIGITS[:2])), strict=True))


def put(folder, content=CONTENT, *, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A data folder, a cache and a Debian folder of our own, and no network."""
    monkeypatch.setenv("RDAHW_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(_named, "_cache", lambda name: tmp_path / "cache" / name)
    for name, images in _named.IMAGES.items():
        folders = (tmp_path / "debian",) if images.folders else ()
        monkeypatch.setitem(_named.IMAGES, name, replace(images, urls=("http://127.0.0.1:9/",), folders=folders))
    return tmp_path


# Iris


def test_iris_is_the_published_file():
    iris = load("iris")
    assert iris.checksum == "596ffd580471ca4d4880f8e439c7281f3b50d8249a5960353cb200b1490f63a0"
    assert iris.label_names == ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    assert iris.train.features[0].tolist() == [5.1, 3.5, 1.4, 0.2]


def test_iris_paper_split():
    iris = load("iris")
    assert iris.train.labels.tolist() == iris.test.labels.tolist() == [0] * 25 + [1] * 25 + [2] * 25
    assert iris.whole_range
    assert len(iris.fit_features) == 150


def test_two_classes_of_iris_before_and_after_the_split_are_the_same():
    names = ["Iris-setosa", "Iris-virginica"]
    before, after = load("iris", classes=names), load("iris").with_classes(names)
    assert np.array_equal(before.train.features, after.train.features)
    assert np.array_equal(before.fit_features, after.fit_features)
    assert len(before.fit_features) == 100


def test_iris_with_a_split_is_like_any_other():
    iris = load("iris", split=0.2, seed=5)
    assert (len(iris.train), len(iris.test)) == (120, 30)
    assert not iris.whole_range
    assert iris.fit_features is iris.train.features


def test_held_out_examples_are_the_last():
    iris = load("iris")
    shorter, validation = iris.hold_out(5)
    assert np.array_equal(validation.features, iris.train.features[-5:])
    assert len(shorter.train) == 70
    assert not shorter.whole_range
    for n in (0, 75):
        with pytest.raises(UsageError, match=f"{n} of 75 training examples cannot be held out; hold out 1 to 74"):
            iris.hold_out(n)


def test_classes_that_are_wrong():
    with pytest.raises(UserError, match="no class 'setosa'; did you mean 'Iris-setosa'") as caught:
        load("iris", classes=["setosa", "Iris-virginica"])
    assert caught.value.exit_code == 1
    with pytest.raises(UsageError, match="fewer than two"):
        load("iris", classes=["Iris-setosa"])
    with pytest.raises(UsageError, match="name one class twice"):
        load("iris", classes=["Iris-setosa", "Iris-setosa"])


def test_options_that_do_not_fit_a_named_data_set(tmp_path):
    with pytest.raises(UsageError, match="a label column was given, and the data set 'iris' has its own"):
        load("iris", label="species")
    with pytest.raises(UsageError, match="a test file was given, and the data set 'iris' has its own"):
        load("iris", test=tmp_path / "x.csv")


def test_unknown_name():
    with pytest.raises(UsageError, match="no data set 'fashion-mnits' and no .*; did you mean 'fashion-mnist'"):
        load("fashion-mnits")


# Files of images


@pytest.mark.parametrize("packed", [False, True])
def test_images(places, packed):
    put(places / "data" / "mnist", packed=packed)
    data = load("mnist")
    assert data.image_shape == (2, 3)
    assert data.train.features.tolist() == TWO_BY_THREE.reshape(5, 6).tolist()
    assert data.train.labels.tolist() == [1, 0, 9, 1, 0]
    assert len(data.test) == 2
    assert data.checksum == hashlib.sha256(b"".join(CONTENT.values())).hexdigest()
    assert default_rule(data) == "threshold=32"
    zero_one = load("mnist", classes=["1", "0"])
    assert zero_one.train.labels.tolist() == [0, 1, 0, 1]
    with pytest.raises(UsageError, match="a split was asked for, and the data set 'mnist' has a test part of its own"):
        load("mnist", split=0.5)


def test_places_in_order(places):
    def found():
        return {record.name: record.found for record in catalogue()}["fashion-mnist"]

    assert found() is None
    put(places / "debian")
    assert found() == str(places / "debian")
    put(places / "cache" / "fashion-mnist")
    assert found() == str(places / "cache" / "fashion-mnist")
    put(places / "data" / "fashion-mnist", dict(list(CONTENT.items())[:3]))
    assert found() == str(places / "cache" / "fashion-mnist")  # one file is not there: the next place
    put(places / "data" / "fashion-mnist")
    assert found() == str(places / "data" / "fashion-mnist")


def test_catalogue(places):
    iris, mnist, fashion, kmnist, cifar, *drawn = catalogue()
    assert [record.name for record in drawn] == list(DRAWN)
    assert (kmnist.name, cifar.name, cifar.features) == ("kmnist", "cifar-10", 3072)
    assert "cifar-10-binary.tar.gz" in cifar.get
    assert (iris.name, iris.found, iris.train, iris.test) == ("iris", "part of rdahw", 75, 75)
    assert (mnist.name, mnist.found, mnist.classes, mnist.features) == ("mnist", None, 10, 784)
    assert "RDAHW_DATA" in mnist.get
    assert "dataset-fashion-mnist" in fashion.get


def test_nowhere_and_no_network(places):
    with pytest.raises(
        MissingError, match="'mnist' is not here, and its download failed .*ConnectionError.*RDAHW_DATA"
    ) as e:
        load("mnist")
    assert e.value.exit_code == 3


@pytest.fixture
def server(tmp_path):
    """A web server of the folder ``served``."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    (tmp_path / "served").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


def test_download(places, server, monkeypatch, capfd):
    put(places / "served")
    files = {}
    for name in CONTENT:
        content = (places / "served" / f"{name}.gz").read_bytes()
        files[name] = (len(content), hashlib.sha256(content).hexdigest())
    images = replace(_named.IMAGES["mnist"], urls=("http://127.0.0.1:9/", server), files=files)
    monkeypatch.setitem(_named.IMAGES, "mnist", images)
    steps = []
    data = load("mnist", progress=lambda done, whole: steps.append((done, whole)))
    assert data.train.labels.tolist() == DIGITS.tolist()
    whole = sum(size for size, _ in files.values())
    assert steps[-1] == (whole, whole)
    assert steps == sorted(steps)
    assert sorted(path.name for path in (places / "cache" / "mnist").iterdir()) == sorted(f"{n}.gz" for n in CONTENT)
    assert load("mnist", progress=lambda done, whole: pytest.fail("it is here")).checksum == data.checksum
    assert capfd.readouterr() == ("", "")


def test_download_of_other_content(places, server, monkeypatch):
    put(places / "served")
    monkeypatch.setitem(_named.IMAGES, "mnist", replace(_named.IMAGES["mnist"], urls=(server,)))
    with pytest.raises(MissingError, match="has a wrong checksum"):
        load("mnist")
    assert list((places / "cache" / "mnist").iterdir()) == []


# Damaged files


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (0, b"", "is not an IDX file of unsigned bytes with 3 dimensions .it starts with nothing, expected 00000803"),
        (0, idx(DIGITS), "it starts with 00000801, expected 00000803"),
        (1, b"\0\0\x0d\1" + idx(DIGITS)[4:], "it starts with 00000d01, expected 00000801"),
        (0, idx(TWO_BY_THREE)[:-1], "holds 29 bytes, expected 30 as its header says"),
        (0, idx(TWO_BY_THREE) + b"x", "holds more bytes, expected 30 as its header says"),
        (0, idx(TWO_BY_THREE)[:4] + b"\xff" * 12, "has the shape .* expected 1 to 1073741824 bytes in all"),
        (0, idx(TWO_BY_THREE)[:4] + b"\0\0\x40\0\0\0\0\x80\0\0\1\0", "holds 0 bytes, expected 536870912"),
        (0, idx(TWO_BY_THREE[:0]), "has the shape .0, 2, 3., expected 1 to"),
        (0, idx(TWO_BY_THREE[:4]), "has 4 images and .* 5 labels"),
        (1, idx(DIGITS + 1), "has a label 10, expected 0 to 9"),
        (2, idx(TWO_BY_THREE[:2, :1]), r"has images of \(1, 3\), expected \(2, 3\)"),
    ],
)
def test_damaged_idx(places, packed, file, content, sentence):
    name = _named.FILES[file]
    put(places / "data" / "mnist", {**CONTENT, name: content}, packed=packed)
    with pytest.raises(UserError, match=sentence) as caught:
        load("mnist")
    assert caught.value.exit_code == 1
    assert name in str(caught.value)


def test_truncated_and_damaged_gzip(places):
    folder = places / "data" / "mnist"
    put(folder)
    path = folder / f"{_named.FILES[0]}.gz"
    whole = path.read_bytes()
    for content in (whole[:-4], whole[:20], whole[:5], whole[:-8] + b"\0" * 8, whole[:12] + b"\xff" * 9 + whole[21:]):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match="is cut short or damaged .its gzip data do not unpack.; get the file again"
        ):
            load("mnist")


def test_a_header_does_not_make_us_allocate(tmp_path, monkeypatch):
    # A gzip bomb: unpacking stops one byte after what the header says.
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(DIGITS) + bytes(1 << 24)))
    with pytest.raises(UserError, match="holds more bytes, expected 5"):
        _idx.read_idx(path, 1)


# CIFAR-10

RECORDS = np.random.default_rng(0).integers(0, 256, (6, 4, 3073), dtype=np.uint8)
RECORDS[:, :, 0] %= 10
BATCHES = {name: records.tobytes() for name, records in zip(_named._BATCHES, RECORDS, strict=True)}


def put_batches(folder, form, content=BATCHES):
    """CIFAR-10 in ``folder``, the data folder, in one of the forms in which it is published or unpacked."""
    place = {"files": "cifar-10", "packed": "cifar-10", "unpacked": "cifar-10/cifar-10-batches-bin"}.get(form)
    if place is not None:
        (folder / place).mkdir(parents=True)
        for name, data in content.items():
            path = folder / place / (f"{name}.gz" if form == "packed" else name)
            path.write_bytes(gzip.compress(data) if form == "packed" else data)
        return
    path = folder / {"archive": "cifar-10/cifar-10-binary.tar.gz", "beside": "cifar-10-binary.tar.gz"}[form]
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("form", ["files", "packed", "unpacked", "archive", "beside"])
def test_binary_cifar(places, form):
    put_batches(places / "data", form)
    data = load("cifar-10")
    assert (len(data.train), len(data.test), data.image_shape) == (20, 4, (3, 32, 32))
    assert data.label_names[3] == "cat"
    assert np.array_equal(data.train.features, RECORDS[:5].reshape(20, 3073)[:, 1:])
    assert np.array_equal(data.test.labels, RECORDS[5, :, 0])
    assert data.checksum == hashlib.sha256(RECORDS.tobytes()).hexdigest()
    found = {record.name: record.found for record in catalogue()}["cifar-10"]
    assert found.startswith(str(places / "data"))


@pytest.mark.parametrize("form", ["files", "packed", "archive"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (BATCHES | {"data_batch_2.bin": b""}, "data_batch_2.bin.* has 0 bytes, expected records of 3073"),
        (BATCHES | {"test_batch.bin": bytes(3074)}, "test_batch.bin.* has 3074 bytes, expected records of 3073"),
        (BATCHES | {"data_batch_1.bin": b"\x0a" * 3073}, "data_batch_1.bin.* has a label 10, expected 0 to 9"),
    ],
)
def test_damaged_cifar(places, form, content, sentence):
    put_batches(places / "data", form, content)
    with pytest.raises(UserError, match=sentence):
        load("cifar-10")


def test_incomplete_cifar(places):
    put_batches(places / "data", "archive", dict(list(BATCHES.items())[1:]))
    path = places / "data" / "cifar-10" / "cifar-10-binary.tar.gz"
    with pytest.raises(UserError, match="has no file data_batch_1.bin; get it again"):
        load("cifar-10")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="is cut short or damaged; get the file again"):
        load("cifar-10")


@pytest.mark.parametrize("is_folder", [True, False])
def test_cifar_as_pictures(places, is_folder):
    folder = places / "data" / "cifar-10" if is_folder else places / "pictures"
    for part in ("train", "test"):
        for c, name in enumerate(_named.IMAGES["cifar-10"].label_names):
            (folder / part / name).mkdir(parents=True)
            Image.new("RGB", (32, 32), (c, 20, 30)).save(folder / part / name / "0.png")
    if not is_folder:
        (places / "data").mkdir()
        with tarfile.open(places / "data" / "cifar-10.tar.xz", "w:xz") as archive:
            for part in ("train", "test"):
                archive.add(folder / part, part)
    data = load("cifar-10")
    assert (data.name, data.image_shape, data.train.labels.tolist()) == ("cifar-10", (3, 32, 32), list(range(10)))
    assert data.label_names == _named.IMAGES["cifar-10"].label_names
    assert data.test.features[7, [0, 1024, 2048]].tolist() == [7, 20, 30]


# The true files


@needs_cifar
@pytest.mark.slow
def test_the_copy_of_cifar_as_pictures(tmp_path, monkeypatch):
    """All members are there; every fiftieth picture of each class is read."""
    name = "cifar-10.tar.xz"
    with tarfile.open(FOLDER / name) as archive, tarfile.open(tmp_path / name, "w:xz") as part:
        seen = collections.Counter()
        for member in archive:
            if not member.isfile():
                continue
            folder = str(Path(member.name).parent)
            if seen[folder] % 50 == 0:
                part.addfile(member, archive.extractfile(member))
            seen[folder] += 1
    pictures = {folder: count for folder, count in seen.items() if count > 1}
    assert sorted(pictures.values()) == [1000] * 10 + [5000] * 10
    monkeypatch.setenv("RDAHW_DATA", str(tmp_path))
    data = load("cifar-10")
    assert (len(data.train), len(data.test), data.image_shape) == (1000, 200, (3, 32, 32))
    assert np.bincount(data.train.labels).tolist() == [100] * 10
    assert data.train.labels[:12].tolist() == [*range(10), 0, 1]
    assert data.label_names == _named.IMAGES["cifar-10"].label_names


@needs_mnist
def test_mnist_zero_against_one():
    data = load("mnist", classes=["0", "1"])
    assert (len(data.train), len(data.test)) == (12_665, 2_115)
    assert data.image_shape == (28, 28)
    binariser = fit_binariser(data, "threshold=32")
    bits = binariser.transform(data.train.features)
    assert bits.shape == (12_665, 784)
    assert np.array_equal(bits, data.train.features > 32)
    train, validation = data.hold_out(1265)
    assert (len(train.train), len(validation)) == (11_400, 1265)


@needs_mnist
def test_mnist_is_the_published_one():
    data = load("mnist")
    assert data.checksum == "b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a"
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


@needs_fashion
def test_fashion_mnist_is_the_published_one():
    data = load("fashion-mnist")
    assert data.checksum == "14410854cf7a289477dcfc7df3f8ec24741e281cdcc425ede0d9a748ca630214"
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.label_names[data.train.labels[0]] == "Ankle boot"


def period(bits: int, mask: int) -> int:
    """After how many steps a shift register with these taps is in its first state again."""
    state, count = 1, 0
    while True:
        state = state >> 1 | ((state & mask).bit_count() & 1) << bits - 1
        count += 1
        if state == 1:
            return count


@pytest.mark.parametrize("bits", TAPS)
def test_the_taps_are_the_least_that_repeat_last(bits):
    mask = sum(1 << tap for tap in TAPS[bits])
    assert period(bits, mask) == 2**bits - 1
    assert all(period(bits, least) < 2**bits - 1 for least in range(1, mask, 2))


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_have_the_next_bit_of_a_register(name):
    bits, streams = WINDOWS[name]
    data, other = load(name), load(name, seed=1)
    assert (len(data.train), len(data.test), data.task, data.label_names) == (
        20_000,
        10_000,
        "classification",
        ("0", "1"),
    )
    assert data.checksum != other.checksum
    for part in (data.train, data.test):
        assert part.features.shape[1] == bits
        whole = LANGUAGES[f"lfsr:{bits}"].label(part.features.astype(np.uint8))
        np.testing.assert_array_equal(part.labels, whole[:, -1])
    in_turn = data.train.features[1:, :-1] == data.train.features[:-1, 1:]
    assert bool(in_turn.all() and (data.train.features[1:, -1] == data.train.labels[:-1]).all()) == streams
    assert data.train.features.any(1).all() == streams
