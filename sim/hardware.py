"""The learning loop run in simulated hardware: a trainer's streams driven cycle by cycle, checked bit by bit.

The simulator stands still between two clock edges while parameters are read and compared, so that checking costs no
cycles: the next example is on offer in the very next one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rdahw.errors import InternalError, UserError
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.hdl.trainers import make_trainer
from rdahw.learner import Learner
from rdahw.primitives import Array
from rdahw.sim.engines import ReferenceEngine
from rdahw.sim.simulator import Exchange, Log, Simulator, make_simulator

__all__ = ["Encoder", "HardwareEngine", "Mismatch"]


class Mismatch(UserError):
    """Hardware and software gave different bits (exit code 1)."""


class HardwareEngine:
    """A learner run by its trainer in a cycle-accurate simulator; an engine of :class:`rdahw.training.Training`.

    engine: ``"amaranth"``, ``"cxxrtl"`` or ``"verilator"``; see :func:`rdahw.sim.simulator.choose_engine`.
    stages: of the trainer. batch: whether updates of more than one example will come.
    check: compare every output and, after each update, every parameter with the software learner, and raise
        :class:`Mismatch` where they part.
    vcd: write the waveforms there.
    log: called with a line before something is compiled.

    Parameters are read through the simulator. Predictions that are asked for are made by a second copy of the hardware,
    so that they neither delay nor disturb the training; its cycles are not counted.

    Attributes: ``simulator``; ``updates`` and ``examples``, which have been learned from, may be set to count on from a
    training before.
    """

    def __init__(
        self,
        learner: Learner,
        engine: str = "amaranth",
        *,
        stages: int = 1,
        batch: bool = False,
        check: bool = False,
        vcd: Path | None = None,
        log: Log | None = None,
    ) -> None:
        self.name = engine
        self.stages = stages
        self.learner = learner
        self.updates = self.examples = 0
        self._options: dict[str, Any] = {"stages": stages, "batch": batch}
        self._log = log
        self._trainer, self.simulator = self._make(vcd)
        self._predictor: tuple[Any, Simulator] | None = None
        self._software = ReferenceEngine(learner) if check else None
        self._encode = Encoder(self._trainer)
        # How many cycles after an example its update is done; None: when its result is taken.
        self._latency = stages if isinstance(self._trainer, RegisterTrainer) else None
        # What has been said to come after the next update, and when the next one's beats were taken, those that were.
        self._following = self._encode.none()
        self._taken: list[int] = []
        # Results that were given and belong to no finished update yet; one that was seen before it was given.
        self._results: list[Array] = []
        self._seen = 0
        #: The cycles at whose end the first and the last example were taken, and how many have been.
        self._first = self._last = 0
        self._counted = 0
        self.cycles = 0

    def _make(self, vcd: Path | None = None) -> tuple[Any, Simulator]:
        trainer = make_trainer(self.learner, access=True, **self._options)
        return trainer, make_simulator(trainer, self.name, registers={"theta": trainer.theta}, vcd=vcd, log=self._log)

    # -- figures -------------------------------------------------------------------------------------------------------

    @property
    def cycles_per_example(self) -> float:
        """Clock cycles from one example to the next, on average; of a single example, all there were."""
        if self._counted > 1:
            return (self._last - self._first) / (self._counted - 1)
        return float(self.cycles)

    @property
    def startup_cycles(self) -> int:
        """Clock cycles that are needed once: before the first example was taken, and after the last until its update.

        ``cycles`` are these, one in which the first example is taken, and ``cycles_per_example`` for each that follows.
        """
        return self._first + self.cycles - 1 - self._last if self._counted > 1 else 0

    # -- the engine ----------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Array:
        """A copy of the parameters, (P,), as they are in the simulated hardware."""
        return _bits(self.simulator.peek("theta"), self.learner.model.parameter_bits)

    @parameters.setter
    def parameters(self, value: Array) -> None:
        if self._taken:
            # An example that was announced is on its way; it comes to nothing.
            self._following = self._encode.none()
            self._pass(self._latency + 1 if self._latency is not None else None, give=1)
            self._taken, self._results, self._seen = [], [], 0
        self.simulator.poke("theta", _number(value))
        if self._software is not None:
            self._software.parameters = value

    def announce(self, x: Array, y: Array) -> None:
        """Say what will come after the next update, so that its examples can follow without a gap."""
        self._following = self._encode(x, y)

    def train(self, x: Array, y: Array) -> Array:
        """Learn from one batch, and give the outputs (N, B) that were computed on the way, before the update."""
        self.learner.check_batch(len(x))
        beats = self._encode(x, y)
        following, self._following = self._following, self._encode.none()
        offered = np.concatenate([beats, following])
        taken, self._taken = self._taken, []
        if len(taken) < len(beats):
            taken += self._pass(None, offered[len(taken) :], take=len(beats) - len(taken))
        # Until the update is done those that follow are on offer.
        if self._latency is None:
            taken += self._pass(None, offered[len(taken) :], give=len(x) - len(self._results))
        elif (wait := taken[len(beats) - 1] + self._latency - self.simulator.cycles) > 0:
            taken += self._pass(wait, offered[len(taken) :])
        self._taken = taken[len(beats) :]
        self._count(taken[: len(beats)], len(x))
        outputs = self._outputs(len(x))
        if self._software is not None:
            self._compare(outputs, self._software.train(x, y))
        return outputs

    def predict(self, x: Array) -> Array:
        """The outputs (N, B) at the present parameters."""
        if self._predictor is None:
            self._predictor = self._make()
        trainer, simulator = self._predictor
        simulator.poke("theta", self.simulator.peek("theta"))
        y = np.zeros((len(x), self.learner.model.output_bits), np.uint8)
        beats = self._encode(x, y, learn=False)
        made = simulator.exchange(Exchange("examples", "results", beats, len(beats), len(x)))
        return self._encode.prediction(made.results)

    def close(self) -> None:
        """Let go of the simulators and finish the VCD file."""
        self.simulator.close()
        if self._predictor is not None:
            self._predictor[1].close()

    # -- one update ----------------------------------------------------------------------------------------------------

    def _pass(self, cycles: int | None, beats: Array | None = None, take: int = 0, give: int = 0) -> list[int]:
        """Let ``cycles`` pass, or as many as it takes until ``take`` beats are taken and ``give`` results are given; in
        which cycles those beats were taken that were."""
        beats = self._encode.none() if beats is None else beats
        if cycles is not None:
            take, give = len(beats) + 1, 0
        made = self.simulator.exchange(Exchange("examples", "results", beats, take, give, cycles=cycles))
        self._results += list(made.results)
        dropped, self._seen = self._results[: self._seen], max(0, self._seen - len(self._results))
        self._results = self._results[len(dropped) :]
        return [int(cycle) for cycle in made.taken]

    def _count(self, taken: list[int], examples: int) -> None:
        per_example = len(taken) // examples
        if not self._counted:
            self._first = taken[per_example - 1]
        self._last = taken[-1]
        self._counted += examples
        self.cycles = self.simulator.cycles
        self.examples += examples
        self.updates += 1

    def _outputs(self, examples: int) -> Array:
        results, self._results = self._results[:examples], self._results[examples:]
        if len(results) < examples and self.simulator.get("results__valid"):
            # The last one is there, and will be given at the coming clock edge.
            width = self._encode.result_width
            results.append(_bits(self.simulator.get("results__payload"), width))
            self._seen += 1
        if len(results) != examples:
            raise InternalError(f"{len(results)} results came of {examples} examples by cycle {self.simulator.cycles}")
        return self._encode.prediction(np.array(results))

    def _compare(self, outputs: Array, expected: Array) -> None:
        """Raise :class:`Mismatch` at the first bit in which the hardware differs from the software."""
        assert self._software is not None
        first = self.examples - len(outputs) + 1
        for kind, found, wanted, example in (
            *(("output", got, want, first + i) for i, (got, want) in enumerate(zip(outputs, expected, strict=True))),
            ("parameter", self.parameters, self._software.parameters, self.examples),
        ):
            wrong = np.flatnonzero(found != wanted)
            if len(wrong):
                bit = int(wrong[0])
                raise Mismatch(
                    f"hardware and software part at example {example} (update {self.updates}), cycle {self.cycles}: "
                    f"{kind} bit {bit} is {found[bit]}, expected {wanted[bit]}"
                )


class Encoder:
    """Examples as beats of a trainer's stream, and results as outputs."""

    def __init__(self, trainer: Any) -> None:
        self._shape = trainer.examples.payload.shape()
        result = trainer.results.payload.shape()
        self.width = self._shape.size
        self.result_width = result.size
        self._prediction = result["prediction"]
        self._x = self._shape["x"]

    def none(self) -> Array:
        """No beats."""
        return np.zeros((0, self.width), np.uint8)

    def __call__(self, x: Array, y: Array, *, last: Array | None = None, learn: bool = True) -> Array:
        """The beats (N * beats an example, width) of examples: inputs wider than ``x`` in words, the lowest first.

        last: with which examples a batch ends, (N,); ``None``: with the last one.
        """
        words = -(-x.shape[1] // self._x.width)
        padded = np.zeros((len(x), words * self._x.width), np.uint8)
        padded[:, : x.shape[1]] = x
        beats = np.zeros((len(x), words, self.width), np.uint8)
        beats[..., _where(self._x)] = padded.reshape(len(x), words, self._x.width)
        beats[..., _where(self._shape["y"])] = y[:, None]
        if "learn" in self._shape.members:
            beats[..., _where(self._shape["learn"])] = learn
        if last is not None:
            beats[..., _where(self._shape["last"])] = last[:, None, None]
        elif len(x):
            beats[-1, :, _where(self._shape["last"])] = 1
        return beats.reshape(-1, self.width)

    def prediction(self, results: Array) -> Array:
        """The outputs (N, B) in results (N, width)."""
        return results[:, _where(self._prediction)]


def _where(field: Any) -> slice:
    return slice(field.offset, field.offset + field.width)


def _bits(value: int, width: int) -> Array:
    packed = np.frombuffer(value.to_bytes((width + 7) // 8, "little"), np.uint8)
    return np.unpackbits(packed, count=width, bitorder="little")


def _number(bits: Array) -> int:
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")
