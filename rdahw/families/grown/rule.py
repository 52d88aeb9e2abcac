"""The growth rule, plain and slow: the definition of every faster engine.

TODO
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rdahw.families.grown.spec import GrownSpec
from rdahw.primitives import Array


@dataclass(frozen=True, slots=True, eq=False)
class GrownState:
    wiring: NDArray[np.int32]
    tables: NDArray[np.uint8]
    grown: int

    def with_table(self, j, wires, table):
        self.wiring[j] = wires
        self.tables[j] = table
        return replace(self, grown=j + 1)


def empty_state(spec: GrownSpec) -> GrownState:
    return GrownState(np.zeros((spec.tables, spec.inputs), np.int32), np.zeros((spec.tables, 1 << spec.inputs), np.uint8), 0)
