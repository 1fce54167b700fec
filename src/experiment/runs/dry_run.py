"""A dry run: all that a run does, on a few batches and in a temporary directory."""

import copy
import tempfile
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from experiment.runs.directory import RunDirectory
from experiment.runs.resume import ResumePoint
from experiment.runs.training import train


def dry_run(config: DictConfig, hydra: DictConfig) -> None:
    """Train, validate, test and draw, and leave nothing.

    Lightning's own ``fast_dev_run`` neither tests nor logs nor saves: what fails there would fail after hours of
    training. So a run of that many batches is made instead.

    Args:
        config: of the run.
        hydra: Hydra's own configuration.
    """
    with tempfile.TemporaryDirectory() as temporary:
        directory = RunDirectory(Path(temporary))
        train(directory, _shorten(config), hydra, ResumePoint(), False, {})


def _shorten(config: DictConfig) -> DictConfig:
    """Return a configuration of one epoch of ``fast_dev_run`` batches; other keys keep the values of the full run.

    Loggers are left out: a dry run is no run of a service.
    """
    num_batches = int(config.trainer.fast_dev_run)
    short = copy.deepcopy(config)
    OmegaConf.resolve(short)
    OmegaConf.set_struct(short, False)
    stages = [f"limit_{stage}_batches" for stage in ("train", "val", "test")]
    limits = {key: num_batches for key in stages if short.trainer.get(key) != 0}  # 0 skips the stage
    horizon = {"max_epochs": 1, "max_steps": -1, "check_val_every_n_epoch": 1, "val_check_interval": 1.0}
    short.loggers = {}
    short.trainer.update({"fast_dev_run": False, "overfit_batches": 0.0, "num_sanity_val_steps": 0} | limits | horizon)
    return short
