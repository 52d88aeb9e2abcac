"""Data sets of sequences that are drawn at random and labelled by a language (:mod:`rdahw.languages`)."""

from __future__ import annotations

import hashlib

import numpy as np

from rdahw.data._dataset import Column, Dataset, Examples
from rdahw.data.labels import label_sets
from rdahw.languages import LANGUAGES
from rdahw.random import stream, words

__all__ = ["STEPS", "TEST", "TRAIN", "draw_sequences"]

#: The length of a sequence, and the number of sequences to train on and to test on: 10,000 labels.
STEPS, TRAIN, TEST = 16, 20_000, 625


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
