"""Models as C, compiled for this computer, a Cortex-M3 and RV32, beside the software: every bit, sizes and times.

    python bench/microcontrollers.py [--only NAME …] [--folder FOLDER]
    python bench/microcontrollers.py --python

Trains five models (kept in FOLDER, by default build/bench/microcontrollers), exports each to C and builds it with every
compiler of TARGETS that is installed: gcc, gcc with UBSan, g++, clang, and the cross compilers of Debian
(gcc-arm-none-eabi, gcc-riscv64-unknown-elf), whose programs run in QEMU (qemu-system-arm, qemu-user). A model predicts
up to 10,000 rows of its data, and one that learns does so from 5,000; all predictions, counters and registers are
compared with the software. Prints a JSON line for each model and compiler. ``flash_bytes`` and ``ram_bytes`` are what
the export says of a Cortex-M3, the errors how far that is from ``arm-none-eabi-size``, in percent; ``ns`` is the
processor time of a row on this computer (gcc -O3, the best of several): of a prediction from packed bits, and with the
conversion of the features.
The rows of Letter are those of bench/tabular_sets.py; without them the model is left out.

With --python: processor microseconds of ``predict_one`` of classifiers of scikit-learn's digits, before and after
``compile``, the best of several turns, and how many classes differ.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measure import microseconds

from rdahw.data import load
from rdahw.saved import load_model
from rdahw.sim.c_export import FORMATS, CModel, c_model
from rdahw.sim.engines import make_engine, predict
from rdahw.table_scores import TableLearning
from rdahw.training import Batches, Examples

ROOT = Path(__file__).parents[1]
PREDICTED, LEARNED = 10_000, 5_000


class Model(NamedTuple):
    """A model to train: the data set or the maker of its file, options of ``rdahw train``, and whether it learns in
    C."""

    data: str
    options: tuple[str, ...]
    learns: bool


MODELS = {
    "iris": Model("iris", (), True),
    "mnist": Model("mnist", ("--model", "ensemble:tables=256", "--epochs", "2"), True),
    "grown": Model("mnist", ("--model", "grown:tables=200"), False),
    "wine": Model("wine.csv", ("--model", "ensemble:tables=64,inputs=4"), True),
    "letters": Model("letters.csv", ("--model", "ensemble:tables=128", "--epochs", "5"), True),
}

_STRICT = ("-Wall", "-Wextra", "-Werror")
_C = ("-std=c99", *_STRICT)
_BARE = (*_C, "-Os", "-DBARE", "-ffreestanding", "-nostdlib", "-static")
#: The command that compiles, what it adds behind the files, and what runs the program.
TARGETS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "gcc": (("gcc", *_C, "-O2"), (), ()),
    "gcc, UBSan": (("gcc", *_C, "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all"), (), ()),
    "g++": (("g++", "-x", "c++", *_STRICT, "-O2"), (), ()),
    "clang": (("clang", *_C, "-O2"), (), ()),
    "Cortex-M3": (
        ("arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", *_BARE, "-Wl,--section-start=.vectors=0,-Ttext=0x400",
         "-Wl,-Tdata=0x20000000"),
        ("-lgcc",),
        ("qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-serial", "none",
         "-semihosting-config", "enable=on,target=native", "-kernel"),
    ),
    "RV32": (
        ("riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32", *_BARE, "-Wl,--no-relax"),
        ("-lgcc",),
        ("qemu-riscv32",),
    ),
}  # fmt: skip

#: Reads two counts, rows to predict, and rows with labels to learn; writes classes, and what is learned.
DRIVER = """
#include "model.h"
#ifdef __arm__ /* a Cortex-M3 without system: QEMU reads and writes files for it */
static long ask(long what, void *with)
{
    register long r0 __asm__("r0") = what;
    register void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}
