"""A netlist of LUTs with emptied tables, trained further: accuracy before and after.

    python bench/fine_tuning.py [--damages 3] [--empty 5] [--epochs 2]

A network learns Iris, is written as Verilog and mapped to LUTs of four inputs by Yosys. For each of the seeds 0, 1, …
``--empty`` of its LUTs, drawn at random, are emptied, and ``rdahw train --parameters tables`` learns all tables further
from 50 of the 75 training flowers. The other 25 choose the epoch and the optimiser, which is the one that is right most
often on them over all seeds; the 75 test flowers choose nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from rdahw.data import load
from rdahw.hdl.reader import read_circuit
from rdahw.hdl.toolchain import find, run
from rdahw.saved import load_model
from rdahw.sim import run as run_circuit

DATA = ("--data", "train.csv", "--test", "test.csv", "--binarise", "thermometer=4")
OPTIMISERS = ("sign=4", "sign=6")
HELD_OUT = 25
#: A LUT of two inputs or more in BLIF, and its contents.
LUT = re.compile(r"(\.names(?: \S+){3,}\n)[^.]*")


def rdahw(work: Path, *arguments: str) -> Any:
    """What a command prints as JSON."""
    command = [sys.executable, "-m", "rdahw.cli", *arguments, "--json"]
    return json.loads(subprocess.run(command, cwd=work, check=True, capture_output=True, text=True).stdout)


def damaged(text: str, empty: int, seed: int) -> str:
    """The BLIF with the contents of so many LUTs left out."""
    chosen = random.Random(seed).sample(list(LUT.finditer(text)), empty)
    for found in sorted(chosen, key=lambda each: -each.start()):
        text = text[: found.start()] + found[1] + text[found.end() :]
    return text


def write_csv(path: Path, features: np.ndarray, labels: np.ndarray) -> None:
    """One flower a row; the rows in another order than that of the classes, as the last ones are held out."""
    rows = np.column_stack([features, labels])[np.random.default_rng(0).permutation(len(labels))]
    path.write_text("".join(",".join(f"{cell:g}" for cell in row) + "\n" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--damages", type=int, default=3)
    parser.add_argument("--empty", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        train, test = load("iris").train, load("iris").test
        assert test is not None
        write_csv(work / "train.csv", train.features, train.labels)
        write_csv(work / "test.csv", test.features, test.labels)
        rdahw(work, "train", *DATA, "--model", "layers:24x4,12x4", "--out", "iris.rdahw")
        rdahw(work, "export", "iris.rdahw", "--inference", "--to", "verilog", "--out", "iris.v")
        script = "read_verilog iris.v; synth -flatten -lut 4; write_blif iris.blif"
        run(find("yosys"), ["-q", "-p", script], cwd=work, log="log", makes=["iris.blif"])
        text = (work / "iris.blif").read_text()
        x = load_model(work / "iris.rdahw").binariser.transform(test.features)
        labels = np.eye(3, dtype=np.uint8)[test.labels]

        def right(file: str) -> int:
            return int((run_circuit(read_circuit(work / file), x)[0] == labels).all(axis=1).sum())

        before, tuned = [], {}
        print(f"{len(LUT.findall(text))} LUTs, right {right('iris.blif')} of {len(labels)}")
        for seed in range(options.damages):
            (work / "damaged.blif").write_text(damaged(text, options.empty, seed))
            before.append(right("damaged.blif"))
            for optimiser in OPTIMISERS:
                tuned[optimiser, seed] = rdahw(
                    work, "train", *DATA, "--model", "damaged.blif", "--parameters", "tables", "--optimiser", optimiser,
                    "--validation", str(HELD_OUT), "--epochs", str(options.epochs), "--score", "epoch",
                    "--out", "tuned.rdahw",
                )  # fmt: skip
        held_out = {
            optimiser: statistics.mean(tuned[optimiser, seed]["validation_accuracy"] for seed in range(options.damages))
            for optimiser in OPTIMISERS
        }
        best = max(held_out, key=held_out.__getitem__)
        print("on the flowers held out:", ", ".join(f"{rule} {share:.1%}" for rule, share in held_out.items()))
        after = [tuned[best, seed]["test_correct"] for seed in range(options.damages)]
        print(f"{options.empty} of them emptied, right: {before}; trained further by {best}: {after}")


if __name__ == "__main__":
    main()
