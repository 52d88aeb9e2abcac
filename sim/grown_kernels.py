"""The compiled kernels of growth; :mod:`rdahw.sim.grown` calls them.

What they compute is defined in :mod:`rdahw.families.grown.rule` and, for tables that vote for every class, in
:mod:`rdahw.families.grown.votes`.

Arrays: rows (N, W) uint64, the examples packed by wires; columns (A, V) uint64, the same packed by examples; labels
(N,) int64; bits (n, K or more) int8, candidate k of sampled example i as 0 or -1, so that it masks a request: working
memory. Sums are taken in 16 bits, for all candidates at once, and moved to 32 bits after every ``block`` examples,
before they can overflow. Types are numba's business, so none are written here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.families.grown.votes import GAIN_BITS
from rdahw.sim.jit import compiled, inner, popcount
from rdahw.sim.word_vectors import LANES, above, half_add, select_words, spread_word

__all__ = [
    "add_tables",
    "add_votes",
    "ask",
    "choose_bits",
    "choose_votes",
    "classify_row",
    "find_asking",
    "list_rivalled",
    "pick_wires",
    "request_votes",
]

#: So many examples ask at once.
_BLOCK = 4096
#: Up to so many input bits for each candidate all of them are spread.
_SPREAD = 8
#: The bits of the numbers in which the tables of a class are counted.
_LEVELS = 7


@compiled()
def ask(scores: Any, labels: Any, threshold: Any, asking: Any, weights: Any, alone: Any, counts: Any) -> None:
    """Write to weights (N,) int16 how many rivals an example has, and to asking (classes, N or more) uint8 which
    examples have a request for a class: their own if they have a rival, and those of the rivals.

    To counts (2,): how many of the first ``alone`` examples have another class of the largest score, the lowest on a
    tie, than their label, and how many of them have a rival. scores: (classes, N or more) int16; labels: (N,) int16.
    """
    classes, examples = asking.shape[0], labels.size
    own, least = np.empty(_BLOCK, np.int16), np.empty(_BLOCK, np.int16)
    label, near, behind = np.empty(_BLOCK, np.int16), np.empty(_BLOCK, np.int16), np.empty(_BLOCK, np.uint8)
    wrong, rivalled, ahead = 0, 0, np.int16(threshold)
    # Loops without branches over 16 bits, which LLVM vectorises, on blocks that stay in the cache.
    for start in range(0, examples, _BLOCK):
        count = min(_BLOCK, examples - start)
        for i in range(count):
            label[i], near[i], behind[i] = labels[start + i], -1, 0  # since its own class is counted below
        for c in range(classes):
            row, this = scores[c, start : start + count], np.int16(c)
            for i in range(count):
                score, before = row[i], own[i]
                own[i] = score if label[i] == this else before
        for i in range(count):
            least[i] = own[i] - ahead
        for c in range(classes):
            row, out, this = scores[c, start : start + count], asking[c, start : start + count], np.int16(c)
            for i in range(count):
                out[i] = least[i] <= row[i]
                near[i] += least[i] <= row[i]
                behind[i] |= (row[i] > own[i]) | ((row[i] == own[i]) & (this < label[i]))
        for c in range(classes):
            out, this = asking[c, start : start + count], np.int16(c)
            for i in range(count):
                out[i] &= (label[i] != this) | (near[i] > 0)
        for i in range(count):
            weights[start + i] = near[i]
        for i in range(min(count, alone - start)):
            wrong += behind[i]
            rivalled += near[i] > 0
    counts[0], counts[1] = wrong, rivalled


@compiled()
def find_asking(asking: Any, places: Any, found: Any) -> None:
    """Write to found (n,) which examples are number ``places`` (n,), which rise, among those that ask.

    asking: (N,) uint8, 0 or 1, for a multiple of 64 examples.
    """
    i, zeros = 0, np.zeros(64, np.uint8)
    before: Any = 0
    for start in range(0, asking.size, 64):
        word = above(asking, start, zeros, 0)
        after = before + np.int64(popcount(word))
        while i < places.size and places[i] < after:
            for _ in range(places[i] - before):  # take its lowest one away
                word &= word - np.uint64(1)
            found[i] = start + np.int64(popcount(~word & (word - np.uint64(1))))
            before = places[i]
            i += 1
        before = after


@inner
def _cell(row: Any, wires: Any) -> Any:
    """The index into a table that reads ``wires``."""
    cell = np.int64(0)
    for j in range(wires.size):
        cell |= np.int64((row[wires[j] >> 6] >> np.uint64(wires[j] & 63)) & np.uint64(1)) << j
    return cell


@inner
def _pick_bits(rows: Any, chosen: Any, candidates: Any, bits: Any) -> None:
    """Write the candidates' bits of the examples ``chosen``, and 0 for the lanes after them."""
    words = rows.shape[1]
    is_spread, are_all = 64 * words <= _SPREAD * candidates.size, candidates[-1] == candidates.size - 1
    spread = np.empty(64 * words, np.int8)
    for i in range(chosen.size):
        row, out = rows[chosen[i]], bits[i]
        if is_spread:
            for w in range(words):
                spread_word(row[w], spread, 64 * w)
            if are_all:
                for k in range(candidates.size):
                    out[k] = spread[k]
            else:
                for k in range(candidates.size):
                    out[k] = spread[np.uint64(candidates[k])]
        else:
            for k in range(candidates.size):
                wire = candidates[k]
                out[k] = -np.int8((row[wire >> 6] >> np.uint64(wire & 63)) & np.uint64(1))
        for k in range(candidates.size, bits.shape[1]):
            out[k] = 0


