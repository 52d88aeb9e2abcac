"""What a report shows of a boosted model: what each table reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from rdahw.families.boosted.spec import BoostedSpec, used_tables
from rdahw.family import Section

if TYPE_CHECKING:
    from rdahw.saved import SavedModel

__all__ = ["sections"]

#: The most tables that are listed.
_MOST_TABLES = 200


def sections(saved: SavedModel) -> Iterable[Section]:
    """What each table reads and holds."""
    spec, state, wires = cast(BoostedSpec, saved.spec), saved.best_state, saved.binariser.wire_names
    used = used_tables(state)
    facts, shown = spec.facts(state), used[:_MOST_TABLES]
    yield Section(
        title="The tables",
        text=f"{facts['used_tables']} tables hold a number that is not 0, and they read {facts['read_bits']} of the "
        f"{spec.input_bits} input bits. The first {len(shown)} of them in the order in which they were grown: the "
        f"smallest and the largest number that each adds, in steps of the target / {1 << spec.shift}, and the input "
        "bits that it chose, the lowest bit of the index first.",
        caption="What each table reads and holds",
        columns=["table", "smallest", "largest", *(f"input {i}" for i in range(spec.inputs))],
        rows=[
            [
                int(j),
                int(state["tables"][j].min()),
                int(state["tables"][j].max()),
                *(wires[wire] for wire in state["wiring"][j]),
            ]
            for j in shown
        ],
        numbers=False,
    )
