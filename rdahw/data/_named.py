"""The data sets known by name: Iris, and those of images; finding and downloading their files."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import logging
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from rdahw.data._dataset import Column, Dataset, Examples
from rdahw.data._files import unreadable
from rdahw.data._idx import read_idx
from rdahw.data._sequences import STEPS, TEST, TRAIN, WINDOW_TEST, WINDOWS
from rdahw.errors import MissingError, UserError
from rdahw.languages import LANGUAGES, Language

Progress = Callable[[int, int], object]
"""Called with (bytes done, bytes in all) during a download."""


@dataclass(frozen=True)
class Record:
    """The catalogue entry of a data set. ``found``: where its files are, or None; ``get``: how to get them."""

    name: str
    title: str
    classes: int
    features: int
    train: int
    test: int
    source: str
    licence: str
    citation: str
    found: str | None = None
    get: str = "nothing to do, it is part of rdahw"


# Also the order of the files in the checksum.
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class _Form:
    """A form in which a data set is found: its files, relative to the folder of the data set, each of which may be
    packed by gzip as well; and ``read(name, images, files, progress)``."""

    files: tuple[str, ...]
    read: Callable[[str, _Images, list[Path], Progress | None], Dataset]


@dataclass(frozen=True)
class _Images:
    """A data set of images: the published size and SHA-256 of each file, which has the name with ``suffix``, the sites
    that publish them, and the forms in which it is found, the first of which is the published one."""

    record: Record
    label_names: tuple[str, ...]
    files: dict[str, tuple[int, str]]
    urls: tuple[str, ...]
    folders: tuple[Path, ...] = ()
    suffix: str = ".gz"
    forms: tuple[_Form, ...] = field(default_factory=lambda: (_Form(FILES, _read_idx_files),))


def _read_idx_files(name: str, images: _Images, files: list[Path], progress: Progress | None) -> Dataset:
    checksum = hashlib.sha256()
    arrays = []
    for i, file in enumerate(files):
        array, content = read_idx(file, 3 if i % 2 == 0 else 1)
        checksum.update(content)
        arrays.append(array)
    parts = []
    for (pixels, labels), (pixels_file, labels_file) in zip(
        (arrays[:2], arrays[2:]), (files[:2], files[2:]), strict=True
    ):
        if pixels.shape[1:] != arrays[0].shape[1:]:
            raise UserError(
                f"{pixels_file} has images of {pixels.shape[1:]}, expected {arrays[0].shape[1:]} as in {files[0]}"
            )
        if len(pixels) != len(labels):
            raise UserError(
                f"{pixels_file} has {len(pixels)} images and {labels_file} {len(labels)} labels; get both again"
            )
        if labels.max() >= len(images.label_names):
            raise UserError(f"{labels_file} has a label {labels.max()}, expected 0 to 9; get the file again")
        parts.append(Examples(pixels.reshape(len(pixels), -1), labels.astype(np.int64)))
    height, width = arrays[0].shape[1:]
    return Dataset(
        name=name,
        train=parts[0],
        test=parts[1],
        label_names=images.label_names,
        feature_names=tuple(f"pixel{i}" for i in range(height * width)),
        columns=(Column("number"),) * (height * width),
        checksum=checksum.hexdigest(),
        image_shape=(height, width),
    )


#: The files of the binary form of CIFAR-10, those of the test part last. A record is the class number, and the pixels:
#: red, green and blue in turn, each row by row.
_BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_RECORD = 1 + 3 * 32 * 32
#: The most bytes of a batch file that are read.
_MOST_BATCH = 1 << 28


def _read_batches(name: str, images: _Images, contents: list[tuple[str, bytes]]) -> Dataset:
    """CIFAR-10 from the contents of its binary files, each with what to call it."""
    arrays, checksum = [], hashlib.sha256()
    for what, content in contents:
        records = np.frombuffer(content, np.uint8)
        if not len(records) or len(records) % _RECORD:
            raise UserError(f"{what} has {len(content)} bytes, expected records of {_RECORD}; get the file again")
        records = records.reshape(-1, _RECORD)
        if (largest := int(records[:, 0].max())) >= len(images.label_names):
            raise UserError(f"{what} has a label {largest}, expected 0 to 9; get the file again")
        arrays.append(records)
        checksum.update(content)
    train, test = (
        Examples(np.ascontiguousarray(part[:, 1:]), part[:, 0].astype(np.int64))
        for part in (np.concatenate(arrays[:-1]), arrays[-1])
    )
    return Dataset(
        name=name,
        train=train,
        test=test,
        label_names=images.label_names,
        feature_names=tuple(f"pixel{i}" for i in range(_RECORD - 1)),
        columns=(Column("number"),) * (_RECORD - 1),
        checksum=checksum.hexdigest(),
        image_shape=(3, 32, 32),
    )


def _read_batches_of_files(name: str, images: _Images, files: list[Path], progress: Progress | None) -> Dataset:
    contents = []
    for file in files:
        try:
            with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
                contents.append((str(file), opened.read(_MOST_BATCH)))
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise UserError(f"{file} is cut short or damaged; get the file again") from None
        except OSError as error:
            raise unreadable(file, error) from None
    return _read_batches(name, images, contents)


def _read_batches_of_archive(name: str, images: _Images, files: list[Path], progress: Progress | None) -> Dataset:
    (path,), found = files, {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as archive:
            for member in archive:
                batch = PurePosixPath(member.name).name
                if member.isreg() and batch in _BATCHES:
                    opened = archive.extractfile(member)
                    assert opened is not None
                    found[batch] = opened.read(_MOST_BATCH)
                if progress is not None:
                    progress(file.tell(), path.stat().st_size)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile):
        raise UserError(f"{path} is cut short or damaged; get the file again") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if missing := [batch for batch in _BATCHES if batch not in found]:
        raise UserError(f"{path} has no file {missing[0]}; get it again")
    return _read_batches(name, images, [(f"{batch} in {path}", found[batch]) for batch in _BATCHES])


def _read_pictures(name: str, images: _Images, files: list[Path], progress: Progress | None) -> Dataset:
    from rdahw.data._image_files import image_dataset

    return replace(image_dataset(files[0], None, progress), name=name)


def _read_pictures_of_folder(name: str, images: _Images, files: list[Path], progress: Progress | None) -> Dataset:
    return _read_pictures(name, images, [files[0].parent], progress)


IRIS = Record(
    name="iris",
    title="Iris flowers",
    classes=3,
    features=4,
    train=75,
    test=75,
    source="https://archive.ics.uci.edu/dataset/53/iris",
    licence="CC BY 4.0",
    citation="R. A. Fisher, The use of multiple measurements in taxonomic problems, Annals of Eugenics 7 (1936)",
)
_IRIS_FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
_IRIS_CLASSES = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")

IMAGES = {
    "mnist": _Images(
        Record(
            name="mnist",
            title="MNIST handwritten digits",
            classes=10,
            features=784,
            train=60_000,
            test=10_000,
            source="http://yann.lecun.com/exdb/mnist/",
            licence="CC BY-SA 3.0",
            citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document "
            "recognition, Proceedings of the IEEE 86 (1998)",
        ),
        tuple("0123456789"),
        {
            FILES[0]: (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            FILES[1]: (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            FILES[2]: (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            FILES[3]: (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        },
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
    "fashion-mnist": _Images(
        Record(
            name="fashion-mnist",
            title="Fashion-MNIST pieces of clothing",
            classes=10,
            features=784,
            train=60_000,
            test=10_000,
            source="https://github.com/zalandoresearch/fashion-mnist",
            licence="MIT",
            citation="H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine "
            "learning algorithms, arXiv 1708.07747 (2017)",
        ),
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        {
            FILES[0]: (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            FILES[1]: (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            FILES[2]: (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            FILES[3]: (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        },
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        (Path("/usr/share/datasets/fashion-mnist"),),  # Debian's package dataset-fashion-mnist
    ),
    "kmnist": _Images(
        Record(
            name="kmnist",
            title="Kuzushiji-MNIST handwritten Japanese characters",
            classes=10,
            features=784,
            train=60_000,
            test=10_000,
            source="https://github.com/rois-codh/kmnist",
            licence="CC BY-SA 4.0",
            citation="T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha, Deep learning for "
            "classical Japanese literature, arXiv 1812.01718 (2018)",
        ),
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        {
            FILES[0]: (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            FILES[1]: (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            FILES[2]: (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            FILES[3]: (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        },
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    ),
    "cifar-10": _Images(
        Record(
            name="cifar-10",
            title="CIFAR-10 small photographs",
            classes=10,
            features=3072,
            train=50_000,
            test=10_000,
            source="https://www.cs.toronto.edu/~kriz/cifar.html",
            licence="none stated; its authors ask to be cited",
            citation="A. Krizhevsky, Learning multiple layers of features from tiny images, technical report, "
            "University of Toronto (2009)",
        ),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        {"cifar-10-binary.tar.gz": (170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")},
        ("https://www.cs.toronto.edu/~kriz/",),
        suffix="",
        forms=(
            _Form(("cifar-10-binary.tar.gz",), _read_batches_of_archive),
            _Form(("../cifar-10-binary.tar.gz",), _read_batches_of_archive),
            _Form(_BATCHES, _read_batches_of_files),
            _Form(tuple(f"cifar-10-batches-bin/{file}" for file in _BATCHES), _read_batches_of_files),
            _Form(("train", "test"), _read_pictures_of_folder),
            _Form(("../cifar-10.tar.xz",), _read_pictures),
        ),
    ),
}

#: The data sets that are drawn anew for each seed.
DRAWN = (*LANGUAGES, *WINDOWS)
NAMES = ("iris", *IMAGES, *DRAWN)


def catalogue() -> list[Record]:
    """All data sets known by name, and where their files are. Downloads nothing."""
    records = [replace(IRIS, found="part of rdahw")]
    for name, images in IMAGES.items():
        place = _found(name)
        found = None if place is None else str(place[1][0] if len(place[1]) == 1 else place[1][0].parent)
        records.append(replace(images.record, found=found, get=_how_to_get(name)))
    return [*records, *map(_drawn, LANGUAGES.values()), *map(_drawn_windows, WINDOWS)]


def _drawn(language: Language) -> Record:
    return Record(
        name=language.name,
        title=f"sequences of {STEPS} bits: {language.help}",
        classes=2,
        features=STEPS,
        train=TRAIN,
        test=TEST,
        source="drawn by rdahw",
        licence="none needed",
        citation=language.source,
        found="part of rdahw",
    )


def _drawn_windows(name: str) -> Record:
    bits, streams = WINDOWS[name]
    return replace(
        _drawn(LANGUAGES[f"lfsr:{bits}"]),
        name=name,
        title=f"windows of {bits} bits, {'those of the stream in turn' if streams else 'at random'}, and the next bit",
        features=bits,
        test=WINDOW_TEST,
    )


def read_iris() -> Dataset:
    """All 150 examples of Iris as ``train``, in file order."""
    content = (importlib.resources.files("rdahw.data") / "iris.data").read_bytes()
    rows = [line.split(",") for line in content.decode("ascii").split()]
    return Dataset(
        name="iris",
        train=Examples(
            np.array([[float(cell) for cell in row[:4]] for row in rows]),
            np.array([_IRIS_CLASSES.index(row[4]) for row in rows], dtype=np.int64),
        ),
        test=None,
        label_names=_IRIS_CLASSES,
        feature_names=_IRIS_FEATURES,
        columns=(Column("number"),) * 4,
        checksum=hashlib.sha256(content).hexdigest(),
        label_name="species",
        label_index=4,
        named=True,
    )


def paper_split(iris: Dataset) -> Dataset:
    """The paper's own split: examples in the order of class numbers, the first 25 of each train, the rest test."""
    by_class = [np.flatnonzero(iris.train.labels == c) for c in range(len(iris.label_names))]
    train = iris.train.take(np.concatenate([rows[:25] for rows in by_class]))
    test = iris.train.take(np.concatenate([rows[25:] for rows in by_class]))
    return replace(iris, train=train, test=test, whole_range=True)


