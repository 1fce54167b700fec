"""Pruning: stops a trial of a search whose objective is worse than the median of the trials before it."""

import math
from pathlib import Path

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.pruners import MedianPruner
from optuna.trial import Trial
from typing_extensions import override

from experiment.runs.distributed import agree, is_first_rank
from experiment.runs.signals import RunStopped
from experiment.sweeps.study import open_journal


class Pruning(Callback):
    """Reports the objective to a study after each validation, and raises ``RunStopped`` if the trial is to be pruned.

    A search adds it to its runs through ``hydra.sweeper.callbacks``.

    Args:
        path: of the study's file.
        study: its name.
        number: of the trial.
        metric: the name of the objective.
    """

    def __init__(self, path: Path, study: str, number: int, metric: str) -> None:
        self.metric = metric
        self.study = optuna.load_study(storage=open_journal(path), study_name=study, pruner=MedianPruner())
        self.trial = Trial(self.study, self.study.trials[number]._trial_id)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = float(trainer.callback_metrics.get(self.metric, math.nan))
        if trainer.sanity_checking or not math.isfinite(value):
            return
        if agree(trainer, is_first_rank() and self._is_worse(value, trainer.global_step)):
            result = f"{self.metric} {value:.4g} is worse than the median"
            raise RunStopped(f"pruned after {trainer.global_step} steps: {result}")

    def _is_worse(self, value: float, step: int) -> bool:
        """Report a value to the study, unless the run was resumed and has reported it, and ask for its judgement."""
        if step in self.study.trials[self.trial.number].intermediate_values:
            return False
        self.trial.report(value, step)
        return self.trial.should_prune()
