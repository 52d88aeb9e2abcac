"""What a model computes, as tables that a small program runs: the plan that :mod:`rdahw.sim.c_source` writes as C.

A *network* computes bits. Its nodes are numbered: first the bits of its inputs, each input padded to whole octets, then
the constants 0 and 1, then what its lookup tables hold at the bits that they read, table by table. A model whose tables
vote (:meth:`rdahw.family.Spec.table_layers`) is a network of all but the last layer, and votes; any other model is the
network of its circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdahw.circuit import Circuit
from rdahw.data import Code
from rdahw.errors import UsageError, UserError
from rdahw.family import Spec
from rdahw.hdl.interface import is_state_of_learner
from rdahw.primitives import Array
from rdahw.sim.netlist import MAX_GATES, ROWS, lower
from rdahw.state import State
from rdahw.table_scores import TableLayer, TableLearning, votes_in_turn
from rdahw.tracing import Builder, Wire, trace
from rdahw.transform import bind, to_rows
from rdahw.types import Bits

__all__ = ["CircuitLearning", "Luts", "Network", "Program", "Votes", "make_program", "network"]

#: The most nodes of a network.
_MOST_NODES = 1 << 20
#: The most classes, as their numbers have 32 bits.
_MOST_CLASSES = 1 << 31
#: The most inputs of a table that is kept as one; more are gates.
_MOST_INPUTS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Luts:
    """Lookup tables with as many inputs each. wiring (tables, inputs): the nodes that they read, the lowest bit of the
    index first. bits (tables, 2^inputs): what they hold."""

    wiring: NDArray[np.int64]
    bits: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Network:
    """inputs: the bits of each input. luts: in order. outputs: nodes."""

    inputs: tuple[int, ...]
    luts: tuple[Luts, ...] = ()
    outputs: tuple[int, ...] = ()

    @cached_property
    def starts(self) -> list[int]:
        """The octet at which each input begins, and the octet after the last."""
        return list(accumulate(((bits + 7) // 8 for bits in self.inputs), initial=0))

    @property
    def nodes(self) -> int:
        """The number of nodes, padding included."""
        return 8 * self.starts[-1] + 2 + sum(len(each.wiring) for each in self.luts)


@dataclass(frozen=True, eq=False)
class Votes:
    """Tables that vote. wiring (tables, inputs): the nodes that they read. values (tables, 2^inputs, classes)."""

    wiring: NDArray[np.int64]
    values: NDArray[Any]

    @cached_property
    def in_turn(self) -> NDArray[np.bool_] | None:
        """If table j holds bits and votes for class j modulo ``classes``: the bits (tables, 2^inputs)."""
        classes = self.values.shape[2]
        tables = np.arange(len(self.values))
        own = self.values[tables, :, tables % classes]
        if not np.isin(own, (0, 1)).all() or not np.array_equal(votes_in_turn(own, classes), self.values):
            return None
        return own.astype(np.bool_)


@dataclass(frozen=True, eq=False)
class CircuitLearning:
    """step: (theta, x, label) ↦ theta, and after it the prediction. parameters, first (P,): theta now, and before the
    first example."""

    step: Network
    parameters: Array
    first: Array
    spec: Spec


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """A model of ``classes`` classes. votes: those of its last layer, on the nodes of ``network``; None: the outputs of
    the network are the ``code`` of the class. learning: how it learns, if it does."""

    input_bits: int
    classes: int
    network: Network
    votes: Votes | None = None
    code: Code = "binary"
    learning: TableLearning | CircuitLearning | None = field(default=None)


def make_program(spec: Spec, state: State, *, learn: bool = False) -> Program:
    """The program of ``spec`` at ``state``; raises :class:`UsageError` if it is too large, or for a model that is to
    ``learn`` by a rule that is not written as a program."""
    if spec.classes >= _MOST_CLASSES:
        raise UsageError(
            f"model {spec.name!r} tells more than {_MOST_CLASSES - 1:,} results apart, too many for numbers of 32 "
            "bits in C; choose a model of fewer"
        )
    if layers := spec.table_layers(state):
        learning = spec.table_learning(state) if learn else None
        if learning is not None or not learn:
            return _of_layers(spec, layers, learning)
    if learn:
        return _learner(spec, state)
    spec, state = spec.trained(state)
    model = spec.learner().model
    whole = bind(model.predictor, **{model.circuit.input_names[0]: spec.theta(state).tolist()})
    return Program(input_bits=spec.input_bits, classes=spec.classes, network=network(whole), code=spec.code)


def _of_layers(spec: Spec, layers: Sequence[TableLayer], learning: TableLearning | None) -> Program:
    *hidden, last = layers
    made = Network((spec.input_bits,))
    at, luts = 0, []
    for layer in hidden:
        luts.append(Luts(layer.wiring + at, layer.values[..., 0].astype(np.bool_)))
        at = Network(made.inputs, tuple(luts)).nodes - len(layer.wiring)
    made = Network(made.inputs, tuple(luts))
    _check_size(f"model {spec.name!r}", made.nodes)
    votes = Votes(last.wiring + at, last.values)
    return Program(input_bits=spec.input_bits, classes=spec.classes, network=made, votes=votes, learning=learning)


def _learner(spec: Spec, state: State) -> Program:
    try:
        fits = is_state_of_learner(spec)
    except UsageError:  # which tells of circuits
        fits = False
    if not fits:
        raise UsageError(
            f"model {spec.name!r} does not learn in C, as its rule is neither that of one circuit nor that of counters "
            "that vote; train it with rdahw train and export the file without --learn"
        )
    learner = spec.learner()
    theta, x, label = learner.request.inputs

    def step(theta: Wire, x: Wire, y: Wire) -> dict[str, Wire]:
        dtheta, output = learner.request(theta, x, y)
        return {"theta": learner.update(theta, dtheta), "output": output}

    whole = network(trace(step, theta=theta.type, x=x.type, y=label.type))
    predicting = network(learner.model.predictor)
    return Program(
        input_bits=spec.input_bits,
        classes=spec.classes,
        network=predicting,
        code=spec.code,
        learning=CircuitLearning(whole, spec.theta(state), spec.theta(spec.initial_state()), spec),
    )


def _check_size(name: str, nodes: int) -> None:
    if nodes > _MOST_NODES:
        raise UsageError(
            f"{name} would have {nodes:,} gates and inputs or more as a program, and at most {_MOST_NODES:,} are "
            "written; train with fewer tables or inputs"
        )


# -- circuits ----------------------------------------------------------------------------------------------------------


def network(circuit: Circuit) -> Network:
    """The network of a circuit: lookups of its inputs in constants are tables, and all else gates of three inputs."""
    rest, found = _without_tables(to_rows(circuit, ROWS))
    try:
        made = lower(rest).fused()
    except UserError:  # which names engines
        _check_size("the circuit", MAX_GATES)
        raise
    inputs = tuple(type_.width for type_ in circuit.input_types)
    empty = Network(inputs)
    first = 8 * empty.starts[-1]
    own = [8 * at + bit for at, width in zip(empty.starts, inputs, strict=False) for bit in range(width)]
    node = np.array([first, first + 1, *own])
    luts = []
    # Tables with as many inputs are together; the others keep their order.
    order = sorted(range(len(found)), key=lambda i: len(found[i][0]))
    for size in sorted({len(wires) for wires, _ in found}):
        its = [found[i] for i in order if len(found[i][0]) == size]
        luts.append(Luts(node[[wires for wires, _ in its]], np.array([bits for _, bits in its], np.bool_)))
    place = np.empty(len(found), np.int64)
    place[order] = first + 2 + np.arange(len(found))
    node = np.concatenate([node, place, first + 2 + len(found) + np.arange(len(made.gates))])
    _check_size("the circuit", len(node))
    if made.gates:
        gates = np.array(made.gates)
        luts.append(Luts(node[gates[:, 1:]], (gates[:, :1] >> np.arange(8) & 1).astype(np.bool_)))
    return Network(inputs, tuple(luts), tuple(node[[bit for output in made.outputs for bit in output]].tolist()))


def _without_tables(circuit: Circuit) -> tuple[Circuit, list[tuple[list[int], list[int]]]]:
    """The circuit with a further input that has the results of the lookups of input bits in constants, and of each of
    them the wires that it reads, 2 and more for the bits of all inputs, and the bits that it finds there."""
    known = _known(circuit)
    found, at = list[tuple[list[int], list[int]]](), dict[int, int]()
    for wire, (primitive, operands, _) in circuit.wires():
        if primitive != "lookup":
            continue
        table, address = (known[i] for i in operands)
        if table is None or address is None or max(table) > 1 or min(address) < 2 or len(address) > _MOST_INPUTS:
            continue
        at[wire], size = len(found), 1 << len(address)
        found += [(address, table[i : i + size]) for i in range(0, len(table), size)]
    if not found:
        return circuit, found
    builder = Builder()
    wires = [builder.input(name, type_) for name, type_ in circuit.inputs]
    looked_up = builder.input("_".join(["tables", *circuit.input_names]), Bits(len(found)))
    for wire, (primitive, operands, attributes) in circuit.wires():
        if wire in at:
            wires.append(looked_up[at[wire] : at[wire] + circuit.types[wire].width])
        else:
            wires.append(builder.apply(primitive, *(wires[i] for i in operands), attributes=attributes))
    return builder.finish({name: wires[i] for name, i in circuit.outputs}), found


def _known(circuit: Circuit) -> list[list[int] | None]:
    """Of each wire its bits, if all are constants, 0 and 1, or bits of inputs, 2 and more."""
    known, at = list[list[int] | None](), 2
    for type_ in circuit.input_types:
        known.append(list(range(at, at + type_.width)))
        at += type_.width
    for primitive, operands, attributes in circuit.assignments:
        reads = [known[i] for i in operands]
        passes = primitive in _PASSING and None not in reads
        # These rows of the netlist need no builder.
        known.append(ROWS[primitive](None, *reads, *attributes) if passes else None)
    return known


#: The primitives that pass bits on.
_PASSING = ("const", "concat", "slice", "repeat", "gather", "to_words", "to_switches", "to_scalars", "to_bits")
