"""The trials of ``rdahw tune``: models that learn a part of the training examples and predict the others.

A trial learns in two stages: a fifth of its updates, and, if the search wants it, the rest. Its result depends on the
model, the data and the seed alone, and not on where or when it runs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.bits import PackedBits
from rdahw.data import Binariser, Dataset
from rdahw.errors import UserError
from rdahw.families import find_family
from rdahw.family import Candidate, Spec, Task
from rdahw.jobs import stopping
from rdahw.sim.automatic import epochs_for, model_text, spec_of
from rdahw.sim.engines import make_engine
from rdahw.state import State
from rdahw.training import Examples, Progress, Schedule, Training, prepare

__all__ = ["FIRST", "Fold", "Given", "Piece", "Result", "run_trial"]

#: The part of its updates that a model learns in the first stage.
FIRST = 0.2
#: So many of the last data sets as bits are kept.
_KEPT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What all trials have in common.

    dataset: without its test part. parts: which examples each part holds out, (N,). costs: ``costs(spec, state)`` of a
    trained model; it may raise :class:`UserError`. threads: of the engine.
    """

    dataset: Dataset
    parts: Sequence[NDArray[np.bool_]]
    seed: int
    balance: bool
    costs: Callable[[Spec, State], Mapping[str, float | None]]
    threads: int
    #: Data sets as bits, by rule and part; not sent to other processes.
    cache: dict[tuple[str, int], tuple[Examples, Examples]] = field(default_factory=dict)
    fitted: dict[tuple[str, int], Binariser] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("dataset", "parts", "seed", "balance", "costs", "threads")
        return Given, tuple(getattr(self, name) for name in names)

    def binariser(self, rule: str, part: int) -> Binariser:
        """The binariser of what is learned without a part."""
        if (rule, part) not in self.fitted:
            data, features = self.dataset, self.dataset.train.features[~self.parts[part]]
            found = Binariser.fit(rule, features, data.columns, data.feature_names, data.image_shape)
            self.fitted[rule, part] = found
        return self.fitted[rule, part]

    def task(self, rule: str, part: int = 0) -> Task:
        """What is learned."""
        return Task.of(self.dataset.schema, self.binariser(rule, part), seed=self.seed)

    def bits(self, rule: str, part: int) -> tuple[Examples, Examples]:
        """The examples to learn and to predict of a part."""
        if (rule, part) not in self.cache:
            while len(self.cache) >= _KEPT * len(self.parts):
                self.cache.pop(next(iter(self.cache)))
            data, held, binariser = self.dataset.train, self.parts[part], self.binariser(rule, part)
            labels = self.dataset.schema.numbers(data.labels)
            train, test = (Examples(_wires(binariser, data.features[rows]), labels[rows]) for rows in (~held, held))
            self.cache[rule, part] = train.balanced() if self.balance else train, test
        return self.cache[rule, part]


def _wires(binariser: Binariser, features: NDArray[Any]) -> PackedBits:
    from rdahw.data.plane_binariser import PlaneBinariser

    if not isinstance(binariser, PlaneBinariser):
        return binariser.pack(features)
    from rdahw.sim.planes import to_wires

    return to_wires(binariser, features)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """What was learned without one part: the model, its state, how far its training is, how many held-out examples it
    predicts correctly and how many there are."""

    spec: Spec
    state: State
    progress: Progress
    schedule: Schedule
    binariser: Binariser
    correct: int
    examples: int


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A stage of trial number ``trial``: to learn the part ``share`` of all updates, from what it has ``begun``. costs:
    of the model, if they are known before it is trained."""

    trial: int
    family: str
    candidate: Candidate
    rule: str
    share: float
    begun: Sequence[Fold] = ()
    costs: Mapping[str, float | None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a stage gave: the model as ``--model`` takes it, what was learned without each part, and what the first of
    these models costs; or the reason why there is none."""

    model: str = ""
    folds: Sequence[Fold] = ()
    costs: Mapping[str, float | None] = field(default_factory=dict)
    error: str = ""

    @property
    def accuracy(self) -> float:
        """The part of all held-out examples that was predicted correctly."""
        return sum(fold.correct for fold in self.folds) / sum(fold.examples for fold in self.folds)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        if self.error:
            return {"error": self.error}
        first = self.folds[0]
        parameters = first.state[first.spec.parameters.name]
        return {
            "model": self.model,
            "binarise": first.binariser.rule,
            "epochs": first.schedule.epochs,
            "correct": sum(fold.correct for fold in self.folds),
            "examples": sum(fold.examples for fold in self.folds),
            "accuracy": self.accuracy,
            "costs": dict(self.costs),
            "parameters_sha256": hashlib.sha256(np.ascontiguousarray(parameters).tobytes()).hexdigest(),
        }


def run_trial(given: Given, piece: Piece) -> Result:
    """One stage of a trial."""
    family, candidate = find_family(piece.family), piece.candidate
    folds, text = [], ""
    try:
        for part in range(len(given.parts)):
            task, (train, test) = given.task(piece.rule, part), given.bits(piece.rule, part)
            begun = piece.begun[part] if piece.begun else None
            text = model_text(spec_of(family, candidate, task), family, task)

            def make(spec: Spec) -> Any:
                return make_engine(spec, threads=given.threads)

            spec = prepare(spec_of(family, candidate, task), train, make) if begun is None else begun.spec
            own: dict[str, Any] = {"epochs": epochs_for(family, len(train)), **spec.schedule(len(train))}
            own = {name: value for name, value in own.items() if value is not None}
            whole = Schedule(**{"shuffle": True, **family.schedule, **own, "seed": given.seed})
            updates = math.ceil(whole.total_updates(len(train)) * piece.share)
            schedule = whole if piece.share == 1 else Schedule(**{**whole.to_json(), "updates": updates})
            engine = make(spec)
            if begun is not None:
                engine.state = begun.state
            training = Training(engine, schedule, train, None, Progress() if begun is None else begun.progress)
            for _ in training.run():
                if stopping():
                    raise KeyboardInterrupt
            correct = spec.score(engine.predict(engine.prepare(test)), test.labels)
            folds.append(
                Fold(
                    spec, engine.state, training.progress, whole, given.binariser(piece.rule, part), correct, len(test)
                )
            )
        costs: Mapping[str, float | None] = {}
        if piece.share == 1:
            costs = given.costs(folds[0].spec, folds[0].state) if piece.costs is None else piece.costs
    except UserError as error:
        return Result(error=str(error))
    return Result(text, folds, costs)
