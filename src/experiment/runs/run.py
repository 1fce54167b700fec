"""One run: its directory is locked, the engine trains it there, and what came of it is written down."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from typing_extensions import override

from experiment.configuration.errors import CarriedError
from experiment.configuration.identity import is_dry_run
from experiment.configuration.own_code import add_config_dirs
from experiment.configuration.plain import raw_data
from experiment.configuration.validation import validate
from experiment.runs.directory import RunDirectory, remove_if_empty
from experiment.runs.dry_run import dry_run
from experiment.runs.report import SCORES, format_report, is_in_sweep
from experiment.runs.resume import ResumePoint, find_result, find_resume_point
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
    in_sweep = is_in_sweep()
    terminal = LOG_FILE_ONLY if in_sweep else log
    with log_to(directory):
        try:
            resume = find_resume_point(directory, config)
            with started(directory, config, raw_data(hydra), resume, terminal) as metrics:
                train(directory, config, hydra, resume, not in_sweep, metrics)
        except Interrupted as interrupted:
            interrupted.hydra = hydra
            raise
        result = directory.metrics
        terminal.info(format_report(result, directory.path))
        return result


@contextmanager
def started(
    directory: RunDirectory, config: DictConfig, hydra: dict[str, Any], resume: ResumePoint, terminal: logging.Logger
) -> Iterator[dict[str, Any]]:
    """Start a run in a locked directory, and yield the metrics for an engine to fill.

    They are written however the engine ends; an error decides the status. An engine that leaves the run to another one
    clears them.

    Args:
        directory: of the run.
        config: of the run.
        hydra: Hydra's own configuration, as plain data.
        resume: where it starts.
        terminal: the logger to which it is reported where the run resumes.
    """
    directory.record_configuration(config, hydra)
    if resume.checkpoint:
        terminal.info(f"Resuming from step {resume.step} (epoch {resume.epoch})")
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
        if metrics:
            directory.write_json("metrics.json", metrics)


def _dry_run(config: DictConfig, hydra: DictConfig, directory: Path) -> dict[str, Any]:
    try:
        dry_run(config, hydra)
    finally:
        remove_if_empty(directory)  # as Hydra made it
    log.info("The dry run succeeded, and left nothing behind.")
    return {}


class _AppendingHandler(logging.Handler):
    """Appends each record to files, which are open for that alone: there may be many."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self.paths = paths

    @override
    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n"
        for path in self.paths:
            with path.open("a", encoding="utf-8") as file:
                file.write(line)


@contextmanager
def log_to(*directories: RunDirectory) -> Iterator[None]:
    """Append all log records to the logs of runs, Lightning's and Python's warnings included."""
    handler = _AppendingHandler([directory.path / "train.log" for directory in directories])
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
