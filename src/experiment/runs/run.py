"""One run: a configuration, trained, validated and tested in a directory of its own."""

import functools
import importlib.metadata
import logging
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from experiment.backprop.graph import Graph
from experiment.backprop.tags import Backprop
from experiment.configuration import schema, targets
from experiment.configuration.errors import ConfigurationError
from experiment.runs import pictures
from experiment.runs.callback import NoProfiler
from experiment.runs.checkpoints import AtomicCheckpointIO, Checkpoints
from experiment.runs.directory import SCORES, ResumePoint, RunDirectory, format_scores, is_dry_run
from experiment.runs.horizon import HorizonTrainer
from experiment.runs.hyperparameters import hyperparameters
from experiment.runs.logger import RunLogger
from experiment.runs.loss import LossMonitor
from experiment.runs.progress import TimedProgressBar
from experiment.runs.randomness import Randomness
from experiment.runs.signals import Interrupted, RunStopped, SignalHandler

log = logging.getLogger(__name__)
RECORD = logging.getLogger("run")  # what it says is in the run's log alone

PACKAGES = ("torch", "lightning", "numpy", "hydra-core", "omegaconf", "tensorboard", "matplotlib", "pydantic")


# Lightning gives its loggers handlers of their own: what it says belongs in the run's log, not on the terminal.
for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).handlers.clear()
    logging.getLogger(name).propagate = True
# What nobody who runs it can change: Lightning's use of torch, its advice on small loaders, and its belief
# that steps are counted anew in each epoch.
for message in (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The '\w+' does not have many workers",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
):
    warnings.filterwarnings("ignore", message=message)


def check_instantiable(config: DictConfig, hydra: DictConfig | None = None) -> None:
    """Raise a ``ConfigurationError`` where what a configuration names is not there: a class, an accelerator.

    Args:
        hydra: of the command that composed it; it may name a directory of one's own code.
    """
    if hydra is not None:
        targets.add_config_dirs_to_path(hydra)
    targets.check_targets(config)
    _attempt("optimizer", lambda: targets.instantiate(config, "optimizer")([torch.nn.Parameter(torch.zeros(1))]))
    arguments = trainer_arguments(config)
    try:
        Trainer(**arguments)
    except Exception:
        for key, value in arguments.items():  # name the one that is wrong, if it is wrong by itself
            _attempt(f"trainer.{key}={value}", functools.partial(Trainer, **{key: value}))
        _attempt("trainer", functools.partial(Trainer, **arguments))


def load_recorded(directory: RunDirectory, changes: Sequence[str] = ()) -> tuple[DictConfig, DictConfig]:
    """Return the configuration of a run's directory, and Hydra's, checked as those of a stranger.

    Args:
        directory: of the run.
        changes: ``key=value``, of keys that are to be other than recorded.

    Raises:
        ConfigurationError: there is none, or it cannot be run here.
    """
    config = directory.configuration
    if config is None:
        raise ConfigurationError(f"{directory.path} holds no run.")
    hydra = directory.hydra
    config.merge_with_dotlist(list(changes))
    schema.validate(config)
    check_instantiable(config, hydra)
    return config, hydra


def _attempt(what: str, make: Callable[[], Any]) -> None:
    try:
        make()
    except Exception as error:
        raise ConfigurationError.from_lines([f"{what}: {error}"]) from error


def trainer_arguments(config: DictConfig) -> dict[str, Any]:
    """Make what Lightning's ``Trainer`` takes."""
    arguments: dict[str, Any] = targets.instantiate(config, "trainer")
    bar = arguments.get("enable_progress_bar") is not False and sys.stderr.isatty() and not _in_a_sweep()
    return arguments | {"enable_progress_bar": bar}


def _in_a_sweep() -> bool:
    """Whether a sweep runs this: the terminal is the sweep's then, which says a line for each run."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def run(config: DictConfig) -> dict[str, Any]:
    """Run a configuration in the directory that Hydra chose, and return what ``metrics.json`` says.

    Where the directory holds this run already, it goes on from there, or returns the result if nothing is left to do.

    Raises:
        ConfigurationError: it cannot be run, or not in this directory; nothing is changed then.
    """
    hydra = cast(DictConfig, HydraConfig.get())
    schema.validate(config)
    targets.add_config_dirs_to_path(hydra)
    return run_in(RunDirectory(Path(hydra.runtime.output_dir)), config, hydra)


def run_in(directory: RunDirectory, config: DictConfig, hydra: DictConfig) -> dict[str, Any]:
    """Run a configuration that is checked in a directory, as ``run`` does; ``hydra`` is recorded with it."""
    if is_dry_run(config):
        return _dry_run(config, directory.path)
    with directory.locked(config, hydra) as claim:
        if claim.result is not None:
            log.info("Nothing is left to train.")
            log.info(_report(claim.result, directory.path))
            return claim.result
        with _recorded(directory.path / "train.log"):
            try:
                result = _run(config, hydra, directory, claim)
            except Interrupted as interrupted:
                interrupted.hydra = hydra
                raise
            (RECORD if _in_a_sweep() else log).info(_report(result, directory.path))
            return result


def _dry_run(config: DictConfig, directory: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as elsewhere:
        model, data = make_model_and_data(config)
        arguments = trainer_arguments(config) | {"default_root_dir": elsewhere}
        Trainer(**arguments, callbacks=make_callbacks(config)).fit(model, datamodule=data)
    with suppress(OSError):
        directory.rmdir()  # as Hydra made it; where it holds anything it stays
    log.info("The trial went through, and left nothing behind.")
    return {}


def make_model_and_data(config: DictConfig) -> tuple[LightningModule, LightningDataModule]:
    """Make the two, each from the beginning of the seed's streams, so that neither depends on the other."""
    seed_everything(config.seed, workers=True, verbose=False)
    data = targets.instantiate(config, "data")
    seed_everything(config.seed, workers=True, verbose=False)
    return targets.instantiate(config, "model"), data


