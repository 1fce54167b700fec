"""Data loaders that slice tensors into batches, in an order that can be resumed."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import SequentialSampler
from typing_extensions import override

from experiment.points import shapes

# Of more points than MANY, up to GROUP neighbours stay together in a shuffle, if a batch holds at least GROUP groups:
# ten million points are gathered in 0.05 s instead of 1 s. Neighbours are independent draws, so nothing is biased.
MANY, GROUP = 2**20, 64
MOST_REPEATED = 4  # times the rows of the longest of several loaders


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
        self.order: np.ndarray | None = None  # of the rows in the current epoch; ``None``: they keep it
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
        order = shapes.epoch_order(count // size, seed, self.epoch)
        self.order = order
        for batch in torch.from_numpy(order).split(self.batch_size // size)[first:]:
            indices = self._take_shard(batch)
            yield tuple(tensor.index_select(0, indices).flatten(0, 1) for tensor in groups)

    def rows(self, number: int) -> np.ndarray:
        """Return the rows of a batch of the current epoch by its number, from 0: those of all processes.

        Not where neighbours stay together in the order.
        """
        start = number * self.batch_size
        if self.order is None:
            return np.arange(start, min(start + self.batch_size, len(self.tensors[0])))
        return self.order[start : start + self.batch_size]

    def is_divided(self, number: int) -> bool:
        """Return whether the batch of that number, from 0, is divided among the processes."""
        rows = min(self.batch_size, len(self.tensors[0]) - number * self.batch_size)
        return rows % self.world_size == 0

    @staticmethod
    def joined(loaders: Sequence["Batches"]) -> "StackedBatches | None":
        """Return a loader of the stacked batches of loaders, ``None`` where their rows cannot be stacked.

        Rows of different numbers are repeated until there are as many of each: a mean over them stays what it is.
        """
        counts = {len(each.tensors[0]) for each in loaders}
        repeated = math.lcm(*counts)
        if max(counts) > MANY or repeated > MOST_REPEATED * max(counts):
            return None
        same = {(len(each), each.seed is None) for each in loaders}
        is_alike = len(counts) == 1 and len({each.batch_size for each in loaders}) == 1
        return StackedBatches(loaders, repeated) if len(same) == 1 and (is_alike or len(loaders[0]) == 1) else None

    def _take_shard(self, batch: Tensor) -> Tensor:
        return batch if len(batch) % self.world_size else batch.tensor_split(self.world_size)[self.rank]


class StackedBatches(Batches):
    """The batches of several loaders of the same length, stacked: row i is the batch of loader i.

    The same tensors are yielded in each epoch that has one batch.

    Args:
        loaders: of batches.
        rows: to which those of each loader are repeated.

    Attributes:
        counts: how many rows each loader has of its own, ``None`` where none are repeated.
    """

    def __init__(self, loaders: Sequence[Batches], rows: int) -> None:
        tensors = [[_repeat(tensor, rows) for tensor in each.tensors] for each in loaders]
        batch_size = loaders[0].batch_size if len(loaders[0]) > 1 else rows
        super().__init__(*tensors[0], batch_size=batch_size, seed=loaders[0].seed)
        counts = [len(each.tensors[0]) for each in loaders]
        self.counts = counts if min(counts) < rows else None
        self.seeds = [each.seed for each in loaders]
        self.stacked = tuple(torch.stack(each) for each in zip(*tensors, strict=True))

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


def _repeat(tensor: Tensor, rows: int) -> Tensor:
    return tensor if len(tensor) == rows else tensor.repeat(rows // len(tensor), *(1 for _ in tensor.shape[1:]))
