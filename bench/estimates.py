"""The builds that ``rdahw estimate`` is fitted to, and those that it is tested on.

    python bench/estimates.py build [--seed 1] [--count 120] [--jobs 1] [--out bench/builds.jsonl]
                                    [--families ecp5,gowin] [--kinds grown,forest]
    python bench/estimates.py count [--out bench/builds.jsonl]
    python bench/estimates.py fit [--out bench/builds.jsonl]
    python bench/estimates.py test [--seed 1] [--out bench/builds.jsonl]
    python bench/estimates.py cross [--out bench/builds.jsonl]

``build`` draws designs over boards, kinds of gateware, sizes and options, builds each with Yosys and nextpnr as ``rdahw
synth`` does, and appends a line for each one: the words of the command, the model's training, what was built, and the
counts that estimates are made of. Of designs that cannot be made or do not fit their board it notes why. Designs that
are there already are not built again. --families and --kinds leave out other designs of the draw. ``count`` takes the
counts again. ``fit`` writes ``boards/estimates.json``, from the builds of all seeds but 6. ``test`` prints builds
beside their estimates, and ``cross`` each tenth of the builds that ``fit`` takes beside estimates from the others.

Predictors are trained first, on data sets of scikit-learn and drawn ones, in the folder of --work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shlex
import sys
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from itertools import count, islice
from math import inf
from pathlib import Path
from typing import Any

# -- the draw ----------------------------------------------------------------------------------------------------------

#: The boards, by how often they are drawn.
BOARDS = {
    "icebreaker": 22, "upduino3": 4, "pico-ice": 4, "icestick": 6, "ice40-hx8k": 8, "ulx3s": 13, "ulx3s-85f": 4,
    "orangecrab": 4, "colorlight-i5": 4, "tangnano9k": 12, "tangnano20k": 8, "gatemate-evb": 11,
}  # fmt: skip
#: Those without a PLL for other clocks.
ONE_CLOCK = ("orangecrab", "tangnano9k", "tangnano20k", "gatemate-evb")
FLASH = {"icebreaker": ("single", "quad"), "ulx3s": ("single",), "ulx3s-85f": ("single",)}
#: A tool that takes more processor seconds is stopped, and its design left out: it does not fit in practice.
MOST_SECONDS = 180
#: A drawn design: words of rdahw train, or None; words of rdahw synth, without the board.
Drawn = tuple[list[str] | None, list[str]]
Random = random.Random


def _options(family: str, **options: Any) -> str:
    said = [f"{name}={value}" for name, value in options.items() if value is not None]
    return family + (":" + ",".join(said) if said else "")


def _widths(inputs: int, outputs: int) -> list[str]:
    return ["--inputs", str(inputs), "--outputs", str(outputs)]


def _ensemble_options(r: Random, sizes: list[int]) -> str:
    sign = r.random() < 0.3
    return _options(
        "ensemble",
        tables=r.choice(sizes),
        inputs=r.randint(3, 7),
        counter=r.choice([3, 4, 5, 6, 6, 8]),
        dropout=r.choice([None, None, 0, 0.75]),
        sign=1 if sign else None,
    )


def ensemble(r: Random, board: str) -> Drawn:
    words = [_ensemble_options(r, [16, 32, 50, 64, 100, 128, 200, 256, 300])]
    words += _widths(r.choice([16, 40, 64, 100, 128, 256, 400, 784]), r.randint(2, 12))
    if r.random() < 0.35 and board in FLASH:
        words += ["--flash", r.choice(FLASH[board])]
        words += r.choice([[], ["--epochs", "0"]])
    elif r.random() < 0.2:
        words += ["--drift"]
    return None, words


def _planes(r: Random) -> str:
    terms = [
        "threshold=" + r.choice(["64,128", "32,96,160", "20,40,80,120,160,200"]),
        f"hog={r.choice('48')}/{r.choice('346')}/{r.choice(['20', '20,80'])}",
        f"range=3/{r.choice(['16', '16,64'])}",
        "mid=3/1,2",
        f"haar={r.choice('24')}/8",
        f"nb8={r.choice('12')}/10",
    ]
    return "+".join(terms[:1] + r.sample(terms[1:], r.choice([1, 1, 2])))


def pixel_ensemble(r: Random, board: str) -> Drawn:
    model = _options("ensemble", tables=r.choice([32, 64, 128, 256]), inputs=r.randint(4, 6), wiring="patch6")
    rule, images = _planes(r), r.choice(["digits", "mnist"])
    if r.random() < 0.7:
        return None, [model, "--data", images, "--binarise", rule, "--frontend", "pixels"]
    train = ["--data", images, "--model", model, "--binarise", rule, "--epochs", "1"]
    return train, ["--inference", "--frontend", "pixels"]


def layers(r: Random, board: str) -> Drawn:
    inputs = r.randint(3, 5)
    sizes = [f"{r.choice([40, 60, 100, 160, 240, 300])}x{inputs}" for _ in range(r.randint(1, 3))]
    classes = r.choice([2, 4, 5, 10])
    sizes[-1] = f"{r.choice([10, 20, 30]) * classes}x{inputs}"
    words = [f"layers:{','.join(sizes)},counter={r.choice([4, 5, 6])},noise={r.choice([0, 2, 3])}"]
    words += _widths(r.choice([32, 64, 200, 784]), classes)
    if r.random() < 0.25:
        words += ["--batch", "10"]
    elif r.random() < 0.3 and board in FLASH:
        words += ["--flash", r.choice(FLASH[board])]
    return None, words


def machine_registers(r: Random, board: str) -> Drawn:
    live = r.random() < 0.4 and board == "icebreaker"
    model = _options(
        "machine", rule="shadow", states=r.choice([2, 2, 3]), counter=r.choice([3, 4, 5]), live=live or None
    )
    if live:
        words = [model.replace("live=True", "live=1"), "--inputs", "1", "--frontend", "pins"]
        return None, words + r.choice([[], ["--sample", "10"], ["--sample", "1000"]])
    return None, [model, "--data", r.choice(["parity", "tomita4", "tomita5"])]


def machine_memory(r: Random, board: str) -> Drawn:
    model = _options("machine", rule="shadow", states=r.randint(4, 8), counter=r.choice([3, 4, 5]))
    return None, [model, "--data", r.choice(["parity", "tomita4", "tomita6"])]


def mask(r: Random, board: str) -> Drawn:
    inputs = r.choice([8, 12, 16, 24, 32, 48, 64, 100, 256, 500, 784, 1500])
    words = [_options("mask", k=r.choice([None, 2, 3])), *_widths(inputs, 1)]
    if inputs <= 64:
        words += r.choice([[], ["--batch", "10"], ["--stages", "2"]])
    return None, words


def lookup(r: Random, board: str) -> Drawn:
    words = ["lookup", *_widths(r.randint(2, 6), r.randint(1, 4))]
    return None, words + r.choice([[], [], ["--batch", "8"], ["--stages", "2"]])


def linear(r: Random, board: str) -> Drawn:
    bits = r.choice([13, 16])
    return None, [f"linear:word=1,bits={bits}", *_widths(r.choice([4, 6, 8, 12]), r.choice([2, 3]))]


def netlist(r: Random, board: str) -> Drawn:
    """A random Verilog file with parameters: the words «verilog PARAMETERS INPUTS OUTPUTS SEED» name it."""
    sizes = r.choice([16, 32, 64, 128]), r.choice([6, 8, 12]), r.choice([1, 2, 4])
    return ["verilog", *map(str, sizes), str(r.randrange(1000))], _widths(*sizes[1:])


_TABLES = ("digits", "wine", "cancer", "drawn-16-4", "drawn-30-8")


def grown(r: Random, board: str) -> Drawn:
    data = r.choice([*_TABLES, "mnist"])
    model = _options("grown", tables=r.choice([30, 60, 100, 160, 240, 400, 600]), inputs=r.randint(3, 6))
    rule = ["--binarise", f"thermometer={r.choice([2, 4, 8])}"] if data != "mnist" else []
    if data == "digits" and r.random() < 0.5:
        return ["--data", "digits-table", "--model", model, *rule], ["--inference", "--encoder", "5"]
    return ["--data", data, "--model", model, *rule], ["--inference"]


def layers_predictor(r: Random, board: str) -> Drawn:
    inputs = r.randint(3, 6)
    classes = {"digits": 10, "mnist": 10, "wine": 3, "drawn-16-4": 4}
    data = r.choice([*classes])
    sizes = [f"{r.choice([40, 80, 120, 200])}x{inputs}" for _ in range(r.randint(0, 2))]
    sizes.append(f"{r.choice([4, 8, 15, 24]) * classes[data]}x{inputs}")
    rule = ["--binarise", "thermometer=4"] if data != "mnist" else []
    epochs = "1" if data == "mnist" else "10"
    return ["--data", data, "--model", f"layers:{','.join(sizes)}", *rule, "--epochs", epochs], ["--inference"]


def ensemble_predictor(r: Random, board: str) -> Drawn:
    data = r.choice([*_TABLES, "mnist"])
    small = r.random() < 0.5
    sizes = [2, 4, 6, 8, 12, 20] if small else [64, 100, 128, 200, 256]
    sign = r.random() < 0.5
    model = _options(
        "ensemble", tables=r.choice(sizes), inputs=r.randint(2, 5) if small else r.randint(4, 7),
        counter=r.choice([2, 3, 4]) if small else r.choice([4, 6]), sign=1 if sign else None,
    )  # fmt: skip
    rule = ["--binarise", "thermometer=4"] if data != "mnist" else []
    return ["--data", data, "--model", model, *rule, "--epochs", "2"], ["--inference"]


def small_predictor(r: Random, board: str) -> Drawn:
    which = r.choice(["lookup", "mask", "machine", "linear", "coverage", "boosted"])
    train = {
        "lookup": ["--data", "iris", "--model", "lookup"],
        "mask": ["--data", "cancer", "--model", "mask", "--labels", "binary", "--binarise", "thermometer=4"],
        "machine": ["--data", r.choice(["parity", "tomita4"]), "--model", f"machine:states={r.choice([2, 3])}"],
        "linear": ["--data", r.choice(["iris", "wine"]), "--model", "linear:word=1", "--binarise", "thermometer=4"],
        "coverage": ["--data", "digits", "--task", "anomaly", "--model",
                     f"coverage:tables={r.choice([16, 32, 64])},inputs={r.choice([4, 5, 6])}",
                     "--binarise", "thermometer=4"],
        "boosted": ["--data", "diabetes", "--task", "regression", "--model",
                    f"boosted:tables={r.choice([20, 50, 100])},inputs={r.choice([3, 4, 5])}",
                    "--binarise", "thermometer=8"],
    }  # fmt: skip
    return train[which], ["--inference"]


def forest(r: Random, board: str) -> Drawn:
    """A random forest of scikit-learn: the words «forest DATA TREES DEPTH SEED» name it."""
    data = r.choice(["digits", "wine", "cancer"])
    return ["forest", data, str(r.choice([3, 5, 10])), str(r.choice([3, 5, 8])), str(r.randrange(100))], ["--inference"]


#: The kinds of designs, by how often they are drawn.
KINDS: dict[Callable[[Random, str], Drawn], int] = {
    ensemble: 16, pixel_ensemble: 8, layers: 11, machine_registers: 5, machine_memory: 4, mask: 7, lookup: 8,
    linear: 2, netlist: 4, grown: 13, layers_predictor: 8, ensemble_predictor: 10, small_predictor: 6, forest: 4,
}  # fmt: skip


def draw(seed: int, families: Collection[str] = (), kinds: Collection[str] = ()) -> Iterator[dict[str, Any]]:
    """Designs without end: ``number``, ``train`` and ``synth``, words of these commands; of a trained model, ``synth``
    is without it. families, kinds: others are left out; if there are none, nothing is."""
    from rdahw.boards import board as board_of

    for number in count():
        r = random.Random(f"rdahw estimates {seed} {number}")
        board = r.choices([*BOARDS], [*BOARDS.values()])[0]
        kind = r.choices([*KINDS], [*KINDS.values()])[0]
        if (families and board_of(board).family not in families) or (kinds and kind.__name__ not in kinds):
            continue
        train, synth = kind(r, board)
        if "--flash" not in synth and "--frontend" not in synth:
            if r.random() < 0.3 and board not in ONE_CLOCK:
                synth += ["--clock", r.choice(["16", "36"])]
            if r.random() < 0.1:
                synth += ["--baud", r.choice(["115200", "2000000"])]
        yield {
            "seed": seed,
            "number": number,
            "kind": kind.__name__,
            "train": train,
            "synth": [*synth, "--board", board],
        }


# -- models and data ---------------------------------------------------------------------------------------------------


def make_data(folder: Path) -> None:
    """Write the data sets of the draw that rdahw does not have by name."""
    import numpy as np
    from sklearn import datasets

    folder.mkdir(parents=True, exist_ok=True)
    digits = datasets.load_digits()
    pixels = (15 * digits.images).astype(np.uint8)
    np.savez(folder / "digits.npz", x=pixels, y=digits.target)
    np.savez(folder / "digits-table.npz", x=digits.data.astype(np.uint8), y=digits.target)
    for name, its in (("wine", datasets.load_wine()), ("cancer", datasets.load_breast_cancer())):
        np.savez(folder / f"{name}.npz", x=its.data, y=its.target)
    diabetes = datasets.load_diabetes()
    np.savez(folder / "diabetes.npz", x=diabetes.data, y=diabetes.target)
    for features, classes in ((16, 4), (30, 8)):
        x, y = datasets.make_classification(
            2000, features, n_informative=features // 2, n_classes=classes, random_state=0
        )
        np.savez(folder / f"drawn-{features}-{classes}.npz", x=x, y=y)


def verilog(parameters: int, inputs: int, outputs: int, seed: int) -> str:
    """A module of random gates that read all its parameters."""
    r = random.Random(f"verilog {seed}")
    lines = [f"module drawn(input [{parameters - 1}:0] theta, input [{inputs - 1}:0] x, output [{outputs - 1}:0] y);"]
    wires = [f"x[{i}]" for i in range(inputs)]
    for i in range(parameters):
        a, b = r.sample(wires[-3 * inputs :], 2)
        lines.append(f"wire w{i} = ({a} {r.choice('&|^')} {b}) {r.choice('&^')} theta[{i}];")
        wires.append(f"w{i}")
    ends = wires[-max(outputs, 6) :]
    for o in range(outputs):
        lines.append(f"assign y[{o}] = {' ^ '.join(ends[o::outputs])};")
    return "\n".join([*lines, "endmodule", ""])


def _run(*words: str) -> None:
    """A command of rdahw, which has to succeed."""
    from rdahw.cli import main

    try:
        main([*words])
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"rdahw {shlex.join(words)}") from end


def model_of(design: dict[str, Any], work: Path) -> list[str]:
    """The model of a design as words of rdahw synth, trained if it is not there yet."""
    train = design["train"]
    if train is None:
        return []
    base = work / f"{design['seed']}-{design['number']}"
    if train[0] == "verilog":
        file = base.with_suffix(".v")
        file.write_text(verilog(*map(int, train[1:])))
        return [str(file)]
    file = base.with_suffix(".rdahw")
    if file.exists():
        return [str(file)]
    if train[0] == "forest":
        _forest(train[1], *map(int, train[2:]), file, work)
    else:
        known = [str(path) if (path := work / f"{word}.npz").exists() else word for word in train]
        _run("train", *known, "--quiet", "--out", str(file))
    return [str(file)]


def _forest(data: str, trees: int, depth: int, seed: int, file: Path, work: Path) -> None:
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    import rdahw

    its = np.load(work / f"{data}.npz")
    x = its["x"].reshape(len(its["x"]), -1)
    made = rdahw.from_sklearn(
        RandomForestClassifier(trees, max_depth=depth, random_state=seed).fit(x, its["y"]), x, whole=data == "digits"
    )
    made.save(str(file))


def gateware_of(design: dict[str, Any], work: Path) -> Any:
    """The design as :class:`rdahw.cli._gateware.Gateware`."""
    from rdahw.cli import cli
    from rdahw.cli._gateware import find_gateware
    from rdahw.cli._output import Output

    words = [*model_of(design, work), *design["synth"]]
    words = [str(path) if (path := work / f"{word}.npz").exists() else word for word in words]
    command = cli.get_command(cli.make_context("rdahw", ["synth"]), "synth")
    assert command is not None
    context = command.make_context("synth", words)
    own = {"seeds", "jobs", "cluster", "toolchain", "out", "as_json", "verbose", "quiet"}
    with context:
        return find_gateware(
            Output({}, as_json=True, verbosity=-1), **{n: v for n, v in context.params.items() if n not in own}
        )


# -- builds ------------------------------------------------------------------------------------------------------------


def build(design: dict[str, Any], work: Path) -> dict[str, Any]:
    """What a design takes, or ``error`` if it cannot be made or does not fit."""
    from rdahw.boards.clock import choose
    from rdahw.boards.estimate import counts_of
    from rdahw.boards.synthesis import measure
    from rdahw.errors import UserError

    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + MOST_SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    begun = sum(os.times()[:4])
    try:
        gateware, its, clock, baud = gateware_of(design, work)
        made = measure(gateware, its, clock_mhz=clock, baud=baud)
    except (UserError, RuntimeError) as error:
        return {**design, "error": str(error)}
    counts = counts_of(gateware, its, choose(its.pll, its.oscillator[1], clock or its.clock)[0], baud or its.baud)
    found = {name: getattr(made, name) for name in ("logic_cells", "flip_flops", "ebr", "spram", "fmax_mhz")}
    seconds = sum(os.times()[:4]) - begun
    return {
        **design, **found, "gateware": list(gateware.gateware), "counts": counts,
        "cells": dict(sorted(made.cells.items())), "tools": dict(made.tools), "processor_seconds": round(seconds, 1),
    }  # fmt: skip


def build_all(seed: int, wanted: int, jobs: int, out: Path, work: Path, **only: Collection[str]) -> None:
    """Build designs of the draw until ``wanted`` are built, in the order of the draw up to ``jobs``. only: as
    :func:`draw`."""
    make_data(work)
    done = {its["number"] for its in read(out) if its["seed"] == seed} if out.exists() else set()
    built = sum("error" not in its for its in read(out) if its["seed"] == seed) if out.exists() else 0
    designs = (its for its in draw(seed, **only) if its["number"] not in done)
    with ProcessPoolExecutor(jobs, max_tasks_per_child=8) as pool:
        waiting = {pool.submit(build, its, work) for its in islice(designs, jobs)}
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for result in (future.result() for future in ended):
                built += "error" not in result
                with out.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                said = result.get("error") or f"{result['logic_cells']} cells, {result['fmax_mhz']} MHz"
                words = f"{result['number']} {result['kind']} {shlex.join(result['synth'])}"
                print(f"{time.strftime('%X')} {built}/{wanted} {words}: {said}", file=sys.stderr, flush=True)
            more = min(jobs, wanted - built) - len(waiting)
            waiting |= {pool.submit(build, its, work) for its in islice(designs, max(0, more))}


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a table of builds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def counted(path: Path, work: Path, again: bool) -> None:
    """Take the counts of the builds that have none, or ``again`` of all."""
    from rdahw.boards.clock import choose
    from rdahw.boards.estimate import counts_of

    lines = []
    for its in read(path):
        if "error" not in its and (again or "counts" not in its):
            found, board, clock, baud = gateware_of(its, work)
            made = choose(board.pll, board.oscillator[1], clock or board.clock)[0]
            its |= {"gateware": list(found.gateware), "counts": counts_of(found, board, made, baud or board.baud)}
        lines.append(json.dumps(its) + "\n")
    path.write_text("".join(lines))


# -- fit ---------------------------------------------------------------------------------------------------------------

#: What a count costs in logic cells, as far as that is known from the devices: in the iCE40 a table takes a cell, a
#: flip-flop of its own another one, and a carry lies beside a table; elsewhere flip-flops have places of their own. The
#: builds correct it.
USUAL = {
    family: dict(zip(("tables", "muxes", "cells", "carries", "alone", "distributed"), costs, strict=True))
    for family, costs in {
        "ice40": (1.0, 1.0, 1.0, 0.2, 1.0, 0.0),
        "ecp5": (1.0, 1.0, 1.0, 1.0, 0.0, 8.0),
        "gowin": (1.0, 1.0, 1.0, 1.0, 1.0, 14.0),
        "nexus": (1.0, 1.0, 1.0, 1.0, 0.0, 4.0),
        "gatemate": (1.7, 1.7, 1.7, 1.0, 0.0, 0.0),
    }.items()
}
#: The draw that estimates are tested on: no factor is fitted to its builds.
TEST_SEED = 6
#: How many builds weigh as much as what is known without them: of a factor; of a device; of a kind of gateware.
OF_FACTORS, OF_DEVICES, OF_KINDS = 1.0, 0.03, 0.5
#: Builds whose estimates are off by more, as a logarithm, weigh less: they are unlike the others.
USUAL_ERROR = 0.06


def _usual_delays() -> dict[str, dict[str, float]]:
    """What a part of a path takes, by family; 0 if the placer leaves out such paths."""
    from rdahw.hdl.quick_timing import DELAYS

    return {
        family: {part: delay if delay < inf else 0.0 for part, delay in asdict(delays).items()}
        for family, delays in DELAYS.items()
    }


def _fit(name: str, rows: list[dict[str, Any]], values: list[float], usual: dict[str, Any]) -> dict[str, Any]:
    """The factors of the counts of each family of devices, near the ``usual`` ones, for small relative errors of
    ``values``, and logarithms of what is common to each kind of :func:`rdahw.boards.estimate.kinds_of`, each drawn
    towards 0 as by :data:`OF_KINDS` builds. name: of the estimate in :data:`rdahw.boards.estimate.SUMS`."""
    import numpy as np
    from scipy.optimize import nnls

    from rdahw.boards.estimate import SUMS, kinds_of

    parts = list(usual["ice40"])
    families = np.array([_board(row).family for row in rows])
    counts = np.array([[[row["counts"][its + part] for part in parts] for its in SUMS[name]] for row in rows], float)
    each = [kinds_of(row["gateware"], _board(row)) for row in rows]
    kinds = sorted({kind for its in each for kind in its})
    has = np.array([[kind in its for kind in kinds] for its in each], float)
    devices = {its[0] for its in each}
    drawn = np.diag([OF_DEVICES if kind in devices else OF_KINDS for kind in kinds])
    logs, own, trust = np.log(values), np.zeros(len(kinds)), np.ones(len(rows))
    factors: dict[str, dict[str, float]] = dict(usual)
    for _ in range(40):
        base = np.ones(len(rows))
        for family, known in usual.items():
            its = families == family
            if its.any():
                largest = (counts[its] @ list(factors[family].values())).argmax(axis=1)
                shares = counts[its][np.arange(its.sum()), largest] / np.exp(logs[its] - has[its] @ own)[:, None]
                near = np.sqrt(OF_FACTORS) * np.maximum(shares.mean(axis=0), 0.05)
                rooted = np.sqrt(trust[its])
                right = np.concatenate([rooted, near * list(known.values())])
                found = nnls(np.vstack([rooted[:, None] * shares, np.diag(near)]), right)[0]
                factors[family] = dict(zip(parts, found, strict=True))
                base[its] = (counts[its] @ found).max(axis=1)
        missing = logs - np.log(base)
        own = np.linalg.solve(has.T @ (trust[:, None] * has) + drawn, has.T @ (trust * missing))
        trust = USUAL_ERROR / np.maximum(np.abs(missing - has @ own), USUAL_ERROR)
    return {"factors": factors, "kinds": dict(zip(kinds, own, strict=True))}


def _factors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    timed = [row for row in rows if row["fmax_mhz"]]
    periods = [1000 / row["fmax_mhz"] / _board(row).level_ns for row in timed]
    found: dict[str, Any] = _rounded(
        {
            "logic_cells": _fit("logic_cells", rows, [row["logic_cells"] for row in rows], USUAL),
            "period": _fit("period", timed, periods, _usual_delays()),
        }
    )
    return found


def fitted_to(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The builds that factors are fitted to."""
    return [row for row in rows if "error" not in row and row["seed"] != TEST_SEED]


