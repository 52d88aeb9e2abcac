"""Training of a table ensemble, by :class:`rdahw.ensemble.EnsembleTraining`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rdahw.cli._hdl import compiling, describe_hardware_ensemble, make_hardware_ensemble
from rdahw.cli._options import parse_counter, parse_shift
from rdahw.cli._output import Output, percent
from rdahw.cli._training import Request, Run, describe_test
from rdahw.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rdahw.data import Dataset, Examples
    from rdahw.GONE import EnsembleState
    from rdahw.families.ensemble.rule import Counters, EnsembleEngine
    from rdahw.families.ensemble.spec import EnsembleSpec
    from rdahw.saved_ensemble import SavedEnsemble
    from rdahw.sim.ensemble_hardware import HardwareEnsemble

__all__ = ["EnsembleRun", "default_rule", "describe_counters", "make_ensemble_engine"]

#: How columns of numbers become bits where nothing is asked for: a table wants more to choose from than one bit each.
DEFAULT_RULE = "quantile=15"
#: So many epochs have a line of the log each; of more, some have.
_ALL_LINES = 50
#: How many examples are learned between two looks at the clock and for Ctrl-C, by engine.
_CHUNKS = {"reference": 16, "amaranth": 64}


def make_ensemble_engine(spec: EnsembleSpec, hdl: Mapping[str, Any]) -> EnsembleEngine:
    """The engine in software that was asked for."""
    name = hdl["engine"] or "compiled"
    if name == "reference":
        from rdahw.families.ensemble.rule import PlainEnsemble

        return PlainEnsemble(spec)
    if name == "compiled":
        from rdahw.sim.ensemble import CompiledEnsemble, warm_up

        warm_up()  # compiling is no part of the training, and of its seconds
        return CompiledEnsemble(spec, threads=os.cpu_count() or 1)
    raise UsageError(f"--engine {name} is of circuits; an ensemble learns by reference or compiled")


class EnsembleRun(Run):
    """An ensemble in software, or in simulated hardware."""

    unit = "examples"

    def __init__(self, output: Output, request: Request) -> None:
        from rdahw.data import fit_binariser
        from rdahw.GONE import EnsembleTraining, parse_ensemble
        from rdahw.data.images import find_image
        from rdahw.saved_ensemble import SavedEnsemble
        from rdahw.training import Schedule

        super().__init__(output, request)
        options, dataset, saved = self.options, self.dataset, request.saved
        if request.device["device"] is not None:
            raise UsageError("an ensemble does not learn on a board; leave --device out")
        if options["batch"] != 1:
            raise UsageError(
                f"--batch is {options['batch']}, and an ensemble takes examples one at a time; leave it out"
            )
        self.state: EnsembleState | None = None
        self.best = None
        self.curve: list[dict[str, Any]] = []
        self._seconds_before = 0.0
        if saved is not None:
            assert isinstance(saved, SavedEnsemble)
            self.binariser, self.spec, self.state, self.best = saved.binariser, saved.spec, saved.state, saved.best
            self.curve = curve_of(saved)[: saved.state.epoch]
            self._seconds_before = seconds_of(saved)
        else:
            options["binarise"] = options["binarise"] or default_rule(dataset)
            self.binariser = fit_binariser(dataset, options["binarise"])
            margin = {} if options["margin"] is None else {"margin": options["margin"]}
            self.spec = parse_ensemble(
                options["model"],
                self.binariser.width,
                len(dataset.label_names),
                find_image(dataset.columns, dataset.image_shape, self.binariser.width),
                counter=parse_counter(options["optimiser"]),
                dropout=options["dropout"],
                shift=parse_shift(options["augment"]),
                sign=options["sign"],
                seed=options["seed"],
                **margin,
            )
            options["margin"] = self.spec.margin
        self.schedule = Schedule(**{name: options[name] for name in Schedule.__dataclass_fields__})
        self.engine: EnsembleEngine
        self.hardware: HardwareEnsemble | None = None
        if request.hdl["where"] == "hdl":
            before, examples = 0 if saved is None else saved.state.examples, len(dataset.train)
            to_learn = self.schedule.total_updates(examples) - before
            self.engine = self.hardware = make_hardware_ensemble(output, self.spec, request.hdl, examples=to_learn)
            self.hardware.examples = before
        else:
            with compiling(output, request.hdl["engine"] or "compiled"):
                self.engine = make_ensemble_engine(self.spec, request.hdl)
        self.training = EnsembleTraining(
            self.engine,
            self.schedule,
            self.binariser.transform(dataset.train.features),
            dataset.train.labels,
            chunk=_CHUNKS.get(self.engine.name, 4096),
            state=self.state,
        )
        self.schedule.order(0, len(dataset.train))  # a stride that does not suit is better said now
        self.resumed_from = None if saved is None else self.training.checkpoint().examples
        self.validation = self._packed(request.held_out)
        self.test = self._packed(dataset.test)

    def _packed(self, examples: Examples | None) -> tuple[Any, NDArray[np.int64]] | None:
        """Examples in the engine's form, and their labels."""
        if examples is None:
            return None
        return self.engine.pack(self.binariser.transform(examples.features)), examples.labels

    def _count_correct(self, examples: tuple[Any, NDArray[np.int64]]) -> int:
        x, labels = examples
        if self.engine.name == "amaranth":  # minutes for thousands; the software has the hardware's counters
            return int((self.engine.scores(x).argmax(axis=1) == labels).sum())
        return int((self.engine.predict(x) == labels).sum())

    @property
    def total(self) -> int:
        """Examples."""
        return self.training.total_examples

    @property
    def description(self) -> str:
        """The ensemble and its size."""
        self.output.detail(f"bits by {self.binariser.rule}, {self.spec}, {self.schedule}")
        return describe_spec(self.spec)

    def steps(self) -> Iterator[int]:
        """Some examples after the other; after each epoch, the ensemble is scored, which is no part of the seconds."""
        states = self.training.run()
        while True:
            started = time.perf_counter()
            state = next(states, None)
            self.seconds += time.perf_counter() - started
            if state is None:
                return
            if state.position == len(self.dataset.train) or state.examples == self.total:
                self._end_epoch(state)
            yield state.examples

    def _end_epoch(self, state: EnsembleState) -> None:
        from rdahw.saved_ensemble import BestEpoch

        row: dict[str, Any] = {
            "epoch": state.epoch + 1,
            "examples": state.position,
            "wrong": state.wrong,
            "updates": state.updates,
            "seconds": round(self._seconds_before + self.seconds, 6),
        }
        for name, examples in (("validation", self.validation), ("test", self.test)):
            if examples is not None:
                row[f"{name}_correct"] = correct = self._count_correct(examples)
                row[f"{name}_accuracy"] = correct / len(examples[1])
        # Of an epoch that is cut short the best is not made, so that going on with it changes nothing.
        if self.validation is not None and state.position == len(self.dataset.train):
            correct = row["validation_correct"]
            if self.best is None or correct >= self.best.correct:
                self.best = BestEpoch(correct, row["epoch"], self.engine.counters)
        self.curve.append(row)
        self._log_epoch(row)

    def _log_epoch(self, row: Mapping[str, Any]) -> None:
        epochs, epoch = self.schedule.epochs, row["epoch"]
        parts = [
            f"{percent(row['wrong'], row['examples'])} wrong and {percent(row['updates'], row['examples'])} updated",
            *(
                f"{name} {100 * row[key]:.2f} %"
                for name in ("validation", "test")
                if (key := f"{name}_accuracy") in row
            ),
            f"{row['seconds']:.2f} s",
        ]
        every = 1 if epochs <= _ALL_LINES else epochs // (_ALL_LINES // 2)
        is_news = (epoch % every == 0 or epoch == epochs) and not self.request.is_one_of_several
        log = self.output.log if is_news else self.output.detail
        log(f"epoch {epoch:>{len(str(epochs))}}  {', '.join(parts)}")

    def saved(self, provenance: Mapping[str, Any]) -> SavedEnsemble:
        """The counters of now, and the best."""
        from rdahw.saved_ensemble import SavedEnsemble

        return SavedEnsemble(
            spec=self.spec,
            state=self.training.checkpoint(),
            schema=self.dataset.schema,
            binariser=self.binariser,
            schedule=self.schedule,
            provenance={
                **provenance,
                "seconds": round(self._seconds_before + self.seconds, 6),
                "curve": self.curve,
            },
            best=self.best,
        )

    def close(self) -> None:
        """End the simulation."""
        if self.hardware is not None:
            self.hardware.close()

    def result(self) -> dict[str, Any]:
        """What came out, as JSON."""
        state, spec = self.training.checkpoint(), self.spec
        counters = state.counters if self.best is None else self.best.counters
        result: dict[str, Any] = {
            **self.common_result(),
            "model": self.options["model"],
            **spec_to_result(spec),
            "engine": self.engine.name,
            "train_examples": len(self.dataset.train),
            "examples": state.examples,
        }
        if self.resumed_from is not None:
            result["resumed_from_example"] = self.resumed_from
        if self.hardware is not None:
            result |= describe_hardware_ensemble(self.hardware, state.examples - (self.resumed_from or 0))
        if self.best is not None and self.validation is not None:
            result["best_epoch"] = self.best.epoch
            result["validation_correct"] = self.best.correct
            result["validation_examples"] = len(self.validation[1])
            result["validation_accuracy"] = self.best.correct / len(self.validation[1])
        if self.test is None:
            result |= describe_test(None, 0)
        else:
            self.engine.counters = counters
            result |= describe_test(self._count_correct(self.test), len(self.test[1]))
        return {**result, **describe_counters(spec, counters), "curve": self.curve}

    def show(self, result: Mapping[str, Any]) -> None:
        """What came out, for people."""
        made, seconds = result["examples"] - (self.resumed_from or 0), result["seconds"]
        speed = f", {made / seconds:,.0f} a second" if made and seconds else ""
        self.output.line(f"learned   {made} examples in {seconds:.3g} s{speed}; {result['seconds_total']:.3g} s in all")
        if "bit_exact" in result:
            kinds = (("without", result["cycles_without_update"]), ("with", result["cycles_with_update"]))
            said = ", ".join(f"{_span(cycles)} {kind} an update" for kind, cycles in kinds if cycles is not None)
            every = f"every bit as in software ({result['engine']})"
            self.output.line(f"hardware  {result['cycles']} cycles, {said or 'none an example'}; {every}")
        if "best_epoch" in result:
            correct, count = result["validation_correct"], result["validation_examples"]
            of = f"{percent(correct, count)} of {count} validation examples right"
            self.output.line(f"best      epoch {result['best_epoch']}: {of}")
        self.show_saved(result)