@compiled()
def pick_wires(rows: Any, chosen: Any, wires: Any, picked: Any) -> None:
    """Set bit k of example i of picked (n, words), which is 0, to bit ``wires[k]`` of ``rows[chosen[i]]``."""
    for i in range(chosen.size):
        row, out = rows[chosen[i]], picked[i]
        for k in range(wires.size):
            bit = (row[wires[k] >> 6] >> np.uint64(wires[k] & 63)) & np.uint64(1)
            out[k >> 6] |= bit << np.uint64(k & 63)


@inner
def _add_input(cells: Any, bits: Any, k: Any, place: Any) -> None:
    """Candidate ``k`` becomes input ``place``, whose bit in ``cells`` is 0."""
    for i in range(cells.size):
        cells[i] |= np.int64(bits[i, k] & 1) << place


@inner
def _without(cells: Any, place: Any) -> Any:
    """The cells of the other inputs alone."""
    low = (1 << place) - 1
    return (cells & low) | ((cells >> 1) & ~low)


@inner
def _largest(values: Any, taken: Any, used: Any) -> Any:
    """The place of the largest value, the first on a tie, but for those of ``taken[:used]``."""
    for i in range(used):
        values[taken[i]] = -1
    best = 0
    for k in range(values.size):
        if values[k] > values[best]:
            best = k
    return best


# -- tables of one bit -------------------------------------------------------------------------------------------------


@inner
def _sums(bits: Any, requests: Any, cells: Any, count: Any, block: Any, short: Any, sums: Any, totals: Any) -> None:
    """The sum of the requests of each cell: of all examples to totals (cells,), of those with candidate k set to sums
    (cells, K). Sums of ``block`` examples fit into 16 bits."""
    size, lanes = count, bits.shape[1]
    for a in range(size):
        totals[a] = 0
        for k in range(lanes):
            sums[a, k] = 0
    for start in range(0, cells.size, block):
        for a in range(size):
            for k in range(lanes):
                short[a, k] = 0
        for i in range(start, min(cells.size, start + block)):
            a, request = cells[i], requests[i]
            totals[a] += request
            row, out = bits[i], short[a]
            for k in range(lanes):
                out[k] += request & row[k]
        for a in range(size):
            for k in range(lanes):
                sums[a, k] += short[a, k]


