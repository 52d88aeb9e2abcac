"""What is put on a board: a core, and the component around it that communicates with the host."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

from amaranth.hdl import Fragment  # type: ignore[import-untyped]

from rdahw.boards.board import Board
from rdahw.boards.fit import check_trainer_fits, choose_predictor
from rdahw.boards.rates import rates_of
from rdahw.boards.top import FLASH_LATENCY
from rdahw.errors import UsageError, UserError
from rdahw.family import Spec
from rdahw.hdl.circuit import CircuitModule
from rdahw.hdl.flash_reader import FlashReader
from rdahw.hdl.flash_trainer import FlashTrainer
from rdahw.hdl.flash_trainer_link import FlashTrainerLink
from rdahw.hdl.frontend import Frontend, NumberFrontend, PixelFrontend
from rdahw.hdl.link import UartLink
from rdahw.hdl.memory_fit import LINK_CELLS
from rdahw.hdl.pixels import PixelPlanes
from rdahw.hdl.trainer_factory import Row, choose_trainer, make_trainer, predictors
from rdahw.hdl.uart import divisor_for
from rdahw.state import State

__all__ = ["Design", "Rates", "inference_design", "live_design", "trainer_design"]

#: From a core, the clock in MHz and the link's speed in bits a second to examples a second, by purpose and by what
#: limits them; see :func:`rdahw.boards.rates.rates_of`.
Rates = Callable[[Any, float, int], Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A design for any board. Components are made anew for each use, as Amaranth elaborates each only once.

    name: of the files that synthesis writes: letters, digits, ``_`` and ``-``.
    core: makes the trainer or the circuit alone, an Amaranth component.
    link: makes, from such a core, the clock in Hz and the speed in bits a second, the component for the board's pins,
        as :class:`rdahw.boards.top.Top` takes it.
    cycles_per_example: from such a core to the clock cycles between two examples at full speed; if examples differ, for
        the slowest kind. latency: to those from an example to its result; ``None``: not known.
    dense: see :class:`rdahw.boards.board.Family`. rates: further rates for the report; ``None``: none.
    gateware: of which kinds it is, the general one first; designs of one kind are alike in size and speed.
    tables: where the parameters of a trained model are, if there is a choice; else ``None``. frontend: makes the
        frontend of such a core alone, if it has one.
    fewest_cells: a lower bound of its logic cells. every_cycle: it takes an example each clock cycle, as is known
        before the core is made. ``None`` and False: not known.
    """

    name: str
    core: Callable[[], Any]
    link: Callable[[Any, int, int], Any]
    cycles_per_example: Callable[[Any], Fraction]
    latency: Callable[[Any], int | None] = lambda core: None
    dense: bool = False
    rates: Rates | None = None
    gateware: tuple[str, ...] = ()
    tables: str | None = None
    frontend: Callable[[], Any] | None = None
    fewest_cells: int | None = None
    every_cycle: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name, re.ASCII):
            raise UserError(f"a design is named {self.name!r}; expected letters, digits, _ and -, a letter first")


def trainer_design(
    spec: Spec,
    board: Board,
    *,
    batch: bool = False,
    stages: int = 1,
    flash: bool = False,
    drift: bool = False,
    frontend: PixelFrontend | None = None,
    quad: bool = True,
    epochs: int = 15,
    name: str | None = None,
) -> Design:
    """The trainer of ``spec`` behind the host link. State that does not fit registers is in the large memory of
    ``board`` if it has one, else in block RAM.

    batch, stages, drift, frontend: see :func:`rdahw.hdl.trainer_factory.make_trainer`. flash: train from the data in
    the board's flash, over four lines (``quad``) or one, for ``epochs`` epochs (0: without end). name: by default that
    of the family if it has a trainer of its own, else «trainer».

    Raises :class:`rdahw.UsageError` for options that the trainer does not have, :class:`UserError` if the board has no
    flash memory for data, and as :func:`rdahw.boards.fit.check_trainer_fits`.
    """

    def core() -> Any:
        kind = "spram" if board.spram else "block"
        return make_trainer(spec, batch=batch, stages=stages, drift=drift, frontend=frontend, memory_kind=kind)

    if frontend is not None and flash:
        raise UsageError(
            "--flash and --frontend pixels were both given, and the flash holds bits of examples; leave one of them out"
        )
    row = choose_trainer(spec, batch=batch, stages=stages, flash=flash, drift=drift, frontend=frontend)
    if frontend is not None:
        frontend.check(spec, learns=True)
    place = board.flash if flash else None
    if flash and place is None:
        raise UserError(f"{board.title} has no flash memory for data; leave out --flash, or choose another board")
    if place is not None and quad and not place.quad:
        raise UserError(f"the flash of {board.title} is read over one data line; use --flash single")
    check_trainer_fits(spec, row, board, flash, frontend)

    def link(core: Any, clock: int, baud: int) -> Any:
        if place is None:
            return _linked(core, clock, baud)
        reader = FlashReader(clock, quad=quad, latency=FLASH_LATENCY)
        trainer = FlashTrainer(core, reader, base=place.offset, epochs=epochs)
        return FlashTrainerLink(trainer, divisor_for(clock, baud))

    return Design(
        name=name or row.family or "trainer",
        core=core,
        link=link,
        cycles_per_example=_cycles,
        gateware=_kinds(spec, row, frontend, batch=batch, stages=stages, flash=flash),
        rates=partial(rates_of, flash_cycles=None if place is None else 4 if quad else 16),
        frontend=_alone(frontend),
        fewest_cells=_fewest(spec, row, board, frontend),
    )


