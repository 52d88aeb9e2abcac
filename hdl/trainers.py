"""Which trainer a learner gets: one choice for simulation and for synthesis."""

from __future__ import annotations

import re
from typing import Any

from rdahw.hdl.serial_mask import SerialMaskTrainer
from rdahw.hdl.trainer import RegisterTrainer
from rdahw.learner import Learner
from rdahw.families.mask import mask_model

__all__ = ["make_trainer"]

#: The widest mask that is kept in registers: it takes about ten logic cells a bit, a word-serial one some 500 in all.
REGISTER_MASK_INPUTS = 64


def make_trainer(learner: Learner, *, batch: bool = False, stages: int = 1, access: bool = False) -> Any:
    """The trainer that suits ``learner``: word-serial for a wide mask that learns from one example at a time, else one
    with the parameters in registers.

    The arguments are those of :class:`rdahw.hdl.trainer.RegisterTrainer`; more than one stage means registers.
    """
    k = _mask(learner)
    if k is not None and learner.model.input_bits > REGISTER_MASK_INPUTS and stages == 1 and not batch:
        return SerialMaskTrainer(learner.model.input_bits, k, access=access)
    return RegisterTrainer(learner, batch=batch, stages=stages, access=access)


def _mask(learner: Learner) -> int | None:
    """The k of a learner of the mask model by the paper's rule, else ``None``."""
    named = re.fullmatch(r"mask(?::k=(\d+))?", learner.model.name)
    if named is None or (learner.loss, learner.optimiser) != ("xor", "xor"):
        return None
    k = int(named[1] or 4)
    return k if learner.model.circuit == mask_model(learner.model.input_bits, k) else None
