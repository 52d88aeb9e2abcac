"""Models that learned different examples, as one: what each changed in its counters is added, or averaged.

Both saturate where counters do. The sum loses nothing where few counters saturate; the mean stays within the range of
the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.families import all_families, find_family
from rdahw.family import Spec
from rdahw.state import Field, State

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["check_same", "counters_of", "merge_states"]


def counters_of(spec: Spec) -> Field:
    """The field of a model's state that holds its counters; raises :class:`UsageError` if it has none."""
    name = find_family(spec.family).counters
    if not name:
        known = " or ".join(family.name for family in all_families(skip_broken=True) if family.counters)
        raise UsageError(
            f"models of the family {spec.family!r} have no counters whose changes could be added; use {known}, which "
            "learns classes"
        )
    return next(field for field in spec.fields if field.name == name)


def merge_states(
    spec: Spec, start: State, states: Sequence[State], *, mean: bool = False
) -> Mapping[str, NDArray[Any]]:
    """The state with the counters of ``start`` and what ``states`` changed in them, added and saturated; or its
    ``mean``, rounded to the nearest number, halves up. The other fields are those of the first state.

    Raises :class:`UsageError` as :func:`counters_of`.
    """
    field = counters_of(spec)
    before = start[field.name].astype(np.int32)
    change = np.zeros_like(before)
    for state in states:
        change += state[field.name] - before
    if mean:
        change = (2 * change + len(states)) // (2 * len(states))
    return {**states[0], field.name: field.saturated(before + change)}


def check_same(name: str, model: SavedModel, other_name: str, other: SavedModel) -> None:
    """Raise :class:`UsageError` if counters of two models, which are called by these names, do not mean the same."""
    from rdahw.claims import surroundings

    differs: list[str] = []
    if model.spec.family != other.spec.family:
        differs = [f"the family is {model.spec.family!r} and {other.spec.family!r}"]
    elif model.spec != other.spec:
        a, b = model.spec.to_json(), other.spec.to_json()
        differs = [f"{key} is {_short(a[key])} and {_short(b.get(key))}" for key in a if a[key] != b.get(key)]
    differs += surroundings(model, other)
    if differs:
        raise UsageError(
            f"the counters of {name!r} and {other_name!r} mean different things: {'; '.join(differs)}; train with the "
            "same options, and with the same thresholds, as --binarise threshold=K has them for any data"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
