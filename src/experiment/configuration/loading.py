"""What this project adds to how Hydra loads a configuration.

The groups take any key without a ``+``: the models, not Hydra, know the keys, and the nearest is suggested.

A dictionary that names another class replaces the one before it. OmegaConf merges dictionaries, and has no other way:
the arguments of one class would remain among those of another.

A search finds the search space of the model's class: ``search/space/<class>.yaml``, of this project or of the user's.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.basecontainer import BaseContainer

from experiment.configuration.identity import is_search
from experiment.configuration.keys import GROUPS

SEARCH_KEY = re.compile(r"[+~]*search\b")
ConfigStore.instance().store(
    name="open",
    node={group: DictConfig({}, flags={"struct": False}) for group in GROUPS},
)
_load = ConfigLoaderImpl.load_configuration


def without_search(overrides: Iterable[str]) -> list[str]:
    """Return the overrides that are of a run, and not of how it is searched."""
    return [override for override in overrides if not SEARCH_KEY.match(override)]


def _load_configuration(
    loader: ConfigLoaderImpl,
    config_name: str | None,
    overrides: list[str],
    run_mode: RunMode,
    *args: Any,
    **kwargs: Any,
) -> DictConfig:
    of_run = without_search(overrides)
    with dictionaries_replaced():
        config = _load(loader, config_name, of_run, run_mode, *args, **kwargs)
        if is_search(config) or of_run != overrides:
            overrides = [*_choose_space(loader, config, of_run), *overrides]
            config = _load(loader, config_name, overrides, run_mode, *args, **kwargs)
    return config


ConfigLoaderImpl.load_configuration = _load_configuration  # type: ignore[method-assign,assignment]


def _choose_space(loader: ConfigLoaderImpl, config: DictConfig, overrides: list[str]) -> list[str]:
    """Return the override that chooses the search space of a model; none if its class has none, or one is chosen."""
    name = str(config.model.get("_target_")).rpartition(".")[2]
    is_chosen = config.hydra.runtime.choices.get("search/space") is not None
    options = loader.get_group_options("search/space", config_name=config.hydra.job.config_name, overrides=overrides)
    return [f"search/space={name}"] if not is_chosen and name in options else []


@contextmanager
def dictionaries_replaced() -> Iterator[None]:
    """Let a merge drop what a dictionary holds before one with another ``_target_`` is merged into it."""
    merge = BaseContainer._map_merge

    def replace_or_merge(old: DictConfig, new: DictConfig) -> None:
        if _names_class(old) and _names_class(new) and _raw_target(old) != _raw_target(new):
            for key in set(old) - set(new):
                del old._content[key]  # type: ignore[union-attr]
        merge(old, new)

    BaseContainer._map_merge = staticmethod(replace_or_merge)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        BaseContainer._map_merge = staticmethod(merge)  # type: ignore[method-assign]


def _names_class(node: DictConfig) -> bool:
    return isinstance(node._content, dict) and "_target_" in node._content


def _raw_target(node: DictConfig) -> Any:
    return node._get_node("_target_")._value()  # type: ignore[union-attr]
