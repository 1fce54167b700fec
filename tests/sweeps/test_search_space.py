"""A search in the directory of an earlier one: its space may widen, and any other change is refused untouched."""

import csv
import re
from pathlib import Path

import pytest
from optuna.storages import JournalStorage

from experiment.configuration.errors import ConfigurationError
from experiment.configuration.overrides import parse_override
from experiment.sweeps.results import Row
from experiment.sweeps.study import Study
from tests.conftest import snapshot

SEARCH = ["-m", "search=optuna", "~search.space.optimizer", "~search.space.model", "trainer.max_epochs=2"]
CHOICES, INTERVAL = "optimizer.lr=0.1,1", "optimizer.lr=interval(0.1,1)"


def num_runs() -> int:
    with Path("s/sweep.csv").open(newline="") as file:
        return len(list(csv.DictReader(file)))


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        ([CHOICES], ["optimizer.lr=0.1,1,10"], ["optimizer.lr: was 0.1,1, is 0.1,1,10"]),
        ([CHOICES], [INTERVAL], ["optimizer.lr: was 0.1,1, is interval(0.1, 1.0)"]),
        ([INTERVAL], [CHOICES], ["optimizer.lr: was interval(0.1, 1.0), is 0.1,1"]),
        ([INTERVAL], ["optimizer.lr=interval(0.2,2)"], ["was interval(0.1, 1.0), is interval(0.2, 2.0)"]),
        ([INTERVAL], ["optimizer.lr=tag(log,interval(0.1,1))"], ["is tag(log, interval(0.1, 1.0))"]),
        (["optimizer.lr=int(interval(1,3))"], ["optimizer.lr=interval(1,3)"], ["was int(interval(1, 3)), is interval"]),
        ([CHOICES], [CHOICES, "data.noise=interval(0,0.1)"], ["data.noise: was not searched, is interval(0.0, 0.1)"]),
        ([CHOICES, "data.noise=0,0.1"], [CHOICES], ["data.noise: was 0,0.1, is not searched"]),
        ([CHOICES], ["model.hidden=[3],[4]"], ["model.hidden: was not searched", "optimizer.lr: was 0.1,1, is not"]),
    ],
)
def test_another_space_is_refused_and_nothing_changes(train, capfd, before, now, lines):
    assert train(*SEARCH, "search.trials=1", *before, "hydra.sweep.dir=s") == 0
    files = snapshot(Path())
    assert train(*SEARCH, "search.trials=2", *now, "hydra.sweep.dir=s") == 1
    error = capfd.readouterr().err
    assert "s holds a search of another space; give this one another hydra.sweep.dir:" in error
    assert all(line in error for line in lines)
    assert "Traceback" not in error
    assert snapshot(Path()) == files


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("optimizer.lr=0.1,1,10", "optimizer.lr=10,0.1,1"),
        (INTERVAL, "optimizer.lr=interval(0.01,10)"),
        ("optimizer.lr=int(interval(2,3))", "optimizer.lr=int(interval(1,9))"),
        ("optimizer.lr=tag(log,interval(0.1,1))", "optimizer.lr=tag(log,interval(0.01,1))"),
    ],
)
def test_a_wider_interval_and_reordered_choices_continue_the_search(train, before, now):
    assert train(*SEARCH, "search.trials=1", before, "hydra.sweep.dir=s") == 0
    assert train(*SEARCH, "search.trials=2", now, "hydra.sweep.dir=s") == 0
    assert 1 <= num_runs() <= 2


def test_more_trials_and_another_seed_continue_and_fewer_run_nothing(train, capfd):
    for trials, expected in ((2, 2), (3, 3), (1, 3)):
        assert train(*SEARCH, f"search.trials={trials}", INTERVAL, "hydra.sweep.dir=s") == 0
        assert num_runs() == expected
    assert train(*SEARCH, "search.trials=2", INTERVAL, "seed=7", "hydra.sweep.dir=s") == 0
    assert num_runs() == 5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([INTERVAL, "seed=-1"], "seed=-1: a whole number"),
        ([INTERVAL, "modle.hidden=[3]"], "modle.hidden=[3]: there is no such key"),
        ([INTERVAL, "optimizer=sdg"], "optimizer=sdg: one of"),
        ([INTERVAL, "data.noise=("], "data.noise=(: "),
        ([INTERVAL, "data.noise=interval(0,2)"], "data.noise=2.0: a number"),
        (
            [CHOICES, "data.noise=interval(0.1,0)"],
            "data.noise=interval(0.1,0): two finite numbers",
        ),
        ([CHOICES, "data.noise=tag(log,interval(0,1))"], "data.noise=tag(log,interval(0,1)): a logarithmic interval"),
    ],
)
def test_of_several_overrides_the_wrong_one_is_named(train, capfd, elsewhere, overrides, message):
    assert train(*SEARCH, *overrides, "hydra.sweep.dir=s") == 1
    problems = capfd.readouterr().err.splitlines()[1:]
    assert len(problems) == 1
    assert problems[0].strip().startswith(message)
    assert list(elsewhere.iterdir()) == []


def test_an_interval_without_a_search_is_named(train, capfd):
    assert train("-m", INTERVAL, "hydra.sweep.dir=s") == 1
    assert "optimizer.lr=interval(0.1,1): a list of values" in capfd.readouterr().err
    assert train("optimizer.lr=interval(0.1,1)") == 1
    assert "optimizer.lr=interval(0.1,1): several values make a sweep" in capfd.readouterr().err


def test_a_damaged_study_is_one_message(train, capfd):
    Path("s").mkdir()
    Path("s/study.journal").write_text("no\njournal\n")
    assert train(*SEARCH, "search.trials=1", CHOICES, "hydra.sweep.dir=s") == 1
    error = capfd.readouterr().err
    assert re.match(r"\S*study.journal is damaged: ", error)
    assert "Traceback" not in error


def open_study(path: str, total: int = 3) -> Study:
    space = {key: parse_override(f"{key}=interval(0,1)") for key in ("a", "b", "c")}
    return Study(Path(path), "name", space | {"d": parse_override("d=x,y")}, total, seed=0)


@pytest.mark.parametrize("num_written", range(5))
def test_a_trial_that_was_killed_while_its_values_were_chosen_gets_the_same_values(monkeypatch, num_written):
    def run(path: str) -> list[dict[str, object]]:
        study = open_study(path)
        for trial in study.trials():
            study.report(trial, Row({}, Path(), {"status": "finished", "val/loss": trial.params["a"]}))
        return [trial.params for trial in study.study.trials]

    expected = run("whole")
    write, written = JournalStorage.set_trial_param, []

    def killed(*args: object) -> None:
        if len(written) == num_written:
            raise KeyboardInterrupt
        written.append(write(*args))

    with monkeypatch.context() as patch:
        patch.setattr(JournalStorage, "set_trial_param", killed)
        with pytest.raises(KeyboardInterrupt):
            run("killed")
    assert run("killed") == expected


def test_a_space_is_compared_before_the_study_is_written():
    study = open_study("journal")
    assert not Path("journal").exists()
    study.report(next(iter(study.trials())), Row({}, Path(), {"status": "finished", "val/loss": 1.0}))
    with pytest.raises(ConfigurationError, match="e: was not searched, is 1,2"):
        Study(Path("journal"), "name", {"e": parse_override("e=1,2")}, 3, seed=0)
