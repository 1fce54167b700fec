"""From plain configuration to objects: each ``_target_`` is checked to be of its place's kind before it is called."""

import inspect
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import hydra
from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from experiment.configuration.errors import ConfigurationError

# What each group's _target_ may be, and what the arguments of these may be in their turn.
KINDS: dict[str, tuple[type, ...]] = {
    "data": (LightningDataModule,),
    "model": (LightningModule,),
    "optimizer": (Optimizer,),
    "callbacks": (Callback,),
    "trainer": (Strategy, Profiler, Precision, CheckpointIO, ClusterEnvironment, LayerSync),
}
ARGUMENTS = (Optimizer, LRScheduler, nn.Module)
KEYWORDS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")  # Hydra's own


def add_config_dirs_to_path(hydra: DictConfig) -> None:
    """Let classes be imported from the directories of ``--config-dir``: one's own code stands beside its YAML."""
    for source in hydra.runtime.config_sources:
        if source.provider == "command-line" and source.path not in sys.path:
            sys.path.append(source.path)


def instantiate(config: DictConfig, key: str) -> Any:
    """Return the configuration at ``key`` with every ``_target_`` in it called, arguments first.

    Raises:
        ConfigurationError: as ``check_targets``.
    """
    _check(config, [key])
    return hydra.utils.instantiate(OmegaConf.select(config, key), _convert_="all")


def instantiate_callbacks(nodes: DictConfig | None) -> list[Callback]:
    """Return the callbacks of a group that is no part of the configuration.

    Raises:
        ConfigurationError: as ``check_targets``.
    """
    return list(instantiate(OmegaConf.create({"callbacks": nodes or {}}), "callbacks").values())


def check_targets(config: DictConfig) -> None:
    """See that each ``_target_`` of a configuration is of its place's kind and takes the arguments beside it.

    Raises:
        ConfigurationError: where one does not; nothing has been called then.
    """
    _check(config, [str(key) for key in config])


def _check(config: DictConfig, keys: list[str]) -> None:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    found = [problem for key in keys for problem in _problems(plain[key], (key,), KINDS.get(key, ()))]
    if found:
        raise ConfigurationError.from_lines(found)


def _problems(node: Any, path: tuple[str, ...], kinds: tuple[type, ...]) -> Iterator[str]:
    if isinstance(node, dict) and "_target_" in node:
        yield from _target_problems(node, ".".join(path), kinds)
        kinds = ARGUMENTS
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from _problems(child, (*path, str(key)), kinds)


def _target_problems(node: dict[str, Any], key: str, kinds: tuple[type, ...]) -> Iterator[str]:
    try:
        target = pkgutil.resolve_name(str(node["_target_"]))
    except Exception as error:  # whatever the import of somebody's module raises
        yield f"{key}._target_={node['_target_']}: cannot be imported: {_cause(error)}"
        return
    if not (inspect.isclass(target) and issubclass(target, kinds)):
        yield f"{key}._target_={node['_target_']}: must be a class, a kind of {' or '.join(k.__name__ for k in kinds)}"
        return
    signature = inspect.signature(target)
    arguments = {name: value for name, value in node.items() if name not in KEYWORDS}
    bind = signature.bind_partial if node.get("_partial_") else signature.bind
    try:
        bind(*node.get("_args_", ()), **arguments)
    except TypeError as error:
        yield f"{key}: {node['_target_']} {error}; it takes {', '.join(signature.parameters)}"


def _cause(error: BaseException) -> str:
    while error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"