def default_rule(dataset: Dataset) -> str:
    """How the data become bits for an ensemble if nothing is asked for."""
    from rdahw.data import default_rule

    rule = default_rule(dataset)
    return DEFAULT_RULE if rule == "midrange" else rule


def _span(cycles: Mapping[str, float]) -> str:
    low, high = cycles["min"], cycles["max"]
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def describe_spec(spec: EnsembleSpec) -> str:
    """«ensemble of 256 x 6 tables, 784 -> 10 classes, 163840 counters of 6 bits»."""
    counters = spec.parameter_bits // spec.counter
    return (
        f"ensemble of {spec.tables} x {spec.inputs} tables, {spec.input_bits} -> {spec.classes} classes, "
        f"{counters} counters of {spec.counter} bits"
    )


def spec_to_result(spec: EnsembleSpec) -> dict[str, Any]:
    """What an ensemble is and how it learns, as JSON."""
    names = ("tables", "inputs", "wiring", "counter", "margin", "dropout", "shift", "sign")
    return {name: getattr(spec, name) for name in names}


def describe_counters(spec: EnsembleSpec, counters: Counters) -> dict[str, Any]:
    """How many bits the counters have, and the SHA-256 of these bits in the order of a saved model."""
    import hashlib

    from rdahw.GONE import pack_counters

    packed = pack_counters(spec, counters)
    return {"parameter_bits": spec.parameter_bits, "parameters_sha256": hashlib.sha256(packed).hexdigest()}


def curve_of(saved: SavedEnsemble) -> list[dict[str, Any]]:
    """The epochs that a model says it was trained in; what is no such list, as in a stranger's file, is none."""
    curve = saved.provenance.get("curve")
    if not isinstance(curve, list) or not all(isinstance(row, dict) for row in curve):
        return []
    return [row for i, row in enumerate(curve) if row.get("epoch") == i + 1]


def seconds_of(saved: SavedEnsemble) -> float:
    """How long the training took so far."""
    seconds = saved.provenance.get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < 1e9 else 0.0
