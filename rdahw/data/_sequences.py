"""Data sets that are drawn at random: sequences labelled by a language (:mod:`rdahw.languages`), and windows of bits
with the next bit of a shift register."""

from __future__ import annotations

import hashlib

import numpy as np

from rdahw.data._dataset import Column, Dataset, Examples
from rdahw.data.labels import label_sets
from rdahw.languages import LANGUAGES, TAPS
from rdahw.random import stream, words

__all__ = ["STEPS", "TEST", "TRAIN", "WINDOWS", "WINDOW_TEST", "draw_sequences", "draw_windows"]

#: The length of a sequence, and the number of sequences to train on and to test on: 10,000 labels.
STEPS, TRAIN, TEST = 16, 20_000, 625

#: The number of windows to test on.
WINDOW_TEST = 10_000
#: For each data set of windows the bits of a window, and whether those to train on are a stream.
WINDOWS = {
    name: (bits, streams)
    for bits in TAPS
    for name, streams in ((f"lfsr:{bits}:windows", False), (f"lfsr:{bits}:stream", True))
}


def draw_sequences(name: str, seed: int, steps: int = STEPS) -> Dataset:
    """The data set of the language of this name. Bit t of sequence i is bit t of word i of ``stream(seed, name)``; the
    test part follows the training part. The label of an example is the set of its steps, at most 62, with label 1."""
    drawn = words(stream(seed, name), TRAIN + TEST)
    x = (drawn[:, None] >> np.arange(steps, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
    whole = Examples(x, label_sets(LANGUAGES[name].label(x)))
    return Dataset(
        name=name,
        train=whole.take(slice(0, TRAIN)),
        test=whole.take(slice(TRAIN, None)),
        label_names=tuple(f"y{t}" for t in range(steps)),
        feature_names=tuple(f"x{t}" for t in range(steps)),
        columns=(Column("binary"),) * steps,
        checksum=hashlib.sha256(x.tobytes() + whole.labels.tobytes()).hexdigest(),
        task="sequences",
    )


def draw_windows(name: str, seed: int) -> Dataset:
    """The data set of this name of :data:`WINDOWS`: examples of N bits, the oldest first, and as label the next bit of
    the shift register with the taps :data:`rdahw.languages.TAPS`.

    Window i has the lowest N bits of word i of ``stream(seed, name)``, and the test part follows the training part. In
    a stream the training part has the windows that the register writes in turn, from the first of these on that is not
    zero."""
    bits, streams = WINDOWS[name]
    drawn = (words(stream(seed, name), TRAIN + WINDOW_TEST) & np.uint64((1 << bits) - 1)).astype(np.int64)
    mask = sum(1 << tap for tap in TAPS[bits])
    if streams:
        window = int(drawn[np.flatnonzero(drawn)[0]])
        for i in range(TRAIN):
            drawn[i] = window
            window = window >> 1 | ((window & mask).bit_count() & 1) << bits - 1
    x = (drawn[:, None] >> np.arange(bits) & 1).astype(np.uint8)
    whole = Examples(x, x[:, TAPS[bits]].sum(1, dtype=np.int64) & 1)
    return Dataset(
        name=name,
        train=whole.take(slice(0, TRAIN)),
        test=whole.take(slice(TRAIN, None)),
        label_names=("0", "1"),
        feature_names=tuple(f"x{t}" for t in range(bits)),
        columns=(Column("binary"),) * bits,
        checksum=hashlib.sha256(x.tobytes() + whole.labels.tobytes()).hexdigest(),
    )
