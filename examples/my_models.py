"""Models of your own, for `rdahw train --model examples/my_models.py:NAME`.

A model is a function from the number of input and output bits to a circuit with two inputs, the parameters first.
"""

from rdahw import Bits, Circuit, Wire, mux, trace


def either(inputs: int, outputs: int) -> Circuit:
    """Two tables of half the inputs each, and one bit of x chooses between them."""
    half = inputs // 2
    size = outputs << half

    def f(theta: Wire, x: Wire) -> Wire:
        return mux(x[0], theta[:size].lookup(x[:half]), theta[size:].lookup(x[inputs - half :]))

    return trace(f, theta=Bits(2 * size), x=Bits(inputs))


def taps(inputs: int, outputs: int) -> Circuit:
    """The parity of the inputs that the parameters select, such as the taps of a shift register with feedback."""
    return trace(lambda theta, x: (theta & x).parity(), theta=Bits(inputs), x=Bits(inputs))
