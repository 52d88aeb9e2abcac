"""Circuits in files of other tools, as models: ``FILE.v`` or ``FILE.v:TOP``, by the ending of the file."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.errors import UsageError, UserError, nearest
from rdahw.family import Spec
from rdahw.learner import Learner
from rdahw.machine import Machine
from rdahw.primitives import Array
from rdahw.state import Field, State
from rdahw.tracing import Builder, Wire, cat, trace
from rdahw.transform import constants
from rdahw.types import Bits

__all__ = ["READERS", "TABLES", "Given", "GivenSpec", "free_tables", "learnable", "parse_design", "read_given"]

#: Names the tables of a circuit where its parameters are named, unless it has an input of this name.
TABLES = "tables"

#: By file ending the function that reads such a file: from its path and the name of its module, if one is given.
READERS: Mapping[str, str] = dict.fromkeys(
    (".v", ".sv", ".blif", ".il", ".rtlil", ".json", ".aag", ".aig", ".c"), "rdahw.hdl.reader:read_design"
)
_DESIGN = re.compile(rf"(.+(?:{'|'.join(map(re.escape, READERS))}))(?::([A-Za-z_][\w$]*))?", re.IGNORECASE)


def parse_design(text: str) -> tuple[Path, str | None] | None:
    """The file and the module that ``text`` names; None if it names no file of :data:`READERS`."""
    found = _DESIGN.fullmatch(text)
    return None if found is None else (Path(found[1]), found[2])


def read_given(text: str, **options: Any) -> tuple[Circuit | Machine, tuple[str, ...]]:
    """The circuit or machine in the file that ``text`` names, and what became of its cells and names, in sentences;
    raises the errors of its reader."""
    found = parse_design(text)
    assert found is not None, "the caller has asked parse_design"
    module, _, function = READERS[found[0].suffix.lower()].partition(":")
    design = getattr(importlib.import_module(module), function)(*found, **options)
    return design.made, tuple(design.describe())


def free_tables(f: Circuit) -> tuple[Circuit, tuple[int, ...]]:
    """The circuit with the contents of its tables as one more input, :data:`TABLES`, and these contents bit by bit.

    Tables are lookups in what does not depend on an input, in the order of the circuit, each lookup a table of its own.
    """
    known = constants(f)
    places: dict[int, slice] = {}
    contents: list[Array] = [np.zeros(0, np.uint8)]
    end = 0
    for number, (primitive, operands, _) in f.wires():
        if primitive == "lookup" and operands[0] in known and number not in known:
            contents.append(known[operands[0]])
            places[number] = slice(end, end := end + len(contents[-1]))
    builder = Builder()
    wires = [builder.input(port, type_) for port, type_ in f.inputs]
    if end:
        tables = builder.input(TABLES, Bits(end))
    for number, (primitive, operands, attributes) in f.wires():
        given = [wires[i] for i in operands]
        if number in places:
            wires.append(tables[places[number]].lookup(given[1]))
        else:
            wires.append(builder.apply(primitive, *given, attributes=attributes))
    made = builder.finish({port: wires[i] for port, i in f.outputs})
    return made, tuple(np.concatenate(contents).tolist())


def learnable(
    name: str, f: Circuit | Machine, parameters: Sequence[str] = ("theta",)
) -> tuple[Circuit, tuple[int, ...]]:
    """``(theta, x) ↦ y``, to learn: the inputs ``parameters`` of ``f`` side by side, its other inputs, its outputs; and
    the bits that theta starts with, which are those of the tables among the parameters (:data:`TABLES`), others 0.

    Raises :class:`UsageError` for a machine, for an unknown name, if there are no tables, and if nothing is left to
    read.
    """
    if isinstance(f, Machine):
        raise UsageError(f"{name!r} has flip-flops and cannot be learned as a circuit; take the circuit between them")
    contents: tuple[int, ...] = ()
    names = list(parameters)
    if TABLES in names and TABLES not in f.input_names:
        f, contents = free_tables(f)
        if not contents:
            raise UsageError(
                f"{name!r} has no tables to learn, neither LUTs nor memories with contents; map it to LUTs first, as "
                "with Yosys' synth -lut 4, or name inputs"
            )
    if missing := [port for port in names if port not in f.input_names]:
        raise UsageError(f"{name!r} has no input {missing[0]!r} to learn; {nearest(missing[0], f.input_names)}")
    if not names:
        raise UsageError(f"no input of {name!r} is to learn; name one of {', '.join(f.input_names)}")
    rest = [port for port in f.input_names if port not in names]
    if not rest:
        raise UsageError(f"all inputs of {name!r} are parameters; expected one that the data come in by")
    widths = {port: type_.width for port, type_ in f.inputs}

    def body(theta: Wire, x: Wire) -> Wire:
        wires = {}
        for whole, ports in ((theta, names), (x, rest)):
            at = 0
            for port in ports:
                wires[port] = whole[at : at + widths[port]]
                at += widths[port]
        results = theta.builder.inline(f, [wires[port] for port in f.input_names])
        return cat(*results)

    made = trace(body, theta=Bits(sum(widths[p] for p in names)), x=Bits(sum(widths[p] for p in rest)))
    start = [bit for port in names for bit in (contents if contents and port == TABLES else (0,) * widths[port])]
    return made, tuple(start) if contents else ()


@dataclass(frozen=True, slots=True)
class Given:
    """A circuit with any ports, and its name: what a command shows, exports or proves."""

    name: str
    circuit: Circuit

    @property
    def predictor(self) -> Circuit:
        """The circuit itself."""
        return self.circuit

    def reverse(self) -> Circuit:
        """The reverse derivative by all inputs."""
        return reverse(self.circuit)


@dataclass(frozen=True, slots=True)
class GivenSpec(Spec):
    """A circuit or machine that is there already: it has nothing to learn.

    made: with any ports. notes: what became of the cells and names of its file, in sentences.
    """

    name: str
    made: Circuit | Machine
    notes: Sequence[str] = ()

    family = "file"
    software_only = "it has nothing to learn; give a model with parameters"
    loss = optimiser = "none"
    code = "binary"

    @classmethod
    def read(cls, text: str) -> GivenSpec:
        """That of the file that ``text`` names."""
        return cls(text, *read_given(text))

    @property
    def _circuit(self) -> Circuit:
        return self.made.step if isinstance(self.made, Machine) else self.made

    @property
    def input_bits(self) -> int:
        return sum(type_.width for type_ in self._circuit.input_types)

    @property
    def classes(self) -> int:
        return 1 << sum(type_.width for type_ in self._circuit.output_types)

    @property
    def fields(self) -> tuple[Field, ...]:
        """None."""
        return ()

    def learner(self) -> Learner:
        raise UsageError(
            f"{self.name!r} is a circuit that is there already, and has nothing to learn; give the model to train as "
            "--model, with the inputs to learn called theta"
        )

    def given(self) -> Given:
        """The circuit; that of a step for a machine."""
        return Given(self.name, self._circuit)

    def predicting(self) -> Circuit:
        """The circuit itself; raises :class:`UserError` for a machine."""
        if isinstance(self.made, Machine):
            names = ", ".join(port.name for port in self.made.states)
            raise UserError(
                f"{self.name!r} has flip-flops ({names}) and is a machine; give a circuit, or compare two machines "
                "with rdahw prove --equal"
            )
        return self.made

    def machine(self, state: State) -> Machine | None:
        return self.made if isinstance(self.made, Machine) else None

    def to_json(self) -> dict[str, Any]:
        """The name and the circuit or machine."""
        return {"name": self.name, "made": self.made.to_json()}

    def options(self) -> dict[str, Any]:
        return {}

    @property
    def description(self) -> str:
        """Such as «adder.v, a circuit»."""
        kind = f"a machine of {len(self.made.initial)} registers" if isinstance(self.made, Machine) else "a circuit"
        return f"{self.name}, {kind}"
