"""The network that classifies points."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from typing_extensions import override

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}


class SimpleNet(nn.Module):
    """Fully connected layers ``fc1``, ``fc2``, …, from a point to the logit of class 1.

    Args:
        hidden: the widths of the hidden layers.
        activation: of the hidden layers, a key of ``ACTIVATIONS``.
        inputs: coordinates of a point.
    """

    def __init__(self, hidden: list[int], activation: str, inputs: int = 2) -> None:
        super().__init__()
        self.inputs = inputs
        widths = [inputs, *hidden, 1]
        self.layers = [f"fc{i}" for i in range(1, len(widths))]
        for name, width, outputs in zip(self.layers, widths, widths[1:], strict=False):
            self.add_module(name, nn.Linear(width, outputs))
        self.activation = ACTIVATIONS[activation]

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, ``[n, 1]``, of the points ``x``, ``[n, inputs]``."""
        *hidden, last = self.layers
        for name in hidden:
            x = self.activation(self.get_submodule(name)(x))
        x = self.get_submodule(last)(x)
        return x
