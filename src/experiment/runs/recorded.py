"""Reading what a run's directory records. It may be a stranger's: what it holds is data, and chooses nothing else.

It is not to decide which file is opened or written, which code is imported or called, or what leaves this machine.
"""

import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from experiment.configuration.errors import ConfigurationError

MAX_YAML_BYTES = 1_000_000
# What a run writes at the top level of its directory, and the directories that are its own.
WRITTEN = (".lock", ".hydra", "checkpoints", "train.log", "*.json", "*.png", "*.partial", "events.out.tfevents.*")
OWN_DIRECTORIES = (".hydra", "checkpoints")
# They read the configuration itself. Others read the environment, or make text into a new interpolation.
HARMLESS_RESOLVERS = {"oc.select", "oc.dict.keys", "oc.dict.values"}
INTERPOLATION = re.compile(r"\$\{([^}:]*)(:?)")
WRITING_GROUPS = ("callbacks", "trainer", "loggers")  # whose objects write where their arguments say
DIRECTORY_ARGUMENT = re.compile(r"(dir|dirpath|path|root|folder|uri|url)$")
REPLACED = ("trainer.default_root_dir",)  # by the run's directory
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # what a system answers where nothing is at a path
ADVICE = "the recorded configuration may do so only with --trust, for a run of your own"


class _YamlError(ConfigurationError):
    """A YAML file that is refused."""


class _Loader(get_yaml_loader()):  # type: ignore[misc]
    """OmegaConf's loader, without aliases: a few lines of them stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _YamlError("it holds an alias (*), which no run writes")
        return super().compose_node(parent, index)


def load_yaml(path: Path) -> Any:
    """Return what ``OmegaConf.load`` does.

    Raises:
        Exception: whatever a damaged or hostile file makes the parser raise.
    """
    if not is_plain_file(path):
        raise _YamlError("there is no such file")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise _YamlError(f"it is larger than {MAX_YAML_BYTES} bytes")
    content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    if not isinstance(content, dict | list):  # OmegaConf would parse a text as YAML once more
        raise _YamlError("it holds no keys")
    return OmegaConf.create(content)


def load_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON document, empty if there is no such file.

    Raises:
        ConfigurationError: it is damaged, or holds anything but an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if is_plain_file(path) else {}
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is damaged: it holds no JSON object.")
    return content


def is_plain_file(path: Path) -> bool:
    """Whether a file exists.

    Raises:
        ConfigurationError: it is a symbolic link, or no plain file; or it lies in a linked ``.hydra``.
    """
    if path.parent.name in OWN_DIRECTORIES:
        _raise_if_link(path.parent)
    mode = _raise_if_link(path)
    if mode and not stat.S_ISREG(mode):
        raise ConfigurationError(f"{path} is no file.")
    return mode != 0


def check_places(directory: Path) -> None:
    """Check that all that a run writes is written in its directory.

    Raises:
        ConfigurationError: some of it is a symbolic link, or neither a file nor a directory.
    """
    inner = [directory / name for name in OWN_DIRECTORIES if (directory / name).is_dir()]
    entries = [entry for entry in _list(directory) if any(fnmatch(entry.name, pattern) for pattern in WRITTEN)]
    for entry in [*entries, *(entry for folder in inner for entry in _list(folder))]:
        _raise_if_link(Path(entry.path))
        if not (entry.is_file() or entry.is_dir()):
            raise ConfigurationError(f"{entry.path} is no file.")


def check_place(directory: Path, place: Path) -> None:
    """Check that what is written at a place in a run's directory is written there, and at no other.

    Raises:
        ConfigurationError: the place, or what it holds, is a symbolic link.
    """
    if directory in place.parents:
        inner = [path for path in (place, *place.parents) if directory in path.parents]
        for path in [*inner, *(place.iterdir() if place.is_dir() else ())]:
            _raise_if_link(path)


def _list(directory: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        yield from entries


def _raise_if_link(path: Path) -> int:
    """Return the mode of what is at a path, 0 if there is nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        if error.errno in ABSENT:
            return 0
        raise
    if stat.S_ISLNK(mode):
        raise ConfigurationError(f"{path} is a symbolic link: a run is read and written in its own directory alone.")
    return mode


def check_recorded_values(config: DictConfig) -> None:
    """Check that a recorded configuration reads nothing but itself, and names no place to write to.

    Raises:
        ConfigurationError: with a line for each key that does.
    """
    raw = OmegaConf.to_container(config)
    problems = [
        f"{key}={value}: an interpolation of more than keys; {ADVICE}"
        for key, value in _leaves(raw)
        if isinstance(value, str) and not _is_harmless(value)
    ]
    if not problems:
        problems = [*_resolved_problems(config)]
    if problems:
        raise ConfigurationError.from_lines(problems)


def _is_harmless(text: str) -> bool:
    return all(
        "${" not in name and (not colon or name.strip() in HARMLESS_RESOLVERS)
        for name, colon in INTERPOLATION.findall(text)
    )


def _resolved_problems(config: DictConfig) -> Iterator[str]:
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        yield str(error).splitlines()[0]
        return
    for key, value in _leaves(resolved):
        if not isinstance(value, str):
            continue
        if "${" in value:  # put together from several keys: it would be resolved once more
            yield f"{key}={value}: an interpolation; {ADVICE}"
        elif key.startswith(WRITING_GROUPS) and key not in REPLACED and _names_place(key, value):
            yield f"{key}={value}: a place to write to; {ADVICE}"


def _names_place(key: str, value: str) -> bool:
    *_, parent, name = ["", *key.split(".")]
    return (
        parent == "_args_"
        or bool(DIRECTORY_ARGUMENT.search(name))
        or value.startswith("~")
        or "://" in value
        or PurePosixPath(value).is_absolute()
        or bool(PureWindowsPath(value).drive)
        or ".." in PureWindowsPath(value).parts
    )


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    else:
        yield key, node
    for name, child in children:
        yield from _leaves(child, f"{key}.{name}" if key else str(name))
