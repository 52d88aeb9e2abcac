"""How many examples a second the gateware of an ensemble takes: its core, and each way of getting examples into it."""

from __future__ import annotations

from typing import Any

from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.flash_image import record_bytes
from rdahw.hdl.ensemble_link import ensemble_layout
from rdahw.hdl.protocol import CRC_BYTES, HEADER_BYTES

__all__ = ["ensemble_rates"]

#: A byte on a UART, with its start and stop bit.
_UART_BITS = 10


def ensemble_rates(trainer: Any, clock: float, baud: int, flash_cycles: int | None = None) -> dict[str, dict[str, int]]:
    """Examples a second at ``clock`` MHz, by what is done with them and by what limits them.

    trainer: a :class:`rdahw.hdl.memory_trainer.MemoryTrainer`, or a
    :class:`rdahw.hdl.memory_inference.MemoryInference`, of which there is nothing to say of training.
    flash_cycles: the clock cycles of a byte of the flash.
    ``core``: examples come as fast as they are taken; each one changes the counters of as many tables as dropout leaves
    on average, so real training is faster. ``flash``: they come from there, in its order. ``uart``: in packets at
    ``baud`` bits a second one after the other, each with its answer, and no time is lost in between by computer or USB.
    """
    spec: EnsembleSpec = trainer.spec
    cycles = {"predictions": trainer.cycles()}
    if trainer.learns:
        kept = round(spec.tables * (1 - spec.dropout))
        cycles = {"training_examples": trainer.cycles(True, kept), **cycles}
    size = record_bytes(spec.input_bits)
    layout = ensemble_layout(spec, trainer.control.signature.parameter_bits)
    # Between two flags each: header, payload, CRC.
    count = layout.examples_per_packet
    octets = 2 * (2 + HEADER_BYTES + CRC_BYTES) + count * (layout.example_bytes + layout.result_bytes)
    rates: dict[str, dict[str, int]] = {}
    for purpose, its in cycles.items():
        rate = rates[f"{purpose}_per_second"] = {"core": int(clock * 1e6 / its)}
        if flash_cycles is not None:
            rate["flash"] = int(clock * 1e6 / max(its, size * flash_cycles))
        packet = octets * _UART_BITS / baud + count * its / (clock * 1e6)
        rate["uart"] = int(count / packet)
    return rates
