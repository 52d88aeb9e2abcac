"""The compiled kernels of :mod:`rdahw.sim.layers`, equal to the rule of :mod:`rdahw.families.layers.rule`.

Arrays: words (N, W) uint64, the examples packed by wires; columns (A, V) uint64, packed by examples; read (tables, most
inputs) int32, the values that each table reads, numbered input bits first, then tables, then one that is always 0;
layers (3, layers + 1) int64, of each layer its first table, its inputs and its first counter, then the numbers of
tables and counters; counters int8, flat. A layer that is run again is one more layer, with other numbers for its tables
and the same counters. Sizes are Python integers. Numba infers the types, so none are written here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rdahw.sim.jit import compiled, inner

__all__ = ["classify_row", "score_words", "train_examples"]

#: How many words of 64 examples are evaluated together.
_LANES = 8
#: The most bits of a count of votes.
_DIGITS = 21


@compiled()
def train_examples(
    words: Any, rows: Any, ends: Any, labels: Any, read: Any, layers: Any, counters: Any, bits: Any, classes: Any,
    margin: Any, noise: Any, cotangents: Any, forward: Any, frozen: Any, limit: Any, low: Any, high: Any, register: Any,
    predictions: Any, asked: Any,
) -> Any:  # fmt: skip
    """Train on the examples ``rows`` (n,) of labels (N,), in batches that end before ``ends`` (U,); returns the state
    of the noise's register.

    bits: of an example; cotangents: 0 for signs, 1 for sums, limited to ``limit``, 2 for XOR; forward: how many
    directions; frozen: so many of the first layers do not learn; low and high: the range of a counter. Writes counters,
    predictions (n,) and asked (n,).
    """
    depth, tables = layers.shape[1] - 1, len(read)
    values, requests = np.zeros(bits + tables + 1, np.uint8), np.zeros(bits + tables + 1, np.int64)
    places, shifts, scores = np.zeros(tables, np.int64), np.zeros(tables, np.int64), np.zeros(classes, np.int64)
    last = layers[0, depth - 1]
    # In batches: the requests for each counter, and the counters that had one. Those of a lone example are applied at
    # once if no layer is run again, as then no counter gets two.
    largest, before = 1, 0
    for end in ends:
        largest, before = max(largest, end - before), end
    summed = largest > 1 or layers[2, 0] == layers[2, 1]
    totals, touched = np.zeros(counters.size if summed else 0, np.int64), np.zeros(largest * tables, np.int64)
    batch = count = 0
    for n in range(rows.size):
        example = words[rows[n]]
        for w in range(bits):
            values[w] = (example[w >> 6] >> np.uint64(w & 63)) & np.uint64(1)
        register = _forward(values, read, layers, counters, bits, noise, register, shifts, places)
        target = labels[rows[n]]
        rival, lead = _decide(values[bits + last : bits + tables], target, scores)
        predictions[n] = target if lead > 0 or (lead == 0 and target < rival) else rival
        asked[n] = lead <= margin
        if asked[n]:
            requests[:] = 0
            requests[bits + last + target : bits + tables : classes] = 1
            requests[bits + last + rival : bits + tables : classes] = -1
            if cotangents == 2:
                for j in range(bits + last, bits + tables):
                    requests[j] *= (requests[j] > 0) != values[j]
            if forward:
                register = _forward_requests(
                    requests, read, layers, counters, bits, forward, frozen, limit, register, shifts, places
                )
            for layer in range(depth - 1, frozen - 1, -1):
                passes = layer > frozen and not forward
                inputs, size = layers[1, layer], np.int64(1) << layers[1, layer]
                for j in range(layers[0, layer], layers[0, layer + 1]):
                    dy = requests[bits + j]
                    if cotangents == 2:
                        dy &= 1
                    else:
                        dy = min(limit, max(-limit, dy))
                        if cotangents == 0:
                            dy = np.int64(dy > 0) - np.int64(dy < 0)
                    if dy == 0:
                        continue
                    place = places[j]
                    if passes:
                        index = (place - layers[2, layer]) & (size - 1)
                        first, shift = place - index, shifts[j]
                        for i in range(inputs):
                            one = counters[first + (index | (1 << i))] + shift >= 0
                            zero = counters[first + (index & ~(1 << i))] + shift >= 0
                            requests[read[j, i]] += dy * (np.int64(one) - np.int64(zero))
                    if not summed:
                        counters[place] = _counted(np.int64(counters[place]), dy, cotangents, low, high)
                    else:
                        totals[place] += dy
                        touched[count] = place
                        count += 1
        if n + 1 == ends[batch]:
            batch += 1
            for t in range(count):
                place = touched[t]
                counters[place] = _counted(np.int64(counters[place]), totals[place], cotangents, low, high)
                totals[place] = 0
            count = 0
    return register


@inner
def _counted(counter: Any, request: Any, cotangents: Any, low: Any, high: Any) -> Any:
    """A counter after the requests for its bit."""
    if cotangents == 2:
        request = (request & 1) * (-1 if counter >= 0 else 1)
    return min(high, max(low, counter + np.int64(request > 0) - np.int64(request < 0)))


@inner
def _forward_requests(
    requests: Any, read: Any, layers: Any, counters: Any, bits: Any, forward: Any, frozen: Any, limit: Any,
    register: Any, shifts: Any, places: Any,
) -> Any:  # fmt: skip
    """Write the requests of forward gradients for the tables below the last layer, from those for the last one; returns
    the state of the noise's register."""
    depth, tables = layers.shape[1] - 1, len(read)
    last, learning = layers[0, depth - 1], layers[0, frozen]
    signs, totals, tangents = np.zeros(tables, np.int64), np.zeros(last, np.int64), np.zeros(bits + tables, np.int64)
    for _ in range(forward):
        for j in range(last):
            new = (register ^ (register >> np.uint64(31))) & np.uint64(1)
            register = (register >> np.uint64(1)) | (new << np.uint64(62))
            signs[j] = 2 * np.int64(new) - 1 if j >= learning else 0
        for layer in range(depth):
            inputs, size = layers[1, layer], np.int64(1) << layers[1, layer]
            for j in range(layers[0, layer], layers[0, layer + 1]):
                index = (places[j] - layers[2, layer]) & (size - 1)
                first, tangent = places[j] - index, signs[j]
                if layer:
                    for i in range(inputs):
                        one = counters[first + (index | (1 << i))] + shifts[j] >= 0
                        zero = counters[first + (index & ~(1 << i))] + shifts[j] >= 0
                        tangent += (np.int64(one) - np.int64(zero)) * tangents[read[j, i]]
                tangents[bits + j] = min(limit, max(-limit, tangent))
        along = np.int64(0)
        for j in range(last, tables):
            along += requests[bits + j] * tangents[bits + j]
        for j in range(last):
            totals[j] += along * signs[j]
    requests[bits : bits + last] = totals
    return register


