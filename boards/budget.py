"""What a model costs on a board before it is built, and what it may cost: for ``rdahw tune``.

All costs are those of :func:`rdahw.boards.estimate.estimate`: logic cells are estimated, the others are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from amaranth.hdl import Fragment  # type: ignore[import-untyped]

from rdahw.boards import board as board_of_name
from rdahw.boards.board import Board
from rdahw.boards.clock import choose
from rdahw.boards.design import Design, inference_design, trainer_design
from rdahw.boards.estimate import estimate
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.hdl.trainer_factory import choose_trainer
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

#: The costs of so many models are kept: a search looks at most of them again, as soon as they are trained.
_KEPT = 1024


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

        Raises :class:`UsageError` for an unknown cost, one that is limited twice, or a limit that is no number from 0,
        and :class:`rdahw.errors.UserError` for a clock that the board cannot make.
        """
        its = board_of_name(name or "icebreaker")
        if clock is not None:
            choose(its.pll, its.oscillator[1], clock)
        limits: dict[str, float] = {}
        given: set[str] = set()
        if name is not None:
            limits |= {"luts": its.logic_cells, "ebr": its.ebr, "spram": its.spram}
        for word in filter(None, map(str.strip, most.split(","))):
            cost, _, number = map(str.strip, word.partition("="))
            if cost not in COSTS:
                raise UsageError(f"--max {word} limits no known cost; expected {'=N, '.join(COSTS)}=N")
            if cost in given:
                raise UsageError(f"--max limits {cost} twice; leave one of the two limits out")
            given.add(cost)
            try:
                limits[cost] = float(number)
                if not 0 <= limits[cost] < float("inf"):
                    raise ValueError
            except ValueError:
                raise UsageError(f"--max {word} is no limit; expected a number from 0, such as {cost}=100") from None
        return cls(board=its.name, limits=limits, learns=learns, clock=clock or its.clock)

    def check(self, spec: Spec) -> None:
        """Raise :class:`UsageError` for a model without such gateware."""
        if self.learns:
            choose_trainer(spec)

    def __hash__(self) -> int:
        return hash((self.board, *sorted(self.limits.items()), self.learns, self.clock))

    def before(self, spec: Spec) -> Costs:
        """What ``spec`` costs before it is trained.

        If training changes its costs (:meth:`is_known`), its logic cells are a lower bound, and its memory blocks are
        not there; without such a bound all are those with drawn parameters. Of a model that is above a limit, only
        costs that are known early may be there, and its logic cells may be a lower bound. Raises as :meth:`after`.
        """
        costs = dict.fromkeys(COSTS) | {"bits": spec.parameters.bits}
        return costs if self.excess(costs) else self._kept(spec)

    def is_known(self, spec: Spec) -> bool:
        """Whether ``spec`` costs the same after it is trained: its gateware has neither its parameters as constants,
        nor a wiring that is chosen by the data."""
        return self.learns and spec.preparation is None

    def after(self, spec: Spec, state: State) -> Costs:
        """What ``spec`` costs with the trained ``state``.

        Raises :class:`UsageError` for a model without gateware, and :class:`rdahw.boards.report.DesignError` if its
        memories or its examples do not fit the board.
        """
        costs = self._kept(spec) if self.is_known(spec) else {"luts": None}
        return self._costs(spec, state) if None in costs.values() else costs

    def _kept(self, spec: Spec) -> Costs:
        """The costs of a model that is not trained, from a cache if ``spec`` can be its key."""
        try:
            hash(spec)
        except TypeError:
            return _costs_before.__wrapped__(self, spec)
        return _costs_before(self, spec)

    def _costs(self, spec: Spec, state: State, *, early: bool = False, is_final: bool = True) -> Costs:
        """The costs of ``spec``. early: without those that take long, if the others are above a limit, or if ``state``
        is not final and there is a lower bound of logic cells."""
        its = board_of_name(self.board)
        design = self.design(spec, state, its)
        core = None if early and not is_final and design.every_cycle else design.core()
        cycles = 1.0 if core is None else float(design.cycles_per_example(core))
        costs: dict[str, float | None] = dict.fromkeys(COSTS)
        costs |= {"bits": spec.parameters.bits, "cycles": cycles, "microseconds": round(cycles / self.clock, 4)}
        bounded = costs | {"luts": design.fewest_cells}
        if early and (self.excess(bounded) or (not is_final and design.fewest_cells is not None)):
            if core is not None:
                Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
            return bounded
        found = estimate(design, its, clock_mhz=self.clock, core=core)
        return costs | {"luts": found.logic_cells, "ebr": found.ebr, "spram": found.spram}

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


@lru_cache(_KEPT)
def _costs_before(budget: Budget, spec: Spec) -> Costs:
    wired = spec.wired()
    state = {} if budget.learns else wired.typical_state()
    return budget._costs(wired, state, early=True, is_final=budget.is_known(spec))
