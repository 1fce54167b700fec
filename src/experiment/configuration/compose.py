"""Composing the project's configuration outside ``hydra.main``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from experiment.configuration import (
    CONF,
    loading,  # noqa: F401
)
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.refusals import explain_hydra_error
from experiment.configuration.validation import validate


@contextmanager
def hydra_initialized(config_dir: Path | None = None) -> Iterator[Hydra]:
    """Initialize Hydra with the project's configuration and, as ``--config-dir`` does, a directory of the user's.

    Raises:
        ConfigurationError: there is no such directory.
    """
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigurationError(f"config_dir {config_dir}: there is no such directory")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        instance = GlobalHydra.instance()
        if config_dir is not None:
            search_path = instance.config_loader().get_search_path()
            search_path.prepend("command-line", f"file://{config_dir.absolute()}", SearchPathQuery(provider="schema"))
            instance.clear()
            Hydra.create_main_hydra2("app", search_path)
        assert instance.hydra is not None
        yield instance.hydra


def compose_with_hydra(
    overrides: Sequence[str], config_dir: Path | None = None, config_name: str = "config"
) -> DictConfig:
    """Compose a primary configuration with overrides, and validate it; its key ``hydra`` is Hydra's own part.

    Raises:
        ConfigurationError: an override or a value is wrong, or there is no such directory.
    """
    with hydra_initialized(config_dir):
        try:
            config = compose(config_name, list(overrides), return_hydra_config=True)
        except Exception as error:
            raise explain_hydra_error(error, overrides, config_name) from error
    validate(without_hydra(config))
    return config


def compose_configuration(overrides: Sequence[str]) -> DictConfig:
    """Compose the project's configuration as ``compose_with_hydra`` does, without Hydra's own part."""
    return without_hydra(compose_with_hydra(overrides))


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
