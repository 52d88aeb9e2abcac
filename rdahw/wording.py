"""Numbers in sentences for people."""

from __future__ import annotations

__all__ = ["percent", "plural"]


def percent(correct: int, count: int) -> str:
    """«97.3 %»; with two decimals for 10,000 examples or more."""
    return f"{100 * correct / count:.{2 if count >= 10_000 else 1}f} %"


def plural(count: int, noun: str) -> str:
    """«1 table», «2 tables»."""
    return f"{count} {noun}" + ("s" if count != 1 else "")
