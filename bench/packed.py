"""The packed engine on one core: gates and updates a second, beside C compiled by gcc and the reference engine.

    python bench/packed.py [--json FILE] [--no-c] [--rounds N] [--cc gcc]

Gates: a circuit of 10,000 random two-input gates, all of them live (each reaches an output), on 65,536 examples; packed
inputs in memory to packed outputs in memory. A gate evaluation is one of the circuit's own gates on one example,
however many gates are left after fusing. The same gates as C, one statement a gate: on words of 64 bits, a function of
one word so that it stays one (around the statements themselves a loop over words is turned by gcc into much the same as
the next), and on vectors of 512 bits. Both C programs have the data in the layout that is best for them, and their
compile time is left out. Limits: vectors of 512 bits combined in registers, and combined from and to as much memory as
the circuit's live wires take, without fusing, and from and to main memory.

Updates: batch 1, in order, Iris as lookup (4 to 3), and mask of 784 inputs on random bits of which a fifth is set, with
random labels.

All programs take turns, each many times for a few milliseconds; the figure is the best turn, as others can only
disturb it, and «noise» is how much longer the median turn was.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import Turns

from rdahw import Bits, Learner, make_model
from rdahw.data import encode, fit_binariser, load
from rdahw.sim.engines import ReferenceEngine
from rdahw.sim.packed import Packed
from rdahw.sim.packed_engine import PackedEngine, _general_kernels
from rdahw.sim.packing import unpack_examples
from rdahw.sim.reference import Reference
from rdahw.tracing import Builder

INPUTS, GATES, OUTPUTS, EXAMPLES = 256, 10_000, 64, 65_536
WORDS = EXAMPLES // 64
SYMBOLS = {"and": "&", "xor": "^", "or": "|"}

Gate = tuple[str, int, int]


class Data(NamedTuple):
    """Examples as bits, and their labels."""

    x: Any
    y: Any


def random_gates(seed: int = 1) -> tuple[list[Gate], list[int]]:
    """(operation, wire, wire) of each gate, and the outputs.

    Operands are any earlier wires, until just enough gates are left to combine what nothing has read into the outputs.
    """
    random = np.random.default_rng(seed)
    unread = dict.fromkeys(range(INPUTS))
    gates = []
    for wire in range(INPUTS, INPUTS + GATES):
        if len(unread) - OUTPUTS < INPUTS + GATES - wire:
            a, b = (int(i) for i in random.choice(wire, 2, replace=False))
        else:
            a, b = list(unread)[:2]
        unread.pop(a, None)
        unread.pop(b, None)
        unread[wire] = None
        gates.append((str(random.choice(list(SYMBOLS))), a, b))
    return gates, list(unread)


def circuit_of(gates: list[Gate], outputs: list[int]) -> Any:
    builder = Builder()
    x = builder.input("x", Bits(INPUTS))
    wires = [x[i] for i in range(INPUTS)]
    for operation, a, b in gates:
        wires.append(builder.apply(operation, wires[a], wires[b]))
    circuit = builder.finish({"y": x.concat(*(wires[i] for i in outputs))})
    live = sum(a.primitive in SYMBOLS for a in circuit.assignments)
    # Two gates may happen to be the same one, which tracing shares.
    assert live in range(GATES - 10, GATES + 1), live
    return circuit


def c_program(gates: list[Gate], outputs: list[int], bits: int) -> str:
    """``run(in, out, n)`` on n words of so many bits: in is (n, inputs) and out is (n, outputs)."""
    lines = [
        f"typedef unsigned long long word __attribute__((vector_size({bits // 8})));"
        if bits > 64
        else "typedef unsigned long long word;",
        "static __attribute__((noinline)) void once(const word *restrict in, word *restrict out) {",
        *(f"word w{i} = in[{i}];" for i in range(INPUTS)),
        *(f"word w{INPUTS + i} = w{a} {SYMBOLS[op]} w{b};" for i, (op, a, b) in enumerate(gates)),
        *(f"out[{k}] = w{i};" for k, i in enumerate(outputs)),
        "}",
        "void run(const word *in, word *out, long n) {",
        f"for (long i = 0; i < n; i++) once(in + i * {INPUTS}, out + i * {len(outputs)}); }}",
    ]
    return "\n".join(lines)


LIMITS = """
typedef unsigned long long word __attribute__((vector_size(64)));
/* n rounds of 64 gates on vectors in registers */
void alu(word *m, long n) {
    word a[16];
    for (int i = 0; i < 16; i++) a[i] = m[i];
    while (n--) {
        for (int k = 0; k < 4; k++) {
            for (int i = 0; i < 16; i++) a[i] ^= m[16];
            __asm__ volatile("" : "+v"(a[0]), "+v"(a[1]), "+v"(a[2]), "+v"(a[3]), "+v"(a[4]), "+v"(a[5]), "+v"(a[6]),
                "+v"(a[7]), "+v"(a[8]), "+v"(a[9]), "+v"(a[10]), "+v"(a[11]), "+v"(a[12]), "+v"(a[13]));
        }
    }
    for (int i = 0; i < 16; i++) m[i] = a[i];
}
/* gates of which all operands and results are in memory: n of them, so many times */
void memory(word *restrict a, const word *restrict b, const word *restrict c, long n, long times) {
    while (times--) {
        for (long i = 0; i < n; i++) a[i] = b[i] ^ c[i];
        __asm__ volatile("" : : : "memory");
    }
}
"""


def aligned(shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape))
    memory = np.zeros(size + 8, np.uint64)
    first = -memory.ctypes.data % 64 // 8
    return memory[first : first + size].reshape(shape)


def compile_c(source: str, folder: Path, name: str, compiler: str) -> tuple[Any, float]:
    """The library and the seconds that gcc took."""
    file = folder / f"{name}.c"
    file.write_text(source)
    started = time.perf_counter()
    subprocess.run(
        [compiler, "-O3", "-march=native", "-w", "-shared", "-fPIC", "-o", str(file.with_suffix(".so")), str(file)],
        check=True,
    )
    return ctypes.CDLL(str(file.with_suffix(".so"))), time.perf_counter() - started


class Call:
    """A C function on arrays, which it keeps alive, and numbers."""

    def __init__(self, function: Any, arrays: list[Any], *numbers: int) -> None:
        self.function, self.arrays = function, arrays
        self.arguments = [*(ctypes.c_void_p(a.ctypes.data) for a in arrays), *map(ctypes.c_long, numbers)]

    def __call__(self) -> None:
        self.function(*self.arguments)


def bench_gates(rounds: int, compiler: str | None) -> dict[str, Any]:
    gates, outputs = random_gates()
    circuit = circuit_of(gates, outputs)
    started = time.perf_counter()
    packed = Packed(circuit)
    info: dict[str, Any] = {"gates_after_fusing": packed.gates, "lowering_seconds": time.perf_counter() - started}
    x = np.random.default_rng(0).integers(0, 1 << 64, (INPUTS, WORDS), dtype=np.uint64, endpoint=False)
    turns = Turns()
    work = float(GATES * EXAMPLES)
    (y,) = packed.run(x)
    first = unpack_examples(x[:, :1], 64)
    assert (unpack_examples(y[:, :1], 64) == Reference(circuit)(first)[0]).all()
    turns.add("packed", work, lambda: packed.run(x))
    with tempfile.TemporaryDirectory() as temporary:
        if compiler is not None:
            folder = Path(temporary)
            for bits in (64, 512):
                name = f"C, {bits} bits"
                library, info[f"{name}: seconds of gcc"] = compile_c(
                    c_program(gates, outputs, bits), folder, f"c{bits}", compiler
                )
                lanes = bits // 64
                blocked = aligned((WORDS // lanes, INPUTS, lanes))
                blocked[:] = x.reshape(INPUTS, -1, lanes).swapaxes(0, 1)
                out = aligned((WORDS // lanes, len(outputs), lanes))
                run = Call(library.run, [blocked, out], WORDS // lanes)
                run()
                assert (out.swapaxes(0, 1).reshape(len(outputs), WORDS) == y).all()
                turns.add(name, work, run)
            library, _ = compile_c(LIMITS, folder, "limits", compiler)
            turns.add("limit: in registers", 64.0 * 512 * 20_000, Call(library.alu, [aligned((20, 8))], 20_000))
            # Three parts that together are as large as the slots of the circuit.
            vectors = packed._program.slots * 2 // 3
            parts = [aligned((vectors, 8)) for _ in range(3)]
            turns.add("limit: through the cache", 200.0 * vectors * 512, Call(library.memory, parts, vectors, 200))
            vectors = 1 << 20
            parts = [aligned((vectors, 8)) for _ in range(3)]
            turns.add("limit: through main memory", vectors * 512.0, Call(library.memory, parts, vectors, 1))
        turns.take(rounds)
    return {**info, "copy_bytes_per_second": copy_speed(), "results": turns.results()}


def copy_speed(rounds: int = 10) -> float:
    """Bytes a second that numpy reads and writes when it copies more than caches hold."""
    source, target = np.ones(1 << 24, np.uint64), np.empty(1 << 24, np.uint64)
    turns = Turns()
    turns.add("copy", 2.0 * source.nbytes, lambda: np.copyto(target, source))
    turns.take(rounds)
    return turns.results()["copy"]["per_second"]


def bench_updates(rounds: int) -> dict[str, Any]:
    iris = load("iris")
    binariser = fit_binariser(iris, "midrange")
    classes = len(iris.label_names)
    flowers = Data(binariser.transform(iris.train.features), encode(iris.train.labels, classes, "one-hot"))
    random = np.random.default_rng(0)
    images = Data(
        (random.random((10_000, 784)) < 0.2).astype(np.uint8), random.integers(0, 2, (10_000, 1), dtype=np.uint8)
    )
    cases = {
        "Iris, lookup 4 to 3": (Learner(make_model("lookup", 4, 3)), flowers, 400_000),
        "mask of 784": (Learner(make_model("mask", 784, 1)), images, 40_000),
    }
    found = {}
    for name, (learner, data, updates) in cases.items():
        turns = Turns()
        rows = np.arange(updates, dtype=np.int64) % len(data.x)
        engine, words, reference = PackedEngine(learner), PackedEngine(learner), ReferenceEngine(learner)
        words._kernels = _general_kernels(learner)
        assert not engine._kernels.general

        def many(engine: PackedEngine, n: int, data: Data = data, rows: Any = rows) -> Callable[[], Any]:
            prepared, ends = engine.prepare(data.x, data.y), np.arange(1, n + 1)
            return lambda: engine.train_many(prepared, rows[:n], ends)

        def one_by_one(n: int, engine: ReferenceEngine = reference, data: Data = data) -> None:
            for i in range(n):
                engine.train(data.x[i : i + 1], data.y[i : i + 1])

        n = min(100, len(data.x))
        for trained in (engine, words, reference):
            trained.parameters = np.zeros(learner.model.parameter_bits, np.uint8)
        one_by_one(n)
        for trained in (engine, words):
            many(trained, n)()
            assert (trained.parameters == reference.parameters).all()
        turns.add("packed", updates, many(engine, updates))
        turns.add("packed, without a kernel of its own", updates // 40, many(words, updates // 40))
        turns.add("reference", 20, lambda: one_by_one(20))
        turns.take(rounds)
        found[name] = turns.results()
    return found


def show(title: str, unit: str, results: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}")
    base = results["packed"]["per_second"]
    print(f"  {'':38}{unit:>16}  {'packed is':>12}  noise")
    for name, row in results.items():
        ratio = "" if name == "packed" else f"{base / row['per_second']:.2f} times"
        print(f"  {name:38}{row['per_second']:16.3g}  {ratio:>12}  {100 * row['noise']:.0f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--no-c", action="store_true", help="leave out what gcc compiles")
    parser.add_argument("--rounds", type=int, default=100, help="turns of each program (default 100)")
    parser.add_argument("--cc", default="gcc", help="the C compiler (default gcc)")
    arguments = parser.parse_args()
    compiler = None if arguments.no_c else shutil.which(arguments.cc)
    if compiler is None and not arguments.no_c:
        print(f"missing: {arguments.cc}, so there are no figures of C and of the machine's limits", file=sys.stderr)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core
    gates = bench_gates(arguments.rounds, compiler)
    show(f"{GATES} random gates on {EXAMPLES} examples, one core", "gates/s", gates["results"])
    for name, value in gates.items():
        if name != "results":
            print(f"  {name.replace('_', ' ')}: {value:.3g}")
    updates = bench_updates(arguments.rounds)
    for name, results in updates.items():
        show(f"{name}, batch 1, one core", "updates/s", results)
    if arguments.json:
        arguments.json.write_text(json.dumps({"gates": gates, "updates": updates}, indent=2) + "\n")


if __name__ == "__main__":
    main()