@inner
def _bit_gains(
    bits: Any, requests: Any, cells: Any, count: Any, block: Any, short: Any, sums: Any, totals: Any, gains: Any
) -> None:
    """The gain of each candidate as one more input to those that cut the examples into ``count`` cells."""
    _sums(bits, requests, cells, count, block, short, sums, totals)
    for k in range(gains.size):
        gains[k] = 0
    for a in range(count):
        total, row = totals[a], sums[a]
        for k in range(gains.size):
            gains[k] += abs(row[k]) + abs(total - row[k])


@compiled()
def choose_bits(
    rows: Any,
    chosen: Any,
    requests: Any,
    candidates: Any,
    refinements: Any,
    block: Any,
    bits: Any,
    taken: Any,
    table: Any,
) -> None:
    """Choose inputs by the examples ``chosen`` (n,) and their ``requests`` (n,) int16: the place of each in
    ``candidates`` (K,) goes to taken (inputs,), and the bit at each index to table (2^inputs,)."""
    inputs, lanes = taken.size, bits.shape[1]
    _pick_bits(rows, chosen, candidates, bits)
    most = 1 << (inputs - 1)
    short, sums = np.empty((most, lanes), np.int16), np.empty((most, lanes), np.int32)
    totals, cells = np.empty(most, np.int32), np.zeros(chosen.size, np.int64)
    gains = np.empty(candidates.size, np.int32)
    gain = 0
    for used in range(inputs):
        _bit_gains(bits, requests, cells, 1 << used, block, short, sums, totals, gains)
        taken[used] = _largest(gains, taken, used)
        gain = gains[taken[used]]
        _add_input(cells, bits, taken[used], used)
    kept = 0
    for step in range(refinements):
        place = step % inputs
        _bit_gains(bits, requests, _without(cells, place), most, block, short, sums, totals, gains)
        best = _largest(gains, taken, inputs)
        kept += 1
        if gains[best] > gain:
            taken[place], gain, kept = best, gains[best], 1
            cells &= ~(1 << place)
            _add_input(cells, bits, best, place)
        if kept == inputs:  # no input can be replaced
            break
    cell_sums = np.zeros(2 * most, np.int64)
    for i in range(cells.size):
        cell_sums[cells[i]] += requests[i]
    for a in range(2 * most):
        table[a] = cells.size > 0 and cell_sums[a] >= 0


@inner
def _add_counts(counts: Any, levels: Any, scores: Any, start: Any, lanes: Any) -> None:
    """Add numbers to scores[64 * start:], and set them to 0; bit p of number 64 * v + i is bit i of counts[p, v]."""
    for v in range(lanes):
        at = 64 * (start + v)
        for p in range(levels):
            word, weight = counts[p, v], np.uint64(p)
            for i in range(64):
                scores[at + i] += np.int16(((word >> np.uint64(i)) & np.uint64(1)) << weight)
    for p in range(levels):
        for v in range(LANES):
            counts[p, v] = 0


@inner
def _functions(a: Any, b: Any, out: Any) -> None:
    """The 16 functions of two bits; bit i of the number of one is its value where a + 2 b is i. out: (16, LANES)."""
    for v in range(LANES):
        out[1, v], out[2, v], out[4, v], out[8, v] = ~(a[v] | b[v]), a[v] & ~b[v], b[v] & ~a[v], a[v] & b[v]
        for n in range(3, 16):
            if n & (n - 1):
                out[n, v] = out[n & (n - 1), v] | out[n & -n, v]


