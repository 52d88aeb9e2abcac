"""Networks that torchlogix exported are read and compute the same; the files are made by tests/golden/torchlogix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_files import golden
from sklearn.datasets import load_digits

from rdahw import Circuit
from rdahw.errors import UserError
from rdahw.given import free_tables
from rdahw.hdl.reader import read_circuit
from rdahw.sim import run

FOLDER = Path(str(golden("torchlogix")))


def scores(f: Any, x: Any, slot: int) -> Any:
    (found,) = run(f, x)
    return found.reshape(len(x), -1, slot).astype(np.int64) @ (1 << np.arange(slot))


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("name", ["digits.c", "digits.json", "packed.c"])
def test_an_exported_network_equals_torchlogix_on_1000_inputs(name: str, tables: bool) -> None:
    """The sums of the classes are those that the network itself gave in torch, and so is the class."""
    images, _ = load_digits(return_X_y=True)
    expected = np.array([row.split() for row in json.loads((FOLDER / "scores.json").read_text())], np.int64)
    f = read_circuit(FOLDER / name, tables=tables)
    assert isinstance(f, Circuit)
    found = scores(f, (images[:1000] >= 8).astype(np.uint8), 32)
    assert found.shape == (1000, 10)
    assert (found == expected).all()
    assert (free_tables(f)[1] != ()) == tables


def test_bits_constants_and_whole_sums(tmp_path: Path) -> None:
    text = """// Auto-generated circuit - do not edit
void circuit(
    const uint8_t in[3],
    uint16_t   out[24])
{
    uint8_t g3 = (in[0] & ~in[1]);
    uint8_t g4 = ~(((~in[1]) | g3) ^ (in[2] & (uint8_t)0));
    uint8_t raw[3];
    raw[0] = g3;
    raw[1] = ~g4;
    raw[2] = ~(uint8_t)0;

    for (int p = 0; p < 8; p++) {
        {
            int s = 0;
            for (int i = 0; i < 3; i++) s += (int)((raw[i] >> p) & 1);
            out[p * 3 + 0] = s + 300;
        }
        out[p * 3 + 1] = (uint16_t)((~(g4 & in[2]) >> p) & 1);
        out[p * 3 + 2] = 7;
    }
}
"""
    (tmp_path / "net.c").write_text(text)
    x = (np.arange(8)[:, None] >> np.arange(3) & 1).astype(np.uint8)
    a, b, c = x.T.astype(bool)
    g3, g4 = a & ~b, ~(~b | (a & ~b))
    expected = np.stack([300 + 1 + g3.astype(int) + ~g4, ~(g4 & c), np.full(8, 7)], axis=1)
    assert (scores(read_circuit(tmp_path / "net.c"), x, 16) == expected).all()
    (tmp_path / "net.c").write_text(text.replace("s + 300", "((float)s + 0.5f) / 2.0f"))
    with pytest.raises(UserError, match=r"net.c: its sums are divided by different numbers \(tau\)"):
        read_circuit(tmp_path / "net.c")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("void circuit(", "int circuit(", "is not C that torchlogix wrote"),
        ("    out[9] = ", "    out[10] = ", r"line \d+ is 'out|does not set all its outputs"),
        ("in[26] & in[37]", "in[26] & in[64]", r"line \d+ is '\(in\[26\] & in\[64\]\)'; expected a statement"),
        ("in[26] & in[37]", "in[26] + in[37]", r"line \d+ is '\(in\[26\] \+ in\[37\]\)'; expected a statement"),
        ("in[26] & in[37]", "in[26] & in[37] & in[1]", "expected a statement as torchlogix writes it"),
        ("(in[26] & in[37]);", "(in[26] & in[37];", "expected a statement as torchlogix writes it"),
        ("(in[26] & in[37]);", 'system("ls");', "expected a statement as torchlogix writes it"),
        ("bool g66 = ", "bool g67 = ", "a net has two drivers"),
        ("bool g66 = (in[26]", "bool g66 = (g9999", "'net 9999' is driven by nothing"),
        (" + 0.0f) / 4.0f", " + 0.5f) / 4.0f", "beta of a sum is 0.5; expected a whole number"),
        (" + 0.0f) / 4.0f", " + 0.0f) / 2.0f", "divided by different numbers"),
        ("raw[3] = ", "raw[999] = ", "adds up what is not set"),
    ],
)
def test_other_c_is_refused_in_a_sentence(old: str, new: str, why: str, tmp_path: Path) -> None:
    text = (FOLDER / "digits.c").read_text()
    assert old in text or "out[9]" in old
    (tmp_path / "net.c").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=why):
        read_circuit(tmp_path / "net.c")


@pytest.mark.parametrize(
    "change",
    [
        {"n_inputs": "64"},
        {"gates": [{"gate_id": 64, "op": "MAJORITY", "in0": 0, "in1": 1}]},
        {"gates": [{"gate_id": 3, "op": "AND", "in0": 0, "in1": 1}]},
        {"gates": 7},
        {"outputs": [None]},
        {"sum_nodes": [{"node_id": 1}]},
    ],
)
def test_other_json_is_refused_in_a_sentence(change: Any, tmp_path: Path) -> None:
    said = json.loads((FOLDER / "digits.json").read_text())
    (tmp_path / "net.json").write_text(json.dumps(said | change))
    with pytest.raises(UserError, match="net.json: it is not a whole network of torchlogix"):
        read_circuit(tmp_path / "net.json")
