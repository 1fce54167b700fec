"""Several runs in one picture: side by side their losses, the errors of their layers, and what their views add."""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lightning.pytorch import Callback
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from omegaconf import DictConfig

from experiment.backprop.pictures import legend_name
from experiment.configuration.descriptions import format_value
from experiment.configuration.identity import NOTHING, flatten, is_free
from experiment.configuration.models import RunConfig
from experiment.runs.pictures import DPI, OTHER_COLORS, STYLES, Curve, FinishedRun, label_axes, plot_curve, spread
from experiment.sweeps.layout import fit, wrap

MAX_RUNS = 8  # side by side
PANEL = 3.3  # inches, of a panel's width and height
EMPTY = 0.6  # inches, of the height of a row in which no run has anything
TITLE_SIZE, TITLE_WIDTH = 9, 2.5  # points, inches
LINE_HEIGHT = 1.3 * TITLE_SIZE / 72  # inches
PAD = 0.1  # inches
SHOWN_KEYS = 4  # at most, of those in which the runs differ
SHOWN_CURVES = 12  # named in a legend at most, spread over all
LINE_STYLES = ("-", "--", "-.", ":")


@dataclass
class ComparedRun:
    """A run, and what is written above its panels.

    Attributes:
        name: of its directory.
        config: of the run.
        status: ``finished``, or another one that is written beside the name.
        finished: what its pictures are drawn from.
        callbacks: of the run. A callback has a panel if it has a method ``comparison_panel(run)``, which returns a
            function that draws into axes, or ``None`` for a run of which the callback shows nothing.
    """

    name: str
    config: DictConfig
    status: str
    finished: FinishedRun
    callbacks: list[Callback] = field(default_factory=list)


@dataclass
class _Row:
    """A panel of each run, ``None`` where there is nothing to draw, for which ``absent`` stands in words."""

    title: str
    absent: str
    panels: list[Callable[[Axes], None] | None]
    shares_axes: bool = True


def draw_comparison(runs: Sequence[ComparedRun]) -> Figure:
    """Return a picture with a column for each run and a row for each kind of panel.

    The curves of a row have the same scales, and one legend at the right.
    """
    rows = [_losses(runs), _errors(runs), *_views(runs)]
    heights = [PANEL if any(row.panels) else EMPTY for row in rows]
    figure = Figure(figsize=(1, 1), dpi=DPI)
    grid = figure.add_gridspec(len(rows), len(runs), height_ratios=heights)
    panels = [
        _draw_row(figure, row, [grid[index, column] for column in range(len(runs))]) for index, row in enumerate(rows)
    ]
    titles = [_title(run, keys) for run, keys in zip(runs, _different_values(runs), strict=True)]
    for axes, title in zip(panels[0], titles, strict=True):
        axes.set_title(title, fontsize=TITLE_SIZE)
    legends = [_add_legend(figure, axes, row.title) for axes, row in zip(panels, rows, strict=True)]
    _arrange(figure, panels, legends, sum(heights) + LINE_HEIGHT * max(title.count("\n") + 1 for title in titles))
    return figure


