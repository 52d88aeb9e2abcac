"""How long `rdahw --help` takes on a warm machine: the median of N runs. The bound is 0.3 s.

    python bench/startup.py [N]

A figure to read, not a test: it measures the machine and its load as well.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import sysconfig
import time

BOUND = 0.3  # seconds


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    program = shutil.which("rdahw", path=sysconfig.get_path("scripts"))
    if program is None:
        sys.exit("there is no rdahw beside this Python; install it with pip install -e .")
    command = [program, "--help"]
    for _ in range(3):
        seconds(command)  # into the cache of the disk
    times = [seconds(command) for _ in range(runs)]
    bare = statistics.median(seconds([sys.executable, "-c", ""]) for _ in range(runs))
    print(
        f"rdahw --help: {statistics.median(times):.3f} s median of {runs}, {min(times):.3f} s least (bound {BOUND} s)"
    )
    print(f"python -c '': {bare:.3f} s")


if __name__ == "__main__":
    main()
