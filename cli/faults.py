"""``rdahw faults``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdahw.cli._model import find_circuit, module_name
from rdahw.cli._output import Output, output_options
from rdahw.cli._params import file_option, size_options, solver_options, toolchain_option
from rdahw.errors import UsageError, UserError
from rdahw.wording import plural

if TYPE_CHECKING:
    from rdahw.hdl.proof import Solver
    from rdahw.sim.faults import Faults, Sensitivity, Tests

#: Up to so many rows are all listed for people.
_MOST_ROWS = 64


@click.command(
    "faults",
    epilog="""\b
Examples:
  rdahw faults my_models.py:adder
  rdahw faults my_models.py:adder --nets --json
  rdahw faults iris-lookup.rdahw --out iris-vectors.v
  rdahw faults mask --inputs 12""",
)
@click.argument("model", metavar="MODEL|NAME|FILE.py:NAME|FILE.v[:TOP]")
@click.option("--nets", is_flag=True, help="say also for each gate how often a flip is seen")
@file_option("--out", help="write the test vectors here as a Verilog test bench")
@click.option("--top", metavar="NAME", help="test the module of this name  [default: that of rdahw export]")
@size_options()
@solver_options(
    auto="try all of few inputs; yosys for the rest",
    timeout="seconds for all questions to the solver, a tenth of it for each  [default: 300]",
)
@toolchain_option
@output_options
def command(
    output: Output,
    model: str,
    nets: bool,
    out: Path | None,
    top: str | None,
    inputs: int,
    outputs: int,
    solver: Solver,
    timeout: float | None,
    toolchain: Any,
) -> None:
    """Find test vectors for the stuck-at faults of a circuit, and how often a flipped bit is seen.

    The circuit is a netlist of gates of up to three inputs. A fault is a line that is stuck at 0 or 1; equivalent ones
    count once. The vectors find every fault that any vector finds; for the others it is proved that none does. A flip
    of an input bit is seen if it changes an output: the share is that of all inputs, or of random ones with its 95 %
    interval.

    Of a trained model its parameters are folded in. Exit code 1 if a fault stays undecided.
    """
    from rdahw.sim.faults import Faults

    if top is not None and out is None:
        raise UsageError("--top names the module that the test bench of --out tests; add --out FILE or leave it out")
    circuit = find_circuit(model, inputs, outputs)
    found = Faults(circuit)
    with output.progress("finding flips", "vectors") as bar:
        sensitivities = found.sensitivities(nets=nets, progress=bar)
    with output.progress("deciding", "faults") as bar:

        def said(done: int, total: int, what: str) -> None:
            output.log_once(what)
            bar(done, total, what)

        tests = found.tests(solver=solver, timeout=timeout, toolchain=toolchain, progress=said)
    output.json(_result(found, tests, sensitivities) | {"model": model, "out": None if out is None else str(out)})
    _for_people(output, found, tests, sensitivities)
    if out is not None:
        from rdahw.files import write_atomically
        from rdahw.hdl.test_bench import test_bench

        name = top or module_name(model, {*circuit.input_names, *circuit.output_names})
        about = f"Test vectors for the stuck-at faults of {name}; written by rdahw faults."
        write_atomically(out, test_bench(name, circuit, tests.vectors, tests.outputs, about).encode())
        output.line(f"\nwrote {out}")
    if tests.undecided:
        raise UserError(
            f"{plural(len(tests.undecided), 'fault')} undecided, such as {found.describe(tests.undecided[0])}; give "
            "--timeout more seconds, or another --solver"
        )


def _result(found: Faults, tests: Tests, sensitivities: list[Sensitivity]) -> dict[str, Any]:
    first = sensitivities[0]
    return {
        "gates": found.gates,
        "lines": len(found.lines),
        "faults": 2 * len(found.lines),
        "collapsed": len(found.classes),
        "detected": len(tests.detected),
        "undetectable": [found.describe(fault) for fault in tests.undetectable],
        "undecided": [found.describe(fault) for fault in tests.undecided],
        "vectors": [
            {"inputs": found.input_values(vector), "outputs": found.output_values(expected)}
            for vector, expected in zip(tests.vectors, tests.outputs, strict=True)
        ],
        "flips": {"vectors": first.vectors, "exact": first.exact},
        "sensitivities": [
            {"name": each.name, "gate": each.gate, "share": each.share, "low": each.low, "high": each.high}
            for each in sensitivities
        ],
        "proofs": [proof.to_json() for proof in tests.proofs],
    }


def _for_people(output: Output, found: Faults, tests: Tests, sensitivities: list[Sensitivity]) -> None:
    first = sensitivities[0]
    said = f"all {first.vectors:,} inputs" if first.exact else f"{first.vectors:,} random inputs"
    decided = f"{len(tests.undetectable)}, proved"
    if tests.undecided:
        decided += f"; {len(tests.undecided)} undecided"
    for name, value in {
        "gates": f"{found.gates:,} of up to three inputs",
        "faults": f"{2 * len(found.lines):,} on {len(found.lines):,} lines, {len(found.classes):,} not equivalent",
        "detected": f"{len(tests.detected):,} by {len(tests.vectors):,} vectors",
        "no test": decided,
        "flips": f"of {said}",
    }.items():
        output.line(f"{name:9} {value}")
    shown = sensitivities
    if len(shown) > _MOST_ROWS:
        rising = sorted(shown, key=lambda each: each.share)
        shown = [*rising[: _MOST_ROWS // 4], *rising[-_MOST_ROWS // 4 :]]
        output.line(f"the least and the most sensitive of {len(sensitivities):,}; --json has all")
    output.line()
    output.table(
        ("bit", "gate", "seen %", "95 % interval"),
        [
            (each.name, each.gate, round(100 * each.share, 2),
             "exact" if each.exact else f"{100 * each.low:.2f} to {100 * each.high:.2f}")
            for each in shown
        ],
    )  # fmt: skip
    if tests.undetectable:
        output.line("\nno vector finds:")
    for fault in tests.undetectable[:_MOST_ROWS]:
        output.line(f"  {found.describe(fault)}")
    if len(tests.undetectable) > _MOST_ROWS:
        output.line(f"  and {len(tests.undetectable) - _MOST_ROWS:,} more; --json has all")
    if 0 < len(tests.vectors) <= _MOST_ROWS and tests.vectors.shape[1] <= _MOST_ROWS:
        output.line()
        columns = (*found.circuit.input_names, *(f"{name} expected" for name in found.circuit.output_names))
        output.table(
            columns,
            [
                (*found.input_values(vector).values(), *found.output_values(expected).values())
                for vector, expected in zip(tests.vectors, tests.outputs, strict=True)
            ],
        )
