"""``rdahw train --stream``: learning from the examples of standard input, each predicted before it is learned."""

from __future__ import annotations

import contextlib
import json
import select
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rdahw.cli._data import split_names, to_bits
from rdahw.cli._engine import EngineOptions, compiling
from rdahw.cli._model import make_spec
from rdahw.cli._options import READING, given_options, switch_values, switches
from rdahw.cli._output import Bar, percent
from rdahw.cli._training import Interrupted, checkpoint_of, keep_other_checkpoint
from rdahw.errors import UsageError, UserError
from rdahw.family import AUTO, USUAL_TASK

if TYPE_CHECKING:
    from rdahw.cli._output import Output
    from rdahw.data import Binariser, Schema
    from rdahw.data import Examples as RawExamples
    from rdahw.data._stream import ExampleStream
    from rdahw.drift import DriftAlarm
    from rdahw.family import Spec
    from rdahw.saved import SavedModel

__all__ = ["COMMAND", "StreamOptions", "train_stream"]

#: The command in the provenance of a model that learned from a stream.
COMMAND = "rdahw train --stream"

#: The options of ``rdahw train`` that a stream takes in any case, and those that a model to continue has already.
_ALWAYS = {*READING, "stream", "every", "engine", "out", "resume", "skip", "checkpoint", "as_json", "verbose", "quiet"}
_OF_NEW = {"model", "loss", "optimiser", "binarise", "classes", "seed", "first", "schema", "where"}


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The options of ``rdahw train`` that are for streams only; see their help. stream: whether it learns from one."""

    stream: bool
    first: int
    schema: Path | None
    every: int
    skip: int

    @classmethod
    def take(cls, ctx: click.Context, options: dict[str, Any]) -> StreamOptions:
        """Take them out of ``options``; raises :class:`UsageError` if one is given without --stream, or another option
        that a stream does not have."""
        taken = cls(**{name: options.pop(name) for name in cls.__dataclass_fields__})
        given = [name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        typed = {parameter.name: parameter.opts[-1] for parameter in ctx.command.params}
        if not taken.stream:
            for name in given:
                if name in cls.__dataclass_fields__:
                    raise UsageError(f"{typed[name]} was given without --stream; add --stream, or leave it out")
            return taken
        of_new = _OF_NEW | switches().keys()
        if options["resume"] is not None:
            for name in given:
                if name in of_new:
                    raise UsageError(
                        f"{typed[name]} was given with --resume, whose model states it; leave {typed[name]} out"
                    )
        elif taken.skip:
            raise UsageError("--skip leaves out what a model to --resume has learned; give that model, or leave it out")
        for name in given:
            if name not in _ALWAYS | of_new or name == "where" and options["where"] != "sim":
                raise UsageError(
                    f"{typed[name]} is not supported with --stream, which learns each example of standard input once "
                    "and in software; leave it out"
                )
        if options["model"] == AUTO:
            raise UsageError(
                f"--model {AUTO} tries several models on all examples, which a stream does not have in advance; name a "
                "model, such as --model ensemble"
            )
        return taken


def train_stream(output: Output, asked: StreamOptions, engine: EngineOptions, options: dict[str, Any]) -> None:
    """Learn until the stream ends, and save the model; ``options``: those of ``rdahw train``."""
    run = _StreamRun(output, asked, engine, options)
    with _stopping(run):
        run.train()
    output.json(run.result())
    run.show()


class _StreamRun:
    def __init__(self, output: Output, asked: StreamOptions, engine: EngineOptions, options: dict[str, Any]) -> None:
        from rdahw.drift import DriftAlarm
        from rdahw.files import check_writable
        from rdahw.saved import load_model

        self.output, self.asked, self.engine_name, self.options = output, asked, engine.engine, options
        #: Whether it waits for the stream, and Ctrl-C may stop it at once; whether Ctrl-C was pressed.
        self.waiting = self.stopped = False
        resume: Path | None = options["resume"]
        self.saved: SavedModel | None = None if resume is None else load_model(resume)
        default = f"stream-{(options['model'] or 'ensemble').partition(':')[0]}.rdahw"
        if resume is not None:
            default = str(resume.with_name(resume.name.removesuffix(".checkpoint")))
        self.out: Path = options["out"] or Path(default)
        self.checkpoint = checkpoint_of(self.out)
        check_writable(self.out)
        self.alarm: DriftAlarm = DriftAlarm()
        self.examples = self.wrong = self.learned = self.wrong_since = self.since = self.before = 0
        self.seconds = 0.0
        self._unsaved = False
        self._saved_at = time.monotonic()

    # -- the stream ----------------------------------------------------------------------------------------------------

    def _read(self) -> bytes:
        """The next bytes of standard input; saves a checkpoint if it has to wait for long."""
        if sys.stdin is None:
            raise UserError("standard input is closed; give it the examples, as in rdahw train --stream < FILE")
        stdin: Any = sys.stdin.buffer
        self.waiting = True
        try:
            if self.stopped:
                raise KeyboardInterrupt
            if self._unsaved and sys.platform != "win32":  # it knows select for sockets only
                rest = max(0.0, self._saved_at + self.options["checkpoint"] - time.monotonic())
                with contextlib.suppress(OSError):  # not a file, pipe or terminal
                    if not select.select([stdin.fileno()], [], [], rest)[0]:
                        self._save_checkpoint()
            return bytes(stdin.read1(1 << 16))
        finally:
            self.waiting = False

    def _open(self) -> tuple[ExampleStream, RawExamples | None]:
        """Set the model up; gives the stream, and its first examples where they chose the columns."""
        from rdahw.data import fit_binariser
        from rdahw.data._stream import ExampleStream
        from rdahw.families import parse_model
        from rdahw.family import Task
        from rdahw.saved import load_model
        from rdahw.sim.engines import find_engine, make_engine
        from rdahw.training import prepare

        options, first = self.options, None
        given: dict[str, Any] = {name: options[name] for name in READING} | {"log": self._warn}
        known = self.saved or (None if self.asked.schema is None else load_model(self.asked.schema))
        if sys.stdin is not None and sys.stdin.isatty():
            self.output.log("reading examples from the terminal; Ctrl-D ends them")
        if self.saved is not None:
            self._continue(self.saved)
        text = options["model"] or "ensemble"
        family = parse_model(text)[0]
        if USUAL_TASK not in family.tasks:
            raise UsageError(
                f"a stream learns classes, and model {family.name!r} is for {' and '.join(family.tasks)}; use another, "
                "such as --model ensemble"
            )
        if known is not None and known.schema.task != USUAL_TASK:
            raise UsageError(
                f"a stream learns classes, and the model given is for {known.schema.task}; give a model of classes"
            )
        own = given_options(family, options)
        if known is not None:
            if self.saved is None and (options["binarise"] or options["classes"]):
                name = "binarise" if options["binarise"] else "classes"
                raise UsageError(f"--{name} was given with --schema, whose model states it; leave it out")
            stream = ExampleStream(self._read, schema=known.schema, **given)
            self.schema, self.binariser = known.schema, known.binariser
        else:
            stream = ExampleStream(self._read, **given)
            dataset = stream.first(self.asked.first, split_names(options["classes"]))
            self.schema, first = dataset.schema, dataset.train
            self.binariser = fit_binariser(dataset, options["binarise"] or family.binarise(dataset))
        self.spec: Spec
        if self.saved is not None:
            self.spec = self.saved.spec
        else:
            self.spec = make_spec(text, Task.of(self.schema, self.binariser, seed=options["seed"]), **own)
        _check_online(self.spec)

        def make(spec: Spec) -> Any:
            return make_engine(spec, self.engine_name if spec is self.spec else None)

        with compiling(self.output, find_engine(self.spec, self.engine_name).is_compiled):
            if self.spec.preparation is not None:
                if first is None:
                    raise UsageError(
                        f"{self.spec.name} with these options is prepared by the first examples; leave --schema out"
                    )
                self.spec = prepare(self.spec, to_bits(self.output, self.binariser, first, self.schema), make)
            self.engine = make(self.spec)
        self.engine.state = self.spec.initial_state() if self.saved is None else self.saved.best_state
        if self.spec.caution and self.saved is None:
            self.output.log(f"warning: {self.spec.caution}")
        self.output.detail(f"bits by {self.binariser.rule}")
        return stream, first

    def _warn(self, message: str) -> None:
        """Log a warning about the first examples; what else is said of them is about their form here."""
        from rdahw.data._table import quantity_hint

        if message.startswith("warning: "):
            way_out = "a stream learns classes only, so choose another label column with --label"
            self.output.log(message.replace(quantity_hint(), way_out))

    def _continue(self, saved: SavedModel) -> None:
        """Take up the counts of ``saved``, if it learned from a stream."""
        from rdahw.drift import DriftAlarm

        stream = saved.provenance.get("stream")
        if saved.provenance.get("command") == COMMAND and isinstance(stream, dict):
            self.alarm = DriftAlarm.from_json(stream.get("alarm"))
        self.examples, self.wrong, self.before = saved.progress.examples, saved.progress.wrong, saved.progress.examples
        self.seconds = saved.seconds

    # -- learning ------------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Learn until the stream ends, and save."""
        error: UserError | None = None
        stream, first = self._open()
        self._announce()
        keep_other_checkpoint(self.output, self.checkpoint, self.options["resume"])
        with self.output.progress("learning", "examples", rate=True) as bar:
            try:
                if first is not None:
                    self._learn(first, bar)
                for part in stream.examples(self.asked.skip):
                    self._learn(part, bar)
                    if time.monotonic() - self._saved_at >= self.options["checkpoint"]:
                        self._save_checkpoint()
            except KeyboardInterrupt:
                self._save(self.checkpoint, finished=False)
                raise Interrupted(
                    f"stopped after example {self.examples}; continue with {COMMAND} --resume {self.checkpoint}"
                ) from None
            except UserError as raised:
                error = raised
        if error is not None:
            if self.learned:
                self._save(self.checkpoint, finished=False)
                raise UserError(
                    f"{error}; the {self.examples} examples before it are learned: continue after it with {COMMAND} "
                    f"--resume {self.checkpoint}"
                ) from error
            raise error
        if not self.learned:
            skipped = f" after the {self.asked.skip} that --skip leaves out" if self.asked.skip else ""
            raise UserError(f"standard input has no example{skipped}; give it examples to learn")
        self._save(self.out, finished=True)
        self.checkpoint.unlink(missing_ok=True)

    def _learn(self, raw: RawExamples, bar: Bar) -> None:
        """Predict and learn the examples one by one, with a report after every so many."""
        import numpy as np

        from rdahw.training import Batches

        started = time.perf_counter()
        prepared, start = self.engine.prepare(to_bits(self.output, self.binariser, raw, self.schema)), 0
        while start < len(raw):
            stop = min(len(raw), start + self.asked.every - self.examples % self.asked.every)
            wrong = self.engine.train(prepared, Batches.single(np.arange(start, stop))).wrong
            alarms = [self.examples + at + 1 for at in self.alarm.update_many(wrong)]
            self.examples += stop - start
            self.learned += stop - start
            self.since += stop - start
            self.wrong += int(wrong.sum())
            self.wrong_since += int(wrong.sum())
            start = stop
            for at in alarms:
                self._event({"event": "alarm", "examples": at})
                self.output.log(f"alarm: the error rate rose before example {at:,}")
            if self.examples % self.asked.every == 0:
                self._report()
            bar(self.examples, None, f"learning, {percent(self.wrong, self.examples)} wrong")
        self.seconds += time.perf_counter() - started
        self._unsaved = True

    def _report(self) -> None:
        counts = self._counts()
        self._event({"event": "progress", **counts})
        text = f"{self.examples:>10,} examples, {percent(self.wrong, self.examples)} wrong"
        text += f", {percent(self.wrong_since, self.since)} of the last {self.since:,}"
        number = self.examples // self.asked.every
        # On a terminal there is a bar. Elsewhere the lines become rarer, as a stream may have no end.
        (self.output.log if number & (number - 1) == 0 and not Bar.can_be_shown() else self.output.detail)(text)
        self.wrong_since = self.since = 0

    def _counts(self) -> dict[str, Any]:
        recent = self.wrong_since / self.since if self.since else None
        counts = {"examples": self.examples, "wrong": self.wrong, "error": self.wrong / self.examples}
        return {**counts, "recent_error": recent, "alarms": self.alarm.alarms, "last_alarm": self.alarm.last}

    def _event(self, event: Mapping[str, Any]) -> None:
        """A line of NDJSON on stdout, with --json."""
        if self.output.as_json:
            click.echo(json.dumps(event))

    # -- results -------------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        names = self.schema.label_names
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        self.output.log(f"standard input: {len(self.schema.columns)} columns, classes {shown}; {self.spec.description}")
        if self.before:
            self.output.log(f"continuing after example {self.before:,}")

    def result(self) -> dict[str, Any]:
        """The result as JSON."""
        from rdahw.state import describe_bits

        parameters = self.spec.parameters
        return {
            "event": "result",
            "data": "standard input",
            "binarise": self.binariser.rule,
            "seconds": round(self.seconds, 6),
            "out": str(self.out),
            "family": self.spec.family,
            **self.spec.options(),
            "loss": self.spec.loss,
            "optimiser": self.spec.optimiser,
            "engine": self.engine.name,
            "classes": list(self.schema.label_names),
            **self._counts(),
            "learned": self.learned,
            **describe_bits(parameters, self.engine.state[parameters.name]),
        }

    def show(self) -> None:
        """Print the result for people."""
        line = self.output.line
        line(f"learned   {self.learned} examples, {self.examples} in all")
        line(f"error     {percent(self.wrong, self.examples)} of them were predicted wrongly before they were learned")
        if self.alarm.last is not None:
            line(f"alarms    {self.alarm.alarms}, the last before example {self.alarm.last}")
        line(f"saved     {self.out}")
        out = shlex.quote(str(self.out))
        self.output.log(f"next: rdahw eval {out} --data FILE, {COMMAND} --resume {out}")

    def _save_checkpoint(self) -> None:
        try:
            self._save(self.checkpoint, finished=False)
        except UserError as error:
            self.output.log(f"no checkpoint after example {self.examples}: {error}")
        self._saved_at = time.monotonic()

    def _save(self, path: Path, *, finished: bool) -> None:
        import rdahw
        from rdahw.saved import SavedModel, save_model
        from rdahw.training import Progress, Schedule

        provenance = {
            "command": COMMAND,
            "package_version": rdahw.__version__,
            "finished": finished,
            "seconds": round(self.seconds, 6),
            "stream": {"alarm": self.alarm.to_json()},
        }
        progress = Progress(examples=self.examples, updates=self.examples, wrong=self.wrong, changed=None)
        schema: Schema = self.schema
        binariser: Binariser = self.binariser
        saved = SavedModel(
            spec=self.spec,
            state=self.engine.state,
            progress=progress,
            schema=schema,
            binariser=binariser,
            schedule=Schedule(seed=self.options["seed"] if self.saved is None else self.saved.schedule.seed),
            provenance=provenance,
        )
        save_model(saved, path)
        self._unsaved = False


def _check_online(spec: Spec) -> None:
    """Raise :class:`UsageError` for a model that cannot learn from one example after the other."""
    from rdahw.training import Schedule

    if switch_values(spec).get("augment"):
        raise UsageError(
            "a model with augmentation goes through its data in epochs, which a stream does not have; use one without"
        )
    try:
        spec.check_schedule(Schedule(), 2)
    except UsageError:
        raise UsageError(
            f"model {spec.family!r} does not learn from one example after the other, as a stream needs; use another, "
            "such as --model ensemble"
        ) from None


@contextlib.contextmanager
def _stopping(run: _StreamRun) -> Iterator[None]:
    """Ctrl-C raises :class:`KeyboardInterrupt` while the stream is waited for, else when it is waited for next; pressed
    again, at once."""

    def handler(number: int, frame: FrameType | None) -> None:
        if run.waiting or run.stopped:
            raise KeyboardInterrupt
        run.stopped = True

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
