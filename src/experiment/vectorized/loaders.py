"""The data of several runs: batches of all of them at once, each as its run alone would get it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.fabric.utilities.data import _auto_add_worker_init_fn, _set_sampler_epoch, sized_len
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.data import DataLoader
from typing_extensions import override

from experiment.runs.randomness import own_generators
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.streams import Streams


class Lockstep:
    """Iterates the loaders of several runs together, and stacks their batches: row i is the batch of run i.

    Args:
        loaders: of the runs.
        streams: from which they draw.
        is_training: whether their own generators begin anew in each epoch, as those of training data do.

    Raises:
        NotVectorizable: they share a generator.
    """

    batch_sampler = None

    def __init__(self, loaders: Sequence[Any], streams: Streams, is_training: bool) -> None:
        self.loaders, self.streams = loaders, streams
        seeded = [[each] if is_training and isinstance(each, DataLoader) else [] for each in loaders]
        self.generators = [own_generators(each) for each in seeded]
        generators = [generator for own in self.generators for generator in own]
        if len({*generators}) < len(generators):
            raise NotVectorizable("their loaders share a generator")
        self.sampler = self
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch
        for loader in self.loaders:
            _set_sampler_epoch(loader, epoch)

    def __len__(self) -> int:
        return len(self.loaders[0])

    def __iter__(self) -> Iterator[Any]:
        iterators = []
        for run, (loader, generators) in enumerate(zip(self.loaders, self.generators, strict=True)):
            for generator, seed in generators.items():
                generator.manual_seed(seed + self.epoch)
            with self.streams.of(run):
                iterators.append(iter(loader))
        for _ in range(len(self)):
            batches = []
            for run, iterator in enumerate(iterators):
                with self.streams.of(run):
                    batches.append(next(iterator))
            yield stack_batches(batches)


def stack_batches(batches: Sequence[Any]) -> Any:
    """Stack the tensors of batches.

    Raises:
        NotVectorizable: they have different shapes, or hold something else than tensors.
    """
    leaves = [tree_flatten(batch)[0] for batch in batches]
    if not all(isinstance(leaf, Tensor) for leaf in leaves[0]):
        raise NotVectorizable("its batches hold other things than tensors")
    if any([leaf.shape for leaf in other] != [leaf.shape for leaf in leaves[0]] for other in leaves):
        raise NotVectorizable("their batches have different shapes")
    stacked = iter([torch.stack(rows) for rows in zip(*leaves, strict=True)])
    return tree_map(lambda _: next(stacked), batches[0])


def join_loaders(loaders: Sequence[Any], streams: Streams, is_training: bool) -> Any:
    """Return a loader of stacked batches: that of the loaders' own class, if it has one.

    Raises:
        NotVectorizable: they are no plain loaders with the same number of batches.
    """
    if any(isinstance(each, list | tuple | dict) or sized_len(each) is None for each in loaders):
        raise NotVectorizable("its data comes from several loaders, or from one without a length")
    if len({len(each) for each in loaders}) > 1:
        raise NotVectorizable("they have different numbers of batches")
    join: Callable[..., Any] | None = getattr(type(loaders[0]), "joined", None)
    joined = join(loaders) if join else None
    return joined if joined is not None else Lockstep(loaders, streams, is_training)


class StackedData(LightningDataModule):
    """The data of several runs as one.

    Args:
        data: of the runs.
        streams: from which its loaders draw.
    """

    def __init__(self, data: Sequence[LightningDataModule], streams: Streams) -> None:
        super().__init__()
        self.data, self.streams = data, streams
        self.moved: tuple[Any, Any] = (None, None)

    @override
    def prepare_data(self) -> None:
        self._call("prepare_data")

    @override
    def setup(self, stage: str) -> None:
        self._call("setup", stage)

    @override
    def teardown(self, stage: str) -> None:
        self._call("teardown", stage)

    @override
    def train_dataloader(self) -> Any:
        return self._join("train")

    @override
    def val_dataloader(self) -> Any:
        return self._join("val")

    @override
    def test_dataloader(self) -> Any:
        return self._join("test")

    def _join(self, split: str) -> Any:
        loaders = self._call(f"{split}_dataloader")
        for each in loaders:
            if isinstance(each, DataLoader):
                _auto_add_worker_init_fn(each, rank=0)  # as Lightning does
        return join_loaders(loaders, self.streams, is_training=split == "train")

    def _call(self, hook: str, *arguments: Any) -> list[Any]:
        """Call a hook of the data of each run."""
        return self.streams.call_each(partial(getattr(each, hook), *arguments) for each in self.data)

    @override
    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch, unless it is the one that was moved before."""
        if self.moved[0] is not batch:
            self.moved = batch, move_data_to_device(batch, device)
        return self.moved[1]
