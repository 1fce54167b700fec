"""The weights of a run, as its directory holds them."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule

from experiment.configuration.errors import ConfigurationError
from experiment.runs.checkpoint_files import load_checkpoint, load_newest
from experiment.runs.directory import RunDirectory
from experiment.runs.recorded import is_plain_file


def find_weights(directory: RunDirectory, name: str = "last") -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of a checkpoint: the newest that is whole for ``last``, or ``best``.

    Raises:
        ConfigurationError: there is none, or it is damaged or holds more than plain data.
    """
    if name == "last":
        path, checkpoint = load_newest(directory.checkpoints)
        if path is None:
            raise ConfigurationError(f"{directory.path} holds no checkpoint.")
        return path, checkpoint
    path = directory.checkpoints / f"{name}.ckpt"
    content = load_checkpoint(path) if is_plain_file(path) else None
    if content is None:
        raise ConfigurationError(f"{path} {'is damaged' if path.exists() else 'does not exist'}.")
    return path, content


def load_weights(model: LightningModule, checkpoint: dict[str, Any], path: Path) -> None:
    """Load the weights of a checkpoint, in its precision, as ``load_from_checkpoint`` does.

    Raises:
        ConfigurationError: they do not fit the model; the message names ``path``.
    """
    model.configure_model()
    if checkpoint["state_dict"].keys() - model.state_dict().keys():  # of layers that setup makes
        _set_up(model, path)
    restore(model, checkpoint, path, assign=True)


def _set_up(model: LightningModule, path: Path) -> None:
    try:
        model.setup("fit")
    except Exception as error:  # whatever somebody's module raises without a trainer
        raise ConfigurationError(
            f"The layers of {path} cannot be made: {type(model).__name__}.setup: {error}"
        ) from error


def restore(model: LightningModule, checkpoint: dict[str, Any], path: Path, assign: bool = False) -> None:
    """Load the weights of a checkpoint into the parameters of a model, or ``assign`` them in their place.

    Raises:
        ConfigurationError: they do not fit the model; the message names ``path``.
    """
    try:
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"], strict=model.strict_loading, assign=assign)
    except Exception as error:  # whatever a state that is not the model's makes it raise
        raise ConfigurationError(f"The checkpoint {path} does not fit the configuration: {error}") from error


def restore_data(data: LightningDataModule, checkpoint: dict[str, Any]) -> None:
    """Load the state that a checkpoint holds of the data, where it holds any, as Lightning does."""
    state = checkpoint.get(type(data).__qualname__)
    if state is not None:
        data.load_state_dict(state)
