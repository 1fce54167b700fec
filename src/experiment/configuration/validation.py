"""Validation of composed configurations, with a line in words for each wrong key."""

import json
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from experiment.configuration.descriptions import describe_type, format_value
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.keys import key_schemas, known_keys, model_of
from experiment.configuration.models import RunConfig
from experiment.configuration.suggestions import explain_unknown_key
from experiment.configuration.unions import CustomClass, is_union_tag


def validate(config: DictConfig) -> None:
    """Raise a ``ConfigurationError`` with a line for each wrong key of a composed configuration."""
    if problems := find_problems(config):
        raise ConfigurationError.from_lines(problems)


def find_problems(config: DictConfig) -> list[str]:
    """Return a line for each wrong key of a composed configuration."""
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    try:
        RunConfig.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        # pydantic has an error for each member of a union and each element of a list: one line a key will do.
        lines = [_describe(details, config, plain) for details in error.errors()]
        return list(dict.fromkeys(line for line in lines if line))
    return []


def _describe(error: ErrorDetails, config: DictConfig, plain: dict[str, Any]) -> str | None:
    """Return the line for an error, ``None`` if the value is that of another key, which has an error itself."""
    group, *inner = [str(part) for part in error["loc"] if not is_union_tag(part)]
    key, name, values, schemas = group, group, plain, key_schemas(RunConfig)
    if inner and isinstance(plain.get(group), dict):
        name, values = inner[0], plain[group]
        key, schemas = f"{group}.{name}", key_schemas(model_of(group, values) or CustomClass)
        if OmegaConf.is_interpolation(config[group], name):
            return None
    if error["type"] == "extra_forbidden":
        return f"{key}={format_value(values[name])}: {explain_unknown_key(key, known_keys(config))}"
    given = f"{key}={format_value(values[name])}" if name in values else f"{key} is missing"
    reason = f" ({error['msg'].removeprefix('Value error, ')})" if error["type"] == "value_error" else ""
    return f"{given}: {describe_type(schemas.get(name, {}))}{reason}"
