"""Machines that a command names, and their proof of equality."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from rdahw.errors import UsageError, UserError
from rdahw.wording import plural

if TYPE_CHECKING:
    from rdahw.family import Spec
    from rdahw.hdl.proof import Proof
    from rdahw.machine import Machine
    from rdahw.saved import SavedModel

__all__ = ["compare", "find_machines"]


def find_machines(names: Sequence[str], find: Callable[[str], tuple[Spec, SavedModel | None]]) -> list[Machine] | None:
    """The machines that ``names`` name: each that of a model, which ``find`` finds, or those of several, joined by
    ``>>``. None if they are models without a state, one a name. Raises :class:`UserError` if only some are machines,
    and :class:`UsageError` for ``>>`` without a model on either side."""
    from rdahw.machine import sequence

    chains = [[part.strip() for part in name.split(">>")] for name in names]
    if gaps := [name for name, chain in zip(names, chains, strict=True) if len(chain) > 1 and "" in chain]:
        raise UsageError(f"a model is missing beside >> in {gaps[0]!r}; write a model on either side of it")
    models = {part: find(part) for chain in chains for part in chain}
    machines = {
        part: spec.machine(spec.initial_state() if saved is None else saved.best_state)
        for part, (spec, saved) in models.items()
    }
    found = {part: machine for part, machine in machines.items() if machine is not None}
    if not found and all(len(chain) == 1 for chain in chains):
        return None
    if len(found) < len(machines):
        circuit = next(part for part in machines if part not in found)
        raise UserError(
            f"{next(iter(found))!r} is a machine, with a state, and {circuit!r} is not; compare two machines or two "
            "circuits"
            if found
            else f"{circuit!r} is not a machine; only machines are joined by >>"
        )
    return [reduce(sequence, (found[part] for part in chain)) for chain in chains]


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
        "size": f"{plural(result.states, 'pair')} of states",
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
