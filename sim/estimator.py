"""Models as a scikit-learn classifier, ``rdahw.RDAClassifier`` (``pip install 'rdahw[sklearn]'``)."""

from __future__ import annotations

import os
import warnings
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data import MAX_LABELS, Column, label_sets, members_of_sets
from rdahw.data.images import Image, with_mirrored
from rdahw.data.plane_binariser import PlaneBinariser
from rdahw.errors import MissingError, UsageError, UserError
from rdahw.families import find_family, parse_model
from rdahw.family import AUTO, USUAL_TASK, Candidate, DataSize, Family, Spec, Task
from rdahw.jobs import ThreadJobs
from rdahw.sim.automatic import Choice, choose, spec_of
from rdahw.sim.conversion import Conversion
from rdahw.sim.engines import make_engine, predicting_row
from rdahw.sim.planes import PlaneConversion
from rdahw.training import Examples, Progress, Schedule, Training, prepare, repeats_of, to_balance

try:
    from sklearn.base import ClassifierMixin  # type: ignore[import-untyped]
    from sklearn.utils.class_weight import compute_sample_weight  # type: ignore[import-untyped]
    from sklearn.utils.multiclass import (  # type: ignore[import-untyped]
        check_classification_targets,
        type_of_target,
        unique_labels,
    )
    from sklearn.utils.validation import check_is_fitted  # type: ignore[import-untyped]

    from rdahw.sim.columns import is_missing
    from rdahw.sim.weights import arranged, weighted
    from rdahw.sim.wires import Planes, WireEstimator, chosen, draw_seed, same, whole
except ImportError as error:
    raise MissingError(
        f"RDAClassifier needs scikit-learn 1.6 or newer ({error}); install it with pip install 'rdahw[sklearn]'"
    ) from error

__all__ = ["RDAClassifier"]

_BALANCED = "balanced"
_MODEL = "ensemble"
#: Examples with several labels: the task, and the model that stands for the default and for "auto".
_SETS, _MODEL_OF_SETS = "multilabel", "boosted"


