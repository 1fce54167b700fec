"""The engine that trains several runs together: Lightning fits, validates and tests their modules as one."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, cast

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from experiment.configuration.objective import Objective
from experiment.runs.callback import NoProfiler
from experiment.runs.checkpoint_files import AtomicCheckpointIO
from experiment.runs.checkpoint_places import CheckpointPlaces
from experiment.runs.files import sync_files
from experiment.runs.horizon_trainer import HorizonTrainer
from experiment.runs.hyperparameters import hyperparameters
from experiment.runs.inputs import record_files
from experiment.runs.logger import RunLogger
from experiment.runs.loop_progress import is_out_of_time
from experiment.runs.loss import TAG
from experiment.runs.objects import trainer_arguments
from experiment.runs.provenance import describe_environment, record_start
from experiment.runs.saving import SavePoints
from experiment.runs.signals import SignalHandler
from experiment.runs.training import final_metrics
from experiment.vectorized.callbacks import StackedLossMonitor, StackedRandomness
from experiment.vectorized.checkpoints import StackedCheckpoints
from experiment.vectorized.compiling import Compiling
from experiment.vectorized.loaders import StackedData
from experiment.vectorized.log import RunLog, StackedLog
from experiment.vectorized.member import Member
from experiment.vectorized.module import StackedModule
from experiment.vectorized.streams import Streams
from experiment.vectorized.trainer_view import TrainerView


def make_trainer(config: DictConfig, callbacks: Sequence[Any] = (), **own: Any) -> HorizonTrainer:
    """Return the trainer of this configuration, with other callbacks and with arguments of its own."""
    arguments = trainer_arguments(config, show_progress=False)
    own |= {
        "callbacks": [*callbacks],
        "logger": False,
        "plugins": [AtomicCheckpointIO(), *(arguments.get("plugins") or [])],
        "profiler": NoProfiler(),
        "enable_checkpointing": bool(callbacks),
    }
    return HorizonTrainer(**arguments | own)


class StackedTraining:
    """Trains several runs together.

    Args:
        members: the runs, whose directories are locked and started.
        overrides: of each run.
        signals: that end the runs; the caller handles them meanwhile.
        compiling: whether the training step is compiled.
    """

    def __init__(
        self,
        members: Sequence[Member],
        overrides: Sequence[Sequence[str]],
        signals: SignalHandler,
        compiling: Compiling,
    ) -> None:
        self.members, self.signals, self.compiling = members, signals, compiling
        self.config = members[0].config
        for member, given in zip(members, overrides, strict=True):
            if self.config.trainer.get("logger", True):
                table = hyperparameters(member.config, given)
                objective = Objective.of(member.config)
                member.logger = RunLogger(member.directory.path, member.resume.mark, table, objective)
        self.log = StackedLog([member.logger for member in members])
        for member in members:
            member.places = CheckpointPlaces(member.directory.checkpoints, [RunLog(self.log, member.index)])
        self.streams = Streams([member.config.seed for member in members], [member.streams for member in members])
        self.stack = StackedModule(
            [member.model for member in members], [member.optimizer for member in members], self.streams
        )
        self.stack.replay_steps(self._compiling_pays)
        self.data = StackedData([member.data for member in members], self.streams)
        self.loss = StackedLossMonitor(members, self.stack, self.log)
        every = self.config.checkpoint.every_n_seconds
        self.checkpoints = StackedCheckpoints(members, self.stack, self.loss, every, self.signals)
        callbacks = [SavePoints(self.checkpoints, [RunLog(self.log, 0)]), StackedRandomness(self.streams), self.loss]
        scored = is_overridden("validation_step", members[0].model)
        unscored = {} if scored and is_overridden("val_dataloader", members[0].data) else {"limit_val_batches": 0}
        self.trainer = make_trainer(self.config, [*callbacks, self.checkpoints], **unscored)
        for member in members:
            member.model.trainer = member.data.trainer = cast(Trainer, TrainerView(self.trainer, member.data))

    def run(self) -> None:
        """Train, validate and test; the metrics of the runs are filled with how far they came."""
        with ExitStack() as stack:
            for member in self.members:
                if member.logger:
                    stack.enter_context(closing(member.logger))
            try:
                self._fit_and_score()
            finally:
                self.log.serialize()
                for member in self.members:
                    member.metrics |= self._progress(member)

    def _compiling_pays(self, seconds: float) -> bool:
        """Return whether to compile a step that takes some seconds."""
        return self.compiling.pays(seconds * self.trainer.steps_left)

    def _progress(self, member: Member) -> dict[str, Any]:
        done, best = self.checkpoints, member.best_score
        progress = {"epoch": done.epoch, "step": done.step, "seconds": done.seconds_of(member)}
        newest = self.log.newest.get(TAG)
        loss = member.metrics.get(TAG) if newest is None else newest[member.index].item()
        return progress | {"engine": "vectorized", TAG: loss, "best": best.value, "best_step": best.step}

    def _fit_and_score(self) -> None:
        environment = describe_environment([self.members[0].model, self.members[0].data], self.trainer)
        for member in self.members:
            record_start(member.directory, member.resume.step, environment, record_files(member.config))
        self.stack.report = self._report
        checkpoint = self.members[0].resume.checkpoint
        with warnings.catch_warnings():
            # The states of callbacks that are left out are kept.
            warnings.filterwarnings("ignore", "Be aware that when using .ckpt_path., callbacks")
            self.trainer.fit(self.stack, datamodule=self.data, ckpt_path=checkpoint, weights_only=True)
        self.signals.check()
        self._score()
        self.loss.update_members()
        self.log.serialize()
        kept = [member for member in self.members if not member.is_dropped]
        sync_files([path for member in kept if member.logger for path in member.logger.flush()])
        for member in kept:
            member.metrics |= self._result(member)
            if member.logger:
                member.logger.complete()

    def _report(self, scores: dict[str, Any]) -> None:
        self.log.log(scores, self.trainer.fit_loop.epoch_loop._batches_that_stepped, self.stack.absent)

    def _score(self) -> None:
        """Score the last weights, as after a single run."""
        trainer, done = self.trainer, self.checkpoints
        validated = done.validated_step == trainer.global_step
        if trainer.enable_validation and not validated:
            trainer.validate(self.stack, datamodule=self.data, verbose=False)
        done.finish(is_scheduled=validated and not is_out_of_time(trainer))
        model, data = self.members[0].model, self.members[0].data
        if is_overridden("test_step", model) and is_overridden("test_dataloader", data):
            trainer.test(self.stack, datamodule=self.data, verbose=False)

    def _result(self, member: Member) -> dict[str, Any]:
        newest = self.stack.scores | self.log.newest
        own = {name: values for name, values in newest.items() if member.index not in self.stack.absent.get(name, ())}
        scores = {name: values[member.index].item() for name, values in own.items()}
        logged = member.logger.logged if member.logger else None
        return final_metrics(scores, logged, member.best_score, member.loss, self.checkpoints)
