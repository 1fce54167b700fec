"""The directory of a run: the files in it, read as a stranger's, written atomically, by one process at a time."""

import errno
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from omegaconf import DictConfig, ListConfig

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.objective import TEXTS
from experiment.configuration.references import call_resolvers
from experiment.runs.files import write_atomically
from experiment.runs.json_text import to_json
from experiment.runs.recorded import check_places, is_plain_file, load_json, load_yaml
from experiment.runs.yaml_text import to_yaml

log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded", DictConfig, ListConfig)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # what a file system without locks answers
STATUSES = ("finished", "diverged", "interrupted", "failed")


class DirectoryLocked(ConfigurationError):
    """Another process is training in a directory."""


def make_directory(path: Path, key: str) -> None:
    """Make a directory.

    Raises:
        ConfigurationError: it cannot be made; the message names ``key``, which chose it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError.from_lines([f"{key}={path}: {error.strerror}"]) from error


def remove_if_empty(path: Path) -> None:
    """Remove a directory, unless it holds anything or does not exist."""
    with suppress(OSError):
        path.rmdir()


class RunDirectory:
    """The directory of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.config_file = path / ".hydra" / "config.yaml"
        self.hydra_file = path / ".hydra" / "hydra.yaml"
        self.overrides_file = path / ".hydra" / "overrides.yaml"

    @property
    def is_started(self) -> bool:
        """Whether a run was ever started here."""
        return is_plain_file(self.config_file)

    @property
    def config(self) -> DictConfig | None:
        """The configuration that was run here, ``None`` if none was."""
        return _load_yaml(self.config_file, DictConfig, "configuration") if self.is_started else None

    @property
    def hydra(self) -> DictConfig:
        """Hydra's own configuration of the run."""
        hydra = _load_yaml(self.hydra_file, DictConfig, "configuration").get("hydra")
        if not isinstance(hydra, DictConfig):
            raise ConfigurationError(f"{self.hydra_file} is no configuration of Hydra's.")
        return hydra

    @property
    def overrides(self) -> list[str]:
        """The overrides that the run was started with."""
        return [str(each) for each in _load_yaml(self.overrides_file, ListConfig, "list of overrides")]

    @property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``, empty if there is none."""
        path = self.path / "metrics.json"
        metrics = load_json(path)
        for key, value in metrics.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not is_number and key not in TEXTS:
                raise ConfigurationError(f"{path} is damaged: {key} is no number.")
        if metrics and metrics.get("status") not in STATUSES:
            raise ConfigurationError(f"{path} is damaged: status is none of {', '.join(STATUSES)}.")
        return metrics

    @property
    def provenance(self) -> dict[str, Any]:
        """``provenance.json``, empty if there is none."""
        return load_json(self.path / "provenance.json")

    def holds_exactly(self, config: DictConfig) -> bool:
        """Whether a configuration is recorded word for word: to parse and compare it takes four times as long."""
        return self.is_started and self.config_file.read_text("utf-8", errors="replace") == _recorded(config)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON document, with ``null`` for each number that is not finite."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
        write_atomically(self.path / name, to_json(finite) + "\n")

    def record_configuration(self, config: DictConfig, hydra: dict[str, Any]) -> None:
        """Record a configuration, and Hydra's as plain data, as the one that is run here."""
        self.config_file.parent.mkdir(exist_ok=True)
        (self.path / "metrics.json").unlink(missing_ok=True)  # first: an old result must not be read with a new horizon
        write_atomically(self.overrides_file, to_yaml(hydra["overrides"]["task"]))
        write_atomically(self.hydra_file, to_yaml({"hydra": hydra}))
        write_atomically(self.config_file, _recorded(config))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process.

        Raises:
            DirectoryLocked: another process holds it.
            ConfigurationError: what is written in it would be written elsewhere.
        """
        check_places(self.path)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise DirectoryLocked(f"Another process is training in {self.path}.") from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in NO_LOCKS:
                raise
            log.warning(f"The file system of {self.path} has no locks: train in it with one process at a time.")
        try:
            yield
        finally:
            lock.release()


def _recorded(config: DictConfig) -> str:
    """Return a configuration as a run directory records it: whole without the environment that it was composed in."""
    return to_yaml(call_resolvers(config))


def _load_yaml(path: Path, kind: type[Loaded], what: str) -> Loaded:
    try:
        loaded = load_yaml(path)
    except Exception as error:  # whatever a stranger's file makes the parser raise
        raise ConfigurationError(f"{path} is no {what}: {_first_line(error)}") from None
    if not isinstance(loaded, kind):
        raise ConfigurationError(f"{path} is no {what}.")
    return loaded


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
