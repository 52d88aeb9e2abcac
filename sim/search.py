"""The search of ``rdahw tune`` for a model: Optuna's samplers and pruners, by ask and tell (``pip install
'rdahw[tune]'``).

Trials are asked for in rounds, and a round's results are told when all of them are there, in the order of their
numbers; each trial has a sampler seeded by its number. So the search does not depend on how many trials run at once,
nor on where they run, nor on being stopped and continued. All of it is kept in a storage of Optuna: each result is
there as soon as the trial has ended, and the trials that have begun and not ended run again.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from rdahw.errors import MissingError, UsageError, UserError
from rdahw.family import Candidate, DataSize, Family
from rdahw.jobs import Jobs
from rdahw.random import stream
from rdahw.sim.automatic import spec_of
from rdahw.sim.trials import FIRST, Given, Piece, Result, run_trial

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise MissingError(f"rdahw tune needs Optuna ({error}); install it with pip install 'rdahw[tune]'") from error

__all__ = ["SAMPLERS", "Search", "open_study"]

#: From so many finished models on, TPE chooses by their results: those of the usual first round.
_KNOWN = 8
#: The samplers, by name, from a seed and how many models in turn were left out. TPE takes the best of some candidates,
#: and often the same one: the fewer they are, the more its choices differ.
SAMPLERS: Mapping[str, Callable[[int, int], Any]] = {
    "tpe": lambda seed, turn: optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=_KNOWN, n_ei_candidates=max(1, 24 >> turn)
    ),
    "random": lambda seed, turn: optuna.samplers.RandomSampler(seed=seed),
}
#: A trial is stopped after its first stage if this part of the finished ones had a better first stage, from so many
#: finished ones on.
_BETTER, _FEWEST = 40.0, 5
#: A search ends when so many models in turn are above the budget, or were there before.
_MOST_REFUSED = 200
#: A trial whose model is not trained has one of these attributes: it is above the budget, or was there before.
_LEFT_OUT = {"refused", "again"}
_STUDY = "rdahw"


def open_study(path: Path | None, about: Mapping[str, Any]) -> optuna.Study:
    """The study in the journal file ``path``, or one in memory; ``about``: all that decides what its trials are, as
    plain JSON values.

    Raises :class:`UsageError` if the study of the file is about something else, :class:`UserError` if the file is no
    journal or cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if path is not None and not _may_be_journal(path):
                raise ValueError("it is a file of another kind")
            storage = None if path is None else _journal(path.absolute())
            study = optuna.create_study(
                storage=storage, study_name=_STUDY, direction="maximize", load_if_exists=True,
                pruner=optuna.pruners.PercentilePruner(_BETTER, n_startup_trials=_FEWEST),
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"the storage {str(path)!r} cannot be written ({error.strerror}); choose another file with --storage"
            ) from error
        except Exception as error:  # whatever Optuna makes of a file that is none of its own
            raise UserError(
                f"the storage {str(path)!r} is no journal of a search, or a damaged one ({error}); choose another "
                "file with --storage"
            ) from error
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", dict(about))
        return study
    for name, value in json.loads(json.dumps(about)).items():
        if known.get(name) != value:
            raise UsageError(
                f"the search in {str(path)!r} has {name} {known.get(name)!r}, and this one {value!r}; start it as "
                "before, or choose another file with --storage"
            )
    return study


def _may_be_journal(path: Path) -> bool:
    """Whether there is no file at ``path``, or one that begins as a journal does. Optuna writes to a file of another
    kind before it fails, and may never return from a device."""
    begins = b'{"op_code"'
    if not path.is_file():
        return path.is_dir() or not path.exists()
    with path.open("rb") as file:
        return file.read(len(begins)) in (b"", begins)


def _journal(path: Path) -> Any:
    """The storage in an absolute path: Optuna's lock is a link to the path as it is given."""
    if path.is_file():
        _remove_cut_line(path)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))


def _remove_cut_line(path: Path) -> None:
    """Remove a last line that was not written to its end, as after a crash: the next one would be joined to it."""
    lock = JournalFileSymlinkLock(str(path))  # Optuna's own, so that no other process is within a line
    lock.acquire()
    try:
        with path.open("r+b") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            if file.read(1) not in (b"", b"\n"):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
    finally:
        lock.release()


