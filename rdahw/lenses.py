"""Lenses, after Cruttwell et al., *Categorical Foundations of Gradient-Based Learning*, arXiv 2103.01931.

A lens (A, A') → (B, B') is a pair of circuits, ``get : A → B`` and ``put : A × B' → A'``. A circuit with its reverse
derivative is one, and the chain rule says that composing circuits composes these lenses; an optimiser is one between
its state and the parameters (:mod:`rdahw.optimisers`). A learning step is the ``put`` of a composite of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.errors import UserError
from rdahw.tracing import Wire, trace
from rdahw.types import Type

__all__ = ["Lens"]


@dataclass(frozen=True, slots=True)
class Lens:
    """A lens; A, A', B and B' are products, of a wire for each input and output. The inputs of ``put`` are those of
    ``get``, then the changes. Raises :class:`UserError` if the first of them have other types than those of ``get``."""

    get: Circuit
    put: Circuit

    def __post_init__(self) -> None:
        types = self.get.input_types
        if self.put.input_types[: len(types)] != types:
            raise UserError(
                f"put takes {_listed(self.put.input_types)}, and get takes {_listed(types)}; expected put to begin "
                "with the inputs of get"
            )

    @property
    def changes(self) -> tuple[Type, ...]:
        """B', the types of the changes that ``put`` takes."""
        return self.put.input_types[len(self.get.inputs) :]

    @classmethod
    def of(cls, f: Circuit) -> Lens:
        """``f : A → B`` with its reverse derivative A × B → A."""
        return cls(f, reverse(f))

    @classmethod
    def identity(cls, *types: Type) -> Lens:
        """``get`` gives its input, ``put`` the change."""
        return cls(_circuit(types, lambda wires: wires), _circuit([*types, *types], lambda wires: wires[len(types) :]))

    def __rshift__(self, other: Lens) -> Lens:
        """This lens (A, A') → (B, B'), then ``other`` : (B, B') → (C, C'): ``get`` is one after the other, and ``put``
        gives this lens the change that the other makes of C' at its B.

        Raises :class:`UserError` if the types of B or B' differ.
        """
        for what, made, taken in (
            ("values", self.get.output_types, other.get.input_types),
            ("changes", self.changes, other.put.output_types),
        ):
            if made != taken:
                raise UserError(
                    f"the {what} between two lenses are {_listed(made)} and {_listed(taken)}; expected the same"
                )
        given = len(self.get.inputs)

        def put(wires: Sequence[Wire]) -> Sequence[Wire]:
            here, change = wires[:given], wires[given:]
            back = _on(other.put, [*_on(self.get, here), *change])
            return _on(self.put, [*here, *back])

        return Lens(self.get >> other.get, _circuit([*self.get.input_types, *other.changes], put))

    def __matmul__(self, other: Lens) -> Lens:
        """Both lenses side by side."""
        a, c = len(self.get.inputs), len(other.get.inputs)
        b = len(self.changes)

        def put(wires: Sequence[Wire]) -> Sequence[Wire]:
            changes = wires[a + c :]
            return [*_on(self.put, [*wires[:a], *changes[:b]]), *_on(other.put, [*wires[a : a + c], *changes[b:]])]

        get = self.get @ other.get
        return Lens(get, _circuit([*get.input_types, *self.changes, *other.changes], put))


def _circuit(types: Sequence[Type], body: Callable[[Sequence[Wire]], Sequence[Wire]]) -> Circuit:
    return trace(lambda *wires: list(body(wires)), **{f"x{i}": type_ for i, type_ in enumerate(types)})


def _on(f: Circuit, wires: Sequence[Wire]) -> list[Wire]:
    return wires[0].builder.inline(f, wires)


def _listed(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))
