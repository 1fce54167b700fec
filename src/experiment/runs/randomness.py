"""The random streams of training: what an epoch draws depends on the seed and the epoch, not on earlier starts."""

import functools
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.data import _set_sampler_epoch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils.data import DataLoader
from typing_extensions import override

from experiment.runs.callback import LeanCallback
from experiment.runs.resumability import is_stateful

BLOCK = 1024  # epochs whose seeds are made at once
MAX_RUNS = 1024  # that are trained together


class Randomness(LeanCallback):
    """Seeds each epoch, and what is scored after the last; a checkpoint within an epoch holds the streams' state.

    A loader draws when its iterator is made. In the first epoch of a start, Lightning makes it before training: there
    it is made again, after the seed, so that it is the same one in every start.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loaded: dict[str, Any] | None = None
        self.is_first_epoch = True  # of this start
        self.generators: dict[torch.Generator, int] = {}  # of the training data's loaders, with their own seeds

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loaders = [each for each in CombinedLoader(trainer.train_dataloader).flattened if isinstance(each, DataLoader)]
        self.generators = own_generators(loaders)
        if self.loaded and trainer.fit_loop.restarted_mid_epoch:
            if not is_stateful(trainer):
                self._skip_batches(trainer)
            set_streams(self.loaded)
            self.is_first_epoch = False

    def _skip_batches(self, trainer: Trainer) -> None:
        """Draw the batches of the epoch that are trained already: a loader without state begins with the first."""
        self._seed(trainer.current_epoch)
        for loader in CombinedLoader(trainer.train_dataloader).flattened:
            _set_sampler_epoch(loader, trainer.current_epoch)
        fetcher: Any = trainer.fit_loop._data_fetcher
        iter(fetcher)
        trained = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        for _ in range(trained):
            next(fetcher)
        fetcher.fetched -= trained  # Lightning adds them

    @override
    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seed(trainer.current_epoch)
        if self.is_first_epoch:
            iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]
        self.is_first_epoch, self.loaded = False, None

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":  # it may be another start that scores than the one that trained
            self._seed(trainer.current_epoch)

    def _seed(self, epoch: int) -> None:
        seed_epoch(self.seed, epoch)
        for generator, own_seed in self.generators.items():
            generator.manual_seed(own_seed + epoch)

    @override
    def state_dict(self) -> dict[str, Any]:
        return get_streams()

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until training starts."""
        self.loaded = state_dict


def own_generators(loaders: Iterable[DataLoader[Any]]) -> dict[torch.Generator, int]:
    """Return the generators that loaders draw from instead of torch's default one, with their seeds."""
    generators = [each.generator or getattr(each.sampler, "generator", None) for each in loaders]
    return {each: each.initial_seed() for each in generators if each is not None}


def seed_epoch(seed: int, epoch: int) -> None:
    """Let every stream begin where it begins in an epoch of a run with that seed."""
    block, place = divmod(epoch, BLOCK)
    seed_streams(int(_seeds(seed, block)[place]))


def seed_streams(seed: int) -> None:
    """Seed every stream."""
    random.seed(seed)
    np.random.seed(seed)
    # As torch.manual_seed does, which however traces its caller for each kind of device that is absent.
    torch.default_generator.manual_seed(seed)
    if torch.accelerator.is_available():
        torch.get_device_module().manual_seed_all(seed)


@functools.lru_cache(maxsize=MAX_RUNS)
def _seeds(seed: int, block: int) -> np.ndarray:
    """Return the seeds of a block of epochs."""
    return np.random.SeedSequence([seed, block]).generate_state(BLOCK)


def get_streams() -> dict[str, Any]:
    """Return the state of every stream, as plain data and tensors."""
    version, internal, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()
    state = {
        "python": [version, torch.from_numpy(np.array(internal, dtype=np.int64)), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if torch.accelerator.is_available():
        state["accelerator"] = torch.get_device_module().get_rng_state()
    return state


def set_streams(state: dict[str, Any]) -> None:
    """Set the state of every stream."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal.tolist()), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "accelerator" in state and torch.accelerator.is_available():
        torch.get_device_module().set_rng_state(state["accelerator"])
