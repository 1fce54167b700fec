"""Where training can be resumed exactly: always between epochs; within one, unless something has state there."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader
from torchmetrics import Metric

from experiment.runs.callback import is_users_own

# With these, Lightning resumes inexactly within an epoch.
INEXACT_CALLBACKS = (GradientAccumulationScheduler, StochasticWeightAveraging)
# A module or a callback that overrides one of these may gather something over an epoch that no checkpoint holds.
EPOCH_HOOKS = ("on_train_epoch_start", "on_train_batch_start", "on_train_batch_end", "on_train_epoch_end")


def why_not_within_epoch(trainer: Trainer) -> str | None:
    """Return why a state that is saved within an epoch could not be resumed exactly, ``None`` if it can be."""
    module = trainer.lightning_module
    loaders = CombinedLoader(trainer.train_dataloader).flattened
    if not is_stateful(trainer) and not all(isinstance(each, DataLoader) for each in loaders):
        return "the training data's loader has no state_dict and is no DataLoader"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, INEXACT_CALLBACKS) or _gathers_over_epoch(callback):
            return f"the callback {type(callback).__name__} resumes exactly only there"
    if any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs):
        return "ReduceLROnPlateau resumes exactly only there"
    for hook in EPOCH_HOOKS:
        if is_overridden(hook, module, LightningModule):
            return f"{type(module).__name__} has {hook}"
    if any(isinstance(each, Metric) and each.update_called for each in module.modules()):
        return "its metrics gather over an epoch"
    if any(result.meta.on_epoch for result in _training_results(trainer)):
        return f"{type(module).__name__} logs means over an epoch"
    return None


def is_stateful(trainer: Trainer) -> bool:
    """Whether the loaders of the training data save where they are within an epoch."""
    loaders = CombinedLoader(trainer.train_dataloader).flattened
    return all(hasattr(each, "state_dict") and hasattr(each, "load_state_dict") for each in loaders)


def _gathers_over_epoch(callback: Callback) -> bool:
    """Whether a callback that is neither Lightning's nor this project's may gather something over an epoch."""
    return (
        is_users_own(callback)
        and any(is_overridden(hook, callback, Callback) for hook in EPOCH_HOOKS)
        and not callback.state_dict()
    )


def _training_results(trainer: Trainer) -> list[Any]:
    return list(trainer.fit_loop.epoch_loop._results.values())


def why_workers_are_inexact(trainer: Trainer) -> str | None:
    """Return why random transforms of the data cannot be resumed exactly, ``None`` if they can be."""
    for loaders in (trainer.train_dataloader, trainer.val_dataloaders):
        for loader in CombinedLoader(loaders).flattened if loaders is not None else ():
            if isinstance(loader, DataLoader) and loader.num_workers and loader.persistent_workers:
                return "the workers of a DataLoader persist: with persistent_workers=False they can be"
    return None
