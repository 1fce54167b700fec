"""The results of a sweep: a row for each run, and the runs that differ only in their seed grouped together."""

import csv
import io
import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.objective import DEFAULT, Objective
from experiment.configuration.overrides import override_values
from experiment.runs.directory import RunDirectory
from experiment.runs.report import format_scores

SEED = "seed"


@dataclass
class Row:
    """A run of a sweep.

    Attributes:
        overrides: by key, each value as YAML writes it.
        directory: of the run.
        metrics: ``metrics.json``; without that file the ``status`` alone: ``interrupted`` if the run was started,
            ``pending`` if not.
    """

    overrides: dict[str, str]
    directory: Path
    metrics: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.directory.name}: {', '.join([self.metrics['status'], *format_scores(self.metrics)])}"


def read_row(overrides: dict[str, str], directory: Path, error: str | None = None) -> Row:
    """Return the row of a run; ``error`` is why it failed, for a run that has no ``metrics.json``."""
    run = RunDirectory(directory)
    try:
        metrics = run.metrics
    except ConfigurationError as damage:
        metrics = {"status": "failed", "error": str(damage)}
    if not metrics:
        metrics = {"status": "interrupted" if run.is_started else "pending"}
        metrics |= {"status": "failed", "error": error} if error else {}
    return Row(overrides, directory, metrics)


def read_earlier_rows(directory: Path, known: Collection[Path] = ()) -> list[Row]:
    """Return the rows of the runs that earlier sweeps left in a directory, but for those in ``known``."""
    runs = sorted({path.parent.parent for path in directory.glob("*/.hydra/overrides.yaml")} - {*known})
    return [read_row(override_values(RunDirectory(run).overrides), run) for run in runs]


def format_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV: overrides, metrics, directory. ``None`` is an empty cell."""
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
        """Return a score of each finished run that has it."""
        scores = (row.metrics.get(name) for row in self.rows if row.metrics["status"] == "finished")
        return [score for score in scores if score is not None]

    def mean(self, name: str) -> float:
        """Return the mean of a score, infinity if no run has it."""
        scores = self.scores(name)
        return statistics.fmean(scores) if scores else math.inf

    def spread(self, name: str) -> float:
        """Return the standard deviation of a score, 0 for a single run."""
        scores = self.scores(name)
        return statistics.stdev(scores) if len(scores) > 1 else 0.0

    def count(self, status: str) -> int:
        """Return how many of the runs have a status."""
        return sum(row.metrics["status"] == status for row in self.rows)


def group_by_seed(rows: Iterable[Row], objective: Objective = DEFAULT) -> list[SeedGroup]:
    """Group runs that differ only in their seed: the best score first, groups with runs that diverged last."""
    groups: dict[tuple[tuple[str, str], ...], SeedGroup] = {}
    for row in rows:
        overrides = {key: value for key, value in row.overrides.items() if key != SEED}
        groups.setdefault(tuple(sorted(overrides.items())), SeedGroup(overrides, [])).rows.append(row)
    compared = compared_score(groups.values(), objective)

    def rank(group: SeedGroup) -> tuple[bool, bool, float]:
        scores = group.scores(compared.metric)
        return group.count("diverged") > 0, not scores, compared.rank(group.mean(compared.metric)) if scores else 0

    return sorted(groups.values(), key=rank)


def compared_score(groups: Iterable[SeedGroup], objective: Objective = DEFAULT) -> Objective:
    """Return the score by which runs are compared: the objective, or the lowest ``train/loss`` if no run has that."""
    return objective if any(group.scores(objective.metric) for group in groups) else Objective("train/loss")


def varied_keys(groups: Sequence[SeedGroup]) -> dict[str, set[str]]:
    """Return the values of each key that has several; the value of a key that a group does not have is empty."""
    keys = sorted({key for group in groups for key in group.overrides})
    values = {key: {group.overrides.get(key, "") for group in groups} for key in keys}
    return {key: several for key, several in values.items() if len(several) > 1}
