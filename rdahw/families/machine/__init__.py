"""The family ``machine``: circuits with state, whose next state and output are tables that are learned from sequences.

:mod:`rdahw.families.machine.rule` is the rule, :mod:`rdahw.families.machine.shadow` that with shadow machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rdahw.data.sequences import SequenceShape
from rdahw.families.machine.spec import OPTIONS, MachineSpec
from rdahw.family import Family, Section, Task
from rdahw.languages import LANGUAGES

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "MachineSpec", "make_machine"]

#: The most bits of a symbol with which a report has a table of all states and symbols.
_MOST_SHOWN = 3


def make_machine(task: Task, **options: Any) -> MachineSpec:
    """The machine of the family's options for ``task``; raises :class:`UsageError` for an invalid value."""
    shape = task.sequences or SequenceShape(steps=task.input_bits)
    return MachineSpec(seed=task.seed, **asdict(shape), **options)


def _sections(saved: SavedModel) -> Iterable[Section]:
    spec: Any = saved.spec
    if spec.own is not None or spec.symbol > _MOST_SHOWN:
        return
    following, written = spec.reached(saved.best_state)
    symbols = range(1 << spec.symbol)
    yield Section(
        title="The states",
        text=f"The machine starts in state 0 and reaches {len(following)} of its {1 << spec.states} states.",
        caption="Next state and label of each state, after each symbol",
        columns=["state", *(word for x in symbols for word in (f"next after {x}", "label"))],
        rows=[[s, *(n for x in symbols for n in (after[x], written[s][x]))] for s, after in following.items()],
    )


FAMILY = Family(
    name="machine",
    help="a machine with a state, learned from sequences with labels at each step or at the end (sequences)",
    options=OPTIONS,
    make=make_machine,
    read=MachineSpec.from_json,
    tasks=("sequences",),
    rules={
        "optimiser": {
            "difference": "counter",
            "xor": {"rule": "xor"},
            "climb": {"rule": "climb"},
            "shadow": {"rule": "shadow"},
        }
    },
    schedule={"scored": "epoch"},
    sections=_sections,
    named={name: {"states": language.state_bits, "start": name} for name, language in LANGUAGES.items()},
)
