"""The tables of docs/flash-image.md are those of the code."""

from __future__ import annotations

from pathlib import Path

from rdahw.flash_image import HEADER, MAGIC
from rdahw.hdl.flash_trainer import REGISTERS, State

PAGE = (Path(__file__).parents[1] / "docs" / "flash-image.md").read_text()


def test_the_header_and_the_registers() -> None:
    at = len(MAGIC)
    for field in HEADER:
        assert f"| {at} | `{field.name}` | {field.bytes} | {field.meaning} |" in PAGE
        at += field.bytes
    at = 0
    for register in REGISTERS:
        row = f"| {at} | `{register.name}` | {register.bytes} | {'yes' if register.writable else 'no'} |"
        assert f"{row} {register.meaning} |" in PAGE
        at += register.bytes


def test_the_states() -> None:
    for state in State:
        assert f"| {state.name.lower().replace('_', ' ')} | {int(state)} |" in PAGE
