"""What is put on a board: a core, and the component around it that talks to the host."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from rdahw.boards.board import Board
from rdahw.families.ensemble.rule import Counters
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.errors import UserError
from rdahw.learner import Learner
from rdahw.primitives import Array

__all__ = [
    "Design",
    "Rates",
    "ensemble_design",
    "ensemble_inference_design",
    "inference_design",
    "trainer_design",
]

#: From a core, the clock in MHz and the link's speed in bits a second to examples a second, by what is done with them
#: and by what limits them; see :func:`rdahw.boards.ensemble_rates.ensemble_rates`.
Rates = Callable[[Any, float, int], Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A design for any board. Components are made anew for each use, as Amaranth elaborates each only once.

    name: of the files that synthesis writes: letters, digits, ``_`` and ``-``.
    core: makes the trainer or the circuit alone, an Amaranth component.
    link: makes, from the clock in Hz and the speed in bits a second, the component for the board's pins: ``rx : In(1)``
        and ``tx : Out(1)``, a UART that is idle high, and, if there are LEDs for them, ``error`` and ``activity``,
        ``Out(1)``.
    cycles_per_example: from such a core to the clock cycles between two examples when they come as fast as it takes
        them; where examples differ, of those that take longest.
    rates: what a report says beside that of the examples a second; ``None``: nothing.
    tables: where a trained ensemble has its tables, of those in :mod:`rdahw.boards.ensemble_fit`; ``None``: it is none.
    """

    name: str
    core: Callable[[], Any]
    link: Callable[[int, int], Any]
    cycles_per_example: Callable[[Any], Fraction]
    rates: Rates | None = None
    tables: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name, re.ASCII):
            raise UserError(f"a design is named {self.name!r}; expected letters, digits, _ and -, a letter first")


def trainer_design(learner: Learner, *, batch: bool = False, stages: int = 1, name: str = "trainer") -> Design:
    """The trainer that suits ``learner``, behind the host link; the arguments are those of
    :func:`rdahw.hdl.trainers.make_trainer`.
    """

    def core() -> Any:
        from rdahw.hdl.trainers import make_trainer

        return make_trainer(learner, batch=batch, stages=stages, access=True)

    return Design(name=name, core=core, link=_linked(core), cycles_per_example=_cycles)


def inference_design(learner: Learner, theta: Array, *, name: str = "inference") -> Design:
    """The model of ``learner`` with the parameters ``theta``, (P,) bits, folded in, behind the host link.

    It predicts only.
    """

    def core() -> Any:
        from rdahw.hdl.inference import FixedModel

        return FixedModel(learner, theta)

    return Design(name=name, core=core, link=_linked(core), cycles_per_example=_cycles)


def ensemble_design(
    spec: EnsembleSpec,
    board: Board,
    *,
    flash: bool = False,
    quad: bool = True,
    epochs: int = 15,
    name: str = "ensemble",
) -> Design:
    """The memory trainer of ``spec`` behind the host link, with its tables in the large memory of ``board`` if it has
    some, else in block RAM.

    flash: it trains by itself from the data in the board's flash, over four lines or (not ``quad``) one, so many
    ``epochs``, without an end if 0. Raises :class:`UserError` if the board has no flash memory for data, and as
    :func:`rdahw.boards.ensemble_fit.check_ensemble_fits`.
    """
    from rdahw.boards.ensemble_fit import check_ensemble_fits, table_memory_kind

    def core() -> Any:
        from rdahw.hdl.memory_trainer import MemoryTrainer

        return MemoryTrainer(spec, table_memory_kind(spec, board))

    def link(clock: int, baud: int) -> Any:
        from rdahw.boards.top import FLASH_LATENCY
        from rdahw.hdl.ensemble_link import LinkedEnsemble
        from rdahw.hdl.flash_reader import FlashReader
        from rdahw.hdl.link import UartLink
        from rdahw.hdl.self_link import SelfTrainerLink
        from rdahw.hdl.self_trainer import SelfTrainer
        from rdahw.hdl.uart import divisor_for

        divisor = divisor_for(clock, baud)
        if place is None:
            return UartLink(LinkedEnsemble(core()), divisor)
        reader = FlashReader(clock, quad=quad, latency=FLASH_LATENCY)
        return SelfTrainerLink(SelfTrainer(core(), reader, base=place.offset, epochs=epochs), divisor)

    place = board.flash if flash else None
    if flash and place is None:
        raise UserError(f"{board.title} has no flash memory for data; leave out --flash, or choose another board")
    check_ensemble_fits(spec, board, flash)

    return Design(
        name=name,
        core=core,
        link=link,
        cycles_per_example=lambda trainer: Fraction(trainer.cycles(True)),
        rates=_ensemble_rates(None if place is None else 4 if quad else 16),
    )


def ensemble_inference_design(
    spec: EnsembleSpec, counters: Counters, board: Board, *, name: str = "inference"
) -> Design:
    """The ensemble with the ``counters`` (tables, 2^inputs, classes) behind the host link, where it predicts only.

    Its tables are folded into logic if they fit there, and then it gives a bit for each class, or else in block RAM.
    Raises as :func:`rdahw.boards.ensemble_fit.inference_tables`.
    """
    from rdahw.boards.ensemble_fit import LOGIC, inference_tables

    tables = inference_tables(spec, board)
    if tables == LOGIC:
        from rdahw.families.ensemble.circuits import ensemble_learner, score_bits
        from rdahw.types import Words

        theta = Words(counters.size, score_bits(spec)).to_bits(counters.reshape(-1))
        return replace(inference_design(ensemble_learner(spec), theta, name=name), tables=tables)

    def core() -> Any:
        from rdahw.hdl.memory_inference import MemoryInference

        return MemoryInference(spec, counters)

    def linked() -> Any:
        from rdahw.hdl.ensemble_link import LinkedEnsemble

        return LinkedEnsemble(core())

    return Design(
        name=name,
        core=core,
        link=_linked(linked),
        cycles_per_example=lambda made: Fraction(made.cycles()),
        rates=_ensemble_rates(),
        tables=tables,
    )


def _ensemble_rates(flash_cycles: int | None = None) -> Rates:
    def rates(core: Any, clock: float, baud: int) -> Mapping[str, Mapping[str, int]]:
        from rdahw.boards.ensemble_rates import ensemble_rates

        return ensemble_rates(core, clock, baud, flash_cycles)

    return rates


def _cycles(core: Any) -> Fraction:
    """The cycles that an example takes in a trainer or a fixed model."""
    from rdahw.hdl.serial_mask import SerialMaskTrainer
    from rdahw.hdl.trainer import RegisterTrainer
    from rdahw.kernel import tangent_kernel

    if isinstance(core, SerialMaskTrainer):
        return Fraction(2 * core.words + 4)
    if isinstance(core, RegisterTrainer) and core.stages > 1:
        learner = core.learner
        if learner.optimiser != "xor" or tangent_kernel(learner.model.circuit) is None:
            return Fraction(2)  # each example waits for the update of the one before
    return Fraction(1)


def _linked(core: Callable[[], Any]) -> Callable[[int, int], Any]:
    def link(clock: int, baud: int) -> Any:
        from rdahw.hdl.link import UartLink
        from rdahw.hdl.uart import divisor_for

        return UartLink(core(), divisor_for(clock, baud))

    return link
