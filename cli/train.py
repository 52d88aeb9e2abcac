"""``rdahw train``."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, NoneType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rdahw.cli._device import connect_device, device_options, take_device_options
from rdahw.cli._hdl import describe_hardware, hdl_options, make_hardware, make_software, take_hdl_options
from rdahw.cli._output import Output, complete, make_model, output_options
from rdahw.errors import UsageError, UserError

if TYPE_CHECKING:
    from rdahw.data import Dataset
    from rdahw.saved import SavedModel
    from rdahw.training import Examples, Schedule, Training

#: The options that make a run what it is: saved with the model, and not to be changed when it is resumed …
_FIXED: dict[str, tuple[type, ...]] = {
    "data": (str,),
    "label": (str, NoneType),
    "classes": (str, NoneType),
    "labels": (str,),
    "test": (str, NoneType),
    "split": (float, NoneType),
    "binarise": (str,),
    "model": (str,),
    "optimiser": (str,),
    "batch": (int,),
    "shuffle": (bool,),
    "validation": (int, NoneType),
    "seed": (int,),
}
#: … but for files, which may have been moved and are known by their checksum …
_FILES = ("data", "test")
#: … and those that say how long it goes on.
_LENGTH: dict[str, tuple[type, ...]] = {"epochs": (int,), "updates": (int, NoneType)}


class Interrupted(UserError):
    """Ctrl-C came; all that was learned is in the checkpoint."""

    exit_code = 130


@click.command(
    "train",
    short_help="learn a circuit from data",
    epilog="""\b
