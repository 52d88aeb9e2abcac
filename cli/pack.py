"""``rdahw pack``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from rdahw.cli._data import label_option, load_dataset, split_names
from rdahw.cli._output import Output, complete, output_options


@click.command(
    "pack",
    short_help="pack a data set for a board's flash",
    epilog="""\b
Examples:
  rdahw pack --data mnist --out mnist.bin
  rdahw pack --data fashion-mnist --binarise threshold=48,96
  rdahw pack --data table.csv --label species --part train --stride 7""",
)
@click.option(
    "--data",
    required=True,
    metavar="NAME|FILE",
    shell_complete=complete("rdahw.data", "NAMES"),
    help="pack this data set (rdahw datasets lists the names), CSV or NPZ file",
)
@label_option
@click.option("--classes", metavar="A,B,…", help="pack these classes only, in this order")
@click.option("--test", type=click.Path(), metavar="FILE", help="take the test part from this file")
@click.option("--split", type=float, metavar="FRACTION", help="take this fraction of the examples as test part")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="seed of the split")
@click.option(
    "--binarise",
    metavar="RULE",
    help="turn numbers into bits by midrange, threshold=K[,K…], thermometer=K or quantile=K"
    "  [default: threshold=32 for images, else midrange]",
)
@click.option(
    "--part",
    type=click.Choice(["train", "test", "both"]),
    help="pack this part  [default: both, if there is a test part]",
)
@click.option("--examples", type=click.IntRange(1), metavar="N", help="pack the first N examples of each part only")
@click.option(
    "--stride",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="K",
    help="train on example i * K modulo their number, for data sorted by class",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="write here  [default: DATA.bin]")
@output_options
def command(
    output: Output,
    data: str,
    label: str | None,
    classes: str | None,
    test: str | None,
    split: float | None,
    seed: int,
    binarise: str | None,
    part: Literal["train", "test", "both"] | None,
    examples: int | None,
    stride: int,
    out: Path | None,
) -> None:
    """Pack a data set into one file of bits with checksums, from which a board learns by itself.

    The file goes into the board's flash with rdahw flash --data.
    """
    from rdahw.data import fit_binariser
    from rdahw.files import check_writable, write_atomically
    from rdahw.flash_image import header_fields, make_image

    out = out or Path(f"{Path(data).stem}.bin")
    check_writable(out)
    names = split_names(classes)
    dataset = load_dataset(output, data, classes=names, label=label, test=test, split=split, seed=seed)
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
    output.line(
        f"packed {image.name} by {image.rule}: {len(image.train):,} training and {len(image.test):,} test examples of "
        f"{image.input_bits} bits, {fields['record_bytes']} bytes each"
        if part == "both"
        else f"packed the {part} part of {image.name} by {image.rule}: {len(image.train):,} examples of "
        f"{image.input_bits} bits, {fields['record_bytes']} bytes each"
    )
    output.line(f"wrote {out} ({len(content):,} bytes)")
