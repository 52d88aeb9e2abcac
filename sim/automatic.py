"""``--model auto`` and ``RDAClassifier(model="auto")``: choose the model that predicts held-out examples best.

Each family states the models to try (:attr:`rdahw.family.Family.candidates`). At most :data:`MOST_ROWS` training
examples, drawn by the seed, are cut into parts that hold each class evenly: 5 up to 300 examples, 3 up to 4,000, and of
more the first of 4. Each candidate learns the rest and predicts the part; the one with the most correct predictions is
chosen, the first on a tie. Nothing depends on the speed of the machine.

The chosen model learns all training examples. Of very many it needs fewer epochs: see :func:`epochs_for`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UserError
from rdahw.families import all_families, find_family
from rdahw.family import Candidate, DataSize, Family, Spec, Task
from rdahw.jobs import Jobs
from rdahw.random import permutation, stream
from rdahw.sim.engines import make_engine
from rdahw.training import Examples, Schedule, Training, prepare

__all__ = [
    "MOST_LEARNED", "MOST_ROWS", "Choice", "Trial", "all_candidates", "choose", "epochs_for", "held_out_parts",
    "model_text", "spec_of",
]  # fmt: skip

#: The most examples that the choice is made by.
MOST_ROWS = 20_000
#: Epochs are fewer than usual where they would have more examples than this together.
MOST_LEARNED = 2_000_000
#: Fewer examples say nothing, so the first candidate is taken.
_FEWEST_ROWS = 30
#: So many examples, at least, have this number of parts, and this number of them is held out, one after the other.
_PARTS = ((4001, 4, 1), (301, 3, 3), (_FEWEST_ROWS, 5, 5))

#: The wires of a candidate: the task, and the examples of these rows (n,).
Look = Callable[[Family, Candidate, NDArray[np.int64]], tuple[Task, Examples]]


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """A candidate of the family of this name, the model as text, and which held-out examples it predicted correctly,
    (n,) bool."""

    family: str
    candidate: Candidate
    model: str
    correct: NDArray[np.bool_]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"model": self.model, "correct": int(self.correct.sum()), "examples": len(self.correct)}


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The trial that was chosen, and all of them."""

    trial: Trial
    trials: Sequence[Trial]

    @property
    def reason(self) -> str:
        """Why it was chosen, in a sentence without its full stop."""
        count, right = len(self.trial.correct), int(self.trial.correct.sum())
        if not count:
            return f"there are fewer than {_FEWEST_ROWS} examples, too few to compare models"
        others = [int(trial.correct.sum()) for trial in self.trials if trial is not self.trial]
        beside = f"; the next best predicts {100 * max(others) / count:.2f} %" if others else ""
        return f"it predicts {100 * right / count:.2f} % of {count} held-out examples correctly{beside}"


def all_candidates(size: DataSize) -> list[tuple[Family, Candidate]]:
    """What is tried on data of this size."""
    families = all_families(skip_broken=True)
    return [(family, candidate) for family in families for candidate in family.candidates(size)]


def spec_of(family: Family, candidate: Candidate, task: Task) -> Spec:
    """The model of a candidate for ``task``; raises :class:`UsageError` if there can be none."""
    options = {option.name: option.default for option in family.options}
    options |= dict(family.classifier) | dict(candidate.options)
    return family.spec(task, **family.fit_classifier(task, options))


