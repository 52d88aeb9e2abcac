"""The family ``linear``: a linear model in fixed point, the Iris example of the polynomial-circuits program.

Wilson and Zanasi, *Categories of Differentiable Polynomial Circuits for Machine Learning*, arXiv 2203.06430, and its
program yarrow-polycirc. Weights, features and scores are whole numbers, of which 2^10 stands for 1.
"""

from __future__ import annotations

from rdahw.circuit import Circuit
from rdahw.errors import UsageError
from rdahw.families.circuits import CircuitSpec, circuit_family
from rdahw.family import Option, Task
from rdahw.surrogates import number, shift_right
from rdahw.tracing import Wire, WordWire, trace
from rdahw.types import MAX_WORD_BITS, Bits, Words
from rdahw.word_primitives import from_planes

__all__ = ["FAMILY", "linear_model"]

#: The bits after the point.
FRACTION = 10


def linear_model(numbers: int, classes: int, *, word: int = 16, fraction: int = FRACTION, bits: int = 32) -> Circuit:
    """``f : Words(classes·numbers, bits) × numbers·word → Words(classes, bits)``: y = (W x) >> fraction.

    W is in row order, a row for each class; sums and products wrap modulo 2^bits. Bit b of number i is input bit
    ``b * numbers + i``: signed numbers of ``word`` bits in two's complement, or with ``word`` = 1 bits that stand for 0
    and 2^fraction. The shift is arithmetic, and a declared surrogate: cotangents pass straight through it.
    """

    def f(theta: WordWire, x: Wire) -> Wire:
        if word == 1:
            features = number(theta[:numbers], 1 << fraction).mask(x)
        else:
            each = [x[b * numbers : (b + 1) * numbers] for b in range(word)]
            features = from_planes([*each, *[each[-1]] * (bits - word)]).as_words(bits)
        products = theta * features.repeat(classes)
        return shift_right(products.scatter([c for c in range(classes) for _ in range(numbers)], classes), fraction)

    return trace(f, theta=Words(classes * numbers, bits), x=Bits(numbers * word))


def _circuit(task: Task, word: int | None, bits: int) -> Circuit:
    word = word or task.word
    if task.code != "one-hot":
        raise UsageError("model 'linear' has a score for each class; take --labels one-hot and two outputs or more")
    if task.input_bits % word:
        raise UsageError(
            f"model 'linear' takes numbers of {word} bits, and {task.input_bits} bits of input are not a multiple; "
            "choose another word, such as linear:word=1"
        )
    if word > bits:
        raise UsageError(
            f"model 'linear' computes in words of {bits} bits, which do not hold numbers of {word}; raise bits"
        )
    return linear_model(task.input_bits // word, task.classes, word=word, bits=bits)


def _check_counters(spec: CircuitSpec) -> None:
    """Refuse counters with which scores could wrap."""
    rule, _, bits = spec.optimiser.partition("=")
    weights = spec.made.given.circuit.input_types[0]
    if rule != "counter" or not isinstance(weights, Words):
        return
    numbers = weights.count // spec.classes
    word = spec.input_bits // numbers
    largest = numbers << (FRACTION if word == 1 else word - 1)  # score of weights of 1
    needed = (largest << int(bits) - 1).bit_length() + 1
    if needed > weights.bits:
        ways = [f"--model linear:bits={needed}"] if needed <= MAX_WORD_BITS else []
        ways += [f"--optimiser counter={most}"] if (most := weights.bits - largest.bit_length()) > 1 else []
        raise UsageError(
            f"optimiser {spec.optimiser!r} does not suit: scores of {numbers} such counters could wrap in words of "
            f"{weights.bits} bits; use {' or '.join(ways) or 'another optimiser'}"
        )


FAMILY = circuit_family(
    "linear",
    _circuit,
    help="scores that are linear in the features, in fixed point; learns by gradient descent in whole numbers",
    options=(
        Option(
            name="word",
            range=(1, MAX_WORD_BITS),
            usual="16 with --binarise fixed=F, else 1",
            help="read the input as numbers of this many bits; 1: each bit is 0 or 1.0",
        ),
        Option(name="bits", default=32, range=(FRACTION + 3, MAX_WORD_BITS), help="compute in words of this many bits"),
    ),
    check=_check_counters,
    loss=f"quadratic={FRACTION}",
    optimiser=f"descent=8,{FRACTION}",
    binarise=lambda dataset: (
        f"fixed={FRACTION}" if all(c.kind == "number" and not c.missing for c in dataset.columns) else "thermometer=16"
    ),
    schedule={"epochs": 60, "shuffle": True},
    thresholds=(16, 3),
)
