"""Machines that a command names, and their proof of equality."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rdahw.errors import UserError

if TYPE_CHECKING:
    from rdahw.family import Spec
    from rdahw.hdl.proof import Proof
    from rdahw.machine import Machine
    from rdahw.saved import SavedModel

__all__ = ["compare", "find_machines"]


def find_machines(names: Sequence[str], models: Sequence[tuple[Spec, SavedModel | None]]) -> list[Machine] | None:
    """The machines of these models; None if none of them is one. Raises :class:`UserError` if only some are."""
    found = [spec.machine(spec.initial_state() if saved is None else saved.best_state) for spec, saved in models]
    machines = [machine for machine in found if machine is not None]
    if not machines:
        return None
    if len(machines) < len(found):
        circuit, machine = sorted(names, key=lambda name: found[names.index(name)] is not None)
        raise UserError(
            f"{machine!r} is a machine, with a state, and {circuit!r} is not; compare two machines or two circuits"
        )
    return machines


def compare(names: Sequence[str], machines: Sequence[Machine]) -> Proof:
    """Whether two machines write the same on all sequences; a sequence that tells them apart is run again in the
    reference interpreter."""
    from rdahw.hdl.proof import Proof
    from rdahw.sim.machine import run_machine
    from rdahw.sim.machine_equality import compare_machines

    started = time.perf_counter()
    f, g = machines
    result = compare_machines(f, g)
    proof = {
        "name": "equal",
        "size": f"{result.states} pairs of states",
        "words": "both machines write the same at each step of every sequence",
        "symbols": "f(x) = g(x)",
        "seconds": time.perf_counter() - started,
        "solver": "all reached states",
    }
    if result.distinguishing is None:
        return Proof(verdict="proved", **proof)  # type: ignore[arg-type]
    last = []
    for machine in machines:
        written = run_machine(machine, *result.distinguishing).outputs
        last.append({port.name: _text(array[-1]) for port, array in zip(machine.outputs, written, strict=True)})
    if last[0] == last[1]:
        raise AssertionError("the sequence does not tell the machines apart")
    read = zip(*result.distinguishing, strict=True)
    ports = [port.name for port in machines[0].inputs]
    return Proof(
        verdict="refuted",
        found=dict(zip((f"f, {names[0]}", f"g, {names[1]}"), last, strict=True)),
        cycles=[dict(zip(ports, map(_text, symbols), strict=True)) for symbols in read],
        **proof,  # type: ignore[arg-type]
    )


def _text(bits: Sequence[int]) -> str:
    """Bits as text, bit 0 last."""
    return "".join(str(int(bit)) for bit in reversed(bits))
