"""The family ``machine``: circuits with state, whose next state and output are tables that are learned from sequences.

:mod:`rdahw.families.machine.rule` is the rule, :mod:`rdahw.families.machine.shadow` that with shadow machines.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rdahw.families.machine.spec import OPTIONS, MachineSpec
from rdahw.family import Family, Section, Task
from rdahw.languages import LANGUAGES

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["FAMILY", "MachineSpec", "make_machine"]


def make_machine(task: Task, **options: Any) -> MachineSpec:
    """The machine of the family's options for ``task``; raises :class:`UsageError` for an invalid value."""
    return MachineSpec(steps=task.input_bits, seed=task.seed, **options)


def _sections(saved: SavedModel) -> Iterable[Section]:
    spec: Any = saved.spec
    following, written = spec.reached(saved.best_state)
    yield Section(
        title="The states",
        text=f"The machine starts in state 0 and reaches {len(following)} of its {1 << spec.states} states.",
        caption="Next state and label of each state, after a 0 and after a 1",
        columns=["state", "next after 0", "label", "next after 1", "label"],
        rows=[[s, zero, written[s][0], one, written[s][1]] for s, (zero, one) in following.items()],
    )


FAMILY = Family(
    name="machine",
    help="a machine with a state, learned from sequences with a label at each step (sequences)",
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
