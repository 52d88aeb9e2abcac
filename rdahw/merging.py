"""Models that learned different examples, as one: what each changed in its counters is added.

A counter counts for and against a class, and so do the sums. They saturate where counters do. As all scores grow alike,
the sums predict as a mean would, and lose nothing by rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.errors import UsageError
from rdahw.families import all_families, find_family
from rdahw.family import Spec
from rdahw.state import Field, State

__all__ = ["counters_of", "merge_states"]


def counters_of(spec: Spec) -> Field:
    """The field of a model's state that holds its counters; raises :class:`UsageError` if it has none."""
    name = find_family(spec.family).counters
    if not name:
        known = " or ".join(family.name for family in all_families(skip_broken=True) if family.counters)
        raise UsageError(
            f"models of the family {spec.family!r} have no counters whose changes could be added; use the family {known}"
        )
    return next(field for field in spec.fields if field.name == name)


def merge_states(spec: Spec, start: State, states: Sequence[State]) -> Mapping[str, NDArray[Any]]:
    """The state with the counters of ``start`` and all that each of ``states`` changed in them, saturated; the other
    fields are those of the first state. Raises :class:`UsageError` as :func:`counters_of`."""
    field = counters_of(spec)
    before = start[field.name].astype(np.int32)
    total = before.copy()
    for state in states:
        total += state[field.name] - before
    return {**states[0], field.name: field.saturated(total)}
