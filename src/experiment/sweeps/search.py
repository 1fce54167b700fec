"""A search: a sweep whose runs Optuna chooses, each from the results of those before, for the best objective."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from optuna.trial import Trial

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import flatten
from experiment.configuration.objective import Objective
from experiment.configuration.overrides import (
    boundary_values,
    hydra_options,
    parse_override,
    program,
    quote_for_hydra,
    quote_for_shell,
)
from experiment.runs.report import scores_of
from experiment.sweeps.jobs import Job
from experiment.sweeps.monitor import SweepMonitor
from experiment.sweeps.results import Row, read_earlier_rows, read_row
from experiment.sweeps.study import Study, trial_overrides
from experiment.sweeps.summary import explain_unranked, print_summary, raise_if_failed
from experiment.sweeps.sweep import Sweep


def run_search(sweep: Sweep, settings: DictConfig, fixed: list[str], swept: Mapping[str, Override]) -> None:
    """Run the trials of a search, as many at once as the launcher has workers.

    Args:
        sweep: whose jobs the trials are.
        settings: ``search`` of the configuration.
        fixed: the overrides of every trial; a key among them is not searched.
        swept: the sweep overrides of the command line by key: they are searched, whatever ``search.space`` says.

    Raises:
        ConfigurationError: some values of the space cannot run; no trial is started then.
        ReportedError: trials failed, after all others have ended.
    """
    space = _search_space(settings.space, fixed, swept)
    name = ",".join(sorted(each for each in fixed if not parse_override(each).is_hydra_override())) or "default"
    config = sweep.composer.compose(fixed)
    objective = Objective.of(config)
    study = Study(sweep.directory / "study.journal", name, space, settings.trials, config.seed, objective)
    limits = [[*fixed, f"{key}={value}"] for key, override in space.items() for value in boundary_values(override)]
    jobs = [*{job.directory: job for job in (sweep.job(each, space) for each in limits)}.values()]
    if sweep.check(jobs)[1]:
        sweep.dry_run(jobs)
        print(f"{len(jobs)} dry runs at the limits of the search space succeeded.")
        return
    sweep.prepare()
    rows = read_earlier_rows(sweep.directory)
    with SweepMonitor(sweep.directory, rows, study.remaining, objective) as monitor:
        for trials in study.batches(sweep.workers):
            jobs = [_trial_job(sweep, study, trial, fixed, settings.pruning) for trial in trials]
            for trial, row in zip(trials, _run_trials(sweep, jobs, monitor, objective), strict=True):
                study.report(trial, row)
    print_summary(rows, sweep.directory, objective)
    if best := study.best_trial:
        command = [*program(), *hydra_options(), *fixed, *trial_overrides(best)]
        print("Best trial:", quote_for_shell(command))
    raise_if_failed(rows, monitor.errors, sweep.config.hydra)


def _trial_job(sweep: Sweep, study: Study, trial: Trial, fixed: Sequence[str], pruning: bool) -> Job:
    job = sweep.job([*fixed, *trial_overrides(trial)], study.space)
    if pruning:
        job.hydra_overrides.append(_pruning_override(study, trial))
    return job


def _run_trials(sweep: Sweep, jobs: Sequence[Job], monitor: SweepMonitor, objective: Objective) -> list[Row]:
    """Run the jobs of trials, and return their results; a finished run without the objective is an error."""
    for job in jobs:
        monitor.add(job)
    distinct = {job.directory: job for job in reversed(jobs)}  # two trials may have chosen the same
    incomplete, _ = sweep.check([*distinct.values()])
    monitor.errors |= sweep.launch(incomplete)
    rows = [read_row(job.values, job.directory, monitor.errors.get(job.directory)) for job in jobs]
    for row in rows:
        if row.metrics["status"] == "finished" and row.metrics.get(objective.metric) is None:
            monitor.errors[row.directory] = explain_unranked(objective, scores_of(row.metrics))
    return rows


def _search_space(configured: DictConfig, fixed: Sequence[str], swept: Mapping[str, Override]) -> dict[str, Override]:
    """Return what each searched key may be: as configured, unless the command line fixes or sweeps the key."""
    fixed_keys = {parse_override(override).get_key_element() for override in fixed}
    space = {key: _parse_sweep(key, values) for key, values in flatten(configured).items() if key not in fixed_keys} | {
        **swept
    }
    if not space:
        raise ConfigurationError(
            "There is nothing to search: sweep a key on the command line, model.hidden=4,8 for example, or give the "
            "experiment's YAML a search.space"
        )
    return space


def _parse_sweep(key: str, values: Any) -> Override:
    try:
        override = parse_override(f"{key}={values}")
        if override.is_sweep_override():
            return override
        reason = "several values or an interval can be searched"
    except HydraException as error:
        reason = str(error).splitlines()[0]
    raise ConfigurationError.from_lines([f"search.space.{key}={values}: {reason}"])


def _pruning_override(study: Study, trial: Trial) -> str:
    """Return the override that adds the pruning of a trial to the callbacks of its run."""
    arguments = {
        "_target_": "experiment.sweeps.pruning.Pruning",
        "path": quote_for_hydra(str(study.path)),
        "study": quote_for_hydra(study.name),
        "number": trial.number,
        "metric": quote_for_hydra(study.objective.metric),
    }
    return f"hydra.sweeper.callbacks={{pruning:{{{','.join(f'{key}:{value}' for key, value in arguments.items())}}}}}"
