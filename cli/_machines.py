"""Models in series and machines that a command names, and the proof that two machines are equal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from operator import rshift
from typing import TYPE_CHECKING

from rdahw.cli._model import as_predictor, predictor
from rdahw.errors import UsageError, UserError
from rdahw.wording import plural

if TYPE_CHECKING:
    from rdahw.family import Spec
    from rdahw.hdl.proof import Proof
    from rdahw.machine import Machine
    from rdahw.saved import SavedModel

__all__ = ["compare", "find_joined", "find_machines"]


_Found = tuple["Spec", "SavedModel | None"]
_Find = Callable[[str], _Found]


def find_joined(name: str, find: _Find) -> _Found:
    """The model that ``name`` names, which ``find`` finds, or that of several joined by ``>>``: each reads what the one
    before it writes. Raises :class:`UserError` if only some of them are machines or if their ports do not fit, and
    :class:`UsageError` for ``>>`` without a model on either side."""
    from rdahw.given import GivenSpec
    from rdahw.machine import sequence

    chain = [part.strip() for part in name.split(">>")]
    if len(chain) == 1:
        return find(name)
    if "" in chain:
        raise UsageError(f"a model is missing beside >> in {name!r}; write a model on either side of it")
    if (machines := find_machines(chain, find)) is not None:
        return GivenSpec(name, reduce(sequence, machines)), None
    circuits = [predictor(*as_predictor(*find(part))) for part in chain]
    joined = reduce(rshift, circuits).renamed(circuits[0].input_names, circuits[-1].output_names)
    return GivenSpec(name, joined), None


def find_machines(names: Sequence[str], find: _Find) -> list[Machine] | None:
    """The machines of the models that ``names`` name, which ``find`` finds; None if they are models without a state.
    Raises :class:`UserError` if only some are machines."""
    models = {name: find(name) for name in names}
    machines = {
        name: spec.machine(spec.initial_state() if saved is None else saved.best_state)
        for name, (spec, saved) in models.items()
    }
    found = {name: machine for name, machine in machines.items() if machine is not None}
    if found and len(found) < len(machines):
        circuit = next(name for name in machines if name not in found)
        raise UserError(
            f"{next(iter(found))!r} is a machine, with a state, and {circuit!r} is not; give machines alone, or "
            "circuits alone"
        )
    return [found[name] for name in names] if found else None


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
