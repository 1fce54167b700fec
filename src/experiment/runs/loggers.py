"""The loggers that a configuration names, beside the run's TensorBoard log: CSV, W&B, MLflow, or a user's own."""

import copy
import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from lightning.pytorch.loggers import CSVLogger, Logger
from omegaconf import DictConfig, OmegaConf, open_dict

from experiment.configuration import targets
from experiment.configuration.errors import ConfigurationError, ReportedError
from experiment.runs.csv_file import CsvFile
from experiment.runs.directory import RunDirectory
from experiment.runs.recorded import check_place, load_json

log = logging.getLogger(__name__)

FILE = "loggers.json"  # what each logger calls its own run
# The arguments by which loggers continue a run of their own, the one that is their ``version``.
RUN_ARGUMENTS = ("id", "run_id", "experiment_key", "version")
VERSION = re.compile(r"\w[\w.-]*", re.ASCII)  # no path leads anywhere else
FINISHING = ("finish", "end")  # of the run of W&B, of Comet: the next run of this process would be logged there too


class UserLoggers:
    """Starts the loggers that a configuration names, continues them when the run resumes, and ends them with the run.

    Each is given the resolved configuration. What identifies its own run, such as the id of W&B's, is recorded in
    ``loggers.json``, and given to it again by the next start.

    Args:
        directory: of the run.
        config: of the run.
        mark: of the checkpoint to resume from, ``None`` if the run starts from the beginning.

    Attributes:
        loggers: by their names in the configuration.
        is_muted: whether scalars are dropped.

    Raises:
        ReportedError: a logger cannot be made.
    """

    def __init__(self, directory: RunDirectory, config: DictConfig, mark: str | None) -> None:
        self.directory, self.config, self.resumed_mark = directory, config, mark
        self.is_muted = mark is not None
        self.records = load_json(directory.path / FILE)
        self.loggers: dict[str, Logger] = {}
        for name in named_loggers(config):
            with _errors_named(name):
                arguments = self._arguments(name)
                self.loggers[name] = make_logger(config, name, arguments)
            self._intercept(name, self.loggers[name])
        self.started: list[str] = []
        self.continued: set[str] = set()  # those that have had a configuration in an earlier start

    def _arguments(self, name: str) -> dict[str, Any]:
        """Return the arguments that a logger is given beside those of the configuration."""
        node = self.config.loggers[name]
        parameters = _parameters(node)
        arguments = dict.fromkeys(targets.supplied_arguments(get_class(node._target_), node), str(self.directory.path))
        version = self._recorded_version(name)
        known = [argument for argument in RUN_ARGUMENTS if argument in parameters]
        if version is None or not known or any(argument in node for argument in known):
            return arguments
        if known[0] == "version" and "save_dir" in node:  # a directory of the user's, in which no record is to choose
            return arguments
        return arguments | {known[0]: version}

    def _recorded_version(self, name: str) -> int | str | None:
        record = self.records.get(name)
        if not isinstance(record, dict) or record.get("_target_") != self.config.loggers[name]._target_:
            return None
        version = record.get("version")
        if version is not None and not _is_version(version):
            raise ConfigurationError(f"{self.directory.path / FILE} is damaged: {name} has no version.")
        return version

    def _intercept(self, name: str, logger: Logger) -> None:
        """Make a logger one of a run that resumes.

        Scalars are dropped while muted, a service may refuse to change the configuration of an earlier start, and the
        logger is not ended when Lightning finalizes it, which it does after each stage.
        """
        log_metrics, log_hyperparams = logger.log_metrics, logger.log_hyperparams

        def log_unless_muted(*args: Any, **kwargs: Any) -> None:
            if not self.is_muted:
                log_metrics(*args, **kwargs)

        def log_unless_refused(*args: Any, **kwargs: Any) -> None:
            try:
                log_hyperparams(*args, **kwargs)
            except Exception as error:
                if name not in self.continued:
                    raise
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.info(f"loggers.{name} keeps the configuration of its first start: {reason}")

        def save(status: str) -> None:
            logger.save()

        replacements = {"log_metrics": log_unless_muted, "log_hyperparams": log_unless_refused, "finalize": save}
        for method, replacement in replacements.items():
            setattr(logger, method, replacement)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start the loggers, and end them: as ``success``, or as ``failed`` if an error or a signal ends the run.

        Raises:
            ReportedError: one of them cannot be started.
        """
        status = "failed"
        try:
            for name, logger in self.loggers.items():
                with _errors_named(name):
                    self._start(name, logger)
            yield
            status = "success"
        finally:
            for name in self.started:
                _end(name, self.loggers[name], status)

    def _start(self, name: str, logger: Logger) -> None:
        place = logger.log_dir or logger.save_dir
        is_local = place is not None and "://" not in place
        if place is not None and is_local:
            check_place(self.directory.path, Path(place))
        if isinstance(logger, CSVLogger) and is_local:
            logger._experiment = CsvFile(logger.log_dir, self.resumed_mark)
        _ = getattr(logger, "experiment", None)  # only now it has a version
        self.started.append(name)
        self._record(name, logger.version)
        if self.resumed_mark is not None and name not in self.continued:
            log.info(f"loggers.{name} begins with this start, and has no step before it.")
        values: Any = OmegaConf.to_container(self.config, resolve=True)
        del values["loggers"]  # which may hold a key of the service
        logger.log_hyperparams(values)

    def _record(self, name: str, version: Any) -> None:
        """Record what identifies the run of a logger, and note whether it is that of the start before."""
        record = {"_target_": self.config.loggers[name]._target_, "version": version if _is_version(version) else None}
        if self.records.get(name) == record:
            self.continued.add(name)
        self.records[name] = record
        self.directory.write_json(FILE, self.records)

    def unmute(self) -> None:
        """Log scalars from here on: what a resumed start logs before, the first start has logged."""
        self.is_muted = False

    def mark(self, name: str) -> None:
        """Save what was logged, and mark in the files of CSV that a checkpoint of that name was saved."""
        for logger in self.loggers.values():
            logger.save()
        for file in self._csv_files():
            file.mark(name)

    def flush(self) -> list[Path]:
        """Return the files of CSV, which are written by now."""
        return [path for file in self._csv_files() for path in (file.path, file.marks) if path.exists()]

    def _csv_files(self) -> Iterator[CsvFile]:
        for logger in self.loggers.values():
            if isinstance(logger, CSVLogger) and isinstance(logger.experiment, CsvFile):
                yield logger.experiment


def named_loggers(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the loggers that are not switched off."""
    return [str(name) for name, node in (config.get("loggers") or {}).items() if node is not None]


