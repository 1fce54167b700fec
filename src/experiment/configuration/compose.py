"""Composing the project's configuration outside ``hydra.main``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from experiment.configuration import CONF
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.loading import dictionaries_replaced
from experiment.configuration.overrides import parse_override
from experiment.configuration.own_code import named_directories
from experiment.configuration.refusals import explain_hydra_error
from experiment.configuration.texts import quote_texts
from experiment.configuration.validation import validate


@contextmanager
def hydra_initialized(*config_dirs: Path | None) -> Iterator[Hydra]:
    """Initialize Hydra with the project's configuration and, as ``--config-dir`` does, directories of the user's.

    Raises:
        ConfigurationError: there is no such directory.
    """
    directories = [directory for directory in config_dirs if directory is not None]
    for directory in directories:
        if not directory.is_dir():
            raise ConfigurationError(f"config_dir {directory}: there is no such directory")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        instance = GlobalHydra.instance()
        search_path = instance.config_loader().get_search_path()
        for directory in directories:
            search_path.prepend("command-line", f"file://{directory.absolute()}", SearchPathQuery(provider="schema"))
        instance.clear()
        yield Hydra.create_main_hydra2("app", search_path)


def compose_with_hydra(
    overrides: Sequence[str], config_dir: Path | None = None, config_name: str = "config"
) -> DictConfig:
    """Compose a primary configuration with overrides, and validate it; its key ``hydra`` is Hydra's own part.

    Raises:
        ConfigurationError: an override or a value is wrong, or there is no such directory.
    """
    overrides = quote_texts(overrides)
    with hydra_initialized(config_dir):
        try:
            config = compose(config_name, overrides, return_hydra_config=True)
        except Exception as error:
            raise explain_hydra_error(error, overrides, config_name) from error
    validate(without_hydra(config))
    return config


def compose_configuration(overrides: Sequence[str]) -> DictConfig:
    """Compose the project's configuration as ``compose_with_hydra`` does, without Hydra's own part."""
    return without_hydra(compose_with_hydra(overrides))


def change(config: DictConfig, overrides: Sequence[str]) -> None:
    """Change a composed configuration: the choice of a group replaces the group, any other override sets a key.

    The choices are those of this project, and of the directories of ``--config-dir``.

    Raises:
        ConfigurationError: an override cannot be parsed, or there is no such choice.
    """
    try:
        parsed = {override: parse_override(override) for override in quote_texts(overrides)}
    except HydraException as error:
        raise ConfigurationError(f"Hydra cannot parse an override: {error}") from error
    if swept := [text for text, each in parsed.items() if each.is_sweep_override()]:
        raise ConfigurationError.from_lines([f"{text}: a key takes one value here" for text in swept])
    choices = [
        text
        for text, each in parsed.items()
        if isinstance(each.value(), str) and isinstance(config.get(each.key_or_group), DictConfig)
    ]
    if choices:
        chosen = _compose_choices(choices)
        config.update({parsed[text].key_or_group: chosen[parsed[text].key_or_group] for text in choices})
    for text, override in parsed.items():
        if text not in choices:
            with dictionaries_replaced():
                OmegaConf.update(config, override.key_or_group, override.value())


def _compose_choices(choices: list[str]) -> dict[str, Any]:
    with hydra_initialized(*named_directories()):
        try:
            composed: Any = OmegaConf.to_container(compose("config", choices))
        except Exception as error:
            raise explain_hydra_error(error, choices, "config") from error
    return dict(composed)


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
