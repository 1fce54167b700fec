"""Everything that can be known to be wrong before a run starts, for all runs of a command together."""

import functools
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import is_dry_run
from experiment.configuration.own_code import add_config_dirs
from experiment.configuration.references import ResolvedConfig
from experiment.configuration.validation import raise_problems
from experiment.runs.environment import check_environment
from experiment.runs.resume import check_start

FEW = 64  # runs: more are checked in one go, since to compose each takes time


class Kind(Enum):
    """What there is to do for a configuration that has been checked."""

    RUN, DRY_RUN, NOTHING = range(3)


Check = Callable[[ResolvedConfig, Path], Kind | None]  # of a configuration, and the directory that it is to run in


class Planned(Protocol):
    """A run that is to start."""

    @property
    def config(self) -> DictConfig:
        """Its configuration."""

    @property
    def directory(self) -> Path:
        """Where it is to run."""


@dataclass
class PlannedRun:
    """A single run that is to start."""

    config: DictConfig
    directory: Path


def check_jobs(jobs: Sequence[Planned], hydra: DictConfig, last_checks: Sequence[Check] = ()) -> list[Kind]:
    """Check composed configurations and the directories that they are to run in; return what there is to do for each.

    What needs torch, which takes seconds to import, is checked last, and not for a run that is complete.

    Args:
        jobs: the runs.
        hydra: Hydra's configuration of the command.
        last_checks: of a run that is right by all others.

    Raises:
        ConfigurationError: some are wrong, with the problems of the first check that any of them fails.
    """
    light_checks: list[Check] = [_check_configuration, _EnvironmentCheck(), _check_directory]
    if 1 < len(jobs) <= FEW:  # else the errors of one would be reported after another one has needed torch
        _check_all(jobs, light_checks)
    return _check_all(jobs, [*light_checks, _ModuleChecks(hydra), *last_checks])


def _check_all(jobs: Sequence[Planned], checks: Sequence[Check]) -> list[Kind]:
    problems: list[dict[str, None]] = [{} for _ in checks]  # the runs of a sweep share what is wrong
    kinds: list[Kind] = []
    for job in jobs:
        run, kind = ResolvedConfig.of(job.config), Kind.RUN  # composed and resolved once for all checks
        for check, found in zip(checks, problems, strict=True):
            try:
                kind = check(run, job.directory) or kind
            except ConfigurationError as error:
                found |= dict.fromkeys(str(error).splitlines())
            if found or kind == Kind.NOTHING:  # what later checks find is not reported
                break
        kinds.append(kind)
    for found in problems:
        if found:
            raise ConfigurationError("\n".join(found))
    return kinds


def _check_configuration(run: ResolvedConfig, directory: Path) -> None:
    raise_problems(run)


class _EnvironmentCheck:
    """Checks the environment, once for all configurations whose trainers have the same keys."""

    def __init__(self) -> None:
        self.check = functools.cache(check_environment)

    def __call__(self, run: ResolvedConfig, directory: Path) -> None:
        self.check(tuple(run.plain["trainer"]))


def _check_directory(run: ResolvedConfig, directory: Path) -> Kind:
    if is_dry_run(run.plain):
        return Kind.DRY_RUN
    return Kind.NOTHING if check_start(directory, run) else Kind.RUN


class _ModuleChecks:
    """Checks what needs torch, which is imported with the first configuration."""

    def __init__(self, hydra: DictConfig) -> None:
        self.hydra = hydra
        self.checks: list[Check] = []

    def __call__(self, run: ResolvedConfig, directory: Path) -> None:
        if not self.checks:
            self.checks = self._import()
        for check in self.checks:
            check(run, directory)

    def _import(self) -> list[Check]:
        gc.disable()  # collecting garbage while torch is imported, and when the process ends, takes seconds
        from experiment.runs.initial_weights import check_initial_weights
        from experiment.runs.inputs import check_inputs, file_keys
        from experiment.runs.instantiable import InstantiableCheck

        gc.freeze()
        gc.enable()
        add_config_dirs(self.hydra)
        check_instantiable = InstantiableCheck()
        return [
            lambda run, _: check_instantiable(run),
            lambda run, _: check_inputs(run.config, file_keys(run.plain)),
            lambda run, directory: check_initial_weights(run.config, directory),
        ]
