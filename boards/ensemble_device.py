"""The host's end of the link to an ensemble on a board: a trainer, or a trained one in block RAM or in logic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from rdahw.boards.host import Device, Progress
from rdahw.GONE import check_counters
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec, first_dropout_state
from rdahw.families.ensemble.circuits import ensemble_learner
from rdahw.errors import UsageError, UserError
from rdahw.fields import offset
from rdahw.hdl.protocol import fingerprint
from rdahw.hdl.table_words import (
    STATE_OCTETS,
    counters_of_words,
    settings_address,
    word_octets,
    word_stride,
    words_of_counters,
)
from rdahw.primitives import Array

__all__ = ["EnsembleDevice"]


class EnsembleDevice:
    """``device``, which must have been made for the ensemble ``spec``; raises :class:`UserError` if it was not.

    A board that trains from its flash goes on between two packets. It is stopped while tables are read, so that they
    are those of one moment, and stays stopped when they were written.
    """

    def __init__(self, device: Device, spec: EnsembleSpec) -> None:
        from rdahw.hdl.ensemble_link import ensemble_fingerprint

        self.device, self.spec = device, spec
        identity = device.identify()
        self.learns = identity.learns
        #: Its tables are words in memory, as a trainer's are; else they are logic, which gives a bit for each class.
        self._in_memory = identity.fingerprint == ensemble_fingerprint(spec)
        if not (self._in_memory or (not self.learns and identity.fingerprint == _folded_fingerprint(spec))):
            raise UserError(
                f"{device} is not of this ensemble of {spec.tables} x {spec.inputs} tables, or of another seed, margin "
                "or dropout of it; choose the device's model, or flash a bitstream made for this one (rdahw synth)"
            )
        self._stride, self._settings = word_stride(spec), settings_address(spec)
        self._tables = (spec.tables << spec.inputs) * self._stride
        # Behind its own parameters a board that trains by itself has registers.
        self._registers = 2 * self._settings
        self._trains_itself = self.learns and identity.layout.parameter_bytes > self._registers

    def predict(self, x: Array, progress: Progress | None = None) -> NDArray[np.int64]:
        """The classes (N,) of examples x (N, A) of 0 and 1."""
        bits = self.device.predict(x, progress).astype(np.int64)
        if not self._in_memory:
            return np.asarray(bits.argmax(axis=1), np.int64)
        return np.asarray((bits << np.arange(bits.shape[1])).sum(axis=1), np.int64)

    def read(self, progress: Progress | None = None) -> tuple[Counters, int]:
        """The counters (tables, 2^inputs, classes), and the dropout's shift register.

        A board that only predicts has no such register: it is the one before training. With ``sign`` such a board has
        only the signs of the counters, which are given as 0 and -1.
        """
        if not self._in_memory:
            raise UserError(
                f"{self.device} has its ensemble folded into logic, which is not read; flash a trainer "
                "(rdahw synth without --inference)"
            )
        with self._stopped():
            octets = self.device.read_bytes(0, self._tables, progress)
            state = first_dropout_state(self.spec.seed)
            if self.learns:
                state = int.from_bytes(self.device.read_bytes(self._settings, STATE_OCTETS), "little")
        words = np.frombuffer(octets, np.uint8).reshape(-1, self._stride)[:, : word_octets(self.spec)]
        return counters_of_words(self.spec, np.ascontiguousarray(words)), state

    def write(self, counters: Counters, dropout_state: int, progress: Progress | None = None) -> None:
        """Clear the device, and set the counters and the dropout's shift register."""
        if not self.learns:
            raise UserError(
                f"{self.device} only predicts, by the tables of its bitstream; flash one of this model (rdahw synth "
                "--inference), or a trainer (without --inference), whose tables are written"
            )
        words = words_of_counters(self.spec, check_counters(self.spec, counters))
        padded = np.zeros((len(words), self._stride), np.uint8)
        padded[:, : words.shape[1]] = words
        if self._trains_itself:
            self._run(False)
        self.device.clear()
        self.device.write_bytes(0, padded.tobytes(), progress)
        self.device.write_bytes(self._settings, dropout_state.to_bytes(STATE_OCTETS, "little"))

    def _run(self, on: bool) -> None:
        self.device.write_bytes(self._register("run"), bytes([on]))

    def _register(self, name: str) -> int:
        from rdahw.hdl.self_trainer import REGISTERS

        return self._registers + offset(REGISTERS, name)

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """While the context lasts, a board that trains by itself begins no example."""
        if not self._trains_itself:
            yield
            return
        running = self.device.read_bytes(self._register("run"), 1) != b"\0"
        self._run(False)
        try:
            yield
        finally:
            if running:
                self._run(True)


def _folded_fingerprint(spec: EnsembleSpec) -> int | None:
    """That of the ensemble folded into logic; None where it is too large for that."""
    try:
        return fingerprint(ensemble_learner(spec))
    except UsageError:
        return None
