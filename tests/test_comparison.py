"""Several runs in one picture: what is in it, that nothing is cut off, and what is refused."""

import math
import shutil
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from omegaconf import OmegaConf

import experiment
from experiment import draw
from experiment.comparison import MAX_RUNS, ComparedRun, draw_comparison
from experiment.runs.directory import RunDirectory
from experiment.runs.pictures import Curve, FinishedRun
from tests.conftest import command, snapshot
from tests.runs.test_pictures import assert_nothing_is_cut_off_or_overlaps
from tests.runs.test_run import curve

pytestmark = pytest.mark.draws

FALLING: dict[str, Curve] = {
    "train/loss": [(step, math.exp(-step / 40)) for step in range(100)],
    "val/loss": [(50, 0.3), (100, 0.1)],
    **{f"error/fc{layer}": [(step, 10.0**-layer) for step in range(0, 100, 10)] for layer in (2, 1)},
}
CURVES: dict[str, dict[str, Curve]] = {
    "usual": FALLING,
    "much longer": {tag: [(1000 * step, value) for step, value in values] for tag, values in FALLING.items()},
    "diverged": {"train/loss": [(0, 0.6), (1, math.inf), (2, math.nan)], "error/fc1": [(0, math.nan)]},
    "nothing": {},
    "without errors": {"train/loss": [(0, 0.6), (1, 0.5)]},
    "deep": {f"error/body.{layer}.attention.projection": [(0, 10.0**-layer)] for layer in range(40)},
    "losses": {f"val/{'a_very_' * 20}long_name/loss_{number}": [(0, 1.0), (1, 2.0)] for number in range(30)},
    "numbered layers": {"train/loss": [(0, -3e9)], "error/0": [(0, 1e-12)], "error/3": [(0, 1e12)]},
}
NAMES = {
    "long": "optimizer.lr=0.1," * 12,
    "one word": "W" * 250,
    "not in the font": "模型 $x_1$ \t\\frac{1}{$}",
}


class Plane:
    """A callback with a panel, of runs that have logged an error."""

    def comparison_panel(self, run):
        return (lambda axes: axes.plot([0, 1], [0, 1], label="decision")) if "error/fc1" in run.curves else None


def compared(name: str, curves: dict[str, Curve], **changes: object) -> ComparedRun:
    config = OmegaConf.create({"model": {"optimizer": "${optimizer}"}, "optimizer": {"lr": 0.1}, **changes})
    return ComparedRun(name, config, "finished", FinishedRun(Path(), curves, None, None, 1), [Plane()])


def panels(figure: Figure, columns: int) -> list[list[Axes]]:
    return [figure.axes[start : start + columns] for start in range(0, len(figure.axes), columns)]


@pytest.mark.parametrize("other", CURVES)
def test_nothing_is_cut_off_or_overlaps(other):
    figure = draw_comparison([compared("one", FALLING), compared("other", CURVES[other])])
    assert_nothing_is_cut_off_or_overlaps(figure)
    for row in panels(figure, 2)[:2]:
        if all(axes.get_frame_on() for axes in row):
            assert row[0].get_xlim() == row[1].get_xlim()
            assert row[0].get_ylim() == row[1].get_ylim()
            assert row[0].get_yscale() == row[1].get_yscale()


@pytest.mark.parametrize("name", NAMES)
def test_a_long_name_is_shown_whole(name):
    runs = [compared(f"{number}{NAMES[name]}", FALLING) for number in range(MAX_RUNS)]
    figure = draw_comparison(runs)
    assert_nothing_is_cut_off_or_overlaps(figure)
    for number, axes in enumerate(figure.axes[:MAX_RUNS]):
        shown = axes.get_title().replace("\n", "").replace("\\$", "$")
        expected = NAMES[name] if name != "not in the font" else "\\u6a21\\u578b $x_1$ \\frac{1}{$}"
        assert shown == f"{number}{expected}".strip()


def test_runs_with_no_curves_at_all_are_drawn_in_words():
    figure = draw_comparison([compared(name, {}) for name in "ab"])
    assert_nothing_is_cut_off_or_overlaps(figure)
    words = [axes.texts[0].get_text().split() for axes in figure.axes]
    assert [each[:2] for each in words] == [*[["no", "loss"]] * 2, *[["no", "errors"]] * 2, *[["no", "plane"]] * 2]


