"""The log of a run, beside TensorBoard's own reader."""

import random

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from experiment.points.classifier import PointsClassifier
from experiment.runs.events import read_file
from experiment.runs.logger import read_scalars
from tests.conftest import OF_THE_LINE


def test_curves_are_those_that_tensorboard_reads(run):
    directory = run("trainer.max_epochs=60")
    run("trainer.max_epochs=90")
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    assert read_scalars(directory) == {
        tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_log_is_read_as_far_as_tensorboard_reads_it(run, damage):
    (path,) = run("trainer.max_epochs=20", "callbacks.decision_boundary=null").glob("events*")
    whole, lengths = path.read_bytes(), set()
    rng = random.Random(0)
    for _ in range(100):
        place = rng.randrange(len(whole))
        path.write_bytes(
            whole[:place] if damage == "cut" else whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        )
        events = list(read_file(path))
        assert events == list(LegacyEventFileLoader(str(path)).Load())
        lengths.add(len(events))
    assert len(lengths) > 10


def test_an_epoch_that_is_logged_alone_leaves_no_event(run, monkeypatch):
    monkeypatch.setattr(
        PointsClassifier, "on_train_epoch_end", lambda self: self.log("epoch", float(self.current_epoch))
    )
    directory = run("trainer.max_epochs=3", "trainer.log_every_n_steps=50", "backprop.every_n_steps=null")
    scores = {"val/loss", "val/accuracy", "test/loss", "test/accuracy", *OF_THE_LINE}
    assert set(read_scalars(directory)) == scores
    (path,) = directory.glob("events*")
    assert all(event.summary.value for event in read_file(path) if event.HasField("summary"))


def test_a_rate_that_is_monitored_is_logged_once_a_step(run):
    """Where batches are accumulated, Lightning's callback logs it with each of them."""
    monitor = "callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor"
    directory = run(monitor, "data.batch_size=10", "trainer.accumulate_grad_batches=4", "trainer.max_epochs=3")
    assert [step for step, _ in read_scalars(directory)["lr-SGD"]] == list(range(9))
