"""Unions of models that are distinguished by their ``_target_``: classes whose arguments are known, or any other."""

import functools
import typing
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Union

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class StrictModel(BaseModel):
    """A model without unknown keys and without conversion of types: ``1`` is no bool, ``"1"`` no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class CustomClass(BaseModel):
    """A user's own class: its arguments are checked against its signature, not here."""

    model_config = ConfigDict(extra="allow")
    target: str = Field(
        alias="_target_",
        pattern=r"^\w+(\.\w+)+$",
        examples=["package.module.Class"],
        description="any importable class",
    )


class NoClass(BaseModel):
    """No class at all: what the choice ``null`` of a group leaves."""

    model_config = ConfigDict(extra="forbid")


def known_or_custom(*known: type[StrictModel], optional: bool = False) -> Any:
    """Return the union of ``known`` and ``CustomClass``, as ``select_model`` decides between them.

    Args:
        known: the models of the classes whose arguments are known.
        optional: whether the union includes ``NoClass``.
    """

    def tag(value: Any) -> str:
        model = select_model(known, value)
        return f"@{known.index(model)}" if model else "@none" if optional and value == {} else "@custom"

    members = [Annotated[model, Tag(f"@{index}")] for index, model in enumerate(known)]
    none = [Annotated[NoClass, Tag("@none")]] if optional else []
    return Annotated[Union[*members, *none, Annotated[CustomClass, Tag("@custom")]], Discriminator(tag)]


def is_union_tag(location: int | str) -> bool:
    """Return whether a part of the location of a pydantic error is no key, but a tag of ``known_or_custom``."""
    return str(location).startswith("@")


def select_model(models: Sequence[type[StrictModel]], value: Any) -> type[StrictModel] | None:
    """Return the model with a value's ``_target_``; of several, the one that shares the most constants with it."""
    given = value if isinstance(value, dict) else {}
    candidates = [model for model in models if constants(model)["_target_"] == given.get("_target_")]
    return max(candidates, key=lambda model: len(constants(model).items() & given.items()), default=None)


@functools.cache
def constants(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the keys for which a model allows a single text, such as ``_target_`` and ``shape``."""
    allowed = {field.alias or name: typing.get_args(field.annotation) for name, field in model.model_fields.items()}
    texts = {key: values[0] for key, values in allowed.items() if len(values) == 1 and isinstance(values[0], str)}
    return MappingProxyType(texts)
