"""What every test shares: Hypothesis profiles, and data sets that may be absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline and no complaint about slow generation: both measure the machine, not the code.
settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
# In CI the same commit gets the same verdict; new examples are searched for on developers' machines.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

MNIST_FILES = [
    f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
]  # each plain or with .gz


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder RDAHW_DATA/mnist; without MNIST there the test skips, or fails if RDAHW_REQUIRE_MNIST is set."""
    data = os.environ.get("RDAHW_DATA")
    if not data:
        why = "needs MNIST: RDAHW_DATA is not set"
    else:
        folder = Path(data).absolute() / "mnist"
        missing = [f for f in MNIST_FILES if not (folder / f).exists() and not (folder / f"{f}.gz").exists()]
        if not missing:
            return folder
        why = f"needs MNIST: no {missing[0]} or {missing[0]}.gz in {folder}"
    if os.environ.get("RDAHW_REQUIRE_MNIST"):
        pytest.fail(f"{why} (RDAHW_REQUIRE_MNIST is set)", pytrace=False)
    pytest.skip(why)
