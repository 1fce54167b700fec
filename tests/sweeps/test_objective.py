"""A sweep and a search follow the objective, and say so where runs cannot be compared by it."""

import csv
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import LightningModule

from experiment.configuration.objective import Objective
from experiment.configuration.overrides import parse_override
from experiment.runs.pictures import render
from experiment.runs.signals import RunStopped
from experiment.sweeps.pictures import draw_sweep
from experiment.sweeps.pruning import Pruning
from experiment.sweeps.results import Row, group_by_seed
from experiment.sweeps.study import Study
from experiment.sweeps.summary import format_table
from tests.conftest import metrics
from tests.runs.test_other_modules import arguments

R2 = "objective={metric:val/r2,mode:max}"
WIDTHS = "model.width=2,8,4"
SEARCH = ["search=optuna", "search.trials=3"]
MAX = Objective("val/r2", "max")


def rows(**scores: list[float | None]) -> list[Row]:
    """Runs of the widths 0, 1, 2 … that have these scores."""
    return [
        Row(
            {"width": str(i), "other": str(i % 2)},
            Path(str(i)),
            {"status": "finished", "error": None, **dict(zip(scores, values, strict=True))},
        )
        for i, values in enumerate(zip(*scores.values(), strict=True))
    ]


def table(directory: str) -> list[list[str]]:
    with Path(directory, "sweep.csv").open(newline="") as file:
        return [*csv.reader(file)]


def open_study(objective: Objective, total: int) -> Study:
    space = {"a": parse_override("a=interval(0,1)")}
    return Study(Path("journal"), "name", space, total, seed=0, objective=objective)


def test_the_highest_score_comes_first_where_higher_is_better():
    scores = {"val/loss": [1.0, 2.0, 3.0, 4.0], "val/r2": [0.1, 0.9, None, -0.5], "own": [1.0] * 4, "none": [None] * 4}
    groups = group_by_seed(rows(**scores), MAX)
    assert [group.overrides["width"] for group in groups] == ["1", "0", "3", "2"]
    assert format_table(groups, MAX)[0].split() == ["other", "width", "runs", "val/r2", "val/loss", "own"]


@pytest.mark.parametrize("count", [3, 4, 40])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.draws
def test_the_picture_marks_the_best_run(count, mode):
    objective = Objective("val/r2", mode)
    groups = group_by_seed(rows(**{"val/r2": [i / 100 for i in range(count)]}), objective)
    figure = draw_sweep(groups, objective)
    render(figure)
    axes = figure.axes[0]
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    labels += [each.get_ylabel() for each in figure.axes]
    assert any(objective.extreme in label for label in labels)
    if axes.images:
        (frame,) = axes.patches
        assert frame.get_x() + 0.5 == (count - 1 if mode == "max" else 0)
    else:
        assert [*axes.lines[1].get_ydata()] == [(count - 1) / 100 if mode == "max" else 0]


def test_a_sweep_is_ordered_by_its_objective(train, capfd):
    assert train("-m", *arguments("Rising", R2, WIDTHS), "hydra.sweep.dir=s") == 0
    out = capfd.readouterr().out
    lines = out.splitlines()
    header = next(i for i, line in enumerate(lines) if "runs" in line.split())
    assert lines[header].split()[:3] == ["model.width", "runs", "val/r2"]
    assert "val/accuracy" not in lines[header]
    assert [line.split()[0] for line in lines[header + 1 : header + 4]] == ["8", "4", "2"]
    assert out.count("test/calibration 0.25") == 3
    assert "No " not in out
    assert {"val/r2", "test/calibration", "best", "best_step"} < {*table("s")[0]}


def test_a_sweep_that_cannot_be_ranked_says_by_what_it_is_ordered(train, capfd):
    assert train("-m", *arguments("LightningNames", "seed=0,1,2"), "hydra.sweep.dir=s") == 0
    captured = capfd.readouterr()
    assert captured.err == ""  # each run's log has its warning
    assert captured.out.count("objective=val/loss: no finite score of that name. What is logged: ") == 1
    assert "To choose one: objective=val_loss" in captured.out
    assert "the runs are compared by train/loss" in captured.out
    (log,) = Path("s").glob("*seed=0*/train.log")
    assert "objective=val/loss: validation logs no such score" in log.read_text()


def test_a_search_maximizes_where_higher_is_better(train, capfd):
    assert train("-m", *arguments("Rising", R2, *SEARCH, WIDTHS), "search.trials=6", "hydra.sweep.dir=s") == 0
    best = shlex.split(re.search(r"^Best trial: python \S+ (.*)$", capfd.readouterr().out, re.MULTILINE)[1])
    results = {path.parent.name: metrics(path.parent)["val/r2"] for path in Path("s").glob("*/metrics.json")}
    assert len(set(results.values())) > 1
    assert train(*best, "hydra.run.dir=again") == 0
    assert metrics(Path("again"))["val/r2"] == max(results.values())


def test_a_search_refuses_to_rank_what_cannot_be_ranked(train, capfd):
    assert train("-m", *arguments("LightningNames", *SEARCH, "seed=0,1,2"), "hydra.sweep.dir=s") == 1
    captured = capfd.readouterr()
    assert "Best trial" not in captured.out
    assert "objective=val/loss: no finite score of that name. What is logged: " in captured.err
    assert "To choose one: objective=val_loss" in captured.err
    assert "Traceback" not in captured.err
    assert (
        train("-m", *arguments("LightningNames", *SEARCH, "seed=0,1,2"), "objective=val_loss", "hydra.sweep.dir=s") == 0
    )
    assert "Best trial" in capfd.readouterr().out


@pytest.mark.parametrize(("objective", "pruned"), [(MAX, 0.1), (Objective("val/r2"), 0.9)])
def test_pruning_follows_the_objective(objective, pruned):
    study = open_study(objective, total=7)
    values = [0.5, 0.5, 0.5, 0.5, 0.5, pruned, 1 - pruned]
    for trial, value in zip(study.trials(), values, strict=True):
        trainer: Any = SimpleNamespace(
            world_size=1, sanity_checking=False, global_step=5, callback_metrics={"val/r2": value, "val/loss": 0.0}
        )
        pruning = Pruning(study.path, study.name, trial.number, "val/r2")
        if value == pruned:
            with pytest.raises(RunStopped, match=rf"pruned after 5 steps: val/r2 {value} is worse than the median"):
                pruning.on_validation_end(trainer, LightningModule())
        else:
            pruning.on_validation_end(trainer, LightningModule())
        study.report(trial, Row({}, Path(), {"status": "finished", "val/r2": value}))


def test_a_study_of_another_objective_is_another_study():
    first, second = open_study(Objective(), total=2), open_study(MAX, total=2)
    for trial, value in zip(second.trials(), (0.5, None), strict=True):
        status = "finished" if value else "diverged"
        second.report(trial, Row({}, Path(), {"status": status, "val/r2": value}))
    assert second.best_trial is not None
    assert second.best_trial.number == 0
    assert (first.remaining, second.remaining) == (2, 0)
    assert first.best_trial is None
    for trial in first.trials():
        first.report(trial, Row({}, Path(), {"status": "diverged", "val/loss": 1.0}))
    assert first.best_trial is None
