"""The picture of a sweep: a curve over a numeric key, bars for a category, a heat map for two keys, panels for more."""

import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from experiment.sweeps.results import SeedGroup, compared_loss, varied_keys

BLUE, RED, GREY = "#0072B2", "#D55E00", "#BBBBBB"  # of Okabe and Ito's palette
PANELS = 12  # at most
WRITTEN = 60  # cells of a heat map in which the number stands, at most
COLUMNS = 3  # of panels


def draw_sweep(answers: Sequence[SeedGroup]) -> Figure:
    """Return the picture that fits what the answers differ in: the loss by which they are compared, mean and spread."""
    loss = compared_loss(answers)
    values = {key: sorted(each, key=float if _numeric(each) else str) for key, each in varied_keys(answers).items()}
    keys = sorted(values, key=lambda key: (not _numeric(values[key]), -len(values[key])))
    if len(keys) < 2:
        figure = Figure(figsize=(7, 4.2), dpi=120)
        axes = figure.add_axes((0.12, 0.15, 0.84, 0.76))
        if keys and _numeric(values[keys[0]]):
            _curve(axes, answers, keys[0], loss)
        else:
            _bars(axes, answers, keys[0] if keys else "", loss)
        return figure
    grid = 2 * len(answers) > math.prod(map(len, values.values()))
    return (_maps if grid else _scatter)(answers, keys, values, loss)


