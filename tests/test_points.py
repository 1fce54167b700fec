"""The points, and their batches."""

import numpy as np
import pytest
import torch

from experiment import points
from experiment.datamodule import Batches, PointsDataModule

LINE = (2.0, -1.0, 0.3)


def module(**changes) -> PointsDataModule:
    arguments = {"shape": "line", "num_points": 100, "num_val": 50, "num_test": 60, "noise": 0.0, "batch_size": None}
    return PointsDataModule(**arguments | {"seed": 3, "line": LINE} | changes)


def test_class_1_is_where_the_lines_inequality_holds():
    x, y = points.line(np.random.default_rng(0), 10_000, LINE)
    assert x.shape == (10_000, 2)
    assert np.abs(x).max() <= 1
    assert all(label == (2.0 * a - 1.0 * b + 0.3 > 0) for (a, b), label in zip(x, y, strict=True))


def test_the_classes_are_as_large_as_the_line_cuts_the_square():
    _, y = points.line(np.random.default_rng(0), 100_000, (1, 0, 0.5))  # x > -1/2: three quarters
    assert y.mean() == pytest.approx(0.75, abs=0.01)


def test_training_points_are_the_first_draws_of_the_legacy_generator():
    np.random.seed(3)
    expected = np.random.rand(100, 2) * 2 - 1
    x, _ = points.training("line", 100, 0.5, 3, line=LINE)
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_noise_flips_that_share_of_the_training_labels_and_moves_no_point(noise):
    clean = points.training("line", 20_000, 0.0, 3, line=LINE)
    noisy = points.training("line", 20_000, noise, 3, line=LINE)
    assert np.array_equal(clean[0], noisy[0])
    assert (clean[1] != noisy[1]).mean() == pytest.approx(noise, abs=0.01)


def test_held_out_points_are_not_trained_on_and_never_flipped():
    sets = {
        "train": points.training("line", 500, 0.0, 3, line=LINE)[0],
        "val": points.held_out("line", 500, points.VALIDATION, 3, line=LINE)[0],
        "test": points.held_out("line", 500, points.TEST, 3, line=LINE)[0],
    }
    rows = [tuple(row) for each in sets.values() for row in each]
    assert len(set(rows)) == 1500
    x, y = points.held_out("line", 500, points.TEST, 3, line=LINE)
    assert np.array_equal(y, x @ LINE[:2] + LINE[2] > 0)


def test_nothing_is_taken_from_the_global_streams():
    np.random.seed(5)
    torch.manual_seed(5)
    data = module(noise=0.3, batch_size=16)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        list(loader)
    drawn = np.random.rand(), torch.rand(1)
    np.random.seed(5)
    torch.manual_seed(5)
    assert drawn == (np.random.rand(), torch.rand(1))


def test_a_batch_is_float32_points_and_classes():
    ((x, y),) = module().train_dataloader()
    assert (x.shape, x.dtype) == ((100, 2), torch.float32)
    assert (y.shape, y.dtype) == ((100, 1), torch.float32)
    assert set(y.flatten().tolist()) == {0.0, 1.0}


def test_an_epoch_of_mini_batches_holds_each_point_once_in_an_order_of_its_own():
    x = torch.arange(10)
    batches = Batches(x, x * 2, batch_size=4, seed=1)
    orders = []
    for epoch in (0, 1, 0):
        batches.set_epoch(epoch)
        chunks = list(batches)
        assert [len(first) for first, _ in chunks] == [4, 4, 2]
        assert all(torch.equal(first * 2, second) for first, second in chunks)
        orders.append(torch.cat([first for first, _ in chunks]).tolist())
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == x.tolist()
    assert len(batches) == 3


def test_without_a_seed_batches_keep_their_order():
    batches = Batches(torch.arange(5), batch_size=2)
    assert [chunk.tolist() for (chunk,) in batches] == [[0, 1], [2, 3], [4]]
