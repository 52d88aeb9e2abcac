"""What a model costs on a board before it is built, and what it may cost: for ``rdahw tune``.

Memory blocks are counted as Yosys maps them, cycles are those of the gateware, and logic cells are estimated
(:mod:`rdahw.hdl.cell_estimate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Fragment  # type: ignore[import-untyped]

from rdahw.boards import board as board_of_name
from rdahw.boards.board import Board
from rdahw.boards.design import Design, inference_design, trainer_design
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.hdl.cell_estimate import estimated_cells
from rdahw.hdl.memory_fit import Needs
from rdahw.hdl.trainer_factory import choose_trainer, predictors
from rdahw.state import State

__all__ = ["COSTS", "Budget", "Costs"]

#: The costs of a model, with their titles. luts: logic cells of the whole design; ebr, spram: memory blocks, and large
#: ones; bits: of its parameters; cycles, microseconds: between two examples, for the slowest kind of example.
COSTS: Mapping[str, str] = {
    "luts": "logic cells",
    "ebr": "memory blocks (EBR)",
    "spram": "large memory blocks (SPRAM)",
    "bits": "parameter bits",
    "cycles": "cycles an example",
    "microseconds": "microseconds an example",
}

#: A cost that is not known, or not known yet, is None.
Costs = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that models may cost on the board of this name; ``limits``: by name of :data:`COSTS`.

    learns: the gateware is a trainer, and not a predictor. clock: in MHz.
    """

    board: str
    limits: Mapping[str, float]
    learns: bool
    clock: float

    @classmethod
    def of(cls, name: str | None, most: str, *, learns: bool, clock: float | None) -> Budget:
        """The board of this name as a budget, with ``most``, such as «luts=2000,cycles=300», in place of its own
        limits; without a board ``most`` alone, and costs are those on an iCEBreaker.

        Raises :class:`UsageError` for an unknown cost or a limit that is no number above 0.
        """
        its = board_of_name(name or "icebreaker")
        limits: dict[str, float] = {}
        if name is not None:
            limits |= {"luts": its.logic_cells, "ebr": its.ebr, "spram": its.spram}
        for word in filter(None, map(str.strip, most.split(","))):
            cost, _, number = word.partition("=")
            if cost not in COSTS:
                raise UsageError(f"--max {word} limits no known cost; expected {'=N, '.join(COSTS)}=N")
            try:
                limits[cost] = float(number)
                if not 0 < limits[cost] < float("inf"):
                    raise ValueError
            except ValueError:
                raise UsageError(f"--max {word} is no limit; expected a number above 0, such as {cost}=100") from None
        return cls(board=its.name, limits=limits, learns=learns, clock=clock or its.clock)

    def before(self, spec: Spec) -> Costs:
        """What ``spec`` costs, as far as that is known before it is trained. Raises :class:`UsageError` for a model
        without gateware."""
        its = board_of_name(self.board)
        rows = [choose_trainer(spec)] if self.learns else [row for row in predictors(spec) if row.fits(spec)]
        found = [(row, row.needs(spec, its, False, None)) for row in rows]
        row, needs = next((each for each in found if each[1] is None or _fits(each[1], its)), found[-1])
        costs: dict[str, float | None] = dict.fromkeys(COSTS)
        costs |= {"luts": estimated_cells(spec, row, its), "bits": spec.parameters.bits}
        return costs if needs is None else {**costs, "ebr": needs.ebr, "spram": needs.spram}

    def after(self, spec: Spec, state: State) -> Costs:
        """What ``spec`` costs with the trained ``state``.

        Raises :class:`rdahw.boards.report.DesignError` if its memories or its examples do not fit the board.
        """
        core = self.design(spec, state, board_of_name(self.board)).core()
        cycles = float(core.cycles(updated=core.learns))
        Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
        return {**self.before(spec), "cycles": cycles, "microseconds": round(cycles / self.clock, 4)}

    def design(self, spec: Spec, state: State, board: Board) -> Design:
        """The design with the model."""
        if self.learns:
            return trainer_design(spec, board)
        return inference_design(*spec.trained(state), board, clock=self.clock)

    def excess(self, costs: Costs) -> float:
        """By which part of a limit ``costs`` are above it, at most; 0 if they are within all limits."""
        over = [value / limit - 1 if limit else float(value > 0) for name, limit in self.limits.items()
                if (value := costs[name]) is not None]  # fmt: skip
        return max([0.0, *over])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"board": self.board, "limits": dict(self.limits), "learns": self.learns, "clock_mhz": self.clock}


def _fits(needs: Needs, board: Board) -> bool:
    return needs.ebr <= board.ebr and needs.spram <= board.spram and needs.logic_cells <= board.logic_cells
