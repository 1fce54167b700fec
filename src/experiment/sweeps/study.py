"""Optuna's study of a search, kept in a file: a search that was killed resumes with the very same trials."""

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
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
from experiment.configuration.objective import DEFAULT, Objective
from experiment.configuration.overrides import boundary_values
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
        objective: another one makes another study.

    Raises:
        ConfigurationError: the file holds trials of this study from another space; it is not changed then.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        space: Mapping[str, Override],
        total: int,
        seed: int,
        objective: Objective = DEFAULT,
    ) -> None:
        self.path, self.total, self.seed, self.objective = path, total, seed, objective
        self.name = name if objective == DEFAULT else f"{name} for {objective.mode} {objective.metric}"
        is_plain_file(path)  # raises an error for a symbolic link
        space_now = {key: distribution(override) for key, override in space.items()}
        self.space = _continued_space(path, self.name, space_now)

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study, which is made in the file where there is none."""
        study = optuna.create_study(
            storage=open_journal(self.path),
            study_name=self.name,
            direction="maximize" if self.objective.mode == "max" else "minimize",
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL)):
            self._check(trial)
        return study

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
            yield self._resume(interrupted)
        for failed in self._failed_trials()[:remaining]:
            self.study.enqueue_trial(failed.params, user_attrs={RETRIED: failed.number})
        for _ in range(remaining):
            self._seed_sampler(len(self.study.trials))
            yield self.study.ask(self.space)

    def batches(self, size: int) -> Iterator[list[Trial]]:
        """Yield the trials that are left to run, so many at once; the results of all are reported before the next.

        A batch ends at a multiple of ``size``, so that one that was interrupted is not filled up with others.
        """
        batch = []
        for trial in self.trials():
            batch.append(trial)
            if (trial.number + 1) % size == 0:
                yield batch
                batch = []
        if batch:
            yield batch

    def _seed_sampler(self, number: int) -> None:
        stream = np.random.SeedSequence([self.seed, number])
        self.study.sampler = TPESampler(seed=int(stream.generate_state(1)[0]))

    def _resume(self, interrupted: FrozenTrial) -> Trial:
        """Return a trial that was interrupted, maybe while its values were chosen: the rest are, as they would be."""
        self._seed_sampler(interrupted.number)
        trial = Trial(self.study, interrupted._trial_id)
        for key, values in self.space.items():
            if key in interrupted.params and not values.single():
                self.study.sampler.sample_independent(self.study, interrupted, key, values)  # as it was drawn before
            trial._suggest(key, values)
        return trial

    def _failed_trials(self) -> list[FrozenTrial]:
        """Return the trials that failed and were not tried again."""
        retried = {trial.user_attrs.get(RETRIED) for trial in self.study.trials}
        return [trial for trial in self.study.get_trials(states=(TrialState.FAIL,)) if trial.number not in retried]

    @property
    def best_trial(self) -> FrozenTrial | None:
        """The completed trial with the best score, ``None`` if none was completed without divergence."""
        completed = self.study.get_trials(states=(TrialState.COMPLETE,))
        return self.study.best_trial if any(trial.value != self.objective.worst for trial in completed) else None

    def report(self, trial: Trial, row: Row) -> None:
        """Report the result of a trial: the worst, if it diverged; a failure, if it has no finite score."""
        status, score = row.metrics["status"], row.metrics.get(self.objective.metric)
        if status == "interrupted":
            self.study.tell(trial, state=TrialState.PRUNED)
        elif status in ("failed", "pending") or (status == "finished" and score is None):
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, self.objective.worst if status == "diverged" else score)


def _contains(space: BaseDistribution, value: Any) -> bool:
    try:
        return space._contains(space.to_internal_repr(value))
    except ValueError:  # of a value that is none of the choices, or no number
        return False


def trial_overrides(trial: Trial | FrozenTrial) -> list[str]:
    """Return what a trial chose, as overrides."""
    return [f"{key}={value}" for key, value in trial.params.items()]


def distribution(override: Override) -> BaseDistribution:
    """Return what Optuna chooses from: the numbers of an interval, or the values of a list as they were typed.

    Raises:
        ConfigurationError: it is an interval without numbers, or a logarithmic one that is not above 0.
    """
    sweep = override.value()
    if not isinstance(sweep, IntervalSweep):
        return CategoricalDistribution(boundary_values(override))
    low, high = cast(Any, sweep.start), cast(Any, sweep.end)  # the grammar has no interval without them
    log = "log" in sweep.tags
    if not -math.inf < low <= high < math.inf:
        raise ConfigurationError.from_lines([f"{override.input_line}: two finite numbers, the lower one first"])
    if log and low <= 0:
        raise ConfigurationError.from_lines([f"{override.input_line}: a logarithmic interval lies above 0"])
    whole = isinstance(low, int) and isinstance(high, int)
    return IntDistribution(low, high, log=log) if whole else FloatDistribution(low, high, log=log)


def _continued_space(path: Path, name: str, space: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Return a space as the trials of a study know it: with the choices in their order. Nothing is written.

    Raises:
        ConfigurationError: a trial was chosen from something that the space does not include.
    """
    space = dict(space)
    problems = {}
    for trial in _read_trials(path, name):
        is_scored = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        for key in sorted(trial.distributions.keys() | (space.keys() if is_scored else set())):
            before, now = trial.distributions.get(key), space.get(key)
            if _choices(before) and _choices(before) == _choices(now):
                space[key] = cast(BaseDistribution, before)
            elif not _includes(now, before):
                problems[key] = f"{key}: was {_describe(before)}, is {_describe(now)}"
    if problems:
        headline = f"{path.parent} holds a search of another space; give this one another hydra.sweep.dir:"
        raise ConfigurationError.from_lines(problems.values(), headline)
    return space


def _read_trials(path: Path, name: str) -> list[FrozenTrial]:
    if not path.exists():
        return []
    try:
        storage = open_journal(path)
        known = name in optuna.get_all_study_names(storage)
        return optuna.load_study(storage=storage, study_name=name).trials if known else []
    except Exception as error:  # whatever a damaged file makes Optuna raise
        raise ConfigurationError(f"{path} is damaged: {error!r}") from error


def _choices(distribution: BaseDistribution | None) -> frozenset[Any]:
    return frozenset(distribution.choices) if isinstance(distribution, CategoricalDistribution) else frozenset()


def _includes(new: BaseDistribution | None, old: BaseDistribution | None) -> bool:
    """Whether an interval includes another one of its kind."""
    if not isinstance(old, FloatDistribution | IntDistribution) or not isinstance(new, type(old)):
        return False
    return new.log == old.log and new.low <= old.low and old.high <= new.high


def _describe(distribution: BaseDistribution | None) -> str:
    """Return a distribution as one would type it."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        interval = f"interval({distribution.low}, {distribution.high})"
        interval = f"int({interval})" if isinstance(distribution, IntDistribution) else interval
        return f"tag(log, {interval})" if distribution.log else interval
    return ",".join(sorted(_choices(distribution))) or "not searched"