@compiled()
def add_tables(columns: Any, wiring: Any, tables: Any, first: Any, last: Any, scores: Any) -> None:
    """Add the bits of the tables ``first`` to ``last`` - 1 to the scores (classes, 64 V) of their classes.

    wiring: (tables, inputs); tables: (tables, 2^inputs). The bits of a class are counted in words, bit by bit.
    """
    classes, inputs, size = scores.shape[0], wiring.shape[1], tables.shape[1]
    fours = max(size >> 2, 1)
    quarters = np.zeros((last - first, fours), np.int64)  # each four bits of a table as the number of a function
    for j in range(first, last):
        for a in range(4 * fours):
            quarters[j - first, a >> 2] |= np.int64(tables[j, a & (size - 1)]) << (a & 3)
    x, functions = np.zeros((max(inputs, 2), LANES), np.uint64), np.zeros((16, LANES), np.uint64)
    values, counts = np.zeros((fours, LANES), np.uint64), np.zeros((_LEVELS, LANES), np.uint64)
    for start in range(0, columns.shape[1], LANES):
        lanes = min(LANES, columns.shape[1] - start)
        for c in range(classes):
            count, levels = 0, 0
            for j in range(first + (c - first) % classes, last, classes):
                for i in range(x.shape[0]):
                    column = columns[wiring[j, min(i, inputs - 1)]]
                    if lanes == LANES:
                        for v in range(LANES):
                            x[i, v] = column[start + v]
                    else:
                        for v in range(lanes):
                            x[i, v] = column[start + v]
                _functions(x[0], x[1], functions)
                half = fours
                for q in range(half):
                    at = LANES * quarters[j - first, q]
                    select_words(functions, at, functions, at, x, 0, values, LANES * q)
                for i in range(2, inputs):
                    half >>= 1
                    for a in range(half):
                        at = 2 * LANES * a
                        select_words(values, at, values, at + LANES, x, LANES * i, values, LANES * a)
                count += 1
                levels += count >> levels
                for p in range(levels):
                    half_add(counts, LANES * p, values, 0)
                if count == (1 << _LEVELS) - 1:
                    _add_counts(counts, levels, scores[c], start, lanes)
                    count, levels = 0, 0
            _add_counts(counts, levels, scores[c], start, lanes)


@compiled()
def classify_row(bits: Any, wiring: Any, tables: Any, grown: Any, classes: Any) -> Any:
    """The class of one example, bits (A,) uint8, by the first ``grown`` tables."""
    scores = np.zeros(classes, np.int64)
    c = 0
    for j in range(grown):
        index = np.uint64(0)
        for i in range(wiring.shape[1]):  # unsigned, as numba looks whether a signed index is below zero
            index |= np.uint64(bits[np.uint32(wiring[j, i])]) << np.uint64(i)
        scores[c] += tables[j, index]
        c = c + 1 if c + 1 < classes else 0
    best = 0
    for c in range(1, classes):
        if scores[c] > scores[best]:
            best = c
    return best


# -- tables of votes ---------------------------------------------------------------------------------------------------


@compiled()
def list_rivalled(scores: Any, labels: Any, threshold: Any, alone: Any, asking: Any, counts: Any) -> None:
    """Write the examples with a rival to asking (N,), and how many they are to ``counts[0]``; scores: (N, classes).

    To ``counts[1]`` and ``counts[2]``: how many of the first ``alone`` examples are predicted wrongly and have a rival.
    """
    n, wrong, rivalled = 0, 0, 0
    for e in range(labels.size):
        label = labels[e]
        own, near, above = scores[e, label], -1, 0  # its own class is near too
        for c in range(scores.shape[1]):
            near += own - threshold <= scores[e, c]
            above += own - (c < label) < scores[e, c]
        if near:
            asking[n] = e
            n += 1
        if e < alone:
            wrong += above > 0
            rivalled = n
    counts[0], counts[1], counts[2] = n, wrong, rivalled


