"""A regression to begin with: replace the data and the network by your own."""

from collections.abc import Callable, Iterator

import torch
from lightning import LightningDataModule, LightningModule
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset

Batch = tuple[Tensor, Tensor]


class Data(LightningDataModule):
    """Noisy values of y = sin(x) on [-3, 3]; those to train on are drawn from another seed than those to score."""

    def __init__(self, num_points: int, noise: float, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.train, self.val, self.test = (self._draw(num_points, noise, seed) for seed in range(3))

    @staticmethod
    def _draw(num_points: int, noise: float, seed: int) -> TensorDataset:
        generator = Generator().manual_seed(seed)
        x = torch.rand(num_points, 1, generator=generator) * 6 - 3
        return TensorDataset(x, x.sin() + noise * torch.randn(num_points, 1, generator=generator))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, len(self.val))

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.test, len(self.test))


class Model(LightningModule):
    """Two fully connected layers.

    Args:
        hidden: the width of the hidden layer.
        optimizer: makes the optimizer of the parameters that it is given.
    """

    def __init__(self, hidden: int, optimizer: Callable[[Iterator[nn.Parameter]], Optimizer]) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.optimizer = optimizer

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        return functional.mse_loss(self.net(x), y)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._log_scores(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._log_scores(batch, "test")

    def _log_scores(self, batch: Batch, stage: str) -> None:
        x, y = batch
        loss = functional.mse_loss(self.net(x), y)
        scores = {f"{stage}/loss": loss, f"{stage}/r2": 1 - loss / y.var(correction=0)}
        self.log_dict(scores, batch_size=len(x))

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())
