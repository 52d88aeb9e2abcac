"""Which trainer a learner gets: one choice for simulation and for synthesis."""

from __future__ import annotations

from typing import Any

from rdahw.hdl.trainer import RegisterTrainer
from rdahw.learner import Learner

__all__ = ["make_trainer"]


def make_trainer(learner: Learner, *, batch: bool = False, stages: int = 1, access: bool = False) -> Any:
    """The trainer that suits ``learner``: parameters in registers.

    The arguments are those of :class:`rdahw.hdl.trainer.RegisterTrainer`.
    """
    return RegisterTrainer(learner, batch=batch, stages=stages, access=access)