static long file(const char *name, long size, long mode)
{
    long with[3];
    with[0] = (long)name, with[1] = mode, with[2] = size;
    return ask(1, with);
}
static long sent, found;
static void begin(void) { sent = file("sent", 4, 1), found = file("found", 5, 5); }
static long from(void *to, long size)
{
    long with[3];
    with[0] = sent, with[1] = (long)to, with[2] = size;
    return size - ask(6, with);
}
static void give(void *from, long size)
{
    long with[3];
    with[0] = found, with[1] = (long)from, with[2] = size;
    ask(5, with);
}
static void finish(void) { ask(0x18, (void *)0x20026); }
void _start(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {(void *)0x20400000, (void *)_start};
#elif defined BARE /* RISC-V, with the system calls of Linux, which QEMU takes */
static long call(long number, long a, void *b, long c)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register void *a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}
static void begin(void) {}
static long from(void *to, long size) { return call(63, 0, to, size); }
static void give(void *from, long size) { call(64, 1, from, size); }
static void finish(void) { call(93, 0, 0, 0); }
void _start(void);
#else
#include <unistd.h>
static long from(void *to, long size) { return read(0, to, (unsigned long)size); }
static void give(void *from, long size) { if (write(1, from, (unsigned long)size) != size) _exit(1); }
#endif

#ifdef BARE
void *memset(void *, int, unsigned);
void *memset(void *to, int value, unsigned size)
{
    volatile char *at = (volatile char *)to;
    while (size--)
        *at++ = (char)value;
    return to;
}
void *memcpy(void *, const void *, unsigned);
void *memcpy(void *to, const void *from, unsigned size)
{
    volatile char *at = (volatile char *)to;
    const char *next = (const char *)from;
    while (size--)
        *at++ = *next++;
    return to;
}
#endif

static void take(void *to, long size)
{
    char *at = (char *)to;
    while (size > 0) {
        long got = from(at, size);
        if (got <= 0)
            return;
        at += got;
        size -= got;
    }
}

static uint8_t x[MODEL_INPUT_OCTETS];
#ifdef MODEL_FEATURES
static model_feature row[MODEL_FEATURES];
static void next(void) { take(row, sizeof row); model_encode(row, x); }
#else
static void next(void) { take(x, sizeof x); }
#endif

static void all(void)
{
    int32_t counts[2], i, found;
    take(counts, sizeof counts);
    for (i = 0; i < counts[0]; i++) {
        next();
        found = model_predict(x);
        give(&found, sizeof found);
    }
#ifdef LEARNS
    for (i = 0; i < counts[1]; i++) {
        int32_t label;
        next();
        take(&label, sizeof label);
        found = model_learn(x, label);
        give(&found, sizeof found);
    }
#ifdef MODEL_COUNTERS
    give(model_counters, sizeof model_counters);
#else
    give(model_parameters, sizeof model_parameters);
#endif
#ifdef DROPS
    give(&model_dropout, sizeof model_dropout);
#endif
#endif
}

