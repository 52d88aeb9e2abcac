"""The Verilator engine: Yosys writes Verilog, Verilator translates it to C++, the system's compiler makes a library."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdahw.errors import MissingError
from rdahw.hdl import toolchain
from rdahw.sim.cells import synthesis_script
from rdahw.sim.harness import HARNESS
from rdahw.sim.native import cached, convert
from rdahw.sim.simulator import Log, Port

__all__ = ["build"]

_FLAGS = ("-std=c++17", "-fPIC", "-w", "-shared", "-fvisibility=hidden")
_OPTIMISED = "-O2"
#: The files that every design shares, compiled once.
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp", "verilated_vcd_c.cpp")

_MODEL = r"""
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>
#include "Vtop.h"
#include "verilated.h"
#include "verilated_syms.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

static const char *const ITEMS[] = {@ITEMS@};

struct Model {
    // size: the bytes of one row as Verilator holds it.
    struct Item { uint8_t *data = nullptr; uint32_t bits = 0, depth = 1, size = 0; };

    VerilatedContext context;
    Vtop top;
    std::vector<Item> items;
    uint64_t time = 0;
    bool opened = true;
#if VM_TRACE
    VerilatedVcdC vcd;
#endif

    Model(const char *path) : top(&context, "TOP") {
#if VM_TRACE
        if (path) {
            context.traceEverOn(true);
            top.trace(&vcd, 99);
            vcd.set_time_unit("100ns");
            vcd.set_time_resolution("100ns");
            vcd.open(path);
            opened = vcd.isOpen();
        }
#endif
        top.clk = 0;
        top.rst = 0;
        top.eval();
        for (const char *path : ITEMS) {
            Item item;
            // The ports are those of the wrapper that Verilator makes; its name depends on the version.
            bool port = items.size() < @PORTS@;
            std::string name = path, scope = !port ? "TOP.top" : context.scopeFind("TOP.TOP") ? "TOP.TOP" : "TOP";
            for (size_t dot; (dot = name.find('.')) != std::string::npos; name = name.substr(dot + 1))
                scope += "." + name.substr(0, dot);
            const VerilatedScope *found = context.scopeFind(scope.c_str());
            VerilatedVar *var = found ? found->varFind(name.c_str()) : nullptr;
            if (var) {
                item.data = (uint8_t *)var->datap();
                item.bits = var->packed().elements();
                item.size = var->entSize();
                if (var->dims() > 1) item.depth = var->unpacked().elements();
            }
            items.push_back(item);
        }
        dump();
    }
    ~Model() {
        top.final();
#if VM_TRACE
        if (vcd.isOpen()) vcd.close();
#endif
    }

    bool good() const { return opened; }
    uint32_t width(int item) const { return items[item].bits * items[item].depth; }

    void get(int number, uint32_t *words) {
        const Item &item = items[number];
        if (item.depth == 1) {
            words[(item.bits - 1) / 32] = 0;
            memcpy(words, item.data, item.size);
            return;
        }
        memset(words, 0, (width(number) + 31) / 32 * 4);
        each_bit(item, [&](uint32_t bit, uint8_t *byte, uint32_t shift) {
            words[bit >> 5] |= (uint32_t)(*byte >> shift & 1) << (bit & 31);
        });
    }

    bool set(int number, const uint32_t *words) {
        const Item &item = items[number];
        if (item.depth == 1) {
            memcpy(item.data, words, item.size);
            return true;
        }
        each_bit(item, [&](uint32_t bit, uint8_t *byte, uint32_t shift) {
            *byte = (*byte & ~(1 << shift)) | (words[bit >> 5] >> (bit & 31) & 1) << shift;
        });
        return true;
    }

    void settle() { top.eval(); }

    void edge() {
        top.clk = 1;
        top.eval();
        dump();
        top.clk = 0;
        top.eval();
        dump();
    }

    template<class F> static void each_bit(const Item &item, F f) {
        for (uint32_t row = 0; row < item.depth; row++)
            for (uint32_t i = 0; i < item.bits; i++)
                f(row * item.bits + i, item.data + row * item.size + i / 8, i % 8);
    }

