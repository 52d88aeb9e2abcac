"""A flash trainer on a board: with the host link on a UART, the pins of a flash and two LEDs."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module  # type: ignore[import-untyped]
from amaranth.lib import wiring  # type: ignore[import-untyped]
from amaranth.lib.wiring import In, Out  # type: ignore[import-untyped]

from rdahw.hdl.flash_reader import FlashPins
from rdahw.hdl.flash_trainer import FlashTrainer, State
from rdahw.hdl.link import UartLink

__all__ = ["FlashTrainerLink"]


class FlashTrainerLink(wiring.Component):  # type: ignore[misc]
    """A flash trainer with the host link on a UART, ``divisor`` clock cycles a bit: ``rx`` and ``tx``, idle high.

    activity: a request is processed; while training, 32,768 examples high and as many low; high when it is done.
    error: a request is refused, or the training has stopped because of a fault.
    flash: the pins of the flash.
    """

    def __init__(self, trainer: FlashTrainer, divisor: int) -> None:
        self.trainer = trainer
        self.link = UartLink(trainer, divisor)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "activity": Out(1),
                "error": Out(1),
                "flash": Out(FlashPins()),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.link = link = self.link
        trainer = self.trainer
        wiring.connect(m, wiring.flipped(self.flash), trainer.flash)
        training = trainer.state == State.TRAINING
        m.d.comb += [
            link.rx.eq(self.rx),
            self.tx.eq(link.tx),
            trainer.hold.eq(link.activity),
            self.activity.eq(link.activity | (training & trainer.progress) | (trainer.state == State.DONE)),
            self.error.eq(link.error | trainer.failed),
        ]
        return m
