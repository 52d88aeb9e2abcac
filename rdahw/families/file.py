"""The family ``file``: a circuit from a Python file of the user; **the file is run**."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from typing import Any

from rdahw.circuit import Circuit
from rdahw.errors import UsageError, UserError, nearest
from rdahw.families.circuits import circuit_family
from rdahw.family import Option

__all__ = ["FAMILY", "load_circuit"]


def load_circuit(source: str | None, inputs: int, outputs: int) -> Circuit:
    """The circuit that ``source``, ``FILE.py:NAME``, names: a circuit, or a function from (inputs, outputs) to one.

    Raises :class:`UsageError` for a malformed ``source`` or a missing file, and :class:`UserError` for any error in the
    file.
    """
    match = re.fullmatch(r"(.+\.py):(\w+)", source or "")
    if match is None:
        raise UsageError("the model 'file' is a circuit in a Python file of your own; name it as FILE.py:NAME")
    path, name = Path(match[1]), match[2]
    if not os.path.isfile(path):  # not Path's, which raises for some names
        raise UsageError(f"the model file {str(path)!r} does not exist; name the model as FILE.py:NAME")
    try:
        members = runpy.run_path(str(path))
        if name not in members:
            raise UserError(f"{str(path)!r} defines no {name!r}; {nearest(name, [n for n in members if n[0] != '_'])}")
        made: Any = members[name]
        if not isinstance(made, Circuit) and callable(made):
            made = made(inputs, outputs)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"the model file {str(path)!r} failed: {_where(error, path)}{type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Circuit):
        raise UserError(
            f"{source} is a {type(made).__name__}; expected a circuit or a function from (inputs, outputs) to one"
        )
    return made


def _where(error: BaseException, path: Path) -> str:
    """«line N: », the last line of the user's file in the traceback."""
    import traceback

    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f"line {lines[-1]}: " if lines else ""


FAMILY = circuit_family(
    "file",
    lambda task, source: load_circuit(source, task.input_bits, task.output_bits),
    help="a circuit of your own, or a function from (inputs, outputs) to one, given as FILE.py:NAME",
    options=(Option(name="source", type="text", help="FILE.py:NAME; the file is run"),),
    named=lambda own: own["source"],
    plain=lambda inputs, outputs, source: load_circuit(source, inputs, outputs),
)
