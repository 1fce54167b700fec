"""Configurations composed by Hydra, and its errors explained in the words of this project."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.overrides import expand_sweep, parse_override, quote_for_hydra, quote_for_shell
from experiment.configuration.suggestions import explain_unknown_override
from experiment.configuration.validation import find_problems, validate

PACKAGE = Path(__file__).parents[1]
# The project's YAML files: in a wheel they lie within the package, in a clone at its top level.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parents[1] / "conf"


def compose_configuration(overrides: Sequence[str]) -> DictConfig:
    """Compose the project's own configuration with overrides.

    Raises:
        ConfigurationError: the overrides are wrong, or what they compose is not what the schema allows.
    """
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", list(overrides))
    except Exception as error:
        raise explain_hydra_error(error, CONF, overrides) from error
    validate(config)
    return config


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a composed configuration without Hydra's own part."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def explain_hydra_error(error: BaseException, conf: Path, arguments: Sequence[str]) -> BaseException:
    """Return an error that names every wrong override of a command line, or ``error`` if no override is wrong."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("--multirun", "-m", action="store_true")
    known, rest = parser.parse_known_args(arguments)
    overrides = [argument for argument in rest if not argument.startswith("-")]
    roots = [conf, *([Path(known.config_dir).absolute()] if known.config_dir else [])]
    search_path = [f"hydra.searchpath=[{','.join(f'file://{root}' for root in roots[1:])}]"]
    problems: dict[str, None] = {}
    accepted: list[str] = []
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf.absolute()), version_base="1.3"):
        # Groups come first, as they do for Hydra.
        for override in sorted(overrides, key=lambda each: "." in each.partition("=")[0]):
            try:
                choices = list(expand_sweep(override))
                if len(choices) > 1 and not known.multirun:
                    raise ValueError("several values make a sweep: python train.py -m")
                for choice in choices:
                    config = compose("config", [*search_path, *accepted, choice])
                    problems |= dict.fromkeys(find_problems(config))
                accepted.append(choices[0])
            except Exception as reason:
                problems[_describe_refusal(override, reason, roots)] = None
    return ConfigurationError.from_lines(problems) if problems else error


def _describe_refusal(override: str, reason: Exception, roots: Sequence[Path]) -> str:
    """Return the line that says why Hydra refuses an override."""
    group, _, value = override.partition("=")
    options = {path.stem for root in roots for path in (root / group).glob("*.yaml")}
    if options := options or set(GlobalHydra.instance().config_loader().get_group_options(group)):
        return f"{override}: one of {', '.join(sorted(options))}"
    message = str(reason).splitlines()[0]
    if message.startswith("Could not override"):
        return explain_unknown_override(override)
    quoted = f"{group}={quote_for_hydra(value)}"
    if isinstance(reason, HydraException) and value and _is_parsed(quoted):
        return f"{override}: {message}; if it is one text, quote it: {quote_for_shell([quoted])}"
    return f"{override}: {message}"


def _is_parsed(override: str) -> bool:
    try:
        parse_override(override)
    except HydraException:
        return False
    return True
