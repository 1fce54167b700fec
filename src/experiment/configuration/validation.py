"""Validation of composed configurations, with a line in words for each wrong key."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from omegaconf import DictConfig
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from experiment.configuration.descriptions import describe_type, format_value
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.keys import key_schemas, known_keys, model_of
from experiment.configuration.models import RunConfig
from experiment.configuration.references import Location, ResolvedConfig
from experiment.configuration.suggestions import explain_unknown_key
from experiment.configuration.unions import CustomClass, is_union_tag


def validate(config: DictConfig) -> None:
    """Raise a ``ConfigurationError`` with a line for each wrong key of a composed configuration."""
    raise_problems(ResolvedConfig.of(config))


def raise_problems(resolved: ResolvedConfig) -> None:
    """Raise a ``ConfigurationError`` with a line for each wrong key."""
    if problems := find_problems(resolved):
        raise ConfigurationError.from_lines(problems)


def find_problems(resolved: ResolvedConfig) -> list[str]:
    """Return a line for each wrong key of a composed configuration."""
    unresolved = [
        f"{'.'.join(location)}={_format_raw(resolved.raw_value(location))}: {reason}"
        for location, reason in resolved.unresolved.items()
        if not resolved.has_unresolved_source(location)
    ]
    # pydantic has an error for each member of a union and each element of a list: one line a key will do.
    wrong = [*unresolved, *dict.fromkeys(_find_wrong_values(resolved))]
    return wrong or [*_find_misfits(resolved.plain)]


def _find_misfits(plain: dict[str, Any]) -> Iterator[str]:
    """Yield a line for values that are right by themselves, and do not fit each other."""
    data, model = plain["data"], plain["model"]
    if model_of("data", data) and model_of("model", model):
        coordinates, inputs = len(data.get("columns", "xy")), model.get("inputs", 2)
        if inputs != coordinates:
            yield f"model.inputs={inputs}: {coordinates}, as many as the points have coordinates"


def _find_wrong_values(resolved: ResolvedConfig) -> Iterator[str]:
    """Yield a line for each wrong value, but those of another key that is reported for the same reason."""
    try:
        RunConfig.model_validate_json(json.dumps(resolved.plain, default=str))
    except ValidationError as error:
        wrong: dict[Location, _WrongValue] = {}
        for each in (_WrongValue.of(details, resolved) for details in error.errors()):
            earlier = wrong.get(each.location)
            if not (earlier and earlier.has_reason):  # of a key that takes several types
                wrong[each.location] = each
        for location, value in wrong.items():
            is_unresolved = any(location[: len(each)] == each for each in resolved.unresolved)
            source = wrong.get(resolved.referenced_location(location) or ())
            if not is_unresolved and not (source and value.is_wrong_like(source)):
                yield value.describe(resolved)


@dataclass
class _WrongValue:
    """A value, or a part of the value of a key, that a model does not allow.

    Attributes:
        location: where it is.
        error: pydantic's.
        key: the location of the whole value: a group, or a key in a group.
        allowed: what the key allows, in words.
    """

    location: Location
    error: ErrorDetails
    key: Location
    allowed: str

    @classmethod
    def of(cls, error: ErrorDetails, resolved: ResolvedConfig) -> Self:
        """Return the value that a pydantic error is about."""
        location = resolved.existing_location([str(part) for part in error["loc"] if not is_union_tag(part)])
        group, *inner = location
        key, schemas = location[:1], key_schemas(RunConfig)
        values = resolved.plain.get(group)
        if inner and isinstance(values, dict):
            key, schemas = location[:2], key_schemas(model_of(group, values) or CustomClass)
        return cls(location, error, key, describe_type(schemas.get(key[-1], {})))

    @property
    def has_reason(self) -> bool:
        """Whether the error says more than that the type or the range is wrong."""
        return self.error["type"] == "value_error"

    def is_wrong_like(self, other: Self) -> bool:
        """Whether both are of a wrong type, or are allowed the same."""
        of_wrong_type = all(value.error["type"].endswith("_type") for value in (self, other))
        return of_wrong_type or self.allowed == other.allowed

    def describe(self, resolved: ResolvedConfig) -> str:
        """Return the line for it: the key, its value, where that comes from, and what is allowed."""
        key = ".".join(self.key)
        *group, name = self.key
        values = resolved.plain[group[0]] if group else resolved.plain
        if name not in values:
            return f"{key} is missing: {self.allowed}"
        given = f"{key}={_format_raw(resolved.raw_value(self.key))}"
        if resolved.has_reference(self.key):
            given += f" ({'the text ' * isinstance(values[name], str)}{format_value(values[name])})"
        if self.error["type"] == "extra_forbidden":
            return f"{given}: {explain_unknown_key(key, known_keys(resolved.config))}"
        message = self.error["msg"].removeprefix("Value error, ")
        return f"{given}: {self.allowed}{f' ({message})' if self.has_reason else ''}"


def _format_raw(value: Any) -> str:
    """Return a value as one would type it, with the references in it."""
    return re.sub(r'"(\$\{[^"]*\})"', r"\1", format_value(value))
