"""The C++ around a simulated design: the functions that :class:`rdahw.sim.native.NativeSimulator` calls, and the loop
that streams whole data sets through it.

A back end defines a class ``Model`` before it:

    Model(const char *vcd)                   the design at power-up; vcd: a file, or null
    bool good()                              whether the file could be opened
    uint32_t width(int item)                 the bits of an item, 0 if the design does not have it
    void get(int item, uint32_t *words)      its value, 32 bits a word, the lowest first
    bool set(int item, const uint32_t *words)    false if it cannot be overwritten
    void settle()                            evaluate the outputs
    void edge()                              one clock cycle; settles as well

where an item is the number of a port, or of a register that is read or written.
"""

from __future__ import annotations

__all__ = ["HARNESS"]

HARNESS = r"""
#include <cstdint>
#include <cstring>
#include <vector>

struct Stream { int32_t valid, ready, payload; uint32_t words; };

// Mirrored by rdahw.sim.native._Exchange.
struct Exchange {
    Stream source, sink;
    int32_t watch;           // an item, or -1
    uint32_t watch_words;
    const uint32_t *beats;   // n_beats * source.words
    uint64_t n_beats, take, give;
    const uint8_t *gaps, *stalls;
    uint64_t n_gaps, n_stalls;
    uint64_t patience, budget;  // cycles: until stuck, and of this call
    // filled in; the counts and the state of the loop go on where the last call ended
    uint64_t *taken, *given;
    uint32_t *results;
    uint64_t n_taken, n_given, results_room;
    uint64_t *changed;
    uint32_t *values;
    uint64_t n_changed, changes_room;
    uint64_t quiet;
    uint8_t offered;
};

// Contents outside of the design: the byte at the address on one port is put on another.
struct Attached {
    int address, data;
    const uint8_t *bytes;
    uint64_t size;
    uint8_t behind;  // the value beyond the last byte
    uint32_t last, any;
};

struct Simulation {
    Model model;
    uint64_t cycles = 0;
    std::vector<Attached> attached;
    Simulation(const char *vcd) : model(vcd) {}

    void serve() {
        bool changed = false;
        for (Attached &a : attached) {
            uint32_t address = 0;
            model.get(a.address, &address);
            if (a.any && address == a.last) continue;
            uint32_t byte = address < a.size ? a.bytes[address] : a.behind;
            model.set(a.data, &byte);
            a.last = address;
            changed = a.any = 1;
        }
        if (changed) model.settle();
    }
};

#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

EXPORT Simulation *sim_open(const char *vcd) {
    Simulation *s = new Simulation(vcd);
    if (!s->model.good()) { delete s; return nullptr; }
    s->model.settle();
    return s;
}
EXPORT void sim_close(Simulation *s) { delete s; }
EXPORT uint32_t sim_width(Simulation *s, int item) { return s->model.width(item); }
EXPORT uint64_t sim_cycles(Simulation *s) { return s->cycles; }
EXPORT void sim_get(Simulation *s, int item, uint32_t *words) { s->model.get(item, words); }
EXPORT int sim_set(Simulation *s, int item, const uint32_t *words) {
    bool done = s->model.set(item, words);
    s->model.settle();
    s->serve();
    return done;
}
EXPORT void sim_attach(Simulation *s, int address, int data, const uint8_t *bytes, uint64_t size, uint8_t behind) {
    s->attached.push_back({address, data, bytes, size, behind, 0, 0});
    s->serve();
}
EXPORT void sim_tick(Simulation *s, uint64_t count) {
    for (; count; count--, s->cycles++) {
        s->model.edge();
        s->serve();
    }
}

EXPORT void sim_exchange(Simulation *s, Exchange *e) {
    Model &m = s->model;
    const uint32_t no = 0, yes = 1;
    uint32_t flag = 0;
    std::vector<uint32_t> before(e->watch_words + 1), now(e->watch_words + 1);
    if (e->watch >= 0) m.get(e->watch, before.data());
    for (uint64_t end = s->cycles + e->budget; s->cycles < end; s->cycles++) {
        if ((e->n_taken >= e->take && e->n_given >= e->give) || e->quiet > e->patience) return;
        if (e->n_changed == e->changes_room || e->n_given == e->results_room) return;
        bool gap = e->n_gaps && e->gaps[s->cycles % e->n_gaps];
        bool stall = e->n_stalls && e->stalls[s->cycles % e->n_stalls];
        e->offered = e->n_taken < e->n_beats && (e->offered || !gap);
        m.set(e->source.valid, e->offered ? &yes : &no);
        if (e->offered) m.set(e->source.payload, e->beats + e->n_taken * e->source.words);
        m.set(e->sink.ready, stall ? &no : &yes);
        m.settle();
        s->serve();
        e->quiet++;
        m.get(e->sink.valid, &flag);
        if (flag && !stall) {
            m.get(e->sink.payload, e->results + e->n_given * e->sink.words);
            e->given[e->n_given++] = s->cycles;
            e->quiet = 0;
        }
        m.get(e->source.ready, &flag);
        if (flag && e->offered) {
            e->taken[e->n_taken++] = s->cycles;
            e->quiet = 0;
            e->offered = 0;
        }
        m.edge();
        s->serve();
        if (e->watch < 0) continue;
        m.get(e->watch, now.data());
        if (now != before) {
            e->changed[e->n_changed] = s->cycles;
            memcpy(e->values + e->n_changed++ * e->watch_words, now.data(), 4 * e->watch_words);
            before.swap(now);
        }
    }
}
"""
