"""The framer against its specification: proved for ever, and what is wrong is refuted by a run that is simulated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Signal

from rdahw import InternalError
from rdahw.hdl.framer import Framer
from rdahw.hdl.framer_proof import framer
from rdahw.hdl.proof import Proof, prove
from rdahw.hdl.protocol import FLAG
from rdahw.sim.reference import run

pytestmark = pytest.mark.slow


def prove_one(make: Callable[[], Any], cache: Path) -> Proof:
    (proof,) = prove([framer(make)], replay=run, cache=cache, solver="boolector", timeout=7200)
    return proof


def test_the_framer_is_proved(tmp_path: Path) -> None:
    assert prove_one(Framer, tmp_path).verdict == "proved"


class Unescaped(Framer):  # type: ignore[misc]
    """Passes an octet on as it came, escaped or not."""

    def elaborate(self, platform: object) -> Any:
        m = super().elaborate(platform)
        octets = Signal(8)
        m.d.sync += octets.eq(self.received.payload)
        with m.If(self.escaping):
            m.d.comb += self.octets.payload.eq(octets)
        return m


class Deaf(Framer):  # type: ignore[misc]
    """Takes a frame's last flag for an octet."""

    def elaborate(self, platform: object) -> Any:
        m = super().elaborate(platform)
        came = Signal()
        m.d.sync += came.eq(self.received.valid & (self.received.payload == FLAG))
        with m.If(came & self.receiving & self.begun):
            m.d.comb += self.octets.valid.eq(1)
        return m


@pytest.mark.parametrize(("make", "found"), [(Unescaped, "octets"), (Deaf, "octets_valid")])
def test_a_wrong_receiver_is_refuted(make: Any, found: str, tmp_path: Path) -> None:
    proof = prove_one(make, tmp_path)
    assert proof.verdict == "refuted"
    assert proof.found is not None
    assert found in proof.found["framer"]
    assert proof.found["framer"][found] != proof.found["specification"][found]


def test_a_run_that_shows_nothing_is_no_refutation() -> None:
    row = {"rst": "0", "received_valid": "1", "received": format(FLAG, "08b")}
    with pytest.raises(InternalError, match=r"^the counterexample to framer \(.*\) fails no claim when it is run"):
        framer().replayed([row] * 3, run)