def read_images(name: str, progress: Progress | None) -> Dataset:
    """A data set of images; features are the pixels, row by row, of colour images red, green and blue in turn.

    Downloads the files if they are not found."""
    form, files = _found(name) or _download(name, progress)
    return form.read(name, IMAGES[name], files, progress)


def _cache(name: str) -> Path:
    import platformdirs

    return platformdirs.user_cache_path("rdahw") / name


def _found(name: str) -> tuple[_Form, list[Path]] | None:
    """The form in which the data set is found, and its files, from the first folder that has all of them."""
    places = [_cache(name), *IMAGES[name].folders]
    if own := os.environ.get("RDAHW_DATA"):
        places.insert(0, Path(own) / name)
    for place in places:
        for form in IMAGES[name].forms:
            paths = [Path(os.path.normpath(place / file)) for file in form.files]
            # Plain before gzip: it reads faster.
            files = [next((f for f in (path, path.with_name(f"{path.name}.gz")) if f.exists()), None) for path in paths]
            if None not in files:
                return form, [file for file in files if file is not None]
    return None


def _how_to_get(name: str) -> str:
    debian = ", or install Debian's package dataset-fashion-mnist" if IMAGES[name].folders else ""
    return (
        f"put its files ({', '.join(IMAGES[name].files)}; plain or .gz) into {_cache(name)}, or set RDAHW_DATA to a "
        f"folder that has them in its subfolder {name}{debian}"
    )


