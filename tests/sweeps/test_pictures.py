"""The picture of a sweep fits what the sweep varied, and can be read whatever the keys and values are."""

import itertools
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from experiment.runs.pictures import render, save_png
from experiment.sweeps.pictures import draw_sweep
from experiment.sweeps.results import Row, group_by_seed
from tests.sweeps.examples import RATES, loss_at_rate, sweep_rows

pytestmark = pytest.mark.draws


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


LONG_KEY = "model.encoder.attention.projection._target_and_more_of_it_" + "x" * 60
CLASSES = [f"package.module.{'Very' * (each + 1)}LongClassName{each}" for each in range(6)]
ODD_VALUES = ["x" * 200, "W" * 50, "ü λ ≥ Σ", "你好 🚀", "$a_b$ ${c", "two\nlines", "", "[8,8,8,8]"]


def pseudo_random(overrides: dict[str, str], scale: float = 1.0, offset: float = 0.5) -> float:
    return scale * (zlib.crc32(repr(sorted(overrides.items())).encode()) / 2**32 + offset)


PICTURES: dict[str, list[Row]] = {
    "curve": sweep_rows({"optimizer.lr": RATES, "seed": range(3)}, loss_at_rate),
    "curve, logarithmic": sweep_rows(
        {"optimizer.lr": RATES, "seed": range(2)}, lambda o: 0.02 + 0.1 * (loss_at_rate(o) or 9) ** 2
    ),
    "curve, far apart": sweep_rows({LONG_KEY: [1e-12, 1e-6, 1, 1e6, 1e12]}, lambda o: float(o[LONG_KEY]) ** 2),
    "curve, small numbers": sweep_rows(
        {"a": [1e-5 * each for each in range(1, 10)]}, lambda o: pseudo_random(o, 1e-12, offset=9)
    ),
    "curve, large numbers": sweep_rows(
        {LONG_KEY: [1e12 + 1e5 * each for each in range(9)]}, lambda o: pseudo_random(o, -1e12, offset=9)
    ),
    "curve, all diverged": sweep_rows({"optimizer.lr": RATES, "seed": range(3)}, lambda _: None),
    "one run": sweep_rows({"optimizer.lr": [0.1]}, loss_at_rate),
    "seeds": sweep_rows({"seed": range(4)}, pseudo_random),
    "bars": sweep_rows({"optimizer": ["sgd", "adam"], "seed": range(3)}, pseudo_random),
    "bars, classes": sweep_rows({LONG_KEY: CLASSES, "seed": range(2)}, lambda o: pseudo_random(o, -1)),
    "bars, odd": sweep_rows({"extras.a": ODD_VALUES}, lambda o: pseudo_random(o) if len(o["extras.a"]) < 99 else None),
    "bars, many": sweep_rows({"a": [f"value {each}" for each in range(30)]}, lambda o: pseudo_random(o, 1e-12)),
    "bars, very many, half diverged": sweep_rows(
        {"a": [f"value {each}" for each in range(200)], "seed": range(2)},
        lambda o: pseudo_random(o, 1e12) if o["seed"] == "1" else None,
    ),
    "map": sweep_rows({"optimizer.lr": RATES, "model.activation": ["relu", "tanh"]}, loss_at_rate),
    "map, classes": sweep_rows({LONG_KEY: CLASSES, f"{LONG_KEY}2": ODD_VALUES}, lambda o: pseudo_random(o, -1e12)),
    "map, flat": sweep_rows({"a": range(30), "b": [1, 2]}, lambda o: pseudo_random(o, 1e-12) if o["a"] > "2" else None),
    "map, large": sweep_rows({"a": range(60), "b": [f"value {each}" for each in range(60)]}, pseudo_random),
    "map, all diverged": sweep_rows({"a": RATES, "b": [1, 2], "c": ["x", "y"]}, lambda _: None),
    "maps": sweep_rows({"optimizer.lr": RATES, "model.activation": ["relu", "tanh"], "c": "xyz"}, loss_at_rate),
    "maps, 18 panels": sweep_rows(
        {"optimizer.lr": RATES, "a": ODD_VALUES[:3], LONG_KEY: CLASSES, "extras.b": ["x" * 200, "y"], "c": [1, 2]},
        pseudo_random,
    ),
    "scatter": sweep_rows({"a": RATES, "b": CLASSES, "c": range(9)}, lambda o: pseudo_random(o, 1e-3))[::7],
    "scatter, 14 panels": sweep_rows(
        {"a": RATES, LONG_KEY: ODD_VALUES} | {f"key{each}": [1e-12, 1e12] for each in range(12)}, pseudo_random
    )[::1499],
    "scatter, few decades": sweep_rows(
        {
            key: np.geomspace(1.5e-4, 1.5e-4 * 10**decades, 5)
            for key, decades in zip("abcd", (1, 1.4, 1.8, 3), strict=True)
        },
        pseudo_random,
    )[::37],
    "scatter, many": sweep_rows(
        {"a": [f"value {each}" for each in range(99)], "b": [1e12 + each for each in range(99)]}, pseudo_random
    )[::101],
    "scatter, all diverged": sweep_rows({"a": RATES, "b": CLASSES, "c": range(9)}, lambda _: None)[::7],
}


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_is_cut_off_or_overlaps_another(name, monkeypatch):
    texts = []
    draw_text = Text.draw
    figure = draw_sweep(group_by_seed(PICTURES[name]))
    with monkeypatch.context() as patched:
        patched.setattr(Text, "draw", lambda text, renderer: (texts.append(text), draw_text(text, renderer)))
        image = render(figure)
    if directory := os.environ.get("SAVE_PICTURES"):
        save_png(image, Path(directory, f"{name}.png"))
    extents = {text: text.get_window_extent() for text in texts if text.get_visible() and text.get_text().strip()}
    assert extents
    for text, extent in extents.items():
        assert Bbox.intersection(extent, figure.bbox).size == pytest.approx(extent.size), text
    for (text, extent), (other, other_extent) in itertools.combinations(extents.items(), 2):
        common = Bbox.intersection(extent, other_extent)
        assert common is None or min(common.size) < 1, (text, other)
    assert all(min(axes.bbox.size) > 50 for axes in figure.axes if axes.get_label() != "<colorbar>")
