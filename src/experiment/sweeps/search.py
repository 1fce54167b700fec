"""A search: a sweep that chooses each run by what came of those before it, for the lowest ``val/loss``."""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import flatten
from experiment.configuration.overrides import hydra_options, parse_override, quote_for_hydra, quote_for_shell
from experiment.runs.checks import check_jobs
from experiment.sweeps import results
from experiment.sweeps.monitor import SweepMonitor
from experiment.sweeps.results import Row
from experiment.sweeps.sweep import Sweep

optuna.logging.set_verbosity(optuna.logging.WARNING)


def search(sweep: Sweep, settings: DictConfig, fixed: Sequence[str], swept: Mapping[str, Override]) -> list[JobReturn]:
    """Run the trials of a search, one after the other.

    Args:
        sweep: that is asked for.
        settings: ``search`` of the configuration.
        fixed: what is typed for every trial; of a key that is in the space too, it goes before.
        swept: what the command line sweeps: it is searched.

    Raises:
        ConfigurationError: the space holds what cannot be run.
        ReportedError: trials failed, after all have come to their end.
    """
    fixed = [each for each in fixed if each.lstrip("+~").partition("=")[0].partition(".")[0] != "search"]
    keys = {parse_override(each).get_key_element() for each in fixed}
    space = {key: _swept(key, values) for key, values in flatten(settings.space).items() if key not in keys} | {**swept}
    if not space:
        raise ConfigurationError("There is nothing to search: search.space is empty, and no key is swept.")
    sweep.prepare(
        [sweep.job([*fixed, f"{key}={end}"], set(space)) for key in space for end in boundary_values(space[key])]
    )
    name = ",".join(sorted(each for each in fixed if not parse_override(each).is_hydra_override())) or "default"
    study = Study(sweep.directory / "study.journal", name, space, settings.trials, sweep.compose(fixed).seed)
    rows = sweep.earlier_runs(set())
    returned: list[JobReturn] = []
    with SweepMonitor(sweep.directory, rows, study.left) as watch:
        for trial in study.trials():
            job = sweep.job([*fixed, *(f"{key}={value}" for key, value in trial_values(trial).items())], set(space))
            watch.add(job.values, job.directory)
            arguments = f"path:{quote_for_hydra(str(study.path))},study:{quote_for_hydra(name)},number:{trial.number}"
            pruning = f"{{pruning:{{_target_:experiment.sweeps.pruning.Pruning,{arguments}}}}}"
            reports = [f"hydra.sweeper.callbacks={pruning}"] if settings.pruning else []
            (complete,) = check_jobs([(job.config, job.directory)], sweep.master.hydra)
            if not complete:
                returned += sweep.launch_jobs([job], watch.errors, *reports)
            study.report(trial, results.read_row(job.values, job.directory, watch.errors.get(job.directory)))
    sweep.print_summary(rows)
    if study.best:
        best = [*fixed, *(f"{key}={value}" for key, value in study.best.items())]
        print("The best:", quote_for_shell(["python", sys.argv[0], *hydra_options(), *best]))
    sweep.raise_if_failed(rows, watch.errors)
    return returned


def _swept(key: str, values: Any) -> Override:
    try:
        override = parse_override(f"{key}={values}")
        if override.is_sweep_override():
            return override
        reason = "several values or an interval can be searched"
    except HydraException as error:
        reason = str(error).splitlines()[0]
    raise ConfigurationError.from_lines([f"search.space.{key}={values}: {reason}"])


class Study:
    """A study of Optuna's, kept in a file: what was killed goes on, and the same seed makes the same trials.

    Args:
        path: of the file.
        name: of the study; a file may hold several.
        space: what each key may be.
        total: of trials that came to an end.
        seed: of the choices; each trial has a stream of its own, so that where the search was cut does not matter.
    """

    def __init__(self, path: Path, name: str, space: Mapping[str, Override], total: int, seed: int) -> None:
        self.space = {key: distribution(override) for key, override in space.items()}
        self.path, self.total, self.seed = path, total, seed
        storage = JournalStorage(JournalFileBackend(str(path)))
        self.study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)

    @property
    def left(self) -> int:
        """How many trials are to come."""
        return max(0, self.total - len(self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))))

    def trials(self) -> Iterator[Trial]:
        """Yield what is left to try: trials that were cut short, those that failed once more, then new ones."""
        left = self.left
        for cut in self.study.get_trials(states=(TrialState.RUNNING,))[:left]:
            left -= 1
            yield Trial(self.study, cut._trial_id)
        for failed in self._failed()[:left]:
            self.study.enqueue_trial(failed.params, user_attrs={"again": failed.number})
        for _ in range(left):
            stream = np.random.SeedSequence([self.seed, len(self.study.trials)])
            self.study.sampler = TPESampler(seed=int(stream.generate_state(1)[0]))
            yield self.study.ask(self.space)

    def _failed(self) -> list[FrozenTrial]:
        """Return the trials that failed and were not tried again."""
        again = {trial.user_attrs.get("again") for trial in self.study.trials}
        return [trial for trial in self.study.get_trials(states=(TrialState.FAIL,)) if trial.number not in again]

    @property
    def best(self) -> dict[str, str] | None:
        """What the best trial chose, as one would type it; ``None`` if none came to an end."""
        done = self.study.get_trials(states=(TrialState.COMPLETE,))
        return trial_values(self.study.best_trial) if done else None

    def report(self, trial: Trial, row: Row) -> None:
        """Note what came of a trial; one that diverged comes after all others."""
        status, loss = row.metrics["status"], row.metrics.get("val/loss")
        if status == "interrupted":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif status == "failed":
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, math.inf if status == "diverged" or loss is None else loss)


def trial_values(trial: Trial | FrozenTrial) -> dict[str, str]:
    """Return what a trial chose for each key, as one would type it."""
    return {key: str(value) for key, value in trial.params.items()}


def boundary_values(override: Override) -> list[str]:
    """Return the ends of an interval, or every value of a list: if these can be run, so can all."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return [str(sweep.start), str(sweep.end)]
    return [str(value) for value in override.sweep_string_iterator()]


def distribution(override: Override) -> BaseDistribution:
    """Return what Optuna chooses from: the numbers of an interval, or the values of a list, as they are typed."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        low, high = cast(Any, sweep.start), cast(Any, sweep.end)  # the grammar has no interval without them
        log = "log" in sweep.tags
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)
    return CategoricalDistribution(boundary_values(override))
