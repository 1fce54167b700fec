"""A study remembers its trials in a file."""

from pathlib import Path

import pytest

from experiment.configuration.overrides import boundary_values, parse_override
from experiment.sweeps.results import Row
from experiment.sweeps.study import Study, trial_overrides


def open_study(total: int) -> Study:
    return Study(Path("study.journal"), "default", {"a": parse_override("a=interval(0.0,1.0)")}, total, seed=0)


def row(status: str, loss: float | None = None) -> Row:
    return Row({}, Path(), {"status": status, "val/loss": loss})


def test_a_trial_that_failed_or_was_lost_is_tried_once_more():
    study = open_study(total=3)
    first = {}
    for trial, status in zip(study.trials(), ("failed", "pending", "finished"), strict=True):
        study.report(trial, row(status, 1.0))
        first[status] = trial_overrides(trial)
    again = open_study(total=3)
    assert again.remaining == 2
    second = []
    for trial in again.trials():
        again.report(trial, row("failed"))
        second.append(trial_overrides(trial))
    assert second == [first["failed"], first["pending"]]


def test_an_interrupted_trial_comes_first():
    interrupted = next(iter(open_study(total=2).trials()))
    resumed = [*open_study(total=2).trials()]
    assert [trial.number for trial in resumed] == [interrupted.number, 1]
    assert resumed[0].params == interrupted.params


def test_a_batch_that_was_interrupted_is_completed_before_the_next():
    """Killed while it was made, and while its results were reported: all trials are those of a search without kills."""

    def finish(study: Study, number: int | None = None) -> list[list[int]]:
        made = []
        for batch in study.batches(3):
            made.append([trial.number for trial in batch])
            for trial in batch[:number]:
                study.report(trial, row("finished", trial.params["a"]))
            if number is not None:
                break
        return made

    whole = open_study(total=14)
    assert finish(whole) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13]]
    expected = [trial.params for trial in whole.study.trials]
    Path("study.journal").unlink()
    killed = iter(open_study(total=14).trials())
    next(killed), next(killed)
    assert finish(open_study(total=14), 1) == [[0, 1, 2]]
    assert finish(open_study(total=14)) == [[1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13]]
    assert [trial.params for trial in open_study(total=14).study.trials] == expected


def test_the_best_trial_has_the_lowest_loss_and_did_not_diverge():
    study = open_study(total=3)
    assert study.best_trial is None
    for trial, result in zip(
        study.trials(), (row("finished", 2), row("diverged", 1), row("finished", 1.5)), strict=True
    ):
        study.report(trial, result)
    assert study.best_trial is not None
    assert study.best_trial.number == 2


@pytest.mark.parametrize(
    ("override", "values"),
    [("a=interval(1,4)", ["1", "4"]), ("a=3,[1,2],x", ["3", "[1,2]", "x"]), ("a=range(1,4)", ["1", "2", "3"])],
)
def test_the_boundaries_of_a_space(override, values):
    assert [value.removesuffix(".0") for value in boundary_values(parse_override(override))] == values
