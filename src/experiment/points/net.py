"""The network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}


class SimpleNet(nn.Module):
    """Fully connected layers ``fc1``, ``fc2``, …: from the plane, through the hidden layers, to one number.

    The number is the logit of class 1: its sigmoid is the probability.
    """

    def __init__(self, hidden: list[int], activation: str) -> None:
        super().__init__()
        widths = [2, *hidden, 1]
        self.layers = [f"fc{i}" for i in range(1, len(widths))]
        for name, inputs, outputs in zip(self.layers, widths, widths[1:], strict=False):
            self.add_module(name, nn.Linear(inputs, outputs))
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, ``[n, 1]``, of the points ``x``, ``[n, 2]``."""
        *hidden, last = self.layers
        for name in hidden:
            x = self.activation(self.get_submodule(name)(x))
        x = self.get_submodule(last)(x)
        return x
