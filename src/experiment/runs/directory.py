"""The directory of a run: the files in it, read as a stranger's, written atomically, by one process at a time."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout
from omegaconf import DictConfig, ListConfig, OmegaConf

from experiment.configuration.errors import ConfigurationError, ReportedError

Loaded = TypeVar("Loaded", DictConfig, ListConfig)


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


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        ReportedError: it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ReportedError(f"{path} cannot be written: {error.strerror}") from error


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
        return self.config_file.exists()

    @property
    def config(self) -> DictConfig | None:
        """The configuration that was run here, ``None`` if none was."""
        return _load_yaml(self.config_file, DictConfig, "configuration") if self.is_started else None

    @property
    def hydra(self) -> DictConfig:
        """Hydra's own configuration of the run."""
        return cast(DictConfig, _load_yaml(self.hydra_file, DictConfig, "configuration").hydra)

    @property
    def overrides(self) -> list[str]:
        """The overrides that the run was started with."""
        return [str(each) for each in _load_yaml(self.overrides_file, ListConfig, "list of overrides")]

    @property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``, empty if there is none."""
        return self._read_json("metrics.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """``provenance.json``, empty if there is none."""
        return self._read_json("provenance.json")

    def holds_exactly(self, config: DictConfig) -> bool:
        """Whether a configuration is recorded word for word: to parse and compare it takes four times as long."""
        return self.is_started and self.config_file.read_text("utf-8", errors="replace") == OmegaConf.to_yaml(config)

    def _read_json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except ValueError as error:
            raise ConfigurationError(f"{path} is damaged: {error}") from None

    def write_json(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        """Write a JSON document and return it, with ``None`` for each number that is not finite."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
        write_atomically(self.path / name, json.dumps(finite, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
        return finite

    def record_configuration(self, config: DictConfig, hydra: DictConfig) -> None:
        """Record a configuration, and Hydra's, as the one that is run here."""
        self.config_file.parent.mkdir(exist_ok=True)
        (self.path / "metrics.json").unlink(missing_ok=True)  # first: no result may stand beside a new horizon
        write_atomically(self.overrides_file, OmegaConf.to_yaml(hydra.overrides.task))
        write_atomically(self.hydra_file, OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})))
        write_atomically(self.config_file, OmegaConf.to_yaml(config))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process.

        Raises:
            ConfigurationError: another process holds it.
        """
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ConfigurationError(f"Another process is training in {self.path}.") from None
        try:
            yield
        finally:
            lock.release()


def _load_yaml(path: Path, kind: type[Loaded], what: str) -> Loaded:
    try:
        loaded = OmegaConf.load(path)
    except Exception as error:  # whatever a stranger's file makes the parser raise
        raise ConfigurationError(f"{path} is no {what}: {str(error).splitlines()[0]}") from None
    if not isinstance(loaded, kind):
        raise ConfigurationError(f"{path} is no {what}.")
    return loaded
