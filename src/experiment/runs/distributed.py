"""What is peculiar to training in several processes: how many, what they agree on, who writes, what each scores."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from experiment.runs.horizon_trainer import HorizonTrainer
from experiment.runs.objects import trainer_arguments


def count_processes(config: DictConfig) -> int:
    """Return in how many processes a configuration trains."""
    if config.trainer.get("devices", 1) == 1:
        return 1
    return HorizonTrainer(**trainer_arguments(config) | {"logger": False, "enable_progress_bar": False}).num_devices


def is_first_rank() -> bool:
    """Return whether this process is the only one that trains its run, or the first of several: the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def agree(trainer: Trainer, value: int) -> int:
    """Return the value that the first process has. All processes must call this at the same point."""
    if trainer.world_size == 1:
        return value
    shared = torch.tensor(int(value), device=trainer.strategy.root_device)
    torch.distributed.broadcast(shared, src=0)
    return int(shared)


def distributed_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a trainer that starts no processes: those of its run are started already."""
    strategy = arguments.get("strategy", "auto")
    if isinstance(strategy, str):
        strategy = re.sub(r"^ddp_(fork|spawn|notebook)", "ddp", strategy)
    elif isinstance(strategy, DDPStrategy):
        strategy._start_method = "popen"
    own: dict[str, Any] = {"strategy": strategy}
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        own["plugins"] = [*arguments["plugins"], TorchElasticEnvironment()]
        if arguments.get("devices") in ("auto", "-1", -1):
            own["devices"] = size
    return arguments | own


@contextmanager
def without_leftover_group() -> Iterator[None]:
    """End the process group of a single process with its run: metrics of the runs that follow would look for others."""
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    began_with_group = _has_group()
    try:
        yield
    finally:
        if is_alone and not began_with_group and _has_group():
            torch.distributed.destroy_process_group()


def _has_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def score_everything(trainer: Trainer) -> None:
    """Let each process score all of the data: the scores are those of one process, for metrics of any kind.

    Lightning would divide it among them, and repeat some of it so that the shares are equal.
    """
    connector = trainer._data_connector
    prepare = connector._prepare_dataloader

    def prepare_to_train(loader: DataLoader[Any], shuffle: bool, mode: Any) -> object:
        return loader if mode.evaluating else prepare(loader, shuffle, mode)

    connector._prepare_dataloader = prepare_to_train  # type: ignore[method-assign,assignment]


class SilentLogger(DummyLogger):
    """The logger of a process that writes nothing."""

    logged: dict[str, float] = {}  # noqa: RUF012
