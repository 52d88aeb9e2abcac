"""The data sets known by name: Iris, MNIST, Fashion-MNIST; finding and downloading their files."""

from __future__ import annotations

import hashlib
import importlib.resources
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rdahw.data._dataset import Column, Dataset, Examples
from rdahw.data._idx import read_idx
from rdahw.errors import MissingError, UserError

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


@dataclass(frozen=True)
class _Images:
    """A data set of IDX files: the published size and SHA-256 of each packed file, and the sites that publish them."""

    record: Record
    label_names: tuple[str, ...]
    files: dict[str, tuple[int, str]]
    urls: tuple[str, ...]
    folders: tuple[Path, ...] = ()


# Also the order of the files in the checksum.
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

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
}

NAMES = ("iris", *IMAGES)


def catalogue() -> list[Record]:
    """All data sets known by name, and where their files are. Downloads nothing."""
    records = [replace(IRIS, found="part of rdahw")]
    for name, images in IMAGES.items():
        files = _found(name)
        found = None if files is None else str(files[0].parent)
        records.append(replace(images.record, found=found, get=_how_to_get(name)))
    return records


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
    """MNIST or Fashion-MNIST; features are the pixels, row by row. Downloads the files if they are not found."""
    files = _found(name) or _download(name, progress)
    images = IMAGES[name]
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


def _cache(name: str) -> Path:
    import platformdirs

    return platformdirs.user_cache_path("rdahw") / name


def _found(name: str) -> list[Path] | None:
    """The four files, from the first folder that has all of them."""
    places = [_cache(name), *IMAGES[name].folders]
    if own := os.environ.get("RDAHW_DATA"):
        places.insert(0, Path(own) / name)
    for place in places:
        # Plain before gzip: it reads faster.
        files = [next((f for f in (place / file, place / f"{file}.gz") if f.is_file()), None) for file in FILES]
        if None not in files:
            return [file for file in files if file is not None]
    return None


def _how_to_get(name: str) -> str:
    debian = ", or install Debian's package dataset-fashion-mnist" if IMAGES[name].folders else ""
    return (
        f"put its files ({', '.join(FILES)}; plain or .gz) into {_cache(name)}, or set RDAHW_DATA to a folder that has "
        f"them in its subfolder {name}{debian}"
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


def _download(name: str, progress: Progress | None) -> list[Path]:
    """Download the four files to the user's cache; each is checked before it is renamed. Raises MissingError."""
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
                pooch.retrieve(f"{url}{file}.gz", f"sha256:{sha256}", f"{file}.gz", _cache(name), downloader=downloader)
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
