"""What modules hold beside parameters and buffers: runs that are trained together share it, and no step changes it."""

import functools
import inspect
import types
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from enum import Enum
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from experiment.vectorized.refusal import NotVectorizable

# Attributes that every module has (reading hparams makes one), or in which recurrent layers list their parameters.
IGNORED = {*vars(LightningModule()), "_hparams", "_flat_weights"}
MOST_ELEMENTS = 1000  # of a container that are looked at
DEPTH = 6  # of containers in containers
PLAIN = (int, float, complex, str, bytes, bool, type(None), np.generic)
FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, type)
FIXED = (*PLAIN, *FUNCTIONS, Tensor, nn.Module, torch.dtype, torch.device, Enum)


def describe_attributes(model: nn.Module) -> dict[str, str]:
    """Return a text for each attribute of a module and its submodules, which changes where the attribute does."""
    return {name: describe(value) for name, value in _attributes(model)}


def describe_state(model: LightningModule) -> dict[str, str]:
    """Return what ``describe_attributes`` does, and a text for the module's ``hparams``."""
    return describe_attributes(model) | {"hparams": describe(dict(model.hparams))}


def has_hidden_state(model: nn.Module) -> bool:
    """Return whether a module has attributes whose changes ``describe_attributes`` may not show, as iterators are."""
    return not all(_is_shown(value, DEPTH) for _, value in _attributes(model))


def _attributes(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in IGNORED:
                yield f"{prefix}.{name}" if prefix else name, value


def _is_shown(value: Any, depth: int) -> bool:
    if isinstance(value, types.MethodType | functools.partial):
        parts = [value.__self__] if isinstance(value, types.MethodType) else [value.func, value.args, value.keywords]
    elif isinstance(value, types.FunctionType):
        parts = [*inspect.getclosurevars(value).nonlocals.values()]
    elif isinstance(value, FIXED):
        return True
    elif isinstance(value, np.ndarray):
        return bool(value.dtype != object)
    elif isinstance(value, Mapping):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset | deque):
        parts = [*value]
    elif _is_plain_object(value):
        parts = [vars(value)]
    else:
        return False
    return depth > 0 and all(_is_shown(part, depth - 1) for part in parts)


def _is_plain_object(value: Any) -> bool:
    """Return whether an object holds all of its state in its ``__dict__``."""
    kind = type(value)
    has_slots = any(getattr(each, "__slots__", ()) for each in kind.__mro__)
    return hasattr(value, "__dict__") and not has_slots and not hasattr(kind, "__next__")


def describe(value: Any, depth: int = DEPTH, seen: dict[int, Any] | None = None) -> str:
    """Return a text that is the same for equal numbers, texts, tensors, containers and plain objects of these.

    Args:
        value: any.
        depth: of containers in containers that is looked into.
        seen: by their ids, containers and objects that are described already; each is once.
    """
    seen = {} if seen is None else seen
    kind = type(value).__name__
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray) and not isinstance(value, nn.Parameter):
        return f"{kind} {_digest(value)}"
    if isinstance(value, FUNCTIONS):
        return f"{kind} {value.__module__}.{value.__qualname__}"
    if isinstance(value, nn.Module) or depth == 0 or id(value) in seen:
        return kind
    seen[id(value)] = value
    parts: Iterable[Any]
    if isinstance(value, Mapping):
        parts = chain.from_iterable(value.items())
    elif isinstance(value, Set):
        parts = sorted(value, key=repr)
    elif hasattr(value, "__dict__"):
        parts = chain.from_iterable(vars(value).items())
    elif isinstance(value, Sequence) or hasattr(value, "popleft"):
        parts = value
    else:
        return kind
    size = f" {len(value)}" if hasattr(value, "__len__") else ""
    return f"{kind}{size} {[describe(each, depth - 1, seen) for each in islice(parts, MOST_ELEMENTS)]}"


def _digest(value: Tensor | np.ndarray) -> str:
    try:
        array = value.detach().cpu().reshape(-1).view(torch.uint8).numpy() if isinstance(value, Tensor) else value
        return f"{value.dtype} {[*value.shape]} {zlib.crc32(array.tobytes())}"
    except (RuntimeError, ValueError):  # a tensor that exists only while a step is computed, an array of objects
        return str(id(value))


def check_alike(models: Sequence[LightningModule]) -> None:
    """Check that modules differ in nothing but the values of parameters and buffers.

    Raises:
        NotVectorizable: they do.
    """
    first, attributes = _describe_tensors(models[0]), describe_attributes(models[0])
    for model in models[1:]:
        if _describe_tensors(model) != first:
            raise NotVectorizable("their parameters or buffers have different names, shapes, types or modes")
        other = describe_attributes(model)
        if names := [name for name in attributes.keys() | other.keys() if attributes.get(name) != other.get(name)]:
            raise NotVectorizable(f"their modules differ in {min(names)}")


def _describe_tensors(model: nn.Module) -> list[Any]:
    named = (*model.named_parameters(), *model.named_buffers())
    return [
        *((name, each.shape, each.dtype, each.requires_grad) for name, each in named),
        *((type(module).__qualname__, module.training) for module in model.modules()),
    ]