def fit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The contents of ``boards/estimates.json`` for these builds, without ``within``."""
    return {"builds": len(rows)} | _factors(rows)


def left_out(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, float]]]:
    """Builds, and their estimates with factors that are fitted to the others: each tenth of them is left out once."""
    found = []
    for part in range(10):
        factors = _factors([row for k, row in enumerate(rows) if k % 10 != part])
        found += [(row, _guess(row, factors)) for row in rows[part::10]]
    return found


def bounds(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each family of devices, by which part of the estimate nine of ten builds are off at most; each tenth of the
    builds is estimated from the others."""
    import numpy as np

    errors: dict[str, dict[str, list[float]]] = {}
    for row, guess in left_out(rows):
        its = errors.setdefault(_board(row).family, {"logic_cells": [], "fmax_mhz": []})
        for name in its:
            if row[name]:
                its[name].append(abs(row[name] / guess[name] - 1))
    return {
        family: {name: round(float(np.quantile(errors[family][name], 0.9)), 2) for name in errors[family]}
        for family in USUAL
        if family in errors
    }


def _guess(row: dict[str, Any], factors: dict[str, Any]) -> dict[str, float]:
    from rdahw.boards.estimate import estimated

    return estimated(row["counts"], row["gateware"], _board(row), factors)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(its) for name, its in value.items()}
    return value if isinstance(value, int) else round(float(value), 4)


