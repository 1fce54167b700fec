"""The LightningModule that classifies points."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from typing_extensions import override

from experiment.points.learned_line import compare_lines
from experiment.points.net import SimpleNet

Batch = tuple[Tensor, Tensor]


def bce(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the probabilities, as ``BCELoss`` computes it, NaN if one is NaN.

    There ``binary_cross_entropy`` raises an error, or ends the process on a GPU; but a diverged run is a result. No
    branch depends on a value, so that many runs can be computed as one.
    """
    probabilities = torch.sigmoid(logits)
    if probabilities.device.type == "cpu":
        with suppress(RuntimeError):
            return functional.binary_cross_entropy(probabilities, classes)
    loss = functional.binary_cross_entropy(probabilities.nan_to_num(0.5), classes)
    return loss + 0 * probabilities.detach().sum()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "bce_with_logits": functional.binary_cross_entropy_with_logits,
}


class PointsClassifier(LightningModule):
    """Classifies points with a ``SimpleNet``, and logs loss and accuracy of validation and test.

    Of points on both sides of a line, the test logs also how far the line that was learned is from that one.

    Args:
        hidden: the widths of the hidden layers.
        activation: of the hidden layers, a key of ``net.ACTIVATIONS``.
        loss: a key of ``LOSSES``.
        optimizer: returns an optimizer of the parameters it is given; ``None`` for a model that is not trained.
        inputs: coordinates of a point.
        scheduler: returns the schedule of an optimizer's learning rate; nothing for a rate that stays as it is.

    A checkpoint holds the other arguments, so that ``load_from_checkpoint`` needs none.
    """

    def __init__(
        self,
        hidden: list[int],
        activation: str,
        loss: str,
        optimizer: Callable[[Iterator[nn.Parameter]], Optimizer] | None = None,
        inputs: int = 2,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["optimizer", "scheduler"])
        self.net = SimpleNet(hidden, activation, inputs)
        self.loss = LOSSES[loss]
        self.optimizer = optimizer
        self.scheduler = scheduler

    @override
    def forward(self, points: Tensor) -> Tensor:
        """Return the probability, ``[n, 1]``, that each of the points, ``[n, inputs]``, is of class 1."""
        return torch.sigmoid(self.net(points))

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        points, classes = batch
        return self.loss(self.net(points), classes)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._log_scores(batch, "val")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._log_scores(batch, "test")

    @override
    def on_test_epoch_end(self) -> None:
        """Log how far the line that was learned is from the one that was given, where the data have one."""
        line = getattr(getattr(self.trainer, "datamodule", None), "line", None)
        if line is not None:
            differences = compare_lines(self.net, line, like=next(self.parameters()))
            self.log_dict({f"test/line_{name}": value for name, value in differences.items()})

    def _log_scores(self, batch: Batch, stage: str) -> None:
        points, classes = batch
        logits = self.net(points)
        correct = (logits > 0) == classes.bool()
        scores = {f"{stage}/loss": self.loss(logits, classes), f"{stage}/accuracy": correct.float().mean()}
        self.log_dict(scores, batch_size=len(points))

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, and its schedule: each epoch is a step of it, on a plateau each validated epoch."""
        if not self.optimizer:
            return None
        optimizer = self.optimizer(self.parameters())
        if not self.scheduler:
            return optimizer
        scheduler = self.scheduler(optimizer)
        frequency = self.trainer.check_val_every_n_epoch if isinstance(scheduler, ReduceLROnPlateau) else 1
        config = LRSchedulerConfigType(scheduler=scheduler, monitor="val/loss", frequency=frequency or 1)
        return {"optimizer": optimizer, "lr_scheduler": config}
