"""Backpropagation by the chain rule, written out in NumPy (Rumelhart, Hinton and Williams, 1986)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + e⁻ᶻ), computed so that nothing overflows."""
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + e), e / (1 + e)))


# a = f(z) of a hidden neuron, and the derivative f'(z).
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "linear": (lambda z: z, np.ones_like),
}


@dataclass
class Layer:
    """A fully connected layer, and what the forward and the backward pass of n points computed in it.

    Attributes:
        weight, bias: ``[width, inputs]`` and ``[width]``.
        a: the activations of the layer before, ``[n, inputs]``.
        z: ``a @ weight.T + bias``, ``[n, width]``.
        error: δ = ∂ℓ/∂z, of each point's own loss ℓ, ``[n, width]``.
        weight_gradient, bias_gradient: ∂L/∂weight and ∂L/∂bias of the step's loss L.
    """

    weight: Array
    bias: Array
    a: Array
    z: Array
    error: Array
    weight_gradient: Array
    bias_gradient: Array


def backpropagate(
    parameters: Sequence[tuple[Array, Array]], activation: str, points: Array, classes: Array, shares: Array
) -> tuple[list[Layer], Array]:
    """Compute the forward pass of points through a net, and the backward pass of their errors.

    Args:
        parameters: weight and bias of each layer.
        activation: of the hidden layers, a key of ``ACTIVATIONS``.
        points: ``[n, 2]``.
        classes: ``[n]``, 0 or 1.
        shares: of the points in the step's loss, L = Σ share · ℓ, ``[n]``; 1/n each where L is the mean.

    Returns:
        The layers, and the binary cross-entropy ℓ = -t·ln p - (1 - t)·ln(1 - p) of each point, ``[n]``.
    """
    activate, derivative = ACTIVATIONS[activation]
    a, inputs, zs = points, [], []
    for weight, bias in parameters:
        inputs.append(a)
        zs.append(a @ weight.T + bias)
        a = activate(zs[-1])
    z = zs[-1][:, 0]
    losses = np.maximum(z, 0) - classes * z + np.log1p(np.exp(-np.abs(z)))
    error = (sigmoid(z) - classes)[:, None]
    layers: list[Layer] = []
    for (weight, bias), a, z in zip(reversed(parameters), reversed(inputs), reversed(zs), strict=True):
        if layers:
            error = derivative(z) * (layers[0].error @ layers[0].weight)
        weighted = shares[:, None] * error
        layers.insert(0, Layer(weight, bias, a, z, error, weighted.T @ a, weighted.sum(axis=0)))
    return layers, losses
