"""Everything that can be known to be wrong before a run starts, for all runs of a command together."""

import gc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import is_dry_run
from experiment.configuration.validation import validate
from experiment.runs.directory import RunDirectory
from experiment.runs.environment import check_environment
from experiment.runs.resume import check_start

Result = TypeVar("Result")


def check_jobs(jobs: Sequence[tuple[DictConfig, Path]], hydra: DictConfig) -> list[bool]:
    """Check composed configurations and the directories that they are to run in; return which are complete there.

    Raises:
        ConfigurationError: some are wrong, with the problems of all of them; what needs no torch is checked without.
    """
    _check_all(validate, ((config,) for config, _ in jobs))
    _check_all(check_environment, ((config.trainer,) for config, _ in jobs))
    complete = _check_all(lambda config, path: not is_dry_run(config) and check_start(RunDirectory(path), config), jobs)
    rest = [job for job, done in zip(jobs, complete, strict=True) if not done]
    if rest:
        gc.disable()  # collecting garbage while torch is imported, and when the process ends, takes seconds
        from experiment.runs.initial_weights import check_initial_weights
        from experiment.runs.instantiable import check_instantiable

        gc.freeze()
        gc.enable()
        _check_all(check_instantiable, ((config, hydra) for config, _ in rest))
        _check_all(check_initial_weights, rest)
    return complete


def _check_all(check: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> list[Result]:
    problems: dict[str, None] = {}
    results = []
    for job in jobs:
        try:
            results.append(check(*job))
        except ConfigurationError as error:
            problems |= dict.fromkeys(str(error).splitlines())  # the runs of a sweep share what is wrong
    if problems:
        raise ConfigurationError("\n".join(problems))
    return results
