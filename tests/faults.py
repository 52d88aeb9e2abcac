"""Faults in elaborated hardware: a signal or a condition stuck at 0 or at 1.

Where faults can be is found by walking the statements of a component, so that nothing about it is written down here.
Amaranth has no public way of doing that: its transformers, and the form of a ``Fragment``, may change with its minor
version.

:func:`fault` puts one fault into a class of components. :class:`Faulty` is a component, with all that is below it, in
which every fault can be switched on while it is simulated, so that it is compiled once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from amaranth.hdl import Cat, Const, Fragment, Module, Signal, Value
from amaranth.hdl._ast import Assign, Concat, Switch, SwitchValue
from amaranth.hdl._xfrm import StatementTransformer, ValueTransformer
from amaranth.lib import memory, wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In

from rdahw.hdl.circuit import CircuitModule


class NoPlace(LookupError):
    """A component of another size has no place for the fault."""


#: Kinds of faults: from the bit as it should be to the bit as it is.
KINDS: dict[str, Callable[[Any], Any]] = {
    "stuck at 0": lambda bit: Cat(bit) & 0,
    "stuck at 1": lambda bit: Cat(bit) | 1,
}

#: Switches in one member: as many bits as simulators take as a number.
_CHUNK = 32


@dataclass(frozen=True, slots=True)
class Site:
    """A place for a fault. text: what it is called: a signal by its name, with the bit in brackets if there are more; a
    condition by ``if`` or ``mux``, the domain and what is asked; what is below the component by the path to it. Of
    several that would be called alike, the second ends in ``#2``.
    """

    text: str


#: Says which fault a place gets: ``None`` for none, or from the bit as it should be to the bit as it is.
_Choose = Callable[[Site], Callable[[Any], Any] | None]


def sites(component: Any) -> list[Site]:
    """Where ``component`` can have a fault: its inputs, the signals that it drives, and each condition.

    Of what is wider than a bit, the lowest and the highest bit, and of a structure those of each field. What is driven
    into a circuit is not among them: circuits are the matter of the tables.
    """
    found: list[Site] = []
    _place(Fragment.get(component, None), "", _Counted(found.append), component)
    return found


@contextmanager
def fault(component: type, site: Site, kind: str) -> Iterator[None]:
    """While this lasts, components of this class have the fault."""
    original = component.elaborate

    def elaborate(self: Any, platform: object) -> Fragment:
        fragment = Fragment.get(original(self, platform), platform)
        done: list[Site] = []

        def choose(here: Site) -> Callable[[Any], Any] | None:
            if here != site:
                return None
            done.append(here)
            return KINDS[kind]

        _place(fragment, "", _Counted(choose), self)
        if not done:
            raise NoPlace(f"{component.__name__} has no place {site.text}")
        return fragment

    component.elaborate = elaborate
    try:
        yield
    finally:
        component.elaborate = original


class Faulty(wiring.Component):
    """``component`` with every fault of it and of what is below it, but for the submodules called one of ``skip``.

    Members: those of ``component``, and :attr:`switches`, a bit for each of :attr:`sites` and each kind. All 0: the
    component as it is. With ``fixed`` there are no switches, and the component has this fault, or none.

    The component is elaborated at once and must not be used again.
    """

    def __init__(
        self, component: Any, skip: Collection[str] = (), *, fixed: tuple[int, str] | Literal["none"] | None = None
    ) -> None:
        self.component, self._fixed = component, fixed
        #: Where the faults are.
        self.sites: list[Site] = []
        #: The signals behind faulty ones, by their names: with a register's, a simulator reads and overwrites it.
        self.intact: dict[str, Any] = {}
        self._stuck: list[Any] = []
        self.fragment = Fragment.get(component, None)
        choose = _Counted(self._choose)
        ports = {path: value for path, member, value in _ports(component) if member.flow == In}
        self._inputs = {path: (value, *_with_faults(value, ".".join(path), choose)) for path, value in ports.items()}
        self._walk(self.fragment, "", skip, choose)
        #: The members that switch faults on.
        self.switches = {
            f"stuck_at_{value}_{first}": In(min(_CHUNK, len(self.sites) - first))
            for value in range(len(KINDS))
            for first in range(0, 0 if fixed else len(self.sites), _CHUNK)
        }
        super().__init__({**dict(component.signature.members), **self.switches})

    def _choose(self, site: Site) -> Callable[[Any], Any] | None:
        number = len(self.sites)
        if self._fixed:
            self.sites.append(site)
            return KINDS[self._fixed[1]] if self._fixed[0] == number else None
        low, high = Signal(name=f"fault{number}_0"), Signal(name=f"fault{number}_1")
        self.sites.append(site)
        self._stuck.append((low, high))
        return lambda bit: (Cat(bit) & ~low) | high

    def _walk(self, fragment: Fragment, path: str, skip: Collection[str], choose: _Choose) -> None:
        self.intact |= _place(fragment, path, choose)
        for part, name, _ in fragment.subfragments:
            if name not in skip and type(part) is Fragment:
                self._walk(part, f"{path}{name}.", (), choose)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.component = self.fragment
        ours = {path: Value.cast(value) for path, _, value in _ports(self)}
        for path, member, value in _ports(self.component):
            if member.flow == In:
                _, intact, faulty = self._inputs[path]
                m.d.comb += [intact.eq(ours[path]), Value.cast(value).eq(intact if faulty is None else faulty)]
            else:
                m.d.comb += ours[path].eq(Value.cast(value))
        for number, stuck in enumerate(self._stuck):
            for kind, signal in zip(KINDS, stuck, strict=True):
                name, bit = self.switch(number, kind)
                m.d.comb += signal.eq(getattr(self, name)[bit])
        return m

    @staticmethod
    def switch(number: int, kind: str) -> tuple[str, int]:
        """The member, and the bit of it, that switches on the fault of this kind at ``sites[number]``."""
        return f"stuck_at_{list(KINDS).index(kind)}_{number // _CHUNK * _CHUNK}", number % _CHUNK


class _Counted:
    """Places that would be called alike, told apart by a number."""

    def __init__(self, choose: Callable[[Site], Any]) -> None:
        self._choose = choose
        self._seen: dict[str, int] = {}

    def __call__(self, site: Site) -> Any:
        self._seen[site.text] = count = self._seen.get(site.text, 0) + 1
        return self._choose(site if count == 1 else Site(f"{site.text} #{count}"))


# -- signals -----------------------------------------------------------------------------------------------------------


def _ports(component: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Path, member and value of each port that has bits."""
    for path, member, value in component.signature.flatten(component):
        if len(Value.cast(value)) and not isinstance(Value.cast(value), Const):  # an always ready stream has a constant
            yield tuple(map(str, path)), member, value