def make_callbacks(config: DictConfig) -> list[Callback]:
    """Make the callbacks of a configuration's own."""
    return [callback for callback in targets.instantiate(config, "callbacks").values() if callback]


def _run(config: DictConfig, hydra: DictConfig, directory: RunDirectory, claim: ResumePoint) -> dict[str, Any]:
    """Train from where the claim stands, validate, test, and write down what came of it."""
    arguments = trainer_arguments(config)
    logger = None
    if arguments.pop("logger", True):
        logger = RunLogger(directory.path, claim.step, hyperparameters(config, hydra.overrides.task))
    with SignalHandler() as interrupts, closing(logger) if logger else nullcontext():
        every = config.checkpoint.every_n_seconds
        checkpoints = Checkpoints(directory.checkpoints, every, interrupts, logger.sync if logger else lambda: None)
        loss = LossMonitor()
        bar = [TimedProgressBar()] if arguments["enable_progress_bar"] else []
        views: list[Callback] = [Backprop(**config.backprop), Graph()] if logger else []
        if trial := hydra.sweeper.get("trial"):
            from experiment.sweeps.pruning import Pruning  # here, since Optuna need not be there

            views.append(Pruning(**trial))
        arguments |= {
            "callbacks": [*make_callbacks(config), *views, Randomness(config.seed), loss, *bar, checkpoints],
            "logger": logger or False,
            "plugins": [AtomicCheckpointIO(), *(arguments.get("plugins") or [])],
            "profiler": arguments.get("profiler") or NoProfiler(),
            "default_root_dir": directory.path,
        }
        metrics: dict[str, Any] = dict.fromkeys(SCORES) | {"engine": "lightning", "error": None}
        try:
            trainer = HorizonTrainer(**arguments)
            model, data = make_model_and_data(config)
            directory.write("provenance.json", _provenance(directory.provenance, trainer, claim.step))
            trainer.fit(model, datamodule=data, ckpt_path=claim.checkpoint, weights_only=True)
            interrupts.check()
            scores = _scores(trainer, model, data, checkpoints)
            if logger:
                scores |= logger.logged  # the last one logged, where that is not at each step
                logger.sync()
            pictures.draw_pictures(directory.path, arguments["callbacks"], model, data, checkpoints.step)
            metrics |= {name: float(scores[name]) for name in SCORES if name in scores}
            metrics["status"] = "diverged" if loss.diverged else "finished"
            if logger:
                logger.complete()
        except BaseException as error:
            failed = isinstance(error, Exception) and not isinstance(error, RunStopped)
            metrics |= {"status": "failed", "error": repr(error)} if failed else {"status": "interrupted"}
            metrics["train/loss"] = logger.logged.get("train/loss") if logger else None
            RECORD.info("The run ended before its time:", exc_info=error)
            raise
        finally:
            metrics |= {"epoch": checkpoints.epoch, "step": checkpoints.step, "seconds": checkpoints.seconds_trained}
            metrics = directory.write("metrics.json", metrics)
        return metrics


def _scores(
    trainer: Trainer, model: LightningModule, data: LightningDataModule, checkpoints: Checkpoints
) -> dict[str, Any]:
    """Return what was logged of the last weights: validated, where the end of training did not, and tested."""
    scores: dict[str, Any] = dict(trainer.callback_metrics)
    validated = checkpoints.validated == trainer.global_step
    if trainer.enable_validation and not validated:
        trainer.validate(model, datamodule=data, verbose=False)
        scores |= trainer.callback_metrics
    checkpoints.finish(scheduled=validated)
    if is_overridden("test_step", model) and _has_test_data(model, data):
        trainer.test(model, datamodule=data, verbose=False)
        scores |= trainer.callback_metrics
    return scores


def _has_test_data(model: LightningModule, data: LightningDataModule) -> bool:
    return any(is_overridden("test_dataloader", each) for each in (model, data))


def _provenance(before: dict[str, Any], trainer: Trainer, step: int) -> dict[str, Any]:
    """Return what this start is made with, beside the starts before it."""

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        with suppress(OSError):
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            return answer.stdout if answer.returncode == 0 else None
        return None

    commit = git("rev-parse", "HEAD")
    start = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "arguments": sys.argv[1:], "step": step}
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": {"commit": commit and commit.strip(), "difference": commit and git("diff", "HEAD")},
        "platform": platform.platform(),
        "device": str(trainer.strategy.root_device),
        "devices": trainer.num_devices,
        "strategy": type(trainer.strategy).__name__,
        "threads": torch.get_num_threads(),
        "starts": [*before.get("starts", []), start],
    }


@contextmanager
def _recorded(path: Path) -> Iterator[None]:
    """Record what is said, by Lightning and by Python's warnings too, in the run's log."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()


def _report(metrics: dict[str, Any], path: Path) -> str:
    """Return what a person wants to know at the end."""
    where = Path(os.path.relpath(path))
    inside = where.parts and where.parts[0] != os.pardir
    where, root = (where, where.parts[0]) if inside else (path, path)
    diverged = "The run diverged: its loss is not finite, or more than twice what it was at first.\n"
    return (
        f"{diverged if metrics['status'] == 'diverged' else ''}"
        f"{metrics['status']} after {metrics['epoch']} epochs, {metrics['step']} steps, {metrics['seconds']:.1f} s\n"
        f"{'   '.join(format_scores(metrics))}\n"
        f"directory: {where}\n"
        f"tensorboard --logdir {shlex.quote(str(root))}"
    )
