"""Planes in gateware: cells by synthesis alone, and equality with the software on real images.

    python bench/pixels.py [--rule RULE …] [--shape HxW] [--family FAMILY …] [--trainer TABLESxINPUTS]
    python bench/pixels.py --images N [--data NAME] [--netlist FAMILY] [--rule RULE …]

Prints a JSON line for each rule and family: the cells that Yosys makes of the planes, by name, and the cycles of an
image; with --trainer those of the planes and the trainer of an ensemble of ten classes behind them. With --images the
first N test images of a data set of 28 x 28 grey values run through the simulated gateware, or with --netlist through
the netlist after synthesis; the bits are compared with those of the compiled rule.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from typing import Any

import numpy as np
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rdahw.data import Binariser, load
from rdahw.data.images import Image
from rdahw.data.planes import parse_planes
from rdahw.families.ensemble.spec import EnsembleSpec
from rdahw.hdl.block_memory import FORGET_FIRST_READ
from rdahw.hdl.lut_cells import FAMILIES
from rdahw.hdl.memory_trainer import MemoryTrainer
from rdahw.hdl.pixels import PixelExamples, PixelPlanes
from rdahw.hdl.toolchain import find, run, scratch
from rdahw.sim.planes import to_wires
from rdahw.sim.simulator import Exchange, make_simulator

RULES = ["threshold=32", "hog=4/3/20", "threshold=32,128+hog=4/3/20,60", "hog=8/8/12,25,50,80", "fashion"]


class Behind(wiring.Component):
    """A trainer behind the planes."""

    def __init__(self, rule: str, shape: tuple[int, ...], trainer: str, memory_kind: str) -> None:
        self.front = PixelExamples(parse_planes(rule), shape)
        tables, inputs = map(int, trainer.split("x"))
        image = Image(len(self.front.places) // (shape[0] * shape[1]), *shape)
        size = {"input_bits": image.bits, "classes": 10, "tables": tables, "inputs": inputs, "counter": 6}
        self.trainer = MemoryTrainer(
            EnsembleSpec(**size, image=image, wiring="patch8"), memory_kind, places=self.front.places
        )
        members = {name: self.front.signature.members[name] for name in ("pixels", "labels")}
        super().__init__({**members, "results": Out(self.trainer.results.signature)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.front, m.submodules.trainer = front, trainer = self.front, self.trainer
        wiring.connect(m, front.examples, trainer.examples)
        wiring.connect(m, wiring.flipped(self.pixels), front.pixels)
        wiring.connect(m, wiring.flipped(self.labels), front.labels)
        wiring.connect(m, trainer.results, wiring.flipped(self.results))
        return m


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
    shape = tuple(map(int, given.shape.split("x")))
    for rule in given.rule:
        if given.images:
            print(
                json.dumps({"rule": rule, **different_bits(rule, given.data, given.images, given.netlist)}), flush=True
            )
            continue
        for family in given.family:
            whole: Any
            if given.trainer:
                whole = Behind(rule, shape, given.trainer, "spram" if family == "ice40" else "block")
                design = whole.front.inner
            else:
                whole = design = PixelPlanes(parse_planes(rule), shape)
            result = {"rule": rule, "shape": given.shape, "family": family, "planes": len(design.planes.payload)}
            result |= {"line_bits": design.line_bits, "cycles_per_image": design.cycles_per_image}
            if given.trainer:
                result |= {"trainer": given.trainer, "example_bytes": whole.trainer.example_octets}
                result["cycles_per_image"] = whole.front.cycles_per_image
            print(json.dumps(result | {"cells": cells(whole, family)}), flush=True)


if __name__ == "__main__":
    main()
