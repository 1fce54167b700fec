"""The engine that trains one run with Lightning: fit, validate, test, draw."""

import logging
from collections.abc import Mapping
from contextlib import closing, nullcontext
from typing import Any, cast

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig, OmegaConf

from experiment.configuration import targets
from experiment.configuration.identity import FROM_RUN
from experiment.configuration.objective import Objective
from experiment.runs.best import BestScore
from experiment.runs.callback import NoProfiler
from experiment.runs.checkpoint_files import AtomicCheckpointIO, load_newest
from experiment.runs.checkpoint_places import CheckpointPlaces
from experiment.runs.checkpoints import Checkpoints
from experiment.runs.directory import RunDirectory
from experiment.runs.distributed import (
    SilentLogger,
    count_processes,
    distributed_arguments,
    is_first_rank,
    score_everything,
    without_leftover_group,
)
from experiment.runs.files import sync_files
from experiment.runs.horizon_trainer import HorizonTrainer
from experiment.runs.hyperparameters import hyperparameters
from experiment.runs.initial_weights import InitialWeights
from experiment.runs.inputs import record_files
from experiment.runs.logger import RunLogger
from experiment.runs.loggers import UserLoggers, named_loggers
from experiment.runs.loop_progress import is_out_of_time
from experiment.runs.loss import LossMonitor
from experiment.runs.marked_log import MarkedLog
from experiment.runs.objects import make_callbacks, make_model_and_data, trainer_arguments
from experiment.runs.pictures import FinishedRun, draw_pictures
from experiment.runs.processes import run_in_processes
from experiment.runs.provenance import describe_environment, record_start
from experiment.runs.randomness import Randomness
from experiment.runs.report import SCORES, select_scores
from experiment.runs.resume import ResumePoint
from experiment.runs.saving import SavePoints
from experiment.runs.signals import SignalHandler


def train(
    directory: RunDirectory,
    config: DictConfig,
    hydra: DictConfig,
    resume: ResumePoint,
    show_progress: bool,
    metrics: dict[str, Any],
) -> None:
    """Train a run as ``LightningTraining`` does, in as many processes as its configuration asks for."""
    arguments = (directory, config, hydra, resume, show_progress)
    size = count_processes(config)
    if size == 1:
        _train(arguments, metrics, SignalHandler())
    else:
        try:
            run_in_processes(size, _train, arguments, metrics, with_script="__main__." in OmegaConf.to_yaml(config))
        finally:
            if "step" not in metrics:  # the process that counts died
                metrics |= _saved_progress(directory)


def _saved_progress(directory: RunDirectory) -> dict[str, Any]:
    """Return the progress that the newest checkpoint holds."""
    _, checkpoint = load_newest(directory.checkpoints)
    saved = checkpoint.get("callbacks", {}).get(Checkpoints.__qualname__, {})
    return {
        **{"engine": "lightning", "epoch": checkpoint.get("epoch", 0), "step": checkpoint.get("global_step", 0)},
        "seconds": saved.get("seconds", 0.0),
    }


def _train(arguments: tuple[Any, ...], metrics: dict[str, Any], signals: SignalHandler) -> None:
    LightningTraining(signals, *arguments).run(metrics)


