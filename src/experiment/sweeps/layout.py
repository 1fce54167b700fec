"""The layout of a sweep's pictures: no text is cut off or overlaps another, however long it is."""

import bisect
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.textpath import TextToPath

DPI = 120
COLUMNS = 3  # of panels, at most
SMALL = 8  # points: the size of values
MAX_LABEL = 1.8  # inches: the length of a value
LABEL_PITCH = 0.15  # inches from one small label to the next, at least


def make_panels(count: int, width: float, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure of some panels of a size in inches, in about as many rows as columns."""
    columns = min(COLUMNS, math.ceil(math.sqrt(count)))
    rows = -(-count // columns)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    figure = Figure(figsize=(width * columns, height * rows), dpi=DPI, layout=layout)
    panels = [*figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()]
    for unused in panels[count:]:
        unused.set_axis_off()
    return figure, panels[:count]


def text_width(text: str, size: float = SMALL) -> float:
    """Return the width in inches of a text in a font size in points."""
    width, _, _ = TextToPath().get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return float(width) / 72


def fit(text: str, width: float = MAX_LABEL, size: float = SMALL) -> str:
    """Return a text on one line no wider than ``width`` inches: what is too long is cut out of its middle.

    The text is shown as it is, without mathematics; characters that the font lacks are written as Python escapes them.
    """
    line = _spell_out(text)
    kept = len(line)
    shown = line
    while (excess := text_width(shown, size) / width) > 1:
        kept = min(kept - 1, int(kept / excess))
        shown = f"{line[: kept - kept // 2]}…{line[len(line) - kept // 2 :]}"
    return shown.replace("$", r"\$")


def wrap(text: str, width: float, size: float = SMALL) -> str:
    """Return a text on as many lines as it needs, each no wider than ``width`` inches; otherwise as ``fit`` does."""
    rest, lines = _spell_out(text), []
    while rest:
        fitting = bisect.bisect(range(1, len(rest) + 1), width, key=lambda end: text_width(rest[:end], size))
        end = max(1, fitting)
        if end < len(rest):  # preferably after a comma, a slash or a space
            end = max(rest.rfind(each, end // 2, end) + 1 for each in ",/ ") or end
        lines.append(rest[:end])
        rest = rest[end:]
    return "\n".join(lines).replace("$", r"\$")


def _spell_out(text: str) -> str:
    known = get_font(findfont(FontProperties())).get_charmap()
    return "".join(
        each if ord(each) in known else each.encode("unicode_escape").decode() for each in " ".join(text.split())
    )


def value_labels(values: Iterable[str]) -> list[str]:
    """Return the values of a key as labels; an empty one is that of runs without the key."""
    return [fit(value or "not set") for value in values]


def set_value_ticks(axis: Axis, labels: Sequence[str], length: float) -> None:
    """Label the positions 0, 1, … of an axis of a length in inches; where they are too many, every second, third, …"""
    step = math.ceil(len(labels) * LABEL_PITCH / length)
    axis.set_ticks(range(0, len(labels), step), labels[::step], fontsize=SMALL)


def arrange(figure: Figure) -> None:
    """Lay a figure out for good; where the labels of an x axis overlap, they are turned."""
    figure.draw_without_rendering()
    crowded = [axes for axes in figure.axes if _overlap([each for each in axes.get_xticklabels() if each.get_text()])]
    for axes in crowded:
        axes.tick_params(axis="x", rotation=90)
    if crowded:
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _overlap(labels: Sequence[Text]) -> bool:
    extents = sorted((label.get_window_extent() for label in labels), key=lambda extent: float(extent.x0))
    return any(right.x0 - left.x1 < 0.05 * DPI for left, right in pairwise(extents))
