"""Reading the data set that a command names, and binarising it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from rdahw.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rdahw.bits import PackedBits
    from rdahw.cli._output import Output
    from rdahw.data import Binariser, Dataset, Schema
    from rdahw.data import Examples as RawExamples
    from rdahw.family import Spec
    from rdahw.training import Examples

__all__ = ["load_dataset", "split_names", "to_bits", "to_wires", "training_bits"]


def split_names(classes: str | None) -> list[str] | None:
    """The names in ``--classes A,B,…``."""
    return None if classes is None else [name.strip() for name in classes.split(",")]


def load_dataset(
    output: Output, data: str, *, classes: Sequence[str] | None = None, resize: str | None = None, **options: Any
) -> Dataset:
    """:func:`rdahw.data.load` with these options; reading and downloading have a progress bar."""
    from rdahw.data import NAMES, load

    with output.progress("downloading" if data in NAMES else "reading", "bytes") as bar:
        return load(data, classes=classes, resize=_size(resize), progress=bar, log=output.log_once, **options)


def _size(text: str | None) -> tuple[int, int] | None:
    """(height, width) of «32x32»; raises UsageError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})x([0-9]{1,4})", text)
    if not found or not (int(found[1]) and int(found[2])):
        raise UsageError(f"--resize {text} is not a size; write the height and width in pixels, such as --resize 32x32")
    return int(found[1]), int(found[2])


@overload
def to_bits(output: Output, binariser: Binariser, examples: RawExamples, schema: Schema) -> Examples: ...
@overload
def to_bits(output: Output, binariser: Binariser, examples: None, schema: Schema) -> None: ...
@overload
def to_bits(output: Output, binariser: Binariser, examples: RawExamples | None, schema: Schema) -> Examples | None: ...
def to_bits(output: Output, binariser: Binariser, examples: RawExamples | None, schema: Schema) -> Examples | None:
    """The examples on the wires of a model, with its labels of them; None if there are none."""
    from rdahw.training import Examples

    if examples is None:
        return None
    return Examples(to_wires(output, binariser, examples.features), schema.numbers(examples.labels))


def training_bits(output: Output, spec: Spec, binariser: Binariser, dataset: Dataset) -> Examples:
    """The training examples of ``dataset`` on the wires of ``spec``; with ``mirror``, after them the mirrored ones."""
    import numpy as np

    from rdahw.data.images import with_mirrored
    from rdahw.training import Examples

    features, labels = dataset.train.features, dataset.schema.numbers(dataset.train.labels)
    if spec.mirror:
        assert dataset.image_shape is not None
        features, labels = with_mirrored(features, dataset.image_shape), np.tile(labels, 2)
    return Examples(to_wires(output, binariser, features), labels)


def to_wires(output: Output, binariser: Binariser, features: NDArray[Any]) -> PackedBits:
    """The features (N, F) on the wires of a model, (N, A)."""
    from rdahw.data.plane_binariser import PlaneBinariser

    if not isinstance(binariser, PlaneBinariser):
        with output.progress("converting", "examples") as bar:
            return binariser.pack(features, bar)
    from rdahw.cli._engine import compiling

    with compiling(output):
        from rdahw.sim.planes import to_wires

        return to_wires(binariser, features)