class _Bar:
    """A progress bar for pooch: counts the bytes of all files of a data set and reports them to the caller."""

    total = 0  # pooch sets it to the size of the current file

    def __init__(self, progress: Progress, whole: int) -> None:
        self.progress, self.whole = progress, whole
        self.before = self.size = self.done = 0

    def start(self, before: int, size: int) -> None:
        self.before, self.size, self.done = before, size, 0

    def update(self, count: int) -> None:
        # pooch counts whole chunks, although the last one is shorter.
        self.done += count
        self.progress(self.before + min(self.done, self.size), self.whole)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _download(name: str, progress: Progress | None) -> tuple[_Form, list[Path]]:
    """Download the files to the user's cache; each is checked before it is renamed. Raises MissingError."""
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel(logging.WARNING)  # else it logs each file to stderr
    images = IMAGES[name]
    whole = sum(size for size, _ in images.files.values())
    bar = None if progress is None else _Bar(progress, whole)
    failures = []
    for url in images.urls:
        before = 0
        try:
            for file, (size, sha256) in images.files.items():
                if bar is not None:
                    bar.start(before, size)
                downloader = pooch.HTTPDownloader(progressbar=bar or False, chunk_size=1 << 16)
                published = file + images.suffix
                pooch.retrieve(url + published, f"sha256:{sha256}", published, _cache(name), downloader=downloader)
                before += size
                if progress is not None:
                    progress(before, whole)
            break
        # Network, missing file and full disk are OSErrors; a wrong checksum is a ValueError.
        except (OSError, ValueError) as error:
            reason = "has a wrong checksum" if isinstance(error, ValueError) else _reason(error)
            failures.append(f"{url} {reason}")
    else:
        raise MissingError(
            f"the data set {name!r} is not here, and its download failed ({'; '.join(failures)}): {_how_to_get(name)}"
        )
    files = _found(name)
    if files is None:  # a file was removed during the download
        raise MissingError(f"the data set {name!r} vanished from {_cache(name)}; {_how_to_get(name)}")
    return files


def _reason(error: OSError) -> str:
    if error.strerror:
        return f"failed: {error.strerror.lower()}"
    return f"failed with {type(error).__name__}"
