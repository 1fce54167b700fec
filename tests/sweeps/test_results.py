"""The results of a sweep: seeds are grouped, and every run is a row of the CSV."""

import statistics
from pathlib import Path

import pytest

from experiment.sweeps.results import Row, format_csv, group_by_seed
from tests.sweeps.examples import RATES, loss_at_rate, sweep_rows


def test_runs_that_differ_in_their_seed_are_one_group():
    groups = group_by_seed(sweep_rows({"optimizer.lr": RATES, "seed": range(3)}, loss_at_rate))
    assert [group.overrides["optimizer.lr"] for group in groups] == ["1", "0.1", "0.01", "0.001", "10"]
    assert [len(group.rows) for group in groups] == [3] * 5
    assert groups[0].mean("val/loss") == pytest.approx(0.11)
    assert groups[0].spread("val/loss") == pytest.approx(statistics.stdev([0.1, 0.11, 0.12]))
    assert (groups[-1].count("diverged"), groups[-1].scores("val/loss")) == (3, [])


def test_null_is_an_empty_cell_and_rows_may_have_other_keys():
    rows = [
        Row({"seed": "1"}, Path("a"), {"status": "diverged", "val/loss": None}),
        Row({"model.hidden": "[8,8]"}, Path("b"), {"status": "pending"}),
    ]
    assert format_csv(rows) == 'model.hidden,seed,status,val/loss,directory\n,1,diverged,,a\n"[8,8]",,pending,,b\n'
