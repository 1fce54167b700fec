"""Whether a configuration may run in a directory, and from where: the rules of a directory that *is* a run."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import HORIZON, differences
from experiment.runs.directory import RunDirectory


@dataclass
class ResumePoint:
    """Where a run resumes.

    Attributes:
        checkpoint: to resume from, ``None`` to start from the beginning.
        step, epoch: how many are completed there.
    """

    checkpoint: Path | None = None
    step: int = 0
    epoch: int = 0


def find_result(directory: RunDirectory, config: DictConfig) -> dict[str, Any] | None:
    """Return the metrics of this very run if nothing is left to train, ``None`` if something is.

    Raises:
        ConfigurationError: the directory holds a run of another configuration, or one trained past this horizon.
    """
    old = config if directory.holds_exactly(config) else directory.config
    if old is None:
        if directory.checkpoints.exists():
            raise ConfigurationError(f"{directory.checkpoints} belongs to a run whose configuration is missing.")
        return None
    if old is not config and (found := differences(old, config)):
        raise ConfigurationError.from_lines(found, f"{directory.path} holds a run of another configuration:")
    metrics, epochs = directory.metrics, config.trainer.max_epochs
    _raise_if_longer(directory, metrics.get("epoch", 0), epochs)
    done = metrics.get("status") in ("finished", "diverged")
    not_finite = metrics.get("status") == "diverged" and metrics["train/loss"] is None
    return metrics if done and (epochs <= old.trainer.max_epochs or not_finite) else None


def check_start(directory: RunDirectory, config: DictConfig) -> bool:
    """Check, without writing anything, that a run may start in a directory; return whether nothing is left to train.

    Raises:
        ConfigurationError: as ``find_result``; or the directory is locked or cannot be written.
    """
    if find_result(directory, config) is not None:
        return True
    if directory.path.exists() and not os.access(directory.path, os.W_OK):
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
    from experiment.runs.checkpoint_files import load_newest  # here, since it imports torch

    path, content = load_newest(directory.checkpoints)
    epoch = content.get("epoch", 0)
    _raise_if_longer(directory, epoch, config.trainer.max_epochs)
    if content.get("horizon_matters"):
        _raise_if_other_horizon(directory, config)
    return ResumePoint(path, content.get("global_step", 0), epoch)


def _raise_if_longer(directory: RunDirectory, reached: int, epochs: int) -> None:
    if reached > epochs:
        line = f"{HORIZON}={epochs}: {reached} epochs are trained already"
        raise ConfigurationError.from_lines([line], f"{directory.path} holds a longer run:")


def _raise_if_other_horizon(directory: RunDirectory, config: DictConfig) -> None:
    old = directory.config
    if old is not None and old.trainer.max_epochs != config.trainer.max_epochs:
        line = f"{HORIZON}: {old.trainer.max_epochs} there, {config.trainer.max_epochs} here"
        raise ConfigurationError.from_lines([line], f"{directory.path} holds a run whose schedule depends on its end:")
