"""Learn Boolean circuits from data by reverse derivative ascent, in software and on the FPGA.

The public names below are loaded at first use, so that ``import rdahw`` loads neither numpy nor anything else.
The layers are ``rdahw.sim``, ``rdahw.hdl``, ``rdahw.boards`` and ``rdahw.cli``; ``docs/layout.md`` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the table below, for type checkers and editors; a test compares the two
    from rdahw.circuit import Circuit as Circuit
    from rdahw.custom import custom_reverse as custom_reverse
    from rdahw.derivative import boolean_difference as boolean_difference
    from rdahw.derivative import forward_derivative as forward_derivative
    from rdahw.derivative import forward_request as forward_request
    from rdahw.derivative import reverse as reverse
    from rdahw.drift import DriftAlarm as DriftAlarm
    from rdahw.errors import InternalError as InternalError
    from rdahw.errors import MissingError as MissingError
    from rdahw.errors import UsageError as UsageError
    from rdahw.errors import UserError as UserError
    from rdahw.families import make_model as make_model
    from rdahw.families.lookup import lookup_model as lookup_model
    from rdahw.families.mask import mask_model as mask_model
    from rdahw.hdl.reader import read_circuit as read_circuit
    from rdahw.learner import Learner as Learner
    from rdahw.machine import Machine as Machine
    from rdahw.machine import trace_machine as trace_machine
    from rdahw.machine import unroll as unroll
    from rdahw.model import Model as Model
    from rdahw.safety import is_safe as is_safe
    from rdahw.sim.estimator import RDAClassifier as RDAClassifier
    from rdahw.sim.outliers import RDAOutlierDetector as RDAOutlierDetector
    from rdahw.sim.regressor import RDARegressor as RDARegressor
    from rdahw.sim.tree_imports import from_lightgbm as from_lightgbm
    from rdahw.sim.tree_imports import from_sklearn as from_sklearn
    from rdahw.sim.tree_imports import from_xgboost as from_xgboost
    from rdahw.tracing import Wire as Wire
    from rdahw.tracing import cat as cat
    from rdahw.tracing import equal as equal
    from rdahw.tracing import mux as mux
    from rdahw.tracing import trace as trace
    from rdahw.transform import expand as expand
    from rdahw.types import Bits as Bits
    from rdahw.types import Scalars as Scalars
    from rdahw.types import Switches as Switches
    from rdahw.types import Words as Words

    __version__: str

_HOME = {
    "Bits": "rdahw.types",
    "Circuit": "rdahw.circuit",
    "DriftAlarm": "rdahw.drift",
    "InternalError": "rdahw.errors",
    "Learner": "rdahw.learner",
    "Machine": "rdahw.machine",
    "MissingError": "rdahw.errors",
    "Model": "rdahw.model",
    "RDAClassifier": "rdahw.sim.estimator",
    "RDAOutlierDetector": "rdahw.sim.outliers",
    "RDARegressor": "rdahw.sim.regressor",
    "Scalars": "rdahw.types",
    "Switches": "rdahw.types",
    "UsageError": "rdahw.errors",
    "UserError": "rdahw.errors",
    "Wire": "rdahw.tracing",
    "Words": "rdahw.types",
    "boolean_difference": "rdahw.derivative",
    "cat": "rdahw.tracing",
    "custom_reverse": "rdahw.custom",
    "equal": "rdahw.tracing",
    "expand": "rdahw.transform",
    "forward_derivative": "rdahw.derivative",
    "forward_request": "rdahw.derivative",
    "from_lightgbm": "rdahw.sim.tree_imports",
    "from_sklearn": "rdahw.sim.tree_imports",
    "from_xgboost": "rdahw.sim.tree_imports",
    "is_safe": "rdahw.safety",
    "lookup_model": "rdahw.families.lookup",
    "make_model": "rdahw.families",
    "mask_model": "rdahw.families.mask",
    "mux": "rdahw.tracing",
    "read_circuit": "rdahw.hdl.reader",
    "reverse": "rdahw.derivative",
    "trace": "rdahw.tracing",
    "trace_machine": "rdahw.machine",
    "unroll": "rdahw.machine",
}  # public name: the module that defines it

#: Not in `from rdahw import *`, as loading them may fail.
_NEEDS_EXTRA = {"RDAClassifier", "RDAOutlierDetector", "RDARegressor"}

__all__ = ["__version__", *(name for name in _HOME if name not in _NEEDS_EXTRA)]

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
        return sorted({*globals(), *_HOME, *__all__})
