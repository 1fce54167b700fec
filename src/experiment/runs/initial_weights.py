"""``model.from_run``: training starts from the weights of another run, which count by their content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig
from typing_extensions import override

from experiment.configuration import targets
from experiment.configuration.errors import ConfigurationError
from experiment.runs.checkpoint_files import load_checkpoint
from experiment.runs.directory import RunDirectory
from experiment.runs.weights import find_weights, restore

KEY = "model.from_run"


@dataclass
class InitialWeights(Callback):
    """Loads weights into the model when training starts.

    Attributes:
        given: the value of the key: the directory of a run, for its last weights, or one of its checkpoints.
        path: of the checkpoint.
        checkpoint: its content.
    """

    given: str
    path: Path
    checkpoint: dict[str, Any]

    @classmethod
    def of(cls, config: DictConfig) -> Self | None:
        """Read the weights that a configuration names; ``None`` if it names none.

        Raises:
            ConfigurationError: there are no such weights, or they cannot be loaded.
        """
        given = config.model.get("from_run")
        if given is None:
            return None
        if not isinstance(given, str):
            reason = "the path of a run's directory, or of a checkpoint; a text"
            raise ConfigurationError.from_lines([f"{KEY}={given}: {reason}"])
        path = Path(given)
        try:
            if not path.is_file():
                return cls(given, *find_weights(RunDirectory(path)))
            content = load_checkpoint(path, {"state_dict": dict})  # Lightning can save the weights alone
        except ConfigurationError as error:
            raise ConfigurationError.from_lines([f"{KEY}={given}: {error}"]) from error
        if content is None:
            raise ConfigurationError.from_lines([f"{KEY}={given}: is damaged, or no checkpoint"])
        return cls(given, path, content)

    def record(self) -> dict[str, str]:
        """Return what ``provenance.json`` records."""
        return {"path": str(self.path.absolute()), "sha256": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 hash of the weights: their names, types, shapes and values."""
        digest = hashlib.sha256()
        for name, value in sorted(self.checkpoint["state_dict"].items()):
            digest.update(f"{name} {getattr(value, 'dtype', '')} {[*getattr(value, 'shape', ())]} ".encode())
            is_tensor = isinstance(value, torch.Tensor)
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if is_tensor else repr(value).encode())
        return digest.hexdigest()

    def check_shapes(self, config: DictConfig) -> None:
        """Check, without a run, that the weights fit the model.

        Raises:
            ConfigurationError: some have another shape, with a line for each.
        """
        with isolate_rng():
            model = targets.instantiate(config, "model")
        own = {name: tensor.shape for name, tensor in model.state_dict().items() if _has_shape(tensor)}
        others = self.checkpoint["state_dict"]
        problems = [
            f"{KEY}={self.given}: {name} is {[*others[name].shape]} in that run, and {[*shape]} in this model"
            for name, shape in own.items()
            if _has_shape(others.get(name)) and others[name].shape != shape
        ]
        if problems:
            raise ConfigurationError.from_lines(problems)

    @override
    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        restore(pl_module, self.checkpoint, self.path)


def check_initial_weights(config: DictConfig, path: Path) -> None:
    """Check that a run that is to start at ``path`` can start from the weights that its configuration names.

    Raises:
        ConfigurationError: there are none, or they do not fit.
    """
    if not RunDirectory(path).checkpoints.exists() and (weights := InitialWeights.of(config)):
        weights.check_shapes(config)


def has_other_weights(directory: RunDirectory, config: DictConfig) -> bool | None:
    """Return whether a configuration names other weights than those that the run in a directory started from.

    ``None`` if that is unknown: the directory does not record them, or the ones that are named are gone.
    """
    recorded = _recorded_weights(directory)
    try:
        weights = InitialWeights.of(config)
    except ConfigurationError:
        return None
    if weights is None or not recorded:
        return None
    return bool(recorded.get("sha256") != weights.digest())


def find_again(directory: RunDirectory, config: DictConfig) -> None:
    """Let the run in a directory be trained again from its initial weights, wherever this process was started.

    Args:
        directory: of the run.
        config: of the run. A path that leads to nothing here is replaced by the one where the weights were.

    Raises:
        ConfigurationError: other weights are there now.
    """
    given, recorded = config.model.get("from_run"), _recorded_weights(directory)
    if isinstance(given, str) and not Path(given).exists() and "path" in recorded:
        config.model.from_run = recorded["path"]
    if has_other_weights(directory, config):
        raise ConfigurationError.from_lines([describe_other_weights(config)])


def describe_other_weights(config: DictConfig) -> str:
    """Return the line for weights that a run did not start from."""
    return f"{KEY}={config.model.from_run}: other weights than those that the run started from"


def _recorded_weights(directory: RunDirectory) -> dict[str, Any]:
    inputs = directory.provenance.get("inputs")
    recorded = inputs.get(KEY) if isinstance(inputs, dict) else None
    return recorded if isinstance(recorded, dict) else {}


def _has_shape(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not torch.nn.parameter.is_lazy(value)
