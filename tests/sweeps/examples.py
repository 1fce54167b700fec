"""Rows of sweeps that were never run."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiment.sweeps.results import Row

RATES = ["0.001", "0.01", "0.1", "1", "10"]


def sweep_rows(space: dict[str, list[Any]], loss: Callable[[dict[str, str]], float | None]) -> list[Row]:
    """A row for each combination; one without a loss diverged."""
    rows = []
    for combination in itertools.product(*space.values()):
        overrides = dict(zip(space, map(str, combination), strict=True))
        value = loss(overrides)
        status = "diverged" if value is None else "finished"
        rows.append(Row(overrides, Path("sweep", *overrides.values()), {"status": status, "val/loss": value}))
    return rows


def loss_at_rate(overrides: dict[str, str]) -> float | None:
    rate = float(overrides["optimizer.lr"])
    return None if rate > 5 else abs(math.log10(rate)) + 0.1 + 0.01 * int(overrides.get("seed", 0))
