"""A simulated LiteX SoC whose CPU trains Iris through the registers of an exported peripheral, beside the software.

    python -m pip install "rdahw[litex]"        # and gcc-riscv64-unknown-elf and verilator from the system
    python bench/litex_soc.py [--only NAME …] [--cpu NAME …] [--bus NAME …] [--epochs N] [--folder FOLDER]

Trains each of MODELS on Iris for its conversion to bits, exports its trainer with ``rdahw export --to litex``, adds it
to a SoC with each CPU and bus, compiles litex_firmware.c with the headers of both for it, and runs the SoC's Verilog in
Verilator. The program gives the trainer the examples of Iris, epoch after epoch in a random order, from power-up
on. Prints a JSON line for each: the examples, how many predictions and words of parameters are not those of the
software, the accuracy that was reached, the clock cycles, and the seconds of the processor; any difference gives exit
code 1.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from litex.build.generic_platform import GenericPlatform, Pins, Subsignal
from litex.build.io import CRG
from litex.gen import LiteXModule
from litex.soc.integration.export import get_csr_header, get_mem_header
from litex.soc.integration.soc_core import SoCCore
from litex.soc.interconnect.csr import CSRStorage

from rdahw.data import load
from rdahw.hdl.packets import PacketModel
from rdahw.hdl.trainer_factory import make_trainer
from rdahw.saved import load_model
from rdahw.sim.cocotb_export import golden, state_at_power_up
from rdahw.sim.engines import predict
from rdahw.training import Examples

ROOT = Path(__file__).parents[1]
#: Options of ``rdahw train``.
MODELS = {"lookup": (), "ensemble": ("--model", "ensemble:tables=16,inputs=4")}
#: The variant of each CPU.
CPUS = {"vexriscv": "minimal", "picorv32": "minimal", "serv": "standard"}
BUSES = ("wishbone", "axi-lite")
#: The pins of the SoC.
PINS = [
    ("clk", 0, Pins(1)),
    ("rst", 0, Pins(1)),
    ("console", 0, Subsignal("valid", Pins(1)), Subsignal("value", Pins(32)), Subsignal("end", Pins(1))),
]
#: Prints what the program shows, and at the end the clock cycles.
DRIVER = """#include <cstdio>
#include "Vsoc.h"
int main()
{
    Vsoc soc;
    long cycles = 0;
    for (; !soc.console_end && cycles < LIMIT; cycles++) {
        soc.clk = 0, soc.eval();
        if (soc.console_valid)
            std::printf("%u\\n", soc.console_value);
        soc.rst = cycles < 8;
        soc.clk = 1, soc.eval();
    }
    std::printf("%ld\\n", cycles);
}
"""
#: The most clock cycles of a program of so many examples.
LIMIT = 200_000, 20_000
LINT = ("-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-COMBDLY", "-Wno-UNOPTFLAT")
GCC = ("-march=rv32i", "-mabi=ilp32", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-static")


class Console(LiteXModule):
    """Registers whose values go to pins."""

    def __init__(self, pins: Any) -> None:
        self.value = CSRStorage(32)
        self.end = CSRStorage(1)
        self.comb += [
            pins.valid.eq(self.value.re),
            pins.value.eq(self.value.storage),
            pins.end.eq(self.end.re),
        ]


class Soc(SoCCore):
    """A CPU with memories, the console and the peripheral."""

    def __init__(self, cpu: str, bus: str, peripheral: Any) -> None:
        platform = GenericPlatform("", PINS)
        self.crg = CRG(platform.request("clk"), platform.request("rst"))
        super().__init__(
            platform,
            clk_freq=1e6,
            cpu_type=cpu,
            cpu_variant=CPUS[cpu],
            bus_standard=bus,
            integrated_rom_size=0x10000,
            integrated_sram_size=0x1000,
            with_uart=False,
            ident_version=False,
        )
        self.console = Console(platform.request("console"))
        peripheral.add_to(self)


def number(bits: Any) -> int:
    """The number of these bits, the lowest first."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def run(*arguments: str | Path, at: Path | None = None) -> str:
    """Run a command; what it prints."""
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, cwd=at).stdout


def compiled(soc: Any, folder: Path) -> list[int]:
    """The firmware for this SoC as words."""
    (folder / "generated").mkdir(exist_ok=True)
    (folder / "generated" / "mem.h").write_text(get_mem_header(soc.mem_regions))
    (folder / "generated" / "csr.h").write_text(
        get_csr_header(soc.csr_regions, soc.constants, soc.mem_regions["csr"].origin, with_access_functions=False)
    )
    rom, sram = soc.mem_regions["rom"], soc.mem_regions["sram"]
    places = f"-Wl,--section-start=.init={rom.origin},--defsym=_stack={sram.origin + sram.size}"
    source = ROOT / "bench" / "litex_firmware.c"
    run("riscv64-unknown-elf-gcc", *GCC, places, "-I", folder, source, "-lgcc", "-o", "firmware.elf", at=folder)
    parts = ("-j", ".init", "-j", ".text", "-j", ".rodata")
    run("riscv64-unknown-elf-objcopy", "-O", "binary", *parts, "firmware.elf", "firmware.bin", at=folder)
    octets = (folder / "firmware.bin").read_bytes()
    return np.frombuffer(octets + bytes(-len(octets) % 4), "<u4").tolist()


