"""What is put on a board: a core, and the component around it that talks to the host."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rdahw.errors import UserError
from rdahw.learner import Learner
from rdahw.primitives import Array

__all__ = ["Design", "inference_design", "trainer_design"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A design for any board. Components are made anew for each use, as Amaranth elaborates each only once.

    name: of the files that synthesis writes: letters, digits, ``_`` and ``-``.
    core: makes the trainer or the circuit alone, an Amaranth component.
    link: makes, from the clock in Hz and the speed in bits a second, the component for the board's pins: ``rx : In(1)``
        and ``tx : Out(1)``, a UART that is idle high, and, if there are LEDs for them, ``error`` and ``activity``,
        ``Out(1)``.
    cycles_per_example: of the core, once its pipeline is full.
    """

    name: str
    core: Callable[[], Any]
    link: Callable[[int, int], Any]
    cycles_per_example: Fraction

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][\w-]*", self.name, re.ASCII):
            raise UserError(f"a design is named {self.name!r}; expected letters, digits, _ and -, a letter first")


def trainer_design(learner: Learner, *, batch: bool = False, stages: int = 1, name: str = "trainer") -> Design:
    """The trainer of ``learner`` in registers, behind the host link; ``batch`` and ``stages`` as in
    :class:`rdahw.hdl.trainer.RegisterTrainer`.
    """
    from rdahw.hdl.trainer import RegisterTrainer
    from rdahw.kernel import tangent_kernel

    def core() -> Any:
        return RegisterTrainer(learner, batch=batch, stages=stages, access=True)

    forwards = learner.optimiser == "xor" and tangent_kernel(learner.model.circuit) is not None
    # Without forwarding, an example waits for the update before it, in the worst case each time.
    cycles = Fraction(1 if stages == 1 or forwards else 2)
    return Design(name=name, core=core, link=_linked(core), cycles_per_example=cycles)


def inference_design(learner: Learner, theta: Array, *, name: str = "inference") -> Design:
    """The model of ``learner`` with the parameters ``theta`` folded in, behind the host link: it predicts only."""
    from rdahw.hdl.inference import FixedModel

    def core() -> Any:
        return FixedModel(learner, theta)

    return Design(name=name, core=core, link=_linked(core), cycles_per_example=Fraction(1))


def _linked(core: Callable[[], Any]) -> Callable[[int, int], Any]:
    def link(clock: int, baud: int) -> Any:
        from rdahw.hdl.link import UartLink
        from rdahw.hdl.uart import divisor_for

        return UartLink(core(), divisor_for(clock, baud))

    return link
