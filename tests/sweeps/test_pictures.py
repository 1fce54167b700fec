"""The picture of a sweep fits what the sweep varied, and can be read whatever the keys and values are."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiment.runs.pictures import render
from experiment.sweeps.pictures import draw_sweep
from experiment.sweeps.results import Row, group_by_seed
from tests.sweeps.examples import RATES, loss_at_rate, sweep_rows


def draw(figure: Figure) -> list[Any]:
    render(figure)
    return [axes for axes in figure.axes if axes.axison and axes.get_label() != "<colorbar>"]


def test_a_numeric_key_is_a_curve_with_a_band():
    groups = group_by_seed(sweep_rows({"optimizer.lr": RATES, "seed": range(3)}, loss_at_rate))
    (axes,) = draw(draw_sweep(groups))
    assert axes.get_xscale() == "log"
    x, y = axes.lines[0].get_data()
    assert np.allclose(x, [0.001, 0.01, 0.1, 1])
    assert np.allclose(y, [3.11, 2.11, 1.11, 0.11])
    (band,) = axes.collections
    assert np.allclose(band.get_paths()[0].vertices[:, 1].min(), 0.1)
    crosses = next(line for line in axes.lines if line.get_label() == "some or all diverged")
    assert [*crosses.get_xdata()] == [10]


def test_evenly_spaced_values_are_not_logarithmic():
    groups = group_by_seed(sweep_rows({"data.noise": [0.0, 0.1, 0.2, 0.3]}, lambda o: 1 + float(o["data.noise"])))
    (axes,) = draw(draw_sweep(groups))
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_a_category_is_bars():
    space = {"optimizer": ["sgd", "adam"], "seed": range(2)}
    groups = group_by_seed(sweep_rows(space, lambda o: len(o["optimizer"]) + int(o["seed"])))
    (axes,) = draw(draw_sweep(groups))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["sgd", "adam"]
    assert [bar.get_height() for bar in axes.patches] == [3.5, 4.5]
    seeds = group_by_seed(sweep_rows({"seed": range(4)}, lambda o: float(o["seed"])))
    assert len(draw(draw_sweep(seeds))[0].patches) == 1


def test_two_keys_are_a_heat_map_and_more_are_small_multiples():
    space = {"optimizer.lr": RATES, "model.activation": ["relu", "tanh"]}
    (axes,) = draw(draw_sweep(group_by_seed(sweep_rows(space, loss_at_rate))))
    grid = axes.images[0].get_array()
    assert grid.shape == (2, 5)
    assert np.allclose(grid[:, :4].filled(np.nan), [[3.1, 2.1, 1.1, 0.1]] * 2)
    assert np.isnan(grid.filled(np.nan)[:, 4]).all()
    assert [text.get_text() for text in axes.texts].count("diverged") == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == RATES
    panels = draw(draw_sweep(group_by_seed(sweep_rows({**space, "optimizer": ["sgd", "adam", "adamw"]}, loss_at_rate))))
    assert [axes.get_title() for axes in panels] == ["model.activation=relu", "model.activation=tanh"]


def test_values_that_fill_no_grid_are_a_scatter_over_each_key():
    rng = np.random.default_rng(0)
    rows = [
        Row({"optimizer.lr": str(10.0**e), "data.noise": str(n)}, Path(str(e)), {"status": "finished", "val/loss": n})
        for e, n in zip(rng.normal(size=20), rng.random(20), strict=True)
    ]
    panels = draw(draw_sweep(group_by_seed(rows)))
    assert [axes.get_xlabel() for axes in panels] == ["data.noise", "optimizer.lr"]
    for axes in panels:
        assert len(axes.lines[0].get_xdata()) == 20
        assert axes.lines[1].get_ydata() == [min(row.metrics["val/loss"] for row in rows)]


def test_a_sweep_in_which_all_runs_diverged_has_a_picture():
    for space in (
        {"optimizer.lr": ["10", "100"]},
        {"optimizer": ["sgd"]},
        {"optimizer.lr": ["10", "20"], "a": ["b", "c"]},
    ):
        assert draw(draw_sweep(group_by_seed(sweep_rows(space, lambda _: None))))
