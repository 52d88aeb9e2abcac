"""Class scores on wires: the prediction from them, the margin loss, and saturating counters.

Scores are one signed word per class. A label and a prediction are one-hot: bit c is set for class c.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from rdahw.errors import UsageError
from rdahw.fixed_point import divide, exponentials
from rdahw.surrogates import clip, number, shift_right
from rdahw.tracing import SwitchWire, Wire, WordWire, cat, mux
from rdahw.word_primitives import from_planes, planes

__all__ = [
    "FRACTIONS",
    "check_fraction",
    "dot",
    "largest",
    "margin",
    "one_hot_prediction",
    "quadratic",
    "saturating_sum",
    "softmax",
    "target",
]

#: The bits after the point that a number in fixed point may have.
FRACTIONS = range(33)


def largest(numbers: Sequence[Wire]) -> Wire:
    """The index of the largest unsigned number, the first on a tie, in the fewest bits that hold all indices (at least
    one). A tree of comparisons."""
    width = max(1, (len(numbers) - 1).bit_length())
    left = [(number, number.const(place, width)) for place, number in enumerate(numbers)]
    while len(left) > 1:
        pairs = zip(left[::2], left[1::2], strict=False)
        odd = left[len(left) // 2 * 2 :]
        left = [_better(a, b) for a, b in pairs] + odd
    return left[0][1]


def _better(a: tuple[Wire, Wire], b: tuple[Wire, Wire]) -> tuple[Wire, Wire]:
    first = b[0] <= a[0]
    return mux(first, a[0], b[0]), mux(first, a[1], b[1])


def one_hot_prediction(scores: WordWire) -> Wire:
    """The class of the largest score, one-hot, the lowest class on a tie."""
    return largest(_in_order(scores)).decode()[: len(scores)]


def _each(scores: WordWire) -> list[Wire]:
    """The bits of each score."""
    bits, k = scores.as_bits(), scores.type.bits
    return [bits[c * k : (c + 1) * k] for c in range(len(scores))]


def _in_order(scores: WordWire) -> list[Wire]:
    """The scores plus an offset, as unsigned numbers."""
    return [score ^ (1 << score.width - 1) for score in _each(scores)]


def target(output: SwitchWire, label: Wire) -> WordWire:
    """+1 for each switch that should be on and -1 for each other, also for those that are right: so a counter behind a
    switch goes to the side of most examples."""
    wanted = label.as_switches(output.type.bits).embed()
    return wanted + wanted - number(wanted, 1)


def margin(scores: WordWire, label: Wire, threshold: int) -> WordWire:
    """The cotangent of the scores by the margin rule.

    The rival is the class with the largest score except the label's, the lowest class on a tie. If score(label) -
    score(rival) <= threshold, also for a correct prediction, the cotangent is +1 for the label, -1 for the rival and 0
    for all others; else it is 0. Differences are computed with enough bits not to wrap.

    Raises :class:`UsageError` for the score of only one class.
    """
    if len(scores) < 2:
        raise UsageError("a margin is between the scores of two classes; expected scores of at least two")
    wanted = [label[c] for c in range(len(scores))]
    # A further top bit puts the label below every rival, even one with the lowest possible score.
    rivals = [cat(number, ~is_label) for number, is_label in zip(_in_order(scores), wanted, strict=True)]
    rival = largest(rivals).decode()[: len(scores)]
    width = max(scores.type.bits, threshold.bit_length() + 1) + 1
    signed = [cat(score, *[score[-1]] * (width - score.width)) for score in _each(scores)]
    lead_of_rival = _chosen(signed, rival).plus(threshold)[:width]
    lowest = 1 << width - 1  # its XOR makes unsigned comparison of signed numbers correct
    asks = ((_chosen(signed, label) ^ lowest) <= (lead_of_rival ^ lowest)).repeat(len(scores))
    up, down = label & asks, rival & asks
    return from_planes([up | down, *[down] * (scores.type.bits - 1)]).as_words(scores.type.bits)


def quadratic(scores: WordWire, label: Wire, fraction: int) -> WordWire:
    """The cotangent of the scores by the quadratic loss: what is missing in the probability of each class.

    Numbers have ``fraction`` bits after the point. The probability of a score s is clip(s, -1, 1) / 2 + 1/2, rounded
    down, whose derivative counts as 1 (straight through); that of the label is 1, of other classes 0. The cotangent
    (label - probability) is the negative of the loss's derivative, so that it is a direction of improvement as those
    of the other losses.

    Raises :class:`UsageError` if the words have fewer than ``fraction`` + 3 bits.
    """
    one = 1 << fraction
    return dot(scores, label, fraction) - shift_right(clip(scores, -one, one) + number(scores, one), 1)


def dot(scores: WordWire, label: Wire, fraction: int) -> WordWire:
    """The cotangent of the scores by their product with the label, which is to grow: 1 for the label, 0 for others.

    Numbers have ``fraction`` bits after the point. Raises :class:`UsageError` if the words have fewer than ``fraction``
    + 3 bits.
    """
    bits = scores.type.bits
    check_fraction(bits, fraction)
    none = label.zeros(label.width)
    return from_planes([none] * fraction + [label] + [none] * (bits - fraction - 1)).as_words(bits)


def softmax(scores: WordWire, label: Wire, fraction: int) -> WordWire:
    """The cotangent of the scores by the cross-entropy with the softmax of them: label - e^s / (sum of all e^s).

    Numbers have ``fraction`` bits after the point. Each is exact to less than one unit 2^-fraction
    (:func:`rdahw.fixed_point.exponentials`; the quotient is rounded to the nearest).

    Raises :class:`UsageError` if the words have fewer than ``fraction`` + 3 bits, and for too many bits and scores.
    """
    bits, count = scores.type.bits, len(scores)
    wanted = dot(scores, label, fraction)
    highest = reduce(lambda a, b: mux(b <= a, a, b), _in_order(scores)) ^ (1 << bits - 1)
    distances = highest.as_words(bits).repeat(count) - scores
    parts, points = exponentials(distances, fraction)
    wide = points + 1 + count.bit_length()
    whole = from_planes([*parts, *[label.zeros(count)] * (wide - len(parts))]).as_words(wide).sum(count)
    total = [plane.repeat(count) for plane in planes(whole.as_bits(), wide)]
    quotient = divide([*[label.zeros(count)] * (fraction + 1), *parts], total)[: fraction + 2]
    none = [label.zeros(count)] * bits
    share = from_planes([*quotient, *none][:bits]).as_words(bits)
    return wanted - (share + number(share, 1)).shift(1)


def check_fraction(bits: int, fraction: int) -> None:
    """Raise :class:`UsageError` unless words of so many bits have room for numbers with ``fraction`` bits after the
    point."""
    if bits < fraction + 3:
        raise UsageError(
            f"{fraction} bits after the point were asked for in words of {bits}; expected at most {bits - 3}"
        )


def _chosen(numbers: Sequence[Wire], which: Wire) -> Wire:
    """The number whose bit in the one-hot ``which`` is set."""
    parts = [number & which[i].repeat(number.width) for i, number in enumerate(numbers)]
    return cat(*parts).sum(len(parts))


def saturating_sum(counters: WordWire, request: WordWire, bits: int) -> WordWire:
    """counters + request, word by word as whole numbers, saturating at -2^(bits - 1) and 2^(bits - 1) - 1.

    Raises :class:`UsageError` if the words have fewer bits.
    """
    width = counters.type.bits
    if bits > width:
        raise UsageError(f"counters of {bits} bits were asked for in words of {width}; expected at most {width}")
    return counters.saturating_add(request, bits)
