"""The families of models, one module or package each, and those that other packages install.

Another package adds one with an entry point of the group ``rdahw.families`` that has the name of the family and refers
to its :class:`rdahw.family.Family`.
"""

from __future__ import annotations

import importlib
import os
import re
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from rdahw.errors import UsageError, nearest
from rdahw.family import Family, Spec, Task
from rdahw.given import parse_design
from rdahw.model import Model

__all__ = [
    "BUILT_IN",
    "all_families",
    "find_family",
    "is_family",
    "is_model_name",
    "make_model",
    "named_models",
    "names",
    "parse_model",
    "spec_of_widths",
]

#: The built-in families in the order in which they are listed; each is ``FAMILY`` of the module of that name here.
BUILT_IN = ("lookup", "mask", "ensemble", "grown", "layers", "linear", "boosted", "coverage", "machine", "file")

_GROUP = "rdahw.families"


def names() -> list[str]:
    """The names of all families."""
    return [*BUILT_IN, *sorted({point.name for point in entry_points(group=_GROUP)} - set(BUILT_IN))]


def is_family(name: str) -> bool:
    """Whether a family has this name; the installed packages, which takes a while to look through, are asked last."""
    return name in BUILT_IN or name in names()


@cache
def find_family(name: str) -> Family:
    """The family of this name. Raises :class:`UsageError` if there is none, or if it cannot be loaded."""
    if name in BUILT_IN:
        found: Family = importlib.import_module(f"rdahw.families.{name}").FAMILY
        return found
    for point in entry_points(group=_GROUP, name=name):
        try:
            found = point.load()
            if not isinstance(found, Family):
                raise TypeError(f"it is a {type(found).__name__} and not a rdahw.family.Family")
            if found.name != name:  # a saved model would not find it again
                raise ValueError(f"its family is named {found.name!r}, and the entry point must have the same name")
        except Exception as error:  # whatever another package's code raises
            raise UsageError(
                f"model {name!r} of {point.value!r} cannot be loaded ({type(error).__name__}: {error}); update or "
                "uninstall its package"
            ) from error
        return found
    raise UsageError(
        f"model {name!r} is unknown and not of the form FILE.py:NAME; {nearest(name, [*names(), *named_models()])}"
    )


@cache
def named_models() -> dict[str, Family]:
    """The names that stand for a model of a built-in family with options, and that family."""
    return {name: family for family in map(find_family, BUILT_IN) for name in family.named}


def all_families(*, skip_broken: bool = False) -> list[Family]:
    """All families; with ``skip_broken`` those that cannot be loaded are left out."""
    found = []
    for name in names():
        try:
            found.append(find_family(name))
        except UsageError:
            if not skip_broken:
                raise
    return found


def parse_model(text: str) -> tuple[Family, dict[str, Any]]:
    """The family and the options that ``text`` names, ``NAME[:OPTION=VALUE,…]``, ``FILE.py:NAME`` or ``FILE.v[:TOP]``.

    Raises :class:`UsageError` for an unknown name or option, and for a value out of range.
    """
    if (match := re.fullmatch(r"(?:file:source=)?(.+\.py:\w+)", text)) is not None:
        return find_family("file"), {"source": match[1]}
    if parse_design(source := text.removeprefix("file:source=")) is not None:
        return find_family("file"), {"source": source}
    name, _, rest = text.partition(":")
    if not is_family(name) and (named := _named(text)):
        family = named_models()[named]
        return family, {**family.named[named], **family.parse(text[len(named) + 1 :])}
    family = find_family(name)
    return family, family.parse(rest)


def is_model_name(text: str) -> bool:
    """Whether ``text`` names a model, rather than a file with a saved one."""
    if ".py:" in text or parse_design(text) is not None:
        return True
    return not os.path.isfile(text) and (is_family(text.partition(":")[0]) or _named(text) is not None)


def _named(text: str) -> str | None:
    """The name of :func:`named_models`, which may have a colon, in ``text``, ``NAME[:OPTION=VALUE,…]``."""
    return next((name for name in named_models() if f"{text}:".startswith(f"{name}:")), None)


def make_model(text: str, inputs: int, outputs: int, *, seed: int = 0) -> Model:
    """The circuit of the model that ``text`` names, for these numbers of input bits and of output bits (or classes).

    Raises as :func:`parse_model`, and :class:`UserError` if the model does not fit them.
    """
    return spec_of_widths(text, inputs, outputs, seed=seed).learner().model


def spec_of_widths(text: str, inputs: int, outputs: int, *, seed: int = 0) -> Spec:
    """The spec of the model that ``text`` names; see :func:`make_model`."""
    family, options = parse_model(text)
    return family.spec(Task.of_widths(inputs, outputs, seed=seed), **options)
