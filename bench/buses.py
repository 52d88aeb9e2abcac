"""Exported predictors with bus ports, driven by bus models that this project did not write, beside the software.

    python -m pip install cocotb==2.1.0 cocotbext-axi==0.1.28
    python bench/buses.py [--only NAME …] [--simulator NAME …] [--folder FOLDER]

Trains each of MODELS on Iris, exports it with ``--bus axi-stream``, and sends random examples in packets of random
length, with random pauses on both sides, from the bus models of cocotbext-axi in Icarus Verilog (or in Verilator, of a
version that this cocotb takes). Prints a JSON line for each model and simulator: the transfers, the examples, how many
predictions are not those of the software, and the processor seconds. A wrong TLAST or TUSER ends it, and a wrong
prediction gives exit code 1.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from amaranth.hdl import Fragment
from cocotb_tools.runner import get_runner

from rdahw.cli._model import as_predictor
from rdahw.hdl.packets import PacketModel
from rdahw.hdl.trainer_factory import make_predictor
from rdahw.saved import load_model
from rdahw.sim.engines import predict

ROOT = Path(__file__).parents[1]
TRANSFERS = 10_000
#: Options of ``rdahw train``, and of ``rdahw export``.
MODELS = {
    "lookup": ((), ()),
    "ensemble": (("--model", "ensemble:tables=16,inputs=4"), ()),
    "ensemble, bytes": (("--model", "ensemble:tables=16,inputs=4"), ("--bus-bits", "8")),
    "ensemble in memory": (("--model", "ensemble:tables=128", "--epochs", "1"), ()),
}
SIMULATORS = {"icarus": [], "verilator": ["-Wno-fatal"]}


def measure(name: str, simulators: list[str], folder: Path) -> bool:
    """Train and export a model, and drive it in each simulator; whether all predictions are those of the software."""
    train, export = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    model, verilog = folder / "bus.rdahw", folder / "bus.v"
    rdahw = [sys.executable, "-m", "rdahw.cli"]
    subprocess.run([*rdahw, "train", "--quiet", *train, "--out", model], check=True, stdout=subprocess.DEVNULL)
    options = ["--to", "verilog", "--inference", "--bus", "axi-stream", *export, "--out", verilog]
    subprocess.run([*rdahw, "export", model, *options], check=True, stdout=subprocess.DEVNULL)
    spec, saved = as_predictor(None, load_model(model))
    core = PacketModel(make_predictor(spec, saved.best_state), int(export[-1]) if export else None)
    Fragment.get(core, None)  # as Amaranth warns of a component that is not used
    x = np.random.default_rng(3).integers(0, 2, (-(-TRANSFERS // core.beats), spec.input_bits), np.uint8)
    padded = np.pad(x, ((0, 0), (0, core.beats * core.width - x.shape[1])))
    np.save(folder / "examples.npy", np.packbits(padded, axis=1, bitorder="little"))
    expected, right = predict(spec, saved.best_state, x), True
    for simulator in simulators:
        runner, predictions = get_runner(simulator), folder / f"{simulator}.npy"
        where = {"build_dir": folder / simulator, "hdl_toplevel": "bus", "log_file": folder / f"{simulator}.log"}
        runner.build(
            sources=[verilog], always=True, build_args=SIMULATORS[simulator], timescale=("1ns", "1ps"), **where
        )
        predictions.unlink(missing_ok=True)
        files = {"BUS_EXAMPLES": str(folder / "examples.npy"), "BUS_PREDICTIONS": str(predictions)}
        before = time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        runner.test(
            test_module="buses_cocotb",
            test_dir=folder,
            extra_env=files,
            timescale=("1ns", "1ps"),
            **where,
        )
        seconds = time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        bits = np.unpackbits(np.load(predictions), axis=1, bitorder="little")[:, : core.interface.output_bits]
        wrong = int((core.interface.decode(bits) != expected).sum())
        right &= not wrong
        row = {"model": name, "simulator": simulator, "transfers": core.beats * len(x), "examples": len(x)}
        print(json.dumps({**row, "wrong": wrong, "seconds": round(seconds, 1)}), flush=True)
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--simulator", nargs="+", choices=SIMULATORS, default=["icarus"])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "buses")
    options = parser.parse_args()
    folders = {name: options.folder.resolve() / name.replace(" ", "-").replace(",", "") for name in options.only}
    results = [measure(name, options.simulator, folder) for name, folder in folders.items()]
    raise SystemExit(not all(results))


if __name__ == "__main__":
    main()