@inner
def _forward(
    values: Any, read: Any, layers: Any, counters: Any, bits: Any, noise: Any, register: Any, shifts: Any, places: Any
) -> Any:
    """Write the outputs of all tables to values, after the input bits, and where each finds its counter to places;
    returns the state of the noise's register, and writes the noise of each table to shifts."""
    half, taken = (1 << noise) >> 1, np.uint64(noise)
    mask = np.uint64((1 << noise) - 1)
    for layer in range(layers.shape[1] - 1):
        inputs, start, cell = layers[1, layer], layers[0, layer], layers[2, layer]
        for j in range(start, layers[0, layer + 1]):
            index = np.int64(0)
            for i in range(inputs):
                index |= np.int64(values[read[j, i]]) << i
            places[j] = cell + ((j - start) << inputs) + index
            if noise:
                new = (register ^ (register >> np.uint64(31))) & mask
                register = (register >> taken) | (new << (np.uint64(63) - taken))
                shifts[j] = np.int64(new) - half
            values[bits + j] = counters[places[j]] + shifts[j] >= 0
    return register


@inner
def _decide(outputs: Any, target: Any, scores: Any) -> Any:
    """The rival of class ``target`` by the outputs of the last layer, and how far the class is ahead of it."""
    classes = scores.size
    scores[:] = 0
    c = 0
    for j in range(outputs.size):
        scores[c] += outputs[j]
        c = c + 1 if c + 1 < classes else 0
    rival: Any = np.int64(target == 0)
    for c in range(rival + 1, classes):
        if c != target and scores[c] > scores[rival]:
            rival = c
    return rival, scores[target] - scores[rival]


