"""A large netlist, from the file to its derivative as Verilog: processor seconds and memory of `rdahw grad`.

    python bench/large_netlist.py [--gates 100000] [--inputs 64] [--law reverse]

The netlist is random: each gate (AND, OR, XOR, NAND or a multiplexer) reads some of the 3,000 gates before it.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: The forms of a gate's value.
FORMS = ("{a} & {b}", "{a} | {b}", "{a} ^ {b}", "~({a} & {b})", "{c} ? {a} : {b}")
#: How many gates before it a gate may read.
NEAR = 3000


def netlist(gates: int, inputs: int) -> Iterator[str]:
    """The lines of a module ``big``."""
    drawn = random.Random(1)
    names = [f"x[{i}]" for i in range(inputs)]
    yield f"module big(input [{inputs - 1}:0] x, output [31:0] y);"
    for k in range(gates):
        a, b, c = (names[drawn.randrange(max(0, len(names) - NEAR), len(names))] for _ in range(3))
        yield f"  wire n{k};\n  assign n{k} = {drawn.choice(FORMS).format(a=a, b=b, c=c)};"
        names.append(f"n{k}")
    yield f"  assign y = {{{', '.join(names[-1 - i * (gates // 64)] for i in range(32))}}};\nendmodule"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=100_000)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--law", choices=["reverse", "boolean", "forward"], default="reverse")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "big.v"
        path.write_text("\n".join(netlist(options.gates, options.inputs)) + "\n")
        law = [] if options.law == "reverse" else [f"--{options.law}"]
        command = [sys.executable, "-m", "rdahw.cli", "grad", str(path), "--to", "verilog", "--out", f"{name}/grad.v"]
        ran = subprocess.run([*command, *law], check=False)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        made = (Path(name) / "grad.v").stat().st_size if ran.returncode == 0 else 0
        seconds = used.ru_utime + used.ru_stime
        print(
            f"{options.gates:,} gates: exit code {ran.returncode}, {seconds:.0f} processor seconds, "
            f"{used.ru_maxrss / 1e6:.1f} GB of memory in the larger process, {made / 1e6:.0f} MB of Verilog"
        )


if __name__ == "__main__":
    main()
