"""Data sets: loading, converting features to bits, encoding labels."""

from rdahw.data._dataset import Column, Dataset, Examples, Schema
from rdahw.data._files import stem
from rdahw.data._load import load, read_examples
from rdahw.data._named import NAMES, Progress, Record, catalogue
from rdahw.data._target import Target
from rdahw.data.binarise import RULES, Binariser, check_rule, default_rule, fit_binariser, image_rule
from rdahw.data.labels import Code, decode, encode, label_width

__all__ = [
    "NAMES",
    "RULES",
    "Binariser",
    "Code",
    "Column",
    "Dataset",
    "Examples",
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
    "label_width",
    "load",
    "read_examples",
    "stem",
]
