"""From a configuration to the objects of a run: model, data, callbacks, the arguments of the trainer."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from omegaconf import DictConfig

from experiment.configuration import targets
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.validation import validate
from experiment.runs import quiet  # noqa: F401
from experiment.runs.directory import RunDirectory
from experiment.runs.recorded import check_recorded_values


def make_model_and_data(config: DictConfig) -> tuple[LightningModule, LightningDataModule]:
    """Make the two, each from the beginning of the seed's streams, so that neither depends on the other."""
    seed_everything(config.seed, workers=True, verbose=False)
    data = targets.instantiate(config, "data")
    seed_everything(config.seed, workers=True, verbose=False)
    return targets.instantiate(config, "model"), data


def make_callbacks(config: DictConfig) -> list[Callback]:
    """Make the callbacks that a configuration names."""
    return [callback for callback in targets.instantiate(config, "callbacks").values() if callback]


def trainer_arguments(config: DictConfig, show_progress: bool = True) -> dict[str, Any]:
    """Return the arguments of Lightning's ``Trainer``; a progress bar is shown on a terminal alone."""
    arguments: dict[str, Any] = targets.instantiate(config, "trainer")
    bar = show_progress and arguments.get("enable_progress_bar") is not False and sys.stderr.isatty()
    return arguments | {"enable_progress_bar": bar}


def check_instantiable(config: DictConfig, hydra: DictConfig | None = None) -> None:
    """Check that what a configuration names exists here: its classes, its accelerator.

    Args:
        hydra: Hydra's own configuration of this command line, which may name a ``--config-dir`` with the user's code.

    Raises:
        ConfigurationError: something does not.
    """
    if hydra is not None:
        targets.add_config_dirs_to_path(hydra)
    targets.check_targets(config)
    _attempt("optimizer", lambda: targets.instantiate(config, "optimizer")([torch.nn.Parameter(torch.zeros(1))]))
    arguments = trainer_arguments(config)
    try:
        trainer = Trainer(**arguments)
    except Exception:
        for key, value in arguments.items():  # name the one that is wrong, if it is wrong by itself
            _attempt(f"trainer.{key}={value}", functools.partial(Trainer, **{key: value}))
        _attempt("trainer", functools.partial(Trainer, **arguments))
        raise
    if trainer.world_size > 1:
        keys = {"devices": trainer.num_devices, "num_nodes": trainer.num_nodes}
        named = [f"trainer.{key}={arguments.get(key, count)}" for key, count in keys.items() if count > 1]
        raise ConfigurationError.from_lines([f"{' and '.join(named)}: training in several processes does not work yet"])


def _attempt(what: str, make: Callable[[], Any]) -> None:
    try:
        make()
    except Exception as error:
        raise ConfigurationError.from_lines([f"{what}: {error}"]) from error


def load_recorded(directory: RunDirectory, trusted: bool, changes: Sequence[str] = ()) -> DictConfig:
    """Return the configuration that a directory records, checked as a stranger's.

    Args:
        directory: of a run.
        trusted: the user vouches for the run: its configuration may read the environment and name places to write to.
        changes: overrides ``key=value`` of the recorded configuration.

    Raises:
        ConfigurationError: the directory holds no run, or one that cannot be run here.
    """
    config = directory.config
    if config is None:
        raise ConfigurationError(f"{directory.path} holds no run.")
    if not trusted:
        check_recorded_values(config)
    config.merge_with_dotlist(list(changes))
    validate(config)
    check_instantiable(config)
    return config
