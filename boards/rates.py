"""The throughput of gateware in examples a second: of its core, and of each source of examples."""

from __future__ import annotations

from rdahw.flash_image import record_bytes
from rdahw.hdl.protocol import CRC_BYTES, HEADER_BYTES
from rdahw.hdl.trainer import Trainer

__all__ = ["rates_of"]

#: A byte on a UART, with its start and stop bit.
_UART_BITS = 10


def rates_of(trainer: Trainer, clock: float, baud: int, flash_cycles: int | None = None) -> dict[str, dict[str, int]]:
    """Examples a second at ``clock`` MHz, by purpose (training, prediction) and by what limits them.

    flash_cycles: clock cycles for a byte read from the flash; ``None``: there is no flash.
    ``core``: the core alone; every example changes the parameters, so real training is faster.
    ``flash``: examples read from the flash in order. ``uart``: packets at ``baud`` bits a second one after the other,
    each with its answer, without any delay by computer or USB.
    """
    layout, size = trainer.interface.layout, record_bytes(trainer.spec.input_bits)
    # Between two flags each: header, payload, CRC.
    count = layout.examples_per_packet
    octets = 2 * (2 + HEADER_BYTES + CRC_BYTES) + count * (layout.example_bytes + layout.result_bytes)
    rates: dict[str, dict[str, int]] = {}
    for purpose, its in trainer.usual_cycles.items():
        rate = rates[f"{purpose}_per_second"] = {"core": int(clock * 1e6 / its)}
        if flash_cycles is not None:
            rate["flash"] = int(clock * 1e6 / max(its, size * flash_cycles))
        packet = octets * _UART_BITS / baud + count * its / (clock * 1e6)
        rate["uart"] = int(count / packet)
    return rates
