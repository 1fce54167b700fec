"""The points, and their batches."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from experiment.points import shapes
from experiment.points.batches import Batches
from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import PointsDataModule

LINE = (2.0, -1.0, 0.3)
PARAMETERS = {"line": {"line": LINE}, "curve": {"curve": "x**2"}}  # of the shapes that have some


def module(shape: str = "line", **changes) -> PointsDataModule:
    arguments = {"num_points": 100, "num_val": 50, "num_test": 60, "noise": 0.0, "batch_size": None, "seed": 3}
    return PointsDataModule(shape, **arguments | PARAMETERS.get(shape, {}) | changes)


def test_class_1_is_where_the_lines_inequality_holds():
    x, y = shapes.line(np.random.default_rng(0), 10_000, LINE)
    assert x.shape == (10_000, 2)
    assert np.abs(x).max() <= 1
    assert all(label == (2.0 * a - 1.0 * b + 0.3 > 0) for (a, b), label in zip(x, y, strict=True))


def test_the_classes_are_as_large_as_the_line_cuts_the_square():
    _, y = shapes.line(np.random.default_rng(0), 100_000, (1, 0, 0.5))  # x > -1/2: three quarters
    assert y.mean() == pytest.approx(0.75, abs=0.01)


def test_training_points_are_the_first_draws_of_the_legacy_generator():
    np.random.seed(3)
    expected = np.random.rand(100, 2) * 2 - 1
    x, _ = next(shapes.training_points("line", 100, 0.5, 3, line=LINE))
    assert np.array_equal(x, expected)


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_noise_flips_that_share_of_the_training_labels_and_moves_no_point(noise):
    clean = next(shapes.training_points("line", 20_000, 0.0, 3, line=LINE))
    noisy = next(shapes.training_points("line", 20_000, noise, 3, line=LINE))
    assert np.array_equal(clean[0], noisy[0])
    assert (clean[1] != noisy[1]).mean() == pytest.approx(noise, abs=0.01)


def test_held_out_points_are_not_trained_on_and_never_flipped():
    sets = {
        "train": next(shapes.training_points("line", 500, 0.0, 3, line=LINE))[0],
        "val": next(shapes.held_out_points("line", 500, shapes.VALIDATION, 3, line=LINE))[0],
        "test": next(shapes.held_out_points("line", 500, shapes.TEST, 3, line=LINE))[0],
    }
    rows = [tuple(row) for each in sets.values() for row in each]
    assert len(set(rows)) == 1500
    x, y = next(shapes.held_out_points("line", 500, shapes.TEST, 3, line=LINE))
    assert np.array_equal(y, x @ LINE[:2] + LINE[2] > 0)


@pytest.mark.parametrize("shape", ["gauss", "spiral", "moons"])
def test_noise_spreads_the_points_of_these_shapes_everywhere_and_flips_no_label(shape):
    clean, noisy = (module(shape, noise=noise) for noise in (0.0, 0.4))
    for split in ("train", "val", "test"):
        (before, labels), (after, same) = (getattr(data, f"{split}_dataloader")().tensors for data in (clean, noisy))
        assert torch.equal(labels, same)
        assert 0.01 < (before - after).abs().mean() < 0.4


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


def test_many_points_are_shuffled_by_groups_of_neighbours(monkeypatch):
    monkeypatch.setattr("experiment.points.batches.MANY", 1000)
    monkeypatch.setattr("experiment.points.batches.GROUP", 8)
    x = torch.stack([torch.arange(1920), -torch.arange(1920)], dim=1)
    for size, together in ((256, 8), (100, 4), (7, 1), (32, 1)):
        batches = Batches(x, x[:, 0], batch_size=size, seed=1)
        orders = []
        for epoch in (0, 1):
            batches.set_epoch(epoch)
            chunks = list(batches)
            assert all(torch.equal(pair, torch.stack([first, -first], dim=1)) for pair, first in chunks)
            assert {len(first) for _, first in chunks[:-1]} == {size}
            orders.append(torch.cat([first for _, first in chunks]))
            assert torch.equal(orders[-1].sort().values, x[:, 0])
        assert not torch.equal(*orders)
        starts = (orders[0].diff() != 1).sum() + 1
        assert starts == pytest.approx(1920 / together, rel=0.15)
        batches.load_state_dict({"yielded": 3})
        assert torch.equal(torch.cat([first for _, first in batches]), orders[1][3 * size :])


@pytest.mark.parametrize("seed", [None, 1])
def test_processes_divide_each_batch_among_them(seed):
    x = torch.arange(10)
    whole = Batches(x, batch_size=4, seed=seed)
    parts = [Batches(x, batch_size=4, seed=seed, shard=(rank, 4)) for rank in range(4)]
    *divided, rest = zip(*parts, strict=True)  # two batches of four, and one of two, which cannot be divided
    *batches, last = whole
    assert all(
        torch.equal(torch.cat([part for (part,) in each]), batch)
        for each, (batch,) in zip(divided, batches, strict=True)
    )
    assert all(torch.equal(part, last[0]) for (part,) in rest)
    data = module(batch_size=4)
    data.trainer = SimpleNamespace(global_rank=1, world_size=2)
    assert [len(x) for x, _ in data.train_dataloader()] == [2] * 25


@pytest.mark.parametrize(("count", "size"), [(96, 32), (97, 32), (99, 33)])
def test_two_processes_learn_what_one_does(count, size):
    """To the last digits of float32: they sum the gradients of a batch in another order."""
    weights = []
    for processes in (1, 2):
        torch.manual_seed(0)
        model = PointsClassifier([4], "relu", "bce", functools.partial(torch.optim.SGD, lr=0.5))
        trainer = Trainer(
            max_epochs=5,
            limit_val_batches=0,
            accelerator="cpu",
            devices=processes,
            strategy="auto" if processes == 1 else "ddp_fork",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        before = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
        trainer.fit(model, datamodule=module(batch_size=size, num_points=count))
        weights.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach())
    assert torch.allclose(*weights, rtol=1e-4)
    assert not torch.allclose(weights[0], before, rtol=0.01)


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_points_drawn_in_chunks_are_those_drawn_at_once(monkeypatch, shape):
    def made():
        data = module(noise=0.3, shape=shape)
        return [tensor for loader in (data.train_dataloader(), data.val_dataloader()) for tensor in loader.tensors]

    at_once = made()
    monkeypatch.setattr(shapes, "CHUNK", 7)
    assert all(torch.equal(*pair) for pair in zip(made(), at_once, strict=True))


def test_without_a_seed_batches_keep_their_order():
    batches = Batches(torch.arange(5), batch_size=2)
    assert [chunk.tolist() for (chunk,) in batches] == [[0, 1], [2, 3], [4]]
