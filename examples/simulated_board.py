"""A board in simulation, for `rdahw train --device` and `rdahw device` without a board (on Linux and macOS).

    rdahw train --data iris
    python examples/simulated_board.py iris-lookup.rdahw

prints the port of a simulated trainer of that model, a pseudo-terminal, and answers there until Ctrl-C. In another
terminal, `rdahw train --data iris --device PORT` then learns on it, with the bits of software. For `--batch` greater
than 1 give --batch here too. With `--frontend pixels` the board takes the pixels of images, as of rdahw synth.
"""

from __future__ import annotations

import argparse
import os
import tty
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rdahw.errors import UserError
from rdahw.hdl.frontend import FRONTENDS
from rdahw.hdl.link import HostLink
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.saved import load_model
from rdahw.sim.simulator import ENGINES, Exchange, Simulator, choose_engine, make_simulator


class Link(wiring.Component):
    """A trainer behind the host link, with streams of bytes as ports."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        super().__init__({"received": In(stream.Signature(8)), "sent": Out(stream.Signature(8)), "activity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        """Connect the link, which takes a byte in any cycle."""
        m = Module()
        m.submodules.link = link = HostLink(self.trainer)
        wiring.connect(m, link.sent, wiring.flipped(self.sent))
        m.d.comb += [
            link.received.valid.eq(self.received.valid),
            link.received.payload.eq(self.received.payload),
            self.received.ready.eq(1),
            self.activity.eq(link.activity),
        ]
        return m


def answer(simulator: Simulator, data: bytes) -> bytes:
    """The bytes that the board sends when it has received ``data``."""
    beats = np.unpackbits(np.frombuffer(data, np.uint8)[:, None], axis=1, bitorder="little")
    made = [simulator.exchange(Exchange("received", "sent", beats, take=len(data), give=0)).results]
    rest = Exchange("received", "sent", beats[:0], take=0, give=1 << 20, cycles=64)
    while len(made) == 1 or simulator.get("activity"):
        made.append(simulator.exchange(rest).results)
    return np.packbits(np.concatenate(made), axis=1, bitorder="little").tobytes()


def main() -> None:
    """Make the board and answer until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Simulate a board with a trainer at a pseudo-terminal.")
    parser.add_argument("model", type=Path, help="a file of rdahw train: the board has a trainer of this model")
    parser.add_argument("--batch", action="store_true", help="with an accumulator, for rdahw train --batch")
    parser.add_argument("--frontend", choices=FRONTENDS, help="as of rdahw synth")
    parser.add_argument("--engine", choices=ENGINES, help="the simulator (default: the fastest installed)")
    given = parser.parse_args()
    try:
        saved = load_model(given.model)
        frontend = None if given.frontend is None else FRONTENDS[given.frontend](saved.binariser)
        trainer = make_trainer(saved.spec, batch=given.batch, frontend=frontend)
        simulator = make_simulator(Link(trainer.linked()), choose_engine(given.engine))
    except UserError as error:
        parser.error(str(error))
    board, port = os.openpty()
    tty.setraw(port)
    print(os.ttyname(port), flush=True)
    try:
        while True:
            os.write(board, answer(simulator, os.read(board, 4096)))
    except KeyboardInterrupt:
        simulator.close()


if __name__ == "__main__":
    main()
