"""A run's directory is the run: what it holds, when two configurations are the same run, and who may write there."""

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from filelock import FileLock, Timeout
from omegaconf import DictConfig, ListConfig, OmegaConf

from experiment.configuration.errors import ConfigurationError, ReportedError

# Two configurations that differ in nothing but these are the same run, and the horizon says how far it goes.
FREE = {
    f"trainer.{key}"
    for key in (
        *("accelerator", "devices", "num_nodes", "strategy"),
        *("enable_progress_bar", "enable_model_summary", "profiler"),
    )
}
HORIZON = "trainer.max_epochs"
# A value that is another key's; one that is the horizon's makes another run of a longer one: a schedule up to the end.
REFERENCE = re.compile(r"\$\{(?!trainer\.max_epochs\})[\w.]+\}")
NOTHING = "nothing"
Loaded = TypeVar("Loaded", DictConfig, ListConfig)
SCORES = ("train/loss", "val/loss", "val/accuracy", "test/loss", "test/accuracy")  # of metrics.json


def differences(old: DictConfig, new: DictConfig) -> list[str]:
    """Return a line for each key in which two configurations are different runs; the horizon apart."""
    before, now = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key, NOTHING)} there, {now.get(key, NOTHING)} here"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, NOTHING) != now.get(key, NOTHING) and key != HORIZON and not _free(key)
    ]


def _free(key: str) -> bool:
    return any(f"{key}.".startswith(f"{free}.") for free in FREE)


