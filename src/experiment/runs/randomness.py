"""The random streams of training: what an epoch draws depends on the seed and the epoch, not on earlier starts."""

import functools
import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer

from experiment.runs.callback import LeanCallback

BLOCK = 1024  # epochs whose seeds are made at once


class Randomness(LeanCallback):
    """Seeds each epoch, and what is scored after the last; a checkpoint within an epoch holds the streams' state."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loaded: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the streams where a checkpoint within an epoch left them."""
        if self.loaded and trainer.fit_loop.restarted_mid_epoch:
            _set_state(self.loaded)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch."""
        self._seed(trainer.current_epoch)
        if self.loaded and trainer.current_epoch > 0:
            # A loader draws when its iterator is made: within the epoch, except for the first epoch of a start,
            # where Lightning makes it beforehand. Here it is made again, at the same place in the streams.
            iter(trainer.fit_loop._data_fetcher)  # type: ignore[arg-type]
        self.loaded = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Seed what is scored after training: this start need not be the one that trained."""
        if stage != "fit":
            self._seed(trainer.current_epoch)

    def _seed(self, epoch: int) -> None:
        block, place = divmod(epoch, BLOCK)
        seed = _seeds(self.seed, block)[place]
        random.seed(seed)
        np.random.seed(seed)
        # What torch.manual_seed does; but for devices that are not there it notes down each time where it was called.
        torch.default_generator.manual_seed(seed)
        if torch.accelerator.is_available():
            torch.get_device_module().manual_seed_all(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every stream."""
        return _state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep what ``state_dict`` returned until training starts."""
        self.loaded = state_dict


@functools.lru_cache(maxsize=1)
def _seeds(seed: int, block: int) -> list[int]:
    """Return the seeds of a block of epochs."""
    return [int(each) for each in np.random.SeedSequence([seed, block]).generate_state(BLOCK)]


def _state() -> dict[str, Any]:
    """Return the state of every stream, as plain data and tensors."""
    name, keys, *rest = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if torch.accelerator.is_available():
        state["accelerator"] = torch.get_device_module().get_rng_state()
    return state


def _set_state(state: dict[str, Any]) -> None:
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if "accelerator" in state and torch.accelerator.is_available():
        torch.get_device_module().set_rng_state(state["accelerator"])
