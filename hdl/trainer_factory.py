"""The choice of a model's trainer or fixed model, the same for simulation, synthesis and the host.

The rows of :data:`TRAINERS` and :data:`PREDICTORS` are tried in their order. A family without its own rows has those of
every learner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from rdahw.errors import UsageError
from rdahw.families.mask import mask_model
from rdahw.family import Spec
from rdahw.hdl.frontend import Frontend, NumberFrontend, PixelFrontend
from rdahw.hdl.interface import Interface, circuit_interface, is_state_of_learner
from rdahw.hdl.layer_words import layers_interface
from rdahw.hdl.machine_interface import in_memory, machine_interface, memory_interface, sequence_cycles
from rdahw.hdl.memory_fit import Memories, Needs, folded_needs, is_circuit, layer_needs, rom_needs, table_needs
from rdahw.hdl.table_words import SETTINGS_OCTETS, settings_address, table_interface, word_stride
from rdahw.learner import Learner
from rdahw.state import State

if TYPE_CHECKING:
    from rdahw.hdl.trainer import Trainer

__all__ = [
    "PREDICTORS",
    "TRAINERS",
    "Row",
    "choose_trainer",
    "interfaces",
    "make_predictor",
    "make_trainer",
    "predictors",
]

#: The widest mask that is kept in registers: it takes about ten logic cells a bit, a word-serial one about 500 in all.
REGISTER_MASK_INPUTS = 64
#: The most parameter bits that are kept in registers: at some ten logic cells a bit, no supported board has room for
#: as many.
MOST_REGISTER_BITS = 1 << 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A trainer or a fixed model.

    name: where its parameters are. family: the family whose models it is for; "": all families without their own rows.
    fits: whether it suits a spec. options: those of ``batch``, ``stages``, ``flash``, ``drift``, ``frontend``,
    ``frontend pins`` and ``encoder`` that it supports. make: for a trainer ``make(spec, access, memory_kind,
    **options)``, for a fixed model ``make(spec, state, levels, cells, **options)`` as
    :class:`rdahw.hdl.inference.FixedModel`. interfaces: its possible interfaces, with a frontend if one is given.
    needs: what it needs of a board with such memories, also to train from a flash, or with a frontend, if known.
    tables: of a fixed model that takes an example each cycle, the fewest look-up tables, by
    :func:`rdahw.hdl.inference.tables_of`; None: another one, or they are known of its netlist alone.
    simulator: the compiled engine of :mod:`rdahw.sim.simulator` to prefer, if not the usual one. cycles: about those of
    an update, to choose an engine by.
    """

    name: str
    family: str = ""
    fits: Callable[[Any], bool]
    options: tuple[str, ...] = ()
    make: Callable[..., Trainer]
    interfaces: Callable[[Any, Any], Iterable[Interface]]
    simulator: str = ""
    cycles: Callable[[Any], int] = lambda spec: max(1, spec.parameters.bits // 64)
    needs: Callable[[Any, Memories, bool, Any], Needs | None] = lambda *given: None
    tables: Callable[[Any], int] | None = None


# -- rows --------------------------------------------------------------------------------------------------------------


def _in_memory(spec: Any, access: bool, memory_kind: str, **options: Any) -> Trainer:
    from rdahw.hdl.memory_trainer import MemoryTrainer

    return MemoryTrainer(spec, memory_kind, **options)


def _of_memory(spec: Any, frontend: PixelFrontend | None) -> list[Interface]:
    made = table_interface(spec, settings_address(spec) + SETTINGS_OCTETS, learns=True, frontend=frontend)
    return _with_flash(made) if frontend is None else [made]


def _with_flash(trainer: Interface) -> list[Interface]:
    """The interface of a trainer, and that of a board that trains with it by itself."""
    from rdahw.hdl.flash_trainer_registers import flash_trainer_interface

    return [trainer, flash_trainer_interface(trainer)]


def _word_serial(spec: Spec, access: bool, memory_kind: str) -> Trainer:
    from rdahw.hdl.serial_mask import SerialMaskTrainer

    k = _mask(spec.learner())
    assert k is not None
    return SerialMaskTrainer(spec.input_bits, k, access=access, spec=spec)


def _in_registers(spec: Spec, access: bool, memory_kind: str, **options: Any) -> Trainer:
    from rdahw.hdl.trainer import RegisterTrainer

    return RegisterTrainer(spec.learner(), access=access, spec=spec, **options)


def _with_shadows(spec: Any, access: bool, memory_kind: str) -> Trainer:
    from rdahw.hdl.machine_trainer import MachineTrainer

    return MachineTrainer(spec)


def _with_shadows_in_memory(spec: Any, access: bool, memory_kind: str) -> Trainer:
    from rdahw.hdl.machine_memory_trainer import MachineMemoryTrainer

    return MachineMemoryTrainer(spec)


def _folded(
    spec: Spec,
    state: State,
    levels: float | None = None,
    cells: str | None = None,
    frontend: NumberFrontend | None = None,
) -> Trainer:
    from rdahw.hdl.inference import LEVELS, FixedModel

    theta = spec.theta(state)
    return FixedModel(spec.learner(), theta, levels=levels or LEVELS, cells=cells, spec=spec, frontend=frontend)


def _tables(spec: Spec) -> int:
    from rdahw.hdl.inference import tables_of

    return tables_of(spec.predicting())


def _of_logic(spec: Spec, frontend: NumberFrontend | None) -> list[Interface]:
    return [circuit_interface(spec, learns=False, frontend=frontend)]


def _from_rom(
    spec: Any,
    state: State,
    levels: float | None = None,
    cells: str | None = None,
    frontend: PixelFrontend | None = None,
) -> Trainer:
    from rdahw.hdl.memory_inference import MemoryInference

    return MemoryInference(spec, state[spec.parameters.name], frontend)


def _of_rom(spec: Any, frontend: PixelFrontend | None) -> Iterator[Interface]:
    octets = (spec.tables << spec.inputs) * word_stride(spec)
    yield table_interface(spec, octets, learns=False, frontend=frontend)


def _of_layers(spec: Any, access: bool, memory_kind: str, **options: Any) -> Trainer:
    from rdahw.hdl.layer_trainer import LayerTrainer

    return LayerTrainer(spec, memory_kind, **options)


def _mask(learner: Learner) -> int | None:
    """The k of a learner of the mask model by the paper's rule, else ``None``."""
    named = re.fullmatch(r"mask(?::k=(\d+))?", learner.model.name)
    if named is None or (learner.loss, learner.optimiser) != ("xor", "xor"):
        return None
    k = int(named[1] or 4)
    return k if learner.model.circuit == mask_model(learner.model.input_bits, k) else None


TRAINERS = (
    Row(
        name="block memory",
        family="ensemble",
        fits=lambda spec: True,
        options=("flash", "drift", "frontend"),
        make=_in_memory,
        interfaces=_of_memory,
        needs=table_needs,
    ),
    Row(
        name="memory, a table at a time",
        family="layers",
        fits=lambda spec: True,
        options=("flash",),
        make=_of_layers,
        interfaces=lambda spec, frontend: _with_flash(layers_interface(spec)),
        needs=layer_needs,
    ),
    Row(
        name="memory, a table at a time, with sums",
        family="layers",
        fits=lambda spec: True,
        options=("batch",),
        make=_of_layers,
        interfaces=lambda spec, frontend: [layers_interface(spec, batches=True)],
        needs=partial(layer_needs, batch=True),
    ),
    Row(
        name="registers, a symbol at a time",
        family="machine",
        fits=lambda spec: not in_memory(spec),
        options=("frontend pins",),
        make=_with_shadows,
        # What CXXRTL writes of 64 shadow machines takes the C++ compiler more than four minutes.
        simulator="verilator",
        interfaces=lambda spec, frontend: [machine_interface(spec)],
    ),
    Row(
        name="block memory, a shadow machine at a time",
        family="machine",
        fits=in_memory,
        cycles=sequence_cycles,
        options=("frontend pins",),
        make=_with_shadows_in_memory,
        interfaces=lambda spec, frontend: [memory_interface(spec)],
    ),
    Row(
        name="memory, a word at a time",
        fits=lambda spec: spec.input_bits > REGISTER_MASK_INPUTS and _mask(spec.learner()) is not None,
        make=_word_serial,
        interfaces=lambda spec, frontend: [circuit_interface(spec, word_bits=16)],
    ),
    Row(
        name="registers",
        fits=lambda spec: is_state_of_learner(spec) and spec.parameters.bits <= MOST_REGISTER_BITS,
        options=("batch", "stages"),
        make=_in_registers,
        interfaces=lambda spec, frontend: [circuit_interface(spec)],
    ),
)
PREDICTORS = (
    Row(
        name="logic",
        family="ensemble",
        fits=is_circuit,
        options=("encoder",),
        make=_folded,
        interfaces=_of_logic,
        needs=lambda spec, memories, flash, frontend: folded_needs(spec, memories),
    ),
    Row(
        name="block RAM",
        family="ensemble",
        fits=lambda spec: True,
        make=_from_rom,
        options=("frontend",),
        interfaces=_of_rom,
        needs=lambda spec, memories, flash, frontend: rom_needs(spec, memories, frontend),
    ),
    Row(
        name="logic",
        fits=lambda spec: True,
        options=("encoder",),
        make=_folded,
        interfaces=_of_logic,
        tables=_tables,
    ),
)


# -- the choice --------------------------------------------------------------------------------------------------------


def _rows(table: Sequence[Row], spec: Spec) -> list[Row]:
    return [row for row in table if row.family == spec.family] or [row for row in table if not row.family]


def choose_trainer(spec: Spec, **options: Any) -> Row:
    """The first trainer that fits ``spec`` and supports the given ``options`` of :class:`Row`; an option that is None,
    False or 1 counts as not given.

    Raises :class:`UsageError` if the model has no trainer, or none with such an option.
    """
    if spec.software_only:
        raise UsageError(spec.software_only)
    given = {name: value for name, value in options.items() if value is True or value not in (None, False, 1)}
    fitting = [row for row in _rows(TRAINERS, spec) if row.fits(spec)]
    if not fitting:
        raise UsageError(
            f"model {spec.name!r} has no trainer: its state is not only the parameters of its circuit, or they are "
            f"more than {MOST_REGISTER_BITS:,} bits; train it in software, and give its file to rdahw "
            "synth with --inference"
        )
    for row in fitting:
        if given.keys() <= set(row.options):
            return row
    wrong = next((name for name in given if not any(name in row.options for row in fitting)), None)
    if wrong is None:
        both = " and ".join(f"--{name}" for name in given)
        raise UsageError(f"{both} are not supported together for model {spec.name!r}; leave one of them out")
    raise _unsupported(spec, wrong)


def _unsupported(spec: Spec, option: str) -> UsageError:
    return UsageError(f"--{option} is not supported for model {spec.name!r}; leave it out")


def make_trainer(spec: Spec, *, access: bool = True, memory_kind: str = "block", **options: Any) -> Trainer:
    """The trainer of ``spec`` by :func:`choose_trainer`.

    access: with ``control``, and with a ``learn`` bit in the examples; a trainer in block memory always has them.
    memory_kind: of :class:`rdahw.hdl.table_memory.TableMemory`, for one in block memory. options: ``batch`` and
    ``stages``, as in :class:`rdahw.hdl.trainer.RegisterTrainer`; ``drift`` and ``frontend``, as in
    :class:`rdahw.hdl.memory_trainer.MemoryTrainer`.
    """
    row = choose_trainer(spec, **options)
    own = {name: value for name, value in options.items() if value is not None and name in row.options}
    return row.make(spec, access, memory_kind, **own)


def predictors(spec: Spec, frontend: Frontend | None = None) -> list[Row]:
    """The rows of the fixed models of the family of ``spec``, whether or not they fit it. Raises :class:`UsageError` if
    none supports a frontend that is given."""
    rows = [row for row in _rows(PREDICTORS, spec) if frontend is None or frontend.option in row.options]
    if frontend is not None and not rows:
        raise _unsupported(spec, frontend.option)
    return rows


def make_predictor(spec: Spec, state: State, frontend: Frontend | None = None, **options: Any) -> Trainer:
    """The first fixed model that fits ``spec``, with the parameters of ``state``; options: ``levels`` and ``cells`` of
    :class:`rdahw.hdl.inference.FixedModel`."""
    own = {} if frontend is None else {"frontend": frontend}
    return next(row for row in predictors(spec, frontend) if row.fits(spec)).make(spec, state, **options, **own)


def interfaces(spec: Spec, frontends: Sequence[Frontend] = ()) -> Iterator[Interface]:
    """The possible interfaces of a device of ``spec``: that of its usual trainer first, those with a frontend last."""
    rows = (*([] if spec.software_only else _rows(TRAINERS, spec)), *_rows(PREDICTORS, spec))
    fitting = [row for row in rows if row.fits(spec)]
    for row in fitting:
        yield from row.interfaces(spec, None)
    for row, frontend in product(fitting, frontends):
        if frontend.option in row.options:
            yield from row.interfaces(spec, frontend)