def live_design(spec: Any, board: Board, *, sample: float | None = None, name: str = "live") -> Design:
    """The trainer of a machine on the pins of ``board``, without a host link: see :mod:`rdahw.hdl.live_pins`.

    sample: samples a second; ``None``: at each rising edge of the clock pin. Raises :class:`rdahw.UsageError` for a
    model that does not learn from a stream, :class:`UserError` for a board without such pins.
    """
    from rdahw.hdl.live_pins import AloneTrainer, PinSampler, live_trainer

    row = choose_trainer(spec, **{"frontend pins": True})
    if not spec.live:
        raise UsageError("--frontend pins is for a machine that learns from one stream; add live=1 to the model")
    if board.pins is None:
        raise UserError(
            f"{board.title} has no row of pins to learn from; leave out --frontend pins, or choose icebreaker"
        )

    def link(core: Any, clock: int, baud: int) -> Any:
        Fragment.get(core, None)  # Amaranth warns of components that are never elaborated
        return live_trainer(spec, clock, sample)

    return Design(
        name=name,
        core=lambda: AloneTrainer(spec),
        link=link,
        cycles_per_example=_cycles,
        gateware=_kinds(spec, row, None),
        frontend=lambda: PinSampler(spec.steps, round(board.clock * 1e6), sample),
    )


def inference_design(
    spec: Spec,
    state: State,
    board: Board,
    *,
    clock: float | None = None,
    frontend: Frontend | None = None,
    name: str = "inference",
) -> Design:
    """A predictor behind the host link, with the parameters of ``state`` as constants, in as many stages as ``clock``
    in MHz asks for (by default the board's). frontend: of the predictor.

    Raises as :func:`rdahw.boards.fit.choose_predictor`.
    """
    row = choose_predictor(spec, board, frontend)
    own = {} if frontend is None else {"frontend": frontend}
    core = partial(row.make, spec, state, levels=board.levels(clock or board.clock), cells=board.family, **own)
    return Design(
        name=name,
        core=core,
        link=_linked,
        cycles_per_example=_cycles,
        gateware=_kinds(spec, row, frontend),
        latency=lambda core: core.delay,
        dense=True,
        rates=rates_of,
        tables=row.name if len(predictors(spec)) > 1 else None,
        frontend=_alone(frontend),
        fewest_cells=_fewest(spec, row, board, frontend) if row.tables is None else LINK_CELLS + row.tables(spec),
        every_cycle=row.tables is not None,
    )


#: The gateware of a frontend alone.
_FRONTENDS: Mapping[type, Callable[[Any], Any]] = {
    PixelFrontend: lambda its: PixelPlanes(its.rule, its.image_shape),
    NumberFrontend: lambda its: CircuitModule(its.circuit),
}


def _alone(frontend: Frontend | None) -> Callable[[], Any] | None:
    return None if frontend is None else partial(_FRONTENDS[type(frontend)], frontend)


def _fewest(spec: Spec, row: Row, board: Board, frontend: Any) -> int | None:
    needs = row.needs(spec, board, False, frontend)
    return None if needs is None or needs.is_estimate else needs.logic_cells


def _kinds(spec: Spec, row: Row, frontend: Frontend | None, **options: Any) -> tuple[str, ...]:
    """The kind of gateware of a row, with the options that are given, and that of a family."""
    given = [name for name, value in options.items() if value not in (False, 1)]
    words = [row.name, *(f"--{name}" for name in given + ([] if frontend is None else [frontend.option]))]
    kind = " ".join(words)
    return kind, f"{spec.family}: {kind}"


def _cycles(core: Any) -> Fraction:
    return Fraction(core.cycles(updated=core.learns))


def _linked(core: Any, clock: int, baud: int) -> Any:
    return UartLink(core.linked(), divisor_for(clock, baud))
