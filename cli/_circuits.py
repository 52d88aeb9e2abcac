"""Training of a circuit, by :class:`rdahw.training.Training`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rdahw.cli._device import connect_device
from rdahw.cli._hdl import compiling, describe_hardware, make_hardware, make_software
from rdahw.cli._output import Output, make_model
from rdahw.cli._training import Request, Run, describe_test

if TYPE_CHECKING:
    from rdahw.saved import SavedModel
    from rdahw.training import Examples

__all__ = ["CircuitRun", "describe_parameters"]


class CircuitRun(Run):
    """A learner of a circuit, in software, in simulated hardware or on a board."""

    unit = "updates"

    def __init__(self, output: Output, request: Request) -> None:
        from rdahw.data import default_rule, encode, fit_binariser, label_width
        from rdahw.learner import Learner
        from rdahw.saved import SavedModel
        from rdahw.training import Examples, Schedule, Training

        super().__init__(output, request)
        options, dataset, saved = self.options, self.dataset, request.saved
        classes, code = len(dataset.label_names), options["labels"]
        if saved is not None:
            assert isinstance(saved, SavedModel)
            self.binariser, self.learner = saved.binariser, saved.learner
        else:
            options["binarise"] = options["binarise"] or default_rule(dataset)
            self.binariser = fit_binariser(dataset, options["binarise"])
            model = make_model(options["model"], self.binariser.width, label_width(classes, code))
            self.learner = Learner(model, optimiser=options["optimiser"])

        def bits(examples: Any) -> Examples:
            return Examples(self.binariser.transform(examples.features), encode(examples.labels, classes, code))

        self.schedule = Schedule(**{name: options[name] for name in Schedule.__dataclass_fields__})
        self.test = None if dataset.test is None else bits(dataset.test)
        train = bits(dataset.train)
        state = None if saved is None else saved.state
        self.hardware = None
        if request.hdl["where"] == "hdl":
            examples = self.schedule.batch * self.schedule.total_updates(len(train))
            batch = self.schedule.batch
            self.hardware = make_hardware(output, self.learner, request.hdl, batch=batch, examples=examples)
            if state is not None:
                self.hardware.updates = state.updates
                self.hardware.examples = state.epoch * len(train) + state.position
        with compiling(output, request.hdl["engine"]):
            self.engine = (
                self.hardware
                or connect_device(request.device, self.learner)
                or make_software(self.learner, request.hdl)
            )
        held_out = None if request.held_out is None else bits(request.held_out)
        self.training = Training(self.engine, self.schedule, train, held_out, state)
        assert self.training.state is not None
        self.resumed_from = None if saved is None else self.training.state.updates

    @property
    def total(self) -> int:
        """Updates."""
        return self.training.total_updates

    @property
    def description(self) -> str:
        """The model and its size."""
        model = self.learner.model
        self.output.detail(f"bits by {self.binariser.rule}, labels {self.options['labels']}, {self.schedule}")
        return f"{model.name} {model.input_bits} -> {model.output_bits}, {model.parameter_bits} parameter bits"

    def steps(self) -> Iterator[int]:
        """Update after update, or as many as take a tenth of a second: so often we look at the clock and for Ctrl-C."""
        started = time.monotonic()
        with compiling(self.output, self.request.hdl["engine"]):
            for state in self.training.run(seconds=0.1):
                yield state.updates
        self.seconds = time.monotonic() - started

    def saved(self, provenance: Mapping[str, Any]) -> SavedModel:
        """The learner, with the best parameters or the last."""
        from rdahw.saved import SavedModel

        assert self.training.state is not None
        return SavedModel(
            learner=self.learner,
            parameters=self.training.parameters,
            schema=self.dataset.schema,
            binariser=self.binariser,
            labels=self.options["labels"],
            state=self.training.state,
            schedule=self.schedule,
            provenance=provenance,
        )

    def close(self) -> None:
        """End the simulation."""
        if self.hardware is not None:
            self.hardware.close()

    def result(self) -> dict[str, Any]:
        """What came out, as JSON."""
        from rdahw.training import count_correct

        training, state = self.training, self.training.state
        assert state is not None
        result: dict[str, Any] = {
            **self.common_result(),
            "model": self.learner.model.name,
            "labels": self.options["labels"],
            "engine": self.engine.name,
            "train_examples": len(training.train),
            "updates": state.updates,
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
            result |= describe_test(None, 0)
        else:
            if training.parameters is not state.parameters:  # else they are where they should be; a board keeps count
                self.engine.parameters = training.parameters
            correct = count_correct(self.engine.predict(self.test.x), self.test.y)
            result |= describe_test(correct, len(self.test))
        return result | describe_parameters(training.parameters)

    def show(self, result: Mapping[str, Any]) -> None:
        """What came out, for people."""
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
        self.show_saved(result)


def describe_parameters(parameters: Any) -> dict[str, Any]:
    """Parameters as JSON: in hexadecimal, wire 0 least significant; of more than 4,096 bits only their SHA-256."""
    from rdahw.saved import pack_bits

    packed, described = pack_bits(parameters), {"parameter_bits": len(parameters)}
    if len(parameters) > 4096:
        import hashlib

        return {**described, "parameters_sha256": hashlib.sha256(packed).hexdigest()}
    return {**described, "parameters": format(int.from_bytes(packed, "little"), "x")}
