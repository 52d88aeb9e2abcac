"""``rdahw datasets``."""

from __future__ import annotations

from dataclasses import asdict

import click

from rdahw.cli._output import Output, output_options


@click.command("datasets", epilog="\b\nExamples:\n  rdahw datasets\n  rdahw datasets --json")
@output_options
def command(output: Output) -> None:
    """List the data sets that have a name, where each was found, and how to get the missing ones."""
    from rdahw.data import catalogue

    records = catalogue()
    output.json({"datasets": [asdict(record) for record in records]})
    output.table(
        ("name", "classes", "features", "train", "test", "found"),
        [(r.name, r.classes, r.features, r.train, r.test, "no" if r.found is None else r.found) for r in records],
    )
    for record in records:
        if record.found is None:
            output.line(f"{record.name}: {record.get}")
    output.line(
        "your own files (CSV, Parquet, pictures and others) can be used too: rdahw train --data FILE --label COLUMN"
    )
    output.line("and folders, ZIP and TAR archives of pictures: rdahw train --data FOLDER")