def _board(row: dict[str, Any]) -> Any:
    from rdahw.boards import board

    return board(row["synth"][row["synth"].index("--board") + 1])


def compare(pairs: list[tuple[dict[str, Any], dict[str, float]]]) -> None:
    """Print how far estimates of builds are off."""
    import numpy as np

    errors: dict[str, dict[str, list[float]]] = {}
    wrong = []
    for row, guess in pairs:
        off = {name: guess[name] / row[name] - 1 for name in ("logic_cells", "fmax_mhz") if row[name]}
        for devices in (_board(row).family, "all"):
            its = errors.setdefault(devices, {"logic_cells": [], "fmax_mhz": []})
            for name, error in off.items():
                its[name].append(abs(error))
        if any(row["counts"][name] != row[name] for name in ("ebr", "spram")):
            wrong.append(row["number"])
        print(
            f"{row['seed']}-{row['number']:<4} {row['gateware'][-1]:40.40} {_board(row).name:13} "
            f"cells {row['logic_cells']:6} {off['logic_cells']:+6.1%}  "
            f"Fmax {row['fmax_mhz'] or 0:6.1f} {off.get('fmax_mhz', 0):+6.1%}  "
            f"EBR {row['ebr']:3} {row['counts']['ebr']:3.0f}"
        )
    print(f"{len(pairs)} builds; memories wrong: {wrong or 'none'}")
    for devices, its in sorted(errors.items()):
        for name, found in its.items():
            shares = ", ".join(f"{sum(e <= bound for e in found)} within {bound:.0%}" for bound in (0.05, 0.12, 0.2))
            nine = np.quantile(found, 0.9)
            middle = f"median {np.median(found):.1%}, 90 % within {nine:.1%}"
            print(f"{devices:9} {name:12} {len(found):4} designs: {middle}; {shares}")


