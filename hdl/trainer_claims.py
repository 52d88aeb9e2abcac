"""The claims about the trainers of :mod:`rdahw.hdl.trainer_factory`, the same components as in synthesis."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rdahw.claims import TooLarge
from rdahw.errors import UsageError
from rdahw.family import Spec
from rdahw.hdl.trainer_factory import Row, choose_trainer, make_trainer

if TYPE_CHECKING:
    from rdahw.hdl.proof import AnyClaim

__all__ = ["forms", "netlist_forms", "trainer_claims"]


def forms(row: Row) -> Iterator[dict[str, Any]]:
    """The arguments of each form of a trainer: immediate or in batches, of one or two stages."""
    batches = (False, True) if "batch" in row.options else (False,)
    stages = (1, 2) if "stages" in row.options else (1,)
    for batch, count in itertools.product(batches, stages):
        yield {"batch": batch, "stages": count}


def netlist_forms(spec: Spec) -> list[dict[str, Any]]:
    """The forms of the trainer of ``spec`` whose netlists are proved; none without a trainer, or for one in memory, as
    solvers do not support its cells."""
    try:
        row = choose_trainer(spec)
    except UsageError:
        return []
    return list(forms(row)) if row.name == "registers" else []


def _in_registers(spec: Spec, row: Row) -> Iterable[AnyClaim]:
    from rdahw.hdl.trainer_proof import trainer

    def make(learner: object, *, access: bool, **form: Any) -> Any:
        return make_trainer(spec, access=access, **form)

    for access in (False, True):
        for form in forms(row):
            yield trainer(spec.learner(), access=access, make=make, **form)


def _in_memory(spec: Any, row: Row) -> Iterable[AnyClaim]:
    from rdahw.hdl.memory_proof import memory_trainer

    yield memory_trainer(spec, make_trainer)


def _of_machine(spec: Any, row: Row) -> Iterable[AnyClaim]:
    from rdahw.hdl.machine_proof import machine_trainer

    yield machine_trainer(spec, make_trainer)


#: The claims about a trainer, by the name of its row.
_CLAIMS: Mapping[str, Callable[[Spec, Row], Iterable[AnyClaim]]] = {
    "registers": _in_registers,
    "block memory": _in_memory,
    "registers, a symbol at a time": _of_machine,
}


def trainer_claims(spec: Spec) -> list[AnyClaim]:
    """The claims that the trainer of ``spec`` learns as its learner.

    Raises :class:`UsageError` if ``spec`` has no trainer, :class:`TooLarge` if there is no claim about it or the claims
    are too large.
    """
    row = choose_trainer(spec)
    if row.name not in _CLAIMS:
        raise TooLarge(
            f"there is no claim about a trainer in {row.name}; compare it with its learner in simulation: "
            "rdahw train --hdl"
        )
    return list(_CLAIMS[row.name](spec, row))