#ifdef BARE
void _start(void) { begin(); all(); for (;;) finish(); }
#else
int main(void) { all(); return 0; }
#endif
"""

#: Reads rows and prints the nanoseconds of a prediction, alone and with the conversion.
TIMER = """
#include <stdio.h>
#include <time.h>
#include "model.h"
#ifndef MODEL_FEATURES
#define MODEL_FEATURES MODEL_INPUT_OCTETS
typedef uint8_t model_feature;
static void model_encode(const model_feature *row, uint8_t *x)
{
    int i;
    for (i = 0; i < MODEL_FEATURES; i++)
        x[i] = row[i];
}
#endif
static model_feature rows[ROWS][MODEL_FEATURES];
static uint8_t x[ROWS][MODEL_INPUT_OCTETS];
int main(void)
{
    int i, turn, sum = 0;
    double least[2] = {1e9, 1e9};
    if (fread(rows, sizeof rows, 1, stdin) != 1)
        return 1;
    for (i = 0; i < ROWS; i++)
        model_encode(rows[i], x[i]);
    for (turn = 0; turn < 2 * TURNS; turn++) {
        clock_t start = clock();
        double seconds;
        for (i = 0; i < TIMES * ROWS; i++) {
            if (turn & 1)
                model_encode(rows[i % ROWS], x[i % ROWS]);
            sum += model_predict(x[i % ROWS]);
        }
        seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (seconds < least[turn & 1])
            least[turn & 1] = seconds;
    }
    printf("%f %f %d\\n", 1e9 * least[0] / TIMES / ROWS, 1e9 * least[1] / TIMES / ROWS, sum);
    return 0;
}
"""
_TURNS, _TIMED, _CALLS = 10, 1000, 20_000


def data_of(model: Model, folder: Path) -> str:
    """The data set or the file of a model, which is made if it can be; "" if it cannot."""
    if not model.data.endswith(".csv"):
        return model.data
    path = folder / model.data
    if path.exists():
        return str(path)
    if model.data.startswith("wine"):
        from sklearn.datasets import load_wine

        x, y = load_wine(return_X_y=True)
    else:
        source = ROOT / "build" / "bench" / "tabular" / "LetterRecognition.npz"
        if not source.exists():
            return ""
        with np.load(source, allow_pickle=False) as held:
            x, y = (held[name] for name in held.files[:2])
    rows = [",".join([*(f"{value:g}" for value in row), f"c{label}"]) for row, label in zip(x, y, strict=True)]
    path.write_text("\n".join([",".join([*(f"x{i}" for i in range(x.shape[1])), "label"]), *rows, ""]))
    return str(path)


def measure(name: str, model: Model, folder: Path) -> None:
    """Print the lines of a model."""
    data = data_of(model, folder)
    if not data:
        print(json.dumps({"model": name, "left_out": "run bench/tabular_sets.py first"}), flush=True)
        return
    file = folder / f"{name}.rdahw"
    given: dict[str, Any] = {"split": 0.25} if data.endswith(".csv") else {}
    if not file.exists():
        split = ("--split", "0.25") if given else ()
        command = [sys.executable, "-m", "rdahw.cli", "train", "--data", data, *split, *model.options]
        subprocess.run([*command, "--quiet", "--out", str(file)], check=True, stdout=subprocess.DEVNULL)
    saved, dataset = load_model(file), load(data, **given)
    made = c_model(
        saved.spec, saved.best_state, name="model", learn=model.learns, binariser=saved.binariser, schema=saved.schema
    )
    work = folder / name
    work.mkdir(exist_ok=True)
    for path, text in (*FORMATS["c"](made).items(), ("driver.c", DRIVER), ("timer.c", TIMER)):
        (work / path).write_text(text)
    part = dataset.train if dataset.test is None else dataset.test
    sent, wanted = _expected(made, part.features[:PREDICTED], dataset.train, model.learns)
    said: dict[str, Any] = {"model": name, **made.sizes}
    said |= _sizes(work, made)
    print(json.dumps(said | {"ns": _time(work, made, part.features)}), flush=True)
    for target, parts in TARGETS.items():
        print(json.dumps({"model": name, "compiler": target, **_run(work, made, parts, sent, wanted)}), flush=True)


def _rows(made: CModel, features: Any) -> Any:
    """Features as C takes them."""
    assert made.inputs is not None
    return made.inputs.numbers(np.asarray(features, np.float64)).astype("u1" if made.source.pixels else "<i4")


def _expected(made: CModel, features: Any, train: Any, learns: bool) -> tuple[bytes, list[bytes]]:
    """What the program reads, and what it is to write: classes, and if it learns classes and what it has learned."""
    assert made.binariser is not None
    x = np.asarray(made.binariser.pack(features))
    wanted = [predict(made.spec, made.state, x).astype("<i4").tobytes()]
    chosen = np.arange(LEARNED if learns else 0) % len(train.labels)
    sent = np.array([len(features), len(chosen)], "<i4").tobytes() + _rows(made, features).tobytes()
    if learns:
        learning = made.program.learning
        assert learning is not None
        own, labels = train.features[chosen], np.asarray(train.labels[chosen], np.int64)
        pairs = zip(_rows(made, own), labels.astype("<i4"), strict=True)
        sent += b"".join(row.tobytes() + label.tobytes() for row, label in pairs)
        engine = make_engine(learning.spec)
        engine.state = made.state
        examples = Examples(np.asarray(made.binariser.pack(own)), labels)
        outcome = engine.train(engine.prepare(examples), Batches.single(np.arange(len(labels))))
        # The engines of circuits do not tell the predictions before each update.
        wanted.append(b"" if outcome.predicted is None else outcome.predicted.astype("<i4").tobytes())
        state = engine.state
        if isinstance(learning, TableLearning):
            wanted.append(state["counters"].astype(np.int8).tobytes())
            if learning.dropout[1]:
                wanted[-1] += np.packbits(np.append(state["dropout"], 0), bitorder="little").tobytes()
        else:
            wanted.append(np.packbits(learning.spec.theta(state), bitorder="little").tobytes())
    return sent, wanted


def _defines(made: CModel) -> list[str]:
    learning = made.program.learning
    drops = isinstance(learning, TableLearning) and learning.dropout[1] > 0
    return ["-DLEARNS"] * (learning is not None) + ["-DDROPS"] * drops


def _run(work: Path, made: CModel, target: Any, sent: bytes, wanted: list[bytes]) -> dict[str, Any]:
    """Build and run the driver, and compare what it writes."""
    (compiler, *flags), after, runner = target
    missing = [each for each in (compiler, *runner[:1]) if shutil.which(each) is None]
    if missing:
        return {"left_out": f"needs {missing[0]}"}
    built = [compiler, *flags, *_defines(made), "model.c", "driver.c", "-o", "program", *after]
    subprocess.run(built, cwd=work, check=True)
    (work / "sent").write_bytes(sent)
    (work / "found").unlink(missing_ok=True)
    ended = subprocess.run([*runner, "./program"], cwd=work, input=sent, capture_output=True, check=False)
    if ended.returncode:
        return {"failed": ended.stderr.decode(errors="replace")[-300:]}
    written = work / "found"
    return _compared(written.read_bytes() if written.exists() else ended.stdout, wanted, made)


def _compared(found: bytes, wanted: list[bytes], made: CModel) -> dict[str, Any]:
    count = len(wanted[0])
    result: dict[str, Any] = {"predictions": count // 4, "wrong": _different(found[:count], wanted[0], "<i4")}
    if len(wanted) > 1:
        state = found[count + 4 * LEARNED :]
        before = found[count : count + 4 * LEARNED]
        result |= {"learned": LEARNED, "state_octets": len(state), "wrong_octets": _different(state, wanted[2], "u1")}
        if wanted[1]:
            result["wrong_before"] = _different(before, wanted[1], "<i4")
    return result


def _different(found: bytes, wanted: bytes, type_: str) -> int:
    if len(found) != len(wanted):
        return len(wanted)
    return int((np.frombuffer(found, type_) != np.frombuffer(wanted, type_)).sum())


def _sizes(work: Path, made: CModel) -> dict[str, Any]:
    """How far the sizes are from what the tools of the Cortex-M3 say, in percent."""
    if shutil.which("arm-none-eabi-size") is None:
        return {}
    compiler = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-Os", "-std=c99", "-c", "model.c", "-o", "m3.o"]
    subprocess.run(compiler, cwd=work, check=True)
    listed = subprocess.run(["arm-none-eabi-size", "m3.o"], cwd=work, check=True, capture_output=True, text=True)
    text, data, bss = map(int, listed.stdout.splitlines()[1].split()[:3])
    flash, ram = text + data, data + bss
    errors = [round(100 * (said / real - 1), 1) if real else 0.0 if said == 0 else None
              for said, real in ((made.source.flash, flash), (made.source.ram, ram))]  # fmt: skip
    return {"flash": flash, "ram": ram, "flash_error": errors[0], "ram_error": errors[1]}


def _time(work: Path, made: CModel, features: Any) -> list[int]:
    rows = _rows(made, features[:_TIMED])
    flags = ["-std=c99", "-O3", f"-DROWS={len(rows)}", f"-DTURNS={_TURNS}", f"-DTIMES={_CALLS // len(rows)}"]
    subprocess.run(["gcc", *flags, "model.c", "timer.c", "-o", "timer"], cwd=work, check=True)
    found = subprocess.run(["./timer"], cwd=work, input=rows.tobytes(), capture_output=True, check=True)
    return [round(float(each)) for each in found.stdout.split()[:2]]


def from_python() -> None:
    """Print a JSON line for each classifier."""
    from sklearn.datasets import load_digits

    from rdahw import RDAClassifier

    x, y = load_digits(return_X_y=True)
    rows = list(x[:300])

    for text in ("ensemble:tables=256", "ensemble:tables=1024", "grown:tables=300"):
        model = RDAClassifier(model=text, random_state=0).fit(x, y)
        before, classes = microseconds(model.predict_one, rows, _TURNS), [model.predict_one(row) for row in rows]
        model.compile()
        wrong = sum(int(model.predict_one(row) != label) for row, label in zip(rows, classes, strict=True))
        after = microseconds(model.predict_one, rows, _TURNS)
        said = {"model": text, "before": before, "compiled": after, "different": wrong}
        print(json.dumps(said), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench" / "microcontrollers")
    parser.add_argument("--python", action="store_true")
    given = parser.parse_args()
    if given.python:
        from_python()
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        measure(name, MODELS[name], given.folder)


if __name__ == "__main__":
    main()
