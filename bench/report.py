"""docs/benchmarks.md and its picture, from the figures of build/bench/results.json alone."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from html import escape
from typing import Any

from measure import LEVELS, best, reached

Row = dict[str, Any]

HEAD = """# Benchmarks

`make bench` compares rdahw with other learners in one run, on one core of one machine unless a row states more, and \
writes this page; `make bench BENCH=--full` also measures the accuracies of the large models. The seconds depend on \
the machine, so compare the ratios.
"""
RULE = """Every learner trains on the first 50,000 training images of MNIST and is evaluated on the other 10,000, the \
validation images, after each of its steps; an accuracy is reached at the first evaluation at or above it. Seconds are \
the processor time of training only: evaluations are not counted, nor is choosing and converting a peer's examples; \
for rdahw, shuffling and addressing are counted. With several seeds the cell is the median, with the range in \
brackets; «×» is the ratio to the time of {base}. Best is the highest accuracy of all evaluations within the budget, \
in seconds of training.
"""


def seconds_text(value: float) -> str:
    """Three digits at most, which is more than the noise allows."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}" if value < 1 else f"{value:.1f}"


def times(row: Row, level: float) -> list[float]:
    """Seconds to a level of the runs that reach it."""
    return [s for looks in row["runs"] if (s := reached(looks, level)) is not None]


def median_time(row: Row, level: float) -> float | None:
    """The median over the runs; None unless more than half of them reach the level."""
    found = times(row, level)
    if 2 * len(found) <= len(row["runs"]):
        return None
    missing = len(row["runs"]) - len(found)
    return float(statistics.median([*found, *[math.inf] * missing]))


def level_text(row: Row, level: float, base: Row | None = None) -> str:
    """A cell of the table of seconds."""
    if "missing" in row:
        return "missing"
    found, runs = times(row, level), len(row["runs"])
    value = median_time(row, level)
    if value is None or value == math.inf:
        part = f" by {len(found)} of {runs} seeds" if found else ""
        return f"not reached in {row['budget']:g} s" if not part else f"reached{part} in {row['budget']:g} s"
    text = seconds_text(value)
    if runs > 1:
        text += f" ({seconds_text(min(found))} to {seconds_text(max(found))}"
        text += ")" if len(found) == runs else f", {len(found)} of {runs} seeds)"
    ours = median_time(base, level) if base and base is not row else None
    return text + (f", {ratio_text(value / ours)} ×" if ours else "")


def ratio_text(value: float) -> str:
    """Two digits, or whole numbers from 10 on."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def percent(value: float) -> str:
    return f"{100 * value:.2f}"


def base_of(race: Row) -> Row:
    """The learner of ours that ratios refer to: the fastest to the highest level that one of ours reaches."""
    ours = [row for row in race["learners"] if row["ours"]]
    return min(ours, key=lambda row: [median_time(row, level) or math.inf for level in reversed(LEVELS)])


def race_section(race: Row) -> str:
    base = base_of(race)
    rows = []
    for row in race["learners"]:
        if "missing" in row:
            rows.append([row["label"], *["missing"] * len(LEVELS), row["missing"]])
            continue
        top = statistics.median([best(looks) for looks in row["runs"]])
        cells = [level_text(row, level, base) for level in LEVELS]
        rows.append([row["label"], *cells, f"{percent(top)} in {row['budget']:g} s"])
    head = ["learner", *(f"s to {level:.0%}".replace("%", " %") for level in LEVELS), "best %"]
    settings = "".join(f"- {row['label']}: {row['settings']}\n" for row in race["learners"])
    return (
        f"## MNIST: seconds to an accuracy\n\n{RULE.format(base=base['label'])}\n{table(head, rows)}\n"
        f"![Accuracy on held-out images over seconds of training](benchmarks.svg)\n\nSettings:\n\n{settings}"
    )


def predict_section(results: Row) -> str:
    ours, rows = results.get("predict", {}), []
    base = ours.get("from packed bits", {}).get("per_second")

    def add(label: str, name: str, row: Row) -> None:
        ratio = f"{ratio_text(base / row['per_second'])} ×" if base else ""
        label = f"{label}: {name}" if name else label
        rows.append(
            [
                label,
                f"{row['per_second']:,.0f}",
                ratio,
                percent(row["test_accuracy"]),
                f"{100 * row['noise']:.0f} %",
            ]
        )

    for name, row in ours.items():
        if name.startswith("from "):
            add("rdahw 256 x 6", name, row)
    for row in results.get("race", {}).get("learners", []):
        if "missing" in row:
            rows.append([row["label"], "missing", "", "", ""])
        for name, figures in (row.get("predict") or {}).items():
            add(row["label"], name, figures)
    if not rows:
        return ""
    interfaces = ""
    if "interfaces" in ours:
        interfaces = (
            "\nThrough scikit-learn's interface, as estimators that validate their input (`bench/predictions.py`): all "
            f"images in one call, and single rows of float32; «×» is how much faster than {ours['beside']} on "
            f"float32.\n\n{interfaces_table(ours['interfaces'], ours['beside'])}"
        )
    head = ["predictor", "images/s", "rdahw to it", "test accuracy %", "noise"]
    return (
        "## MNIST: predictions\n\nClasses of the 10,000 test images on one core, in the row «all cores» on as many as "
        "it states; elapsed time, the best of many repetitions; noise is how much longer the median repetition took. "
        "The peers' models are those trained for the table above, each in its fastest form.\n\n"
        f"{table(head, rows)}{interfaces}"
    )


def interfaces_table(found: dict[str, Row], base: str) -> str:
    """Predictions through scikit-learn's interface, with the ratios to the model ``base``."""
    #: Each column, what of ``base`` it is compared with, and its text.
    columns = {
        "uint8": ("float32", lambda rate: f"{rate:,.0f}"),
        "float32": ("float32", lambda rate: f"{rate:,.0f}"),
        "row": ("row", lambda rate: f"{1e6 / rate:.1f}"),
        "predict_one": ("row", lambda rate: f"{1e6 / rate:.1f}"),
    }

    def cell(name: str, kind: str) -> str:
        rate = found[name].get(kind)
        if rate is None:
            return ""
        other, text = columns[kind]
        return text(rate) + ("" if name == base else f", {ratio_text(rate / found[base][other])} ×")

    head = ["predictor", "images/s, uint8", "images/s, float32", "`predict` of a row, µs", "`predict_one`, µs"]
    rows = [
        [name, *(cell(name, kind) for kind in columns), percent(row["test_accuracy"]) if "test_accuracy" in row else ""]
        for name, row in found.items()
    ]
    return table([*head, "test accuracy %"], rows)


