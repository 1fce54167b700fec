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
from experiment.configuration.identity import FROM_RUN
from experiment.runs.checkpoint_files import load_checkpoint
from experiment.runs.directory import RunDirectory
from experiment.runs.weights import find_weights, restore


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
            raise ConfigurationError.from_lines([f"{FROM_RUN}={given}: {reason}"])
        path = Path(given)
        try:
            if not path.is_file():
                return cls(given, *find_weights(RunDirectory(path)))
            content = load_checkpoint(path, {"state_dict": dict})  # Lightning can save the weights alone
        except ConfigurationError as error:
            raise ConfigurationError.from_lines([f"{FROM_RUN}={given}: {error}"]) from error
        if content is None:
            raise ConfigurationError.from_lines([f"{FROM_RUN}={given}: is damaged, or no checkpoint"])
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
            f"{FROM_RUN}={self.given}: {name} is {[*others[name].shape]} in that run, and {[*shape]} in this model"
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
    is_given = config.model.get("from_run") is not None  # looked at first, since few runs have it
    if is_given and not RunDirectory(path).checkpoints.exists() and (weights := InitialWeights.of(config)):
        weights.check_shapes(config)


def _has_shape(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not torch.nn.parameter.is_lazy(value)
