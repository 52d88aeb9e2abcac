"""Numbers in sentences for people."""

from __future__ import annotations

__all__ = ["percent"]


def percent(correct: int, count: int) -> str:
    """«97.3 %»; with two decimals for 10,000 examples or more."""
    return f"{100 * correct / count:.{2 if count >= 10_000 else 1}f} %"