@dataclass(slots=True, eq=False)
class Search:
    """A search among the models of ``families``.

    rule: ``rule(family, candidate)``, how data become bits. costs: ``costs(spec)`` of a model that is not trained; it
    may raise :class:`UsageError`. known: whether these are its costs when it is trained. excess: how far costs are
    above the budget, 0 for within. trials: how many models are trained in all. deadline: by :func:`time.monotonic`; no
    further round begins after it. round: how many trials are asked for at once. keep: called with the number and the
    result of each trial that has ended.
    """

    study: optuna.Study
    given: Given
    families: Sequence[Family]
    size: DataSize
    rule: Callable[[Family, Candidate], str]
    costs: Callable[[Any], Mapping[str, float | None]]
    known: Callable[[Any], bool]
    excess: Callable[[Mapping[str, float | None]], float]
    trials: int
    deadline: float | None
    round: int
    sampler: str
    keep: Callable[[int, Result], object]
    _pieces: list[Piece] = field(default_factory=list)
    _asked: dict[int, Trial] = field(default_factory=dict)
    _results: dict[int, Result] = field(default_factory=dict)
    #: Of the trials of the round whose costs are known before they are trained.
    _costs: dict[int, Mapping[str, float | None]] = field(default_factory=dict)
    _waiting: int = 0

    def run(self, jobs: Jobs, progress: Callable[[int, int], object]) -> None:
        """Run the trials that are missing; ``progress`` is called with (trials that have ended, trials in all)."""
        if not self.study.get_trials(deepcopy=False):
            for _, _, parameters in sorted(self._beginnings(), key=lambda each: each[:2]):
                self.study.enqueue_trial(parameters)

        def tick(done: int, pieces: int) -> None:
            progress(sum(trial.state.is_finished() for trial in self.counted()), self.trials)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental parts, and of reports that come twice
            self._begin(self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
            jobs.run(run_trial, self._pieces, self.given, done=self._done, progress=tick)

    def counted(self) -> list[FrozenTrial]:
        """The trials whose models are trained: without those above the budget, and the same models again."""
        trials = self.study.get_trials(deepcopy=False)
        return [t for t in trials if t.state != TrialState.WAITING and not t.user_attrs.keys() & _LEFT_OUT]

    def piece(self, trial: FrozenTrial) -> Piece:
        """All of a trial that has ended, to train its model again."""
        return self._piece(trial.number, *self._chosen(_Told(trial)), 1.0)

    # -- a round -------------------------------------------------------------------------------------------------------

    def _begin(self, left: Sequence[FrozenTrial] = ()) -> None:
        """Ask for the trials of the next round, beside those that are ``left`` of one that was stopped."""
        self._asked, self._results, self._costs = {}, {}, {}
        for begun in left:
            self.study.sampler = self._sampler_again(begun)
            self._take(Trial(self.study, begun._trial_id))
        refused = 0
        while (count := len(self.counted())) < self.trials and (not self._asked or count % self.round):
            if self.deadline is not None and count and not self._asked and time.monotonic() >= self.deadline:
                break
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            number = waiting[0].number if waiting else len(self.study.get_trials(deepcopy=False))
            self.study.sampler = self._sampler(number)
            refused = 0 if self._take(self.study.ask()) else refused + 1
            if refused == _MOST_REFUSED:
                break
        self._waiting = len(self._asked) - len(self._results)
        for trial in self._asked.values():
            if trial.number not in self._results:
                self._pieces.append(self._piece(trial.number, *self._chosen(trial), FIRST))
        if self._asked and not self._waiting:
            self._end()

    def _take(self, trial: Trial) -> bool:
        """Add a trial to the round, unless it is above the budget."""
        family, candidate = self._chosen(trial)
        attributes = trial.user_attrs
        if any(trial.params == other.params for other in self.counted() if other.number < trial.number):
            return self._leave_out(trial, "again", True)
        if "result" not in attributes:
            try:
                task = self.given.task(self.rule(family, candidate))
                spec = spec_of(family, candidate, task)
                costs = self.costs(spec)
            except UserError as error:
                return self._leave_out(trial, "refused", str(error))
            if self.excess(costs):
                return self._leave_out(trial, "refused", "above the budget")
            if self.known(spec):
                self._costs[trial.number] = costs
        self._asked[trial.number] = trial
        if "result" in attributes:  # it has ended, and was not told
            self._results[trial.number] = Result(error=attributes["result"].get("error", ""))
        return True

    def _leave_out(self, trial: Trial, name: str, why: object) -> bool:
        # As a failure, which samplers do not look at: the best models are often beside those above the budget.
        trial.set_user_attr(name, why)
        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return False

    def _done(self, number: int, result: Result) -> None:
        piece = self._pieces[number]
        trial = self._asked[piece.trial]
        self._waiting -= 1
        self._results[piece.trial] = result
        if not result.error:
            trial.report(result.accuracy, 1)  # what is reported again is ignored
        if result.error or piece.share == 1:
            trial.set_user_attr("result", result.to_json())
            self.keep(piece.trial, result)
        if self._waiting:
            return
        if not self._second_stage():
            self._end()

    def _second_stage(self) -> bool:
        """Begin the second stage of the trials that are worth it, if there are any that had their first one."""
        first = [n for n, trial in self._asked.items() if "result" not in trial.user_attrs]
        for n in first:
            trial, result = self._asked[n], self._results[n]
            if trial.should_prune():
                trial.set_user_attr("result", {**result.to_json(), "pruned": True})
            else:
                self._pieces.append(self._piece(n, *self._chosen(trial), 1.0, result))
                self._waiting += 1
        return bool(self._waiting)

    def _end(self) -> None:
        """Tell the results of a round, and begin the next one."""
        for trial in self._asked.values():
            found = trial.user_attrs["result"]
            if "error" in found:
                trial.set_constraint("budget", 1.0)
                self.study.tell(trial, 0.0, skip_if_finished=True)
            elif "pruned" in found:
                trial.set_constraint("budget", 0.0)
                self.study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
            else:
                trial.set_constraint("budget", self.excess(found["costs"]))
                self.study.tell(trial, found["accuracy"], skip_if_finished=True)
        self._begin()

    # -- models --------------------------------------------------------------------------------------------------------

    def _piece(
        self, number: int, family: Family, candidate: Candidate, share: float, before: Result | None = None
    ) -> Piece:
        begun = () if before is None else before.folds
        rule, costs = self.rule(family, candidate), self._costs.get(number)
        return Piece(number, family.name, candidate, rule, share, begun, costs)

    def _chosen(self, trial: Any) -> tuple[Family, Candidate]:
        """The model of a trial."""
        names = [family.name for family in self.families]
        family = self.families[names.index(trial.suggest_categorical("family", names))]

        def choose(name: str, values: Sequence[Any], usual: Any) -> Any:
            where = f"{family.name} {name}"
            if _are_numbers(values):
                return values[trial.suggest_int(where, 0, len(values) - 1)]
            return trial.suggest_categorical(where, list(values))

        assert family.search is not None
        return family, family.search(self.size, choose)

    def _beginnings(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """The parameters of the models that the search begins with, each with its place: the usual model of each
        family, then the usual ones with each other value of a choice between words, such as another wiring."""
        for k, family in enumerate(self.families):
            usual, others = self._usual(family, {})
            yield 0, k, usual
            for n, other in enumerate(others, 1):
                yield n, k, self._usual(family, other)[0]

    def _usual(self, family: Family, changed: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The parameters of a family's usual model with those that are ``changed``, and what else may be changed."""
        chosen: dict[str, Any] = {"family": family.name}
        others: list[dict[str, Any]] = []

        def choose(name: str, values: Sequence[Any], usual: Any) -> Any:
            value = changed.get(name, usual)
            if _are_numbers(values):
                chosen[f"{family.name} {name}"] = list(values).index(value)
            else:
                chosen[f"{family.name} {name}"] = value
                others.extend({name: other} for other in values if other != value)
            return value

        assert family.search is not None
        family.search(self.size, choose)
        return chosen, others

    def _sampler(self, number: int) -> Any:
        before = reversed(self.study.get_trials(deepcopy=False)[:number])
        turn = len(list(takewhile(lambda trial: trial.user_attrs.keys() & _LEFT_OUT, before)))
        return SAMPLERS[self.sampler](stream(self.given.seed, "tune", number) % (1 << 32), turn)

    def _sampler_again(self, begun: FrozenTrial) -> Any:
        """The sampler of a trial that was begun before. If the search was stopped while its parameters were chosen, all
        are chosen anew, as a sampler's random numbers go on from one parameter to the next."""
        sampler = self._sampler(begun.number)
        if "fixed_params" in begun.system_attrs:
            return sampler
        study = optuna.create_study(direction="maximize", sampler=sampler)
        before = self.study.get_trials(deepcopy=False)[: begun.number]
        # Also those that run, whose like it avoids.
        study.add_trials([trial for trial in before if trial.state != TrialState.WAITING])
        again = study.ask()
        self._chosen(again)
        return optuna.samplers.PartialFixedSampler(again.params, sampler)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) for value in values)


@dataclass(frozen=True, slots=True)
class _Told:
    """A trial that has ended, which suggests what it was."""

    trial: FrozenTrial

    def suggest_categorical(self, name: str, values: Sequence[Any]) -> Any:
        return self.trial.params[name]

    def suggest_int(self, name: str, low: int, high: int) -> Any:
        return self.trial.params[name]