@compiled()
def classify_row(example: Any, read: Any, layers: Any, counters: Any, classes: Any) -> Any:
    """The class of one example (A,) uint8."""
    bits, tables = example.size, len(read)
    values, scores = np.zeros(bits + tables + 1, np.uint8), np.empty(classes, np.int64)
    values[:bits] = example
    shifts, places = np.zeros(tables, np.int64), np.empty(tables, np.int64)
    _forward(values, read, layers, counters, bits, 0, np.uint64(0), shifts, places)
    rival, lead = _decide(values[bits + layers[0, layers.shape[1] - 2] : bits + tables], 0, scores)
    return 0 if lead >= 0 else rival


@compiled()
def score_words(columns: Any, read: Any, layers: Any, counters: Any, classes: Any, scores: Any) -> None:
    """Write the scores (64 V, classes) of all examples."""
    bits, depth = len(columns), layers.shape[1] - 1
    values = np.zeros((bits + len(read) + 1, _LANES), np.uint64)
    cells, x = np.empty((256, _LANES), np.uint64), np.empty(_LANES, np.uint64)
    counts = np.empty((classes, _DIGITS, _LANES), np.uint64)
    every, none = ~np.uint64(0), np.uint64(0)
    for start in range(0, columns.shape[1], _LANES):
        lanes = min(_LANES, columns.shape[1] - start)
        values[:bits, :lanes] = columns[:, start : start + lanes]
        counts[:] = 0
        for layer in range(depth):
            inputs, first = layers[1, layer], layers[0, layer]
            size = np.int64(1) << inputs
            for j in range(first, layers[0, layer + 1]):
                cell = layers[2, layer] + ((j - first) << inputs)
                # By input 0 from the table's bits, then by the other inputs, each time half as many words.
                x[:] = values[read[j, 0]]
                for a in range(size >> 1):
                    zero = every if counters[cell + 2 * a] >= 0 else none
                    one = every if counters[cell + 2 * a + 1] >= 0 else none
                    for v in range(_LANES):
                        cells[a, v] = zero ^ ((zero ^ one) & x[v])
                for i in range(1, inputs):
                    x[:] = values[read[j, i]]
                    for a in range(size >> (i + 1)):
                        for v in range(_LANES):
                            cells[a, v] = cells[2 * a, v] ^ ((cells[2 * a, v] ^ cells[2 * a + 1, v]) & x[v])
                values[bits + j] = cells[0]
                if layer == depth - 1:
                    _count(counts[(j - first) % classes], cells[0])
        for c in range(classes):
            for v in range(lanes):
                for e in range(64):
                    total = np.int64(0)
                    for p in range(_DIGITS):
                        total |= np.int64((counts[c, p, v] >> np.uint64(e)) & np.uint64(1)) << p
                    scores[64 * (start + v) + e, c] = total


@inner
def _count(digits: Any, ones: Any) -> None:
    """Add the words ``ones`` (lanes,) to counts in binary, digits (digits, lanes); ``ones`` is lost."""
    for p in range(len(digits)):
        left = np.uint64(0)
        for v in range(ones.size):
            carry = digits[p, v] & ones[v]
            digits[p, v] ^= ones[v]
            ones[v] = carry
            left |= carry
        if left == 0:
            return
