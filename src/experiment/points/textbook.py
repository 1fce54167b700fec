"""One training step of a net, laid out as a textbook prints it: forward, loss, error passed back, update."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiment.points.chain_rule import ACTIVATIONS, Array, Layer, sigmoid

TERMS = 4  # of a sum that are written out; of a longer one only their number is
NEURONS = 8  # of a layer that are shown, unless one is picked
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

Cells = list[str | float]


@dataclass
class Textbook:
    """A step of n points, one of which is followed.

    Attributes:
        layers: as they were before the step, with what went through them.
        after: weight and bias of each layer after the step.
        activation: of the hidden layers.
        classes, losses, shares: of the points, ``[n]``: the loss of the step is L = Σ share · ℓ.
        losses_after: of the points after the step.
        update: how the optimizer made ``after`` of the gradient.
        point: the one that is followed.
        neuron: that is shown of each hidden layer, counted from 1; ``None``: the first ones.
    """

    layers: list[Layer]
    after: Sequence[tuple[Array, Array]]
    activation: str
    classes: Array
    losses: Array
    losses_after: Array
    shares: Array
    update: str
    point: int
    neuron: int | None

    def lines(self) -> Iterator[str]:
        """Yield the lines of the page."""
        depth = range(len(self.layers))
        t, loss = self.classes[self.point], self.losses[self.point]
        p = float(sigmoid(self.layers[-1].z)[self.point, 0])
        before, after = self.losses @ self.shares, self.losses_after @ self.shares

        yield f"1  Forward: z = Σ w·a + b, then a = {self.activation}(z) and, of the output, p = σ(z)"
        for index in depth:
            yield from align_columns([self._forward(index, j) for j in self._shown(index)])
        yield ""
        yield "2  Loss: ℓ = −ln p where t = 1, −ln(1 − p) where t = 0; L, its mean over all points of the step"
        likelihood = format_number(p) if t else f"(1 − {format_number(p)})"
        yield f"   ℓ = −ln {likelihood} = {format_number(loss)}     L = {format_number(before)}"
        yield ""
        yield f"3  Error passed back: δ = ∂ℓ/∂z = p − t, then layer by layer δⱼ = {self.activation}′(zⱼ) · Σₖ wₖⱼ·δₖ"
        for index in reversed(depth):
            yield from align_columns([self._error(index, j) for j in self._shown(index)])
        yield ""
        yield f"4  Update: ∂ℓ/∂w = δ·a and ∂ℓ/∂b = δ; ∂L/∂w, their mean over all points; {self.update}"
        rows: list[Cells] = [["", "", "", "", "", "", "", "∂ℓ/∂w", "   ", "∂L/∂w", "   ", "w", "   ", "w′"]]
        for index in depth:
            rows += [row for j in self._shown(index) for row in self._updates(index, j)]
        yield from align_columns(rows)
        yield ""
        yield f"5  After the step: L = {format_number(before)} → {format_number(after)}"

    def _shown(self, index: int) -> list[int]:
        width = len(self.layers[index].bias)
        if self.neuron is None or index == len(self.layers) - 1:
            return list(range(min(width, NEURONS)))
        return [self.neuron - 1] * (self.neuron <= width)

    def _forward(self, index: int, j: int) -> Cells:
        layer = self.layers[index]
        z = layer.z[self.point, j]
        terms = _sum(layer.weight[j], layer.a[self.point])
        if index == len(self.layers) - 1:
            then: Cells = ["   p = ", float(sigmoid(z))]
        else:
            then = ["   a = ", float(ACTIVATIONS[self.activation][0](z))]
        return [f"fc{index + 1}  {j + 1}  ", *terms, " + ", layer.bias[j], " = ", z, *then]

    def _error(self, index: int, j: int) -> Cells:
        layer = self.layers[index]
        start, error = f"fc{index + 1}  {j + 1}  ", float(layer.error[self.point, j])
        if index == len(self.layers) - 1:
            return [start, float(sigmoid(layer.z[self.point, j])), f" − {self.classes[self.point]:.0f} = ", error]
        following = self.layers[index + 1]
        slope = float(ACTIVATIONS[self.activation][1](layer.z[self.point, j]))
        terms = _sum(following.weight[:, j], following.error[self.point])
        return [start, slope, " · (", *terms, ") = ", error]

    def _updates(self, index: int, j: int) -> Iterator[Cells]:
        layer, (weight, bias) = self.layers[index], self.after[index]
        error, inputs = layer.error[self.point, j], layer.a[self.point]
        shown = range(len(inputs)) if index == 0 else self._shown(index - 1)
        comma = "," if max(weight.shape) > 9 else ""
        for i in shown:
            name = f"fc{index + 1}  " + f"w{j + 1}{comma}{i + 1}   ".translate(SUBSCRIPTS)
            change: Cells = [layer.weight_gradient[j, i], "   ", layer.weight[j, i], "   ", weight[j, i]]
            yield [name, error, "·", inputs[i], " = ", "", "", error * inputs[i], "   ", *change]
        name = f"fc{index + 1}  " + f"b{j + 1}   ".translate(SUBSCRIPTS)
        yield [name, "", "", "", "", "", "", error, "   ", layer.bias_gradient[j], "   ", layer.bias[j], "   ", bias[j]]


def _sum(factors: Array, others: Array) -> Cells:
    """Return the terms of a sum of products; of many, what they come to."""
    if len(factors) > TERMS:
        return [f"Σ of {len(factors)} products = ", float(factors @ others)]
    return [cell for pair in zip(factors, others, strict=True) for cell in (" + ", pair[0], "·", pair[1])][1:]


def format_number(value: float) -> str:
    """Return a number to five significant digits."""
    text = f"{value:#.5g}".rstrip(".") if value else "0"
    return text.replace("-", "−")


def align_columns(rows: Sequence[Cells]) -> list[str]:
    """Return the rows as lines, with the points of the numbers in each column one below the other."""
    columns = [_column(cells) for cells in zip(*rows, strict=True)]
    return ["   " + "".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _column(cells: Sequence[str | float]) -> list[str]:
    wholes, texts = [], []
    for cell in cells:
        text = cell if isinstance(cell, str) else format_number(cell)
        wholes.append(len(text.partition(".")[0]) if isinstance(cell, float) else 0)
        texts.append(text)
    if not any(wholes):
        return [text.ljust(max(map(len, texts))) for text in texts]
    moved = [" " * (max(wholes) - whole) * (whole > 0) + text for whole, text in zip(wholes, texts, strict=True)]
    width = max(map(len, moved))
    return [text.ljust(width) if whole else text.rjust(width) for whole, text in zip(wholes, moved, strict=True)]
