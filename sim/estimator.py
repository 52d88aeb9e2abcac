"""Models as a scikit-learn classifier, ``rdahw.RDAClassifier`` (``pip install 'rdahw[sklearn]'``).

Features are turned into bits by thresholds: wire w of the model is 1 where
``X[:, wire_features_[w]] > wire_thresholds_[w]``. Wires are ordered by the number of the threshold within its feature,
then by feature, so that those of images are whole planes. After them come the wires of categories and missing values,
feature by feature (:mod:`rdahw.data.marks`).
"""

from __future__ import annotations

import inspect
import os
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.bits import PackedBits
from rdahw.data import MAX_LABELS, Column, label_sets, members_of_sets
from rdahw.data._json import is_int
from rdahw.data.images import Image, with_mirrored
from rdahw.data.marks import Marks, MarkWriter
from rdahw.data.plane_binariser import PlaneBinariser
from rdahw.errors import MissingError, UserError
from rdahw.families import all_families, find_family, parse_model
from rdahw.family import AUTO, USUAL_TASK, Candidate, DataSize, Family, Option, Spec, Task
from rdahw.sim.automatic import Choice, choose, spec_of
from rdahw.sim.conversion import Conversion
from rdahw.sim.engines import Predictor, SoftwareEngine, make_engine, make_predictor, predicting_row
from rdahw.sim.planes import PlaneConversion
from rdahw.training import Examples, Progress, Schedule, Training, prepare, repeats_of, spread, to_balance

try:
    from sklearn.base import BaseEstimator, ClassifierMixin  # type: ignore[import-untyped]
    from sklearn.utils import check_random_state  # type: ignore[import-untyped]
    from sklearn.utils.class_weight import compute_sample_weight  # type: ignore[import-untyped]
    from sklearn.utils.multiclass import (  # type: ignore[import-untyped]
        check_classification_targets,
        type_of_target,
        unique_labels,
    )
    from sklearn.utils.validation import (  # type: ignore[import-untyped]
        check_consistent_length,
        check_is_fitted,
        column_or_1d,
        validate_data,
    )

    from rdahw.sim.columns import CategoryEncoder, find_categorical, find_marks, is_missing
except ImportError as error:
    raise MissingError(
        f"RDAClassifier needs scikit-learn 1.6 or newer ({error}); install it with pip install 'rdahw[sklearn]'"
    ) from error

__all__ = ["RDAClassifier"]

#: How many examples are turned into wires at once, so that these stay in the cache.
_ROWS = 2048
#: The value of an option that the model chooses.
_AUTO = AUTO
_BALANCED = "balanced"
_MODEL = "ensemble"
#: Examples with several labels: the task, and the model that stands for the default and for "auto".
_SETS, _MODEL_OF_SETS = "multilabel", "boosted"
#: The parameters of all models, with their defaults; the options of the families are added to them.
_OWN: dict[str, Any] = {
    "model": _MODEL,
    "epochs": 15,
    "bits": _AUTO,
    "thresholds": None,
    "image_shape": None,
    "categorical_features": "from_dtype",
    "class_weight": None,
    "random_state": 0,
    "n_jobs": None,
}


def _options(task: str, own: Mapping[str, Any]) -> dict[str, list[tuple[Option, Any, str]]]:
    """The options of all families that learn ``task``, the default family's first: for each name the option, its
    default and the family of each that has it. Options called like one of ``own``, the parameters of all models, can
    only be given in ``model``."""
    found: dict[str, list[tuple[Option, Any, str]]] = {}
    known = [family for family in all_families(skip_broken=True) if task in family.tasks]
    for family in sorted(known, key=lambda family: family.name != own["model"]):
        usual = {option.name: option.default for option in family.options} | dict(family.classifier)
        for option in family.options:
            if option.name not in own:
                found.setdefault(option.name, []).append((option, usual[option.name], family.name))
    return found


_OPTIONS = _options(USUAL_TASK, _OWN)
#: An option that is "auto" has the default of the model's family.
_DEFAULTS = _OWN | dict.fromkeys(_OPTIONS, _AUTO)


def _describe_options(options: Mapping[str, list[tuple[Option, Any, str]]], model: str) -> str:
    """The options of the families, for the docstring; ``model``: the default family."""
    lines = []
    for name, rows in options.items():
        option, default, family = rows[0]
        families = [name for _, _, name in rows]
        whose = "" if families == [model] else f" ({', '.join(families)})"
        usual = option.usual if default is None else str(default)
        by = f" for {family}" if len(families) > 1 else ""
        text = f"{name}: {option.help}{whose}; {option.expected}" + (f'; "auto"{by}: {usual}.' if usual else ".")
        lines.append(textwrap.fill(text, 108, initial_indent=" " * 8, subsequent_indent=" " * 12))
    return "\n".join(lines).strip()