Examples:
  rdahw train --sim
  rdahw train --data iris --labels binary --json
  rdahw train --data mnist --classes 0,1 --labels binary --model mask \\
      --validation 1265 --updates 999
  rdahw train --data table.csv --label species --split 0.25 \\
      --binarise quantile=3 --epochs 20 --shuffle
  rdahw train --resume table-lookup.rdahw.checkpoint""",
)
@click.option(
    "--data",
    default="iris",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=complete("rdahw.data", "NAMES"),
    help="learn this data set (rdahw datasets lists the names), CSV or NPZ file",
)
@click.option("--label", metavar="COLUMN", help="take the labels of a CSV from this column, by name or number from 1")
@click.option("--classes", metavar="A,B,…", help="learn these classes only, in this order")
@click.option(
    "--labels",
    type=click.Choice(["one-hot", "binary"]),
    default="one-hot",
    show_default=True,
    help="encode classes as one wire each, or as a number",
)
@click.option("--test", type=click.Path(), metavar="FILE", help="test on this file")
@click.option("--split", type=float, metavar="FRACTION", help="test on this fraction of the examples, drawn by class")
@click.option(
    "--binarise",
    metavar="RULE",
    help="turn numbers into bits by midrange, threshold=K[,K…], thermometer=K or quantile=K"
    "  [default: threshold=32 for images, else midrange]",
)
@click.option(
    "--model",
    default="lookup",
    show_default=True,
    metavar="NAME|FILE.py:NAME",
    shell_complete=complete("rdahw.models", "MODELS"),
    help="learn this model: lookup, mask[:k=4], or a circuit from a Python file, which is run",
)
@click.option(
    "--optimiser", default="xor", show_default=True, metavar="NAME", help="update the parameters by this rule"
)
@click.option("--sim", "where", flag_value="sim", default="sim", help="learn in the reference simulator  [default]")
@click.option(
    "--hdl",
    "where",
    flag_value="hdl",
    help="learn in simulated hardware, each bit checked against the software learner",
)
@hdl_options
@device_options
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="update after every N examples"
)
@click.option(
    "--epochs", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="go through the data N times"
)
@click.option("--updates", type=click.IntRange(1), metavar="N", help="stop after N updates")
@click.option("--shuffle/--no-shuffle", default=False, show_default=True, help="shuffle the examples in every epoch")
@click.option(
    "--validation",
    type=click.IntRange(1),
    metavar="N",
    help="hold out the last N training examples and keep the parameters that are best on them",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="seed of the split and of shuffling")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="save the model here  [default: DATA-MODEL.rdahw]"
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="go on from a checkpoint or model, to the bits of an uninterrupted run",
)
@click.option(
    "--checkpoint",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="save a checkpoint every so many seconds",
)
@output_options
@click.pass_context
def command(ctx: click.Context, output: Output, /, **options: Any) -> None:
    """Learn a Boolean circuit from data by reverse derivative ascent.

    The model is saved to --out when the training ends. Until then a checkpoint lies beside it, every so often and on
    Ctrl-C; give it to --resume to go on.
    """
    from rdahw.files import check_writable

    out, resume, checkpoint_seconds = options.pop("out"), options.pop("resume"), options.pop("checkpoint")
    device = take_device_options(options)
    hdl, saved = take_hdl_options(options), None
    if resume is not None:
        saved = _resumed(ctx, resume, options)
        out = out or resume.with_name(re.sub(r"\.checkpoint(\.previous)?$", "", resume.name) or resume.name)
    out = out or Path(_default_name(options["data"], options["model"]))
    check_writable(out)
    run = _Run(output, options, hdl, device, saved, out, resume)
    try:
        run.train(checkpoint_seconds)
        run.report()
    finally:
        run.close()


def _default_name(data: str, model: str) -> str:
    data_name = Path(data).stem if os.sep in data or "." in data else data
    model_name = model.rpartition(":")[2] if ".py:" in model else model.partition(":")[0]
    return f"{data_name}-{model_name}.rdahw"


def _resumed(ctx: click.Context, path: Path, options: dict[str, Any]) -> SavedModel:
    """The model to go on from; ``options`` become those of its run, but for its length if that is given now."""
    from rdahw.saved import load_model

    saved = load_model(path)
    before = options_of(saved)
    if before is None:
        raise UserError(f"{str(path)!r} does not say how it was trained, so the training cannot go on; train again")
    for name in (*_FIXED, *_LENGTH):
        given = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name in _FIXED and name not in _FILES and options[name] != before[name]:
            raise UsageError(
                f"--{name} is {options[name]}, and {str(path)!r} was trained with {before[name]}; leave --{name} out, "
                "or train anew without --resume"
            )
        if not given:
            options[name] = before[name]
    return saved


def options_of(saved: SavedModel) -> dict[str, Any] | None:
    """The options that a model was trained with, or None if it does not say them as this command does."""
    options = saved.provenance.get("options")
    known = {**_FIXED, **_LENGTH}
    if not isinstance(options, dict) or not known.keys() <= options.keys():
        return None
    # type() and not isinstance: True is no number of examples
    return options if all(type(options[name]) in types for name, types in known.items()) else None


class _Run:
    """One training from the options to the saved model."""

    def __init__(
        self,
        output: Output,
        options: dict[str, Any],
        hdl: dict[str, Any],
        device: dict[str, Any],
        saved: SavedModel | None,
        out: Path,
        resume: Path | None,
    ) -> None:
        self.hdl, self.device = hdl, device
        self.output, self.options, self.out, self.resume = output, options, out, resume
        self.checkpoint = out.with_name(out.name + ".checkpoint")
        self.seconds = 0.0
        dataset, validation = _load(output, options)
        self.dataset = dataset
        if saved is not None and saved.provenance.get("data_sha256") != dataset.checksum:
            raise UserError(
                f"the data {options['data']!r} are not those of the first part of this training (checksum "
                f"{dataset.checksum[:12]}…); give that data set with --data, or train anew without --resume"
            )
        self._prepare(saved, validation)

    def _prepare(self, saved: SavedModel | None, held_out: Any) -> None:
        from rdahw.data import Binariser, default_rule, encode, fit_binariser, label_width
        from rdahw.learner import Learner
        from rdahw.training import Examples, Schedule, Training

        options, dataset = self.options, self.dataset
        classes, code = len(dataset.label_names), options["labels"]
        self.binariser: Binariser
        if saved is not None:
            self.binariser, self.learner = saved.binariser, saved.learner
        else:
            options["binarise"] = options["binarise"] or default_rule(dataset)
            self.binariser = fit_binariser(dataset, options["binarise"])
            model = make_model(options["model"], self.binariser.width, label_width(classes, code))
            self.learner = Learner(model, optimiser=options["optimiser"])

        def bits(examples: Any) -> Examples:
            return Examples(self.binariser.transform(examples.features), encode(examples.labels, classes, code))

        self.schedule: Schedule = Schedule(**{name: options[name] for name in Schedule.__dataclass_fields__})
        self.test = None if dataset.test is None else bits(dataset.test)
        train = bits(dataset.train)
        state = None if saved is None else saved.state
        self.hardware = None
        if options["where"] == "hdl":
            examples = self.schedule.batch * self.schedule.total_updates(len(train))
            self.hardware = make_hardware(
                self.output, self.learner, self.hdl, batch=self.schedule.batch, examples=examples
            )
            if state is not None:
                self.hardware.updates = state.updates
                self.hardware.examples = state.epoch * len(train) + state.position
        self.engine = (
            self.hardware
            or connect_device(self.device, self.learner)
            or make_software(self.output, self.learner, self.hdl)
        )
        self.training: Training = Training(
            self.engine,
            self.schedule,
            train,
            None if held_out is None else bits(held_out),
            state,
        )
        assert self.training.state is not None
        self.resumed_from = None if saved is None else self.training.state.updates

    def train(self, checkpoint_seconds: float) -> None:
        """Train to the end and save; on Ctrl-C save a checkpoint and raise :class:`Interrupted`."""
        total = self.training.total_updates
        with _interrupt_flag() as interrupted, self.output.progress("learning", "updates") as bar:
            self._announce(total)
            self._keep_other_checkpoint()
            started = saved_at = time.monotonic()
            # So often a bulk engine lets us look at the clock, and for Ctrl-C.
            for state in self.training.run(seconds=0.1):
                bar(state.updates, total)
                if interrupted:
                    self._save_or_rescue(self.checkpoint, finished=False)
                    raise Interrupted(
                        f"stopped after update {state.updates} of {total}; go on with "
                        f"rdahw train --resume {self.checkpoint}"
                    )
                if time.monotonic() - saved_at >= checkpoint_seconds:
                    self._save_checkpoint(state.updates)
                    saved_at = time.monotonic()
            self.seconds = time.monotonic() - started
            self._save_or_rescue(self.out, finished=True)
        self.checkpoint.unlink(missing_ok=True)

    def _announce(self, total: int) -> None:
        model, log = self.learner.model, self.output.log
        log(
            f"{self.dataset.name}: {len(self.training.train)} examples to learn, {model.name} {model.input_bits} -> "
            f"{model.output_bits}, {model.parameter_bits} parameter bits"
        )
        self.output.detail(f"bits by {self.binariser.rule}, labels {self.options['labels']}, {self.schedule}")
        if self.resumed_from is not None and self.resumed_from < total:
            log(f"going on after update {self.resumed_from} of {total}")
        elif self.resumed_from is not None:
            log(f"nothing to go on with: {self.resumed_from} updates are done of {total}; ask for more with --epochs")

    def _keep_other_checkpoint(self) -> None:
        """Move the checkpoint of another run out of the way: it may hold hours of work."""
        if self.checkpoint.exists() and not (self.resume is not None and self.checkpoint.samefile(self.resume)):
            kept = self.checkpoint.with_name(self.checkpoint.name + ".previous")
            os.replace(self.checkpoint, kept)
            self.output.log(f"kept the checkpoint of an earlier run as {kept}")

    def _save_checkpoint(self, updates: int) -> None:
        try:
            self._save(self.checkpoint, finished=False)
        except UserError as error:  # a disk that is full now may have space when it matters
            self.output.log(f"no checkpoint after update {updates}: {error}")
        else:
            self.output.detail(f"checkpoint after update {updates}: {self.checkpoint}")

    def _save_or_rescue(self, path: Path, *, finished: bool) -> None:
        """Save; if that fails, save to the folder of temporary files, and raise an error that says so."""
        try:
            self._save(path, finished=finished)
        except UserError as error:
            rescued = Path(tempfile.gettempdir(), path.name).with_suffix(f".{os.getpid()}.rdahw")
            try:
                self._save(rescued, finished=finished)
            except UserError:
                raise error from None
            raise UserError(f"{error}; what was learned is in {str(rescued)!r}") from None

    def _save(self, path: Path, *, finished: bool) -> None:
        import rdahw
        from rdahw.saved import SavedModel, save_model

        assert self.training.state is not None
        provenance = {
            "options": {name: self.options[name] for name in (*_FIXED, *_LENGTH)},
            "data_sha256": self.dataset.checksum,
            "command": "rdahw train",
            "package_version": rdahw.__version__,
            "finished": finished,
        }
        saved = SavedModel(
            self.learner,
            self.training.parameters,
            self.dataset.schema,
            self.binariser,
            self.options["labels"],
            self.training.state,
            self.schedule,
            provenance,
        )
        save_model(saved, path)

    def close(self) -> None:
        """Let go of what was needed for training."""
        if self.hardware is not None:
            self.hardware.close()

    def report(self) -> None:
        """Print what came out."""
        from rdahw.training import count_correct

        training, state = self.training, self.training.state
        assert state is not None
        result: dict[str, Any] = {
            "data": self.dataset.name,
            "model": self.learner.model.name,
            **{name: self.options[name] for name in ("labels", "binarise", "batch", "epochs", "seed")},
            "engine": self.engine.name,
            "train_examples": len(training.train),
            "updates": state.updates,
            "seconds": round(self.seconds, 6),
            "out": str(self.out),
        }
        if self.resumed_from is not None:
            result["resumed_from_update"] = self.resumed_from
        if self.hardware is not None:
            result |= describe_hardware(self.hardware)
        if state.best is not None and training.validation is not None:
            result["best_update"] = state.best.update
            result["validation_correct"] = state.best.correct
            result["validation_examples"] = len(training.validation)
        if self.test is None:
            result |= {"test_accuracy": None, "test_correct": None, "test_examples": 0}
        else:
            if training.parameters is not state.parameters:  # else they are where they should be; a board keeps count
                self.engine.parameters = training.parameters
            correct = count_correct(self.engine.predict(self.test.x), self.test.y)
            result |= {
                "test_accuracy": correct / len(self.test),
                "test_correct": correct,
                "test_examples": len(self.test),
            }
        result |= describe_parameters(training.parameters)
        self.output.json(result)
        self._for_people(result)

    def _for_people(self, result: Mapping[str, Any]) -> None:
        line, made = self.output.line, result["updates"] - (self.resumed_from or 0)
        line(f"learned   {made} updates in {result['seconds']:.3g} s")
        if "bit_exact" in result:
            line(
                f"hardware  {result['cycles']} cycles, {result['cycles_per_example']} an example and "
                f"{result['startup_cycles']} once; every bit as in software ({result['engine']})"
            )
        if "best_update" in result:
            of = f"{result['validation_correct']} of {result['validation_examples']} validation examples"
            line(f"best      after update {result['best_update']}: {of}")
        if result["test_examples"]:
            of = f"{result['test_correct']} of {result['test_examples']}"
            line(f"test      {100 * result['test_accuracy']:.1f} % right ({of})")
        else:
            line("test      none: give --test FILE or --split FRACTION to measure what was learned")
        if "parameters" in result:
            line(f"theta     0x{result['parameters']} ({result['parameter_bits']} bits)")
        line(f"saved     {result['out']}")
        what = "" if result["test_examples"] else " --data FILE"
        self.output.log(f"next: rdahw show {result['out']}, rdahw eval {result['out']}{what}")


def describe_parameters(parameters: Any) -> dict[str, Any]:
    """Parameters as JSON: in hexadecimal, wire 0 least significant; of more than 4,096 bits only their SHA-256."""
    from rdahw.saved import pack_bits

    packed, described = pack_bits(parameters), {"parameter_bits": len(parameters)}
    if len(parameters) > 4096:
        import hashlib

        return {**described, "parameters_sha256": hashlib.sha256(packed).hexdigest()}
    return {**described, "parameters": format(int.from_bytes(packed, "little"), "x")}


def _load(output: Output, options: Mapping[str, Any]) -> tuple[Dataset, Any]:
    """The data set and what is held out of it for validation."""
    from rdahw.data import load

    classes = options["classes"]
    with output.progress("downloading", "bytes") as bar:
        dataset = load(
            options["data"],
            classes=None if classes is None else [name.strip() for name in classes.split(",")],
            label=options["label"],
            test=options["test"],
            split=options["split"],
            seed=options["seed"],
            progress=bar,
        )
    return (dataset, None) if options["validation"] is None else dataset.hold_out(options["validation"])


@contextmanager
def _interrupt_flag() -> Iterator[list[int]]:
    """A list that the first Ctrl-C puts something into, so that an update is never cut in half; the second one stops
    at once."""
    came: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
