"""Drawings: the whole text once, and names that need quoting."""

from __future__ import annotations

import re

import pytest

from rdahw import Bits, custom_reverse, reverse, trace
from rdahw.draw import MAX_DRAWN, to_dot
from rdahw.errors import UserError


def squeezed(text):
    return re.sub(r"\s+", " ", text).strip()


def test_the_whole_text_of_a_drawing():
    circuit = trace(lambda a, b: {"s": a ^ b, "c": (a & b)[1:2]}, a=Bits(2), b=Bits(2))
    assert squeezed(to_dot(circuit, "half adder")) == squeezed("""
        digraph "half adder" {
          rankdir=LR;
          node [fontname="Helvetica", fontsize=11, shape=box, style=rounded];
          edge [fontname="Helvetica", fontsize=9, arrowsize=0.6, color="#555555"];
          w0 [label="a", shape=cds, style=filled, fillcolor="#dbeafe"];
          w1 [label="b", shape=cds, style=filled, fillcolor="#dbeafe"];
          w2 [label="⊕"];
          w0 -> w2 [label="2"];
          w1 -> w2 [label="2"];
          w3 [label="∧"];
          w0 -> w3 [label="2"];
          w1 -> w3 [label="2"];
          w4 [label="slice\\nstart=1\\nstop=2"];
          w3 -> w4 [label="2"];
          y0 [label="s", shape=cds, style=filled, fillcolor="#dcfce7"];
          w2 -> y0 [label="2"];
          y1 [label="c", shape=cds, style=filled, fillcolor="#dcfce7"];
          w4 -> y1 [label="1"];
        }
    """)


def test_constants_blocks_and_titles():
    same = trace(lambda x: x ^ 5 ^ (1 << 40), x=Bits(48))
    dot = to_dot(same, 'a "title" \\ here')
    assert dot.startswith('digraph "a \\"title\\" \\\\ here" {')
    assert '[label="0x5"]' in dot
    assert '[label="const"]' in dot
    identity = trace(lambda x: x, x=Bits(1))
    block = custom_reverse(
        identity, trace(lambda x, dy: {"dx": dy}, x=Bits(1), dy=Bits(1)), name="back\\slash", exact=True
    )
    assert '[label="back\\\\slash"]' in to_dot(trace(block, x=Bits(1)))


def test_every_wire_of_an_edge_has_a_node():
    dot = to_dot(reverse(trace(lambda x, y: (x <= y) & x.lookup(y[:2]), x=Bits(4), y=Bits(4))))
    nodes = set(re.findall(r"^  (\w+) \[", dot, re.MULTILINE))
    edges = re.findall(r"^  (\w+) -> (\w+) ", dot, re.MULTILINE)
    assert edges
    assert {name for edge in edges for name in edge} <= nodes


def test_a_circuit_too_large():
    def chain(length):
        def function(x, y):
            for _ in range(length // 2):
                x = ~(x ^ y)
            return x

        return trace(function, x=Bits(1), y=Bits(1))

    assert to_dot(chain(MAX_DRAWN))
    with pytest.raises(UserError, match="^a circuit of 2002 assignments is too large to draw; the limit is 2000$"):
        to_dot(chain(MAX_DRAWN + 2))
