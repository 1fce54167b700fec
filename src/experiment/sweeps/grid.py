"""A grid: one run for each combination of the values that a sweep lists."""

import itertools
from collections.abc import Sequence

from hydra.core.override_parser.types import Override

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.objective import Objective
from experiment.sweeps.monitor import SweepMonitor
from experiment.sweeps.results import read_earlier_rows, read_row
from experiment.sweeps.summary import print_summary, raise_if_failed
from experiment.sweeps.sweep import Sweep


def run_grid(sweep: Sweep, overrides: Sequence[Override]) -> None:
    """Run the combinations that are not complete.

    Raises:
        ConfigurationError: one of them cannot run; none is started then.
        ReportedError: some failed or were lost, after all others have ended.
    """
    varied = {override.get_key_element() for override in overrides if override.is_sweep_override()}
    combinations = itertools.product(*map(expand, overrides))
    # A value that is listed twice is one run.
    jobs = [*{job.directory: job for job in (sweep.job([*each], varied) for each in combinations)}.values()]
    if not jobs:
        raise ConfigurationError("There is nothing to sweep: a key has no values.")
    incomplete, are_dry_runs = sweep.check(jobs)
    if are_dry_runs:
        sweep.dry_run(jobs)
        return
    sweep.prepare()
    rows = [read_row(job.values, job.directory) for job in jobs]
    rows += read_earlier_rows(sweep.directory, {job.directory for job in jobs})
    objective = Objective.of(jobs[0].config)
    with SweepMonitor(sweep.directory, rows, len(incomplete), objective) as monitor:
        monitor.errors |= sweep.launch(incomplete)
    print_summary(rows, sweep.directory, objective)
    asked = rows[: len(jobs)]
    lost = {row.directory: "lost" for row in asked if row.metrics["status"] in ("interrupted", "pending")}
    raise_if_failed(asked, lost | monitor.errors, sweep.config.hydra)


def expand(override: Override) -> list[str]:
    """Return one override for each value that a sweep override lists; any other override alone.

    Raises:
        ConfigurationError: it is an interval.
    """
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [key if override.is_delete() else f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigurationError.from_lines([f"{override.input_line}: a list of values, or a range, can be swept"])
    return [f"{key}={value}" for value in override.sweep_string_iterator()]
