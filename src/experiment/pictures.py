"""The pictures that any run leaves."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiment.logger import scalars

# Of Okabe and Ito's palette, which is told apart with any kind of colour vision.
STYLES = {"train/loss": {"color": "#0072B2"}, "val/loss": {"color": "#E69F00", "marker": "o", "ms": 3}}
SINGLE = {"color": "black", "marker": "x", "ls": ""}


def loss_curve(directory: Path) -> None:
    """Draw ``loss.png`` of what a run's directory holds: every loss, over the steps."""
    figure = Figure(figsize=(7, 4.2), dpi=120, layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss", title="Loss")
    found = scalars(directory)
    curves = {tag: found[tag] for tag in sorted(found, key=[*STYLES].__contains__, reverse=True) if tag.endswith("/loss")}
    for tag, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=tag, **STYLES.get(tag, SINGLE))
    values = np.array([value for curve in curves.values() for _, value in curve if 0 < value < np.inf])
    if len(values) and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(frameon=False)
    figure.savefig(directory / "loss.png")