def _memory_ports(component: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The same of the ports of a memory, which are not in its signature."""
    if isinstance(component, memory.Memory):
        for kind, ports in (("read", component.read_ports), ("write", component.write_ports)):
            for number, port in enumerate(ports):
                for path, member, value in _ports(port):
                    yield (f"{kind}{number}", *path), member, value


def _components(fragment: Fragment) -> Iterator[Any]:
    """The components that became the fragment."""
    return (c for c in fragment.origins or () if isinstance(getattr(c, "signature", None), wiring.Signature))


def _place(fragment: Fragment, path: str, choose: _Choose, inputs_of: Any = None) -> dict[str, Any]:
    """Puts faults into the statements of ``fragment`` itself, and into the inputs of the component ``inputs_of``.

    Gives the signals that are driven in the place of faulty ones, by those ones' names.
    """
    signals = _signals(fragment, inputs_of)
    driven = {id(signal) for signal in _driven(fragment)}
    _Conditions(path, choose).over(fragment)
    written: dict[int, Any] = {}
    read: dict[int, Any] = {}
    added, intact = [], {}
    for name, value in signals:
        signal = Value.cast(value)
        other, faulty = _with_faults(value, path + name, choose)
        if faulty is None:
            intact[path + name] = signal
            continue
        if id(signal) in driven:  # what drives it drives another one instead
            written[id(signal)] = intact[path + name] = other
            added.append(signal.eq(faulty))
        else:  # an input is read with its fault
            read[id(signal)] = other
            added.append(other.eq(_Rename({}, {id(other): signal}).reading(faulty)))
    _Rename(written, read).over(fragment)
    fragment.add_statements("comb", *added)
    return intact


def _with_faults(value: Any, name: str, choose: _Choose) -> tuple[Any, Any]:
    """Another signal like this one, and that one's bits with their faults; ``None`` for them if there are none."""
    signal = Value.cast(value)
    fields = {"": (0, len(signal))}
    if isinstance(value, View):
        fields = {str(key): (field.offset, field.width) for key, field in value.shape()}
    other = Signal.like(signal, name=f"{signal.name}_intact")
    bits, is_changed = list(other.as_unsigned()), False
    for field, (low, width) in fields.items():
        text = f"{name}.{field}" if field else name
        for bit in dict.fromkeys((0, width - 1) if width else ()):
            change = choose(Site(text if width == 1 else f"{text}[{bit}]"))
            if change is not None:
                is_changed, bits[low + bit] = True, change(bits[low + bit])[0]
    return other, Cat(bits) if is_changed else None


def _driven(fragment: Fragment) -> list[Any]:
    return [s for statements in fragment.statements.values() for s in statements._lhs_signals()]


def _signals(fragment: Fragment, inputs_of: Any) -> list[tuple[str, Any]]:
    """Each signal that is driven in the fragment's own statements, and each input of ``inputs_of``: name and itself.

    Ports go by their paths, other signals by their names.
    """
    named = {id(signal): (signal.name, signal) for signal in _driven(fragment)}
    own = _components(fragment) if inputs_of is None else [inputs_of]
    parts = [("", component, False) for component in own]
    parts += [(f"{name}.", c, True) for part, name, _ in fragment.subfragments for c in _components(part)]
    for prefix, component, is_below in parts:
        operands = component.operands if is_below and isinstance(component, CircuitModule) else ()
        for port in operands:
            named.pop(id(Value.cast(port)), None)
        for path, _, value in chain(_ports(component), _memory_ports(component)):
            if id(Value.cast(value)) in named:
                named[id(Value.cast(value))] = prefix + ".".join(path), value
    inputs = [] if inputs_of is None else [p for p in _ports(inputs_of) if p[1].flow == In]
    named |= {id(Value.cast(value)): (".".join(path), value) for path, _, value in inputs}
    return [(name, value) for name, value in named.values() if name]  # Amaranth's own signals have none


class _Transformer(ValueTransformer, StatementTransformer):
    def over(self, fragment: Fragment) -> None:
        for domain, statements in fragment.statements.items():
            self.domain = domain
            fragment.statements[domain] = self.on_statement(statements)


class _Rename(_Transformer):
    """Other signals in the place of some, by their identity: where those are driven, or where they are read."""

    def __init__(self, written: Mapping[int, Any], read: Mapping[int, Any]) -> None:
        self._written, self._read = written, read
        self._names = read

    def on_Signal(self, value: Any) -> Any:
        return self._names.get(id(value), value)

    def reading(self, value: Any) -> Any:
        """What is read of a value."""
        self._names = self._read
        return self.on_value(value)

    def on_Assign(self, stmt: Any) -> Any:
        self._names = self._written
        target = self.on_value(stmt.lhs)
        return Assign(target, self.reading(stmt.rhs))

    def on_Switch(self, stmt: Any) -> Any:
        test = self.reading(stmt.test)
        return Switch(test, [(patterns, self.on_statement(body), line) for patterns, body, line in stmt.cases])


# -- conditions --------------------------------------------------------------------------------------------------------


class _Conditions(_Transformer):
    """Puts faults into the conditions of each ``If`` and each ``Mux``.

    What an ``If`` decides in each domain is a condition of its own. The choice by the state of a state machine is none:
    that is a signal.
    """

    def __init__(self, path: str, choose: _Choose) -> None:
        self._path, self._choose = path, choose
        self._done: dict[int, Any] = {}  # what stands for a Mux that is read in several places

    def _visit(self, kind: str, bit: Any) -> Any:
        change = self._choose(Site(f"{self._path}{kind} ({self.domain}): {_short(bit)}"))
        return bit if change is None else change(bit)[0]

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
    return text if len(text) <= 90 else text[:87] + "..."
