"""The picture of a sweep: a curve over a numeric key, bars for a category, a heat map for two keys, panels for more."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator

from experiment.configuration.objective import DEFAULT, Objective
from experiment.sweeps.layout import SMALL, arrange, fit, make_panels, set_value_ticks, text_width, value_labels
from experiment.sweeps.results import SeedGroup, compared_score, varied_keys

BLUE, RED, GREY = "#0072B2", "#D55E00", "#BBBBBB"  # of Okabe and Ito's palette
MAX_PANELS = 12
MAX_BARS = 40
MAX_NUMBERED_CELLS = 60  # of a heat map
MAX_MARKED = 100  # columns or rows of a heat map: no mark fits into narrower cells
LABEL_SIZE = 10  # points, of keys and scores


def draw_sweep(groups: Sequence[SeedGroup], objective: Objective = DEFAULT) -> Figure:
    """Return the picture that fits the keys that vary; it shows the compared score, its mean and spread over seeds.

    Args:
        groups: the best first.
        objective: by which they are compared, if they have it.
    """
    compared = compared_score(groups, objective)
    score = compared.metric
    values = {key: sorted(each, key=float if _numeric(each) else str) for key, each in varied_keys(groups).items()}
    keys = sorted(values, key=lambda key: (not _numeric(values[key]), -len(values[key])))
    if not keys or (len(keys) == 1 and not _numeric(values[keys[0]])):
        figure = _draw_bars(groups, keys[0] if keys else "", score)
    elif len(keys) == 1:
        figure = _draw_curve(groups, keys[0], score)
    elif 2 * len(groups) > math.prod(map(len, values.values())):
        figure = _draw_heat_maps(groups, keys, values, compared)
    else:  # a search tries too few of the combinations to fill a heat map
        figure = _draw_scatters(groups, keys, values, compared)
    if not any(group.scores(score) for group in groups):
        figure.supxlabel("no run has finished with a score", fontsize=LABEL_SIZE)
        for axes in figure.axes:
            if not axes.images:
                axes.set_yticks([])
    arrange(figure)
    for axes in figure.axes:
        if axes.texts:
            _shorten_cell_texts(axes)
    return figure


def _numeric(values: Iterable[str]) -> bool:
    try:
        return all(math.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def _is_geometric(values: Sequence[float]) -> bool:
    """Whether the ratios of successive positive values are more alike than their differences."""
    if min(values) <= 0 or max(values) < 10 * min(values):
        return False
    steps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(len(values) < 3 or ratios.std() / ratios.mean() < steps.std() / steps.mean())


def _is_wide(scores: Sequence[float]) -> bool:
    """Whether scores are so far apart that a logarithmic scale shows more of them."""
    return bool(len(scores)) and min(scores) > 0 and max(scores) > 10 * min(scores)


def _scale_x(axes: Axes, values: Sequence[float]) -> None:
    if _is_geometric(values):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(LogLocator(subs=(3,)))  # the labels of more ticks would overlap
    else:
        axes.locator_params(axis="x", nbins=5)


def _draw_curve(groups: Sequence[SeedGroup], key: str, score: str) -> Figure:
    """Draw the mean over one numeric key, and the standard deviation around it; diverged runs are marked at the top."""
    figure, (axes,) = make_panels(1, width=7, height=4.2)
    ordered = sorted(groups, key=lambda group: float(group.overrides[key]))
    scored = [group for group in ordered if group.scores(score)]
    x = [float(group.overrides[key]) for group in scored]
    mean = np.array([group.mean(score) for group in scored])
    spread = np.array([group.spread(score) for group in scored])
    low = np.maximum(mean - spread, [min(group.scores(score)) for group in scored])  # a loss may have a lower bound
    axes.plot(x, mean, color=BLUE, marker="o", ms=4, label="mean")
    if spread.any():
        axes.fill_between(x, low, mean + spread, color=BLUE, alpha=0.25, lw=0, label="± standard deviation")
    if diverged := [float(group.overrides[key]) for group in ordered if group.count("diverged")]:
        top = axes.get_xaxis_transform()
        axes.plot(diverged, [0.97] * len(diverged), "kx", transform=top, label="some or all diverged")
    axes.set(xlabel=fit(key, 5, LABEL_SIZE), ylabel=fit(score, 3, LABEL_SIZE))
    _scale_x(axes, [float(group.overrides[key]) for group in ordered])
    if _is_wide(mean.tolist()) and min(low) > 0:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


def _draw_bars(groups: Sequence[SeedGroup], key: str, score: str) -> Figure:
    """Draw the mean of each value of a category, the standard deviation, and every run."""
    shown = groups[:MAX_BARS]
    figure, (axes,) = make_panels(1, width=max(7, 1.5 + 0.22 * len(shown)), height=5 if len(shown) > 4 else 4.2)
    labels = []
    for place, group in enumerate(shown):
        scores, diverged = group.scores(score), group.count("diverged")
        if scores:
            axes.bar(place, group.mean(score), 0.6, yerr=group.spread(score) or None, color=BLUE, alpha=0.5, capsize=4)
            offsets = np.linspace(-0.2, 0.2, len(scores)) if len(scores) > 1 else np.zeros(1)
            axes.plot(place + offsets, scores, "k.", ms=4)
        runs = f"{len(group.rows)} run{'s' if len(group.rows) > 1 else ''}"
        (label,) = value_labels([group.overrides.get(key, "")]) if key else [runs]
        labels.append(f"{label} ({diverged} diverged)" if diverged else label)
    set_value_ticks(axes.xaxis, labels, length=6)
    axes.set(xlabel=fit(key, 5, LABEL_SIZE), ylabel=fit(score, 3, LABEL_SIZE))
    axes.margins(x=0.5 / len(shown), y=0.1)
    axes.grid(axis="y", alpha=0.3)
    _note_omitted(figure, len(shown), len(groups), "values, the best ones")
    return figure


def _note_omitted(figure: Figure, shown: int, total: int, what: str) -> None:
    if shown < total:
        figure.supxlabel(f"{shown} of {total} {what}", fontsize=LABEL_SIZE)


def _draw_scatters(
    groups: Sequence[SeedGroup], keys: Sequence[str], values: Mapping[str, list[str]], compared: Objective
) -> Figure:
    """Draw the score over each key in a panel."""
    score = compared.metric
    figure, panels = make_panels(min(len(keys), MAX_PANELS), width=5, height=3.6, sharey=True)
    scored = [group for group in groups if group.scores(score)]
    scores = [group.mean(score) for group in scored]
    for axes, key in zip(panels, keys, strict=False):
        chosen = [group.overrides.get(key, "") for group in scored]
        if _numeric(values[key]):
            places = [float(value) for value in chosen]
            _scale_x(axes, [float(value) for value in values[key]])
        else:
            places = [values[key].index(value) for value in chosen]
            set_value_ticks(axes.xaxis, value_labels(values[key]), length=3.5)
        axes.plot(places, scores, "o", color=BLUE, alpha=0.6, ms=5)
        axes.plot(places[:1], scores[:1], "o", color=RED, ms=8, label=compared.extreme)
        axes.set(xlabel=fit(key, 3.5, LABEL_SIZE), yscale="log" if _is_wide(scores) else "linear")
        axes.set_ylabel(fit(score, 2, LABEL_SIZE))
        axes.grid(alpha=0.3)
    figure.legend(handles=panels[0].lines[1:], loc="outside upper right", frameon=False)
    _note_omitted(figure, len(panels), len(keys), "keys")
    return figure


def _draw_heat_maps(
    groups: Sequence[SeedGroup], keys: Sequence[str], values: Mapping[str, list[str]], compared: Objective
) -> Figure:
    """Draw a heat map over the first two keys for each combination of the others."""
    score = compared.metric
    across, up, *others = keys
    maps: dict[tuple[str, ...], list[SeedGroup]] = {}
    for group in groups:
        maps.setdefault(tuple(group.overrides.get(key, "") for key in others), []).append(group)
    best = [*maps][:MAX_PANELS]
    shown = sorted(best, key=lambda combination: [values[k].index(v) for k, v in zip(others, combination, strict=True)])
    columns, rows = value_labels(values[across]), value_labels(values[up])
    # Inches: of the cells, and of a panel with its labels.
    cells_width = min(max(0.6 * len(columns), 5.0 if len(shown) == 1 else 2.5), 6)
    cells_height = min(max(0.3 * len(rows), 2.5), 6)
    width = 0.8 + max(map(text_width, rows)) + cells_width
    height = 0.8 + max(map(text_width, columns)) + cells_height + 0.17 * len(others)
    figure, panels = make_panels(len(shown), width, height)
    means = [mean for group in groups if math.isfinite(mean := group.mean(score))]
    norm = (LogNorm if _is_wide(means) else Normalize)(min(means, default=0), max(means, default=1))
    for axes, combination in zip(panels, shown, strict=True):
        image = _draw_heat_map(axes, maps[combination], (across, up), values, score, norm)
        set_value_ticks(axes.xaxis, columns, cells_width)
        set_value_ticks(axes.yaxis, rows, cells_height)
        axes.set(xlabel=fit(across, width - 1, LABEL_SIZE), ylabel=fit(up, cells_height, LABEL_SIZE))
        titles = (f"{key}={value}" for key, value in zip(others, combination, strict=True))
        axes.set_title("\n".join(fit(title, width - 0.4, 9) for title in titles), fontsize=9)
        if groups[0] in maps[combination] and means:
            place = [values[key].index(groups[0].overrides.get(key, "")) - 0.5 for key in (across, up)]
            axes.add_patch(Rectangle((place[0], place[1]), 1, 1, fill=False, ec=RED, lw=2.5, zorder=3))
    if means:
        label = f"{fit(score, 1, LABEL_SIZE)} ({compared.extreme} framed; × diverged)"
        figure.set_figwidth(figure.get_figwidth() + 1.2)
        figure.colorbar(image, ax=panels, label=label, shrink=0.9)
    _note_omitted(figure, len(shown), len(maps), "combinations, the best ones")
    return figure


def _draw_heat_map(
    axes: Axes,
    groups: Sequence[SeedGroup],
    keys: tuple[str, str],
    values: Mapping[str, list[str]],
    score: str,
    norm: Normalize,
) -> AxesImage:
    """Draw the mean of each group in a cell, whose column and row are the group's values of the two keys."""
    across, up = keys
    places = {key: {value: place for place, value in enumerate(values[key])} for key in keys}
    grid = np.full((len(values[up]), len(values[across])), np.nan)
    for group in groups:
        row, column = (places[key][group.overrides.get(key, "")] for key in (up, across))
        mean = group.mean(score)
        text, color = "", "black"
        if math.isfinite(mean):
            grid[row, column] = mean
            if grid.size <= MAX_NUMBERED_CELLS:
                text, color = f"{mean:.3g}", "white" if norm(mean) < 0.5 else "black"
        elif max(grid.shape) <= MAX_MARKED and group.count("diverged"):
            text = "diverged"
        if text:
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALL - 1, color=color)
    shades = colormaps["cividis"].with_extremes(bad=GREY)
    return axes.imshow(grid, shades, norm=norm, origin="lower", aspect="auto")


def _shorten_cell_texts(axes: Axes) -> None:
    """Keep the texts that fit into the cells of a heat map: a mark stands for "diverged", numbers are left out."""
    rows, columns = axes.images[0].get_size()
    width, height = 0.9 * axes.bbox.width / columns, axes.bbox.height / rows
    numbers = [text for text in axes.texts if text.get_text() != "diverged"]
    diverged = [text for text in axes.texts if text.get_text() == "diverged"]
    for texts, short in ((numbers, ""), (diverged, "×"), (diverged, "")):
        extents = [text.get_window_extent() for text in texts]
        if any(extent.width > width or extent.height > height for extent in extents):
            for text in texts:
                text.set_text(short)
