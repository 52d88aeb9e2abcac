"""One training from options to the saved model, of any kind: data, checkpoints, Ctrl-C, and what is printed."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rdahw.cli._data import load_dataset, split_names
from rdahw.cli._options import recorded
from rdahw.cli._output import percent
from rdahw.errors import UserError

if TYPE_CHECKING:
    from rdahw.cli._output import Output
    from rdahw.data import Binariser, Dataset, Examples
    from rdahw.saved import SavedModel
    from rdahw.saved_ensemble import SavedEnsemble

__all__ = ["Interrupted", "Request", "Run", "describe_test", "load_data"]


class Interrupted(UserError):
    """Ctrl-C came; all that was learned is in the checkpoint."""

    exit_code = 130


@dataclass(slots=True, eq=False, kw_only=True)
class Request:
    """What a run is asked for: the options that are recorded, the data with what is held out of them, the options of
    engines (``where``: sim or hdl; see :mod:`rdahw.cli._hdl`) and of boards, and the files."""

    options: dict[str, Any]
    dataset: Dataset
    held_out: Examples | None
    hdl: dict[str, Any]
    device: dict[str, Any]
    out: Path
    resume: Path | None
    saved: SavedModel | SavedEnsemble | None
    started: float
    #: One of several seeds: its epochs are no news.
    is_one_of_several: bool = False


class Run(ABC):
    """A training; :meth:`train`, and then :meth:`result` and :meth:`show`. Call :meth:`close` in any case."""

    #: What :meth:`steps` counts.
    unit: str
    binariser: Binariser
    #: What was done before by the training that is resumed.
    resumed_from: int | None

    def __init__(self, output: Output, request: Request) -> None:
        self.output, self.request = output, request
        self.options, self.dataset, self.out = request.options, request.dataset, request.out
        self.checkpoint = self.out.with_name(self.out.name + ".checkpoint")
        #: Of the training loop of this run; and of everything, from the start of the command to the saved model.
        self.seconds = self.seconds_total = 0.0
        saved = request.saved
        if saved is not None and saved.provenance.get("data_sha256") != self.dataset.checksum:
            raise UserError(
                f"the data {self.options['data']!r} are not those of the first part of this training (checksum "
                f"{self.dataset.checksum[:12]}…); give that data set with --data, or train anew without --resume"
            )

    @property
    @abstractmethod
    def total(self) -> int:
        """How much there is to do, what was done before included, in :attr:`unit`."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The model in a few words."""

    @abstractmethod
    def steps(self) -> Iterator[int]:
        """Train, giving how much is done every so often, when all of it can be saved. Keeps :attr:`seconds`."""

    @abstractmethod
    def saved(self, provenance: Mapping[str, Any]) -> SavedModel | SavedEnsemble:
        """What has been learned so far."""

    @abstractmethod
    def result(self) -> dict[str, Any]:
        """What came out, as JSON."""

    @abstractmethod
    def show(self, result: Mapping[str, Any]) -> None:
        """What came out, for people."""

    def close(self) -> None:
        """Let go of what was needed for training."""
        return

    def train(self, checkpoint_seconds: float) -> None:
        """Train to the end and save; on Ctrl-C save a checkpoint and raise :class:`Interrupted`."""
        total = self.total
        with _interrupt_flag() as interrupted, self.output.progress("learning", self.unit, rate=True) as bar:
            self._announce(total)
            self._keep_other_checkpoint()
            saved_at = time.monotonic()
            for done in self.steps():
                bar(done, total)
                if interrupted:
                    self._save_or_rescue(self.checkpoint, finished=False)
                    raise Interrupted(
                        f"stopped after {self.unit[:-1]} {done} of {total}; go on with "
                        f"rdahw train --resume {self.checkpoint}"
                    )
                if time.monotonic() - saved_at >= checkpoint_seconds:
                    self._save_checkpoint(done)
                    saved_at = time.monotonic()
            self._save_or_rescue(self.out, finished=True)
        self.seconds_total = time.perf_counter() - self.request.started
        self.checkpoint.unlink(missing_ok=True)

    def common_result(self) -> dict[str, Any]:
        """What the results of all kinds of runs say."""
        return {
            "data": self.dataset.name,
            **{name: self.options[name] for name in ("binarise", "batch", "epochs", "shuffle", "stride", "seed")},
            "seconds": round(self.seconds, 6),
            "seconds_total": round(self.seconds_total, 6),
            "out": str(self.out),
        }

    def show_saved(self, result: Mapping[str, Any]) -> None:
        """The last lines: how good it is on the test part, where it is, and what to do next."""
        if result["test_examples"]:
            correct, count = result["test_correct"], result["test_examples"]
            self.output.line(f"test      {percent(correct, count)} right ({correct} of {count})")
        else:
            self.output.line("test      none: give --test FILE or --split FRACTION to measure what was learned")
        if "parameters" in result:
            self.output.line(f"theta     0x{result['parameters']} ({result['parameter_bits']} bits)")
        self.output.line(f"saved     {result['out']}")
        what = "" if result["test_examples"] else " --data FILE"
        self.output.log(f"next: rdahw show {result['out']}, rdahw eval {result['out']}{what}")

    def _announce(self, total: int) -> None:
        log, before = self.output.log, self.resumed_from
        log(f"{self.dataset.name}: {len(self.dataset.train)} examples to learn, {self.description}")
        if before is not None and before < total:
            log(f"going on after {self.unit[:-1]} {before} of {total}")
        elif before is not None:
            log(f"nothing to go on with: {before} {self.unit} are done of {total}; ask for more with --epochs")

    def _keep_other_checkpoint(self) -> None:
        """Move the checkpoint of another run out of the way: it may hold hours of work."""
        resumed = self.request.resume
        if self.checkpoint.exists() and not (resumed is not None and self.checkpoint.samefile(resumed)):
            kept = self.checkpoint.with_name(self.checkpoint.name + ".previous")
            os.replace(self.checkpoint, kept)
            self.output.log(f"kept the checkpoint of an earlier run as {kept}")

    def _save_checkpoint(self, done: int) -> None:
        after = f"after {self.unit[:-1]} {done}"
        try:
            self._save(self.checkpoint, finished=False)
        except UserError as error:  # a disk that is full now may have space when it matters
            self.output.log(f"no checkpoint {after}: {error}")
        else:
            self.output.detail(f"checkpoint {after}: {self.checkpoint}")

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
        from rdahw.saved import save_model

        provenance = {
            "options": recorded(self.options),
            "data_sha256": self.dataset.checksum,
            "command": "rdahw train",
            "package_version": rdahw.__version__,
            "finished": finished,
        }
        save_model(self.saved(provenance), path)


def load_data(output: Output, options: Mapping[str, Any]) -> tuple[Dataset, Examples | None]:
    """The data set and what is held out of it for validation."""
    given = {name: options[name] for name in ("data", "label", "test", "split", "seed")}
    dataset = load_dataset(output, classes=split_names(options["classes"]), **given)
    return (dataset, None) if options["validation"] is None else dataset.hold_out(options["validation"])


def describe_test(correct: int | None, examples: int) -> dict[str, Any]:
    """How many test examples are right, as JSON; ``None``: there are none."""
    accuracy = None if correct is None else correct / examples
    return {"test_accuracy": accuracy, "test_correct": correct, "test_examples": examples}


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
