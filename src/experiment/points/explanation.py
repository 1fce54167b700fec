"""The page that explains a training step, checked against autograd."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from experiment.configuration.errors import ConfigurationError
from experiment.points.chain_rule import Array, Layer, backpropagate
from experiment.points.net import SimpleNet
from experiment.points.replay import ReplayedStep
from experiment.points.textbook import Textbook, format_number


def explain_step(
    step: ReplayedStep, activation: str, columns: Sequence[str], point: int, neuron: int | None
) -> list[str]:
    """Return the lines of the page.

    Args:
        columns: the names of the coordinates.
        activation: of the hidden layers, a key of ``chain_rule.ACTIVATIONS``.
        point: the point that is followed, from 0.
        neuron: the neuron of each hidden layer that is shown, from 1; ``None``: the first ones.

    Raises:
        ConfigurationError: there is no such point or neuron, or the loss is not finite.
    """
    points, classes, shares = (_to_array(tensor) for tensor in (step.points, step.classes, step.shares))
    if not 0 <= point < len(points):
        raise ConfigurationError(f"point={point}: the step has the points 0 to {len(points) - 1}.")
    after = _parameters(step.after)
    layers, losses = backpropagate(_parameters(step.before), activation, points, classes, shares)
    _, losses_after = backpropagate(after, activation, points, classes, shares)
    if not (np.isfinite(losses).all() and np.isfinite(losses_after).all()):
        raise ConfigurationError(f"step={step.index}: the loss is not finite there.")
    widest = max((len(layer.bias) for layer in layers[:-1]), default=0)
    if neuron is not None and not 1 <= neuron <= widest:
        raise ConfigurationError(f"neuron={neuron}: the hidden layers have the neurons 1 to {widest}.")
    page = Textbook(layers, after, activation, classes, losses, losses_after, shares, step.update, point, neuron)
    net = "-".join(str(width) for width in (points.shape[1], *(len(layer.bias) for layer in layers)))
    names = columns if len(columns) == points.shape[1] else [f"x{i}" for i in range(1, points.shape[1] + 1)]
    coordinates = [f"{name} = {format_number(value)}" for name, value in zip(names, points[point], strict=True)]
    return [
        f"Step {step.index} of a {net} net on {len(points)} points; followed is point {point}, "
        f"{', '.join(coordinates)}, of class t = {classes[point]:.0f}",
        "",
        *page.lines(),
        *_compare_with_autograd(step, layers, points, classes, shares),
    ]


def _compare_with_autograd(
    step: ReplayedStep, layers: list[Layer], points: Array, classes: Array, shares: Array
) -> list[str]:
    """Return how far the chain rule is from autograd in float64, and from the gradients of the run itself."""
    dtype = str(next(step.before.parameters()).dtype).removeprefix("torch.")
    errors = [layer.error * shares[:, None] for layer in layers]
    gradients = [gradient for layer in layers for gradient in (layer.weight_gradient, layer.bias_gradient)]
    autograd = _autograd(step.before, points, classes, shares)
    run = [_to_array(gradient) for gradient in step.gradients.values()]
    return [
        "   All by the chain rule. Autograd, in float64 too, comes to the same δ and ∂L/∂w, within "
        f"{_largest_difference([*errors, *gradients], autograd):.0e} of them,",
        f"   and the run itself, in {dtype}, to the same ∂L/∂w within {_largest_difference(gradients, run):.0e}.",
    ]


def _autograd(net: SimpleNet, points: Array, classes: Array, shares: Array) -> list[Array]:
    """Return ∂L/∂z of each layer, then ∂L/∂parameter of each parameter, by autograd in float64."""
    net = copy.deepcopy(net).double().cpu()
    zs: list[Tensor] = []
    for layer in net.layers:
        net.get_submodule(layer).register_forward_hook(lambda module, inputs, z: zs.append(z))
    logits = net(torch.from_numpy(points))[:, 0]
    losses = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(classes), reduction="none")
    gradients = torch.autograd.grad(losses @ torch.from_numpy(shares), [*zs, *net.parameters()])
    return [_to_array(gradient) for gradient in gradients]


def _largest_difference(ours: list[Array], theirs: list[Array]) -> float:
    """Return the largest difference of two arrays, relative to the largest element of the second."""
    tiny = float(np.finfo(float).tiny)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), tiny)) for a, b in zip(ours, theirs, strict=True))


def _to_array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()


def _parameters(net: SimpleNet) -> list[tuple[Array, Array]]:
    """Return weight and bias of each layer."""
    layers = (net.get_submodule(name) for name in net.layers)
    return [(_to_array(layer.get_parameter("weight")), _to_array(layer.get_parameter("bias"))) for layer in layers]