def _arrange(figure: Figure, panels: list[list[Axes]], legends: list[Legend], height: float) -> None:
    """Give the figure a height in inches and the width that it needs; place each legend at the right of its row."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    right = max(legend.get_window_extent(renderer).width for legend in legends) / figure.dpi + PAD
    width = PANEL * len(panels[0]) + right
    figure.set_size_inches(width, height)
    share = 1 - right / width
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=PAD / 2, h_pad=PAD / 2, rect=(0, 0, share, 1)))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for row, legend in zip(panels, legends, strict=True):
        box = row[0].get_position()
        legend.set_loc("center left")
        legend.set_bbox_to_anchor((share, (box.y0 + box.y1) / 2), figure.transFigure)


def _draw_row(figure: Figure, row: _Row, places: Sequence[SubplotSpec]) -> list[Axes]:
    drawn: list[Axes] = []
    row_axes = []
    for draw, place in zip(row.panels, places, strict=True):
        shared = drawn[0] if drawn and row.shares_axes else None
        axes = figure.add_subplot(place, sharex=shared if draw else None, sharey=shared if draw else None)
        row_axes.append(axes)
        if draw:
            drawn.append(axes)
            draw(axes)
        else:
            axes.set(xticks=(), yticks=(), frame_on=False)
            axes.text(0.5, 0.5, row.absent, ha="center", va="center", transform=axes.transAxes)
    return row_axes


def _add_legend(figure: Figure, row: Sequence[Axes], title: str) -> Legend:
    """Add a legend of all that a row shows; of very many curves, some are named."""
    handles: dict[str, Artist] = {}
    for axes in row:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = [*handles]
    shown = [names[place] for place in spread(len(names), SHOWN_CURVES)]
    legend = figure.legend(
        [handles[name] for name in shown], shown, title=title, alignment="left", frameon=False, fontsize=TITLE_SIZE
    )
    legend.set_in_layout(False)
    return legend


def _losses(runs: Sequence[ComparedRun]) -> _Row:
    curves = [{tag: curve for tag, curve in run.finished.curves.items() if "loss" in tag.lower()} for run in runs]
    tags = sorted(_union(curves), key=[*STYLES].__contains__, reverse=True)
    others = [tag for tag in tags if tag not in STYLES]
    styles = STYLES | {
        tag: {"color": color, "ls": line}
        for tag, color, line in zip(others, itertools.cycle(OTHER_COLORS), itertools.cycle(LINE_STYLES), strict=False)
    }
    return _curves_row("Loss", "loss", "no loss was logged", curves, {tag: styles[tag] for tag in tags})


def _errors(runs: Sequence[ComparedRun]) -> _Row:
    curves = [
        {tag.removeprefix("error/"): curve for tag, curve in run.finished.curves.items() if tag.startswith("error/")}
        for run in runs
    ]
    layers = _union(curves)
    colors = colormaps["viridis"](np.linspace(0, 0.9, len(layers)))
    styles = {
        layer: {"label": fit(legend_name(layer)), "color": color, "ls": line, "lw": 1.3}
        for layer, color, line in zip(layers, colors, itertools.cycle(LINE_STYLES), strict=False)
    }
    title = "Error passed back to each layer"
    return _curves_row(title, "‖∂L/∂z‖", "no errors of layers\nwere logged", curves, styles)


def _curves_row(
    title: str, label: str, absent: str, curves: Sequence[Mapping[str, Curve]], styles: Mapping[str, dict[str, Any]]
) -> _Row:
    all_curves = [curve for each in curves for curve in each.values()]

    def draw(own: Mapping[str, Curve], axes: Axes) -> None:
        for name, style in styles.items():
            if name in own:
                plot_curve(axes, own[name], **{"label": fit(name), **style})
        label_axes(axes, all_curves, "", label)

    return _Row(title, absent, [functools.partial(draw, own) if own else None for own in curves])


def _views(runs: Sequence[ComparedRun]) -> Iterator[_Row]:
    """Yield a row for each class of callbacks that have panels."""
    found: dict[str, list[Callable[[Axes], None] | None]] = {}
    for index, run in enumerate(runs):
        for callback in run.callbacks:
            if panel := getattr(callback, "comparison_panel", None):
                found.setdefault(type(callback).__name__, [None] * len(runs))[index] = panel(run.finished)
    for name, panels in found.items():
        words = " ".join(re.findall("[A-Z]?[^A-Z]+|[A-Z]+", name)).lower()
        yield _Row(words.capitalize(), f"no {words}\nof this run", panels, shares_axes=False)


def _union(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return [*dict.fromkeys(name for each in mappings for name in each)]


def _different_values(runs: Sequence[ComparedRun]) -> list[list[str]]:
    """Return for each run the keys in which the runs differ, with its values; those that only show a run come last."""
    values = [flatten(run.config) for run in runs]
    groups = [*RunConfig.model_fields]
    differing = [
        key
        for key in sorted(_union(values), key=lambda key: (groups.index(key.partition(".")[0]), key))
        if not is_free(key) and any(each.get(key, NOTHING) != values[0].get(key, NOTHING) for each in values)
    ]
    return [[f"{key}={format_value(each[key])}" for key in differing if key in each] for each in values]


def _title(run: ComparedRun, different: Sequence[str]) -> str:
    """Return the name of a run, its status unless it is finished, and what is different in it and not in its name."""
    more = [text for text in different if text not in run.name]
    hidden = len(more) - SHOWN_KEYS
    return "\n".join(
        [
            wrap(run.name, TITLE_WIDTH, TITLE_SIZE),
            *([run.status] if run.status != "finished" else []),
            *(fit(text, TITLE_WIDTH, TITLE_SIZE) for text in more[:SHOWN_KEYS]),
            *([f"and {hidden} more"] if hidden > 0 else []),
        ]
    )
