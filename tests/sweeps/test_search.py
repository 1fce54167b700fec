"""A search: its trials follow from the seed, it resumes, and its best trial is the one with the lowest loss."""

import csv
import importlib
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests import faults
from tests.conftest import command, metrics
from tests.runs.test_run import stranger  # noqa: F401

SHORT = "trainer.max_epochs=20"
RATE = "optimizer.lr=tag(log,interval(0.01,10))"


def table(directory: str) -> list[dict[str, str]]:
    with Path(directory, "sweep.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in ("seconds", "directory")} for row in csv.DictReader(file)]


def test_the_best_trial_has_the_lowest_loss_and_its_command_repeats_it(train, capfd):
    assert train("-m", "search=optuna", "search.trials=6", SHORT, "hydra.sweep.dir=s") == 0
    rows = table("s")
    assert len(rows) == 6
    assert len({(row["optimizer.lr"], row["model.hidden"]) for row in rows}) == 6
    lowest = min(rows, key=lambda row: float(row["val/loss"]))
    out = capfd.readouterr().out
    pasted = shlex.split(re.search(r"^Best trial: python \S+ (.*)$", out, re.MULTILINE)[1])
    assert train(*pasted, "hydra.run.dir=again") == 0
    assert str(metrics(Path("again"))["val/loss"]) == lowest["val/loss"]
    assert Path("s/sweep.png").exists()
    assert all(not Path(row).name.startswith("search") for row in Path("s").iterdir())


def test_a_killed_search_resumes_with_the_same_trials(train, kill_after):
    """Killed during the first trial and during the third."""
    search = ["-m", "search=optuna", "search.trials=4", SHORT, "checkpoint.every_n_seconds=0"]
    assert train(*search, "hydra.sweep.dir=whole") == 0
    for trial in (1, 3):
        kill_after(9, run=trial)
        assert faults.wait(faults.fork([*search, "hydra.sweep.dir=killed"], Path("out"))) == -signal.SIGKILL
        assert len([*Path("killed").glob("*/checkpoints/last.ckpt")]) == trial
    kill_after(None)
    assert train(*search, "hydra.sweep.dir=killed") == 0
    assert sorted(map(str, table("killed"))) == sorted(map(str, table("whole")))
    assert train("-m", "search=optuna", "search.trials=5", *search[3:], "hydra.sweep.dir=killed") == 0
    assert len(table("killed")) == 5


def test_another_seed_makes_other_trials(train):
    for seed in (0, 1):
        assert train("-m", "search=optuna", "search.trials=2", f"seed={seed}", SHORT, f"hydra.sweep.dir={seed}") == 0
    assert {row["optimizer.lr"] for row in table("0")}.isdisjoint({row["optimizer.lr"] for row in table("1")})


def test_a_diverged_trial_is_never_the_best(train, capfd):
    search = ["-m", "search=optuna", "search.trials=6", "model.hidden=[4]", "optimizer.lr=300,0.1,1e37"]
    assert train(*search, "trainer.max_epochs=60", "hydra.sweep.dir=s") == 0
    assert {row["status"] for row in table("s")} == {"finished", "diverged"}
    assert "optimizer.lr=0.1" in re.search(r"Best trial: (.*)", capfd.readouterr().out)[1]


def test_a_key_on_the_command_line_is_not_searched(train):
    assert train("-m", "search=optuna", "search.trials=2", "optimizer.lr=0.5", SHORT, "hydra.sweep.dir=s") == 0
    assert {row["optimizer.lr"] for row in table("s")} == {"0.5"}


def test_pruning_stops_the_worst_trials_and_changes_no_other(train, capfd):
    """With learning rates from far too small to good, validated often, those far too small end early."""
    search = ["-m", "search=optuna", "search.trials=12", "model.hidden=[4]", "optimizer.lr=0.0001,3.0,0.0002,2.0,1.0"]
    search += ["trainer.max_epochs=40", "trainer.check_val_every_n_epoch=10"]
    assert train(*search, "search.pruning=true", "hydra.sweep.dir=s") == 0
    rows = table("s")
    pruned = [row for row in rows if row["status"] == "interrupted"]
    assert pruned
    assert {float(row["optimizer.lr"]) for row in pruned} <= {0.0001, 0.0002}
    assert all(int(row["step"]) < 40 for row in pruned)
    for row in pruned:
        (log,) = (path.read_text() for path in Path("s").glob(f"*optimizer.lr={row['optimizer.lr']},*/train.log"))
        assert re.search(r"pruned after \d+ steps: val/loss [\d.]+ is worse than the median", log)
    good = next(row for row in rows if row["status"] == "finished")
    assert train("model.hidden=[4]", f"optimizer.lr={good['optimizer.lr']}", *search[5:], "hydra.run.dir=alone") == 0
    assert str(metrics(Path("alone"))["val/loss"]) == good["val/loss"]


def test_a_repeated_trial_does_not_need_its_study(train, capfd):
    search = ["-m", "search=optuna", "search.trials=1", "search.pruning=true", SHORT, "hydra.sweep.dir=s"]
    assert train(*search) == 0
    (directory,) = (path.parent for path in Path("s").glob("*/metrics.json"))
    Path("s/study.journal").unlink()  # whoever repeats the run need not have it
    assert command("repeat", str(directory), "again") == 0
    out = capfd.readouterr().out
    assert "finished after 20 epochs" in out  # the terminal is no sweep's
    assert out.endswith("bit-identical: every curve, every weight, every score.\n")
    assert not Path("s/study.journal").exists()


def test_a_failed_trial_is_reported(train, stranger, capfd):  # noqa: F811
    search = ["-m", *stranger, "search=optuna", "search.trials=3", "model.fail_at=-1,2"]
    assert train(*search, "hydra.sweep.dir=s") == 1
    error = capfd.readouterr().err
    assert "out of luck" in error
    assert "To run them again: python" in error
    assert {row["status"] for row in table("s")} == {"finished", "failed"}


def test_without_optuna_the_error_says_how_to_install_it(train, capfd, monkeypatch, elsewhere):
    plugin = importlib.import_module("hydra_plugins.experiment_sweeper")
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    assert train("-m", "search=optuna") == 1
    assert "search=optuna needs Optuna: pip install" in capfd.readouterr().err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search=optuna"], "search: a search is a sweep: python train.py -m"),
        (["-m", "search=optuna", "search.trials=0"], "search.trials=0: a whole number ≥ 1"),
        (["-m", "search=optuna", "optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0: a number ≥ 0"),
        (["-m", "search=optuna", "model.hiden=[3],[4]"], "model.hiden"),
        (["-m", "search=optuna", "model.hidden=interval(1,4)"], "model.hidden=1.0: a list"),
        (["-m", "search=optuna", "search.space.optimizer.lr=3"], "search.space.optimizer.lr=3: several values"),
        (["-m", "search=optuna", "search.space.optimizer.lr='choice('"], "search.space.optimizer.lr=choice("),
        (["-m", "search=optuna", "~search.space.optimizer", "~search.space.model"], "There is nothing to search"),
        (["-m", "search=nothing"], "search=nothing: one of optuna"),
        (["-m", "search=optuna", "search.space.seed='0,1'"], "on the command line, sweep the key itself: seed="),
        (["-m", "search=optuna", "search.trials=1,2"], "search.trials=1,2: a sweep is one search"),
        (["-m", "optimizer.lr=interval(0,1)"], "a list of values, or a range, can be swept"),
    ],
)
def test_a_search_that_cannot_run_is_one_message(train, capfd, elsewhere, arguments, message):
    assert train(*arguments, "hydra.sweep.dir=s") == 1
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert list(elsewhere.iterdir()) == []
