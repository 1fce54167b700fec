"""Handwritten digits: a problem of your own, which imports nothing of this project."""

from collections.abc import Callable, Iterator

import torch
from lightning import LightningDataModule, LightningModule
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset


class Digits(LightningDataModule):
    """The 1,797 pictures of scikit-learn, 8 by 8 pixels: three fifths to train, a fifth each to validate and test."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        pictures, digits = load_digits(return_X_y=True)
        dataset = TensorDataset(torch.tensor(pictures / 16, dtype=torch.float32), torch.tensor(digits))
        self.train, rest = train_test_split(dataset, test_size=0.4, random_state=0)
        self.val, self.test = train_test_split(rest, test_size=0.5, random_state=0)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, len(self.val))

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.test, len(self.test))


class DigitsClassifier(LightningModule):
    """Two fully connected layers, and dropout between them."""

    def __init__(self, hidden: int, dropout: float, optimizer: Callable[[Iterator[nn.Parameter]], Optimizer]) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 10))
        self.optimizer = optimizer

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int, stage: str = "train") -> Tensor:
        pictures, digits = batch
        scores = self.net(pictures)
        loss = functional.cross_entropy(scores, digits)
        accuracy = (scores.argmax(1) == digits).float().mean()
        self.log_dict({f"{stage}/loss": loss, f"{stage}/accuracy": accuracy}, batch_size=len(digits))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.training_step(batch, batch_idx, "val")

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.training_step(batch, batch_idx, "test")

    def configure_optimizers(self) -> Optimizer:
        return self.optimizer(self.parameters())
