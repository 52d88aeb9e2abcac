"""Machines run on sequences: step by step in the reference interpreter, or 64 sequences a word."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rdahw.errors import UserError
from rdahw.machine import Machine
from rdahw.primitives import Array
from rdahw.sim.packed import Packed
from rdahw.sim.packing import pack_examples, unpack_examples, words_for
from rdahw.sim.reference import Reference
from rdahw.types import Type

__all__ = ["ENGINES", "Run", "initial_state", "run_machine"]


class Run(NamedTuple):
    """What a machine wrote, (…, steps, width) for each output, and its state after the last step, (…, width)."""

    outputs: tuple[Array, ...]
    state: tuple[Array, ...]


def initial_state(machine: Machine) -> tuple[Array, ...]:
    """The bits of each state port at the first step, bit 0 first."""
    return tuple(
        np.array([value >> bit & 1 for bit in range(port.type.width)], np.uint8)
        for value, port in zip(machine.initial, machine.states, strict=True)
    )


def run_machine(
    machine: Machine,
    *sequences: Array,
    parameters: Sequence[Array] = (),
    state: Sequence[Array] | None = None,
    engine: str = "reference",
) -> Run:
    """Run ``machine`` on sequences of 0 and 1.

    Each of ``sequences`` is (…, steps, width), the symbols of one input; the axes in front are the sequences of a
    batch, and broadcast. ``parameters`` are the bits of each parameter, ``state`` those of each state port at the first
    step, by default the machine's own. ``engine`` is ``reference`` or ``packed``, with the same results.

    Raises :class:`UserError` for arrays of another number, width or length, and for other values than 0 and 1.
    """
    first = initial_state(machine) if state is None else tuple(state)
    ports = machine.step.inputs
    given = [*map(np.asarray, (*parameters, *first, *sequences))]
    arrays = given[len(given) - len(sequences) :]
    if len(given) != len(ports):
        raise UserError(
            f"{len(parameters)} parameters, {len(first)} states and {len(arrays)} sequences were given; expected "
            f"{machine.parameters}, {len(machine.initial)} and {len(machine.inputs)}"
        )
    for (name, type_), array in zip(ports, given, strict=True):
        if not array.ndim or array.shape[-1] != type_.width:
            raise UserError(
                f"{name!r} was given an array of shape {array.shape}; expected {type_.width} on the last axis"
            )
        if not np.isin(array, (0, 1)).all():
            raise UserError(f"{name!r} was given other values than 0 and 1; expected one bit in each place")
    if not arrays or any(array.ndim < 2 or array.shape[-2] != arrays[0].shape[-2] for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays) or "none"
        raise UserError(f"the sequences have shapes {shapes}; expected (…, steps, width), of as many steps each")
    try:
        batch = np.broadcast_shapes(*(a.shape[:-1] for a in given[: -len(arrays)]), *(a.shape[:-2] for a in arrays))
    except ValueError:
        raise UserError("the sequences, parameters and states are of batches that do not broadcast") from None
    if engine not in ENGINES:
        raise UserError(f"there is no engine {engine!r} for machines; expected one of {', '.join(ENGINES)}")
    given = [array.astype(np.uint8) for array in given]
    parts = given[: machine.parameters], given[machine.parameters : -len(arrays)], given[-len(arrays) :]
    return ENGINES[engine](machine, *parts, batch)


def _reference(
    machine: Machine, parameters: list[Array], state: list[Array], sequences: list[Array], batch: tuple[int, ...]
) -> Run:
    step, count = Reference(machine.step), len(machine.initial)
    state = [np.broadcast_to(array, (*batch, array.shape[-1])) for array in state]
    written: list[tuple[Array, ...]] = []
    for t in range(sequences[0].shape[-2]):
        results = step(*parameters, *state, *(array[..., t, :] for array in sequences))
        state = list(results[:count])
        written.append(results[count:])
    types = [port.type for port in machine.outputs]
    return Run(
        tuple(_stacked([row[k] for row in written], type_, batch) for k, type_ in enumerate(types)),
        tuple(np.broadcast_to(array, (*batch, array.shape[-1])) for array in state),
    )


def _stacked(rows: list[Array], type_: Type, batch: tuple[int, ...]) -> Array:
    """One output at all steps, (…, steps, width)."""
    result = np.empty((*batch, len(rows), type_.width), np.uint8)
    for t, row in enumerate(rows):
        result[..., t, :] = row
    return result


def _packed(
    machine: Machine, parameters: list[Array], state: list[Array], sequences: list[Array], batch: tuple[int, ...]
) -> Run:
    step, count, examples = Packed(machine.step), len(machine.initial), math.prod(batch)
    steps, words = sequences[0].shape[-2], words_for(examples)

    def packed(array: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        width = array.shape[-1]
        return pack_examples(np.broadcast_to(array, (*batch, width)).reshape(examples, width))

    theta, now = list(map(packed, parameters)), list(map(packed, state))
    outputs = [np.empty((*batch, steps, port.type.width), np.uint8) for port in machine.outputs]
    for t in range(steps):
        results = step.run(*theta, *now, *(packed(array[..., t, :]) for array in sequences), words=words)
        now = list(results[:count])
        for output, result in zip(outputs, results[count:], strict=True):
            output[..., t, :] = unpack_examples(result, examples).reshape(*batch, len(result))
    return Run(
        tuple(outputs),
        tuple(unpack_examples(array, examples).reshape(*batch, len(array)) for array in now),
    )


#: How each engine runs a machine: the machine, its parameters, first state and sequences, and the shape of the batch.
ENGINES: Mapping[str, Callable[[Machine, list[Array], list[Array], list[Array], tuple[int, ...]], Run]] = {
    "reference": _reference,
    "packed": _packed,
}
