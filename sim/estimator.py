"""The table ensemble as a scikit-learn classifier (``pip install 'rdahw[sklearn]'``): numbers in, labels out.

It is here and not beside :mod:`rdahw.families.ensemble.rule` because it runs the compiled engine, and arrows between the layers run
one way. Its public name is ``rdahw.RDAClassifier``.

From features to bits: wire w of the ensemble is 1 where ``X[:, wire_features_[w]] > wire_thresholds_[w]``. The wires
are ordered by the number of the threshold of its feature, then by feature, so those of images are whole planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdahw.data._json import is_int
from rdahw.GONE import parse_ensemble
from rdahw.data.images import Image
from rdahw.families.ensemble import default_margin
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec, draw_shifts
from rdahw.errors import MissingError, UserError
from rdahw.sim.ensemble import CompiledEnsemble, Packed
from rdahw.training import Schedule

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
_BITS, _BITS_OF_A_PIXEL = 16, 3
#: The margin for each table, and 25 times that of signs: tabular data are fewer than images, and want more than these.
_MARGIN = 2


class RDAClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An ensemble of lookup tables that learns by reverse derivative ascent, one example after another.

    X is numbers (N, F), y any labels that scikit-learn knows as classes, from two to 256 of them. Examples have no
    weights, since each is one update or none. The same data and ``random_state`` give the same bits on every machine.

    Parameters:
        tables: how many tables; more are slower and better.
        inputs: how many bits a table reads, 1 to 16; fewer where the data have fewer.
        counter: bits of a counter, 2 to 8.
        margin: by how much the right class should be ahead, in the unit of the scores, or "auto": for images
            :func:`rdahw.ensemble.default_margin`, else 2 a table, or 2/25 with ``sign``.
        dropout: the part of the tables that an example leaves out while training, a multiple of 1/16.
        epochs: how often ``fit`` goes through the examples.
        bits: at most how many thresholds a feature gets, or "auto": 16, and 3 for images. They lie at the quantiles of
            the training values, halfway to the next value; a feature of few values gets one between any two, so that
            binary features stay as they are, and a constant one none. Those of images are evenly spaced between the
            smallest and the largest pixel, and the same for all.
        thresholds: instead of ``bits``, the thresholds of all features, or a sequence of them for each feature.
        wiring: which bits a table reads: "any", "patchP" (of a random patch of P x P pixels), "patchPinsetI" (that
            keeps I pixels away from the border), or "auto": patches of 8 for images larger than 8 x 8, else any.
        image_shape: (height, width) or (channels, height, width) where X is images, each one row of X.
        shift: images are moved at random by up to so many pixels while training.
        sign: learn through the signs of the counters, so that the model is a Boolean circuit.
        random_state: the seed of wiring, order, dropout and shifts; a RandomState or None draws one.

    Attributes after ``fit``:
        classes_, n_features_in_, feature_names_in_: as everywhere in scikit-learn.
        wire_features_, wire_thresholds_: what each wire says, (wires,).
        spec_: the ensemble, an :class:`rdahw.families.ensemble.spec.EnsembleSpec`.
        counters_: what was learned, int8 (tables, 2^inputs, classes).
        passes_: how often it went through examples.
        feature_importances_: see there.
    """

    def __init__(
        self,
        *,
        tables: int = 1024,
        inputs: int = 6,
        counter: int = 8,
        margin: int | Literal["auto"] = "auto",
        dropout: float = 0.5,
        epochs: int = 15,
        bits: int | Literal["auto"] = "auto",
        thresholds: ArrayLike | Sequence[ArrayLike] | None = None,
        wiring: str = "auto",
        image_shape: tuple[int, ...] | None = None,
        shift: int = 0,
        sign: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.tables = tables
        self.inputs = inputs
        self.counter = counter
        self.margin = margin
        self.dropout = dropout
        self.epochs = epochs
        self.bits = bits
        self.thresholds = thresholds
        self.wiring = wiring
        self.image_shape = image_shape
        self.shift = shift
        self.sign = sign
        self.random_state = random_state

    # -- learning ------------------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike) -> RDAClassifier:
        """Learn from examples X (N, F) and their labels y (N,), forgetting what was known.

        Raises ValueError for data or parameters that do not fit, as scikit-learn does.
        """
        array, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        epochs = _whole("epochs", self.epochs)
        self._begin(array, np.unique(labels))
        self._learn(array, labels, epochs)
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
        """Decide on wires and ensemble, and start from zero."""
        if len(classes) < 2:
            raise ValueError(f"y has {len(classes)} class; expected 2 or more")
        shape, features = self.image_shape, array.shape[1]
        if shape is not None and not (np.shape(shape) in ((2,), (3,)) and np.prod(shape) == features):
            raise ValueError(f"image_shape is {shape!r}; expected two or three numbers whose product is {features}")
        levels = self._levels(array)
        if shape is not None and len({len(values) for values in levels}) != 1:
            raise ValueError("the pixels have different numbers of thresholds; expected as many for each")
        wire_features, wire_thresholds = _arrange(levels)
        if not len(wire_features):  # nothing tells the examples apart: one wire, which is always 0
            wire_features, wire_thresholds = np.zeros(1, np.int64), np.array([array[:, 0].max()], np.float64)
        try:
            spec = self._make_spec(len(wire_features), len(classes))
            engine = CompiledEnsemble(spec)
        except UserError as error:
            raise ValueError(str(error)) from None
        self.classes_ = classes
        self.wire_features_, self.wire_thresholds_ = wire_features, wire_thresholds
        self.passes_ = 0
        self._engine = engine

    def _make_spec(self, wires: int, classes: int) -> EnsembleSpec:
        image = None
        if self.image_shape is not None:
            height, width = self.image_shape[-2:]
            image = Image(wires // (height * width), height, width)
        elif self.shift:
            raise ValueError(f"shift is {self.shift}, but the data are no images; give image_shape, or shift=0")
        tables, inputs = _whole("tables", self.tables), _whole("inputs", self.inputs)
        text = f"ensemble:tables={tables},inputs={min(inputs, wires) if image is None else inputs}"
        if self.wiring != "auto":
            text += f",wiring={self.wiring}"
        margin = self.margin
        if isinstance(margin, str):
            if margin != "auto":
                raise ValueError(f"margin is {margin!r}; expected a whole number or 'auto'")
            margin = default_margin(tables, sign=self.sign) if image else tables * _MARGIN // (25 if self.sign else 1)
        seed = _plain(self.random_state)
        if not is_int(seed):
            seed = int(check_random_state(seed).randint(1 << 31))
        return parse_ensemble(
            text,
            wires,
            classes,
            image,
            counter=_plain(self.counter),
            margin=_plain(margin),
            dropout=float(self.dropout),
            shift=_plain(self.shift),
            sign=bool(self.sign),
            seed=seed,
        )

    def _levels(self, array: NDArray[Any]) -> list[NDArray[np.float64]]:
        """The thresholds of each feature, rising."""
        features = array.shape[1]
        if self.thresholds is not None:
            return _given_levels(self.thresholds, features)
        pixels = self.image_shape is not None
        auto = isinstance(self.bits, str) and self.bits == "auto"
        most = (_BITS_OF_A_PIXEL if pixels else _BITS) if auto else _whole("bits", self.bits)
        if pixels:
            low, high = float(array.min()), float(array.max())
            return [low + (high - low) * np.arange(1, most + 1) / (most + 1)] * features
        return [_quantile_levels(np.sort(array[:, i]).astype(np.float64), most) for i in range(features)]

    def _learn(self, array: NDArray[Any], y: NDArray[Any], passes: int) -> None:
        labels = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = y[self.classes_[labels] != y]
        if len(unknown):
            raise ValueError(f"y has the label {unknown[0]!r}, which is not among the classes {self.classes_!r}")
        packed, spec = self._pack(array), self._engine.spec
        schedule = Schedule(shuffle=True, seed=spec.seed)
        for epoch in range(self.passes_, self.passes_ + passes):
            rows = schedule.order(epoch, len(labels))
            shifts = draw_shifts(spec, epoch, len(labels))[rows] if spec.shift else None
            self._engine.train(packed, labels, rows, shifts)
            self.passes_ = epoch + 1

    def _pack(self, array: NDArray[Any]) -> Packed:
        parts = []
        for start in range(0, len(array), _ROWS):
            wires = array[start : start + _ROWS, self.wire_features_] > self.wire_thresholds_
            parts.append(self._engine.pack(wires.astype(np.uint8)).words)
        return Packed(np.concatenate(parts))

    # -- predicting ----------------------------------------------------------------------------------------------------

    def _scores(self, X: ArrayLike) -> NDArray[np.int32]:
        check_is_fitted(self)
        return self._engine.scores(self._pack(validate_data(self, X, reset=False)))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """The scores of examples X (N, F), whole numbers: (N, classes), or of two classes the score of ``classes_[1]``
        less that of ``classes_[0]``, (N,)."""
        scores = self._scores(X).astype(np.float64)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The labels (N,) of examples X (N, F): the largest score, the first class on a tie."""
        scores = self._scores(X)
        return np.asarray(self.classes_[scores.argmax(axis=1)])

    # -- what was learned ----------------------------------------------------------------------------------------------

    @property
    def spec_(self) -> EnsembleSpec:
        """The ensemble, its seed included."""
        return self._engine.spec

    @property
    def counters_(self) -> Counters:
        """A copy of the counters, int8 (tables, 2^inputs, classes)."""
        return self._engine.counters

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """How much the scores depend on each feature, (F,), of sum 1 (or all 0).

        The effect of a wire on a score is the sum, over all tables that read it and over their indices with its bit 0,
        of how much the table's part of the score grows as the bit becomes 1. Only indices count that have learned
        something with the bit 0 and with it 1 (have a counter that is not zero). A feature has the sum of the sizes of
        its wires' effects over all classes. Features that matter only together, as in XOR, are underrated; it is cheap,
        and for the loss of accuracy on given data there is :func:`sklearn.inspection.permutation_importance`.
        """
        check_is_fitted(self)
        counters, wiring = self.counters_, self._engine.wiring
        known = np.asarray(counters.any(axis=-1))
        values = (counters >= 0 if self.spec_.sign else counters).astype(np.int16)
        indices = np.arange(values.shape[1])
        effects = np.zeros((self.spec_.input_bits, values.shape[-1]))
        for i in range(self.spec_.inputs):
            low = indices[indices >> i & 1 == 0]
            high = low | 1 << i
            both = known[:, low] & known[:, high]
            np.add.at(effects, wiring[:, i], ((values[:, high] - values[:, low]) * both[:, :, None]).sum(axis=1))
        sizes = np.abs(effects).sum(axis=1)
        total = np.bincount(self.wire_features_, weights=sizes, minlength=self.n_features_in_)
        return np.asarray(total / (total.sum() or 1.0))

    # -- saving --------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and arrays: pickles do not hold compiled things, and do not depend on how the engine works."""
        state = dict(super().__getstate__())
        engine = state.pop("_engine", None)
        if engine is not None:
            state["_learned"] = (engine.spec.to_json(), engine.counters, engine.dropout_state)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        learned = state.pop("_learned", None)
        super().__setstate__(state)
        if learned is not None:
            spec, counters, dropout_state = learned
            self._engine = CompiledEnsemble(EnsembleSpec.from_json(spec))
            self._engine.counters, self._engine.dropout_state = counters, dropout_state


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


def _plain(value: Any) -> Any:
    """numpy's whole numbers, which grids of parameters are often made of, as Python's."""
    return int(value) if isinstance(value, np.integer) else value


def _whole(name: str, value: Any) -> int:
    value = _plain(value)
    if not is_int(value) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")
    return int(value)