def epochs_for(family: Family, examples: int) -> int | None:
    """The epochs of a model of ``family`` on so many examples: as many as usual, but no more than come to
    :data:`MOST_LEARNED` examples, at least one. None for a family whose models have their own number."""
    usual = family.schedule.get("epochs")
    return None if usual is None else min(usual, max(1, MOST_LEARNED // examples))


def choose(
    size: DataSize,
    labels: NDArray[np.int64],
    look: Look,
    *,
    seed: int,
    epochs: int | None = None,
    balance: bool = False,
    jobs: Jobs | None = None,
    progress: Callable[[int, int], object] = lambda done, models: None,
) -> Choice:
    """Try all candidates on training examples of classes ``labels`` (N,), whose bits ``look`` gives.

    epochs: of the models that do not state their own; None: those of the family. balance: learn balanced examples, and
    weigh the classes of held-out ones equally. jobs: where models are tried, by default in this process. progress:
    called with (models tried, models in all). Raises :class:`UserError` if no candidate can learn the data.
    """
    rows = np.sort(permutation(stream(seed, "auto"), len(labels))[:MOST_ROWS])
    parts = list(_parts(labels[rows], seed))
    refused: list[UserError] = []
    tried: list[tuple[Spec, _Tried]] = []
    for family, candidate in all_candidates(size):
        try:
            task, examples = look(family, candidate, rows)
            spec = spec_of(family, candidate, task)
            # Without columns of numbers, candidates that differ in their thresholds alone are the same.
            if not any(spec == other and np.array_equal(examples.x, piece.examples.x) for other, piece in tried):
                tried.append((spec, _Tried(family.name, candidate, model_text(spec, family, task), task, examples)))
        except UserError as error:
            refused.append(error)
    run = (jobs or Jobs()).run
    found = run(_try, [piece for _, piece in tried], _Given(parts, seed, epochs, balance), progress=progress)
    trials = [
        Trial(piece.family, piece.candidate, piece.model, correct)
        for (_, piece), correct in zip(tried, found, strict=True)
        if not isinstance(correct, UserError)
    ]
    refused += [correct for correct in found if isinstance(correct, UserError)]
    if not trials:
        raise refused[0] if refused else UserError("no family of models has candidates to try; name a model")
    return Choice(max(trials, key=lambda trial: int(trial.correct.sum())), trials)


def _parts(labels: NDArray[np.int64], seed: int) -> Iterator[NDArray[np.bool_]]:
    """Which examples each part holds out, (n,)."""
    for least, parts, used in _PARTS:
        if len(labels) >= least:
            yield from held_out_parts(labels, seed, parts, used)
            return


def held_out_parts(labels: NDArray[np.int64], seed: int, parts: int, used: int) -> Iterator[NDArray[np.bool_]]:
    """Which examples of classes ``labels`` (n,) each of the first ``used`` of so many ``parts`` holds out, (n,). A part
    has about as many of each class."""
    order = permutation(stream(seed, "auto-parts"), len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    for part in range(used):
        held = np.zeros(len(labels), np.bool_)
        held[order[part::parts]] = True
        yield held


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A candidate of the family of this name, the model as text, and the examples as its bits."""

    family: str
    candidate: Candidate
    model: str
    task: Task
    examples: Examples


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """The arguments of :func:`choose`, and the parts."""

    parts: Sequence[NDArray[np.bool_]]
    seed: int
    epochs: int | None
    balance: bool


def _try(given: _Given, piece: _Tried) -> NDArray[np.bool_] | UserError:
    """Which of the held-out examples of all parts the candidate predicts correctly; the error of one that cannot learn
    the data."""
    try:
        return np.concatenate([np.zeros(0, np.bool_), *(_correct(given, piece, held) for held in given.parts)])
    except UserError as error:
        return error


def _correct(given: _Given, piece: _Tried, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the examples ``held`` (n,) a model that learned the others predicts correctly."""
    family, candidate = find_family(piece.family), piece.candidate
    parts = (piece.examples.take(rows) for rows in (~held, held))
    train, test = (part.balanced() if given.balance else part for part in parts)
    spec = prepare(spec_of(family, candidate, piece.task), train, make_engine)
    epochs = {} if given.epochs is None else {"epochs": given.epochs}
    own = {**family.schedule, **epochs, **spec.schedule(len(train))}
    schedule = Schedule(**{"shuffle": True, **own, "seed": given.seed})
    engine = make_engine(spec)
    for _ in Training(engine, schedule, train).run():
        pass
    return np.asarray(engine.predict(engine.prepare(test)) == test.labels)


def model_text(spec: Spec, family: Family, task: Task) -> str:
    """The model as ``--model`` takes it: the options that are not the family's defaults for ``task``."""
    usual = {option.name: option.default for option in family.options} | family.spec(task).options()
    options = {name: value for name, value in spec.options().items() if value != usual[name]}
    return spec.family + (":" + ",".join(f"{name}={value}" for name, value in options.items()) if options else "")
