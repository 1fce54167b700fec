"""Instantiating configurations: no ``_target_`` is called before it is checked to be what its place calls for."""

import functools
import inspect
import pkgutil
import sys
from collections.abc import Container, Iterator
from typing import Any

from lightning.fabric.plugins import CheckpointIO, ClusterEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.own_code import explain_hidden_module, is_own
from experiment.configuration.plain import resolved_data

# What the _target_ of each group may be, and those among its arguments, which may be of the user's own code too.
ARGUMENT_KINDS = (Optimizer, LRScheduler, nn.Module)
GROUP_KINDS: dict[str, tuple[type, ...]] = {
    "data": (LightningDataModule,),
    "model": (LightningModule,),
    "optimizer": (Optimizer,),
    "scheduler": (LRScheduler,),
    "callbacks": (Callback,),
    "loggers": (Logger,),
    "trainer": (Strategy, Profiler, Precision, CheckpointIO, ClusterEnvironment, LayerSync),
    "extras": ARGUMENT_KINDS,
}
RESERVED = {"model": ("from_run",)}  # keys of a group that are no arguments of its class
HYDRA_KEYWORDS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")


def instantiate(config: DictConfig, key: str) -> Any:
    """Instantiate the configuration at a key, and everything within it.

    Raises:
        ConfigurationError: as ``check_targets``; nothing has been called then.
    """
    plain = resolved_data(config[key])
    if problems := [*target_problems(key, plain)]:
        raise ConfigurationError.from_lines(problems)
    return make({name: value for name, value in plain.items() if name not in RESERVED.get(key, ())})


def make(node: Any) -> Any:
    """Return plain data with an object in the place of each dictionary that has a ``_target_``.

    As ``hydra.utils.instantiate`` with ``_convert_="all"``, in a tenth of the time: it copies no configuration.
    """
    if isinstance(node, list):
        return [make(child) for child in node]
    if not isinstance(node, dict):
        return node
    if node.get("_recursive_", True):
        node = {name: make(child) for name, child in node.items()}
    if "_target_" not in node:
        return node
    target = pkgutil.resolve_name(node["_target_"])
    arguments = {name: value for name, value in node.items() if name not in HYDRA_KEYWORDS}
    if node.get("_partial_"):
        target = functools.partial(functools.partial, target)
    return target(*node.get("_args_", ()), **arguments)


def instantiate_callbacks(nodes: DictConfig | None) -> list[Callback]:
    """Instantiate callbacks that are not part of the configuration of a run.

    Raises:
        ConfigurationError: as ``check_targets``; nothing has been called then.
    """
    return list(instantiate(OmegaConf.create({"callbacks": nodes or {}}), "callbacks").values())


def check_targets(config: DictConfig, *keys: str) -> None:
    """Check each ``_target_`` of some groups of a configuration, or of all, without calling it.

    Raises:
        ConfigurationError: some are wrong, as ``target_problems`` says.
    """
    plain = resolved_data(config)
    if problems := [problem for key in keys or plain for problem in target_problems(key, plain[key])]:
        raise ConfigurationError.from_lines(problems)


def target_problems(key: str, value: Any) -> Iterator[str]:
    """Yield a line for each wrong ``_target_`` of a group, without calling it.

    It is wrong if it cannot be imported, is not what its place calls for, or does not take its arguments.

    Args:
        key: of the group.
        value: of the group, resolved plain data.
    """
    yield from _find_problems(value, (key,), GROUP_KINDS.get(key, ()))


def supplied_arguments(target: Any, given: Container[str]) -> list[str]:
    """Return the arguments that a run gives a class: a logger's directory, if required and not in its configuration."""
    if not (inspect.isclass(target) and issubclass(target, Logger)) or "save_dir" in given or "_args_" in given:
        return []
    parameter = inspect.signature(target).parameters.get("save_dir")
    return ["save_dir"] if parameter is not None and parameter.default is parameter.empty else []


def _find_problems(node: Any, path: tuple[str, ...], kinds: tuple[type, ...]) -> Iterator[str]:
    if isinstance(node, dict) and "_target_" in node:
        yield from _class_problems(node, ".".join(path), kinds)
        kinds = ARGUMENT_KINDS
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from _find_problems(child, (*path, str(key)), kinds)


def _class_problems(node: dict[str, Any], key: str, kinds: tuple[type, ...]) -> Iterator[str]:
    name = str(node["_target_"])
    try:
        target = pkgutil.resolve_name(name)
    except Exception as error:  # whatever the import of somebody's module raises
        reason = explain_hidden_module(name) or _format_root_cause(error) + _advise(error, node)
        yield f"{key}._target_={name}: cannot be imported: {reason}"
        return
    if (hidden := explain_hidden_module(name)) and is_own(target):
        yield f"{key}._target_={name}: cannot be imported: {hidden}"
        return
    is_argument = kinds == ARGUMENT_KINDS
    if not (inspect.isclass(target) and issubclass(target, kinds)) and not (is_argument and is_own(target)):
        allowed = f"must be a class, a kind of {' or '.join(kind.__name__ for kind in kinds)}"
        own = ", or a class or a function of your own code: beside your script, or in the directory of --config-dir"
        yield f"{key}._target_={name}: {allowed}{own if is_argument else ''}"
        return
    signature = _signature(target)
    others = (*HYDRA_KEYWORDS, *RESERVED.get(key, ()))
    arguments = {name: value for name, value in node.items() if name not in others}
    arguments |= dict.fromkeys(supplied_arguments(target, node))
    bind = signature.bind_partial if node.get("_partial_") else signature.bind
    try:
        bind(*node.get("_args_", ()), **arguments)
    except TypeError as error:
        advice = f"; {key}={{_target_:{node['_target_']}}} drops all others" if "unexpected" in str(error) else ""
        if isinstance(target, type) and issubclass(target, Optimizer | LRScheduler) and not node.get("_partial_"):
            advice = f"; {key}._partial_=true leaves the rest to the model"
        yield f"{key}: {node['_target_']} {error}; it takes {', '.join(signature.parameters)}{advice}"


@functools.lru_cache(maxsize=256)  # the runs of a sweep have the same classes
def _signature(target: Any) -> inspect.Signature:
    return inspect.signature(target)


def _format_root_cause(error: BaseException) -> str:
    while error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _advise(error: Exception, node: dict[str, Any]) -> str:
    """Return advice where the module itself is not found, and not another one that it imports."""
    name = str(node["_target_"])
    if name.startswith("__main__."):
        return "; it is of the script or the notebook that made the run, which alone can load it"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    is_missing = bool(missing) and f"{name}.".startswith(f"{missing}.")
    # A directory that happens to have the name of the module is a package without a file.
    is_directory = getattr(sys.modules.get(name.partition(".")[0]), "__file__", "") is None
    return "; name the directory of code that is not installed: --config-dir DIR" if is_missing or is_directory else ""
