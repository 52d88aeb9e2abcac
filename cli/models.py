"""``rdahw models``."""

from __future__ import annotations

import click

from rdahw.cli._output import Output, output_options
from rdahw.errors import UsageError


@click.command(
    "models",
    epilog="""\b
Examples:
  rdahw models
  rdahw models --json""",
)
@output_options
def command(output: Output) -> None:
    """List the families of models and their options, for --model NAME:OPTION=VALUE,…

    Other packages can add families through the entry-point group rdahw.families. If one cannot be loaded, the others
    are listed all the same, and the command fails.
    """
    from rdahw.families import find_family, names

    families, broken = [], []
    for name in names():
        try:
            families.append(find_family(name).to_json())
        except UsageError as error:  # of another package
            broken.append(str(error))
    output.json({"models": families})
    for family in families:
        output.line(f"{family['name']}: {family['help']}")
        rows = [
            (f"  {option['name']}", option["type"], option["default"], _span(option["range"]), option["help"])
            for option in family["options"]
        ]
        output.table(("  option", "type", "default", "values", "what it does"), rows)
        output.line()
    if broken:
        raise UsageError("; ".join(broken))


def _span(values: list[object]) -> str:
    """«1 to 16», or the choices."""
    if not values or isinstance(values[0], str):
        return ", ".join(map(str, values))
    return f"{values[0]} to {values[-1]}"
