"""The points as a LightningDataModule, in batches whose order can be resumed."""

import functools
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import SequentialSampler
from typing_extensions import override

from experiment.points import shapes
from experiment.points.boundaries import given_boundary
from experiment.runs.report import is_in_sweep

log = logging.getLogger("run")  # of the run's log file; on the terminal, its warnings alone

EVALUATION_BATCH = 65536  # limits the memory of validation and testing; the scores are means over all points
RARE = 0.05  # a class of fewer training points than this share is reported
# Of more points than MANY, up to GROUP neighbours stay together in a shuffle, if a batch holds at least GROUP groups:
# ten million points are gathered in 0.05 s instead of 1 s. Neighbours are independent draws, so nothing is biased.
MANY, GROUP = 2**20, 64


class Batches:
    """A data loader that slices tensors into batches.

    A shuffled order depends on the seed and the epoch alone, and the position within an epoch can be saved, so that a
    run resumes within an epoch. Lightning calls ``set_epoch`` of a loader's ``sampler``, and saves the state of a
    loader that has a ``batch_sampler``.

    Args:
        tensors: of the same length; row i of each belongs to item i.
        batch_size: rows of a batch, the last one smaller; ``None``: all rows.
        seed: of the shuffling; ``None``: rows keep their order.
        shard: ``(rank, world_size)`` where several processes train. A batch that divides evenly is divided among them,
            so that the mean of their losses is that of the batch; of any other batch each process takes all rows.
    """

    batch_sampler = None

    def __init__(
        self, *tensors: Tensor, batch_size: int | None = None, seed: int | None = None, shard: tuple[int, int] = (0, 1)
    ) -> None:
        self.tensors = tensors
        self.batch_size = min(batch_size or len(tensors[0]), len(tensors[0]))
        self.seed = seed
        self.rank, self.world_size = shard
        # Lightning takes any other sampler than torch's sequential one for a shuffling one.
        self.sampler = SequentialSampler(tensors[0]) if seed is None else self
        self.epoch = 0
        self.yielded = 0  # batches of the current epoch
        self.skipped = 0  # batches at the beginning of the next epoch, which an earlier start has trained on

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Return the position within the epoch."""
        return {"yielded": self.yielded}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Let the next iteration start at a saved position, or at the beginning if that was the end of an epoch."""
        self.skipped = state_dict["yielded"] % len(self)

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        first, self.skipped = self.skipped, 0
        batches = self._in_order(first) if self.seed is None or len(self) == 1 else self._shuffled(first, self.seed)
        for number, batch in enumerate(batches, first + 1):
            self.yielded = number
            yield batch

    def _in_order(self, first: int) -> Iterator[tuple[Tensor, ...]]:
        for start in range(first * self.batch_size, len(self.tensors[0]), self.batch_size):
            yield tuple(self._take_shard(tensor[start : start + self.batch_size]) for tensor in self.tensors)

    def _shuffled(self, first: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
        count = len(self.tensors[0])
        grouped = count > MANY and self.batch_size >= GROUP * GROUP
        size = math.gcd(count, self.batch_size, GROUP) if grouped else 1
        groups = [tensor.view(-1, size, *tensor.shape[1:]) for tensor in self.tensors]
        order = torch.from_numpy(shapes.epoch_order(count // size, seed, self.epoch))
        for batch in order.split(self.batch_size // size)[first:]:
            indices = self._take_shard(batch)
            yield tuple(tensor.index_select(0, indices).flatten(0, 1) for tensor in groups)

    def is_divided(self, number: int) -> bool:
        """Return whether the batch of that number, from 0, is divided among the processes."""
        rows = min(self.batch_size, len(self.tensors[0]) - number * self.batch_size)
        return rows % self.world_size == 0

    @staticmethod
    def joined(loaders: Sequence["Batches"]) -> "StackedBatches | None":
        """Return a loader of the stacked batches of loaders, ``None`` where their rows cannot be stacked."""
        same = {(len(each.tensors[0]), each.batch_size, each.seed is None) for each in loaders}
        return StackedBatches(loaders) if len(same) == 1 and len(loaders[0].tensors[0]) <= MANY else None

    def _take_shard(self, batch: Tensor) -> Tensor:
        return batch if len(batch) % self.world_size else batch.tensor_split(self.world_size)[self.rank]


class StackedBatches(Batches):
    """The batches of several loaders of the same length, stacked: row i is the batch of loader i.

    The same tensors are yielded in each epoch that has one batch.
    """

    def __init__(self, loaders: Sequence[Batches]) -> None:
        stacked = [torch.stack(rows) for rows in zip(*(each.tensors for each in loaders), strict=True)]
        super().__init__(*loaders[0].tensors, batch_size=loaders[0].batch_size, seed=loaders[0].seed)
        self.seeds, self.stacked = [each.seed for each in loaders], tuple(stacked)

    @override
    def _in_order(self, first: int) -> Iterator[tuple[Tensor, ...]]:
        if len(self) == 1:
            yield self.stacked
            return
        starts = range(first * self.batch_size, len(self.tensors[0]), self.batch_size)
        for start in starts:
            yield tuple(tensor[:, start : start + self.batch_size] for tensor in self.stacked)

    @override
    def _shuffled(self, first: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
        count = len(self.tensors[0])
        orders = np.stack([shapes.epoch_order(count, each or 0, self.epoch) for each in self.seeds])
        rows = torch.arange(len(orders))[:, None]
        for indices in torch.from_numpy(orders).split(self.batch_size, dim=1)[first:]:
            yield tuple(tensor[rows, indices] for tensor in self.stacked)


class PointsDataModule(LightningDataModule):
    """Points of the plane, each of class 0 or 1, to train, validate and test on.

    A batch is the points, ``[n, 2]``, and their classes, ``[n, 1]``, both float32.

    Args:
        shape: a key of ``shapes.SHAPES``.
        num_points, num_val, num_test: points to train, validate and test on.
        noise: how far it spreads the points of a shape that takes it; of any other, the probability that a training
            label is flipped.
        batch_size: points of a training batch; ``None``: all.
        seed: of all random streams.
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
        super().__init__()
        is_spread = shapes.is_spread_by_noise(shape)
        self.shape, self.parameters, self.seed = shape, parameters | ({"noise": noise} if is_spread else {}), seed
        self.num_points, self.num_val, self.num_test = num_points, num_val, num_test
        self.flipped, self.batch_size = 0.0 if is_spread else noise, batch_size

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
    def line(self) -> Sequence[float] | None:
        """The line ``(a, b, c)`` that separates the classes, ``None`` for another shape."""
        return self.parameters.get("line")

    @property
    def boundary(self) -> np.ndarray | None:
        """Points, ``[n, 2]``, along the line that separates the classes; ``None`` for a shape without one."""
        return given_boundary(self.shape, self.parameters)

    @override
    def train_dataloader(self) -> Batches:
        shard = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0  # the same batches in each epoch
        return Batches(*self.training, batch_size=self.batch_size, seed=None if overfits else self.seed, shard=shard)

    @functools.cached_property
    def training(self) -> tuple[Tensor, Tensor]:
        """The training points and their classes, drawn once: the pictures show them too."""
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
