"""One of the runs that are trained together: its directory, what it is made of, and how far it has come."""

from dataclasses import dataclass, field
from typing import Any, cast

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from omegaconf import DictConfig
from torch.optim import Optimizer

from experiment.configuration.objective import Objective
from experiment.runs.best import BestScore
from experiment.runs.checkpoint_files import load_checkpoint
from experiment.runs.checkpoint_places import CheckpointPlaces
from experiment.runs.checkpoints import Checkpoints
from experiment.runs.directory import RunDirectory
from experiment.runs.logger import RunLogger
from experiment.runs.loss import LossMonitor
from experiment.runs.objects import make_model_and_data
from experiment.runs.randomness import get_streams
from experiment.runs.resume import ResumePoint, find_resume_point
from experiment.runs.weights import restore_data
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.trainer_view import TrainerView


@dataclass
class Member:
    """One of the runs that are trained together.

    Attributes:
        index: among these runs.
        directory, config: of the run.
        resume: where it starts.
        model, data, optimizer: its own. While training, model and optimizer hold an older state than the stacked ones.
        best_score: the best value of its objective.
        loss: its first loss, and its newest one.
        is_best: whether the state that comes next is the best one.
        earlier_seconds: of training, in earlier starts.
        is_dropped: whether its loss is not finite: it is left to another engine, which ends it as it ends a single run.
        logger, places: of its directory.
        metrics: that are written when it ends.
        streams: the random streams after model and data were made.
        other_states: that its checkpoint holds of callbacks that this engine leaves out.
    """

    index: int
    directory: RunDirectory
    config: DictConfig
    resume: ResumePoint
    model: LightningModule
    data: LightningDataModule
    optimizer: Optimizer
    best_score: BestScore
    loss: LossMonitor = field(default_factory=LossMonitor)
    is_best: bool = False
    earlier_seconds: float = 0.0
    is_dropped: bool = False
    logger: RunLogger | None = None
    places: CheckpointPlaces = field(init=False)
    metrics: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, Any] = field(default_factory=dict)
    other_states: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, index: int, directory: RunDirectory, config: DictConfig, trainer: Trainer) -> "Member":
        """Make model, data and optimizer of a run, and restore what its checkpoint holds of them.

        Raises:
            NotVectorizable: the model has several optimizers, or a schedule.
        """
        model, data = make_model_and_data(config)
        model = cast(LightningModule, trainer.precision_plugin.convert_module(model))
        streams = get_streams()
        model.trainer = data.trainer = cast(Trainer, TrainerView(trainer, data))
        optimizer = model.configure_optimizers()
        if not isinstance(optimizer, Optimizer):
            raise NotVectorizable("its module configures not one plain optimizer, but several, a schedule, or none")
        best_score, resume = BestScore(Objective.of(config), 0), find_resume_point(directory, config)
        member = cls(index, directory, config, resume, model, data, optimizer, best_score, streams=streams)
        if resume.checkpoint:
            member._restore(load_checkpoint(resume.checkpoint) or {})
        return member

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.model.on_load_checkpoint(checkpoint)
        self.model.load_state_dict(checkpoint["state_dict"], strict=self.model.strict_loading)
        restore_data(self.data, checkpoint)
        self.optimizer.load_state_dict(checkpoint["optimizer_states"][0])
        self.other_states = callbacks = checkpoint["callbacks"]
        saved = callbacks[Checkpoints.__qualname__]
        self.best_score.load_state_dict(saved["best_score"])
        self.is_best, self.earlier_seconds = saved["is_best"], saved["seconds"]
        self.loss.load_state_dict(callbacks[LossMonitor.__qualname__])


def hyper_parameters(*objects: LightningModule | LightningDataModule) -> dict[str, Any]:
    """Return what a checkpoint of Lightning's holds of the arguments of modules."""
    content: dict[str, Any] = {}
    for each in objects:
        if each.hparams:
            content[each.CHECKPOINT_HYPER_PARAMS_KEY] = dict(each.hparams)
            if hasattr(each, "_hparams_name"):
                content[each.CHECKPOINT_HYPER_PARAMS_NAME] = each._hparams_name
    return content