class _Planes(PlaneConversion):
    """A conversion whose errors are those of scikit-learn."""

    def check(self, x: NDArray[Any]) -> NDArray[np.uint8]:
        try:
            return super().check(x)
        except UserError as error:
            raise ValueError(str(error)) from None


class RDAClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model trained by reverse derivative ascent, one example after another: an ensemble of lookup tables, or any
    other model of classes; or of several labels.

    X is numbers or categories (N, F), y any labels that scikit-learn accepts as classes, two or more (at most 65,535),
    or 0 and 1 (N, L) for each of 2 to 62 labels that an example has or has not (scikit-learn's multilabel indicator).
    For several labels the model "boosted" stands for the default, and for "auto"; it determines its own number of
    epochs, and ``predict`` gives 0 and 1 (N, L).
    The same data and ``random_state`` give the same bits on every machine.

    Parameters:
        model: as for ``rdahw train --model``: NAME[:OPTION=VALUE,…] or FILE.py:NAME (the file is run), or "auto": the
            first ``fit`` or ``partial_fit`` tries several models on held-out examples and takes the best.
        epochs: the number of epochs of ``fit``; a grown model determines its own number.
        bits: the most thresholds of a feature, or a rule of planes for images whose pixels are whole numbers from 0 to
            255, such as "threshold=32,128+hog=4/3/20" or "colour" (docs/planes.md), or "auto": for ensembles 16
            thresholds, and 3 for images, for other models 1. They
            are at quantiles of the training values, halfway to the next value; a feature of few values gets one between
            any two, so that binary features stay as they are, and a constant one none. Those of images are the same for
            all pixels, evenly spaced between the smallest and the largest value.
        thresholds: instead of ``bits``, the thresholds of all features, or a sequence of them for each feature.
        image_shape: (height, width) or (channels, height, width) if each row of X is an image.
        categorical_features: the columns of categories: "from_dtype", those columns of a data frame (pandas, polars)
            that hold categories or texts; a mask, numbers or names of columns; or None. Each category is a wire; rare
            ones, with those that ``fit`` did not have, may share one.
        class_weight: None, "balanced", which learns the examples of rare classes more often so that all classes are
            equally frequent (as ``rdahw train --balance``), or the weight of each class, a dict; 1 for the others.
        random_state: the seed of all randomness; a RandomState or None draws one.
        n_jobs: how many threads predict and grow tables, -1 for one on each core; None is 1. The bits are the same.

    An example of a class of weight w is learned w times in each epoch. Whole numbers up to 1,000 stay as they are;
    other weights are divided by the smallest one above 0, or by a thousandth of the largest if that is more, rounded,
    halves up, and divided by their greatest common divisor.

    NaN in X is a missing value, except in images: its wires are 0, and a feature that has NaN in ``fit`` has one more
    wire, which is 1 there.

    Options of the model, which may also be given in ``model``; their default is "auto". An option
    called like a parameter above can be given in ``model`` only:
        {options}

    If X is not images, the margin "auto" is 2 a table, 2/25 with ``sign``, and tables have at most as many inputs as
    there are wires.

    Attributes after ``fit``:
        classes_, n_features_in_, feature_names_in_: as in all of scikit-learn; with several labels classes_ is their
            numbers.
        wire_features_, wire_thresholds_: the feature and the threshold of each wire, (wires,); NaN for a wire without;
            not with planes.
        wire_names_: the meaning of each wire, such as "age > 3.5", "colour = red" or "x0 is missing".
        is_categorical_: which features are categories, (F,) bool, or None if none is.
        spec_: the model, an :class:`rdahw.family.Spec`.
        state_: the trained state, an array for each field of the spec.
        counters_: the counters of an ensemble, int8 (tables, 2^inputs, classes).
        passes_: the number of epochs trained.
        choice_: with model "auto", a :class:`rdahw.sim.automatic.Choice`: what was tried and why the model was chosen.
        feature_importances_: of ensembles, see there.
    """

    _engine: SoftwareEngine
    _predictor: Predictor
    _conversion: Conversion | PlaneConversion
    _encoder: CategoryEncoder | None
    _marks: list[Marks]
    _writer: MarkWriter
    _seed: int
    #: How many labels an example may have; 0: it is of one class.
    _labels: int = 0

    def __init__(self, **parameters: Any) -> None:
        if unknown := parameters.keys() - _DEFAULTS.keys():
            raise TypeError(f"RDAClassifier has no parameter {min(unknown)!r}; expected any of {', '.join(_DEFAULTS)}")
        for name, default in _DEFAULTS.items():
            setattr(self, name, parameters.get(name, default))

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn wants to know: whether it may be given NaN, more than two classes, and several labels."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.image_shape is None
        tags.classifier_tags.multi_class = not (isinstance(self.model, str) and _tells_two_classes(self.model))
        model = self._model_for(_SETS)
        given = [name for name in _OPTIONS if not _same(getattr(self, name), _AUTO) and getattr(self, name) is not None]
        tags.classifier_tags.multi_label = isinstance(model, str) and _learns_sets(model, *given)
        return tags

    def _model_for(self, task: str) -> Any:
        """The model for ``task``: that of the parameter, unless this is the usual one of classes."""
        usual = task == _SETS and (_same(self.model, _MODEL) or _same(self.model, AUTO))
        return _MODEL_OF_SETS if usual else self.model

    # -- training ------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike) -> RDAClassifier:
        """Train a new model on examples X (N, F) and their labels y (N,); raises ValueError for invalid arguments."""
        array, labels = self._read(X, y, first=True)
        epochs = _whole("epochs", self.epochs)
        rows = self._weighted(labels)
        self._begin(array, np.arange(self._labels) if self._labels else np.unique(labels), labels, rows)
        array, labels = array[rows], labels[rows]
        self._learn(array, labels, self.spec_.schedule(len(labels)).get("epochs", epochs))
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> RDAClassifier:
        """Continue training: one epoch of these examples, in random order.

        The first call needs ``classes``, all labels of this and later calls, unless y is (N, L), and takes the
        thresholds from its X; if that is small, give ``thresholds``. N calls on the same examples equal one ``fit`` of
        N epochs, bit for bit.
        """
        first = not hasattr(self, "_engine")
        if _same(self.class_weight, _BALANCED):
            raise ValueError("class_weight 'balanced' needs all examples, and partial_fit has a part; give the weights")
        array, labels = self._read(X, y, first=first)
        rows = self._weighted(labels)
        if self._labels and classes is None:
            classes = np.arange(self._labels)
        if first and classes is None:
            raise ValueError("classes were not given; the first call of partial_fit needs classes=, all of the labels")
        if first:
            self._begin(array, unique_labels(classes), labels, rows)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes are {classes!r}; those of the first call of partial_fit were {self.classes_!r}")
        self._learn(array[rows], labels[rows], 1)
        return self

    def _weighted(self, labels: NDArray[Any]) -> Any:
        """The numbers of the examples to learn, each as often as the weight of its class says, or all of them."""
        given = self.class_weight
        if given is None:
            return slice(None)
        if self._labels:
            raise ValueError(f"class_weight is {given!r}, and examples have several labels; leave it out")
        if _same(given, _BALANCED):
            return spread(to_balance(np.unique(labels, return_inverse=True)[1]))
        weights = compute_sample_weight(given, labels) if isinstance(given, dict) else np.full(1, -1.0)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError(
                f"class_weight is {given!r}; expected None, 'balanced', or a dict of weights of at least 0, not all 0"
            )
        return spread(repeats_of(weights))

    @property
    def _finite(self) -> Any:
        """What scikit-learn's checks are told: whether numbers must be finite."""
        return True if self.image_shape is not None else "allow-nan"

    def _read(self, X: ArrayLike, y: ArrayLike, *, first: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Examples to learn, as numbers, and their labels; the ``first`` ones say which columns are categories."""
        if first:
            self.is_categorical_ = chosen = find_categorical(X, self.categorical_features)
            self._encoder = None if chosen is None else CategoryEncoder(X, chosen)
        several = _is_indicator(y)
        if self._encoder is None:
            more = {"ensure_all_finite": self._finite, "multi_output": several}
            array, labels = validate_data(self, X, y, reset=first, **more)
            array = _as_numbers(array)
        else:
            _, labels = validate_data(self, X, y, reset=first, skip_check_array=True)
            labels = labels if several else column_or_1d(labels, warn=True)
            check_consistent_length(X, labels)
            array = self._encoder.transform(X)
        check_classification_targets(labels)
        count, sets = _sets_of(labels) if several else (0, labels)
        if not first and count != self._labels:
            raise ValueError(f"y has {count or 'no'} columns of labels; it had {self._labels or 'none'} at first")
        self._labels = count
        return array, sets

    def _begin(self, array: NDArray[Any], classes: NDArray[Any], y: NDArray[Any], rows: Any) -> None:
        """Choose the wires and make an untrained model, prepared by the examples ``rows`` of these."""
        if len(classes) < 2:
            raise ValueError(f"y has {len(classes)} class; expected 2 or more")
        kind = _SETS if self._labels else USUAL_TASK
        model = self._model_for(kind)
        shape, features = self.image_shape, array.shape[1]
        if shape is not None and not (
            np.shape(shape) in ((2,), (3,)) and np.prod(shape) == features and min(shape) > 0
        ):
            raise ValueError(f"image_shape is {shape!r}; expected two or three numbers whose product is {features}")
        if shape is not None and self.is_categorical_ is not None:
            raise ValueError(f"image_shape is {shape!r}, and X has columns of categories; leave one of them out")
        self._marks = find_marks(array, self._encoder)
        self._writer = MarkWriter(self._marks)
        try:
            seed = _draw_seed(self.random_state)
            if _same(model, AUTO):
                self.choice_ = self._choose(array, classes, y, seed)
                family, candidate = find_family(self.choice_.trial.family), self.choice_.trial.candidate
            else:
                self.__dict__.pop("choice_", None)  # not that of an earlier fit
                family, given = _chosen(self, model, kind, _OPTIONS, _MODEL_OF_SETS if self._labels else _MODEL)
                candidate = Candidate(options=given)
            array, y = array[rows], y[rows]
            if family.two_classes and len(classes) > 2:
                raise UserError(
                    f"Only binary classification is supported by model {self.model!r}, and y has {len(classes)} "
                    "classes; choose another model, or two of the classes"
                )
            conversion, meaning = self._convert(array, family, candidate)
            task = self._task(conversion.width, len(classes), seed)
            spec = spec_of(family, candidate, task)
            self.classes_, self._conversion, self.passes_ = classes, conversion, 0
            for name in ("wire_features_", "wire_thresholds_"):  # not those of an earlier fit
                self.__dict__.pop(name, None)
            self.__dict__.update(meaning)
            threads = self._threads()
            if spec.preparation is not None:
                examples = self._examples(array, self._numbers(y), spec)
                spec = prepare(spec, examples, partial(make_engine, threads=threads))
            if spec.caution:
                warnings.warn(spec.caution, UserWarning, stacklevel=3)
            engine = make_engine(spec, predicting_row(spec, len(array)).name, threads=threads)
        except UserError as error:
            raise ValueError(str(error)) from None
        self._seed = seed
        self._run(engine)

    def _run(self, engine: SoftwareEngine) -> None:
        self._engine, self._predictor = engine, make_predictor(engine)

    def _threads(self) -> int:
        if self.n_jobs is None:
            return 1
        if self.n_jobs == -1:
            return os.cpu_count() or 1
        return _whole("n_jobs", self.n_jobs, ", or -1 for all cores")

    def _choose(self, array: NDArray[Any], classes: NDArray[Any], y: NDArray[Any], seed: int) -> Choice:
        """The best of the models that suit data of this size."""
        for name in _OPTIONS:
            value = getattr(self, name)
            if not _same(value, _AUTO) and value is not None:
                raise UserError(f"{name} is {value!r}, and model {AUTO!r} chooses it; leave it out, or name a model")
        labels = _numbers(y, classes)

        def look(family: Family, candidate: Candidate, rows: NDArray[np.int64]) -> tuple[Task, Examples]:
            conversion, _ = self._convert(array[rows], family, candidate)
            bits = self._bits(array[rows], conversion)
            return self._task(conversion.width, len(classes), seed), Examples(bits, labels[rows])

        rows = len(array)
        columns = sum((marks.column.kind == "number") + marks.width for marks in self._marks)
        size = DataSize(rows=rows, columns=columns, classes=len(classes), images=self.image_shape is not None)
        return choose(size, labels, look, seed=seed, epochs=_whole("epochs", self.epochs))

    def _task(self, wires: int, classes: int, seed: int) -> Task:
        image = None
        if self.image_shape is not None:
            height, width = map(int, self.image_shape[-2:])
            image = Image(wires // (height * width), height, width)
        count = self._labels
        kind: dict[str, Any] = (
            {"kind": _SETS, "classes": 1 << count, "labels": count} if count else {"classes": classes}
        )
        return Task(input_bits=wires, image=image, seed=seed, **kind)

    def _numbers(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """The numbers of the labels (N,) of :meth:`_read`."""
        return y if self._labels else _numbers(y, self.classes_)

    def _convert(
        self, array: NDArray[Any], family: Family, candidate: Candidate
    ) -> tuple[Conversion | PlaneConversion, dict[str, Any]]:
        """What makes wires of features, and the attributes that tell what they mean."""
        if isinstance(self.bits, str) and self.bits != _AUTO:
            return _Planes(self._planes(array.shape[1])), {}
        features, thresholds = self._wires(array, family, candidate)
        return self._make_conversion(features, thresholds), {"wire_features_": features, "wire_thresholds_": thresholds}

    def _planes(self, features: int) -> PlaneBinariser:
        names = [f"x{i}" for i in range(features)]
        shape = None if self.image_shape is None else tuple(map(int, self.image_shape))
        if shape is not None and len(shape) == 3 and shape[0] == 1:
            shape = shape[1:]
        if shape is not None and len(shape) == 3 and shape[0] != 3:
            raise UserError(f"image_shape is {shape}, and planes need images with 1 or 3 channels; give thresholds")
        if self.thresholds is not None:
            raise UserError("bits is a rule of planes and thresholds are given, too; leave one of them out")
        return PlaneBinariser.make(self.bits, [Column("number")] * features, names, shape)

    def _wires(
        self, array: NDArray[Any], family: Family, candidate: Candidate
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The feature and the threshold of each wire."""
        levels = self._levels(array, family, candidate)
        if self.image_shape is not None and len({len(values) for values in levels}) != 1:
            raise UserError("the pixels have different numbers of thresholds; expected the same number for each")
        features, thresholds = _arrange(levels)
        marked = np.repeat(np.arange(len(self._marks)), [marks.width for marks in self._marks])
        features = np.concatenate([features, marked])
        thresholds = np.concatenate([thresholds, np.full(len(marked), np.nan)])
        if not len(features):  # all examples are equal: one wire, which is always 0
            return np.zeros(1, np.int64), np.array([array[:, 0].max()], np.float64)
        return features, thresholds

    def _levels(self, array: NDArray[Any], family: Family, candidate: Candidate) -> list[NDArray[np.float64]]:
        """The thresholds of each feature, in rising order."""
        features = array.shape[1]
        if self.thresholds is not None:
            given = _given_levels(self.thresholds, features)
            return [levels if number else levels[:0] for levels, number in zip(given, self._is_number, strict=True)]
        pixels = self.image_shape is not None
        usual = candidate.thresholds or family.thresholds[pixels]
        most = usual if _same(self.bits, _AUTO) else _whole("bits", self.bits)
        if pixels:
            low, high = float(array.min()), float(array.max())
            return [low + (high - low) * np.arange(1, most + 1) / (most + 1)] * features
        # Sorted, NaN is last. All that is missing, and categories, have no thresholds.
        columns = (np.sort(array[:, i]).astype(np.float64) for i in range(features))
        there = (column[: np.searchsorted(column, np.nan)] for column in columns)
        zipped = zip(there, self._is_number, strict=True)
        return [_quantile_levels(values if number else values[:0], most) for values, number in zipped]

    @property
    def _is_number(self) -> list[bool]:
        """Which features are numbers."""
        return [marks.column.kind == "number" for marks in self._marks]

    def _make_conversion(self, features: NDArray[np.int64], thresholds: NDArray[np.float64]) -> Conversion:
        """The conversion to these wires of what :meth:`_with_marks` gives."""
        marks = np.isnan(thresholds)
        return Conversion(
            np.where(marks, len(self._marks) - 1 + marks.cumsum(), features), np.where(marks, 0.5, thresholds)
        )

    def _with_marks(self, array: NDArray[Any]) -> NDArray[Any]:
        """Examples (N, F) with a column more for each wire that is not a threshold."""
        if not self._writer.width:
            return array
        bits = np.zeros((len(array), self._writer.width), np.uint8)
        self._writer.write(array, bits)
        return np.hstack([array, bits])

    def _bits(self, array: NDArray[Any], conversion: Conversion | PlaneConversion) -> PackedBits:
        """The wires (N, width) of examples (N, F)."""
        array, starts = conversion.check(array), range(0, len(array), _ROWS)
        words = [conversion.pack(self._with_marks(array[start : start + _ROWS]))[0] for start in starts]
        return PackedBits(np.concatenate(words), conversion.width)

    def _learn(self, array: NDArray[Any], y: NDArray[Any], passes: int) -> None:
        labels = self._numbers(y)
        # As if all epochs before had used these examples: their order depends on the place in the run.
        count = len(labels) << self.spec_.mirror
        done = self.passes_ * count
        usual, epochs = self.spec_.schedule(count), self.passes_ + passes
        epochs = min(epochs, usual.get("epochs", epochs))
        if epochs == self.passes_:  # a model that has all that it will ever have
            return
        schedule = Schedule(**{"shuffle": True, **usual, "epochs": epochs, "seed": self._seed})
        progress = Progress(epoch=self.passes_, examples=done, updates=-(-done // schedule.batch))
        examples = self._examples(array, labels, self.spec_)
        for _ in Training(self._engine, schedule, examples, progress=progress).run():
            pass
        self.passes_ = epochs

    def _examples(self, array: NDArray[Any], labels: NDArray[np.int64], spec: Spec) -> Examples:
        """The training examples of ``spec``."""
        if spec.mirror:
            array, labels = with_mirrored(array, tuple(self.image_shape)), np.tile(labels, 2)
        return Examples(self._bits(array, self._conversion), labels)

    # -- predicting ----------------------------------------------------------------------------------------------------

    def _checked(self, X: ArrayLike) -> NDArray[Any]:
        """X as an array; NaN and infinities are left to the conversion, which reads all of it anyway."""
        check_is_fitted(self)
        if self._encoder is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            return self._encoder.transform(X)
        return _as_numbers(validate_data(self, X, reset=False, ensure_all_finite=False))

    def _of_blocks(
        self, X: ArrayLike, array: NDArray[Any], compute: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        """What ``compute`` makes of the scores (n, classes) of X, as ``array`` (N, F), block by block."""

        def block(start: int) -> tuple[NDArray[Any], bool]:
            words, finite = self._conversion.pack(self._with_marks(array[start : start + _ROWS]))
            return compute(self._predictor.scores(words)), finite

        array = self._conversion.check(array)
        starts, threads = range(0, len(array), _ROWS), self._threads()
        if threads > 1 and len(starts) > 1:
            with ThreadPoolExecutor(threads) as pool:
                found = list(pool.map(block, starts))
        else:
            found = list(map(block, starts))
        if not all(finite for _, finite in found):
            self._check_finite(X, array)
        return np.concatenate([result for result, _ in found])

    def _check_finite(self, X: ArrayLike, array: NDArray[Any]) -> None:
        """Raise scikit-learn's own error for infinite numbers in X, as ``array``, and for NaN in images, unless it is
        told to assume that there are none."""
        if self.image_shape is not None or np.isinf(array).any():
            validate_data(self, X, reset=False, ensure_all_finite=self._finite)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """The scores of examples X (N, F), whole numbers: (N, classes), or for two classes the score of ``classes_[1]``
        minus that of ``classes_[0]``, (N,). Without scores: 1 for the predicted class, else 0. With several labels:
        (N, L), above 0 for those that are predicted."""
        scores = self._of_blocks(X, self._checked(X), lambda scores: scores.astype(np.float64))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 and not self._labels else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The labels (N,) of examples X (N, F), by the largest score; the first class on a tie, or if the outputs of a
        circuit are not the code of a class. With several labels: 0 or 1 for each, (N, L)."""
        array = self._checked(X)
        if len(array) == 1:  # without the others that would share its words
            bits, finite = self._conversion.one(self._with_marks(array)[0].astype(np.float64))
            if not finite:
                self._check_finite(X, array)
            return np.asarray(self._named(self._predictor.class_of(bits)))[None]
        if self._labels:
            return self._of_blocks(X, array, lambda scores: (scores > 0).astype(np.int64))
        numbers = self._of_blocks(X, array, lambda scores: scores.argmax(axis=1))
        return np.asarray(self.classes_[numbers])

    def _named(self, number: int) -> Any:
        """The label of this number; with several labels: 0 or 1 for each, (L,)."""
        if self._labels:
            return members_of_sets(np.array([number]), self._labels)[0]
        return self.classes_[number]

    def predict_one(self, x: ArrayLike) -> Any:
        """The label of one example x (F,), numbers and categories in a sequence or in an array of one dimension, as
        :meth:`predict` gives it, within microseconds; an array of float64 is converted quickest.

        Names of features are not compared. NaN, None and the NA of pandas are missing values. Raises ValueError if x is
        not F values, finite where they are numbers, and scikit-learn's NotFittedError before ``fit``.
        """
        if not hasattr(self, "_predictor"):
            check_is_fitted(self)
        try:
            array = np.asarray(x if self._encoder is None else self._encoder.one(x))
            if array.dtype.kind == "O":  # what else is missing than NaN
                array = np.array([np.nan if is_missing(value) else float(value) for value in array])
            row = array.astype(np.float64, casting="same_kind")
        except (OverflowError, TypeError, ValueError):
            raise ValueError(f"x is {x!r:.60}; expected a row of {self.n_features_in_} numbers") from None
        if row.shape != (self.n_features_in_,):
            raise ValueError(
                f"x has the shape {row.shape}; expected a row of {self.n_features_in_} numbers; predict takes many rows"
            )
        bits, finite = self._conversion.one(self._with_marks(row[None])[0] if self._writer.width else row)
        if not finite:
            wrong = np.isinf(row) if self.image_shape is None else ~np.isfinite(row)
            for place in np.flatnonzero(wrong)[:1]:
                raise ValueError(f"x[{place}] is {row[place]}; expected a finite number")
        return self._named(self._predictor.class_of(bits))

    # -- the trained model ---------------------------------------------------------------------------------------------

    @property
    def spec_(self) -> Spec:
        """The model, its seed included."""
        return self._engine.spec

    @property
    def state_(self) -> Mapping[str, NDArray[Any]]:
        """A copy of the trained state: the array of each field of :attr:`spec_`."""
        return self._engine.state

    @property
    def wire_names_(self) -> list[str]:
        """The meaning of each wire, with the names of the features, or x0, x1, …"""
        check_is_fitted(self)
        if isinstance(self._conversion, PlaneConversion):
            return list(self._conversion.binariser.wire_names)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        numbers = [(f, t) for f, t in zip(self.wire_features_, self.wire_thresholds_, strict=True) if t == t]
        found = [f"{names[feature]} > {threshold:g}" for feature, threshold in numbers]
        return found + [name for marks, column in zip(self._marks, names, strict=True) for name in marks.names(column)]

    @property
    def counters_(self) -> NDArray[np.int8]:
        """A copy of the counters of an ensemble, int8 (tables, 2^inputs, classes)."""
        state = self.state_
        if "counters" not in state:
            raise AttributeError(f"model {self.spec_.family!r} has no counters; state_ has {', '.join(state)}")
        return state["counters"]

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """How much the scores depend on each feature, (F,), of sum 1 (or all 0); only for models with such a measure.

        The effect of a wire on a score is the change of the tables' scores when its bit goes from 0 to 1, summed over
        all indices that were trained (have a counter that is not zero) with both values. A feature's importance is the
        sum of its wires' absolute effects over all classes. Features that matter only together, as in XOR, are
        underrated; for the loss of accuracy on given data use :func:`sklearn.inspection.permutation_importance`.
        """
        check_is_fitted(self)
        planes = isinstance(self._conversion, PlaneConversion)
        sizes = None if planes else self.spec_.importances(self.state_)
        if sizes is None:
            what = f"model {self.model!r} has no importances{' of planes' * planes}"
            raise AttributeError(f"{what}; use sklearn.inspection.permutation_importance")
        total = np.bincount(self.wire_features_, weights=sizes, minlength=self.n_features_in_)
        return np.asarray(total / (total.sum() or 1.0))

    # -- saving --------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays, so that pickles do not depend on the engine."""
        state = dict(super().__getstate__())
        names = ("_engine", "_conversion", "_predictor", "_writer")
        engine, conversion, *_ = (state.pop(name, None) for name in names)
        if engine is not None:
            state["_binariser"] = getattr(conversion, "binariser", None)
            state["_learned"] = (engine.spec.family, engine.spec.to_json(), engine.name, dict(engine.state))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        learned, binariser = (state.pop(name, None) for name in ("_learned", "_binariser"))
        super().__setstate__({**_DEFAULTS, **state})  # an earlier version may have had fewer parameters
        if learned is not None:
            family, spec, name, values = learned
            if not hasattr(self, "_marks"):  # saved by a version without them
                self._encoder, self.is_categorical_ = None, None
                self._marks = [Marks(Column("number"))] * self.n_features_in_
            self._writer = MarkWriter(self._marks)
            engine = make_engine(find_family(family).read(spec), name, threads=self._threads())
            engine.state = values
            if binariser is None:
                self._conversion = self._make_conversion(self.wire_features_, self.wire_thresholds_)
            else:
                self._conversion = _Planes(binariser)
            self._run(engine)


RDAClassifier.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        *(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=value) for n, value in _DEFAULTS.items()),
    ]
)
if RDAClassifier.__doc__ is not None:
    RDAClassifier.__doc__ = RDAClassifier.__doc__.replace("{options}", _describe_options(_OPTIONS, _MODEL))


@cache
def _learns_sets(model: str, *options: str) -> bool:
    """Whether the model learns several labels, and has these options."""
    try:
        family = parse_model(model)[0]
    except UserError:  # which ``fit`` raises
        return False
    return _SETS in family.tasks and all(map(family.option, options))


@cache
def _tells_two_classes(model: str) -> bool:
    try:
        return parse_model(model)[0].two_classes
    except UserError:  # which ``fit`` raises
        return False


def _is_indicator(y: Any) -> bool:
    """Whether y is 0 and 1 for several labels."""
    try:
        dimensions = len(y.shape if hasattr(y, "shape") else np.asarray(y).shape)
    except ValueError:  # rows of different lengths, which scikit-learn's checks refuse
        return False
    return dimensions == 2 and type_of_target(y, input_name="y") == "multilabel-indicator"


def _sets_of(labels: Any) -> tuple[int, NDArray[np.int64]]:
    """How many labels there are, and the set of each example, (N,), from 0 and 1 (N, L), which may be sparse."""
    members = np.asarray(labels.toarray() if hasattr(labels, "toarray") else labels)
    if members.shape[1] > MAX_LABELS or not np.isin(members, (0, 1)).all():
        values = ", ".join(map(str, np.unique(members)[:3]))
        raise ValueError(
            f"y has the shape {members.shape} and the values {values}; expected 0 and 1 for at most {MAX_LABELS} labels"
        )
    return members.shape[1], label_sets(members)


def _chosen(estimator: Any, model: Any, task: str, names: Iterable[str], usual: str) -> tuple[Family, dict[str, Any]]:
    """The family and the options that ``model`` and the parameters ``names`` of an estimator give for ``task``.

    ``usual``: a model that errors name. Raises UserError for a model of other tasks, an option that it does not have,
    and one that is given twice.
    """
    if not isinstance(model, str):
        raise UserError(f"model is {model!r}; expected text such as {usual!r}")
    family, given = parse_model(model)
    if task not in family.tasks:
        raise UserError(
            f"model {model!r} is for {' and '.join(family.tasks)}, and {type(estimator).__name__} was to learn {task}; "
            f"choose a model such as {usual!r}"
        )
    for name in names:
        value = getattr(estimator, name)
        if not _same(value, _AUTO) and value is not None:
            if name in ("loss", "optimiser"):
                chosen = family.rule_options(name, str(value))
            else:
                chosen = {name: family.known(name).parse(value, family.name)}
            for option, said in chosen.items():
                if given.setdefault(option, said) != said:
                    raise UserError(
                        f"{option} is both {given[option]} and {said}, by model {model!r} and by parameters; leave one "
                        "of them out"
                    )
    return family, given


def _draw_seed(random_state: Any) -> int:
    seed = int(random_state) if isinstance(random_state, np.integer) else random_state
    if not is_int(seed):
        seed = int(check_random_state(seed).randint(1 << 31))
    if not 0 <= seed < 1 << 64:
        raise UserError(f"random_state is {seed}; expected a whole number from 0 to {(1 << 64) - 1}")
    return seed


def _same(a: Any, b: Any) -> bool:
    """Whether two values of an option are equal; equal arrays count as different."""
    return a is b or (isinstance(a, str | int | float | np.generic) and bool(a == b))


def _quantile_levels(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most ``most`` thresholds for the sorted ``values`` (N,): quantiles, or one between any two values if few."""
    if not len(values):
        return values
    distinct = np.unique(values)
    below = distinct[:-1]
    if len(below) > most:
        ranks = -(-np.arange(1, most + 1) * len(values) // (most + 1)) - 1
        below = np.unique(values[ranks])
        below = below[below < distinct[-1]]
        if not len(below):  # nearly all values are the largest one
            below = distinct[-2:-1]
    above = distinct[np.searchsorted(distinct, below, side="right")]
    middle = below / 2 + above / 2
    return np.where((below <= middle) & (middle < above), middle, below)  # adjacent floats have no value between them


def _given_levels(thresholds: Any, features: int) -> list[NDArray[np.float64]]:
    """The thresholds of each feature, from those for all features or a sequence for each."""
    rows = list(thresholds)
    if all(np.ndim(row) == 0 for row in rows):
        rows = [rows] * features
    if len(rows) != features:
        raise ValueError(f"thresholds are for {len(rows)} features; expected {features}, or one sequence for all")
    levels = [np.unique(np.asarray(row, np.float64)) for row in rows]
    if not all(np.isfinite(values).all() for values in levels) or not any(map(len, levels)):
        raise ValueError(f"thresholds are {thresholds!r}; expected finite numbers, at least one")
    return levels


def _arrange(levels: list[NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The wires' features and thresholds: the first threshold of each feature, then the second of each, …"""
    plane = np.concatenate([np.arange(len(values)) for values in levels])
    feature = np.repeat(np.arange(len(levels)), [len(values) for values in levels])
    order = np.lexsort((feature, plane))
    return feature[order], np.concatenate(levels)[order]


def _as_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """X (N, F) as scikit-learn's checks give it, which leave the categories of a data frame as objects."""
    try:
        return array.astype(np.float64) if array.dtype.kind == "O" else array
    except (TypeError, ValueError) as error:
        raise ValueError(f"X has columns that are not numbers ({error}); name them in categorical_features") from None


def _numbers(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """The numbers of the labels (N,) among the classes; raises ValueError for others."""
    labels = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = y[classes[labels] != y]
    if len(unknown):
        raise ValueError(f"y has the label {unknown[0]!r}, which is not among the classes {classes!r}")
    return labels


def _whole(name: str, value: Any, other: str = "") -> int:
    value = int(value) if isinstance(value, np.integer) else value
    if not is_int(value) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1{other}")
    return int(value)
