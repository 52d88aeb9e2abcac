"""Faults in elaborated hardware: a signal or a condition stuck at 0 or at 1.

Where faults can be is found by walking the statements of the component's own module, so that nothing about it is
written down here. Amaranth has no public way of doing that: its transformers, and the form of a ``Fragment``, may
change with its minor version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Fragment, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Switch, SwitchValue
from amaranth.hdl._xfrm import StatementTransformer, ValueTransformer
from amaranth.lib.data import View

from rdahw.hdl.circuit import CircuitModule

#: Kinds of faults: from the bit as it should be to the bit as it is.
KINDS: dict[str, Callable[[Any], Any]] = {
    "stuck at 0": lambda bit: Cat(bit) & 0,
    "stuck at 1": lambda bit: Cat(bit) | 1,
}


@dataclass(frozen=True, slots=True)
class Site:
    """A place for a fault: ``kind`` is ``"signal"``, ``"if"`` or ``"mux"``.

    key: the signal's name, or the condition's number in the order of the statements. bit: of the signal, from its low
    end, or negative from its high one, so that it is the same bit where the signal is wider. text: for people.
    """

    kind: str
    key: str | int
    bit: int
    text: str


def sites(component: Any) -> list[Site]:
    """Where ``component`` can have a fault: its inputs, the signals that it drives, and each condition.

    Of what is wider than a bit, the lowest and the highest bit, and of a structure those of each field. What is driven
    into a circuit is not among them: circuits are the matter of the tables.
    """
    fragment = Fragment.get(component, None)
    found = []
    for name, (signal, fields) in _signals(component, fragment).items():
        for field, (low, width) in fields.items():
            text = f"{name}.{field}" if field else name
            found.append(Site("signal", name, low, text if width == 1 else f"{text}[0]"))
            if width > 1:
                found.append(Site("signal", name, low + width - 1 - len(signal), f"{text}[{width - 1}]"))
    walk = _Conditions(None)
    walk.over(fragment)
    return found + walk.sites


@contextmanager
def fault(component: type, site: Site, kind: str) -> Iterator[None]:
    """While this lasts, components of this class have the fault."""
    original = component.elaborate

    def elaborate(self: Any, platform: object) -> Fragment:
        fragment = Fragment.get(original(self, platform), platform)
        if site.kind == "signal":
            _into_signal(_signals(self, fragment)[str(site.key)][0], fragment, site, KINDS[kind])
        else:
            walk = _Conditions((site, KINDS[kind]))
            walk.over(fragment)
            assert walk.is_done, f"{component.__name__} has no condition {site.text}"
        return fragment

    component.elaborate = elaborate
    try:
        yield
    finally:
        component.elaborate = original


# -- signals -----------------------------------------------------------------------------------------------------------


def _driven(fragment: Fragment) -> list[Any]:
    return [s for statements in fragment.statements.values() for s in statements._lhs_signals()]


def _signals(component: Any, fragment: Fragment) -> dict[str, tuple[Any, dict[str, tuple[int, int]]]]:
    """Each signal with where its fields start and how wide they are; a plain one is a field without a name.

    Ports go by their paths, other signals by their names; two of a name are told apart by a number.
    """
    named = {id(signal): (signal.name, signal) for signal in _driven(fragment)}
    elsewhere = set()
    for part, _, _ in fragment.subfragments:
        elsewhere |= {id(signal) for signal in _driven(part)}
        for circuit in part.origins or ():
            if isinstance(circuit, CircuitModule):
                for port in circuit.operands:
                    named.pop(id(port), None)
    for path, _, value in component.signature.flatten(component):
        if id(Value.cast(value)) not in elsewhere:
            named[id(Value.cast(value))] = ".".join(map(str, path)), value
    result: dict[str, tuple[Any, dict[str, tuple[int, int]]]] = {}
    for name, value in named.values():
        signal, fields = Value.cast(value), {"": (0, len(Value.cast(value)))}
        if isinstance(value, View):
            fields = {str(key): (field.offset, field.width) for key, field in value.shape()}
        unique, count = name, 2
        while unique in result:
            unique, count = f"{name}#{count}", count + 1
        if name:  # Amaranth's own signals have none
            result[unique] = signal, fields
    return result


def _into_signal(signal: Any, fragment: Fragment, site: Site, change: Callable[[Any], Any]) -> None:
    """What drives the signal drives another one instead, and the signal is that with the fault; an input is read so."""
    is_driven = any(signal is other for other in _driven(fragment))
    other = Signal.like(signal, name=f"{signal.name}_{'intact' if is_driven else 'faulty'}")
    source, target = (other, signal) if is_driven else (signal, other)
    bits = list(source.as_unsigned())
    bits[site.bit] = change(bits[site.bit])[0]
    _Rename(signal, other, targets=is_driven).over(fragment)
    fragment.add_statements("comb", target.eq(Cat(bits)))


class _Transformer(ValueTransformer, StatementTransformer):
    def over(self, fragment: Fragment) -> None:
        for domain, statements in fragment.statements.items():
            self.domain = domain
            fragment.statements[domain] = self.on_statement(statements)


class _Rename(_Transformer):
    """Another signal in its place: where it is driven (``targets``), or where it is read."""

    def __init__(self, old: Any, new: Any, *, targets: bool) -> None:
        self.old, self.new, self.targets = old, new, targets
        self.on = False

    def on_Signal(self, value: Any) -> Any:
        return self.new if self.on and value is self.old else value

    def on_Assign(self, stmt: Any) -> Any:
        self.on = self.targets
        target = self.on_value(stmt.lhs)
        self.on = not self.targets
        result = Assign(target, self.on_value(stmt.rhs))
        self.on = False
        return result

    def on_Switch(self, stmt: Any) -> Any:
        self.on = not self.targets
        test = self.on_value(stmt.test)
        self.on = False
        return Switch(test, [(patterns, self.on_statement(body), line) for patterns, body, line in stmt.cases])


# -- conditions --------------------------------------------------------------------------------------------------------


class _Conditions(_Transformer):
    """Finds every condition of an ``If`` and of a ``Mux``, and puts the fault into the one that was asked for.

    What an ``If`` decides in each domain is a condition of its own. The choice by the state of a state machine is none:
    that is a signal.
    """

    def __init__(self, wanted: tuple[Site, Callable[[Any], Any]] | None) -> None:
        self.wanted = wanted
        self.sites: list[Site] = []
        self.is_done = False
        self._count = {"if": 0, "mux": 0}
        self._done: dict[int, Any] = {}  # what stands for a Mux that is read in several places

    def _visit(self, kind: str, bit: Any) -> Any:
        number = self._count[kind]
        self._count[kind] += 1
        self.sites.append(Site(kind, number, 0, f"{kind} {number} ({self.domain}): {_short(bit)}"))
        if self.wanted is not None and (self.wanted[0].kind, self.wanted[0].key) == (kind, number):
            self.is_done = True
            return self.wanted[1](bit)[0]
        return bit

    def on_Switch(self, stmt: Any) -> Any:
        test = self.on_value(stmt.test)
        if isinstance(test, Concat):
            test = Cat(self._visit("if", bit) for bit in test.parts)
        return Switch(test, [(patterns, self.on_statement(body), line) for patterns, body, line in stmt.cases])

    def on_SwitchValue(self, value: Any) -> Any:
        if id(value) not in self._done:
            test = self.on_value(value.test)
            if len(test) == 1:
                test = self._visit("mux", test)
            self._done[id(value)] = (
                SwitchValue(test, [(patterns, self.on_value(chosen)) for patterns, chosen in value.cases]),
                value,
            )
        return self._done[id(value)][0]


def _short(value: Any) -> str:
    text = repr(value)
    while "(sig " in text:
        head, _, rest = text.partition("(sig ")
        name, _, rest = rest.partition(")")
        text = head + name + rest
    return text if len(text) <= 60 else text[:57] + "..."