    void dump() {
#if VM_TRACE
        if (vcd.isOpen()) vcd.dump(5 * time++);
#endif
    }
};
"""


def build(
    component: Any,
    ports: Mapping[str, Port],
    registers: Mapping[str, Any],
    *,
    netlist: str | None = None,
    vcd: bool = False,
    log: Log | None = None,
) -> Path:
    """The shared library that simulates ``component``; see :func:`rdahw.sim.cxxrtl.build`.

    With ``vcd`` the waveform writer is compiled in.
    """
    yosys, verilator, compiler = (toolchain.find(name) for name in ("yosys", "verilator", "c++"))
    include = _include(verilator)
    rtlil, paths = convert(component, ports, registers)
    script = f"{synthesis_script(netlist)}proc\nwrite_verilog -noattr design.v\n"
    names = [*ports, *map(".".join, paths)]
    source = _MODEL.replace("@ITEMS@", ", ".join(map(json.dumps, names))).replace("@PORTS@", str(len(ports)))
    source += HARNESS
    # Verilator may inline signals that are not listed here. It renames some characters, so that * stands for them.
    visible = {name.rpartition(".")[2].replace("__", "*").replace("$", "*") for name in names}
    config = "`verilator_config\n" + "".join(f'public_flat_rw -module "*" -var "{name}"\n' for name in sorted(visible))
    options = ["--cc", "-O3", "--x-assign", "0", "--x-initial", "0", "--no-assert"]
    options += ["-Wno-fatal", "-Wno-lint", "-Wno-style"]
    options += ["--top-module", "top", "--prefix", "Vtop", "--Mdir", "made", *(["--trace"] if vcd else [])]
    folders = [f"-I{include}", f"-I{include / 'vltstd'}", f"-DVM_TRACE={int(vcd)}", "-DVM_COVERAGE=0"]

    def make_runtime(work: Path) -> Path:
        arguments = [*_FLAGS[:-2], _OPTIMISED, "-r", "-nostdlib", *folders, "-o", "runtime.o"]
        arguments += [str(include / unit) for unit in _RUNTIME]
        toolchain.run(compiler, arguments, cwd=work, log="compiler.log", makes=["runtime.o"])
        return work / "runtime.o"

    def runtime() -> Path:
        parts = ["runtime", str(verilator), str(compiler), _OPTIMISED, *_FLAGS, *folders]
        return cached(parts, make_runtime, None, "Verilator")

    def make(work: Path) -> Path:
        (work / "design.il").write_text(rtlil)
        (work / "design.ys").write_text(script)
        (work / "visible.vlt").write_text(config)
        (work / "simulator.cc").write_text(source)
        toolchain.run(yosys, ["-q", "design.ys"], cwd=work, log="yosys.log", makes=["design.v"])
        toolchain.run(
            verilator, [*options, "visible.vlt", "design.v"], cwd=work, log="verilator.log", makes=["made/Vtop.h"]
        )
        units = [str(path.relative_to(work)) for path in sorted((work / "made").glob("*.cpp"))]
        sources = ["simulator.cc", *units, str(runtime())]
        arguments = [*_FLAGS, _OPTIMISED, *folders, "-Imade", "-o", "simulator.so", *sources, "-pthread"]
        toolchain.run(compiler, arguments, cwd=work, log="compiler.log", makes=["simulator.so"])
        return work / "simulator.so"

    parts = [rtlil, script, config, source, str(yosys), str(verilator), str(compiler), *options, _OPTIMISED, *_FLAGS]
    return cached(parts, make, log, "Verilator")


def _include(verilator: toolchain.FoundTool) -> Path:
    """The folder of Verilator's own C++ files."""
    root = subprocess.run(
        [*verilator.command, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, check=False
    ).stdout.strip()
    include = Path(root) / "include"
    if not root or not (include / "verilated.cpp").is_file():
        raise MissingError(f"{verilator} does not report its folder; install it again, or choose --engine cxxrtl")
    return include
