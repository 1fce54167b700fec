"""The keys of a configuration: the models of each group, and the JSON schema of each key."""

import functools
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from omegaconf import DictConfig
from pydantic import BaseModel

from experiment.configuration.models import RunConfig
from experiment.configuration.plain import raw_data
from experiment.configuration.unions import StrictModel, constants, select_model

# The groups that take keys of a user's own, or of torch's and Lightning's.
GROUPS = ("data", "model", "optimizer", "scheduler", "trainer", "callbacks", "loggers", "extras")


def group_models(group: str) -> list[type[StrictModel]]:
    """Return the models whose keys are known that a group's value can have."""
    annotation = RunConfig.model_fields[group].annotation
    options = typing.get_args(annotation)
    models = [annotation, *options, *(model for option in options for model in typing.get_args(option))]
    return [model for model in models if isinstance(model, type) and issubclass(model, StrictModel)]


def model_of(group: str, value: Any) -> type[StrictModel] | None:
    """Return the model of a group's value, ``None`` where the value is of a user's own class."""
    models = group_models(group)
    return models[0] if models and not constants(models[0]) else select_model(models, value)


@functools.cache
def key_schemas(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the JSON schema of each key of a model."""
    return MappingProxyType(model.model_json_schema()["properties"])


def formula_keys(group: str, value: Any) -> set[str]:
    """Return the keys of a group that may be formulas: values as numbers are, whatever their text."""
    model = model_of(group, value)
    schemas = key_schemas(model) if model else {}
    return {key for key, schema in schemas.items() if any("format" in each for each in schema.get("anyOf", [schema]))}


def known_keys(config: DictConfig) -> list[str]:
    """Return the keys that a composed configuration can have with its choices."""
    plain = raw_data(config)
    groups = [name for name in RunConfig.model_fields if not isinstance(plain.get(name), str)]
    models = {group: model_of(group, plain.get(group)) for group in groups}
    keys = [f"{group}.{key}" for group, model in models.items() if model for key in key_schemas(model)]
    return [*RunConfig.model_fields, *keys, "hydra.run.dir", "hydra.sweep.dir"]


@functools.cache
def json_types() -> dict[str, set[str]]:
    """Return the JSON types that each key may have, of every choice in every group, without keys that hold keys."""
    schemas = {"seed": key_schemas(RunConfig)["seed"]} | {
        f"{group}.{key}": schema
        for group in GROUPS
        for model in group_models(group)
        for key, schema in key_schemas(model).items()
    }
    return {
        key: {option.get("type", "any") for option in schema.get("anyOf", [schema])}
        for key, schema in schemas.items()
        if schema.get("type") != "object"
    }
