"""What the host link's two ends and simulators need to know of a trainer or a fixed model.

This module does not import Amaranth, so a host can talk to a board without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.data import Code, decode, encode, label_width
from rdahw.family import Spec
from rdahw.hdl.frontend import Frontend
from rdahw.hdl.protocol import MAX_PAYLOAD, Layout, fingerprint_of, payload_of
from rdahw.primitives import Array
from rdahw.state import Field

__all__ = ["Interface", "Place", "circuit_interface", "is_state_of_learner"]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a field of the state: bytes behind :class:`rdahw.hdl.trainer.TrainerControl`, or a register.

    at: the address of its first byte; for a register, Amaranth's signal or memory, for simulators, or a tuple of
        several, the lowest bits first. size: its bytes.
    pack, unpack: from a value to these bytes, and back. cleared: its value after ``clear``, zeros if None.
    """

    field: Field
    at: Any
    size: int
    pack: Callable[[NDArray[Any]], bytes]
    unpack: Callable[[bytes], NDArray[Any]]
    cleared: NDArray[Any] | None = None

    def number(self, value: NDArray[Any]) -> int:
        """A value as the number in a register."""
        return int.from_bytes(self.pack(value), "little")

    def value(self, number: int) -> NDArray[Any]:
        """The inverse of :meth:`number`."""
        return self.unpack(number.to_bytes(self.size, "little"))

    @classmethod
    def packed(cls, field: Field, at: Any) -> Place:
        """The place of a field whose bits are consecutive."""
        return cls(field, at, (field.bits + 7) // 8, field.pack, field.unpack)


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A trainer, or a fixed model, of ``spec``.

    described: returns plain JSON values, equal for all that learn alike; the fingerprint is their hash.
    parameter_bits: behind ``control``. output_bits, code: the wires of labels and predictions, and their code of the
    class; wires beyond those of the code are 0. word_bits: see :class:`rdahw.hdl.protocol.Layout`.
    learns: it is a trainer. batches: it has an accumulator. places: the state behind ``control``, empty if that cannot
    be read. run: for a board that trains by itself, the address of a byte that is 0 while it pauses; else None.
    frontend: what x of an example is, if not the bits of the model.
    """

    spec: Spec
    described: Callable[[], object]
    parameter_bits: int
    output_bits: int
    code: Code
    word_bits: int = 0
    learns: bool = True
    batches: bool = False
    places: tuple[Place, ...]
    run: int | None = None
    frontend: Frontend | None = None

    @property
    def input_bits(self) -> int:
        """The bits of x of an example on the link."""
        return self.spec.input_bits if self.frontend is None else 8 * self.frontend.octets

    @property
    def payload(self) -> int:
        """The longest payload of a request; an image, which has no smaller form, is given room."""
        return (
            MAX_PAYLOAD if self.frontend is None else payload_of(-(-(1 + self.output_bits) // 8) + self.frontend.octets)
        )

    @cached_property
    def layout(self) -> Layout:
        """Of examples and results on the link; raises :class:`rdahw.UserError` if an example fits no packet."""
        return Layout(self.parameter_bits, self.input_bits, self.output_bits, self.word_bits, self.payload)

    @property
    def most_input_bits(self) -> int:
        """The longest x that fits a packet."""
        head = 1 + self.output_bits
        if not self.word_bits:
            return 8 * self.payload - head
        return 8 * (self.payload - -(-head // 8)) // self.word_bits * self.word_bits

    @cached_property
    def fingerprint(self) -> int:
        """64 bits that identify what it learns or predicts."""
        return fingerprint_of(self.described())

    @property
    def _width(self) -> int:
        return label_width(self.spec.classes, self.code)

    def encode(self, labels: NDArray[np.int64]) -> Array:
        """Class numbers (N,) on the wires of labels, (N, output_bits)."""
        y = np.zeros((len(labels), self.output_bits), np.uint8)
        y[:, : self._width] = encode(labels, self.spec.classes, self.code)
        return y

    def decode(self, outputs: Array) -> NDArray[np.int64]:
        """The inverse of :meth:`encode`; -1 where the bits are the code of no class."""
        classes = decode(outputs[:, : self._width], self.spec.classes, self.code)
        return np.where(outputs[:, self._width :].any(axis=1), -1, classes)


def is_state_of_learner(spec: Spec) -> bool:
    """Whether the bits of the state are those of the learner's parameters and no others."""
    return [field.bits for field in spec.fields] == [spec.learner().model.parameter_bits]


def circuit_interface(spec: Spec, *, frontend: Frontend | None = None, **given: Any) -> Interface:
    """The interface of gateware made of the circuits of the learner of ``spec``; ``given``: further arguments."""
    learner = spec.learner()

    def described() -> object:
        step = learner.step.to_json()
        return step if frontend is None else [step, frontend.to_json()]

    return Interface(
        spec=spec,
        described=described,
        frontend=frontend,
        parameter_bits=learner.model.parameter_bits,
        output_bits=learner.model.output_bits,
        code=spec.code,
        places=(Place.packed(spec.parameters, 0),) if is_state_of_learner(spec) else (),
        **given,
    )