def updates_section(updates: Row) -> str:
    rows = []
    for case, found in updates["measured"].items():
        base = found["packed"]["per_second"]
        for name, row in found.items():
            label = {"packed": "rdahw, packed engine", "reference": "rdahw, reference engine"}.get(
                name, f"rdahw, {name}"
            )
            ratio = "" if name == "packed" else f"{ratio_text(base / row['per_second'])} ×"
            rows.append([case, label, f"{row['per_second']:,.0f}", ratio, f"{100 * row['noise']:.0f} %"])
        if case in updates["quoted"]:
            quoted = updates["quoted"][case]
            rows.append([case, "the paper's program (quoted)", f"{quoted:,}", f"{ratio_text(base / quoted)} ×", ""])
    head = ["case, batch 1", "program", "updates/s", "the packed engine to it", "noise"]
    return (
        "## Updates of reverse derivative ascent\n\nOne core, elapsed time, the best repetition. The figures of the "
        "paper's Haskell program are quoted from runs on a machine of the same kind; it was not run again.\n\n"
        f"{table(head, rows)}"
    )


def gates_section(gates: Row) -> str:
    results = gates["results"]
    base = results["packed"]["per_second"]
    rows = []
    for name, row in results.items():
        ratio = "" if name == "packed" else f"{ratio_text(base / row['per_second'])} ×"
        label = "rdahw, packed engine" if name == "packed" else name
        cells = [label, f"{row['per_second']:.3g}", ratio, f"{100 * row['noise']:.0f} %"]
        rows.append(cells)
    missing = [] if any(name.startswith("C,") for name in results) else [["C by gcc -O3: missing", "", "", ""]]
    notes = [
        f"gcc took {value:.0f} s for {name.split(':')[0]}"
        for name, value in gates.items()
        if name.endswith("seconds of gcc")
    ]
    if "copy_bytes_per_second" in gates:
        notes.append(f"numpy copies memory at {gates['copy_bytes_per_second'] / 1e9:.1f} GB/s (read and written)")
    return (
        "## Gate evaluations\n\nA circuit of 10,000 random gates, all of them live, on 65,536 examples, one core, "
        "elapsed time, the best repetition; `bench/packed.py` has the details. C is the same gates, one statement "
        "each, compiled by gcc -O3 -march=native on words of the given number of bits; compile time is excluded. The "
        "limits are those of the machine: vectors in registers, and every operand and result from and to the cache or "
        "main memory.\n\n"
        f"{table(['program', 'gates/s', 'rdahw to it', 'noise'], [*rows, *missing])}"
        + ("\n" + "; ".join(notes) + ".\n" if notes else "")
    )


def train_section(train: Row) -> str:
    if "missing" in train:
        return f"## From files to a saved model\n\n`{train['command']}`: missing, {train['missing']}.\n"

    def spread(name: str) -> str:
        values = [run[name] for run in train["runs"]]
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    run = train["runs"][0]
    return (
        "## From files to a saved model\n\n"
        f"`{train['command']}` reads gzip files, trains {run['epochs']} epochs, evaluates the test images after each "
        f"and saves the model; elapsed seconds, median and range of {len(train['runs'])} runs, with kernels compiled "
        "before.\n\n"
        + table(
            ["training loop", "reading to saving", "the process, Python's start included", "test accuracy %"],
            [[spread("seconds"), spread("seconds_total"), spread("process_seconds"), percent(run["test_accuracy"])]],
        )
    )


