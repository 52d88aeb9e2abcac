"""A family of another package: for each class a stored pattern of bits, and the nearest one by Hamming distance wins.

Pattern bit i of class c is the sign of a counter, word ``i * classes + c`` of the parameters. The score of a class is
the input's width less twice its Hamming distance, so that all that learns is the counters behind the signs.
"""

from __future__ import annotations

from rdahw import Bits, Circuit, Words, custom_reverse, trace
from rdahw.families.circuits import circuit_family
from rdahw.family import Option, Task
from rdahw.tracing import Wire, WordWire, constant
from rdahw.word_primitives import from_planes, planes


def nearest_pattern(task: Task, counter: int) -> Circuit:
    """``f : P × A → B``: a score for each class."""
    n, classes = task.input_bits, task.classes
    bits = max(counter, n.bit_length() + 2)
    stored = Words(n * classes, bits)

    def signs(v: WordWire) -> WordWire:  # 1 where a counter is not negative, else -1
        negative = planes(v.as_bits(), bits)[-1]
        return from_planes([negative | ~negative, *[negative] * (bits - 1)]).as_words(bits)

    through = trace(lambda v, dy: dy, v=stored, dy=stored)
    pattern = custom_reverse(trace(signs, v=stored), through, name="signs", exact=False)

    def scores(theta: WordWire, x: Wire) -> WordWire:
        each = x.gather(i for i in range(n) for _ in range(classes))
        votes, minus = pattern(theta), constant(theta.builder, (1 << stored.width) - 1, stored)
        return (votes.mask(each) + votes.mask(~each) * minus).sum(n)

    return trace(scores, theta=stored, x=Bits(n))


FAMILY = circuit_family(
    "nearest-pattern",
    nearest_pattern,
    help="a stored pattern of bits for each class; the nearest by Hamming distance wins",
    options=(Option(name="counter", default=5, range=(2, 8), help="count with this many bits"),),
    loss="margin=2",
    optimiser="counter=5",
    schedule={"epochs": 5, "shuffle": True},
)
