"""Images by planes: accuracy and processor seconds of the models in docs/planes.md.

    python bench/planes.py [--data cifar-10] [--only NAME …] [--seeds N] [--held-out] [--set OPTION=VALUE …]

The data set is found as ``rdahw train --data`` finds it. Seconds are processor time of one thread: the planes of all
training images, the growth of the wiring, and the training loop. Accuracies are those of the last epoch on the test
images, or with --held-out on the last 10,000 training images, which the settings were chosen on; --set changes settings
of the model or ``rule`` and ``epochs``. A JSON line is printed for each run.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from measure import one_core

if __name__ == "__main__":
    one_core()

from rdahw.data import load
from rdahw.data.binarise import Binariser
from rdahw.data.images import with_mirrored
from rdahw.data.plane_binariser import PlaneBinariser
from rdahw.families import find_family
from rdahw.family import Task
from rdahw.sim.engines import make_engine
from rdahw.sim.planes import to_wires
from rdahw.training import Examples, Schedule, Training, prepare


@dataclass(frozen=True)
class Setting:
    """A model: the rule of planes, the family, its options, and the epochs (those of a grown model are its own)."""

    rule: str
    options: dict[str, Any]
    epochs: int = 4
    family: str = "ensemble"


_RGB = "threshold=32,80,128,176,224"
_LARGE = {"counter": 8, "dropout": 0.75, "mirror": True}
_GROWN = {"tables": 4096, "inputs": 8, "wiring": "grown", "candidates": 96, "slope": 100, "shift": 1}

SETTINGS: dict[str, dict[str, Setting]] = {
    "cifar-10": {
        "small": Setting("colour", {"tables": 1024, "inputs": 8, "wiring": "patch12", "margin": 614, **_LARGE}, 4),
        "large": Setting(
            "colour", {"tables": 4096, "inputs": 10, "wiring": "patch12", "margin": 2458, "shift": 1, **_LARGE}, 10
        ),
        "grown": Setting("colour", {**_GROWN, "margin": 2458, **_LARGE}, 12),
        "boolean": Setting("colour", {**_GROWN, **_LARGE, "margin": 164, "sign": True, "dropout": 0.5}, 12),
        "one-bit": Setting(
            _RGB + "+hog=8/8/6,12,18,25,36,50,65,80@y",
            {
                "tables": 2000,
                "inputs": 6,
                "patch": 16,
                "inset": 0,
                "candidates": 128,
                "sample": 16000,
                "slope": 10,
                "mirror": True,
            },
            family="grown",
        ),
        "pixels": Setting(
            _RGB + "@rgb",
            {"tables": 8192, "inputs": 12, "wiring": "patch10", "margin": 4915, "shift": 1, **_LARGE},
            12,
        ),
    },
    "fashion-mnist": {
        "large": Setting(
            "fashion",
            {"tables": 4096, "inputs": 8, "wiring": "patch8", "margin": 1638, "counter": 8, "dropout": 0.75},
            15,
        ),
        "grown": Setting(
            "fashion",
            {
                "tables": 2048,
                "inputs": 8,
                "wiring": "grown",
                "candidates": 96,
                "slope": 100,
                "margin": 819,
                "counter": 8,
                "dropout": 0.75,
            },
            12,
        ),
    },
}


class Bits:
    """The bits of a data set by rules of planes, with mirrored images or without, made once."""

    def __init__(self, dataset: Any, held_out: int | None) -> None:
        self.test = dataset.test
        if held_out is not None:
            dataset, self.test = dataset.hold_out(held_out)
        self.dataset = dataset
        self._key: Any = None

    def of(self, rule: str, mirror: bool) -> tuple[PlaneBinariser, Examples, Examples, float]:
        """The binariser, training and test examples, and the seconds."""
        if self._key != (rule, mirror):
            self._made: Any = None
            data, train = self.dataset, self.dataset.train
            made = Binariser.fit(rule, train.features, data.columns, data.feature_names, data.image_shape)
            assert isinstance(made, PlaneBinariser)
            to_wires(made, train.features[:64])  # compiles
            started = time.process_time()
            features = with_mirrored(train.features, data.image_shape) if mirror else train.features
            x = to_wires(made, features)
            seconds = time.process_time() - started
            labels = np.tile(train.labels, 1 + mirror)
            test = Examples(to_wires(made, self.test.features), self.test.labels)
            self._key, self._made = (rule, mirror), (made, Examples(x, labels), test, seconds)
        return self._made  # type: ignore[no-any-return]


_WIRES: dict[Any, Any] = {}


def run(bits: Bits, setting: Setting, seed: int) -> dict[str, Any]:
    """One training."""
    made, train, test, seconds = bits.of(setting.rule, bool(setting.options.get("mirror")))
    result: dict[str, Any] = {"planes": made.planes, "planes_s": round(seconds, 1)}
    spec = find_family(setting.family).spec(Task.of(bits.dataset.schema, made, seed=seed), **setting.options)
    started = time.process_time()
    if (first := spec.preparation) is not None:
        key = (setting.rule, json.dumps(first.to_json()))
        if key in _WIRES:
            spec = replace(spec, wires=_WIRES[key])  # type: ignore[type-var]
        else:
            make_engine(first)
            started = time.process_time()
            spec = prepare(spec, train, make_engine)
            _WIRES[key] = spec.wires  # type: ignore[attr-defined]
            result["growth_s"] = round(time.process_time() - started, 1)
    given = {"shuffle": True, "epochs": setting.epochs, "seed": seed, **spec.schedule(len(train))}
    training = Training(make_engine(spec), Schedule(**given), train)
    scored = training.prepare(test)
    training.prepare(train)
    curve, started = [], time.process_time()
    for done in training.run():
        if done.position == len(train) and (setting.family == "ensemble" or done.epoch % 20 == 19):
            spent = time.process_time() - started
            right = training.engine.predict(scored) == test.labels
            curve.append([round(spent, 1), round(100 * float(right.mean()), 2)])
            started = time.process_time() - spent
    spent = time.process_time() - started
    right = training.engine.predict(scored) == test.labels
    return result | {"seconds": round(spent, 1), "accuracy": round(100 * float(right.mean()), 2), "curve": curve}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar-10", choices=sorted(SETTINGS))
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE")
    options = parser.parse_args()
    changes = dict(change.split("=", 1) for change in options.set)
    bits = Bits(load(options.data), 10_000 if options.held_out else None)
    for name, setting in SETTINGS[options.data].items():
        if options.only and name not in options.only:
            continue
        own = {key: value for key, value in changes.items() if key not in ("rule", "epochs")}
        family = find_family(setting.family)
        given = setting.options | {key: family.known(key).parse(value, setting.family) for key, value in own.items()}
        setting = replace(
            setting,
            options=given,
            rule=changes.get("rule", setting.rule),
            epochs=int(changes.get("epochs", setting.epochs)),
        )
        for seed in range(options.seeds):
            print(json.dumps({"name": name, "seed": seed, **changes, **run(bits, setting, seed)}), flush=True)


if __name__ == "__main__":
    main()
