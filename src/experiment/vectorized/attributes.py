"""What modules hold beside parameters and buffers: runs that are trained together share it, and no step changes it."""

import zlib
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from experiment.vectorized.refusal import NotVectorizable

PARAMETERS = {"_flat_weights"}  # attributes in which recurrent layers list their parameters
LIGHTNINGS = {*vars(LightningModule()), "_hparams"}  # attributes that every module has; reading hparams makes that one
MOST_ELEMENTS = 1000  # of a container that are looked at
PLAIN = (int, float, complex, str, bytes, bool, type(None))


def describe_attributes(model: nn.Module) -> dict[str, str]:
    """Return a text for each attribute of a module and its submodules, which changes where the attribute does."""
    return {
        f"{prefix}.{name}" if prefix else name: describe(value)
        for prefix, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in LIGHTNINGS | PARAMETERS
    }


def describe(value: Any, depth: int = 4) -> str:
    """Return a text that is the same for equal numbers, texts, tensors, containers and plain objects of these."""
    kind = type(value).__name__
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, Tensor | np.ndarray) and not isinstance(value, nn.Parameter):
        return f"{kind} {_digest(value)}"
    if isinstance(value, nn.Module | type) or callable(value) or depth == 0:
        return kind
    if isinstance(value, Mapping):
        value = [*value.items()]
    elif isinstance(value, Set):
        value = sorted(value, key=repr)
    elif hasattr(value, "__dict__"):
        value = [*vars(value).items()]
    elif not isinstance(value, Sequence) and not hasattr(value, "popleft"):
        return kind
    elements = [describe(each, depth - 1) for each, _ in zip(value, range(MOST_ELEMENTS), strict=False)]
    return f"{kind} {len(value)} {elements}"


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
