"""What the commands do, in Python: for scripts and notebooks."""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from experiment.configuration.compose import compose_with_hydra, hydra_initialized
from experiment.configuration.errors import CarriedError, ReportedError
from experiment.configuration.own_code import add_directory
from experiment.configuration.refusals import explain_hydra_error
from experiment.configuration.texts import quote_texts
from experiment.runs.directory import RunDirectory
from experiment.runs.signals import Interrupted
from experiment.sweeps.results import read_earlier_rows

if TYPE_CHECKING:
    from lightning.pytorch import LightningDataModule, LightningModule


def compose(
    overrides: Sequence[str] = (), config_dir: str | Path | None = None, config_name: str = "config"
) -> DictConfig:
    """Return the configuration that overrides compose, validated.

    Its key ``hydra`` is Hydra's own part. There, ``run.dir`` is the directory of the run: by default a new one under
    ``outputs/``, named by the time of composing.

    Args:
        overrides: as on the command line: ``["optimizer.lr=0.5", "model.hidden=[8,8]"]``.
        config_dir: a directory with YAML files and code of your own: ``--config-dir``.
        config_name: the primary configuration: ``--config-name``.

    Raises:
        ConfigurationError: an override or a value is wrong.
    """
    config = compose_with_hydra(overrides, _as_path(config_dir), config_name)
    _ = config.hydra.run.dir  # resolves the time, and keeps it in the configuration
    return config


def run(config: DictConfig, directory: str | Path | None = None) -> dict[str, Any]:
    """Run a configuration, and return the content of ``metrics.json``.

    As with the command, an unfinished run resumes, and of a finished one the result is returned.

    Args:
        config: from ``compose``, maybe changed since, or of a job of Hydra's. It is not modified.
        directory: of the run, by default ``config.hydra.run.dir``.

    Raises:
        ConfigurationError: it cannot be run, or not in this directory; nothing is changed then.
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint is saved, and a run in the same directory resumes.
        SystemExit: SIGTERM was received; likewise.
    """
    if directory is None and "hydra" not in config and HydraConfig.initialized():  # a job of Hydra's
        return _run_job(config)
    config = copy.deepcopy(config)
    with open_dict(config):
        if "hydra" not in config:
            config.hydra = compose_with_hydra([]).hydra
        if directory is not None:
            config.hydra.run.dir = str(directory)
    config.hydra.mode = RunMode.RUN
    with _python_exceptions(), hydra_initialized():
        callbacks = Callbacks(config)
        callbacks.on_run_start(config=config, config_name="config")
        context = HydraContext(GlobalHydra.instance().config_loader(), callbacks)
        job = run_job(_run_job, config, "hydra.run.dir", None, context, configure_logging=not _logging_is_configured())
        metrics: dict[str, Any] = job.return_value
    return metrics


def sweep(
    overrides: Sequence[str], config_dir: str | Path | None = None, config_name: str = "config"
) -> list[dict[str, Any]]:
    """Run a sweep, and return the rows of ``sweep.csv``: a table for ``pandas.DataFrame``.

    Args:
        overrides: as on the command line: ``["optimizer.lr=0.01,0.1", "seed=0,1"]``, or ``["search=optuna"]``.
        config_dir: a directory with YAML files and code of your own: ``--config-dir``.
        config_name: the primary configuration: ``--config-name``.

    Raises:
        ConfigurationError: a run cannot be run; none is started then.
        ReportedError: some runs failed, after all others have ended.
    """
    overrides = quote_texts(overrides)
    with _python_exceptions(), hydra_initialized(_as_path(config_dir)) as hydra:
        try:
            directory = hydra.multirun(config_name, _run_job, [*overrides, "hydra.mode=MULTIRUN"])
        except ReportedError:
            raise
        except Exception as error:
            raise explain_hydra_error(error, ["-m", *overrides], config_name) from error
    rows = []
    for row in read_earlier_rows(directory):
        values = {key: yaml.safe_load(value) for key, value in row.overrides.items()}
        rows.append(values | row.metrics | {"directory": row.directory})
    return rows


def load(
    run_dir: str | Path,
    checkpoint: Literal["last", "best"] = "last",
    config_dir: str | Path | None = None,
    trusted: bool = False,
) -> tuple["LightningModule", "LightningDataModule"]:
    """Return the model of a run, with its trained weights and in evaluation mode, and the run's data.

    Args:
        run_dir: the directory of the run.
        checkpoint: which weights: the newest, or those of the best validation.
        config_dir: a directory with the run's own code, where that is not installed.
        trusted: the run is one of your own: its configuration may read the environment.

    Raises:
        ConfigurationError: the directory holds no run, no such checkpoint, or a run that cannot be loaded here.
    """
    from lightning.pytorch.utilities.seed import isolate_rng  # here, since these import torch

    from experiment.runs.objects import load_recorded, make_model_and_data
    from experiment.runs.weights import find_weights, load_weights, restore_data

    if config_dir is not None:
        add_directory(Path(config_dir))
    directory = RunDirectory(Path(run_dir))
    config = load_recorded(directory, trusted)
    path, content = find_weights(directory, checkpoint)
    with isolate_rng():
        model, data = make_model_and_data(config)
    load_weights(model, content, path)
    restore_data(data, content)
    return model.eval(), data


def _run_job(config: DictConfig) -> dict[str, Any]:
    from experiment.runs.run import run  # here, so that help and errors need not wait for torch

    return run(config)


def _logging_is_configured() -> bool:
    """Whether the program has its own logging. That is left as it is, but what ``train.log`` holds is let through."""
    if not logging.getLogger().handlers:
        return False
    for logger in map(logging.getLogger, ("experiment", "run")):
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    return True


@contextmanager
def _python_exceptions() -> Iterator[None]:
    """Raise what Python's users expect instead of the exceptions that only the commands handle."""
    try:
        yield
    except CarriedError as error:
        raise error.__cause__ or error from None
    except Interrupted as error:
        raise KeyboardInterrupt(str(error)) if error.status == 130 else SystemExit(error.status) from error


def _as_path(directory: str | Path | None) -> Path | None:
    return None if directory is None else Path(directory)
