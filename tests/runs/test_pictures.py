"""The pictures of a run: how they are laid out, and that they can be drawn again. How they look, eyes must judge."""

import itertools
import math
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiment.runs.pictures import Curve, draw_losses
from tests.conftest import command

pytestmark = pytest.mark.draws


def assert_nothing_is_cut_off_or_overlaps(figure: Figure) -> None:
    """Every text lies in the figure; no axes, with its labels and ticks, meets a legend or other axes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    outside_the_view = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    for text in texts:
        if text not in outside_the_view:
            box = text.get_window_extent(renderer)
            assert figure.bbox.containsx(box.x0), text
            assert figure.bbox.containsx(box.x1), text
            assert figure.bbox.containsy(box.y0), text
            assert figure.bbox.containsy(box.y1), text
    parts = [axes.get_tightbbox(renderer, bbox_extra_artists=[]) for axes in figure.axes]
    parts += [legend.get_window_extent(renderer) for legend in figure.legends if legend.get_texts()]
    assert not any(first.overlaps(second) for first, second in itertools.combinations(parts, 2))
    for axes in figure.axes:
        assert not axes.get_legend()
        title, offset = axes.title.get_window_extent(renderer), axes.yaxis.get_offset_text()
        assert not (offset.get_text() and title.overlaps(offset.get_window_extent(renderer)))


STEPS = range(0, 1000, 10)
LOSSES: dict[str, dict[str, Curve]] = {
    "none": {},
    "one point": {"train/loss": [(0, 0.66)], "test/loss": [(1, 0.65)]},
    "usual": {
        "train/loss": [(step, math.exp(-step / 400)) for step in range(1000)],
        "val/loss": [(step, math.exp(-step / 400)) for step in STEPS],
        "test/loss": [(1000, 0.1)],
    },
    "tiny and large": {
        "train/a_generator_with_a_long_name/loss": [(step, 1e-30 * (step + 1)) for step in STEPS],
        "train/discriminator/loss": [(step, 1e12 / (step + 1)) for step in STEPS],
    },
    "negative": {"train/loss": [(step, 1e3 - step * 1e12) for step in STEPS]},
    "nearly constant": {"train/loss": [(step + 2 * 10**9, 0.66128 + 1e-7 * math.sin(step)) for step in STEPS]},
    "not finite": {"train/loss": [(0, math.nan), (1, math.inf), (2, math.nan)]},
    "many": {f"val/loss_of_task_{task}/loss": [(0, 1.0), (1, 2.0)] for task in range(40)},
}


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_cut_off_or_overlaps(name):
    figure = draw_losses(LOSSES[name])
    assert_nothing_is_cut_off_or_overlaps(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*LOSSES[name]]


@pytest.mark.parametrize(("name", "scale"), [("usual", "linear"), ("tiny and large", "log"), ("negative", "linear")])
def test_losses_far_apart_are_on_a_logarithmic_scale_that_hides_none(name, scale):
    assert draw_losses(LOSSES[name]).axes[0].get_yscale() == scale


def test_a_single_point_can_be_seen():
    markers = [line.get_marker() for line in draw_losses(LOSSES["one point"]).axes[0].get_lines()]
    assert markers == ["o", "x"]


def test_pictures_are_drawn_again(run):
    directory = run("trainer.max_epochs=30", "model.hidden=[3]")
    before = {path.name: path.read_bytes() for path in directory.glob("*.png")}
    for path in directory.glob("*.png"):
        path.unlink()
    assert command("draw", "run") == 0
    assert {path.name: path.read_bytes() for path in directory.glob("*.png")} == before
    (directory / ".hydra/config.yaml").write_text("model: {_target_: os.system, command: touch ran}")
    assert "nothing holds no run." in str(command("draw", "run", "nothing"))
    assert not Path("ran").exists()
