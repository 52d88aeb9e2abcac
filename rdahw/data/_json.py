"""Strict reading of JSON values from untrusted files."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from rdahw.errors import UserError

MAX_ITEMS = 10_000_000  # the most features, names or thresholds in a file


def damaged(what: str, expected: str) -> UserError:
    """The error for a value that rdahw does not write."""
    return UserError(f"{what} is not {expected}: the file is damaged or was not written by rdahw")


def members(value: object, what: str, keys: tuple[str, ...]) -> list[Any]:
    """The members of the JSON object ``value`` in the order of ``keys``; raises UserError for other keys."""
    if not isinstance(value, dict) or set(value) != set(keys):
        raise damaged(what, f"an object with the keys {', '.join(keys)}")
    return [value[key] for key in keys]


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether ``value`` is a JSON list with at most ``MAX_ITEMS`` items."""
    return isinstance(value, list) and len(value) <= MAX_ITEMS


def texts(value: object, what: str, *, least: int = 0) -> tuple[str, ...]:
    """The strings in ``value``; raises UserError unless it is a list of at least ``least`` different strings."""
    if not (is_list(value) and all(isinstance(item, str) for item in value)):
        raise damaged(what, "a list of texts")
    if len(set(value)) != len(value) or len(value) < least:
        raise damaged(what, f"a list of {least} or more different texts")
    return tuple(value)


def is_int(value: object) -> TypeGuard[int]:
    """Whether ``value`` is a JSON integer (and not true or false)."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(value: object, what: str) -> float:
    """``value`` as a float; raises UserError unless it is a finite number."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    if is_int(value) and abs(value) <= 1 << 53:
        return float(value)
    raise damaged(what, "a finite number")
