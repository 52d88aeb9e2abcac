"""Models: circuits ``f : P × A → B`` from parameters ``theta`` and an input ``x`` to the output ``y``.

Where the output is bits it is the prediction; where it is words, they are the scores of classes, and a head beside the
model makes the prediction from them.

:func:`make_model` makes one from the name that the command line takes. A model of the user's own is any circuit with
two inputs, parameters first, and one output.
"""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdahw.circuit import Circuit
from rdahw.custom import custom_reverse
from rdahw.derivative import reverse
from rdahw.errors import UsageError, UserError, nearest
from rdahw.scores import one_hot_prediction
from rdahw.tracing import Wire, WordWire, cat, trace
from rdahw.types import Bits, Words

__all__ = ["MODELS", "Model", "lookup_model", "make_model", "mask_model"]

#: The widest address of a lookup: its parameters double with every input.
MAX_LOOKUP_INPUTS = 20


@dataclass(frozen=True, slots=True)
class Model:
    """A circuit ``f : P × A → B`` to learn, and the name that it was asked for by.

    predictor : P × A → Y, the circuit and behind it the head: the output itself where it is bits, and of class scores
        the largest, one-hot, the lowest class on a tie.

    Raises :class:`UserError` if the circuit has not two inputs and one output, or if its data are not bits.
    """

    name: str
    circuit: Circuit
    predictor: Circuit = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        f = self.circuit
        if (len(f.inputs), len(f.outputs)) != (2, 1):
            raise UserError(
                f"model {self.name!r} has {len(f.inputs)} inputs and {len(f.outputs)} outputs; "
                "expected two inputs, the parameters first, and one output"
            )
        if not isinstance(f.input_types[1], Bits):
            raise UserError(f"model {self.name!r} takes data of type {f.input_types[1]}; expected bits")
        predictor = f
        if isinstance(f.output_types[0], Words):
            predictor = trace(lambda *wires: {f.output_names[0]: self.head(f(*wires))}, **dict(f.inputs))
        object.__setattr__(self, "predictor", predictor)

    def head(self, output: Wire) -> Wire:
        """The prediction that an output makes."""
        return one_hot_prediction(output) if isinstance(output, WordWire) else output

    def reverse(self) -> Circuit:
        """The reverse derivative of the circuit by all that it has one by: where its parameters are words, by those
        alone, as the data only select among them."""
        f = self.circuit
        return reverse(f) if isinstance(f.input_types[0], Bits) else reverse(f, wrt=f.input_names[:1])

    @property
    def parameter_bits(self) -> int:
        """How many bits P has."""
        return self.circuit.input_types[0].width

    @property
    def input_bits(self) -> int:
        """How many bits A has."""
        return self.circuit.input_types[1].width

    @property
    def output_bits(self) -> int:
        """How many bits a prediction and a label have: of class scores, one a class."""
        output = self.circuit.output_types[0]
        return output.count if isinstance(output, Words) else output.width


def lookup_model(inputs: int, outputs: int) -> Circuit:
    """``f : outputs·2^inputs × inputs → outputs``: the parameters are the truth table (the paper's eval model).

    Parameter bit ``j * 2**inputs + x`` is output j at input x. Safe. Wilson and Zanasi, arXiv 2101.10488, section 5.1.
    """
    if inputs < 1 or outputs < 1:
        raise UserError(
            f"a lookup of {inputs} inputs and {outputs} outputs was asked for; expected at least one of each"
        )
    if inputs > MAX_LOOKUP_INPUTS:
        raise UserError(
            f"a lookup of {inputs} inputs would have {outputs} * 2^{inputs} parameters; it takes at most "
            f"{MAX_LOOKUP_INPUTS} inputs: use --model mask (two classes), or a circuit of your own "
            "(--model FILE.py:NAME)"
        )
    return trace(lambda theta, x: theta.lookup(x), theta=Bits(outputs << inputs), x=Bits(inputs))


