"""Models: circuits ``f : P × A → B`` from parameters ``theta`` and an input ``x`` to the output ``y``.

If the output is bits or switches, these are the prediction; if it is words, these are class scores, and a head after
the model makes the prediction from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rdahw.circuit import Circuit
from rdahw.derivative import reverse
from rdahw.errors import UserError
from rdahw.scores import one_hot_prediction
from rdahw.tracing import SwitchWire, Wire, WordWire, trace
from rdahw.types import Bits, Words

__all__ = ["Model"]


@dataclass(frozen=True, slots=True)
class Model:
    """A circuit ``f : P × A → B`` to learn, and its name.

    predictor : P × A → Y, the circuit followed by the head: the output as bits, or of words the class of the largest
        score, one-hot, the lowest class on a tie.

    Raises :class:`UserError` unless the circuit has two inputs and one output, and its data are bits.
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
        if not isinstance(f.output_types[0], Bits):
            predictor = trace(lambda *wires: {f.output_names[0]: self.head(f(*wires))}, **dict(f.inputs))
        object.__setattr__(self, "predictor", predictor)

    def head(self, output: Wire) -> Wire:
        """The prediction for an output of the model."""
        if isinstance(output, SwitchWire):
            return output.as_bits()
        return one_hot_prediction(output) if isinstance(output, WordWire) else output

    def reverse(self) -> Circuit:
        """The reverse derivative of the circuit; if its parameters are words, by those only, as the data select among
        them."""
        f = self.circuit
        return reverse(f) if isinstance(f.input_types[0], Bits) else reverse(f, wrt=f.input_names[:1])

    @property
    def parameter_bits(self) -> int:
        """The number of bits of P."""
        return self.circuit.input_types[0].width

    @property
    def input_bits(self) -> int:
        """The number of bits of A."""
        return self.circuit.input_types[1].width

    @property
    def output_bits(self) -> int:
        """The number of bits of a prediction and a label; for class scores, one per class."""
        output = self.circuit.output_types[0]
        return output.count if isinstance(output, Words) else output.width
