"""The LightningModule of the points: a network, a loss, an optimizer."""

import math
from collections.abc import Callable, Iterator

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from experiment.points.net import SimpleNet

Batch = tuple[Tensor, Tensor]


def bce(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the probabilities, as ``BCELoss`` computes it."""
    probabilities = torch.sigmoid(logits)
    if math.isnan(probabilities.detach().sum()):
        return probabilities.mean()  # not a number: BCELoss would raise, and a diverged run is a result
    return functional.binary_cross_entropy(probabilities, classes)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "bce_with_logits": functional.binary_cross_entropy_with_logits,
}


class PointsClassifier(LightningModule):
    """Tells on which side of a boundary a point of the plane lies.

    Args:
        hidden: the widths of the hidden layers.
        activation: of the hidden layers, a key of ``net.ACTIVATIONS``.
        loss: a key of ``LOSSES``.
        optimizer: makes the optimizer of the parameters it is given.
    """

    def __init__(
        self,
        hidden: list[int],
        activation: str,
        loss: str,
        optimizer: Callable[[Iterator[nn.Parameter]], Optimizer],
    ) -> None:
        super().__init__()
        self.net = SimpleNet(hidden, activation)
        self.loss = LOSSES[loss]
        self.optimizer = optimizer

    def forward(self, points: Tensor) -> Tensor:
        """Return the probability, ``[n, 1]``, that each of the points, ``[n, 2]``, is of class 1."""
        return torch.sigmoid(self.net(points))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        points, classes = batch
        return self.loss(self.net(points), classes)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch of the validation points."""
        self._score(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Score a batch of the test points."""
        self._score(batch, "test")

    def _score(self, batch: Batch, stage: str) -> None:
        points, classes = batch
        logits = self.net(points)
        correct = (logits > 0) == classes.bool()
        scores = {f"{stage}/loss": self.loss(logits, classes), f"{stage}/accuracy": correct.float().mean()}
        self.log_dict(scores, batch_size=len(points))

    def configure_optimizers(self) -> Optimizer:
        """Return the optimizer of all parameters."""
        return self.optimizer(self.parameters())