def simulated(soc: Any, folder: Path, examples: int) -> tuple[list[int], int]:
    """What the program shows in Verilator, and the clock cycles it takes."""
    soc.finalize()
    soc.init_rom("rom", compiled(soc, folder))
    made = soc.platform.get_verilog(soc, name="soc")
    for name, text in {"soc.v": made.main_source, **made.data_files}.items():  # write() takes the current folder
        (folder / name).write_text(text)
    limit = LIMIT[0] + LIMIT[1] * examples
    (folder / "driver.cpp").write_text(DRIVER.replace("LIMIT", str(limit)))
    sources = [source for source, *_ in soc.platform.sources]
    build = ("--cc", "--exe", "--build", *LINT, "--top-module", "soc")
    run("verilator", *build, "driver.cpp", "soc.v", *sources, at=folder)
    *shown, cycles = map(int, run(folder / "obj_dir" / "Vsoc", at=folder).split())
    if cycles == limit:
        raise SystemExit(f"the program does not end within {limit:,} clock cycles")
    return shown, cycles


def measure(cpu: str, bus: str, epochs: int, folder: Path) -> bool:
    """Train a model with a CPU, and print how it went; whether all is as in the software."""
    saved, data = load_model(folder / "flowers.rdahw"), load("iris").train
    core = PacketModel(make_trainer(saved.spec))
    its, rng = core.interface, np.random.default_rng(1)
    order = np.concatenate([rng.permutation(len(data.labels)) for _ in range(epochs)])
    x, labels = saved.binariser.transform(data.features), np.asarray(data.labels, np.int64)
    due = golden(core, state_at_power_up(its), Examples(x[order], labels[order]))
    work = folder / f"{cpu}-{bus}"
    work.mkdir(exist_ok=True)
    rows = ",\n".join("{" + ", ".join(str(number(word)) for word in example) + "}" for example in due.words)
    (work / "examples.h").write_text(
        f"#define EXAMPLES {len(order)}\nstatic const uint32_t examples[][{core.beats}] = {{\n{rows}}};\n"
    )
    (work / "flowers.h").write_bytes((folder / "litex" / "flowers.h").read_bytes())
    peripheral = runpy.run_path(str(folder / "litex" / "flowers_litex.py"))["Peripheral"]
    seconds = -resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    shown, cycles = simulated(Soc(cpu, bus, peripheral), work, len(order))
    seconds += resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    results = list(map(number, due.results))
    errors = len(order) - int(due.results[:, its.output_bits].sum())
    first, found, last = shown[:3], shown[3:][: len(order)], shown[3 + len(order) :]
    octets = np.array(last[2:], "<u4").tobytes()
    state = {place.field.name: place.unpack(octets[place.at :][: place.size]) for place in its.places}
    row = {"model": folder.name, "cpu": cpu, "bus": bus, "examples": len(found), "cycles": cycles}
    row |= {"wrong": sum(one != other for one, other in zip(results, found, strict=True))}
    row |= {"wrong_parameters": sum(int((state[name] != due.state[name]).sum()) for name in state)}
    row |= {"accuracy": float((predict(saved.spec, state, x) == labels).mean()), "seconds": round(seconds, 1)}
    print(json.dumps(row), flush=True)
    ones = (1 << 32) - 1
    fixed = first + last[:2] == [its.fingerprint & ones, its.fingerprint >> 32, ones, len(order), errors]
    return fixed and not row["wrong"] and not row["wrong_parameters"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cpu", nargs="+", choices=CPUS, default=list(CPUS))
    parser.add_argument("--bus", nargs="+", choices=BUSES, default=list(BUSES))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "litex")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    right = True
    for name in options.only:
        folder = options.folder.resolve() / name
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / "flowers.rdahw"
        rdahw = (sys.executable, "-m", "rdahw.cli")
        run(*rdahw, "train", "--quiet", "--epochs", "1", *MODELS[name], "--out", model)
        run(*rdahw, "export", model, "--to", "litex", "--trainer", "--force", "--out", folder / "litex")
        for cpu in options.cpu:
            for bus in options.bus:
                right &= measure(cpu, bus, options.epochs, folder)
    raise SystemExit(not right)


if __name__ == "__main__":
    main()
