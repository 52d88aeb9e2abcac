"""Measure rdahw beside its peers, one section after another, and write docs/benchmarks.md: what `make bench` does.

    python bench/run.py [--only SECTION …] [--full] [--budget S] [--seeds N] [--rounds N] [--document]

Sections: race (seconds to an accuracy, and the peers' predictions), predict (ours), updates, gates, train (from files
to a saved model) and, with --full, accuracy (several seeds of the large settings, minutes). Figures are merged into
build/bench/results.json, so that one section can be measured again; --document only writes the document again. All of
it runs on one core, one program at a time. Peers are run from the environment .venv-bench.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import one_core

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "bench"
RESULTS = BUILD / "results.json"
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
OUR_BUDGET = 1.5
#: Measured with the paper's own program on a machine of the same kind, not by this command.
QUOTED = {"mask of 784": 1_250, "Iris, lookup 4 to 3": 61_000}
OUR_PACKAGES = ("rdahw", "numpy", "numba", "llvmlite")


def machine() -> dict[str, Any]:
    """The processor and the programs, without names of places or people."""
    names = []
    if Path("/proc/cpuinfo").exists():
        names = [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
    gcc = shutil.which("gcc")
    version = subprocess.run([gcc, "-dumpfullversion"], capture_output=True, text=True).stdout.strip() if gcc else None
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "ours": {"python": platform.python_version(), "gcc": version}
        | {name: importlib.metadata.version(name) for name in OUR_PACKAGES},
        "peers": peer("versions") or {},
    }


def peer(name: str, *arguments: str, timeout: float = 60) -> dict[str, Any]:
    """What bench/peers.py writes, or why there is nothing."""
    if not PEER_PYTHON.exists():
        return {"missing": "the peers' environment is missing"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [str(PEER_PYTHON), str(ROOT / "bench" / "peers.py"), name, "--out", str(out), *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            _, log = process.communicate(timeout=timeout)
        except BaseException as error:  # an interrupt as well: nothing of it may go on, nor a compiler that it called
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return {"missing": f"it was not done after {timeout:.0f} s"}
        if out.exists():
            result: dict[str, Any] = json.loads(out.read_text())
            return result
    lines = [line for line in log.splitlines() if line.strip()]
    return {"missing": lines[-1][:200] if lines else f"it ended with {process.returncode}"}


def pixels() -> Path:
    """MNIST as the peers read it, with the last 10,000 training examples held out."""
    import numpy as np

    from rdahw.data import load

    file = BUILD / "mnist.npz"
    data, held = load("mnist").hold_out(10_000)
    assert data.test is not None
    parts = {"": data.train, "held_": held, "test_": data.test}
    arrays = {f"{k}{n}": a for k, e in parts.items() for n, a in (("x", e.features), ("y", e.labels))}
    np.savez(file, **arrays)
    return file


def run_race(options: argparse.Namespace) -> dict[str, Any]:
    from ensemble import RACES, race_looks
    from measure import pruned
    from ours import settings_text
    from peers import PEERS

    learners = []
    for name, setting in RACES.items():
        budget = min(OUR_BUDGET, options.budget or OUR_BUDGET)
        runs = [pruned(race_looks(name, seed, budget)) for seed in range(options.seeds)]
        label = f"rdahw {name.replace('x', ' x ')}"
        learners.append(
            {"name": name, "label": label, "settings": settings_text(setting), "ours": True, "budget": budget}
            | {"runs": runs}
        )
        tell(learners[-1])
    data = pixels()
    for name, p in PEERS.items():
        budget = min(p.budget, options.budget or p.budget)
        row: dict[str, Any] = {"name": name, "label": p.label, "settings": p.settings, "ours": False, "budget": budget}
        row["runs"] = []
        for seed in range(min(p.seeds, options.seeds)):
            extra = ["--predict"] if seed == 0 else []
            arguments = ["--data", str(data), "--budget", str(budget), "--seed", str(seed), *extra]
            result = peer(name, *arguments, timeout=900 + 5 * budget)
            if "missing" in result:
                row["missing"] = result["missing"]
                break
            row["runs"].append(result["looks"])
            row["predict"] = row.get("predict") or result.get("predict")
        learners.append(row)
        tell(row)
    return {"seeds": options.seeds, "learners": learners}


def tell(row: dict[str, Any]) -> None:
    from measure import LEVELS
    from report import level_text

    cells = [level_text(row, level) for level in LEVELS]
    print(f"{row['label']:34} {'   '.join(cells)}", flush=True)


def run_predict(options: argparse.Namespace) -> dict[str, Any]:
    from predictions import MLP, interfaces, predictions

    return {**predictions(options.rounds), "interfaces": interfaces(options.rounds), "beside": MLP}


def run_updates(options: argparse.Namespace) -> dict[str, Any]:
    from packed import bench_updates

    return {"measured": bench_updates(options.rounds), "quoted": QUOTED}


def run_gates(options: argparse.Namespace) -> dict[str, Any]:
    from packed import bench_gates

    return bench_gates(options.rounds, shutil.which("gcc"))


def run_train(options: argparse.Namespace) -> dict[str, Any]:
    from ours import whole_training

    return whole_training(3)


def run_accuracy(options: argparse.Namespace) -> dict[str, Any]:
    from ensemble import accuracies

    found = {}
    for name in ("256x6", "boolean", "best", "fashion"):
        try:
            found[name] = accuracies(name, options.seeds, held_out=False)
        except Exception as error:  # a data set that cannot be had is named, the others are measured
            found[name] = {"missing": f"{type(error).__name__}: {error}"}
        print(name, found[name].get("accuracy", found[name].get("missing")), flush=True)
    return found


SECTIONS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "race": run_race,
    "predict": run_predict,
    "updates": run_updates,
    "gates": run_gates,
    "train": run_train,
    "accuracy": run_accuracy,
}


def write(results: dict[str, Any]) -> None:
    import report

    (ROOT / "docs" / "benchmarks.svg").write_text(report.picture(results))
    (ROOT / "docs" / "benchmarks.md").write_text(report.document(results))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure these sections only")
    parser.add_argument("--full", action="store_true", help="measure accuracy over seeds too: some minutes more")
    parser.add_argument("--budget", type=float, help="at most so many seconds of training for each learner")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of ours; peers take 1 or 2 (default 5)")
    parser.add_argument("--rounds", type=int, default=100, help="turns of each program (default 100)")
    parser.add_argument("--document", action="store_true", help="measure nothing, write the document again")
    options = parser.parse_args()

    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not options.document:
        BUILD.mkdir(parents=True, exist_ok=True)
        one_core()
        results["machine"] = machine()
        for name in options.only or [name for name in SECTIONS if name != "accuracy" or options.full]:
            load = os.getloadavg()[0]
            print(f"== {name} (load before: {load:.2f})", flush=True)
            results[name] = {"load": load, **SECTIONS[name](options)}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            write(results)
    if not results:
        sys.exit(f"there are no results in {RESULTS.relative_to(ROOT)}; measure first")
    write(results)
    print("wrote docs/benchmarks.md and docs/benchmarks.svg")


if __name__ == "__main__":
    main()
