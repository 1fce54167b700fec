"""Somebody's project that is put together from parts: a dataset, a transform, a factory, an optimizer of its own."""

import functools
import subprocess
from collections.abc import Callable
from os import system  # noqa: F401
from typing import Any

import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset[Tensor]):
    """Whole numbers, transformed."""

    def __init__(self, count: int, transform: Callable[[Tensor], Tensor]) -> None:
        self.count, self.transform = count, transform

    @classmethod
    def tens(cls, transform: Callable[[Tensor], Tensor]) -> "Numbers":
        return cls(10, transform)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(torch.tensor([float(index)]))


def scale(number: Tensor, by: float) -> Tensor:
    return number * by


def make_net(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))


class Data(LightningDataModule):
    """Batches of a dataset."""

    def __init__(self, dataset: Dataset[Tensor], batch_size: int = 4) -> None:
        super().__init__()
        self.dataset, self.batch_size = dataset, batch_size

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(self.dataset, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(self.dataset, 100)


class Net(LightningModule):
    """Learns to be one.

    It makes its own optimizer.

    Args:
        net: maps numbers, ``[n, 1]``,
            to numbers.
        rate: the learning rate

    Raises:
        Nothing: at all.
    """

    def __init__(self, net: nn.Module, rate: float = 0.01) -> None:
        super().__init__()
        self.net, self.rate = net, rate

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.net(batch) - 1).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.rate)


class Popen(subprocess.Popen[bytes]):
    """A class of somebody's own."""


partial_load: Any = functools.partial(torch.load, "file")
