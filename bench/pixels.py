"""Planes in gateware: cells by synthesis alone, and equality with the software on real images.

    python bench/pixels.py [--rule RULE …] [--shape HxW] [--family FAMILY …] [--trainer TABLESxINPUTS]
    python bench/pixels.py --images N [--data NAME] [--netlist FAMILY] [--rule RULE …] [--trainer TABLESxINPUTS]

Prints a JSON line for each rule and family: the cells that Yosys makes of the planes, by name, and the cycles of an
image; with --trainer those of the planes and the trainer of an ensemble of ten classes behind them. With --images the
first N test images of a data set of 28 x 28 grey values run through the simulated gateware, or with --netlist through
the netlist after synthesis; the bits are compared with those of the compiled rule. With --images and --trainer the
trainer learns from the first N training images, predicts the first N test images, and every result and every counter
is compared with the compiled ensemble.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np
from amaranth.back import rtlil

from rdahw.data import Binariser, load
from rdahw.data.images import Image
from rdahw.data.planes import parse_planes
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.block_memory import FORGET_FIRST_READ
from rdahw.hdl.frontend import PixelFrontend
from rdahw.hdl.lut_cells import FAMILIES
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.pixels import PixelPlanes
from rdahw.hdl.toolchain import find, run, scratch
from rdahw.sim.engines import make_engine
from rdahw.sim.planes import to_wires
from rdahw.sim.simulator import Exchange, make_simulator
from rdahw.training import Batches, Examples

RULES = ["threshold=32", "hog=4/3/20", "threshold=32,128+hog=4/3/20,60", "hog=8/8/12,25,50,80", "fashion"]


def trainer_of(rule: str, shape: tuple[int, int], size: str, memory_kind: str) -> MemoryTrainer:
    """The trainer of an ensemble of ten classes that takes pixels."""
    frontend = PixelFrontend(parse_planes(rule), shape)
    tables, inputs = map(int, size.split("x"))
    image = Image(len(frontend.rule.planes(1)), *shape)
    its = {"input_bits": image.bits, "classes": 10, "tables": tables, "inputs": inputs, "counter": 6}
    return MemoryTrainer(EnsembleSpec(**its, image=image, wiring="patch8"), memory_kind, frontend=frontend)


def cells(design: Any, family: str) -> dict[str, int]:
    """The cells that Yosys makes of it, by name."""
    script = f"read_rtlil design.il\n{FORGET_FIRST_READ}\n{FAMILIES[family].synth} -top top\ndelete t:$scopeinfo\n"
    with scratch() as work:
        (work / "design.il").write_text(str(rtlil.convert(design, name="top", emit_src=False)))
        (work / "design.ys").write_text(script + "write_json netlist.json\n")
        run(find("yosys"), ["-q", "design.ys"], cwd=work, log="design.log", makes=["netlist.json"])
        netlist = json.loads((work / "netlist.json").read_text())["modules"]["top"]
    return dict(sorted(Counter(cell["type"] for cell in netlist["cells"].values()).items()))


def different_bits(rule: str, name: str, images: int, netlist: str | None) -> dict[str, Any]:
    """How many bits of the first test images differ from the compiled rule."""
    data = load(name)
    features = np.asarray(data.test.features[:images]).astype(np.uint8)
    binariser = Binariser.fit(rule, features, data.columns, None, (28, 28))
    simulator = make_simulator(PixelPlanes(parse_planes(rule), (28, 28)), "cxxrtl", netlist=netlist)
    different = bits = 0
    for start in range(0, len(features), 500):
        part = features[start : start + 500]
        beats = np.unpackbits(part.reshape(-1, 1), axis=1, bitorder="little")
        found = simulator.exchange(Exchange("pixels", "planes", beats, len(beats), len(beats))).results
        wanted = np.asarray(to_wires(binariser, part)).reshape(len(part), -1, 784).transpose(0, 2, 1)
        different += int((found != wanted.reshape(found.shape)).sum())
        bits += found.size
    return {"data": name, "images": len(features), "bits": bits, "different": different, "cycles": simulator.cycles}


def trained_alike(rule: str, size: str, name: str, images: int, netlist: str | None) -> dict[str, Any]:
    """How many results and counters differ from the software, and the cycles of an image while it learns."""
    trainer = trainer_of(rule, (28, 28), size, "spram" if netlist == "ice40" else "block")
    spec, frontend, interface = trainer.spec, trainer.frontend, trainer.interface
    data, software = load(name), make_engine(trainer.spec)
    simulator = make_simulator(trainer, "cxxrtl", netlist=netlist)
    different, cycles = 0, []
    for part, learns in ((data.train, True), (data.test, False)):
        pixels, labels = np.asarray(part.features[:images]).astype(np.uint8), part.labels[:images]
        binariser = Binariser.fit(rule, pixels, data.columns, None, (28, 28))
        beats = trainer.encoder(frontend.encode(pixels), interface.encode(labels), learn=learns)
        found = simulator.exchange(Exchange("examples", "results", beats, len(beats), len(labels)))
        prepared = software.prepare(Examples(to_wires(binariser, pixels), labels))
        if learns:
            wanted = software.train(prepared, Batches.single(np.arange(len(labels)))).predicted
        else:
            wanted = software.predict(prepared)
        different += int((interface.decode(trainer.encoder.prediction(found.results)) != wanted).sum())
        cycles.append(float(np.diff(found.given)[1:].mean()))
    while simulator.get("busy"):
        simulator.tick()
    counters, *_ = interface.places
    octets = bytearray()
    for address in range(counters.at, counters.at + counters.size):
        simulator.set("control__parameter_address", address)
        simulator.tick()
        octets.append(simulator.get("control__parameter_read"))
    learned = software.state[spec.parameters.name]
    different_counters = int((counters.unpack(bytes(octets)) != learned).sum())
    result = {"data": name, "images": 2 * images, "trainer": size, "netlist": netlist, "different": different}
    result |= {"counters": learned.size, "changed": int((learned != 0).sum()), "different_counters": different_counters}
    return result | {"cycles_per_image": dict(zip(("learning", "predicting"), cycles, strict=True))}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rule", nargs="+", default=RULES)
    parser.add_argument("--shape", default="28x28")
    parser.add_argument("--family", nargs="+", default=["ice40", "ecp5"], choices=FAMILIES)
    parser.add_argument("--trainer", metavar="TABLESxINPUTS")
    parser.add_argument("--images", type=int, metavar="N")
    parser.add_argument("--data", default="fashion-mnist", metavar="NAME")
    parser.add_argument("--netlist", metavar="FAMILY")
    given = parser.parse_args()
    height, width = map(int, given.shape.split("x"))
    shape = height, width
    for rule in given.rule:
        if given.images and given.trainer:
            made = trained_alike(rule, given.trainer, given.data, given.images, given.netlist)
            print(json.dumps({"rule": rule, **made}), flush=True)
            continue
        if given.images:
            print(
                json.dumps({"rule": rule, **different_bits(rule, given.data, given.images, given.netlist)}), flush=True
            )
            continue
        for family in given.family:
            whole: Any
            if given.trainer:
                whole = trainer_of(rule, shape, given.trainer, "spram" if family == "ice40" else "block")
                design = whole.buffer.planes
            else:
                whole = design = PixelPlanes(parse_planes(rule), shape)
            result = {"rule": rule, "shape": given.shape, "family": family, "planes": len(design.planes.payload)}
            result |= {"line_bits": design.flow.line_bits, "cycles_per_image": design.flow.cycles_per_image}
            if given.trainer:
                result |= {"trainer": given.trainer, "lanes": whole.buffer.kept.lanes, "kept": whole.buffer.kept.steps}
                result["cycles_per_image"] = whole.buffer.cycles
            print(json.dumps(result | {"cells": cells(whole, family)}), flush=True)


if __name__ == "__main__":
    main()