class LightningTraining:
    """Trains one run with Lightning; of several processes, the first writes its directory.

    Args:
        signals: that interrupt it.
        directory: of the run, locked.
        config: of the run.
        hydra: Hydra's own configuration; ``hydra.sweeper.callbacks`` are those that a sweep adds to its runs.
        resume: where to start.
        show_progress: whether a progress bar may be shown.
    """

    def __init__(
        self,
        signals: SignalHandler,
        directory: RunDirectory,
        config: DictConfig,
        hydra: DictConfig,
        resume: ResumePoint,
        show_progress: bool,
    ) -> None:
        self.directory, self.config, self.resume, self.signals = directory, config, resume, signals
        self.objective = Objective.of(config)
        arguments = trainer_arguments(config, show_progress)
        self.logger: RunLogger | None = None
        self.loggers: UserLoggers | None = None
        loggers = self._make_loggers(arguments.pop("logger", True), hydra)
        # The run's own log is the last: it marks how far the other TensorBoard logs in the directory have come.
        logs: list[MarkedLog] = [*([self.loggers] if self.loggers else []), *([self.logger] if self.logger else [])]
        every = config.checkpoint.every_n_seconds
        self.best_score = BestScore(self.objective, logging.WARNING if show_progress else logging.INFO)
        places = CheckpointPlaces(directory.checkpoints, logs, is_first_rank())
        self.checkpoints = Checkpoints(places, every, signals, self.best_score)
        self.loss = LossMonitor()
        self.initial_weights = InitialWeights.of(config) if resume.checkpoint is None else None
        self.views = [
            *make_callbacks(config, show_progress),
            *targets.instantiate_callbacks(hydra.sweeper.get("callbacks")),
        ]
        for callback in self.views:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(directory.path / "model_checkpoints")  # not among the run's own checkpoints
        self.arguments = arguments | {
            "callbacks": [
                SavePoints(self.checkpoints, logs),
                *([self.initial_weights] if self.initial_weights else []),
                *self.views,
                Randomness(config.seed),
                self.loss,
                self.checkpoints,
            ],
            "logger": loggers,
            "plugins": [AtomicCheckpointIO(), *(arguments.get("plugins") or [])],
            "profiler": arguments.get("profiler") or NoProfiler(),
            "default_root_dir": directory.path,
        }

    def _make_loggers(self, with_tensorboard: bool, hydra: DictConfig) -> list[Logger]:
        """Make the loggers of the first process, and one that logs nothing of each other."""
        if not is_first_rank():
            return [SilentLogger()] if with_tensorboard or named_loggers(self.config) else []
        self.loggers = UserLoggers(self.directory, self.config, self.resume.mark)
        if with_tensorboard:
            table = hyperparameters(self.config, hydra.overrides.task)
            self.logger = RunLogger(self.directory.path, self.resume.mark, table, self.objective)
        return [*([self.logger] if self.logger else []), *self.loggers.loggers.values()]

    def run(self, metrics: dict[str, Any]) -> None:
        """Train, validate, test and draw; ``metrics`` is filled with how far it came, whether or not that succeeds."""
        metrics["engine"] = "lightning"
        with self.signals, without_leftover_group(), closing(self.logger) if self.logger else nullcontext():
            try:
                with self.loggers.running() if self.loggers else nullcontext():
                    metrics |= self._fit_and_score()
                if self.logger:
                    self.logger.complete()
            except BaseException:
                metrics["train/loss"] = self.logger.logged.get("train/loss") if self.logger else None
                raise
            finally:
                done = self.checkpoints
                metrics |= {"epoch": done.epoch, "step": done.step, "seconds": done.seconds}
                metrics |= {"best": self.best_score.value, "best_step": self.best_score.step}

    def _fit_and_score(self) -> dict[str, Any]:
        trainer = HorizonTrainer(**distributed_arguments(self.arguments))
        if trainer.world_size > 1:
            score_everything(trainer)
        model, data = make_model_and_data(self.config)
        # Lightning converts it only after it has loaded a checkpoint, which would round float64 weights to float32.
        model = cast(LightningModule, trainer.precision_plugin.convert_module(model))
        if is_first_rank():
            inputs = record_files(self.config)
            if self.initial_weights:
                inputs[FROM_RUN] = self.initial_weights.record()
            record_start(self.directory, self.resume.step, describe_environment([model, data], trainer), inputs)
        trainer.fit(model, datamodule=data, ckpt_path=self.resume.checkpoint, weights_only=True)
        self.signals.check()
        scores = self._score(trainer, model, data)
        if self.logger:
            sync_files(self.logger.flush())
        if is_first_rank():
            draw_pictures(FinishedRun.read(self.directory.path, model, data, self.checkpoints.step), self.views)
        logged = self.logger.logged if self.logger else None
        return final_metrics(scores, logged, self.best_score, self.loss, self.checkpoints)

    def _score(self, trainer: Trainer, model: LightningModule, data: LightningDataModule) -> dict[str, Any]:
        """Return the scores of the last weights: validated, unless the end of training did so, and tested."""
        scores: dict[str, Any] = dict(trainer.callback_metrics)
        validated = self.checkpoints.validated_step == trainer.global_step
        if trainer.enable_validation and not validated:
            trainer.validate(model, datamodule=data, verbose=False)
            scores |= trainer.callback_metrics
        self.checkpoints.finish(is_scheduled=validated and not is_out_of_time(trainer))
        if is_overridden("test_step", model) and _has_test_data(model, data):
            trainer.test(model, datamodule=data, verbose=False)
            scores |= trainer.callback_metrics
        return scores


def final_metrics(
    scores: Mapping[str, Any],
    logged: Mapping[str, float] | None,
    best_score: BestScore,
    loss: LossMonitor,
    checkpoints: Checkpoints,
) -> dict[str, Any]:
    """Return what ``metrics.json`` says of a run whose training has ended.

    Args:
        scores: of the last weights.
        logged: the newest value of each scalar in the log, ``None`` without a log.
        best_score: takes the score of the last weights if validation has given none.
        loss: whether the run diverged.
        checkpoints: how far it came, and why it stopped.
    """
    if logged is not None:
        # What is not in the log, a start that resumes after the last step does not know.
        scores = {name: score for name, score in scores.items() if name in SCORES} | {**logged}
    objective = best_score.objective
    if best_score.newest is not None:
        scores = {objective.metric: best_score.newest, **scores}
    metrics: dict[str, Any] = {name: float(scores[name]) for name in select_scores(scores, objective)}
    best_score.use_last(metrics.get(objective.metric), checkpoints.step)
    status = "diverged" if loss.diverged else "finished"
    return metrics | {"status": status, "stop_reason": checkpoints.stop_reason}


def _has_test_data(model: LightningModule, data: LightningDataModule) -> bool:
    return any(is_overridden("test_dataloader", each) for each in (model, data))