def _numeric(values: Iterable[str]) -> bool:
    try:
        return all(math.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def _logarithmic(values: Sequence[float]) -> bool:
    """Whether the ratios of positive values that follow each other are more alike than their differences."""
    if min(values) <= 0 or max(values) < 10 * min(values):
        return False
    steps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(len(values) < 3 or ratios.std() / ratios.mean() < steps.std() / steps.mean())


def _wide(losses: Sequence[float]) -> bool:
    """Whether losses are so far apart that a logarithmic scale shows more of them."""
    return bool(len(losses)) and min(losses) > 0 and max(losses) > 10 * min(losses)


def _panels(count: int, width: float, height: float = 3.6, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels, each of a size in inches, in about as many rows as columns."""
    columns = min(COLUMNS, math.ceil(math.sqrt(count)))
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), dpi=120, layout="constrained")
    panels = [*figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()]
    for unused in panels[count:]:
        unused.set_axis_off()
    return figure, panels[:count]


def _curve(axes: Axes, answers: Sequence[SeedGroup], key: str, loss: str) -> None:
    """Draw the mean over one numeric key, and the standard deviation around it; what has none is marked at the top."""
    ordered = sorted(answers, key=lambda answer: float(answer.overrides[key]))
    known = [answer for answer in ordered if answer.scores(loss)]
    x, at = ([float(answer.overrides[key]) for answer in some] for some in (ordered, known))
    mean, spread = (np.array([getattr(answer, what)(loss) for answer in known]) for what in ("mean", "spread"))
    axes.plot(at, mean, color=BLUE, marker="o", ms=4, label="mean")
    low = np.maximum(mean - spread, [min(answer.scores(loss)) for answer in known])  # no loss is below 0
    if spread.any():
        axes.fill_between(at, low, mean + spread, color=BLUE, alpha=0.25, lw=0, label="± standard deviation")
    if lost := [value for value, answer in zip(x, ordered, strict=True) if answer.count("diverged")]:
        axes.plot(lost, [0.97] * len(lost), "kx", transform=axes.get_xaxis_transform(), label="some or all diverged")
    axes.set(xlabel=key, ylabel=loss, xscale="log" if _logarithmic(x) else "linear")
    if _wide(mean.tolist()) and min(low) > 0:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _bars(axes: Axes, answers: Sequence[SeedGroup], key: str, loss: str) -> None:
    """Draw the mean of each value of a category, the standard deviation, and every run."""
    for place, answer in enumerate(answers):
        scores = answer.scores(loss)
        if scores:
            axes.bar(place, answer.mean(loss), 0.6, yerr=answer.spread(loss) or None, color=BLUE, alpha=0.5, capsize=4)
            offsets = np.linspace(-0.2, 0.2, len(scores)) if len(scores) > 1 else [0]
            axes.plot(place + np.array(offsets), scores, "k.", ms=4)
        if diverged := answer.count("diverged"):
            text = f"{diverged} diverged"
            axes.text(place, 0.98, text, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8)
    labels = [answer.overrides.get(key, f"{len(answer.rows)} runs") for answer in answers]
    axes.set_xticks(range(len(answers)), labels, rotation=20 if max(map(len, labels)) * len(labels) > 70 else 0)
    axes.set(xlabel=key, ylabel=loss)
    axes.margins(x=0.5 / len(answers), y=0.1)
    axes.grid(axis="y", alpha=0.3)


def _scatter(answers: Sequence[SeedGroup], keys: list[str], values: dict[str, list[str]], loss: str) -> Figure:
    """Draw the loss over each key by itself: what a search tried fills no grid."""
    shown = keys[:PANELS]
    figure, panels = _panels(len(shown), width=5, sharey=True)
    known = [answer for answer in answers if answer.scores(loss)]
    losses = [answer.mean(loss) for answer in known]
    for axes, key in zip(panels, shown, strict=True):
        numeric = _numeric(values[key])
        places = [
            float(value) if numeric else values[key].index(value) for value in (a.overrides.get(key, "") for a in known)
        ]
        axes.plot(places, losses, "o", color=BLUE, alpha=0.6, ms=5)
        axes.plot(places[:1], losses[:1], "o", color=RED, ms=8, label="the lowest")
        axes.set(xlabel=key, ylabel=loss)
        if not numeric:
            axes.set_xticks(range(len(values[key])), values[key], fontsize=8)
        elif _logarithmic([float(value) for value in values[key]]):
            axes.set_xscale("log")
        if _wide(losses):
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    return figure


def _maps(answers: Sequence[SeedGroup], keys: list[str], values: dict[str, list[str]], loss: str) -> Figure:
    """Draw a heat map over the first two keys for each combination of the others."""
    across, up, *others = keys
    combinations = list(itertools.product(*(values[key] for key in others)))[:PANELS]
    width = max(3.7, min(0.55 * len(values[across]) + 1.9, 7.5)) if len(combinations) > 1 else 8
    figure, panels = _panels(len(combinations), width, height=3.8)
    means = [mean for answer in answers if math.isfinite(mean := answer.mean(loss))]
    norm = (LogNorm if _wide(means) else Normalize)(min(means, default=0), max(means, default=1))
    for axes, combination in zip(panels, combinations, strict=True):
        chosen = [a for a in answers if tuple(a.overrides.get(key, "") for key in others) == combination]
        shades = _map(axes, chosen, across, up, values, loss, norm, best=answers[0])
        axes.set_title("\n".join(f"{key}={value}" for key, value in zip(others, combination, strict=True)), fontsize=9)
    figure.colorbar(shades, ax=panels, label=f"{loss}, the lowest framed", shrink=0.9)
    return figure


def _map(
    axes: Axes,
    answers: Sequence[SeedGroup],
    across: str,
    up: str,
    values: dict[str, list[str]],
    loss: str,
    norm: Normalize,
    best: SeedGroup,
) -> AxesImage:
    grid = np.full((len(values[up]), len(values[across])), np.nan)
    for answer in answers:
        row, column = (values[key].index(answer.overrides.get(key, "")) for key in (up, across))
        grid[row, column] = answer.mean(loss)
        if answer is best and answer.scores(loss):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=RED, lw=2.5, zorder=3))
        known = math.isfinite(grid[row, column])
        if not known and answer.count("diverged"):
            axes.text(column, row, "diverged", ha="center", va="center", fontsize=7, rotation=30)
        elif known and grid.size <= WRITTEN:
            dark = norm(grid[row, column]) < 0.5
            text = f"{grid[row, column]:.3g}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    colours = colormaps["cividis"].with_extremes(bad=GREY)
    shades = axes.imshow(np.where(np.isfinite(grid), grid, np.nan), colours, norm=norm, origin="lower", aspect="auto")
    axes.set(xlabel=across, ylabel=up)
    axes.set_xticks(range(grid.shape[1]), values[across], rotation=30 if grid.shape[1] > 6 else 0, fontsize=8)
    axes.set_yticks(range(grid.shape[0]), values[up], fontsize=8)
    return shades