def flatten(config: DictConfig) -> dict[str, Any]:
    """Return the value of each key that has none below it; one that only refers to another key is left to that one."""

    def walk(node: Any, value: Any, key: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for name, child in node.items():
                yield from walk(child, value[name], f"{key}.{name}" if key else str(name))
        elif not (isinstance(node, str) and REFERENCE.fullmatch(node)):
            yield key, value

    return dict(walk(OmegaConf.to_container(config), OmegaConf.to_container(config, resolve=True), ""))


def is_dry_run(config: DictConfig) -> bool:
    """Whether a configuration is one of Lightning's trials, which leave nothing."""
    return bool(config.trainer.get("fast_dev_run"))


def write_atomically(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        ReportedError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.partial")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ReportedError(f"{path} cannot be written: {error.strerror}") from error


def format_scores(metrics: dict[str, Any]) -> list[str]:
    """Return each score that a run has, as it is told."""
    return [f"{name} {metrics[name]:.5g}" for name in SCORES if metrics.get(name) is not None]


@dataclass
class ResumePoint:
    """What a run that has its directory for itself finds there.

    Attributes:
        result: of the run, where nothing is left to train.
        checkpoint: to go on from; ``None``: from the beginning.
        step: how many steps are completed there.
    """

    result: dict[str, Any] | None
    checkpoint: Path | None = None
    step: int = 0


class RunDirectory:
    """The directory of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.recorded = path / ".hydra" / "config.yaml"  # the configuration that the directory is the run of

    @property
    def configuration(self) -> DictConfig | None:
        """The configuration that the directory is the run of."""
        return self._load(self.recorded, DictConfig, "configuration") if self.started else None

    @property
    def hydra(self) -> DictConfig:
        """Hydra's own configuration of the run."""
        loaded: DictConfig = self._load(self.recorded.with_name("hydra.yaml"), DictConfig, "configuration")
        return cast(DictConfig, loaded.hydra)

    @property
    def overrides(self) -> list[str]:
        """What was typed for the run."""
        loaded: ListConfig = self._load(self.recorded.with_name("overrides.yaml"), ListConfig, "list of overrides")
        return [str(each) for each in loaded]

    @staticmethod
    def _load(path: Path, kind: type[Loaded], what: str) -> Loaded:
        try:
            loaded = OmegaConf.load(path)
        except Exception as error:  # whatever a stranger's file makes the parser raise
            raise ConfigurationError(f"{path} is no {what}: {str(error).splitlines()[0]}") from None
        if not isinstance(loaded, kind):
            raise ConfigurationError(f"{path} is no {what}.")
        return loaded

    def _holds(self, config: DictConfig) -> bool:
        """Whether the configuration is recorded word for word; to read it and compare takes four times as long."""
        return self.started and self.recorded.read_text("utf-8", errors="replace") == OmegaConf.to_yaml(config)

    @property
    def started(self) -> bool:
        """Whether the run was ever started."""
        return self.recorded.exists()

    @property
    def metrics(self) -> dict[str, Any]:
        """What came of the run so far."""
        return self._read("metrics.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """What the run was made with."""
        return self._read("provenance.json")

    def _read(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        except ValueError as error:
            raise ConfigurationError(f"{path} is damaged: {error}") from None

    def write(self, name: str, content: dict[str, Any]) -> dict[str, Any]:
        """Write a JSON document, and return it: what is not finite becomes null."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
        write_atomically(self.path / name, json.dumps(finite, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
        return finite

    def result(self, config: DictConfig) -> dict[str, Any] | None:
        """Return the metrics of this very run if nothing is left to train, ``None`` if something is.

        Raises:
            ConfigurationError: the directory is the run of another configuration, or has gone past this one's end.
        """
        old = config if self._holds(config) else self.configuration
        if old is None:
            if self.checkpoints.exists():
                raise ConfigurationError(f"{self.checkpoints} are of a run whose configuration is not there.")
            return None
        if old is not config and (found := differences(old, config)):
            raise ConfigurationError.from_lines(found, f"{self.path} holds a run of another configuration:")
        metrics, epochs = self.metrics, config.trainer.max_epochs
        self._see_reached(metrics.get("epoch", 0), epochs)
        done = metrics.get("status") in ("finished", "diverged")
        not_finite = metrics.get("status") == "diverged" and metrics["train/loss"] is None
        return metrics if done and (epochs <= old.trainer.max_epochs or not_finite) else None

    def _see_reached(self, reached: int, epochs: int) -> None:
        if reached > epochs:
            line = f"{HORIZON}={epochs}: {reached} epochs are trained already"
            raise ConfigurationError.from_lines([line], f"{self.path} holds a longer run:")

    def _see_same_horizon(self, config: DictConfig) -> None:
        old = self.configuration
        if old is not None and old.trainer.max_epochs != config.trainer.max_epochs:
            line = f"{HORIZON}: {old.trainer.max_epochs} there, {config.trainer.max_epochs} here"
            raise ConfigurationError.from_lines([line], f"{self.path} holds a run whose schedule depends on its end:")

    def check(self, config: DictConfig) -> bool:
        """Raise a ``ConfigurationError`` where ``claimed`` would, as things stand now; return whether nothing is left.

        Nothing is written.
        """
        if self.result(config) is not None:
            return True
        if self.path.exists() and not os.access(self.path, os.W_OK):
            raise ConfigurationError(f"{self.path} cannot be written.")
        if (self.path / ".lock").exists():
            self._lock().release()
        return False

    def _lock(self) -> FileLock:
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ConfigurationError(f"Another process is training in {self.path}.") from None
        return lock

    @contextmanager
    def locked(self, config: DictConfig, hydra: DictConfig) -> Iterator[ResumePoint]:
        """Hold the directory for this process, with the configuration recorded as the one that it is the run of.

        Raises:
            ConfigurationError: as ``result``, or another process holds it, or its checkpoints are damaged; nothing is
                changed then.
        """
        if (result := self.result(config)) is not None:
            yield ResumePoint(result)
            return
        lock = self._lock()
        try:
            if (result := self.result(config)) is not None:
                yield ResumePoint(result)
                return
            from experiment.runs.checkpoints import load_newest  # here, since it imports torch

            path, content = load_newest(self.checkpoints)
            self._see_reached(content.get("epoch", 0), config.trainer.max_epochs)
            if content.get("horizon_matters"):
                self._see_same_horizon(config)
            self._record(config, hydra)
            yield ResumePoint(None, path, content.get("global_step", 0))
        finally:
            lock.release()

    def _record(self, config: DictConfig, hydra: DictConfig) -> None:
        (self.path / ".hydra").mkdir(exist_ok=True)
        (self.path / "metrics.json").unlink(missing_ok=True)  # first: no result may stand beside a new horizon
        write_atomically(self.path / ".hydra/overrides.yaml", OmegaConf.to_yaml(hydra.overrides.task))
        write_atomically(self.path / ".hydra/hydra.yaml", OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra})))
        write_atomically(self.path / ".hydra/config.yaml", OmegaConf.to_yaml(config))
