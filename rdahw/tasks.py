"""The kinds of task, one row each: what a label is, how good predictions are, and how both are said.

A model gives whole numbers: class numbers, -1 for none, steps of a target (:class:`rdahw.data.Target`), sets of labels
(:func:`rdahw.data.label_sets`), or numbers that are below :data:`rdahw.data.NORMAL` for anomalies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data import NORMAL, members_of_sets
from rdahw.data.sequences import SequenceShape
from rdahw.family import Section
from rdahw.wording import percent, plural

if TYPE_CHECKING:
    from rdahw.data import Schema
    from rdahw.family import Spec

__all__ = [
    "TASKS",
    "AnomalyEvaluation",
    "ClassEvaluation",
    "Evaluation",
    "Metric",
    "NumberEvaluation",
    "SequenceEvaluation",
    "SetEvaluation",
    "TaskKind",
]

#: The number of confusions listed in the text.
_MOST_MISTAKES = 3
#: The parts of examples that are compared in the report of a model of numbers, by their labels.
_PARTS = 10

Numbers = NDArray[np.int64]


class Evaluation(ABC):
    """The predictions of a model on labelled examples, from ``source``."""

    source: str

    @property
    @abstractmethod
    def examples(self) -> int:
        """How many there are."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The figures as ``rdahw eval --json`` prints them."""

    @abstractmethod
    def line(self) -> str:
        """The figures in a line."""

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
        """Column titles and rows of a table for people; none by default."""
        return (), ()

    @abstractmethod
    def tiles(self) -> Iterable[tuple[str, str]]:
        """The figures as a report shows them first: name and value."""

    @abstractmethod
    def sections(self) -> Iterable[Section]:
        """The sections of a report about the mistakes. Needs ``pip install 'rdahw[plot]'``."""


# -- classes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClassEvaluation(Evaluation):
    """Predicted classes. counts: (classes, classes + 1), row: the label, column: the prediction, the last one «none».
    names: of the classes."""

    source: str
    counts: Numbers
    names: tuple[str, ...]

    @classmethod
    def of(cls, source: str, predicted: Numbers, labels: NDArray[Any], schema: Schema) -> ClassEvaluation:
        """Count how often each class is predicted for each."""
        classes = len(schema.label_names)
        counts = np.zeros((classes, classes + 1), np.int64)
        np.add.at(counts, (labels, predicted), 1)  # -1, no class, indexes the last column
        return cls(source, counts, schema.label_names)

    @property
    def examples(self) -> int:
        return int(self.counts.sum())

    @property
    def correct(self) -> int:
        """The number of correct predictions."""
        return int(np.trace(self.counts))

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.correct / self.examples,
            "correct": self.correct,
            "classes": list(self.names),
            "confusion": self.counts.tolist(),
        }

    def line(self) -> str:
        return _say_classes("eval", {"eval_correct": self.correct, "eval_examples": self.examples})

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
        # The column for no class is shown only if it is not empty.
        columns = (*self.names, "–") if self.counts[:, -1].any() else self.names
        rows = [(name, *map(int, row[: len(columns)])) for name, row in zip(self.names, self.counts, strict=True)]
        return ("label \\ predicted", *columns), rows

    def tiles(self) -> Iterable[tuple[str, str]]:
        yield "right on the test examples", f"{100 * self.correct / self.examples:.2f} %"
        yield "test examples", f"{self.examples:,}"

    def sections(self) -> Iterable[Section]:
        from rdahw import pictures

        names = self.names
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        worst = sorted(np.ndindex(*wrong.shape), key=lambda at: -wrong[at])[:_MOST_MISTAKES]
        columns = [*names, "none"]
        said = "; ".join(f"{names[i]} taken for {columns[j]} ({wrong[i, j]})" for i, j in worst if wrong[i, j])
        text = f"{self.correct:,} of {self.examples:,} examples of {self.source} are predicted right. " + (
            f"The most frequent mistakes: {said}." if said else "There is no mistake."
        )
        yield Section(
            title="Mistakes",
            text=text,
            figure=pictures.draw_confusion(self.counts, names) if len(names) <= 100 else None,
            alt=f"Confusion matrix, labels in rows and predictions in columns. {text}",
            caption="Predictions by label",
            columns=["label", *columns],
            rows=[[name, *map(int, row)] for name, row in zip(names, self.counts, strict=True)],
        )


