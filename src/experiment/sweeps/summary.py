"""What a sweep prints when it has ended: a table of its results, and the runs that failed."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from experiment.configuration.errors import ReportedError
from experiment.configuration.overrides import resume_command
from experiment.runs.report import SCORES
from experiment.sweeps.results import Row, SeedGroup, compared_loss, group_by_seed, varied_keys

MAX_ROWS = 20
MAX_CHARACTERS = 30  # of a value
UNSCORED = ("diverged", "failed", "interrupted", "pending")  # the statuses without scores


def print_summary(rows: Sequence[Row], directory: Path) -> None:
    """Print the table of a sweep's results, and where they are."""
    print("", *format_table(group_by_seed(rows)), "", sep="\n")
    print(f"directory: {directory}\ntensorboard --logdir {shlex.quote(str(directory))}")


def format_table(groups: Sequence[SeedGroup]) -> list[str]:
    """Return the lines of a table: the values that vary, the mean ± the standard deviation of each score."""
    keys = varied_keys(groups)
    compared = (compared_loss(groups), *SCORES[1:])
    scores = [name for name in dict.fromkeys(compared) if any(group.scores(name) for group in groups)]
    rows = [[*keys, "runs", *scores, ""]]
    for group in groups[:MAX_ROWS]:
        values = [_truncate(group.overrides.get(key, "")) for key in keys]
        unscored = [f"{count} {status}" for status in UNSCORED if (count := group.count(status))]
        means = (_format_mean(group, name) for name in scores)
        rows.append([*values, str(len(group.rows)), *means, ", ".join(unscored)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    more = [f"and {len(groups) - MAX_ROWS} more, in sweep.csv"] if len(groups) > MAX_ROWS else []
    return [*lines, *more]


def _format_mean(group: SeedGroup, name: str) -> str:
    scores = group.scores(name)
    spread = f" ± {group.spread(name):.2g}" if len(scores) > 1 else ""
    return f"{group.mean(name):.4g}{spread}" if scores else "-"


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def raise_if_failed(rows: Sequence[Row], errors: Mapping[Path, str], hydra: DictConfig) -> None:
    """Raise an error that lists the runs that failed, and the command that runs them again.

    Args:
        rows: of the sweep's runs.
        errors: by directory, of runs that failed; a run that failed and has none here is listed with its own.
        hydra: Hydra's configuration of the sweep.

    Raises:
        ReportedError: some runs failed.
    """
    failed = [row for row in rows if row.directory in errors or row.metrics["status"] == "failed"]
    if failed:
        lines = [f"{row.directory.name}: {errors.get(row.directory, row.metrics.get('error'))}" for row in failed]
        headline = f"{len(failed)} of {len(rows)} runs failed. To run them again: {resume_command(hydra)}"
        raise ReportedError.from_lines(lines, headline)
