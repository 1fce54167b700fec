"""The points as a LightningDataModule."""

import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor
from typing_extensions import override

from experiment.points import shapes
from experiment.points.batches import Batches
from experiment.points.boundaries import given_boundary
from experiment.runs.report import is_in_sweep

log = logging.getLogger("run")  # of the run's log file; on the terminal, its warnings alone

EVALUATION_BATCH = 65536  # limits the memory of validation and testing; the scores are means over all points
RARE = 0.05  # a class of fewer training points than this share is reported


class LabelledPoints(LightningDataModule):
    """Points, each of class 0 or 1, to train, validate and test on.

    A batch is the points, ``[n, inputs]``, and their classes, ``[n, 1]``, both float32.

    Args:
        batch_size: points of a training batch; ``None``: all.
        seed: of all random streams.

    Attributes:
        inputs: the names of the coordinates.
    """

    inputs: Sequence[str] = ("x", "y")

    def __init__(self, batch_size: int | None, seed: int) -> None:
        super().__init__()
        self.batch_size, self.seed = batch_size, seed

    @property
    def line(self) -> Sequence[float] | None:
        """The line ``(a, b, c)`` that separates the classes, ``None`` if there is none, or it is not known."""
        return None

    @property
    def boundary(self) -> np.ndarray | None:
        """Points, ``[n, 2]``, along what separates the classes; ``None`` if that is no line, or not known."""
        return None

    @property
    def training(self) -> tuple[Tensor, Tensor]:
        """The training points and their classes; the pictures show them too."""
        raise NotImplementedError

    @override
    def train_dataloader(self) -> Batches:
        shard = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0  # the same batches in each epoch
        return Batches(*self.training, batch_size=self.batch_size, seed=None if overfits else self.seed, shard=shard)


class PointsDataModule(LabelledPoints):
    """Points of the plane that a shape draws.

    Args:
        shape: a key of ``shapes.SHAPES``.
        num_points, num_val, num_test: points to train, validate and test on.
        noise: how far it spreads the points of a shape that takes it; of any other, the probability that a training
            label is flipped.
        batch_size, seed: as for ``LabelledPoints``.
        parameters: further arguments of the shape.
    """

    def __init__(
        self,
        shape: str,
        num_points: int,
        num_val: int,
        num_test: int,
        noise: float,
        batch_size: int | None,
        seed: int,
        **parameters: Any,
    ) -> None:
        super().__init__(batch_size, seed)
        is_spread = shapes.is_spread_by_noise(shape)
        self.shape, self.parameters = shape, parameters | ({"noise": noise} if is_spread else {})
        self.num_points, self.num_val, self.num_test = num_points, num_val, num_test
        self.flipped = 0.0 if is_spread else noise

    @override
    def setup(self, stage: str) -> None:
        # Runs that are trained together have no trainer of their own, and no line on the terminal.
        if stage == "fit" and isinstance(self.trainer, Trainer) and (problem := self._describe_rare_class()):
            log.log(logging.INFO if is_in_sweep() else logging.WARNING, problem)

    def _describe_rare_class(self) -> str | None:
        """Return in words that a class is rare or absent among the training points, ``None`` if neither is."""
        of_class_1 = int(self.training[1].sum())
        label, count = min((0, self.num_points - of_class_1), (1, of_class_1), key=lambda each: each[1])
        if count >= RARE * self.num_points:
            return None
        keys = ", ".join(f"data.{key}={value}" for key, value in {"shape": self.shape, **self.parameters}.items())
        amount = f"only {count:,} are" if count > 1 else "only 1 is" if count else "none is"
        return f"Of the {self.num_points:,} training points, {amount} of class {label}: {keys}"

    @property
    @override
    def line(self) -> Sequence[float] | None:
        return self.parameters.get("line")

    @property
    @override
    def boundary(self) -> np.ndarray | None:
        return given_boundary(self.shape, self.parameters)

    @functools.cached_property
    def training(self) -> tuple[Tensor, Tensor]:
        """The training points and their classes, drawn once."""
        chunks = shapes.training_points(self.shape, self.num_points, self.flipped, self.seed, **self.parameters)
        return _join(chunks, self.num_points)

    @override
    def val_dataloader(self) -> Batches:
        return self._held_out(self.num_val, shapes.VALIDATION)

    @override
    def test_dataloader(self) -> Batches:
        return self._held_out(self.num_test, shapes.TEST)

    def _held_out(self, count: int, stream: int) -> Batches:
        chunks = shapes.held_out_points(self.shape, count, stream, self.seed, **self.parameters)
        return Batches(*_join(chunks, count), batch_size=EVALUATION_BATCH)


def _join(chunks: Iterable[shapes.Points], count: int) -> tuple[Tensor, Tensor]:
    """Return points, ``[count, 2]``, and classes, ``[count, 1]``, as float32, without a float64 copy of them all."""
    points, classes = torch.empty(count, 2), torch.empty(count, 1)
    end = 0
    for coordinates, labels in chunks:
        start, end = end, end + len(coordinates)
        points[start:end] = torch.from_numpy(coordinates)
        classes[start:end, 0] = torch.from_numpy(labels)
    return points, classes