# -- numbers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NumberEvaluation(Evaluation):
    """Predicted numbers (N,) and the labels (N,) that they should be."""

    source: str
    predicted: NDArray[np.float64]
    labels: NDArray[np.float64]

    @classmethod
    def of(cls, source: str, predicted: Numbers, labels: NDArray[Any], schema: Schema) -> NumberEvaluation:
        """Steps (N,) of the target as predictions; -1, which is none, counts as the first step."""
        assert schema.target is not None
        return cls(source, schema.target.values(predicted.clip(0)), np.asarray(labels, np.float64))

    @property
    def examples(self) -> int:
        return len(self.labels)

    @property
    def rmse(self) -> float:
        """The root of the mean square of the errors."""
        scale, errors, _ = self._scaled()
        return float(np.ldexp(np.sqrt((errors**2).mean()), scale))

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        scale, errors, _ = self._scaled()
        return float(np.ldexp(np.abs(errors).mean(), scale))

    @property
    def r2(self) -> float:
        """The part of the labels' variance that the predictions explain, at most 1; of equal labels 1 if all
        predictions are right, else 0."""
        _, errors, labels = self._scaled()
        variance, square = float(labels.var()), float((errors**2).mean())
        return 1 - square / variance if variance else float(square == 0)

    def _scaled(self) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
        """Errors and labels over 2**scale, so that the squares of very large and very small ones are numbers, too."""
        scale = int(np.frexp(max(np.abs(self.predicted).max(), np.abs(self.labels).max()))[1])
        labels = np.ldexp(self.labels, -scale)
        return scale, np.ldexp(self.predicted, -scale) - labels, labels

    def to_json(self) -> dict[str, Any]:
        return {"r2": self.r2, "rmse": self.rmse, "mae": self.mae}

    def line(self) -> str:
        return _say_numbers("eval", {f"eval_{k}": v for k, v in {**self.to_json(), "examples": self.examples}.items()})

    def tiles(self) -> Iterable[tuple[str, str]]:
        yield "R2 on the test examples", f"{self.r2:.4f}"
        yield "RMSE", f"{self.rmse:.4g}"
        yield "MAE", f"{self.mae:.4g}"
        yield "test examples", f"{self.examples:,}"

    def sections(self) -> Iterable[Section]:
        from rdahw import pictures

        parts = [part for part in np.array_split(np.argsort(self.labels, kind="stable"), _PARTS) if len(part)]
        rows = []
        for part in parts:
            labels, apart = self.labels[part], self.predicted[part] - self.labels[part]
            ends = f"{labels.min():.4g} to {labels.max():.4g}"
            rows.append([ends, len(part), f"{apart.mean():.4g}", f"{np.abs(apart).mean():.4g}"])
        text = f"On {self.examples:,} examples of {self.source} the predictions are {self.mae:.4g} away in the mean."
        yield Section(
            title="Errors",
            text=text,
            figure=pictures.draw_predictions(self.predicted, self.labels),
            alt=f"Predictions against labels. {text}",
            caption="Errors by label",
            columns=["labels", "examples", "mean of prediction - label", "mean absolute error"],
            rows=rows,
        )


