"""From a configuration to the objects of a run: model, data, callbacks, the arguments of the trainer."""

import os
import sys
from collections.abc import Collection, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.callbacks import ProgressBar
from omegaconf import DictConfig

from experiment.configuration import targets
from experiment.configuration.compose import change
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import FROM_RUN
from experiment.configuration.validation import validate
from experiment.runs import quiet  # noqa: F401
from experiment.runs.directory import RunDirectory
from experiment.runs.inputs import find_again, recorded_inputs
from experiment.runs.instantiable import check_instantiable
from experiment.runs.monitored import MonitoredMetrics
from experiment.runs.progress import TimedProgressBar
from experiment.runs.randomness import seed_streams
from experiment.runs.recorded import check_recorded_values


def make_model_and_data(config: DictConfig) -> tuple[LightningModule, LightningDataModule]:
    """Make the two, each from the beginning of the seed's streams, so that neither depends on the other."""
    os.environ |= {"PL_GLOBAL_SEED": str(config.seed), "PL_SEED_WORKERS": "1"}  # as seed_everything(workers=True)
    seed_streams(config.seed)
    data = targets.instantiate(config, "data")
    seed_streams(config.seed)
    return targets.instantiate(config, "model"), data


def make_callbacks(config: DictConfig, show_progress: bool = False) -> list[Callback]:
    """Make the callbacks that a configuration names, and what a run adds for them.

    Args:
        config: of a run.
        show_progress: whether there is a progress bar: that of the configuration, or else this project's.
    """
    shown = is_progress_shown(config, show_progress)
    made = {name: callback for name, callback in targets.instantiate(config, "callbacks").items() if callback}
    callbacks = {name: each for name, each in made.items() if shown or not isinstance(each, ProgressBar)}
    has_bar = any(isinstance(callback, ProgressBar) for callback in callbacks.values())
    monitored = MonitoredMetrics(callbacks)
    return [
        *([monitored] if monitored.tags else []),
        *callbacks.values(),
        *([TimedProgressBar()] if shown and not has_bar else []),
    ]


def trainer_arguments(config: DictConfig, show_progress: bool = True) -> dict[str, Any]:
    """Return the arguments of Lightning's ``Trainer``."""
    arguments: dict[str, Any] = targets.instantiate(config, "trainer")
    return arguments | {"enable_progress_bar": is_progress_shown(config, show_progress)}


def is_progress_shown(config: DictConfig, show_progress: bool) -> bool:
    """Whether a progress bar is shown: on a terminal alone, and only if the configuration allows it."""
    return show_progress and config.trainer.get("enable_progress_bar") is not False and sys.stderr.isatty()


def load_recorded(
    directory: RunDirectory, trusted: bool, changes: Sequence[str] = (), uses_data: bool = True
) -> DictConfig:
    """Return the configuration that a directory records, checked as a stranger's.

    Args:
        directory: of a run.
        trusted: the user vouches for the run: its configuration may read the environment and name places to write to.
        changes: overrides of the recorded configuration.
        uses_data: whether the files that the run was trained on must be what they were.

    Raises:
        ConfigurationError: the directory holds no run, or one that cannot be run here; or its data has changed.
    """
    config = directory.config
    if config is None:
        raise ConfigurationError(f"{directory.path} holds no run.")
    config.pop("loggers", None)  # what a run records is sent nowhere
    if not trusted:
        check_recorded_values(config)
    if uses_data:
        changed = {text.partition("=")[0].lstrip("+~") for text in changes}
        find_again(directory, config, [key for key in recorded_inputs(directory) if _is_kept(key, changed)])
    change(config, changes)
    validate(config)
    check_instantiable(config)
    return config


def _is_kept(key: str, changed: Collection[str]) -> bool:
    """Whether a key names a file of the data or the model that is read again, and no change names another one."""
    return key != FROM_RUN and not any(f"{key}.".startswith(f"{each}.") for each in changed)
