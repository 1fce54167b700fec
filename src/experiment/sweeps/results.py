"""What came of many runs: a row for each, as sweep.csv and, best first and over all seeds, as a table for the eye."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiment.configuration.errors import ConfigurationError
from experiment.runs.directory import RunDirectory
from experiment.runs.report import SCORES, format_scores

SEED = "seed"  # what differs in nothing else is the same answer, once more
SHOWN = 20  # rows of the table for the eye, at most
WIDTH = 30  # characters of a value there
STATUSES = ("diverged", "failed", "interrupted", "pending")  # those whose scores do not count


@dataclass
class Row:
    """A run of a sweep.

    Attributes:
        overrides: by key, each value as YAML writes it.
        directory: of the run.
        metrics: what ``metrics.json`` says; of a run that has none, its ``status`` alone: ``pending`` where it never
            started, else ``interrupted``.
    """

    overrides: dict[str, str]
    directory: Path
    metrics: dict[str, Any]

    def __str__(self) -> str:
        """Say what came of the run in a line."""
        return f"{self.directory.name}: {', '.join([self.metrics['status'], *format_scores(self.metrics)])}"

    @property
    def finished(self) -> bool:
        """Whether its scores count."""
        return bool(self.metrics["status"] == "finished")


def read_row(overrides: dict[str, str], directory: Path, error: str | None = None) -> Row:
    """Return what a run's directory says of it; where that is nothing, ``error`` does."""
    run = RunDirectory(directory)
    try:
        metrics = run.metrics
    except ConfigurationError as damage:
        metrics = {"status": "failed", "error": str(damage)}
    if not metrics:
        metrics = {"status": "interrupted" if run.is_started else "pending"}
        metrics |= {"status": "failed", "error": error} if error else {}
    return Row(overrides, directory, metrics)


def format_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV: the overrides, what ``metrics.json`` says, the directory; null is an empty cell."""
    overrides = sorted({key for row in rows for key in row.overrides})
    metrics = list(dict.fromkeys(key for row in sorted(rows, key=lambda row: -len(row.metrics)) for key in row.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*overrides, *metrics, "directory"])
    for row in rows:
        values = [*(row.overrides.get(key) for key in overrides), *(row.metrics.get(key) for key in metrics)]
        writer.writerow([*values, row.directory])
    return text.getvalue()


@dataclass
class SeedGroup:
    """The runs that differ in nothing but their seed.

    Attributes:
        overrides: that they share.
        rows: of the runs.
    """

    overrides: dict[str, str]
    rows: list[Row]

    def scores(self, name: str) -> list[float]:
        """Return a score of each run that finished and has it."""
        found = (row.metrics.get(name) for row in self.rows if row.finished)
        return [score for score in found if score is not None]

    def mean(self, name: str) -> float:
        """Return the mean of a score, infinity where no run has it."""
        scores = self.scores(name)
        return statistics.fmean(scores) if scores else math.inf

    def spread(self, name: str) -> float:
        """Return the standard deviation of a score, 0 of a single run."""
        scores = self.scores(name)
        return statistics.stdev(scores) if len(scores) > 1 else 0.0

    def count(self, status: str) -> int:
        """Return how many of the runs are of a status."""
        return sum(row.metrics["status"] == status for row in self.rows)


def group_by_seed(rows: Iterable[Row]) -> list[SeedGroup]:
    """Return the runs by their overrides but for the seed: the lowest loss first, those of which some diverged last."""
    groups: dict[tuple[tuple[str, str], ...], SeedGroup] = {}
    for row in rows:
        overrides = {key: value for key, value in row.overrides.items() if key != SEED}
        groups.setdefault(tuple(sorted(overrides.items())), SeedGroup(overrides, [])).rows.append(row)
    found = list(groups.values())
    loss = compared_loss(found)
    return sorted(found, key=lambda answer: (answer.count("diverged") > 0, answer.mean(loss)))


def compared_loss(found: Iterable[SeedGroup]) -> str:
    """Return the score by which runs are compared: ``val/loss``, or where no run has it ``train/loss``."""
    return "val/loss" if any(answer.scores("val/loss") for answer in found) else "train/loss"


def varied_keys(found: Sequence[SeedGroup]) -> dict[str, set[str]]:
    """Return the values of each key in which answers differ; where a run does not have the key, its value is empty."""
    keys = sorted({key for answer in found for key in answer.overrides})
    values = {key: {answer.overrides.get(key, "") for answer in found} for key in keys}
    return {key: each for key, each in values.items() if len(each) > 1}


def format_table(found: Sequence[SeedGroup]) -> list[str]:
    """Return the answers as the lines of a table: what the sweep varied, means ± standard deviations over seeds."""
    keys = varied_keys(found)
    scores = [
        name for name in dict.fromkeys((compared_loss(found), *SCORES[1:])) if any(each.scores(name) for each in found)
    ]
    rows = [[*keys, "runs", *scores, ""]]
    for answer in found[:SHOWN]:
        values = [_short(answer.overrides.get(key, "")) for key in keys]
        others = [f"{n} {status}" for status in STATUSES if (n := answer.count(status))]
        rows.append([*values, str(len(answer.rows)), *(_score(answer, name) for name in scores), ", ".join(others)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    more = [f"and {len(found) - SHOWN} more, in sweep.csv"] if len(found) > SHOWN else []
    return [*lines, *more]


def _score(answer: SeedGroup, name: str) -> str:
    scores = answer.scores(name)
    spread = f" ± {answer.spread(name):.2g}" if len(scores) > 1 else ""
    return f"{answer.mean(name):.4g}{spread}" if scores else "-"


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
