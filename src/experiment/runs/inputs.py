"""Inputs: files outside a run's directory that its configuration names, and that count by their content.

They are ``model.from_run``, and the arguments that the class of the model or the data lists as its ``input_files``.
"""

import functools
import hashlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.identity import FROM_RUN
from experiment.runs.directory import RunDirectory

KEY = re.compile(r"\w+(\.\w+)+")


def record_files(config: DictConfig) -> dict[str, dict[str, str]]:
    """Return what ``provenance.json`` records of the files of the model and the data, by key.

    Raises:
        ConfigurationError: one is missing.
    """
    return {key: read_input(config, key) for key in file_keys(config)}


def file_keys(config: Mapping[str, Any]) -> list[str]:
    """Return the keys of a configuration, or of its plain data, that name files of the model and the data."""
    keys = []
    for group in ("data", "model"):
        files = getattr(pkgutil.resolve_name(config[group]["_target_"]), "input_files", ())
        keys += [f"{group}.{name}" for name in files if config[group].get(name) is not None]
    return keys


def read_input(config: DictConfig, key: str) -> dict[str, str]:
    """Return what ``provenance.json`` records of the file that a key names.

    That is its absolute ``path`` and the ``sha256`` hash of its content; of a checkpoint, of the weights in it.

    Raises:
        ConfigurationError: there is none.
    """
    if key == FROM_RUN:
        from experiment.runs.initial_weights import InitialWeights  # here, since it imports torch

        weights = InitialWeights.of(config)
        if weights is None:
            raise ConfigurationError(f"{key} is not set")
        return weights.record()
    given = OmegaConf.select(config, key)
    if not isinstance(given, str):
        raise ConfigurationError.from_lines([f"{key}={given}: the path of a file, a text"])
    path = Path(given)
    try:
        if not path.is_file():
            reason = "is no file" if path.exists() else "there is no such file"
            raise ConfigurationError.from_lines([f"{key}={given}: {reason}"])
        return {"path": str(path.absolute()), "sha256": hash_file(path)}
    except (OSError, ValueError) as error:  # a path that is too long, or holds a null character
        raise ConfigurationError.from_lines([f"{key}={given}: {getattr(error, 'strerror', error)}"]) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 hash of a file's content; of one that has not changed since, that of the last call."""
    status = path.stat()
    return _hash_file(path.absolute(), status.st_ino, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)  # the runs of a sweep read the same files
def _hash_file(path: Path, inode: int, modified: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_inputs(config: DictConfig, keys: Sequence[str]) -> None:
    """Check the files of the model and the data, by making what reads them.

    Args:
        config: of a run.
        keys: that name the files, as ``file_keys`` returns them.

    Raises:
        ConfigurationError: a file is missing, or is not what it is read as.
    """
    from lightning.pytorch.utilities.seed import isolate_rng  # here, since these import torch

    from experiment.configuration import targets

    if not keys:
        return
    for key in keys:
        read_input(config, key)
    with isolate_rng():
        for group in dict.fromkeys(key.partition(".")[0] for key in keys):
            try:
                targets.instantiate(config, group)
            except ConfigurationError:
                raise
            except Exception as error:  # whatever somebody's class raises
                raise ConfigurationError.from_lines([f"{group}: {error or type(error).__name__}"]) from error


def compare_inputs(directory: RunDirectory, config: DictConfig) -> dict[str, bool]:
    """Return, by key, whether a configuration names the same content as the run in a directory started from.

    Keys are left out whose content the run did not record, or that name nothing now.
    """
    same = {}
    for key, recorded in recorded_inputs(directory).items():
        with suppress(ConfigurationError):
            same[key] = read_input(config, key)["sha256"] == recorded.get("sha256")
    return same


def find_again(directory: RunDirectory, config: DictConfig, keys: Iterable[str]) -> None:
    """Let the inputs of the run in a directory be read again, wherever this process was started.

    Args:
        directory: of the run.
        config: of the run. A path that leads to nothing here is replaced by the one where the file was.
        keys: that name the inputs; those that the run does not record are left alone.

    Raises:
        ConfigurationError: another content is there now.
    """
    recorded = recorded_inputs(directory)
    for key in keys:
        given, path = OmegaConf.select(config, key), recorded.get(key, {}).get("path")
        if isinstance(given, str) and isinstance(path, str) and not Path(given).exists():
            OmegaConf.update(config, key, path)
    same = compare_inputs(directory, config)
    if problems := [describe_other_content(config, key) for key in keys if same.get(key) is False]:
        raise ConfigurationError.from_lines(problems)


def describe_other_content(config: DictConfig, key: str) -> str:
    """Return the line for a file that is not the one that a run started from."""
    other = "other weights than those that" if key == FROM_RUN else "other content than that which"
    return f"{key}={OmegaConf.select(config, key)}: {other} the run started from"


def recorded_inputs(directory: RunDirectory) -> dict[str, dict[str, Any]]:
    """Return what the run in a directory records of its inputs, by key."""
    inputs = directory.provenance.get("inputs")
    items = inputs.items() if isinstance(inputs, dict) else ()
    return {key: recorded for key, recorded in items if KEY.fullmatch(key) and isinstance(recorded, dict)}
