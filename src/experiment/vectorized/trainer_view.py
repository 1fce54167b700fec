"""The trainer as a module sees it that stands for several runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from lightning.pytorch import LightningDataModule, Trainer
from typing_extensions import override

from experiment.vectorized.refusal import NotVectorizable

# What is the same for all runs. How long training lasts is not here: only a run alone notes that it depends on that.
SHARED = {"current_epoch", "global_step", "training", "validating", "testing", "sanity_checking", "evaluating", "state"}
SHARED |= {"num_training_batches", "is_last_batch", "log_every_n_steps", "check_val_every_n_epoch", "global_rank"}
SHARED |= {"world_size", "local_rank", "is_global_zero", "num_devices", "precision", "accumulate_grad_batches"}
SHARED |= {"gradient_clip_val", "overfit_batches", "fit_loop"}


class TrainerView:
    """Lets the module of a run read of the trainer what is the same for all runs, and refuses the rest.

    Args:
        trainer: of all runs.
        data: of the run.

    Raises:
        NotVectorizable: something else is read, or anything is set.
    """

    def __init__(self, trainer: Trainer, data: LightningDataModule) -> None:
        object.__setattr__(self, "_viewed", trainer)
        object.__setattr__(self, "_data", data)
        object.__setattr__(self, "_shows_data", False)
        object.__setattr__(self, "_is_hidden", False)
        object.__setattr__(self, "_refusal", None)

    @contextmanager
    def showing_data(self) -> Iterator[None]:
        """Let the module read the run's data, while it computes nothing for other runs."""
        object.__setattr__(self, "_shows_data", True)
        try:
            yield
        finally:
            object.__setattr__(self, "_shows_data", False)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Let the module read nothing.

        Raises:
            NotVectorizable: when it ends, if the module has tried to, even if it has caught the error.
        """
        object.__setattr__(self, "_is_hidden", True)
        object.__setattr__(self, "_refusal", None)
        try:
            yield
            self.check()
        finally:
            object.__setattr__(self, "_is_hidden", False)
            object.__setattr__(self, "_refusal", None)

    def check(self) -> None:
        """Check that nothing was refused: a module may have caught the error.

        Raises:
            NotVectorizable: something was.
        """
        if self._refusal:
            raise NotVectorizable(self._refusal)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "datamodule" and object.__getattribute__(self, "_shows_data"):
            return object.__getattribute__(self, "_data")
        if name not in SHARED or self._is_hidden:
            self._refuse(f"its module uses self.trainer.{name}")
        return getattr(object.__getattribute__(self, "_viewed"), name)

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        self._refuse(f"its module sets self.trainer.{name}")

    def _refuse(self, reason: str) -> NoReturn:
        object.__setattr__(self, "_refusal", reason)
        raise NotVectorizable(reason)
