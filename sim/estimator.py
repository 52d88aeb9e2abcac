"""Models as a scikit-learn classifier (``pip install 'rdahw[sklearn]'``): numbers in, labels out.

It is here and not in a layer below because it runs engines, and arrows between the layers run one way. Its public name
is ``rdahw.RDAClassifier``.

From features to bits: wire w of the model is 1 where ``X[:, wire_features_[w]] > wire_thresholds_[w]``. The wires are
ordered by the number of the threshold of its feature, then by feature, so those of images are whole planes.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data._json import is_int
from rdahw.data.images import Image
from rdahw.errors import MissingError, UserError
from rdahw.families import all_families, find_family, parse_model
from rdahw.family import Family, Option, Spec, Task
from rdahw.sim.engines import SoftwareEngine, make_engine, predicting_row
from rdahw.training import Examples, Progress, Schedule, Training

try:
    from sklearn.base import BaseEstimator, ClassifierMixin  # type: ignore[import-untyped]
    from sklearn.utils import check_random_state  # type: ignore[import-untyped]
    from sklearn.utils.multiclass import check_classification_targets, unique_labels  # type: ignore[import-untyped]
    from sklearn.utils.validation import check_is_fitted, validate_data  # type: ignore[import-untyped]
except ImportError as error:
    raise MissingError(
        f"RDAClassifier needs scikit-learn 1.6 or newer ({error}); install it with pip install 'rdahw[sklearn]'"
    ) from error

__all__ = ["RDAClassifier"]

#: Examples that are turned into wires at once: a bound on the memory that this takes.
_ROWS = 4096
#: An option that the model decides on.
_AUTO = "auto"
_MODEL = "ensemble"
#: The parameters that are the same for all models, with their defaults; those of the families come to them.
_OWN: dict[str, Any] = {
    "model": _MODEL,
    "epochs": 15,
    "bits": _AUTO,
    "thresholds": None,
    "image_shape": None,
    "random_state": 0,
}


def _options() -> dict[str, tuple[Any, Option, list[str]]]:
    """The options of all families, those of the usual one first: default, option, and the families that have it."""
    found: dict[str, tuple[Any, Option, list[str]]] = {}
    for family in sorted(all_families(skip_broken=True), key=lambda family: family.name != _MODEL):
        for option in family.options:
            usual = {option.name: option.default} | dict(family.classifier) if family.name == _MODEL else {}
            default = _AUTO if usual.get(option.name) is None else usual[option.name]
            if option.name not in _OWN:
                found.setdefault(option.name, (default, option, []))[2].append(family.name)
    return found


_OPTIONS = _options()
_DEFAULTS = _OWN | {name: default for name, (default, _, _) in _OPTIONS.items()}


def _describe_options() -> str:
    """The part of the docstring that says what the options of the families are."""
    lines = []
    for name, (default, option, families) in _OPTIONS.items():
        whose = "" if families == [_MODEL] else f" ({', '.join(families)})"
        usual = f'; "auto": {option.usual}' if default == _AUTO and option.usual else ""
        text = f"{name}: {option.help}{whose}; {option.expected}{usual}."
        lines.append(textwrap.fill(text, 108, initial_indent=" " * 8, subsequent_indent=" " * 12))
    return "\n".join(lines).strip()


class RDAClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model that learns by reverse derivative ascent, one example after another: an ensemble of lookup tables, or
    any other that gives classes.

    X is numbers (N, F), y any labels that scikit-learn knows as classes, two of them or more (an ensemble takes up to
    256). Examples have no weights, since each is one update or none. The same data and ``random_state`` give the same
    bits on every machine.

    Parameters:
        model: what learns, as for ``rdahw train --model``: NAME[:OPTION=VALUE,…] or FILE.py:NAME (the file is run).
        epochs: how often ``fit`` goes through the examples; a grown model has its own number, see its page.
        bits: at most how many thresholds a feature gets, or "auto": for ensembles 16, and 3 for images, for other
            models 1. They lie at the quantiles of the training values, halfway to the next value; a feature of few
            values gets one between any two, so that binary features stay as they are, and a constant one none. Those of
            images are evenly spaced between the smallest and the largest pixel, and the same for all.
        thresholds: instead of ``bits``, the thresholds of all features, or a sequence of them for each feature.
        image_shape: (height, width) or (channels, height, width) where X is images, each one row of X.
        random_state: the seed of all randomness; a RandomState or None draws one.

    Options of the model, which may stand in ``model`` as well; those of other models must be left as they are:
        {options}

    Where X is no images, the margin "auto" is 2 a table, 2/25 with ``sign``, and tables have no more inputs than there
    are wires.

    Attributes after ``fit``:
        classes_, n_features_in_, feature_names_in_: as everywhere in scikit-learn.
        wire_features_, wire_thresholds_: what each wire says, (wires,).
        spec_: the model, an :class:`rdahw.family.Spec`.
        state_: what was learned, an array for each field of the spec.
        counters_: of ensembles: the counters, int8 (tables, 2^inputs, classes).
        passes_: how often it went through examples.
        feature_importances_: of ensembles, see there.
    """

    _engine: SoftwareEngine
    _seed: int

    def __init__(self, **parameters: Any) -> None:
        if unknown := parameters.keys() - _DEFAULTS.keys():
            raise TypeError(f"RDAClassifier has no parameter {min(unknown)!r}; expected any of {', '.join(_DEFAULTS)}")
        for name, default in _DEFAULTS.items():
            setattr(self, name, parameters.get(name, default))

    # -- learning ------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike) -> RDAClassifier:
        """Learn from examples X (N, F) and their labels y (N,), forgetting what was known.

        Raises ValueError for data or parameters that do not fit, as scikit-learn does.
        """
        array, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        epochs = _whole("epochs", self.epochs)
        self._begin(array, np.unique(labels))
        self._learn(array, labels, self.spec_.schedule(len(labels)).get("epochs", epochs))
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> RDAClassifier:
        """Go on learning: once through these examples, in random order.

        The first call needs ``classes``, all labels that will ever come, and takes the thresholds from its X, which
        should therefore not be small; give ``thresholds`` where it is. Calls on the same examples equal one ``fit`` of
        as many epochs, bit for bit.
        """
        first = not hasattr(self, "_engine")
        array, labels = validate_data(self, X, y, reset=first)
        check_classification_targets(labels)
        if first and classes is None:
            raise ValueError("classes were not given; the first call of partial_fit needs classes=, all of the labels")
        if first:
            self._begin(array, unique_labels(classes))
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes are {classes!r}; those of the first call of partial_fit were {self.classes_!r}")
        self._learn(array, labels, 1)
        return self

    def _begin(self, array: NDArray[Any], classes: NDArray[Any]) -> None:
        """Decide on wires and model, and start from nothing learned."""
        if len(classes) < 2:
            raise ValueError(f"y has {len(classes)} class; expected 2 or more")
        shape, features = self.image_shape, array.shape[1]
        if shape is not None and not (np.shape(shape) in ((2,), (3,)) and np.prod(shape) == features):
            raise ValueError(f"image_shape is {shape!r}; expected two or three numbers whose product is {features}")
        try:
            family, options = self._chosen()
        except UserError as error:
            raise ValueError(str(error)) from None
        levels = self._levels(array, family)
        if shape is not None and len({len(values) for values in levels}) != 1:
            raise ValueError("the pixels have different numbers of thresholds; expected as many for each")
        wire_features, wire_thresholds = _arrange(levels)
        if not len(wire_features):  # nothing tells the examples apart: one wire, which is always 0
            wire_features, wire_thresholds = np.zeros(1, np.int64), np.array([array[:, 0].max()], np.float64)
        try:
            task = self._task(len(wire_features), len(classes))
            spec = family.spec(task, **family.fit_classifier(task, options))
            engine = make_engine(spec, predicting_row(spec, len(array)).name)
        except UserError as error:
            raise ValueError(str(error)) from None
        self.classes_ = classes
        self.wire_features_, self.wire_thresholds_ = wire_features, wire_thresholds
        self.passes_ = 0
        self._engine, self._seed = engine, task.seed

    def _chosen(self) -> tuple[Family, dict[str, Any]]:
        """The family, and a value for each of its options, None where the data decide."""
        if not isinstance(self.model, str):
            raise UserError(f"model is {self.model!r}; expected text such as {_MODEL!r}")
        family, said = parse_model(self.model)
        for name in _OPTIONS:
            value = getattr(self, name)
            if not _same(value, _AUTO) and not _same(value, _DEFAULTS[name]) and value is not None:
                value = family.known(name).parse(value, family.name)
                if said.setdefault(name, value) != value:
                    raise UserError(
                        f"{name} is {value}, and {said[name]} in model {self.model!r}; leave one of them out"
                    )
        return family, {option.name: option.default for option in family.options} | dict(family.classifier) | said

    def _task(self, wires: int, classes: int) -> Task:
        image = None
        if self.image_shape is not None:
            height, width = self.image_shape[-2:]
            image = Image(wires // (height * width), height, width)
        seed = int(self.random_state) if isinstance(self.random_state, np.integer) else self.random_state
        if not is_int(seed):
            seed = int(check_random_state(seed).randint(1 << 31))
        if not 0 <= seed < 1 << 64:
            raise UserError(f"random_state is {seed}; expected a whole number from 0 to {(1 << 64) - 1}")
        return Task(input_bits=wires, classes=classes, image=image, seed=seed)

    def _levels(self, array: NDArray[Any], family: Family) -> list[NDArray[np.float64]]:
        """The thresholds of each feature, rising."""
        features = array.shape[1]
        if self.thresholds is not None:
            return _given_levels(self.thresholds, features)
        pixels = self.image_shape is not None
        most = family.thresholds[pixels] if _same(self.bits, _AUTO) else _whole("bits", self.bits)
        if pixels:
            low, high = float(array.min()), float(array.max())
            return [low + (high - low) * np.arange(1, most + 1) / (most + 1)] * features
        return [_quantile_levels(np.sort(array[:, i]).astype(np.float64), most) for i in range(features)]

    def _learn(self, array: NDArray[Any], y: NDArray[Any], passes: int) -> None:
        labels = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = y[self.classes_[labels] != y]
        if len(unknown):
            raise ValueError(f"y has the label {unknown[0]!r}, which is not among the classes {self.classes_!r}")
        # As if all epochs before had been through these examples: the place in the run decides on their order.
        done = self.passes_ * len(labels)
        usual, epochs = self.spec_.schedule(len(labels)), self.passes_ + passes
        epochs = min(epochs, usual.get("epochs", epochs))
        if epochs == self.passes_:  # a model that has all that it will ever have
            return
        schedule = Schedule(**{"shuffle": True, **usual, "epochs": epochs, "seed": self._seed})
        progress = Progress(epoch=self.passes_, examples=done, updates=-(-done // schedule.batch))
        for _ in Training(self._engine, schedule, self._examples(array, labels), progress=progress).run():
            pass
        self.passes_ = epochs

    def _examples(self, array: NDArray[Any], labels: NDArray[np.int64] | None = None) -> Examples:
        wires = np.empty((len(array), len(self.wire_features_)), np.uint8)
        for start in range(0, len(array), _ROWS):
            rows = slice(start, start + _ROWS)
            wires[rows] = array[rows, self.wire_features_] > self.wire_thresholds_
        return Examples(wires, np.zeros(len(array), np.int64) if labels is None else labels)

    # -- predicting ----------------------------------------------------------------------------------------------------

    def _scores(self, X: ArrayLike) -> NDArray[Any]:
        check_is_fitted(self)
        prepared = self._engine.prepare(self._examples(validate_data(self, X, reset=False)))
        scores: NDArray[Any] = self._engine.class_scores(prepared)
        return scores

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """The scores of examples X (N, F), whole numbers: (N, classes), or of two classes the score of ``classes_[1]``
        less that of ``classes_[0]``, (N,). A model that gives no scores has 1 for the predicted class, else 0."""
        scores = self._scores(X).astype(np.float64)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The labels (N,) of examples X (N, F): the largest score, the first class on a tie, and where the outputs of a
        circuit are the code of no class."""
        scores = self._scores(X)
        return np.asarray(self.classes_[scores.argmax(axis=1)])

    # -- what was learned ----------------------------------------------------------------------------------------------

    @property
    def spec_(self) -> Spec:
        """The model, its seed included."""
        return self._engine.spec

    @property
    def state_(self) -> Mapping[str, NDArray[Any]]:
        """A copy of what was learned: the array of each field of :attr:`spec_`."""
        return self._engine.state

    @property
    def counters_(self) -> NDArray[np.int8]:
        """A copy of the counters of an ensemble, int8 (tables, 2^inputs, classes)."""
        state = self.state_
        if "counters" not in state:
            raise AttributeError(f"model {self.model!r} has no counters; state_ has {', '.join(state)}")
        return state["counters"]

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """How much the scores depend on each feature, (F,), of sum 1 (or all 0); only of models with such a measure.

        The effect of a wire on a score is the sum, over all tables that read it and over their indices with its bit 0,
        of how much the table's part of the score grows as the bit becomes 1. Only indices count that have learned
        something with the bit 0 and with it 1 (have a counter that is not zero). A feature has the sum of the sizes of
        its wires' effects over all classes. Features that matter only together, as in XOR, are underrated; it is cheap,
        and for the loss of accuracy on given data there is :func:`sklearn.inspection.permutation_importance`.
        """
        check_is_fitted(self)
        sizes = self.spec_.importances(self.state_)
        if sizes is None:
            raise AttributeError(
                f"model {self.model!r} has no importances; use sklearn.inspection.permutation_importance"
            )
        total = np.bincount(self.wire_features_, weights=sizes, minlength=self.n_features_in_)
        return np.asarray(total / (total.sum() or 1.0))

    # -- saving --------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays: pickles do not hold compiled things, and do not depend on how the engine works."""
        state = dict(super().__getstate__())
        engine = state.pop("_engine", None)
        if engine is not None:
            state["_learned"] = (engine.spec.family, engine.spec.to_json(), engine.name, dict(engine.state))
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        learned = state.pop("_learned", None)
        super().__setstate__(state)
        if learned is not None:
            family, spec, name, values = learned
            self._engine = make_engine(find_family(family).read(spec), name)
            self._engine.state = values


RDAClassifier.__init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
        *(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=value) for n, value in _DEFAULTS.items()),
    ]
)
if RDAClassifier.__doc__ is not None:
    RDAClassifier.__doc__ = RDAClassifier.__doc__.replace("{options}", _describe_options())


