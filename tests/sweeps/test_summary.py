"""The table that a sweep prints."""

from pathlib import Path

from experiment.sweeps.results import Row, compared_score, group_by_seed
from experiment.sweeps.summary import format_table
from tests.sweeps.examples import loss_at_rate, sweep_rows


def test_groups_in_which_some_runs_diverged_come_last():
    rows = sweep_rows({"optimizer.lr": ["1", "0.1"], "seed": range(2)}, loss_at_rate)
    rows[0].metrics |= {"status": "diverged", "val/loss": 1e9}
    assert [group.overrides["optimizer.lr"] for group in group_by_seed(rows)] == ["0.1", "1"]
    assert "1 diverged" in format_table(group_by_seed(rows))[2]


def test_the_table_of_a_thousand_runs_fits_a_screen():
    space = {"optimizer.lr": [str(0.001 * i) for i in range(1, 201)], "seed": range(5)}
    lines = format_table(group_by_seed(sweep_rows(space, loss_at_rate)))
    assert len(lines) == 22
    assert lines[-1] == "and 180 more, in sweep.csv"
    assert max(map(len, lines)) < 100
    wide = format_table(group_by_seed(sweep_rows({"model.name": ["x" * 500, "y"]}, lambda _: 1.0)))
    assert max(map(len, wide)) < 100


def test_without_validation_runs_are_compared_by_their_training_loss():
    rows = [Row({"seed": str(i)}, Path(str(i)), {"status": "finished", "train/loss": i / 10}) for i in range(2)]
    assert compared_score(group_by_seed(rows)).metric == "train/loss"
    assert "0.05 ± 0.071" in format_table(group_by_seed(rows))[1]
