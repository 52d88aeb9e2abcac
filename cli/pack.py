"""``rdahw pack``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from rdahw.cli._data import load_dataset, split_names
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import binarise_option, count_option, dataset_options, file_option


@click.command(
    "pack",
    epilog="""\b
Examples:
  rdahw pack --data mnist --out mnist.bin
  rdahw pack --data fashion-mnist --binarise threshold=48,96
  rdahw pack --data table.csv --label species --part train --stride 7""",
)
@dataset_options("pack", required=True)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="seed of the split")
@binarise_option("midrange")
@click.option(
    "--part",
    type=click.Choice(["train", "test", "both"]),
    help="pack this part  [default: both if there is a test part]",
)
@count_option("--examples", help="pack only the first N examples of each part")
@count_option(
    "--stride",
    default=1,
    metavar="K",
    help="train on example i * K modulo their number, for data sorted by class",
)
@file_option("--out", help="write here  [default: DATA.bin]")
@output_options
def command(
    output: Output,
    data: str,
    classes: str | None,
    test: str | None,
    split: float | None,
    resize: str | None,
    seed: int,
    binarise: str | None,
    part: Literal["train", "test", "both"] | None,
    examples: int | None,
    stride: int,
    out: Path | None,
    **reading: Any,
) -> None:
    """Pack a data set into one file of bits with checksums, from which a board trains by itself.

    rdahw flash --data writes the file into the board's flash.
    """
    from rdahw.data import fit_binariser, stem
    from rdahw.files import check_writable, write_atomically
    from rdahw.flash_image import header_fields, make_image

    out = out or Path(f"{stem(Path(data))}.bin")
    check_writable(out)
    names = split_names(classes)
    given: dict[str, Any] = {"test": test, "split": split, "resize": resize, "seed": seed}
    dataset = load_dataset(output, data, classes=names, **given, **reading)
    part = part or ("train" if dataset.test is None else "both")
    image = make_image(
        dataset,
        fit_binariser(dataset, binarise),
        train=part != "test",
        test=part != "train",
        examples=examples,
        stride=stride,
    )
    content = image.to_bytes()
    write_atomically(out, content)
    fields = header_fields(image)
    said = ("input_bits", "record_bytes", "train_examples", "test_examples", "stride")
    output.json(
        {
            "data": image.name,
            "binarise": image.rule,
            "part": part,
            "classes": list(image.label_names),
            "image": None if image.image is None else list(image.image),
            **{name: fields[name] for name in said},
            "data_sha256": image.checksum,
            "bytes": len(content),
            "out": str(out),
        }
    )
    of = "" if part == "both" else f"the {part} part of "
    count = f"{len(image.train):,}" + (f" training and {len(image.test):,} test" if part == "both" else "")
    output.line(
        f"packed {of}{image.name} by {image.rule}: {count} examples of {image.input_bits} bits, "
        f"{fields['record_bytes']} bytes each"
    )
    output.line(f"wrote {out} ({len(content):,} bytes)")
