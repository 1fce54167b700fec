"""Composing the project's configuration outside ``hydra.main``."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from experiment.configuration import CONF
from experiment.configuration.refusals import explain_hydra_error
from experiment.configuration.validation import validate


def compose_configuration(overrides: Sequence[str]) -> DictConfig:
    """Compose the project's configuration with overrides, and validate it.

    Raises:
        ConfigurationError: an override or a value is wrong.
    """
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", list(overrides))
    except Exception as error:
        raise explain_hydra_error(error, overrides) from error
    validate(config)
    return config


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