def accuracy_section(accuracy: Row) -> str:
    rows = []
    for name, row in accuracy.items():
        if name == "load":
            continue
        if "missing" in row:
            rows.append([f"`{name}`", "", "", "missing", row["missing"], ""])
            continue
        spec, values = row["spec"], row["accuracy"]
        model = f"{spec['tables']} x {spec['inputs']}, {'signs of ' if spec['sign'] else ''}{spec['counter']} bits"
        spread = f"{percent(statistics.mean(values))} ({percent(min(values))} to {percent(max(values))})"
        rule = row["rule"].partition("=")[2].replace(",", " ")
        seeds = f"{row['epochs']} epochs, {len(values)} seeds"
        rows.append([f"`{name}`", f"{row['data']}, {rule}", model, spread, seeds, f"{statistics.mean(row['cpu']):.2f}"])
    head = ["setting", "data, thresholds", "tables x inputs, counters", "test accuracy %", "after", "s per epoch"]
    return (
        "## Test accuracy after the last epoch\n\nMean and range over seeds, on the 10,000 test images; settings were "
        "chosen on held-out training images (`bench/ensemble.py`). Seconds are processor time of the training loop.\n\n"
        f"{table(head, rows)}"
    )


def machine_section(results: Row) -> str:
    machine = results["machine"]

    def listed(versions: Row) -> str:
        return ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())

    loads = ", ".join(f"{name} {results[name]['load']:.2f}" for name in SECTIONS if name in results)
    absent = [name for name in SECTIONS if name not in results]
    return (
        f"## The machine\n\n{machine['processor']}, {machine['cores']} cores of which one is used unless a row states "
        f"more, {machine['system']}. Load before each section: {loads}."
        + (f" Not measured: {', '.join(absent)}." if absent else "")
        + f"\n\n- rdahw: {listed(machine['ours'])}\n- peers: {listed(machine['peers'])}\n"
    )


SECTIONS = {
    "race": race_section,
    "predict": None,
    "accuracy": accuracy_section,
    "train": train_section,
    "updates": updates_section,
    "gates": gates_section,
}


def document(results: Row) -> str:
    """The page."""
    parts = [HEAD]
    for name, section in SECTIONS.items():
        if name == "predict":
            parts.append(predict_section(results))
        elif name in results and section is not None:
            parts.append(section(results[name]))
    parts.append(machine_section(results))
    return "\n".join(part for part in parts if part)


# -- the picture -------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 900, 460
LEFT, TOP, RIGHT, BOTTOM = 60, 20, 250, 50
COLOURS = (
    *("#0072b2", "#56b4e9", "#009e73", "#d55e00", "#e69f00", "#cc79a7", "#666666", "#8b0000", "#000000", "#7a5195"),
    "#9acd32",
)
LOWEST, HIGHEST = 0.90, 0.995


def picture(results: Row) -> str:
    """Held-out accuracy over seconds of training, of each learner's first run: an SVG with a title and a key."""
    learners = [row for row in results.get("race", {}).get("learners", []) if row.get("runs")]
    seconds = [look[0] for row in learners for look in row["runs"][0] if look[2] >= LOWEST]
    low, high = (min(seconds), max(seconds)) if seconds else (0.01, 100.0)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))

    def across(s: float) -> float:
        return LEFT + (math.log10(s) - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def up(accuracy: float) -> float:
        return TOP + (HIGHEST - accuracy) / (HIGHEST - LOWEST) * (HEIGHT - TOP - BOTTOM)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" '
        'font-size="13">',
        "<title>Accuracy on held-out MNIST images over processor seconds of training on one core</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for power in range(first, last + 1):
        x = across(10.0**power)
        lines.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{10.0**power:g}</text>')
    for accuracy in (0.90, 0.92, 0.94, *LEVELS, 0.99):
        y, strong = up(accuracy), accuracy in LEVELS
        dash = "" if strong else ' stroke-dasharray="2 4"'
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#{"999999" if strong else "dddddd"}"{dash}/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{accuracy:.0%}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines.append(
        f'<text x="{middle:.0f}" y="{HEIGHT - 10}" text-anchor="middle">processor seconds of training, one core</text>'
    )
    for i, row in enumerate(learners):
        colour, points, record = COLOURS[i % len(COLOURS)], [], 0.0
        for s, _, accuracy in row["runs"][0]:
            record = max(record, accuracy)
            if record >= LOWEST:
                points.append(f"{across(s):.1f},{up(min(record, HIGHEST)):.1f}")
        width = 2.5 if row["ours"] else 1.5
        lines.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        y = TOP + 10 + 22 * i
        lines.append(f'<path d="M{WIDTH - RIGHT + 15} {y}h20" stroke="{colour}" stroke-width="{width}"/>')
        label = row["label"].removeprefix("scikit-learn ")
        lines.append(f'<text x="{WIDTH - RIGHT + 42}" y="{y + 4}">{escape(label)}</text>')
    return "\n".join([*lines, "</svg>", ""])
