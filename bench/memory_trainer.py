"""The memory trainer in compiled simulation, against the software: every prediction, every update, every counter.

    python bench/memory_trainer.py [--setting 256x6] [--epochs N] [--seed 0] [--engine cxxrtl]

Trains a setting of ``bench/ensemble.py`` on all training examples in shuffled order, with the trainer of
:mod:`rdahw.hdl.memory_trainer` simulated cycle by cycle. Each prediction and each decision to update is compared with
the compiled software, and after every 4,096 examples all counters and the dropout's shift register are; it stops at the
first difference. Prints a line an epoch: clock cycles an example, what was wrong and updated, and at the end how many
of the test examples the simulated hardware predicts rightly.
"""

from __future__ import annotations

import argparse
import time

from ensemble import SETTINGS, make, prepare  # the bench beside this one

from rdahw.sim.hardware import HardwareEngine
from rdahw.sim.simulator import choose_engine
from rdahw.training import Examples, Schedule, Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", default="256x6", choices=[*SETTINGS])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine")
    options = parser.parse_args()
    setting = SETTINGS[options.setting]
    x, labels, test_x, test_labels, image = prepare(setting, held_out=False)
    spec = make(setting, options.seed, x, image)
    hardware = HardwareEngine(spec, choose_engine(options.engine), check=True, log=print)
    schedule = Schedule(epochs=options.epochs or setting.epochs, shuffle=True, seed=options.seed)
    cycles, start = 0, time.perf_counter()
    for state in Training(hardware, schedule, Examples(x, labels)).run():
        if state.position == len(x):
            spent, cycles = hardware.cycles - cycles, hardware.cycles
            seconds, start = time.perf_counter() - start, time.perf_counter()
            print(
                f"epoch {state.epoch + 1}: equal; {spent / len(x):.1f} cycles an example, {state.wrong} wrong, "
                f"{state.changed} updates, {seconds:.1f} s",
                flush=True,
            )
    right = int((hardware.predict(hardware.prepare(Examples(test_x, test_labels))) == test_labels).sum())
    print(f"{hardware.examples} examples equal in every bit; {right} of {len(test_labels)} test examples right")


if __name__ == "__main__":
    main()
