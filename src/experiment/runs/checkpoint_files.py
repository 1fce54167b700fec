"""Checkpoint files: written whole or not at all, loaded as a stranger's."""

import logging
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from experiment.configuration.errors import ConfigurationError

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all: beside, then renamed into its place."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Replace the file at ``path``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        for key in ("hyper_parameters", "datamodule_hyper_parameters"):
            # What a module was given may be objects, with which the checkpoint would load no more as plain data.
            if not _is_plain(checkpoint.get(key, {})):
                del checkpoint[key]
        torch.save(checkpoint, beside)
        beside.replace(path)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool | torch.Tensor)


def move_into_place(file: Path, place: Path) -> None:
    """Bring a file to disk, then put it into its place."""
    with file.open("rb") as written:
        os.fsync(written.fileno())
    file.replace(place)
    directory = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def link(file: Path, name: Path) -> None:
    """Give a file another name too."""
    beside = name.with_suffix(".partial")
    beside.unlink(missing_ok=True)
    beside.hardlink_to(file)
    beside.replace(name)


def load_newest(directory: Path) -> tuple[Path | None, dict[str, Any]]:
    """Return the newest checkpoint that is whole, and what it holds; ``None`` where there has never been one.

    Raises:
        ConfigurationError: there are checkpoints and none is whole, or one holds more than plain data and tensors.
    """
    found = [path for name in ("last", "previous", "best") if (path := directory / f"{name}.ckpt").exists()]
    for path in found:
        if (content := load_checkpoint(path)) is not None and _can_be_taken_up(content):
            if path != found[0]:
                log.info(f"{found[0]} is damaged: going on from {path.name}, step {content['global_step']}.")
            return path, content
    if found:
        raise ConfigurationError(f"{found[0]} is damaged, and there is no other checkpoint to go on from.")
    return None, {}


def _can_be_taken_up(checkpoint: dict[str, Any]) -> bool:
    """Whether no batch was begun and not processed, as one is in a state saved after a validation amid batches."""
    batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    return bool(batches["ready"] == batches["processed"])


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what a checkpoint holds, ``None`` if it is damaged.

    Raises:
        ConfigurationError: it holds more than plain data and tensors: code, which is not run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return None
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise ConfigurationError(f"{path} holds more than plain data and tensors, and is not loaded: {error}") from None
    except Exception:  # a damaged file can raise anything
        return None
