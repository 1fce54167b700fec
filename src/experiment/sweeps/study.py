"""Optuna's study of a search, kept in a file: a search that was killed resumes with the very same trials."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from experiment.configuration.errors import ConfigurationError
from experiment.runs.recorded import is_plain_file
from experiment.sweeps.results import Row

RETRIED = "retry_of"  # attribute of a trial that repeats a failed one: the number of that

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_journal(path: Path) -> JournalStorage:
    """Return the storage that keeps studies in a file."""
    lock = JournalFileOpenLock(str(path))  # Optuna's default one is a symbolic link, which Windows may refuse
    return JournalStorage(JournalFileBackend(str(path), lock))


class Study:
    """Asks Optuna for trials, and reports their results to it.

    Args:
        path: of the file; it may hold several studies.
        name: of the study.
        space: what each searched key may be.
        total: how many trials are to be completed or pruned.
        seed: of the choices. Each trial draws from a stream that follows from its number, so that it does not matter
            where the search was interrupted.
    """

    def __init__(self, path: Path, name: str, space: Mapping[str, Override], total: int, seed: int) -> None:
        self.path, self.name, self.total, self.seed = path, name, total, seed
        self.space = {key: distribution(override) for key, override in space.items()}
        is_plain_file(path)  # raises an error for a symbolic link
        self.study = optuna.create_study(storage=open_journal(path), study_name=name, load_if_exists=True)
        for recorded in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL)):
            self._check(recorded)

    def _check(self, trial: FrozenTrial) -> None:
        """Check that a trial that is run again chose from the space: its values become overrides.

        Raises:
            ConfigurationError: it did not.
        """
        for key, value in trial.params.items():
            if not (key in self.space and _contains(self.space[key], value)):
                raise ConfigurationError(
                    f"{self.path}: trial {trial.number} chose {key}={value}, which is not searched here."
                )

    @property
    def remaining(self) -> int:
        """How many trials are left to run."""
        return max(0, self.total - len(self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))))

    def trials(self) -> Iterator[Trial]:
        """Yield the trials that are left to run: first those interrupted, then each failed one once more, then new."""
        remaining = self.remaining
        for interrupted in self.study.get_trials(states=(TrialState.RUNNING,))[:remaining]:
            remaining -= 1
            yield Trial(self.study, interrupted._trial_id)
        for failed in self._failed_trials()[:remaining]:
            self.study.enqueue_trial(failed.params, user_attrs={RETRIED: failed.number})
        for _ in range(remaining):
            stream = np.random.SeedSequence([self.seed, len(self.study.trials)])
            self.study.sampler = TPESampler(seed=int(stream.generate_state(1)[0]))
            yield self.study.ask(self.space)

    def _failed_trials(self) -> list[FrozenTrial]:
        """Return the trials that failed and were not tried again."""
        retried = {trial.user_attrs.get(RETRIED) for trial in self.study.trials}
        return [trial for trial in self.study.get_trials(states=(TrialState.FAIL,)) if trial.number not in retried]

    @property
    def best_trial(self) -> FrozenTrial | None:
        """The completed trial with the lowest loss, ``None`` if none was completed."""
        return self.study.best_trial if self.study.get_trials(states=(TrialState.COMPLETE,)) else None

    def report(self, trial: Trial, row: Row) -> None:
        """Report the result of a trial; the loss of one that diverged is infinite."""
        status, loss = row.metrics["status"], row.metrics.get("val/loss")
        if status == "interrupted":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif status in ("failed", "pending"):
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, math.inf if status == "diverged" or loss is None else loss)


def _contains(space: BaseDistribution, value: Any) -> bool:
    try:
        return space._contains(space.to_internal_repr(value))
    except ValueError:  # of a value that is none of the choices, or no number
        return False


def trial_overrides(trial: Trial | FrozenTrial) -> list[str]:
    """Return what a trial chose, as overrides."""
    return [f"{key}={value}" for key, value in trial.params.items()]


def boundary_values(override: Override) -> list[str]:
    """Return the ends of an interval, or every value of a list: if these can run, so can all that is between."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return [str(sweep.start), str(sweep.end)]
    return list(override.sweep_string_iterator())


def distribution(override: Override) -> BaseDistribution:
    """Return what Optuna chooses from: the numbers of an interval, or the values of a list as they were typed."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        low, high = cast(Any, sweep.start), cast(Any, sweep.end)  # the grammar has no interval without them
        log = "log" in sweep.tags
        whole = isinstance(low, int) and isinstance(high, int)
        return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)
    return CategoricalDistribution(boundary_values(override))
