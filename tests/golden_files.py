"""Recorded results to compare with: those of the folder that RDAHW_GOLDEN names, else of tests/golden."""

from __future__ import annotations

import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

_OURS = Path(__file__).parent / "golden"


def golden(name: str) -> Traversable:
    """The recorded file or folder ``name``; ours, where the folder that RDAHW_GOLDEN names does not have one."""
    if chosen := os.environ.get("RDAHW_GOLDEN"):
        folder = Path(chosen)
        assert folder.is_dir(), f"RDAHW_GOLDEN names {chosen!r}, which is no folder"
        if (folder / name).exists():
            return folder / name
    # The package itself has those of the paper, for rdahw reproduce.
    return resources.files("rdahw.data") / "paper-iris.json" if name == "iris.json" else _OURS / name
