"""is_safe on circuits with large tables, whose bits are told apart only where a row asks which is which."""

from __future__ import annotations

import pytest

from rdahw import Bits, is_safe, lookup_model, reverse, trace


@pytest.mark.parametrize("inputs", [1, 4, 20])
def test_a_lookup_is_safe_however_large(inputs):
    assert is_safe(lookup_model(inputs, 3))
    assert is_safe(reverse(lookup_model(inputs, 1)))


@pytest.mark.parametrize(
    ("safe", "function"),
    [
        (False, lambda t, u, x: t.lookup(x) & t.lookup(x)),
        (False, lambda t, u, x: t.lookup(x) & u.lookup(x)),
        (False, lambda t, u, x: t.lookup(x) & t[:1]),
        (False, lambda t, u, x: t.lookup(t[:2])),
        (True, lambda t, u, x: t.lookup(u[:2]) & x[:1]),
        (True, lambda t, u, x: t[:2].lookup(t[2:3])),
        (True, lambda t, u, x: t ^ u),
    ],
)
def test_tables_read_twice(safe, function):
    circuit = trace(function, t=Bits(4), u=Bits(4), x=Bits(2))
    assert is_safe(circuit) is safe
