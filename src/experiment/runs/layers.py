"""The layers of a module, and the names that they and their parameters have in tags."""

from collections.abc import Iterator

from torch import nn


def named_layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each layer, a submodule that holds parameters itself, with its name in ``named_modules``."""
    for name, layer in module.named_modules():
        if name and next(layer.parameters(recurse=False), None) is not None:
            yield name, layer


def tag_name(name: str) -> str:
    """Return the name of a layer or parameter as tags have it."""
    return name.removeprefix("net.")
