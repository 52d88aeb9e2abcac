"""Install the peers of bench/peers.txt, one by one, into an environment.

python bench/install_peers.py FOLDER
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path


def lines(text: str) -> list[list[str]]:
    """The arguments of each `pip install`."""
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def main() -> None:
    folder = Path(sys.argv[1])
    if not (folder / "pyvenv.cfg").exists():
        venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    for words in lines((Path(__file__).parent / "peers.txt").read_text()):
        print("installing", *words, flush=True)
        command = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *words]
        if subprocess.run(command).returncode:
            print("could not install", *words, "- the benchmark will name it as missing", file=sys.stderr)


if __name__ == "__main__":
    main()