# -- sets of labels ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SetEvaluation(Evaluation):
    """Predicted sets of labels (N,) and those that they should be (N,). names: of the labels."""

    source: str
    predicted: Numbers
    labels: Numbers
    names: tuple[str, ...]

    @classmethod
    def of(cls, source: str, predicted: Numbers, labels: NDArray[Any], schema: Schema) -> SetEvaluation:
        """Compare sets (N,) with those that they should be."""
        return cls(source, predicted, labels, schema.label_names)

    @property
    def examples(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Numbers:
        """How often each label is predicted right, predicted wrongly and missed, (labels, 3)."""
        found, true = (members_of_sets(sets, len(self.names)) for sets in (self.predicted, self.labels))
        return np.stack([(found & true).sum(axis=0), (found & ~true).sum(axis=0), (~found & true).sum(axis=0)], axis=1)

    @property
    def exact(self) -> int:
        """How many sets are predicted with all of their labels and no other."""
        return int((self.predicted == self.labels).sum())

    @property
    def f1(self) -> NDArray[np.float64]:
        """The F1 of each label, (labels,): 0 for one that no example has and none is predicted to have."""
        right, wrong, missed = self.counts.T
        return np.asarray(2 * right / np.maximum(2 * right + wrong + missed, 1))

    @property
    def micro_f1(self) -> float:
        """The F1 of the predictions of all labels together."""
        right, wrong, missed = self.counts.sum(axis=0)
        return float(2 * right / max(2 * right + wrong + missed, 1))

    @property
    def hamming_loss(self) -> float:
        """The part of all labels of all examples that is predicted wrongly."""
        return float(self.counts[:, 1:].sum() / (self.examples * len(self.names)))

    def to_json(self) -> dict[str, Any]:
        return {
            "micro_f1": self.micro_f1,
            "macro_f1": float(self.f1.mean()),
            "hamming_loss": self.hamming_loss,
            "subset_accuracy": self.exact / self.examples,
            "by_label": {
                name: {"f1": float(f1), **dict(zip(("right", "wrong", "missed"), map(int, row), strict=True))}
                for name, f1, row in zip(self.names, self.f1, self.counts, strict=True)
            },
        }

    def line(self) -> str:
        return _say_sets("eval", {f"eval_{k}": v for k, v in {**self.to_json(), "examples": self.examples}.items()})

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
        rows = [
            (name, f"{f1:.3f}", *map(int, row)) for name, f1, row in zip(self.names, self.f1, self.counts, strict=True)
        ]
        return ("label", "F1", "right", "wrong", "missed"), rows

    def tiles(self) -> Iterable[tuple[str, str]]:
        figures = self.to_json()
        yield "micro-F1 on the test examples", f"{figures['micro_f1']:.4f}"
        yield "macro-F1", f"{figures['macro_f1']:.4f}"
        yield "Hamming loss", f"{figures['hamming_loss']:.4f}"
        yield "all labels right", f"{100 * figures['subset_accuracy']:.2f} %"
        yield "test examples", f"{self.examples:,}"

    def sections(self) -> Iterable[Section]:
        columns, rows = self.table()
        yield Section(
            title="Labels",
            text=f"On {self.examples:,} examples of {self.source} {100 * self.hamming_loss:.2f} % of the labels are "
            f"predicted wrongly, and {self.exact:,} examples have all labels right.",
            caption="Predictions by label: right, wrong (predicted and not there) and missed (there and not predicted)",
            columns=columns,
            rows=rows,
        )


# -- anomalies ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnomalyEvaluation(Evaluation):
    """Numbers (N,) that are below :data:`rdahw.data.NORMAL` for what is taken for an anomaly, and labels (N,), 1 for an
    anomaly and else 0."""

    source: str
    predicted: Numbers
    labels: Numbers

    @classmethod
    def of(cls, source: str, predicted: Numbers, labels: NDArray[Any], schema: Schema) -> AnomalyEvaluation:
        """Compare them."""
        return cls(source, predicted, labels)

    @property
    def examples(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Numbers:
        """(2, 2), row: 1 for anomalies, column: 1 for what is taken for one."""
        counts = np.zeros((2, 2), np.int64)
        np.add.at(counts, (self.labels, (self.predicted < NORMAL).astype(np.int64)), 1)
        return counts

    @property
    def roc_auc(self) -> float | None:
        """How often an anomaly has a smaller number than a normal example, of all pairs; equal ones count half. None if
        all examples are of one kind."""
        values, places = np.unique(self.predicted, return_inverse=True)
        normal, other = (np.bincount(places[self.labels == label], minlength=len(values)) for label in (0, 1))
        pairs = int(normal.sum()) * int(other.sum())
        below = np.cumsum(other) - other
        return float((normal * (2 * below + other)).sum() / (2 * pairs)) if pairs else None

    def to_json(self) -> dict[str, Any]:
        (kept, alarms), (missed, found) = self.counts.tolist()
        return {
            "roc_auc": self.roc_auc,
            "detected": found / (found + missed) if found + missed else None,
            "false_alarms": alarms / (alarms + kept) if alarms + kept else None,
            "anomalies": found + missed,
        }

    def line(self) -> str:
        figures = {**self.to_json(), "examples": self.examples}
        return _say_anomalies("eval", {f"eval_{name}": value for name, value in figures.items()})

    def tiles(self) -> Iterable[tuple[str, str]]:
        figures = self.to_json()
        yield "ROC AUC on the test examples", _or_dash("{:.4f}", figures["roc_auc"])
        yield "anomalies detected", _or_dash("{:.1%}", figures["detected"])
        yield "false alarms", _or_dash("{:.1%}", figures["false_alarms"])
        yield "test examples", f"{self.examples:,}"

    def sections(self) -> Iterable[Section]:
        yield Section(
            title="Anomalies",
            text=f"Of {self.examples:,} examples of {self.source} {int(self.counts[:, 1].sum()):,} are taken for "
            "anomalies.",
            caption="Examples by what they are and what they are taken for",
            columns=["", "normal", "anomaly"],
            rows=[[name, *map(int, row)] for name, row in zip(("normal", "anomaly"), self.counts, strict=True)],
        )


# -- sequences ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SequenceEvaluation(Evaluation):
    """Class numbers of sequences (N,), and those that they should be. shape: what they say."""

    source: str
    predicted: Numbers
    labels: Numbers
    shape: SequenceShape

    @classmethod
    def of(cls, source: str, predicted: Numbers, labels: NDArray[Any], schema: Schema) -> SequenceEvaluation:
        """Compare class numbers (N,) with those that they should be."""
        return cls(source, predicted, labels, schema.sequences.shape)

    @property
    def examples(self) -> int:
        return len(self.labels)

    @property
    def wrong(self) -> Numbers:
        """How many labels of each step are wrong, (steps,), or (1,) at the end."""
        found, true = map(self.shape.labels, (self.predicted, self.labels))
        apart: Numbers = (found != true).sum(axis=0)
        return apart

    def to_json(self) -> dict[str, Any]:
        labels = int((self.shape.labels(self.labels) >= 0).sum())
        correct = labels - int(self.wrong.sum())
        return {
            "accuracy": correct / labels,
            "correct": correct,
            "labels": labels,
            "whole_sequences": int((self.predicted == self.labels).sum()),
        }

    def line(self) -> str:
        return _say_sequences(
            "eval", {f"eval_{k}": v for k, v in {**self.to_json(), "examples": self.examples}.items()}
        )

    def table(self) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
        rows = [(t, int(count)) for t, count in enumerate(self.wrong) if count]
        return ("step", "wrong labels") if rows else (), rows

    def tiles(self) -> Iterable[tuple[str, str]]:
        figures = self.to_json()
        yield "labels right", f"{100 * figures['accuracy']:.2f} %"
        yield "labels of test sequences", f"{figures['labels']:,}"
        yield "sequences without a wrong label", f"{figures['whole_sequences']:,} of {self.examples:,}"

    def sections(self) -> Iterable[Section]:
        columns, rows = self.table()
        figures = self.to_json()
        yield Section(
            title="Labels",
            text=f"{figures['correct']:,} of {figures['labels']:,} labels of {self.source} are right.",
            caption="Wrong labels by step" if rows else "",
            columns=columns,
            rows=rows,
        )


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Metric:
    """The figure of an evaluation that is summed up over several trainings: its name in JSON and for people, the factor
    and the decimals that it is shown with, its form in a line, and what follows it before «on test»."""

    name: str
    title: str
    factor: int
    decimals: int
    form: str
    of: str = ""

    def shown(self, value: float) -> float:
        """The value as people read it in a table."""
        return round(self.factor * value, self.decimals)

    def said(self, value: float) -> str:
        """The value as people read it in a line."""
        return self.form.format(f"{self.factor * value:.{self.decimals}f}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKind:
    """A kind of task.

    name, help: of the task. evaluate: from source, predictions (N,), labels (N,) and schema. figures: the names of the
    figures in the result of a training, in their order. metric: the one that is summed up over several trainings.
    line: the figures of a part in a result of a training, for people. said: predictions (N,) as users read them, None
    for none; names: the same of labels (N,). number: what the number that a program predicts says. purpose: what a
    model does. counts_wrong: a prediction that is not equal
    to the label is wrong, and worth counting. from_score: the figures on ``examples`` with a score of
    :meth:`rdahw.family.Spec.score`, if that alone decides them. margins: how clear predictions (N, …) are, from the
    scores (N, …) of the model; None if a prediction has no margin. scored: what each score is of.
    """

    name: str
    help: str
    evaluate: Callable[[str, Numbers, NDArray[Any], Schema], Evaluation]
    figures: tuple[str, ...]
    metric: Metric
    line: Callable[[str, Mapping[str, Any]], str]
    said: Callable[[Numbers, Schema], list[Any]]
    names: Callable[[NDArray[Any], Schema], list[Any]]
    number: Callable[[Schema], str]
    purpose: Callable[[Spec], str]
    scored: Callable[[Schema], Sequence[str]] = lambda schema: schema.label_names
    counts_wrong: bool = True
    from_score: Callable[[int, int], dict[str, Any]] | None = None
    margins: Callable[[NDArray[Any]], NDArray[Any]] | None = None

    def described(self, part: str, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The figures of a result of :meth:`Evaluation.to_json` as those of a part of the data: «test_accuracy»."""
        return {f"{part}_{name}": figures.get(name) for name in self.figures}


def _steps_said(predicted: Numbers, schema: Schema) -> list[Any]:
    assert schema.target is not None
    return [float(value) for value in schema.target.values(predicted)]


def _number_of_step(schema: Schema) -> str:
    assert schema.target is not None
    return f"a step; the value is {schema.target.low!r} + {schema.target.step!r} times it"


def _sets_said(sets: NDArray[Any], schema: Schema) -> list[Any]:
    members = members_of_sets(sets, len(schema.label_names))
    return [[schema.label_names[label] for label in np.flatnonzero(row)] for row in members]


def _say_classes(part: str, result: Mapping[str, Any]) -> str:
    correct, count = result[f"{part}_correct"], result[f"{part}_examples"]
    return f"{percent(correct, count)} right ({correct} of {count})"


def _say_numbers(part: str, result: Mapping[str, Any]) -> str:
    r2, rmse, mae, count = (result[f"{part}_{name}"] for name in ("r2", "rmse", "mae", "examples"))
    return f"R2 {r2:.4f}, RMSE {rmse:.4g}, MAE {mae:.4g} ({plural(count, 'example')})"


def _say_sets(part: str, result: Mapping[str, Any]) -> str:
    micro, macro, hamming, exact = (result[f"{part}_{name}"] for name in _SET_FIGURES)
    return (
        f"micro-F1 {micro:.4f}, macro-F1 {macro:.4f}, Hamming loss {hamming:.4f}, all labels right "
        f"{100 * exact:.2f} % ({plural(result[f'{part}_examples'], 'example')})"
    )


def _or_dash(form: str, value: float | None) -> str:
    return "–" if value is None else form.format(value)


def _say_anomalies(part: str, result: Mapping[str, Any]) -> str:
    auc, detected, alarms = (result[f"{part}_{name}"] for name in ("roc_auc", "detected", "false_alarms"))
    return (
        f"ROC AUC {_or_dash('{:.4f}', auc)}, {_or_dash('{:.1%}', detected)} of the anomalies detected, "
        f"{_or_dash('{:.1%}', alarms)} false alarms ({result[f'{part}_examples']} examples)"
    )


def _sequences_said(numbers: NDArray[Any], schema: Schema) -> list[Any]:
    return schema.sequences.said(numbers)


def _say_sequences(part: str, result: Mapping[str, Any]) -> str:
    correct, labels, whole, count = (result[f"{part}_{name}"] for name in (*_SEQUENCE_FIGURES, "examples"))
    return f"{percent(correct, labels)} of the labels right ({correct} of {labels}), {whole} of {count} sequences"


_SEQUENCE_FIGURES = ("correct", "labels", "whole_sequences")
_SET_FIGURES = ("micro_f1", "macro_f1", "hamming_loss", "subset_accuracy")


#: The rows by name.
TASKS: Mapping[str, TaskKind] = {
    row.name: row
    for row in (
        TaskKind(
            name="classification",
            help="labels are classes",
            evaluate=ClassEvaluation.of,
            figures=("correct", "accuracy"),
            metric=Metric("accuracy", "%", 100, 2, "{} %", " right"),
            line=_say_classes,
            said=lambda predicted, schema: [schema.label_names[c] if c >= 0 else None for c in predicted],
            names=lambda labels, schema: [schema.label_names[c] for c in labels],
            number=lambda schema: "the number of the class, from 0, or -1 for none",
            purpose=lambda spec: f"tell {spec.classes} classes apart",
            from_score=lambda score, examples: {"correct": score, "accuracy": score / examples},
            margins=lambda scores: np.diff(np.partition(scores.astype(np.int64), -2)[:, -2:])[:, 0],
        ),
        TaskKind(
            name="regression",
            help="labels are numbers",
            evaluate=NumberEvaluation.of,
            figures=("r2", "rmse", "mae"),
            metric=Metric("r2", "R2", 1, 4, "R2 {}"),
            line=_say_numbers,
            said=_steps_said,
            names=lambda labels, schema: labels.tolist(),
            number=_number_of_step,
            purpose=lambda spec: "predict a number",
            scored=lambda schema: (schema.label_name or "the number",),
            counts_wrong=False,
        ),
        TaskKind(
            name="multilabel",
            help="each example has several labels or none, a column of 0 and 1 for each",
            evaluate=SetEvaluation.of,
            figures=_SET_FIGURES,
            metric=Metric("micro_f1", "micro-F1", 1, 4, "micro-F1 {}"),
            line=_say_sets,
            said=_sets_said,
            names=_sets_said,
            number=lambda schema: "a bit for each label, in this order: " + ", ".join(schema.label_names),
            purpose=lambda spec: f"tell which of {spec.classes.bit_length() - 1} labels an example has",
            counts_wrong=False,
            margins=lambda scores: scores,
        ),
        TaskKind(
            name="anomaly",
            help="examples are normal, and others are to be found",
            evaluate=AnomalyEvaluation.of,
            figures=("roc_auc", "detected", "false_alarms"),
            metric=Metric("roc_auc", "ROC AUC", 1, 4, "ROC AUC {}"),
            line=_say_anomalies,
            said=lambda predicted, schema: (predicted - NORMAL).tolist(),
            names=lambda labels, schema: [("normal", "anomaly")[label] for label in labels],
            number=lambda schema: f"below {NORMAL} for an anomaly, and the lower, the less normal",
            purpose=lambda spec: "find examples that are not normal",
            scored=lambda schema: ("normal",),
            counts_wrong=False,
        ),
        TaskKind(
            name="sequences",
            help="examples are sequences of symbols with a label at each step or at the end",
            evaluate=SequenceEvaluation.of,
            figures=(*_SEQUENCE_FIGURES, "accuracy"),
            metric=Metric("accuracy", "%", 100, 2, "{} %", " right"),
            line=_say_sequences,
            said=_sequences_said,
            names=_sequences_said,
            number=lambda schema: "the bits of the labels, step by step, or of the one at the end",
            purpose=lambda spec: "label sequences",
        ),
    )
}
