"""One training from options to the saved model: data, engine, checkpoints, Ctrl-C, and what is printed."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rdahw.cli._data import load_dataset, split_names, to_bits, training_bits
from rdahw.cli._engine import EngineOptions, compiling, connect_device, make_hardware
from rdahw.cli._model import make_spec
from rdahw.cli._options import READING, apply_defaults, given_options, recorded, target_of
from rdahw.cli._output import percent
from rdahw.errors import UsageError, UserError
from rdahw.jobs import stopping

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdahw.cli._output import Output
    from rdahw.data import Binariser, Dataset
    from rdahw.data import Examples as RawExamples
    from rdahw.family import Spec
    from rdahw.jobs import Jobs
    from rdahw.saved import SavedModel
    from rdahw.sim.engines import SoftwareEngine
    from rdahw.state import State
    from rdahw.training import Engine, Examples, Progress

__all__ = [
    "Converted", "Interrupted", "Request", "Run", "checkpoint_of", "convert", "describe_test", "find_spec",
    "keep_other_checkpoint", "load_data",
]  # fmt: skip

#: Every epoch is logged up to this many epochs; of more, about half as many are logged.
_ALL_LINES = 50
#: At most so many training examples are predicted to see whether all are predicted as one class.
_LOOK_AT = 2000


class Interrupted(UserError):
    """The training was stopped by Ctrl-C, after its checkpoint was saved."""

    exit_code = 130


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Converted:
    """A data set as the bits of a model.

    dataset: the data set without features, as they may be large. train: the examples to learn. test, held_out: those to
    measure, and labels: the labels of ``held_out`` as they were read; None if there are none.
    """

    dataset: Dataset
    binariser: Binariser
    train: Examples
    test: Examples | None
    held_out: Examples | None
    labels: NDArray[Any] | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Request:
    """What a run needs: the options that are recorded, the model, the data, the engine, and the files."""

    options: dict[str, Any]
    spec: Spec
    data: Converted
    engine: EngineOptions
    out: Path
    resume: Path | None
    saved: SavedModel | None
    started: float
    #: One of several seeds: do not log every epoch.
    is_one_of_several: bool = False
    #: Measure each epoch on the test part, too.
    scores_test: bool = True
    #: What --model auto tried, as JSON.
    tried: Sequence[Mapping[str, Any]] = ()
    #: Threads of the engine; None: one a processor.
    threads: int | None = None
    #: The model from whose state it starts, and its name; None: an untrained one.
    start: tuple[SavedModel, str] | None = None
    #: Where shards are learned; None: here, one after another.
    jobs: Jobs | None = None


class Run:
    """A training in software, in simulated hardware or on a board: :meth:`train`, then :meth:`result` and :meth:`show`.
    Call :meth:`close` in any case."""

    def __init__(self, output: Output, request: Request) -> None:
        from rdahw.families import parse_model
        from rdahw.tasks import TASKS
        from rdahw.training import Progress, Schedule

        self.output, self.request, self.out = output, request, request.out
        self.options, self.data, self.spec, saved = request.options, request.data, request.spec, request.saved
        self.dataset, self.binariser, self.test = self.data.dataset, self.data.binariser, self.data.test
        self.task = TASKS[self.dataset.schema.task]
        self.checkpoint = checkpoint_of(self.out)
        #: From the start of the command to the saved model.
        self.seconds_total = 0.0
        if saved is None:
            apply_defaults(self.options, parse_model(self.options["model"])[0], self.spec, len(self.data.train))
        self.schedule = Schedule(**{name: self.options[name] for name in Schedule.__dataclass_fields__})
        self.spec.check_schedule(self.schedule, len(self.data.train))
        self.hardware: Any = None
        self._opened = ExitStack()
        self._may_compile = False
        self._seconds_before = 0.0 if saved is None else saved.seconds
        self._begin(Progress() if saved is None else saved.progress, None if saved is None else saved.state)
        done, total = self.training.progress.updates, self.training.total_updates
        if done > total and self.spec.preparation is None:
            raise UsageError(
                f"{done} updates are done already, and {total} were asked for; ask for more with --epochs or "
                "--updates, or leave both out"
            )
        self.resumed_from = None if saved is None else self.training.progress
        whole = None if self.training.is_settled else self.training.progress.epoch
        self.curve = [] if saved is None else saved.curve[:whole]

    def _begin(self, progress: Progress, state: State | None = None) -> None:
        """Make the engine and the training of the model, or of its preparation if there is one to come."""
        from rdahw.training import Schedule, Training

        first, train = self.spec.preparation, self.data.train
        schedule = self.schedule if first is None else Schedule(**first.schedule(len(train)))
        if first is None:
            self.engine = self._make_engine(schedule.total_updates(len(train)) - progress.updates, progress)
        else:
            asked = self.request.engine
            self.engine = self._make_software(first, None if asked.where == "hdl" else asked.engine)
        if state is not None:
            self.engine.state = state
        held_out = self.data.held_out if first is None else None
        self.training = Training(self.engine, schedule, train, held_out, progress, self._start())

    def _start(self) -> State | None:
        """The state to start from, if a model to start from was given; raises :class:`UsageError` for another kind."""
        if self.request.start is None:
            return None
        from rdahw.merging import check_same

        saved, name = self.request.start
        if self.spec.preparation is not None:
            raise UsageError(
                f"--start {name} was given, and this model chooses its inputs by its own data; leave --start out, "
                "or train a model of fixed inputs, such as --model ensemble"
            )
        own = replace(saved, spec=self.spec, schema=self.dataset.schema, binariser=self.binariser)
        check_same(name, saved, str(self.out), own)
        return saved.best_state

    def _make_engine(self, updates: int, progress: Progress) -> Engine:
        output, spec, asked = self.output, self.spec, self.request.engine
        if asked.where == "hdl":
            self.hardware = make_hardware(output, spec, asked, batch=self.schedule.batch > 1, updates=updates)
            self._opened.callback(self.hardware.close)
            self.hardware.examples, self.hardware.updates = progress.examples, progress.updates
            engine: Engine = self.hardware
            return engine
        if (board := connect_device(asked, spec, self.binariser)) is not None:
            self._opened.callback(board.device.close)
            return board
        return self._make_software(spec, asked.engine)

    def _make_software(self, spec: Spec, name: str | None) -> SoftwareEngine:
        from rdahw.sim.engines import find_engine, in_shards, make_engine

        self._may_compile = find_engine(spec, name).is_compiled
        with compiling(self.output, self._may_compile):
            engine = make_engine(spec, name, threads=self.request.threads or os.cpu_count() or 1)
        if (shards := self.options["shards"]) is None:
            return engine
        self.spec.of_shard(self.spec.initial_state(), 1)  # which may refuse, before its wiring is grown
        return in_shards(engine, shards, self.request.jobs)

    @property
    def seconds(self) -> float:
        """Seconds of the training loop, including those before a ``--resume``."""
        return self._seconds_before + self.training.seconds

    def train(self, checkpoint_seconds: float) -> None:
        """Train to the end and save; on Ctrl-C save a checkpoint and raise :class:`Interrupted`."""
        from rdahw.training import Progress

        with _interrupt_flag() as interrupted:
            self._announce()
            keep_other_checkpoint(self.output, self.checkpoint, self.request.resume)
            while (first := self.spec.preparation) is not None:
                self._train(first, checkpoint_seconds, interrupted)
                self.output.log(f"{first.description}: {self.training.seconds:.2f} s")
                self.spec, self._seconds_before = self.spec.prepared(self.engine.state), self.seconds
                self._begin(Progress())
                self.resumed_from = self.resumed_from and self.training.progress
            self._train(self.spec, checkpoint_seconds, interrupted)
            self._save_or_rescue(self.out, finished=True)
        self.seconds_total = time.perf_counter() - self.request.started
        self.checkpoint.unlink(missing_ok=True)

    def _train(self, spec: Spec, checkpoint_seconds: float, interrupted: list[int]) -> None:
        """Train ``spec``, the model or its preparation, to the end."""
        total, saved_at = self.training.total_updates, time.monotonic()
        with (
            self.output.progress("learning", spec.update_unit, rate=True) as bar,
            compiling(self.output, self._may_compile),
        ):
            for done in self.training.run():
                self._after(done)
                bar(done.updates, total)
                if interrupted or stopping():
                    self._save_or_rescue(self.checkpoint, finished=False)
                    raise Interrupted(
                        f"stopped after update {done.updates} of {total}; continue with "
                        f"rdahw train --resume {self.checkpoint}"
                    )
                if time.monotonic() - saved_at >= checkpoint_seconds:
                    self._save_checkpoint(done)
                    saved_at = time.monotonic()

    # -- epochs --------------------------------------------------------------------------------------------------------

    def _after(self, done: Progress) -> None:
        """At the end of an epoch, add a row to the curve of a model that is scored by epochs."""
        whole = done.position == len(self.training.train)
        if self.spec.preparation is not None or self.schedule.scored != "epoch" or not (whole or self.training.is_over):
            return
        row: dict[str, Any] = {"epoch": done.epoch + 1, "examples": done.position}
        if self.task.counts_wrong:
            row["wrong"] = done.wrong
        if done.changed is not None:
            row["updates"] = done.changed
        row["seconds"] = round(self.seconds, 6)
        if (held_out := self.training.validation) is not None:
            row |= self._measure("validation", held_out, self.training.validation_correct)
        if self.test is not None and self.request.scores_test:
            row |= self._measure("test", self.test)
        self.curve.append(row)
        self._log_epoch(row)

    def _predicted(self, examples: Examples) -> NDArray[np.int64]:
        return self.engine.predict(self.training.prepare(examples))

    def _measure(
        self, part: str, examples: Examples, score: int | None = None, predicted: NDArray[np.int64] | None = None
    ) -> dict[str, Any]:
        """The figures of a part of the data with the engine's parameters, whose ``score`` on it, or what is
        ``predicted``, may be known."""
        if score is not None and self.task.from_score is not None:
            return self.task.described(part, self.task.from_score(score, len(examples)))
        test = self.dataset.test
        labels = test.labels if part == "test" and test is not None else self.data.labels
        assert labels is not None
        found = self._predicted(examples) if predicted is None else predicted
        measured = self.task.evaluate(part, found, labels, self.dataset.schema)
        return self.task.described(part, measured.to_json())

    def _log_epoch(self, row: Mapping[str, Any]) -> None:
        epochs, epoch, metric = self.schedule.epochs, row["epoch"], self.task.metric
        parts = []
        if "wrong" in row:
            parts.append(f"{percent(row['wrong'], row['examples'])} wrong")
        if "updates" in row:
            parts[0] += f" and {percent(row['updates'], row['examples'])} updated"
        names = [name for name in ("validation", "test") if row.get(f"{name}_{metric.name}") is not None]
        parts += [f"{name} {metric.said(row[f'{name}_{metric.name}'])}" for name in names]
        parts.append(f"{row['seconds']:.2f} s")
        every = 1 if epochs <= _ALL_LINES else epochs // (_ALL_LINES // 2)
        is_shown = (epoch % every == 0 or epoch == epochs) and not self.request.is_one_of_several
        log = self.output.log if is_shown else self.output.detail
        log(f"epoch {epoch:>{len(str(epochs))}}  {', '.join(parts)}")

    # -- results -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the simulation, or close the port of the board."""
        self._opened.close()

    def result(self) -> dict[str, Any]:
        """The result as JSON."""
        from rdahw.state import describe_bits

        training, progress = self.training, self.training.progress
        parameters = self.spec.parameters
        result: dict[str, Any] = {
            "data": self.dataset.name,
            **{name: self.options[name] for name in ("binarise", "batch", "epochs", "shuffle", "stride", "seed")},
            "seconds": round(self.seconds, 6),
            "seconds_total": round(self.seconds_total, 6),
            "out": str(self.out),
            "task": self.task.name,
            "model": self.options["model"],
            "family": self.spec.family,
            **self.spec.options(),
            "loss": self.spec.loss,
            "optimiser": self.spec.optimiser,
            "engine": self.engine.name,
            **self.dataset.schema.labels_to_json(),
            "train_examples": len(training.train),
            "examples": progress.examples,
            "updates": progress.updates,
        }
        if self.request.tried:
            result["tried"] = list(self.request.tried)
        if self.resumed_from is not None:
            result["resumed_from_update"] = self.resumed_from.updates
            result["resumed_from_example"] = self.resumed_from.examples
        if self.hardware is not None:
            result |= self.hardware.figures()
        if (best := progress.best) is not None and training.validation is not None:
            result |= {"best_update": best.update, "best_epoch": best.epoch}
            result["validation_examples"] = len(training.validation)
        learned = training.parameters
        if best is not None and (self.test is not None or self.task.from_score is None):
            # Otherwise the engine holds them already; writing them would reset a board's counts.
            self.engine.state = {**self.engine.state, parameters.name: learned}
        if best is not None and training.validation is not None:
            result |= self._measure("validation", training.validation, best.correct)
        result["test_examples"] = 0 if self.test is None else len(self.test)
        if self.test is not None:
            predicted = self._predicted(self.test)
            result |= self._measure("test", self.test, predicted=predicted)
            self._warn_of_one_class(predicted, self.test, "test")
        else:
            result |= self.task.described("test", {})
            if self.hardware is None and self.request.engine.device is None:
                some = self._some_examples()
                self._warn_of_one_class(self._predicted(some), some, "training")
        return result | describe_bits(parameters, learned) | {"curve": self.curve}

    def _some_examples(self) -> Examples:
        """Training examples, evenly spread."""
        from rdahw.training import Examples

        train = self.data.train
        step = -(-len(train) // _LOOK_AT)
        return Examples(train.x[::step], train.labels[::step])

    def _warn_of_one_class(self, predicted: NDArray[np.int64], examples: Examples, part: str) -> None:
        """Say that examples of several classes were all predicted as one."""
        first = int(predicted[0])
        if (
            not self.task.counts_wrong
            or first < 0
            or len(predicted) < 20
            or (predicted != first).any()
            or (examples.labels == first).all()
        ):
            return
        name, share = self.dataset.label_names[first], percent(int((examples.labels == first).sum()), len(predicted))
        way = (
            "train longer or choose another model" if self.options["balance"] else "--balance repeats the rare classes"
        )
        self.output.log(
            f"warning: all {len(predicted)} {part} examples are predicted as {name!r}, which {share} of them are; {way}"
        )

    def show(self, result: Mapping[str, Any]) -> None:
        """Print the result for people."""
        line, before = self.output.line, self.resumed_from
        made, seconds = result["examples"] - (before.examples if before else 0), self.training.seconds
        speed = f", {made / seconds:,.0f} a second" if made >= 1000 and seconds else ""
        line(f"learned   {made} examples in {seconds:.3g} s{speed}; {result['seconds_total']:.3g} s in all")
        if self.hardware is not None:
            line(f"hardware  {self.hardware.summary}; all bits equal to software ({result['engine']})")
        if "best_update" in result:
            when = f"epoch {result['best_epoch']}" if self.schedule.scored == "epoch" else None
            when = when or f"after update {result['best_update']}"
            line(f"best      {when}: validation {self.task.line('validation', result)}")
        if result["test_examples"]:
            line(f"test      {self.task.line('test', result)}")
        else:
            line("test      none: give --test FILE or --split FRACTION to measure the model")
        if "parameters" in result:
            line(f"theta     0x{result['parameters']} ({result['parameter_bits']} bits)")
        line(f"saved     {result['out']}")
        what, out = "" if result["test_examples"] else " --data FILE", shlex.quote(str(result["out"]))
        self.output.log(f"next: rdahw show {out}, rdahw eval {out}{what}")

    # -- files ---------------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        log, before, total = self.output.log, self.resumed_from, self.training.total_updates
        options = ", ".join(f"{name} {value}" for name, value in self.spec.options().items())
        self.output.detail(f"bits by {self.binariser.rule}, {options}, {self.schedule}")
        log(f"{self.dataset.name}: {len(self.dataset.train)} examples to learn, {self.spec.description}")
        for caution in filter(None, (self.spec.caution, self.dataset.caution)):
            log(f"warning: {caution}")
        if before is not None and self.training.is_settled:
            log("nothing to continue: the model is settled, and no further example changes it")
        elif before is not None and before.updates < total:
            log(f"continuing after update {before.updates} of {total}")
        elif before is not None:
            done = f"nothing to continue: {before.updates} of {total} updates are done"
            if (most := self.schedule.updates) is not None and most <= before.updates:
                log(f"{done}, and the training ends after --updates {most}; ask for more with --updates")
            else:
                log(f"{done}; ask for more with --epochs")

    def _save_checkpoint(self, done: Progress) -> None:
        after = f"after update {done.updates}"
        try:
            self._save(self.checkpoint, finished=False)
        except UserError as error:  # a disk that is full now may have space at the end
            self.output.log(f"no checkpoint {after}: {error}")
        else:
            self.output.detail(f"checkpoint {after}: {self.checkpoint}")

    def _save_or_rescue(self, path: Path, *, finished: bool) -> None:
        """Save; if that fails, save to the folder of temporary files and raise an error that names the file."""
        try:
            self._save(path, finished=finished)
        except UserError as error:
            rescued = Path(tempfile.gettempdir(), path.name).with_suffix(f".{os.getpid()}.rdahw")
            try:
                self._save(rescued, finished=finished)
            except UserError:
                raise error from None
            raise UserError(f"{error}; the model was saved as {str(rescued)!r}") from None

    def _save(self, path: Path, *, finished: bool) -> None:
        import rdahw
        from rdahw.saved import SavedModel, save_model

        provenance = {
            "options": recorded(self.options, self.spec),
            "data_sha256": self.dataset.checksum,
            "command": "rdahw train",
            "package_version": rdahw.__version__,
            "finished": finished,
            "seconds": round(self.seconds, 6),
            "curve": self.curve,
        }
        saved = SavedModel(
            spec=self.spec,
            state=self.engine.state,
            progress=self.training.progress,
            schema=self.dataset.schema,
            binariser=self.binariser,
            schedule=self.schedule,
            provenance=provenance,
        )
        save_model(saved, path)


def checkpoint_of(out: Path) -> Path:
    """The file of the checkpoints of a training whose model is saved as ``out``."""
    return out.with_name(f"{out.name}.checkpoint")


def keep_other_checkpoint(output: Output, checkpoint: Path, resumed: Path | None) -> None:
    """Rename a ``checkpoint`` of another run than the one that is ``resumed``: it may hold hours of work."""
    if checkpoint.exists() and not (resumed is not None and checkpoint.samefile(resumed)):
        kept = checkpoint.with_name(checkpoint.name + ".previous")
        os.replace(checkpoint, kept)
        output.log(f"kept the checkpoint of an earlier run as {kept}")


def load_data(output: Output, options: Mapping[str, Any]) -> tuple[Dataset, RawExamples | None]:
    """The data set, and the examples held out of it for validation."""
    names = ("data", *READING, "test", "split", "resize", "seed", "task", "normal", "sequence")
    given = {name: options[name] for name in names}
    given |= {"target": target_of(options), "in_parts": options["shards"] is not None}
    dataset = load_dataset(output, classes=split_names(options["classes"]), **given)
    return (dataset, None) if options["validation"] is None else dataset.hold_out(options["validation"])


def convert(
    output: Output, options: dict[str, Any], dataset: Dataset, held_out: RawExamples | None, saved: SavedModel | None
) -> tuple[Spec, Converted]:
    """The model that ``options`` name, or the ``saved`` one, and the data as its bits; fills in the option binarise.

    Raises :class:`UserError` if the saved model was trained on other data.
    """
    if saved is None:
        from rdahw.data import fit_binariser
        from rdahw.families import parse_model

        options["binarise"] = options["binarise"] or parse_model(options["model"])[0].binarise(dataset)
        binariser = fit_binariser(dataset, options["binarise"])
        spec = find_spec(options, dataset, binariser)
    else:
        if saved.provenance.get("data_sha256") != dataset.checksum:
            raise UserError(
                f"the data {options['data']!r} are not those of the first part of this training (checksum "
                f"{dataset.checksum[:12]}…); give that data set with --data, or leave --resume out"
            )
        spec, binariser = saved.spec, saved.binariser
    train = training_bits(output, spec, binariser, dataset)
    return spec, Converted(
        dataset=dataset.without_features(),
        binariser=binariser,
        train=train.balanced() if options["balance"] else train,
        test=to_bits(output, binariser, dataset.test, dataset.schema),
        held_out=to_bits(output, binariser, held_out, dataset.schema),
        labels=None if held_out is None else held_out.labels,
    )


def find_spec(options: Mapping[str, Any], dataset: Dataset, binariser: Binariser) -> Spec:
    """The model that ``options`` name."""
    from rdahw.families import parse_model
    from rdahw.family import Task

    given = given_options(parse_model(options["model"])[0], options)
    return make_spec(options["model"], Task.of(dataset.schema, binariser, seed=options["seed"]), **given)


def describe_test(correct: int | None, examples: int) -> dict[str, Any]:
    """The result on the test examples as JSON; ``correct`` is None if there are none."""
    accuracy = None if correct is None else correct / examples
    return {"test_accuracy": accuracy, "test_correct": correct, "test_examples": examples}


@contextmanager
def _interrupt_flag() -> Iterator[list[int]]:
    """A list that is empty until the first Ctrl-C, so that the caller can finish an update; the second Ctrl-C stops at
    once. In a thread, which gets no signals, it stays empty."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
