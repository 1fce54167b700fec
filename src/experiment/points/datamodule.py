"""The points as batches."""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor

from experiment.points import shapes as points

EVALUATION_BATCH = 65536  # bounds the memory of scoring; the scores are means over all points
# Of more points than MANY, in batches of at least GROUP groups, up to GROUP neighbours stay together in a shuffle: ten
# million are gathered in 0.05 s, one by one in a second. It makes no difference where neighbours are independent draws.
MANY, GROUP = 2**20, 64


class Batches:
    """Batches of tensors, sliced: where it shuffles, an epoch's order is a function of the seed and the epoch alone.

    Lightning tells the epoch to the ``sampler`` of whatever it trains on, asks for a ``batch_sampler``, and saves the
    state of a loader that has one: a run can be taken up within an epoch.

    Args:
        batch_size: rows of a batch, the last one smaller; ``None``: all.
        seed: of the order; ``None``: as the rows stand.
        part: ``(rank, processes)``, of several processes: they divide a batch where that is even, so that the mean of
            their losses is the batch's; each takes all of another.
    """

    batch_sampler = None

    def __init__(
        self, *tensors: Tensor, batch_size: int | None = None, seed: int | None = None, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.tensors = tensors
        self.batch_size = min(batch_size or len(tensors[0]), len(tensors[0]))
        self.seed = seed
        self.rank, self.processes = part
        self.sampler = self
        self.epoch = self.given = self.skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the pass are given."""
        return {"given": self.given}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Begin the next pass after the batches that were given; from the beginning, if those were all."""
        self.skipped = state_dict["given"] % len(self)

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        first, self.skipped = self.skipped, 0
        batches = self._in_order(first) if self.seed is None or len(self) == 1 else self._shuffled(first, self.seed)
        for number, batch in enumerate(batches, first + 1):
            self.given = number
            yield batch

    def _in_order(self, first: int) -> Iterator[tuple[Tensor, ...]]:
        for start in range(first * self.batch_size, len(self.tensors[0]), self.batch_size):
            yield tuple(self._part(tensor[start : start + self.batch_size]) for tensor in self.tensors)

    def _shuffled(self, first: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
        count = len(self.tensors[0])
        grouped = count > MANY and self.batch_size >= GROUP * GROUP
        together = math.gcd(count, self.batch_size, GROUP) if grouped else 1
        groups = [tensor.view(-1, together, *tensor.shape[1:]) for tensor in self.tensors]
        order = torch.from_numpy(points.order(count // together, seed, self.epoch))
        for chosen in order.split(self.batch_size // together)[first:]:
            mine = self._part(chosen)
            yield tuple(each.index_select(0, mine).flatten(0, 1) for each in groups)

    def _part(self, batch: Tensor) -> Tensor:
        return batch if len(batch) % self.processes else batch.tensor_split(self.processes)[self.rank]


class PointsDataModule(LightningDataModule):
    """Points of the plane, with a class each, to train, validate and test on.

    A batch is the points, ``[n, 2]``, and their classes, ``[n, 1]``, 0 or 1, both float32.

    Args:
        shape: the function of ``points.py`` that makes them; ``parameters`` are its arguments.
        batch_size: points a training step; ``None``: all.
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
        self.shape, self.parameters, self.seed = shape, parameters, seed
        self.num_points, self.num_val, self.num_test = num_points, num_val, num_test
        self.noise, self.batch_size = noise, batch_size

    def train_dataloader(self) -> Batches:
        """Return all points in one batch, or shuffled mini-batches."""
        part = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Batches(*self.training, batch_size=self.batch_size, seed=self.seed, part=part)

    @functools.cached_property
    def training(self) -> tuple[Tensor, Tensor]:
        """The points to train on and their classes, made once: pictures show them too."""
        made = points.training(self.shape, self.num_points, self.noise, self.seed, **self.parameters)
        return _tensors(made, self.num_points)

    def val_dataloader(self) -> Batches:
        """Return the points to validate on."""
        return self._held_out(self.num_val, points.VALIDATION)

    def test_dataloader(self) -> Batches:
        """Return the points to test on."""
        return self._held_out(self.num_test, points.TEST)

    def _held_out(self, count: int, stream: int) -> Batches:
        made = points.held_out(self.shape, count, stream, self.seed, **self.parameters)
        return Batches(*_tensors(made, count), batch_size=EVALUATION_BATCH)


def _tensors(parts: Iterable[points.Points], count: int) -> tuple[Tensor, Tensor]:
    coordinates, classes = torch.empty(count, 2), torch.empty(count, 1)
    end = 0
    for some, theirs in parts:
        start, end = end, end + len(some)
        coordinates[start:end] = torch.from_numpy(some)
        classes[start:end, 0] = torch.from_numpy(theirs)
    return coordinates, classes