class RDAClassifier(ClassifierMixin, WireEstimator):  # type: ignore[misc]
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
            ones, with those that ``fit`` did not have, may share one. With "from_dtype", categories that have an order
            get thresholds in that order, as numbers do: those of an ordered type of pandas or an Enum of polars, and at
            most 10 categories that are all numbers. What has no place in the order is a missing value.
        class_weight: None, "balanced", which learns the examples of rare classes more often so that all classes are
            equally frequent (as ``rdahw train --balance``), or the weight of each class, a dict; 1 for the others.
        random_state: the seed of all randomness; a RandomState or None draws one.
        n_jobs: how many threads predict, grow tables and try models ("auto"), -1 for one on each core; None is 1. The
            bits are the same.

    An example of a class of weight w is learned w times in each epoch. Whole numbers up to 1,000 stay as they are;
    other weights are divided by the smallest one above 0, or by a thousandth of the largest if that is more, rounded,
    halves up, and divided by their greatest common divisor. ``sample_weight`` in ``fit`` does the same for single
    examples, times the weight of the class, but other weights are divided by the smallest one above 0, or by a
    sixteenth of the mean of those if that is more: so none is off by more than 1/32 of the mean, and an epoch has less
    than 17 times as many examples. An example of weight 0 is left out, as if it were not in X.

    Thresholds, the choice of a model by "auto" and training see an example that comes w times as w examples. If any
    comes more than once, by its weight or because X has equal rows with equal labels, the order of X does not matter:
    examples are put into the order of a hash of their values before the seed shuffles them, so that weights and repeats
    give the same bits. Where all are different, they are shuffled as they are given. As "auto" learns some of the w
    examples and is tested on others, it prefers models that learn by heart if weights are large; name a model then.

    NaN in X is a missing value, except in images: its wires are 0, and a feature that has NaN in ``fit`` has one more
    wire, which is 1 there.

    Options of the model, which may also be given in ``model``; their default is "auto". An option
    called like a parameter above can be given in ``model`` only:
        {options}

    If X is not images, the margin "auto" is 2 a table, 2/25 with ``sign``, and tables have at most as many inputs as
    there are wires.

    Attributes after ``fit``:
        classes_, n_features_in_, feature_names_in_: as in all of scikit-learn; with several labels ``classes_`` is
            their numbers.
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

    _TASK = USUAL_TASK
    _OWN = {
        "model": _MODEL,
        "epochs": 15,
        "bits": AUTO,
        "thresholds": None,
        "image_shape": None,
        "categorical_features": "from_dtype",
        "class_weight": None,
        "random_state": 0,
        "n_jobs": None,
    }

    _seed: int
    #: How many labels an example may have; 0: it is of one class.
    _labels: int = 0

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn wants to know: whether it may be given NaN, more than two classes and several labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = not (isinstance(self.model, str) and _tells_two_classes(self.model))
        model = self._model_for(_SETS)
        values = vars(self)  # scikit-learn asks at each prediction, and most options are as they were made
        given = [name for name in self._OPTIONS if values[name] is not AUTO and self._is_given(name)]
        tags.classifier_tags.multi_label = isinstance(model, str) and _learns_sets(model, *given)
        return tags

    def _model_for(self, task: str) -> Any:
        """The model for ``task``: that of the parameter, unless this is the usual one of classes."""
        usual = task == _SETS and (same(self.model, _MODEL) or same(self.model, AUTO))
        return _MODEL_OF_SETS if usual else self.model

    # -- training ------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> RDAClassifier:
        """Train a new model on examples X (N, F) and their labels y (N,), of weights ``sample_weight`` (N,), at least
        0 and not all 0; raises ValueError for invalid arguments."""
        X, y, repeats = weighted(X, y, sample_weight)
        array, labels = self._read(X, y, first=True)
        epochs = whole("epochs", self.epochs)
        array, labels = self._arranged(array, labels, repeats)
        rows = self._weighted(array, labels)
        classes = np.arange(self._labels) if self._labels else np.unique(labels)
        if sample_weight is not None and len(classes) < 2:
            raise ValueError("y has 1 class with a sample_weight above 0; expected 2 or more")
        self._begin(array, classes, labels, rows)
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
        if same(self.class_weight, _BALANCED):
            raise ValueError("class_weight 'balanced' needs all examples, and partial_fit has a part; give the weights")
        array, labels = self._arranged(*self._read(X, y, first=first))
        rows = self._weighted(array, labels)
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

    def _arranged(
        self, array: NDArray[Any], labels: NDArray[Any], repeats: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The examples to learn and their labels, each example ``repeats`` (N,) times; raises ValueError for images
        that cannot be, while they are in the order of X."""
        shape, features = self.image_shape, array.shape[1]
        if shape is not None and not (
            np.shape(shape) in ((2,), (3,)) and np.prod(shape) == features and min(shape) > 0
        ):
            raise ValueError(f"image_shape is {shape!r}; expected two or three numbers whose product is {features}")
        if shape is not None and self.is_categorical_ is not None:
            raise ValueError(f"image_shape is {shape!r}, and X has columns of categories; leave one of them out")
        if self._has_planes:
            try:
                Planes(self._planes(features)).check(array)
            except UserError as error:
                raise ValueError(str(error)) from None
        rows = arranged(array, labels, repeats)
        return array[rows], labels[rows]

    def _weighted(self, array: NDArray[Any], labels: NDArray[Any]) -> Any:
        """The numbers of the examples to learn, each as often as the weight of its class says, or all of them."""
        given = self.class_weight
        if given is None:
            return slice(None)
        if self._labels:
            raise ValueError(f"class_weight is {given!r}, and examples have several labels; leave it out")
        if same(given, _BALANCED):
            return arranged(array, labels, to_balance(np.unique(labels, return_inverse=True)[1]))
        weights = compute_sample_weight(given, labels) if isinstance(given, dict) else np.full(1, -1.0)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError(
                f"class_weight is {given!r}; expected None, 'balanced', or a dict of weights of at least 0, not all 0"
            )
        return arranged(array, labels, repeats_of(weights))

    @property
    def _finite(self) -> Any:
        """What scikit-learn's checks are told: whether numbers must be finite."""
        return True if self.image_shape is not None else "allow-nan"

    def _read(self, X: ArrayLike, y: ArrayLike, *, first: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """Examples to learn, as numbers, and their labels; the ``first`` ones say which columns are categories."""
        several = _is_indicator(y)
        array, labels = self._read_columns(X, y, first=first, multi_output=several)
        if getattr(getattr(labels, "dtype", None), "kind", "") == "O" and any(map(is_missing, labels.ravel())):
            raise ValueError("y has a missing label; expected a label of each example")
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
        self._find_marks(array)
        try:
            seed = draw_seed(self.random_state)
            if same(model, AUTO):
                self.choice_ = self._choose(array, classes, y, seed)
                family, candidate = find_family(self.choice_.trial.family), self.choice_.trial.candidate
            else:
                self.__dict__.pop("choice_", None)  # not that of an earlier fit
                family, given = chosen(self, model, kind, self._OPTIONS, _MODEL_OF_SETS if self._labels else _MODEL)
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

    def _threads(self) -> int:
        if self.n_jobs is None:
            return 1
        if self.n_jobs == -1:
            return os.cpu_count() or 1
        return whole("n_jobs", self.n_jobs, ", or -1 for all cores")

    def _choose(self, array: NDArray[Any], classes: NDArray[Any], y: NDArray[Any], seed: int) -> Choice:
        """The best of the models that suit data of this size."""
        for name in filter(self._is_given, self._OPTIONS):
            value = getattr(self, name)
            raise UserError(f"{name} is {value!r}, and model {AUTO!r} chooses it; leave it out, or name a model")
        labels = _numbers(y, classes)

        def look(family: Family, candidate: Candidate, rows: NDArray[np.int64]) -> tuple[Task, Examples]:
            conversion, _ = self._convert(array[rows], family, candidate)
            bits = self._bits(array[rows], conversion)
            return self._task(conversion.width, len(classes), seed), Examples(bits, labels[rows])

        rows = len(array)
        columns = sum((marks.column.kind == "number") + marks.width for marks in self._marks)
        size = DataSize(rows=rows, columns=columns, classes=len(classes), images=self.image_shape is not None)
        jobs = ThreadJobs(self._threads()) if self._threads() > 1 else None
        return choose(size, labels, look, seed=seed, epochs=whole("epochs", self.epochs), jobs=jobs)

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
        if self._has_planes:
            return Planes(self._planes(array.shape[1])), {}
        usual = candidate.thresholds or family.thresholds[self.image_shape is not None]
        levels = self._levels(array, usual if same(self.bits, AUTO) else whole("bits", self.bits))
        if self.image_shape is not None and len({len(values) for values in levels}) != 1:
            raise UserError("the pixels have different numbers of thresholds; expected the same number for each")
        features, thresholds = self._wires(array, levels)
        return self._make_conversion(features, thresholds), {"wire_features_": features, "wire_thresholds_": thresholds}

    @property
    def _has_planes(self) -> bool:
        """Whether images become bits by a rule of planes."""
        return isinstance(self.bits, str) and self.bits != AUTO

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

    def _levels(self, array: NDArray[Any], most: int) -> list[NDArray[np.float64]]:
        if self.thresholds is not None or self.image_shape is None:
            return super()._levels(array, most)
        low, high = float(array.min()), float(array.max())
        return [low + (high - low) * np.arange(1, most + 1) / (most + 1)] * array.shape[1]

    def _learn(self, array: NDArray[Any], y: NDArray[Any], passes: int) -> None:
        self._compiled = None
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
            return np.asarray(self._named((self._compiled or self._predictor).class_of(bits)))[None]
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
        if self._compiled is not None and not self._writer.width:
            found = self._compiled.class_of_row(row)
            if found is not None:
                return self._named(found)
        bits, finite = self._conversion.one(self._with_marks(row[None])[0] if self._writer.width else row)
        if not finite:
            wrong = np.isinf(row) if self.image_shape is None else ~np.isfinite(row)
            for place in np.flatnonzero(wrong)[:1]:
                raise ValueError(f"x[{place}] is {row[place]}; expected a finite number")
        return self._named((self._compiled or self._predictor).class_of(bits))

    def compile(self) -> RDAClassifier:
        """Compile the model with a C compiler, and give it back: then :meth:`predict_one`, and :meth:`predict` of one
        row, take less time, until ``fit`` or ``partial_fit`` change it.

        Takes seconds for large models. Copies and saved files are not compiled. Raises :class:`rdahw.MissingError`
        without a C compiler, ValueError for a model that is too large for C, and scikit-learn's NotFittedError before
        ``fit``.
        """
        from rdahw.sim.c_library import CPredictor

        try:
            self._compiled = CPredictor(self.spec_, self.state_, self._conversion, self.n_features_in_)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self

    # -- the trained model ---------------------------------------------------------------------------------------------

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
        return self._importances()


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


def _numbers(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    """The numbers of the labels (N,) among the classes; raises ValueError for others."""
    labels = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = y[classes[labels] != y]
    if len(unknown):
        raise ValueError(f"y has the label {unknown[0]!r}, which is not among the classes {classes!r}")
    return labels
