"""What a sweep prints when it has ended: a table of its results, and the runs that failed."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from experiment.configuration.errors import ReportedError
from experiment.configuration.objective import DEFAULT, Objective, suggest_objective
from experiment.configuration.overrides import resume_command
from experiment.runs.report import scores_of, sort_scores
from experiment.sweeps.results import Row, SeedGroup, compared_score, group_by_seed, varied_keys

MAX_ROWS = 20
MAX_CHARACTERS = 30  # of a value
UNSCORED = ("diverged", "failed", "interrupted", "pending")  # the statuses without scores


def print_summary(rows: Sequence[Row], directory: Path, objective: Objective) -> None:
    """Print the table of a sweep's results, the best first, and where they are."""
    groups = group_by_seed(rows, objective)
    print("", *format_table(groups, objective), "", sep="\n")
    compared = compared_score(groups, objective)
    scores = {name for row in rows if row.metrics["status"] == "finished" for name in scores_of(row.metrics)}
    if compared != objective and scores:
        print(explain_unranked(objective, scores))
        if compared.metric in scores:
            print(f"Until then, the runs are compared by {compared.metric}.")
        print()
    print(f"directory: {directory}\ntensorboard --logdir {shlex.quote(str(directory))}")


def explain_unranked(objective: Objective, logged: Iterable[str]) -> str:
    """Return why runs with these scores cannot be compared by the objective, and what to type so that they can."""
    return f"objective={objective.metric}: no finite score of that name. {suggest_objective(logged)}"


def format_table(groups: Sequence[SeedGroup], objective: Objective = DEFAULT) -> list[str]:
    """Return the lines of a table: the values that vary, the mean ± the standard deviation of each score."""
    keys = varied_keys(groups)
    names = {name for group in groups for row in group.rows for name in scores_of(row.metrics)}
    compared = [compared_score(groups, objective).metric, *sort_scores(names)]
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