@inner
def _vote_gains(
    bits: Any, requests: Any, cells: Any, count: Any, block: Any, short: Any, sums: Any, totals: Any, gains: Any
) -> None:
    """As :func:`_bit_gains`, for requests (n, classes + 1), the last of which is 1; totals: (cells, classes + 1)."""
    kinds, lanes = requests.shape[1], bits.shape[1]
    totals[:count] = 0
    sums[:count] = 0
    for start in range(0, cells.size, block):
        short[:count] = 0
        for i in range(start, min(cells.size, start + block)):
            row = bits[i]
            for c in range(kinds):
                request = requests[i, c]
                if request:
                    totals[cells[i], c] += request
                    out = short[cells[i], c]
                    for k in range(lanes):
                        out[k] += request & row[k]
        for a in range(count):
            for c in range(kinds):
                for k in range(lanes):
                    sums[a, c, k] += short[a, c, k]
    for k in range(gains.size):
        gains[k] = 0
    for a in range(count):
        for k in range(gains.size):
            ones, zeros = np.int64(0), np.int64(0)
            for c in range(kinds - 1):
                one = np.int64(sums[a, c, k])
                zero = totals[a, c] - one
                ones += one * one
                zeros += zero * zero
            n = np.int64(sums[a, kinds - 1, k])
            gains[k] += (ones << GAIN_BITS) // (n + 2) + (zeros << GAIN_BITS) // (totals[a, kinds - 1] - n + 2)


@compiled()
def request_votes(scores: Any, labels: Any, threshold: Any, chosen: Any, requests: Any) -> None:
    """Write the requests of the examples ``chosen`` (n,) for each class, and after them a 1, to requests (n,
    classes + 1) int16. scores: (N, classes)."""
    classes = scores.shape[1]
    requests[:] = 0
    for i in range(chosen.size):
        label = labels[chosen[i]]
        row, own = scores[chosen[i]], scores[chosen[i], label] - threshold
        for c in range(classes):
            if own <= row[c] and c != label:
                requests[i, c] = -1
                requests[i, label] += 1
        requests[i, classes] = 1


@compiled()
def choose_votes(
    rows: Any,
    chosen: Any,
    requests: Any,
    candidates: Any,
    refinements: Any,
    scale: Any,
    low: Any,
    high: Any,
    bits: Any,
    taken: Any,
    votes: Any,
) -> None:
    """Choose inputs by the examples ``chosen`` (n,) and their ``requests`` (n, classes + 1) of :func:`request_votes`:
    the place of each in ``candidates`` (K,) goes to taken (inputs,), and the votes to votes (2^inputs, classes) int8.
    """
    inputs, lanes, classes = taken.size, bits.shape[1], votes.shape[1]
    _pick_bits(rows, chosen, candidates, bits)
    most, block = 1 << (inputs - 1), 32767 // max(1, classes - 1)
    short, sums = np.empty((most, classes + 1, lanes), np.int16), np.empty((most, classes + 1, lanes), np.int32)
    totals, cells = np.empty((2 * most, classes + 1), np.int64), np.zeros(chosen.size, np.int64)
    gains, gain = np.empty(candidates.size, np.int64), np.int64(0)
    for used in range(inputs):
        _vote_gains(bits, requests, cells, 1 << used, block, short, sums, totals, gains)
        taken[used] = _largest(gains, taken, used)
        gain = gains[taken[used]]
        _add_input(cells, bits, taken[used], used)
    kept = 0
    for step in range(refinements):
        place = step % inputs
        _vote_gains(bits, requests, _without(cells, place), most, block, short, sums, totals, gains)
        best = _largest(gains, taken, inputs)
        kept += 1
        if gains[best] > gain:
            taken[place], gain, kept = best, gains[best], 1
            cells &= ~(1 << place)
            _add_input(cells, bits, best, place)
        if kept == inputs:  # no input can be replaced
            break
    totals[:] = 0
    for i in range(cells.size):
        for c in range(classes + 1):
            totals[cells[i], c] += requests[i, c]
    for a in range(2 * most):
        divisor = totals[a, classes] + 2
        for c in range(classes):
            votes[a, c] = min(max((2 * scale * totals[a, c] + divisor) // (2 * divisor), low), high)


@compiled()
def add_votes(rows: Any, wires: Any, votes: Any, scores: Any) -> None:
    """Add the votes (2^inputs, classes) of a table to the scores (N, classes) int32."""
    for e in range(rows.shape[0]):
        row, out = votes[_cell(rows[e], wires)], scores[e]
        for c in range(out.size):
            out[c] += row[c]
