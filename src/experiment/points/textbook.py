"""A training step, written out as in a textbook: forward pass, loss, errors passed back, update."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiment.points.chain_rule import ACTIVATIONS, Array, Layer, sigmoid

MAX_TERMS = 4  # of a sum that is written out; of a longer one only the number of terms
MAX_NEURONS = 8  # of a layer that are shown, unless one is chosen
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")

Row = list[str | float]


@dataclass
class Textbook:
    """The page of a step on n points, one of which is followed.

    Attributes:
        layers: what the forward and the backward pass computed in each layer.
        after: weight and bias of each layer after the step.
        activation: of the hidden layers, a key of ``chain_rule.ACTIVATIONS``.
        classes: of the points, ``[n]``.
        losses, losses_after: ℓ of each point before and after the step, ``[n]``.
        shares: of each point's ℓ in the loss of the step, L = Σ share · ℓ, ``[n]``.
        update: the formula or the name of the optimizer's update.
        point: the index of the point that is followed.
        neuron: the neuron of each hidden layer that is shown, from 1; ``None``: the first ones.
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
        for layer in depth:
            yield from align_columns([self._forward_row(layer, j) for j in self._shown_neurons(layer)])
        yield ""
        yield "2  Loss: ℓ = −ln p where t = 1, −ln(1 − p) where t = 0; L, its mean over all points of the step"
        likelihood = format_number(p) if t else f"(1 − {format_number(p)})"
        yield f"   ℓ = −ln {likelihood} = {format_number(loss)}     L = {format_number(before)}"
        yield ""
        yield f"3  Error passed back: δ = ∂ℓ/∂z = p − t, then layer by layer δⱼ = {self.activation}′(zⱼ) · Σₖ wₖⱼ·δₖ"
        for layer in reversed(depth):
            yield from align_columns([self._error_row(layer, j) for j in self._shown_neurons(layer)])
        yield ""
        yield f"4  Update: ∂ℓ/∂w = δ·a and ∂ℓ/∂b = δ; ∂L/∂w, their mean over all points; {self.update}"
        rows: list[Row] = [["", "", "", "", "", "", "", "∂ℓ/∂w", "   ", "∂L/∂w", "   ", "w", "   ", "w′"]]
        for layer in depth:
            rows += [row for j in self._shown_neurons(layer) for row in self._update_rows(layer, j)]
        yield from align_columns(rows)
        yield ""
        yield f"5  After the step: L = {format_number(before)} → {format_number(after)}"

    def _shown_neurons(self, index: int) -> list[int]:
        width = len(self.layers[index].bias)
        if self.neuron is None or index == len(self.layers) - 1:
            return list(range(min(width, MAX_NEURONS)))
        return [self.neuron - 1] * (self.neuron <= width)

    def _forward_row(self, index: int, j: int) -> Row:
        """Return z and the activation of neuron j of a layer."""
        layer = self.layers[index]
        z = layer.z[self.point, j]
        terms = _sum_of_products(layer.weight[j], layer.a[self.point])
        if index == len(self.layers) - 1:
            activation: Row = ["   p = ", float(sigmoid(z))]
        else:
            activation = ["   a = ", float(ACTIVATIONS[self.activation][0](z))]
        return [f"fc{index + 1}  {j + 1}  ", *terms, " + ", layer.bias[j], " = ", z, *activation]

    def _error_row(self, index: int, j: int) -> Row:
        """Return the error that is passed back to neuron j of a layer."""
        layer = self.layers[index]
        name, error = f"fc{index + 1}  {j + 1}  ", float(layer.error[self.point, j])
        if index == len(self.layers) - 1:
            return [name, float(sigmoid(layer.z[self.point, j])), f" − {self.classes[self.point]:.0f} = ", error]
        following = self.layers[index + 1]
        slope = float(ACTIVATIONS[self.activation][1](layer.z[self.point, j]))
        terms = _sum_of_products(following.weight[:, j], following.error[self.point])
        return [name, slope, " · (", *terms, ") = ", error]

    def _update_rows(self, index: int, j: int) -> Iterator[Row]:
        """Yield gradient, old and new value of each shown weight of neuron j of a layer, then of its bias."""
        layer, (weight, bias) = self.layers[index], self.after[index]
        error, inputs = layer.error[self.point, j], layer.a[self.point]
        shown = range(len(inputs)) if index == 0 else self._shown_neurons(index - 1)
        comma = "," if max(weight.shape) > 9 else ""
        for i in shown:
            name = f"fc{index + 1}  " + f"w{j + 1}{comma}{i + 1}   ".translate(SUBSCRIPTS)
            change: Row = [layer.weight_gradient[j, i], "   ", layer.weight[j, i], "   ", weight[j, i]]
            yield [name, error, "·", inputs[i], " = ", "", "", error * inputs[i], "   ", *change]
        name = f"fc{index + 1}  " + f"b{j + 1}   ".translate(SUBSCRIPTS)
        yield [name, "", "", "", "", "", "", error, "   ", layer.bias_gradient[j], "   ", layer.bias[j], "   ", bias[j]]


def _sum_of_products(factors: Array, others: Array) -> Row:
    """Return the terms of a sum of products; of a long sum, the number of its terms and its value."""
    if len(factors) > MAX_TERMS:
        return [f"Σ of {len(factors)} products = ", float(factors @ others)]
    return [cell for pair in zip(factors, others, strict=True) for cell in (" + ", pair[0], "·", pair[1])][1:]


def format_number(value: float) -> str:
    """Return a number to five significant digits."""
    text = f"{value:#.5g}".rstrip(".") if value else "0"
    return text.replace("-", "−")


def align_columns(rows: Sequence[Row]) -> list[str]:
    """Return rows of equal length as lines; the decimal points of the numbers of a column are aligned."""
    columns = [_align(cells) for cells in zip(*rows, strict=True)]
    return ["   " + "".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _align(cells: Sequence[str | float]) -> list[str]:
    """Return the cells of a column as texts of equal width."""
    # The digits before the decimal point of each number; 0 for a text.
    whole_digits, texts = [], []
    for cell in cells:
        text = cell if isinstance(cell, str) else format_number(cell)
        whole_digits.append(len(text.partition(".")[0]) if isinstance(cell, float) else 0)
        texts.append(text)
    if not any(whole_digits):
        return [text.ljust(max(map(len, texts))) for text in texts]
    padded = [
        " " * (max(whole_digits) - digits) * (digits > 0) + text
        for digits, text in zip(whole_digits, texts, strict=True)
    ]
    width = max(map(len, padded))
    return [
        text.ljust(width) if digits else text.rjust(width) for digits, text in zip(whole_digits, padded, strict=True)
    ]
