"""One run: its directory is locked, the engine trains it there, and what came of it is written down."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from experiment.configuration.errors import CarriedError
from experiment.configuration.identity import is_dry_run
from experiment.configuration.own_code import add_config_dirs
from experiment.configuration.validation import validate
from experiment.runs.directory import RunDirectory, remove_if_empty
from experiment.runs.dry_run import dry_run
from experiment.runs.report import SCORES, format_report
from experiment.runs.resume import find_result, find_resume_point
from experiment.runs.signals import Interrupted, RunStopped
from experiment.runs.training import train

log = logging.getLogger(__name__)
LOG_FILE_ONLY = logging.getLogger("run")  # its records go to the run's log, not to the terminal


def run(config: DictConfig) -> dict[str, Any]:
    """Run a configuration in the directory that Hydra chose, and return ``metrics.json``.

    An unfinished run resumes from its last checkpoint; of a finished one the result is returned.

    Raises:
        ConfigurationError: it cannot be run, or not in this directory; nothing is changed then.
    """
    hydra = cast(DictConfig, HydraConfig.get())
    validate(config)
    add_config_dirs(hydra)
    try:
        return run_in(RunDirectory(Path(hydra.runtime.output_dir)), config, hydra)
    except Exception as error:
        if hydra.mode == RunMode.MULTIRUN:  # where it must not end the other runs
            raise
        raise CarriedError from error


def run_in(directory: RunDirectory, config: DictConfig, hydra: DictConfig) -> dict[str, Any]:
    """Run a checked configuration in a directory, as ``run`` does; ``hydra`` is recorded with it."""
    if is_dry_run(config):
        return _dry_run(config, hydra, directory.path)
    result = find_result(directory, config)
    if result is None:
        with directory.locked():
            result = find_result(directory, config)  # another process may just have finished it
            if result is None:
                return _run_locked(directory, config, hydra)
    log.info("Nothing is left to train.")
    log.info(format_report(result, directory.path))
    return result


def _run_locked(directory: RunDirectory, config: DictConfig, hydra: DictConfig) -> dict[str, Any]:
    resume = find_resume_point(directory, config)
    directory.record_configuration(config, hydra)
    # The terminal of a sweep is the sweep's, which reports one line for each run.
    in_sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    terminal = LOG_FILE_ONLY if in_sweep else log
    with _log_to(directory.path / "train.log"):
        if resume.checkpoint:
            terminal.info(f"Resuming from step {resume.step} (epoch {resume.epoch})")
        try:
            with _written_metrics(directory) as metrics:
                train(directory, config, hydra, resume, not in_sweep, metrics)
        except Interrupted as interrupted:
            interrupted.hydra = hydra
            raise
        result = directory.metrics
        terminal.info(format_report(result, directory.path))
        return result


@contextmanager
def _written_metrics(directory: RunDirectory) -> Iterator[dict[str, Any]]:
    """Yield the metrics for an engine to fill, and write them however it ends; an error decides the status."""
    metrics: dict[str, Any] = dict.fromkeys(SCORES) | {"engine": None, "error": None}
    try:
        yield metrics
    except BaseException as error:
        failed = isinstance(error, Exception) and not isinstance(error, RunStopped)
        metrics |= {"status": "failed", "error": repr(error)} if failed else {"status": "interrupted"}
        metrics |= {"stop_reason": str(error)} if isinstance(error, RunStopped) else {}
        LOG_FILE_ONLY.info("The run ended early:", exc_info=error)
        raise
    finally:
        directory.write_json("metrics.json", metrics)


def _dry_run(config: DictConfig, hydra: DictConfig, directory: Path) -> dict[str, Any]:
    try:
        dry_run(config, hydra)
    finally:
        remove_if_empty(directory)  # as Hydra made it
    log.info("The dry run succeeded, and left nothing behind.")
    return {}


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Append all log records to a file, Lightning's and Python's warnings included."""
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
