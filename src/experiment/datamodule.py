"""The points as batches."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor

from experiment import points

EVALUATION_BATCH = 65536  # bounds the memory of scoring; the scores are means over all points


class Batches:
    """Batches of tensors, sliced: where it shuffles, an epoch's order is a function of the seed and the epoch alone.

    Lightning tells the epoch to the ``sampler`` of whatever it trains on, asks for a ``batch_sampler``, and saves the
    state of a loader that has one: a run can be taken up within an epoch.
    """

    batch_sampler = None

    def __init__(self, *tensors: Tensor, batch_size: int | None = None, seed: int | None = None) -> None:
        self.tensors = tensors
        self.batch_size = min(batch_size or len(tensors[0]), len(tensors[0]))
        self.seed = seed
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
        for number, chosen in enumerate(self._order()[first:], first + 1):
            self.given = number
            yield tuple(tensor[chosen] for tensor in self.tensors)

    def _order(self) -> Sequence[Any]:
        """Return what each batch takes of the tensors: a slice, or indices."""
        count = len(self.tensors[0])
        if self.seed is None or self.batch_size == count:
            return [slice(start, start + self.batch_size) for start in range(0, count, self.batch_size)]
        order = torch.from_numpy(points.order(count, self.seed, self.epoch))
        return list(order.split(self.batch_size))


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
        made = points.training(self.shape, self.num_points, self.noise, self.seed, **self.parameters)
        return Batches(*_tensors(made), batch_size=self.batch_size, seed=self.seed)

    def val_dataloader(self) -> Batches:
        """Return the points to validate on."""
        return self._held_out(self.num_val, points.VALIDATION)

    def test_dataloader(self) -> Batches:
        """Return the points to test on."""
        return self._held_out(self.num_test, points.TEST)

    def _held_out(self, count: int, stream: int) -> Batches:
        made = points.held_out(self.shape, count, stream, self.seed, **self.parameters)
        return Batches(*_tensors(made), batch_size=EVALUATION_BATCH)


def _tensors(made: points.Points) -> tuple[Tensor, Tensor]:
    coordinates, classes = made
    return torch.from_numpy(coordinates).float(), torch.from_numpy(classes).float().unsqueeze(1)