def _same(a: Any, b: Any) -> bool:
    """Whether two values of an option are equal; arrays are never."""
    return a is b or (isinstance(a, str | int | float | np.generic) and bool(a == b))


def _quantile_levels(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most ``most`` thresholds for the sorted ``values`` (N,): quantiles, or all where the values are few."""
    distinct = np.unique(values)
    below = distinct[:-1]
    if len(below) > most:
        ranks = -(-np.arange(1, most + 1) * len(values) // (most + 1)) - 1
        below = np.unique(values[ranks])
        below = below[below < distinct[-1]]
        if not len(below):  # nearly all of them are the largest value
            below = distinct[-2:-1]
    above = distinct[np.searchsorted(distinct, below, side="right")]
    middle = below / 2 + above / 2
    return np.where((below <= middle) & (middle < above), middle, below)  # neighbours have nothing between them


def _given_levels(thresholds: Any, features: int) -> list[NDArray[np.float64]]:
    """The thresholds of each feature, from those of all or a sequence of them for each."""
    rows = list(thresholds)
    if all(np.ndim(row) == 0 for row in rows):
        rows = [rows] * features
    if len(rows) != features:
        raise ValueError(
            f"thresholds are for {len(rows)} features; expected {features}, or one sequence for all of them"
        )
    levels = [np.unique(np.asarray(row, np.float64)) for row in rows]
    if not all(np.isfinite(values).all() for values in levels) or not any(map(len, levels)):
        raise ValueError(f"thresholds are {thresholds!r}; expected finite numbers, at least one")
    return levels


def _arrange(levels: list[NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The wires' features and thresholds: the first threshold of each feature, then the second ones, …"""
    plane = np.concatenate([np.arange(len(values)) for values in levels])
    feature = np.repeat(np.arange(len(levels)), [len(values) for values in levels])
    order = np.lexsort((feature, plane))
    return feature[order], np.concatenate(levels)[order]


def _whole(name: str, value: Any) -> int:
    value = int(value) if isinstance(value, np.integer) else value
    if not is_int(value) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")
    return int(value)