def mask_model(inputs: int, k: int = 4) -> Circuit:
    """``f : inputs × inputs → 1``: 1 where popcount(theta AND x) <= popcount(theta) div k (the paper's pseudo-linear).

    Its reverse derivative is the Boolean difference of the whole model, as in the paper, computed from the two counts
    in O(inputs) gates. Wilson and Zanasi, arXiv 2101.10488, section 5.2.
    """
    if k < 1:
        raise UserError(f"a mask with k={k} was asked for; k divides a count, so it is at least 1")

    def compare(common: Wire, selected: Wire) -> Wire:
        # common <= selected div k, which is k * common <= selected, without a division
        product = common.zeros(common.width + k.bit_length())
        for i in range(k.bit_length()):
            if k >> i & 1:
                shifted = cat(common.zeros(i), common) if i else common
                product = product.plus(shifted.extend(product.width))[: product.width]
        return product <= selected.extend(product.width)

    def forward(theta: Wire, x: Wire) -> Wire:
        return compare((theta & x).popcount(), theta.popcount())

    def difference(theta: Wire, x: Wire, dy: Wire) -> list[Wire]:
        both, common, selected = theta & x, (theta & x).popcount(), theta.popcount()
        here = compare(common, selected)

        def changed(common: Wire, selected: Wire) -> Wire:
            return ((here ^ compare(common, selected)) & dy).repeat(inputs)

        def up(count: Wire) -> Wire:
            return count.plus(1)[: count.width]

        def down(count: Wire) -> Wire:  # where it would wrap no bit that it is used for is set
            return count.plus((1 << count.width) - 1)[: count.width]

        dtheta = (
            (~theta & ~x & changed(common, up(selected)))
            ^ (~theta & x & changed(up(common), up(selected)))
            ^ (theta & ~x & changed(common, down(selected)))
            ^ (both & changed(down(common), down(selected)))
        )
        dx = (theta & ~x & changed(up(common), selected)) ^ (both & changed(down(common), selected))
        return [dtheta, dx]

    types = {"theta": Bits(inputs), "x": Bits(inputs)}
    block = custom_reverse(
        trace(forward, **types),
        trace(lambda *wires: dict(zip(("dtheta", "dx"), difference(*wires), strict=True)), **types, dy=Bits(1)),
        name=f"mask of {inputs} inputs, k = {k}",
        exact=True,
    )
    return trace(block, **types)


def _make_mask(inputs: int, outputs: int, k: int = 4) -> Circuit:
    if outputs != 1:
        raise UserError(
            f"the mask model has one output and the labels have {outputs} bits; choose two classes with --classes A,B "
            "and --labels binary"
        )
    return mask_model(inputs, k)


def _make_ensemble(
    input_bits: int, classes: int, tables: int = 8, inputs: int = 4, counter: int = 6, sign: int = 0, seed: int = 0
) -> Circuit:
    from rdahw.ensemble import EnsembleSpec
    from rdahw.ensemble_circuits import ensemble_model

    return ensemble_model(
        EnsembleSpec(
            input_bits=input_bits,
            classes=classes,
            tables=tables,
            inputs=inputs,
            counter=counter,
            dropout=0.0,
            sign=bool(sign),
            seed=seed,
        )
    )


#: The models by name: a function from the bits of input and output, and options as whole numbers, to the circuit.
MODELS: Mapping[str, Callable[..., Circuit]] = {
    "lookup": lookup_model,
    "mask": _make_mask,
    "ensemble": _make_ensemble,
}


def make_model(spec: str, inputs: int, outputs: int) -> Model:
    """The model that ``spec`` names, for inputs and outputs of so many bits.

    ``spec`` is ``NAME`` or ``NAME:OPTION=NUMBER,…`` of :data:`MODELS`, or ``FILE.py:NAME``: a Python file, **which is
    run**, and in it a circuit or a function from (inputs, outputs) to one. Raises :class:`UsageError` for an unknown
    name or option and :class:`UserError` if the model does not suit.
    """
    if match := re.fullmatch(r"(.+\.py):(\w+)", spec):
        return _from_file(spec, Path(match[1]), match[2], inputs, outputs)
    name, _, rest = spec.partition(":")
    if name not in MODELS:
        raise UsageError(
            f"model {name!r} is unknown, and is no FILE.py:NAME with one of your own; {nearest(name, MODELS)}"
        )
    options = {}
    for word in filter(None, rest.split(",")):
        key, _, value = word.partition("=")
        if key not in _options(MODELS[name]) or not re.fullmatch(r"\d{1,9}", value):
            known = ", ".join(f"{o}=NUMBER" for o in _options(MODELS[name])) or "no options"
            raise UsageError(f"model {name!r} has no option {word!r}; it takes {known}")
        options[key] = int(value)
    return Model(spec, MODELS[name](inputs, outputs, **options))


def _options(maker: Callable[..., Circuit]) -> list[str]:
    import inspect

    return list(inspect.signature(maker).parameters)[2:]


def _from_file(spec: str, path: Path, name: str, inputs: int, outputs: int) -> Model:
    if not os.path.isfile(path):  # not Path's, which raises for some names
        raise UsageError(f"the model file {str(path)!r} does not exist; give --model FILE.py:NAME")
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
            f"{spec} is a {type(made).__name__}; expected a circuit or a function from (inputs, outputs) to one"
        )
    model = Model(spec, made)
    if (model.input_bits, model.output_bits) != (inputs, outputs):
        raise UserError(
            f"{spec} takes {model.input_bits} bits and gives {model.output_bits}; "
            f"the data have {inputs} and {outputs}: change the circuit, --binarise or --labels"
        )
    return model


def _where(error: BaseException, path: Path) -> str:
    """«line N: », the last line of the user's file that the error passed through."""
    import traceback

    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f"line {lines[-1]}: " if lines else ""
