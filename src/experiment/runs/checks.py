"""Everything that can be known to be wrong before a run starts, for all runs of a command together."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omegaconf import DictConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import is_dry_run
from experiment.configuration.own_code import add_config_dirs
from experiment.configuration.validation import validate
from experiment.runs.directory import RunDirectory
from experiment.runs.environment import check_environment
from experiment.runs.resume import check_start

Check = Callable[[DictConfig, Path], object]  # of a configuration, and the directory that it is to run in


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


def check_jobs(jobs: Sequence[Planned], hydra: DictConfig) -> list[bool]:
    """Check composed configurations and the directories that they are to run in; return which are complete there.

    Raises:
        ConfigurationError: some are wrong, with the problems of all of them; what needs no torch is checked without.
    """
    complete: list[bool] = []

    def check_directory(config: DictConfig, path: Path) -> None:
        complete.append(not is_dry_run(config) and check_start(RunDirectory(path), config))

    _check_all(
        jobs,
        lambda config, _: validate(config),
        lambda config, _: check_environment(config.trainer),
        check_directory,
    )
    rest = [job for job, done in zip(jobs, complete, strict=True) if not done]
    if rest:
        gc.disable()  # collecting garbage while torch is imported, and when the process ends, takes seconds
        from experiment.runs.initial_weights import check_initial_weights
        from experiment.runs.instantiable import InstantiableCheck

        gc.freeze()
        gc.enable()
        add_config_dirs(hydra)
        check_instantiable = InstantiableCheck()
        _check_all(rest, lambda config, _: check_instantiable(config), check_initial_weights)
    return complete


def _check_all(jobs: Sequence[Planned], *checks: Check) -> None:
    """Make the checks of each job, up to the first that fails.

    Raises:
        ConfigurationError: some have failed, with the problems of the first check that any job fails.
    """
    problems: list[dict[str, None]] = [{} for _ in checks]  # the runs of a sweep share what is wrong
    for job in jobs:
        config = job.config  # composed once for all checks
        for check, found in zip(checks, problems, strict=True):
            try:
                check(config, job.directory)
            except ConfigurationError as error:
                found |= dict.fromkeys(str(error).splitlines())
                break
    for found in problems:
        if found:
            raise ConfigurationError("\n".join(found))
