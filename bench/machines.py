"""Machines that learn languages: how many seeds learn, after how many sequences, and how many are proved.

    python bench/machines.py [--seeds N] [--rule NAME …] [--language NAME …] [--set OPTION=VALUE …]
        [--epochs N] [--steps N]
    python bench/machines.py --gateware [--symbols N] [--netlist-symbols N] [--board NAME] [--set OPTION=VALUE …]

A seed draws its own sequences, 20,000 of 16 bits or as many as ``--steps`` says, and its own first tables; it reads
them once, or ``--epochs`` times. It is counted as learned if none of its fresh labels is wrong, 625 sequences of them,
and as proved if the machine writes the same as the reference machine on all sequences. With ``--set live=1`` the
sequences are one stream, the fresh labels are those that follow on it, and nothing is proved, as the machine need not
start in state 0. Seconds are processor time of one thread, compilation left out. A JSON line is printed for each
language and rule; by default for the languages of at most four bits of state.

``--gateware``: the trainer with shadow machines learns ``pattern1011`` in simulation, compared with the software in
every bit of its state and results, first as it is and then as a netlist of cells; and it is put on a board with the
host link. A JSON line is printed for each; the last one has the size and the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import one_core

if __name__ == "__main__":
    one_core()  # before numpy is loaded

import numpy as np

from rdahw.data import label_sets
from rdahw.data._sequences import STEPS, draw_sequences
from rdahw.families import find_family
from rdahw.families.machine.spec import RULES
from rdahw.family import Task
from rdahw.languages import LANGUAGES
from rdahw.sim.engines import make_engine
from rdahw.sim.machine_equality import compare_machines
from rdahw.training import Batches, Examples, Schedule, Training


def learn(
    language: str, options: dict[str, Any], seed: int, epochs: int = 1, steps: int = STEPS
) -> tuple[bool, bool, int | None, float]:
    """Whether a seed learned and was proved, after how many sequences it was settled, and its seconds."""
    data = draw_sequences(language, seed, steps)
    assert data.test is not None
    parts = [part.features for part in (data.train, data.test)]
    labels = [part.labels for part in (data.train, data.test)]
    if options.get("live"):
        stream = LANGUAGES[language].label(np.concatenate(parts).ravel()).reshape(-1, steps)
        labels = np.split(label_sets(stream), [len(parts[0])])
    train, test = map(Examples, parts, labels)
    task = Task(input_bits=steps, classes=1 << steps, kind="sequences", seed=seed)
    engine = make_engine(find_family("machine").spec(task, **options))
    started = time.process_time()
    for _ in Training(engine, Schedule(epochs=epochs), train).run():
        pass
    seconds = time.process_time() - started
    spec: Any = engine.spec
    if spec.live:
        wrong = engine.train(engine.prepare(test), Batches.single(np.arange(len(test.labels)))).wrong
        return not wrong.any(), False, spec.facts(engine.state)["settled_after"], seconds
    learned = bool((engine.predict(engine.prepare(test)) == test.labels).all())
    proved = compare_machines(spec.machine(engine.state), LANGUAGES[language].machine).equal
    return learned, proved, spec.facts(engine.state)["settled_after"], seconds


def gateware(given: argparse.Namespace, options: dict[str, Any]) -> None:
    """Print the rows of the trainer in gateware."""
    from rdahw.boards import board
    from rdahw.boards.board import FAMILIES
    from rdahw.boards.design import trainer_design
    from rdahw.boards.synthesis import synthesise
    from rdahw.data import load
    from rdahw.hdl.trainer_factory import choose_trainer
    from rdahw.sim.hardware import HardwareEngine
    from rdahw.sim.simulator import choose_engine

    task = Task(input_bits=16, classes=1 << 16, kind="sequences", seed=0)
    spec: Any = find_family("machine").spec(task, rule="shadow", **options)
    train, its, engine = (
        load("pattern1011", seed=0).train,
        board(given.board),
        choose_engine(given.engine, first=choose_trainer(spec).simulator),
    )
    for netlist, symbols in ((None, given.symbols), (FAMILIES[its.family].name, given.netlist_symbols)):
        rows = np.arange(-(-symbols // spec.steps)) % len(train.labels)
        hardware = HardwareEngine(spec, engine, check=True, netlist=netlist, log=lambda line: None)
        prepared, started = hardware.prepare(Examples(train.features, train.labels)), time.process_time()
        for part in np.array_split(rows, max(1, len(rows) // 512)):
            hardware.train(prepared, Batches.single(part))  # raises Mismatch at the first bit that differs
        row = {
            "what": "design" if netlist is None else f"netlist of {netlist} cells",
            "engine": engine,
            "symbols": len(rows) * spec.steps,
            "cycles": hardware.cycles,
            "starts": int(hardware.state["run"][2]),
            "bit_exact": True,
            "seconds": round(time.process_time() - started, 1),
        }
        hardware.close()
        print(json.dumps(row), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = synthesise(trainer_design(spec, its), its, out=Path(folder))
    names = ("board", "logic_cells", "core_logic_cells", "flip_flops", "fmax_mhz", "clock_mhz")
    print(json.dumps({"what": "board"} | {name: getattr(report, name) for name in names}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Machines that learn languages.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rule", nargs="*", default=RULES)
    parser.add_argument(
        "--language", nargs="*", default=[name for name, row in LANGUAGES.items() if row.state_bits <= 4]
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--gateware", action="store_true")
    parser.add_argument("--symbols", type=int, default=100_000)
    parser.add_argument("--netlist-symbols", type=int, default=10_000)
    parser.add_argument("--board", default="icebreaker")
    parser.add_argument("--engine", choices=("cxxrtl", "verilator"))
    given = parser.parse_args()
    options = dict(pair.split("=", 1) for pair in given.set)
    if given.gateware:
        return gateware(given, options)
    learn("parity", {}, 0)  # compiles
    for rule in given.rule:
        for language in given.language:
            runs = [
                learn(language, {"rule": rule, **options}, seed, given.epochs, given.steps)
                for seed in range(given.seeds)
            ]
            settled = [after for _, _, after, _ in runs if after is not None]
            row = {
                "rule": rule,
                "language": language,
                "learned": sum(learned for learned, *_ in runs),
                "proved": sum(proved for _, proved, *_ in runs),
                "settled": len(settled),
                "median_sequences": statistics.median(settled) if settled else None,
                "most_sequences": max(settled, default=None),
                "most_seconds": round(max(seconds for *_, seconds in runs), 3),
            }
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
