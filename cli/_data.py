"""Reading the data set that a command names, and binarising it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from rdahw.cli._output import Output
    from rdahw.data import Binariser, Dataset
    from rdahw.data import Examples as RawExamples
    from rdahw.training import Examples

__all__ = ["load_dataset", "split_names", "to_bits"]


def split_names(classes: str | None) -> list[str] | None:
    """The names in ``--classes A,B,…``."""
    return None if classes is None else [name.strip() for name in classes.split(",")]


def load_dataset(output: Output, data: str, *, classes: Sequence[str] | None = None, **options: Any) -> Dataset:
    """:func:`rdahw.data.load` with these options; reading and downloading have a progress bar."""
    from rdahw.data import NAMES, load

    with output.progress("downloading" if data in NAMES else "reading", "bytes") as bar:
        return load(data, classes=classes, progress=bar, log=output.log_once, **options)


@overload
def to_bits(binariser: Binariser, examples: RawExamples) -> Examples: ...
@overload
def to_bits(binariser: Binariser, examples: None) -> None: ...
@overload
def to_bits(binariser: Binariser, examples: RawExamples | None) -> Examples | None: ...
def to_bits(binariser: Binariser, examples: RawExamples | None) -> Examples | None:
    """The examples on the wires of a model; None if there are none."""
    from rdahw.training import Examples

    return None if examples is None else Examples(binariser.transform(examples.features), examples.labels)
