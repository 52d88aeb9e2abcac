"""The two roots of all errors: mistakes of the user and bugs of rdahw.

A message is one sentence: what went wrong, which value, what was expected, and a way out. The command line
prints a :class:`UserError` as one line and exits with its ``exit_code``; an :class:`InternalError` shows its traceback
and exits with 70. The table of exit codes is in ``docs/exit-codes.md``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InternalError", "MissingError", "UsageError", "UserError", "nearest"]


class UserError(Exception):
    """The data, the design or a claim failed (exit code 1)."""

    exit_code = 1


class UsageError(UserError):
    """Options that are invalid or cannot be combined (exit code 2)."""

    exit_code = 2


class MissingError(UserError):
    """A tool or a data set is missing (exit code 3)."""

    exit_code = 3


class InternalError(Exception):
    """A bug of rdahw: an internal check failed (exit code 70)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown ``name``: the most similar known name, or all names if none is similar (the
    first ten if there are more than twelve)."""
    names = list(known)
    if not names:
        return "there are none"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    if len(names) > 12:
        return f"known are {', '.join(map(repr, names[:10]))} and {len(names) - 10} more"
    return f"known {'are' if len(names) > 1 else 'is'} {', '.join(map(repr, names))}"
