"""Data sets: loading, converting features to bits, encoding labels."""

from rdahw.data._dataset import LABELS, Column, Dataset, Examples, FileRows, Schema
from rdahw.data._files import stem
from rdahw.data._load import load, read_examples, task_of
from rdahw.data._named import DRAWN, NAMES, Progress, Record, catalogue
from rdahw.data._target import USUAL_STEPS, Target
from rdahw.data.binarise import RULES, Binariser, check_rule, default_rule, fit_binariser, image_rule
from rdahw.data.labels import (
    DECISIONS,
    MAX_LABELS,
    NORMAL,
    Code,
    decode,
    encode,
    label_sets,
    label_width,
    members_of_sets,
)

__all__ = [
    "DECISIONS",
    "DRAWN",
    "LABELS",
    "MAX_LABELS",
    "NAMES",
    "NORMAL",
    "RULES",
    "USUAL_STEPS",
    "Binariser",
    "Code",
    "Column",
    "Dataset",
    "Examples",
    "FileRows",
    "Progress",
    "Record",
    "Schema",
    "Target",
    "catalogue",
    "check_rule",
    "decode",
    "default_rule",
    "encode",
    "fit_binariser",
    "image_rule",
    "label_sets",
    "label_width",
    "load",
    "members_of_sets",
    "read_examples",
    "stem",
    "task_of",
]
