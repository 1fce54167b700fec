"""Whether a configuration may run in a directory, and from where: the rules of a directory that *is* a run."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import HORIZON, differences, refers_to_horizon
from experiment.configuration.references import ResolvedConfig
from experiment.runs.directory import RunDirectory
from experiment.runs.horizon import Horizon, Progress
from experiment.runs.inputs import compare_inputs, describe_other_content


@dataclass
class ResumePoint:
    """Where a run resumes.

    Attributes:
        checkpoint: to resume from, ``None`` to start from the beginning.
        mark: of that checkpoint in the log.
        step, epoch: how many are completed there.
    """

    checkpoint: Path | None = None
    mark: str | None = None
    step: int = 0
    epoch: int = 0


def find_result(directory: RunDirectory, config: DictConfig) -> dict[str, Any] | None:
    """Return the metrics of this very run if nothing is left to train, ``None`` if something is.

    Raises:
        ConfigurationError: the directory holds a run of another configuration, or one trained past this horizon.
    """
    horizon = Horizon.of(config)
    old = config if directory.holds_exactly(config) else directory.config
    if old is None:
        if directory.checkpoints.exists():
            raise ConfigurationError(f"{directory.checkpoints} belongs to a run whose configuration is missing.")
        return None
    _raise_if_other_run(directory, old, config)
    metrics, old_horizon = directory.metrics, Horizon.of(old)
    progress = Progress.read(metrics)
    _raise_if_longer(directory, progress, horizon, old_horizon)
    if metrics.get("status") not in ("finished", "diverged"):
        return None
    ran_out_of_time = not metrics.get("stop_reason") and not old_horizon.is_reached(progress)
    is_complete = (
        metrics.get("stop_reason")
        or horizon.is_reached(progress)
        or (ran_out_of_time and horizon.seconds <= old_horizon.seconds)
    )
    return metrics if is_complete else None


def check_start(path: Path, run: ResolvedConfig) -> bool:
    """Check, without writing anything, that a run may start at a path; return whether nothing is left to train.

    Raises:
        ConfigurationError: as ``find_result``; or the directory is locked or cannot be written.
    """
    Horizon.of_trainer(run.plain["trainer"])
    if not path.exists():
        return False
    directory = RunDirectory(path)
    if find_result(directory, run.config) is not None:
        return True
    if not os.access(path, os.W_OK):
        raise ConfigurationError(f"{directory.path} cannot be written.")
    if (directory.path / ".lock").exists():
        with directory.locked():
            pass
    return False


def find_resume_point(directory: RunDirectory, config: DictConfig) -> ResumePoint:
    """Return where an unfinished run of this configuration resumes; the directory must be locked.

    Raises:
        ConfigurationError: its checkpoints are damaged, are past the horizon, or depend on another horizon.
    """
    from experiment.runs.checkpoint_files import load_newest, state_name  # here, since it imports torch

    path, checkpoint = load_newest(directory.checkpoints)
    if path is None:
        return ResumePoint()
    old = directory.config or config
    progress = Progress(checkpoint["epoch"], checkpoint["global_step"])
    _raise_if_longer(directory, progress, Horizon.of(config), Horizon.of(old))
    if checkpoint["horizon_matters"] and Horizon.of(config) != Horizon.of(old):
        _raise_schedule_error(directory, old, config, HORIZON)
    return ResumePoint(path, state_name(checkpoint), progress.step, progress.epoch)


def _raise_if_other_run(directory: RunDirectory, old: DictConfig, new: DictConfig) -> None:
    problems = {} if old is new else differences(old, new)
    for key, is_same in compare_inputs(directory, new).items():
        if is_same:
            problems.pop(key, None)  # wherever it lies
        else:
            problems[key] = describe_other_content(new, key)
    if problems and all(refers_to_horizon(new, key) for key in problems):
        _raise_schedule_error(directory, old, new, (*HORIZON, *problems))
    if problems:
        raise ConfigurationError.from_lines(
            problems.values(), f"{directory.path} holds a run of another configuration:"
        )


def _raise_if_longer(directory: RunDirectory, progress: Progress, horizon: Horizon, old: Horizon) -> None:
    if problems := list(horizon.describe_excess(progress, old)):
        raise ConfigurationError.from_lines(problems, f"{directory.path} holds a longer run:")


def _raise_schedule_error(directory: RunDirectory, old: DictConfig, new: DictConfig, keys: Iterable[str]) -> None:
    values = {key: (OmegaConf.select(old, key), OmegaConf.select(new, key)) for key in keys}
    lines = [f"{key}: {before} there, {now} here" for key, (before, now) in values.items() if before != now]
    raise ConfigurationError.from_lines(lines, f"{directory.path} holds a run whose schedule depends on its end:")
