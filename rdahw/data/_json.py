"""Strict reading of JSON values from a file that may come from a stranger."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from rdahw.errors import UserError

MAX_ITEMS = 10_000_000  # more features, names or thresholds than any file of ours holds


def damaged(what: str, expected: str) -> UserError:
    """The error about a value that is not what our own writer writes."""
    return UserError(f"{what} is not {expected}: the file is damaged or was not written by rdahw")


def members(value: object, what: str, keys: tuple[str, ...]) -> list[Any]:
    """The members of the JSON object ``value``, in the order of ``keys``; it must have exactly those keys."""
    if not isinstance(value, dict) or set(value) != set(keys):
        raise damaged(what, f"an object with the keys {', '.join(keys)}")
    return [value[key] for key in keys]


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether ``value`` is a JSON list of a bearable length."""
    return isinstance(value, list) and len(value) <= MAX_ITEMS


def texts(value: object, what: str, *, least: int = 0) -> tuple[str, ...]:
    """A list of at least ``least`` different strings."""
    if not (is_list(value) and all(isinstance(item, str) for item in value)):
        raise damaged(what, "a list of texts")
    if len(set(value)) != len(value) or len(value) < least:
        raise damaged(what, f"a list of {least} or more different texts")
    return tuple(value)


def is_int(value: object) -> TypeGuard[int]:
    """Whether ``value`` is a JSON integer (true and false are none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def number(value: object, what: str) -> float:
    """A finite number."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    if is_int(value) and abs(value) <= 1 << 53:
        return float(value)
    raise damaged(what, "a finite number")