def test_the_curves_are_those_of_the_runs_and_each_layer_looks_the_same_in_all():
    deep = {f"error/fc{layer}": [(0, 1.0), (1, 2.0)] for layer in (3, 2, 1)}
    figure = draw_comparison([compared("one", FALLING), compared("other", deep)])
    losses, errors, _ = panels(figure, 2)
    drawn = {line.get_label(): [*zip(*line.get_data(), strict=True)] for line in losses[0].get_lines()}
    assert drawn == {tag: FALLING[tag] for tag in ("train/loss", "val/loss")}
    one, other = ({line.get_label(): line for line in axes.get_lines()} for axes in errors)
    assert [[*one], [*other]] == [["fc2", "fc1"], ["fc2", "fc1", "fc3"]]
    assert [*one["fc1"].get_color()] == [*other["fc1"].get_color()]
    assert one["fc1"].get_linestyle() == other["fc1"].get_linestyle()
    assert len({line.get_linestyle() for line in other.values()}) == 3  # not by colour alone
    named = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert named == [["train/loss", "val/loss"], ["fc2", "fc1", "fc3"], ["decision"]]


def test_what_is_different_is_said_unless_a_name_says_it():
    runs = [compared("a", FALLING, seed=0), compared("b", FALLING, seed=1, optimizer={"lr": 1.0})]
    assert [axes.get_title() for axes in draw_comparison(runs).axes[:2]] == [
        "a\nseed=0\noptimizer.lr=0.1",
        "b\nseed=1\noptimizer.lr=1.0",
    ]
    runs[0].name, runs[1].name = "lr=0.1,seed=0", "optimizer.lr=1.0,seed=1"
    titles = [axes.get_title().replace("\n", "") for axes in draw_comparison(runs).axes[:2]]
    assert titles == ["lr=0.1,seed=0optimizer.lr=0.1", "optimizer.lr=1.0,seed=1"]


def test_two_runs_are_drawn_and_not_touched(short_run):
    Path("runs").mkdir()
    for name in ("one", "other"):
        shutil.copytree(short_run, Path("runs", name))
    before = snapshot(Path("runs"))
    assert command("draw", "runs/one", "runs/other", "--together") == 0
    assert snapshot(Path("runs")) == before
    first = imread("comparison.png")
    assert command("draw", "--together", "runs/one", "runs/other", "--output", "again.png") == 0
    assert (imread("again.png") == first).all()
    run = draw.read_run(RunDirectory(Path("runs/one")))
    figure = draw_comparison([run, run])
    model, data = experiment.load("run")
    points, classes = next(iter(data.train_dataloader()))
    right = ((model(points) > 0.5) == classes.bool()).float().mean()
    assert [axes.get_title() for axes in figure.axes[-2:]] == [f"step 5: {right:.1%} right"] * 2
    (line,) = (line for line in figure.axes[0].get_lines() if line.get_label() == "train/loss")
    assert [*zip(*line.get_data(), strict=True)] == curve(short_run)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--together"], "2 to 8 runs side by side, not 1"),
        ([*map(str, range(9)), "--together"], "2 to 8 runs side by side, not 9"),
        (["run", "run/../run", "--together"], "run is named more than once"),
        (["run", "--output", "x.png"], "--output is the picture of --together"),
        (["run", "x", "--together", "--output", "x.jpg"], "--output x.jpg: the name of a picture ends in .png"),
        (["run", "x", "--together", "--output", "y/x.png"], "--output y/x.png: there is no directory y"),
        (["run", "nothing", "nowhere", "--together"], "nothing holds no run.\nnowhere holds no run."),
    ],
)
def test_what_cannot_be_drawn_is_refused(short_run, capsys, arguments, message):
    before = snapshot(short_run)
    code = command("draw", *arguments)
    assert message in f"{code}{capsys.readouterr().err}"
    assert snapshot(short_run) == before
    assert not [*Path().glob("*.png")]
