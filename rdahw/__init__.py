"""Learn Boolean circuits from data by reverse derivative ascent, in software and on the FPGA.

The public names below are loaded at first use, so that ``import rdahw`` loads neither numpy nor anything else.
The layers are ``rdahw.sim``, ``rdahw.hdl``, ``rdahw.boards`` and ``rdahw.cli``; ``docs/layout.md`` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the table below, for type checkers and editors; a test compares the two
    from rdahw.errors import InternalError as InternalError
    from rdahw.errors import MissingError as MissingError
    from rdahw.errors import UsageError as UsageError
    from rdahw.errors import UserError as UserError

    __version__: str

_HOME = {
    "InternalError": "rdahw.errors",
    "MissingError": "rdahw.errors",
    "UsageError": "rdahw.errors",
    "UserError": "rdahw.errors",
}  # public name: the module that defines it

__all__ = ["__version__", *_HOME]

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would accept any name

    def __getattr__(name):
        """Load a public name at its first use (PEP 562)."""
        import importlib
        import importlib.metadata
        import sys

        if name == "__version__":
            value = importlib.metadata.version("rdahw")
        elif name in _HOME:
            value = getattr(importlib.import_module(_HOME[name]), name)
        else:
            raise AttributeError(f"module 'rdahw' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