def _names(known: list[str]) -> Callable[[str], list[str]]:
    """What reads names with commas between them, each a known one."""

    def read_names(text: str) -> list[str]:
        names = text.split(",")
        if not set(names) <= set(known):
            raise argparse.ArgumentTypeError(f"{text}: expected some of {','.join(known)}")
        return names

    return read_names


def _positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1")
    return int(text)


def main() -> None:
    from rdahw.boards import board
    from rdahw.boards.estimate import fitted

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["build", "count", "fit", "test", "cross"])
    parser.add_argument("--seed", type=int, help="of the draw; test: only its builds")
    parser.add_argument("--count", type=_positive, default=120)
    known = sorted({board(name).family for name in BOARDS})
    parser.add_argument("--families", type=_names(known), default=[], help="of devices, with commas between them")
    parser.add_argument("--kinds", type=_names([kind.__name__ for kind in KINDS]), default=[], help="of designs")
    parser.add_argument("--jobs", type=_positive, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench/builds.jsonl"))
    parser.add_argument("--work", type=Path, default=Path("build/estimates"))
    parser.add_argument("--again", action="store_true", help="count what is counted")
    options = parser.parse_args()
    if options.what == "build":
        only = {"families": options.families, "kinds": options.kinds}
        build_all(options.seed or 1, options.count, options.jobs, options.out, options.work, **only)
    elif options.what == "count":
        make_data(options.work)
        counted(options.out, options.work, options.again)
    elif options.what == "fit":
        rows = fitted_to(read(options.out))
        if missing := sorted(set(known) - {_board(row).family for row in rows}):
            parser.error(f"{options.out} has no builds of {', '.join(missing)} to fit to; build some first")
        found = fit(rows) | {"within": bounds(rows)}
        Path("boards/estimates.json").write_text(json.dumps(found, indent=2) + "\n")
    else:
        rows = read(options.out)
        if options.what == "cross":
            compare(left_out(fitted_to(rows)))
        else:
            rows = [row for row in rows if "error" not in row and options.seed in (None, row["seed"])]
            if not rows:
                parser.error(f"{options.out} has no such builds; build some first")
            compare([(row, _guess(row, fitted())) for row in rows])


if __name__ == "__main__":
    main()