def make_logger(config: DictConfig, name: str, arguments: Mapping[str, Any]) -> Logger:
    """Make a logger that a configuration names, with these arguments beside, or instead of, those that it gives."""
    config = copy.deepcopy(config)
    with open_dict(config):
        config.loggers[name].update(arguments)
        config.loggers = {name: config.loggers[name]}
    logger: Logger = targets.instantiate(config, "loggers")[name]
    return logger


def check_logger(config: DictConfig, name: str, directory: str) -> None:
    """Make a logger to see that it can be made: in a temporary directory, without asking any service.

    Raises:
        Exception: whatever the logger raises.
    """
    node = config.loggers[name]
    places = {"save_dir": directory} if "save_dir" in _parameters(node) and "_args_" not in node else {}
    services = {"tracking_uri": "http://localhost"} if "tracking_uri" in node else {}
    make_logger(config, name, places | services)


def _parameters(node: DictConfig) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(get_class(node._target_)).parameters


def _is_version(value: Any) -> bool:
    if isinstance(value, str):
        return VERSION.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Raise errors as reported ones that name the logger."""
    try:
        yield
    except ReportedError:
        raise
    except Exception as error:
        raise ReportedError(f"loggers.{name}: {error or type(error).__name__}") from error


def _end(name: str, logger: Logger, status: str) -> None:
    try:
        type(logger).finalize(logger, status)
        experiment = getattr(logger, "experiment", None)
        for finish in (getattr(experiment, method, None) for method in FINISHING):
            if callable(finish):
                failed = status == "failed" and "exit_code" in inspect.signature(finish).parameters
                finish(**({"exit_code": 1} if failed else {}))
    except Exception as error:  # the run has ended, however its service answers
        log.warning(f"loggers.{name} was not ended: {error}")
