"""What a sweep comes to: seeds as one answer, the table that fits a screen, and the picture that fits the sweep."""

import itertools
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiment.runs.pictures import render
from experiment.sweeps.pictures import draw_sweep
from experiment.sweeps.results import Row, compared_loss, format_csv, format_table, group_by_seed

RATES = ["0.001", "0.01", "0.1", "1", "10"]


def rows(space: dict[str, list[Any]], loss: Callable[[dict[str, str]], float | None]) -> list[Row]:
    """A row for each combination; one without a loss diverged."""
    found = []
    for combination in itertools.product(*space.values()):
        overrides = dict(zip(space, map(str, combination), strict=True))
        value = loss(overrides)
        status = "diverged" if value is None else "finished"
        found.append(Row(overrides, Path("sweep", *overrides.values()), {"status": status, "val/loss": value}))
    return found


def at_rate(overrides: dict[str, str]) -> float | None:
    rate = float(overrides["optimizer.lr"])
    return None if rate > 5 else abs(math.log10(rate)) + 0.1 + 0.01 * int(overrides.get("seed", 0))


def drawn(figure: Figure) -> list[Any]:
    render(figure)
    return [axes for axes in figure.axes if axes.axison and axes.get_label() != "<colorbar>"]


def test_seeds_are_one_answer():
    found = group_by_seed(rows({"optimizer.lr": RATES, "seed": range(3)}, at_rate))
    assert [answer.overrides["optimizer.lr"] for answer in found] == ["1", "0.1", "0.01", "0.001", "10"]
    assert [len(answer.rows) for answer in found] == [3] * 5
    assert found[0].mean("val/loss") == pytest.approx(0.11)
    assert found[0].spread("val/loss") == pytest.approx(statistics.stdev([0.1, 0.11, 0.12]))
    assert (found[-1].count("diverged"), found[-1].scores("val/loss")) == (3, [])


def test_an_answer_of_which_some_runs_diverged_comes_after_the_sure_ones():
    some = rows({"optimizer.lr": ["1", "0.1"], "seed": range(2)}, at_rate)
    some[0].metrics |= {"status": "diverged", "val/loss": 1e9}
    assert [answer.overrides["optimizer.lr"] for answer in group_by_seed(some)] == ["0.1", "1"]
    assert "1 diverged" in format_table(group_by_seed(some))[2]


def test_a_thousand_runs_are_a_table_that_fits_a_screen():
    space = {"optimizer.lr": [str(0.001 * i) for i in range(1, 201)], "seed": range(5)}
    lines = format_table(group_by_seed(rows(space, at_rate)))
    assert len(lines) == 22
    assert lines[-1] == "and 180 more, in sweep.csv"
    assert max(map(len, lines)) < 100
    wide = format_table(group_by_seed(rows({"model.name": ["x" * 500, "y"]}, lambda _: 1.0)))
    assert max(map(len, wide)) < 100


def test_without_validation_runs_are_compared_by_what_they_were_trained_for():
    found = [Row({"seed": str(i)}, Path(str(i)), {"status": "finished", "train/loss": i / 10}) for i in range(2)]
    assert compared_loss(group_by_seed(found)) == "train/loss"
    assert "0.05 ± 0.071" in format_table(group_by_seed(found))[1]


def test_null_is_an_empty_cell_and_rows_may_have_other_keys():
    found = [
        Row({"seed": "1"}, Path("a"), {"status": "diverged", "val/loss": None}),
        Row({"model.hidden": "[8,8]"}, Path("b"), {"status": "pending"}),
    ]
    assert format_csv(found) == 'model.hidden,seed,status,val/loss,directory\n,1,diverged,,a\n"[8,8]",,pending,,b\n'


def test_a_numeric_key_is_a_curve_with_a_band():
    found = group_by_seed(rows({"optimizer.lr": RATES, "seed": range(3)}, at_rate))
    (axes,) = drawn(draw_sweep(found))
    assert axes.get_xscale() == "log"
    x, y = axes.lines[0].get_data()
    assert np.allclose(x, [0.001, 0.01, 0.1, 1])
    assert np.allclose(y, [3.11, 2.11, 1.11, 0.11])
    (band,) = axes.collections
    assert np.allclose(band.get_paths()[0].vertices[:, 1].min(), 0.1)
    crosses = next(line for line in axes.lines if line.get_label() == "some or all diverged")
    assert [*crosses.get_xdata()] == [10]


def test_evenly_spaced_values_are_not_logarithmic():
    found = group_by_seed(rows({"data.noise": [0.0, 0.1, 0.2, 0.3]}, lambda o: 1 + float(o["data.noise"])))
    (axes,) = drawn(draw_sweep(found))
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


def test_a_category_is_bars():
    space = {"optimizer": ["sgd", "adam"], "seed": range(2)}
    found = group_by_seed(rows(space, lambda o: len(o["optimizer"]) + int(o["seed"])))
    (axes,) = drawn(draw_sweep(found))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["sgd", "adam"]
    assert [bar.get_height() for bar in axes.patches] == [3.5, 4.5]
    assert len(drawn(draw_sweep(group_by_seed(rows({"seed": range(4)}, lambda o: float(o["seed"])))))[0].patches) == 1


def test_two_keys_are_a_heat_map_and_more_are_small_multiples():
    space = {"optimizer.lr": RATES, "model.activation": ["relu", "tanh"]}
    (axes,) = drawn(draw_sweep(group_by_seed(rows(space, at_rate))))
    grid = axes.images[0].get_array()
    assert grid.shape == (2, 5)
    assert np.allclose(grid[:, :4].filled(np.nan), [[3.1, 2.1, 1.1, 0.1]] * 2)
    assert np.isnan(grid.filled(np.nan)[:, 4]).all()
    assert [text.get_text() for text in axes.texts].count("diverged") == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == RATES
    panels = drawn(draw_sweep(group_by_seed(rows({**space, "optimizer": ["sgd", "adam", "adamw"]}, at_rate))))
    assert [axes.get_title() for axes in panels] == ["model.activation=relu", "model.activation=tanh"]


def test_what_fills_no_grid_is_dots_over_each_key():
    rng = np.random.default_rng(0)
    found = [
        Row({"optimizer.lr": str(10.0**e), "data.noise": str(n)}, Path(str(e)), {"status": "finished", "val/loss": n})
        for e, n in zip(rng.normal(size=20), rng.random(20), strict=True)
    ]
    panels = drawn(draw_sweep(group_by_seed(found)))
    assert [axes.get_xlabel() for axes in panels] == ["data.noise", "optimizer.lr"]
    for axes in panels:
        assert len(axes.lines[0].get_xdata()) == 20
        assert axes.lines[1].get_ydata() == [min(row.metrics["val/loss"] for row in found)]


def test_a_sweep_in_which_all_diverged_has_a_picture_too():
    for space in (
        {"optimizer.lr": ["10", "100"]},
        {"optimizer": ["sgd"]},
        {"optimizer.lr": ["10", "20"], "a": ["b", "c"]},
    ):
        assert drawn(draw_sweep(group_by_seed(rows(space, lambda _: None))))
