"""Pruning: a trial of a search that does worse than half of those before it is stopped."""

import math
from pathlib import Path

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.pruners import MedianPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial

from experiment.runs.signals import RunStopped


class Pruning(Callback):
    """Reports ``val/loss`` to a study after each validation, and raises ``RunStopped`` where the trial is hopeless.

    Args:
        path: of the study's file.
        study: its name.
        number: of the trial.
    """

    def __init__(self, path: Path, study: str, number: int) -> None:
        storage = JournalStorage(JournalFileBackend(str(path)))
        self.study = optuna.load_study(storage=storage, study_name=study, pruner=MedianPruner())
        self.trial = Trial(self.study, self.study.trials[number]._trial_id)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report, and see whether it is worth going on."""
        loss = float(trainer.callback_metrics.get("val/loss", math.nan))
        if trainer.sanity_checking or not math.isfinite(loss) or trainer.global_step in self._reported:
            return
        self.trial.report(loss, trainer.global_step)
        if self.trial.should_prune():
            raise RunStopped(f"pruned after {trainer.global_step} steps: val/loss {loss:.4g} is worse than the median")

    @property
    def _reported(self) -> dict[int, float]:
        return self.study.trials[self.trial.number].intermediate_values
