"""Other people's modules resume exactly: killed anywhere or extended, all is as if the run had never stopped."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiment.runs import checkpoints
from tests import faults
from tests.conftest import checkpoint, metrics, snapshot

CONFIG = str(faults.ROOT / "tests/stranger")
CALLBACKS = "lightning.pytorch.callbacks"


def arguments(module: str, *overrides: str) -> list[str]:
    return [
        *(
            "--config-dir",
            CONFIG,
            "experiment=stranger",
            "data._target_=others.Data",
            f"model._target_=others.{module}",
        ),
        *("trainer.max_epochs=6", "checkpoint.every_n_seconds=0", *overrides),
    ]


def callback(name: str, **values: object) -> list[str]:
    return [
        f"callbacks.x._target_={CALLBACKS}.{name}",
        *(f"callbacks.x.{key}={value}" for key, value in values.items()),
    ]


CASES: dict[str, tuple[str, list[str]]] = {
    "two optimizers": ("TwoOptimizers", []),
    "axes of its own": ("OwnAxes", []),
    "a writer of its own": ("OwnWriter", []),
    "means over epochs": ("EpochMeans", []),
    "losses gathered over an epoch": ("GatheredLosses", []),
    "plateau": ("Plateau", ["trainer.check_val_every_n_epoch=1"]),
    "saves arrays": ("Saves", []),
    "skips the rest of epochs": ("SkipsRest", []),
    "losses below zero": ("LogLikelihood", []),
    "accumulation by schedule": ("Regression", callback("GradientAccumulationScheduler", scheduling="{0:1,2:2,4:3}")),
    "weight averaging": ("Regression", callback("EMAWeightAveraging")),
    "accumulation": ("OwnAxes", ["trainer.accumulate_grad_batches=2"]),
    "validation within epochs": ("OwnAxes", ["trainer.val_check_interval=2"]),
    "float64": ("Regression", ["trainer.precision=64-true"]),
    "a generator of the loader's own": ("Regression", ["data.own_generator=true"]),
    "noise from workers": ("Regression", ["data.workers=2", "data.noise=0.5"]),
    "noise": ("Regression", ["data.noise=0.5"]),
    "averaged at the end": (
        "Regression",
        callback("StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=2),
    ),
    "a rate that is monitored": ("OwnAxes", callback("LearningRateMonitor")),
    "checkpoints of the user's own": ("Regression", callback("ModelCheckpoint", monitor="val/loss", save_last=True)),
    "logged seldom": ("EpochMeans", ["trainer.log_every_n_steps=3"]),
}


@pytest.fixture(autouse=True)
def saves_whenever_it_can(monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVING_SHARE", math.inf)


@pytest.mark.parametrize("case", [case for case in CASES if case != "averaged at the end"])
def test_killed_twice_and_extended_it_equals_a_run_that_was_never_stopped(case, elsewhere, monkeypatch):
    module, overrides = CASES[case]
    straight, run = elsewhere / "straight", elsewhere / "run"
    assert faults.start(arguments(module, *overrides), straight) == 0
    for batch, epochs in ((6, 3), (17, 6)):
        start = arguments(module, *overrides, f"trainer.max_epochs={epochs}")
        monkeypatch.setenv("DIE_AT", str(batch))
        assert faults.start(start, run) == 9
        monkeypatch.delenv("DIE_AT")
        assert faults.start(start, run) == 0
    assert faults.steps(run)[-1] > faults.steps(run)[1] > 0  # each kill came after a state was saved
    assert faults.result(run) == faults.result(straight)


def test_killed_twice_it_resumes_exactly_where_a_longer_run_is_another(elsewhere, monkeypatch):
    """Stochastic weight averaging begins at a share of all epochs."""
    module, overrides = CASES["averaged at the end"]
    start, straight, run = arguments(module, *overrides), elsewhere / "straight", elsewhere / "run"
    assert faults.start(start, straight) == 0
    for batch in (6, 17):
        monkeypatch.setenv("DIE_AT", str(batch))
        assert faults.start(start, run) == 9
    monkeypatch.delenv("DIE_AT")
    assert faults.start(start, run) == 0
    assert max(faults.steps(run)) > 0
    assert faults.result(run) == faults.result(straight)


@pytest.mark.parametrize("loader", ["others.Data", "points"])
@pytest.mark.parametrize(("shorter", "longer"), [(10, 20), (7, 20), (7, 13)])
def test_more_steps_extend_a_run(loader, shorter, longer, elsewhere):
    """Also where training ends within an epoch; each step is logged once, at its index."""
    if loader == "points":
        start = ["data.batch_size=20", "trainer.check_val_every_n_epoch=1", "data.num_points=100"]
    else:
        start = arguments("Regression")
    start += ["trainer.max_epochs=-1"]
    assert faults.start([*start, f"trainer.max_steps={longer}"], elsewhere / "straight") == 0
    assert faults.start([*start, f"trainer.max_steps={shorter}"], elsewhere / "run") == 0
    assert metrics(elsewhere / "run")["step"] == checkpoint(elsewhere / "run")["global_step"] == shorter
    assert faults.start([*start, f"trainer.max_steps={longer}"], elsewhere / "run") == 0
    assert faults.steps(elsewhere / "run") == [0, shorter]  # no step is computed again
    assert faults.result(elsewhere / "run") == faults.result(elsewhere / "straight")
    scalars = EventAccumulator(str(elsewhere / "run")).Reload().Scalars("train/loss")
    assert [each.step for each in scalars] == list(range(longer))
    before = snapshot(elsewhere / "run")
    assert faults.start([*start, f"trainer.max_steps={shorter}"], elsewhere / "run") == 1
    assert f"trainer.max_steps={shorter}: {longer} steps are trained already" in Path("run.out").read_text()
    assert snapshot(elsewhere / "run") == before


def test_a_run_that_stopped_early_has_ended(elsewhere):
    """Neither a larger horizon nor a kill before the result was written trains it further."""
    stopping = callback("EarlyStopping", monitor="val/loss", patience=1, min_delta=10)
    start = arguments("Regression", *stopping, "trainer.max_epochs=20", "trainer.check_val_every_n_epoch=1")
    run = elsewhere / "run"
    assert faults.start(start, run) == 0
    result = faults.result(run)
    assert result["metrics"]["epoch"] == 2
    assert "Monitored metric val/loss did not improve" in result["metrics"]["stop_reason"]
    assert "Training stopped early: Monitored metric val/loss did not improve" in (run / "train.log").read_text()
    before = snapshot(run)
    assert faults.start([*start, "trainer.max_epochs=40"], run) == 0
    assert snapshot(run) == before
    (run / "metrics.json").unlink()
    assert faults.start(start, run) == 0
    assert faults.result(run) == result


def test_the_last_checkpoint_is_the_state_that_the_metrics_are_of(elsewhere):
    """Training is stopped within an epoch, after a batch for which a state is saved."""
    start = ["data.batch_size=10", "model.loss=bce_with_logits", "optimizer.lr=1e38", "checkpoint.every_n_seconds=0"]
    assert faults.start(start, elsewhere / "run") == 0
    found, last = metrics(elsewhere / "run"), checkpoint(elsewhere / "run")
    assert found["status"] == "diverged"
    assert found["step"] % 10 > 0
    assert found["step"] == last["global_step"]
    assert last["stop_reason"] == found["stop_reason"] == "the loss is not finite"


def test_a_time_limit_is_a_horizon(elsewhere):
    start = ["trainer.max_epochs=-1", "data.num_points=50", "checkpoint.every_n_seconds=0.1"]
    run = elsewhere / "run"
    assert faults.start([*start, "trainer.max_time=00:00:00:01"], run) == 0
    first = metrics(run)
    assert first["status"] == "finished"
    assert first["stop_reason"] is None
    before = snapshot(run)
    assert faults.start([*start, "trainer.max_time=00:00:00:01"], run) == 0
    assert snapshot(run) == before
    assert faults.start([*start, "trainer.max_time=00:00:00:02"], run) == 0
    assert faults.steps(run) == [0, first["step"]]
    assert metrics(run)["step"] > first["step"]
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    assert [each.step for each in events.Scalars("train/loss")] == list(range(metrics(run)["step"]))
    assert faults.start([*start, "trainer.max_time=00:00:00:01"], run) == 1


@pytest.mark.parametrize("limits", [["trainer.max_epochs=-1"], ["trainer.max_epochs=null"]])
def test_without_any_limit_nothing_starts(limits, train, capfd, elsewhere):
    assert train(*limits) == 1
    assert "trainer.max_epochs" in capfd.readouterr().err
    assert train("trainer.max_steps=5", *limits, "hydra.run.dir=run") == 0
    assert metrics(Path("run"))["step"] == 5


def test_a_schedule_that_refers_to_the_horizon_is_a_schedule(run, train, capfd):
    schedule = callback("Timer", duration="{seconds:'${trainer.max_epochs}'}")
    run(*schedule, "trainer.max_epochs=5")
    assert train(*schedule, "trainer.max_epochs=9", "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert "schedule depends on its end" in error
    assert "callbacks.x.duration.seconds: 5 there, 9 here" in error


@pytest.mark.draws
def test_means_over_epochs_are_all_that_is_logged(elsewhere):
    for module in ("EpochMeans", "GatheredLosses"):
        assert faults.start(arguments(module), elsewhere / module) == 0
        scalars = EventAccumulator(str(elsewhere / module)).Reload().Scalars("train/loss")
        assert [each.step for each in scalars] == [4, 9, 14, 19, 24, 29]


@pytest.mark.draws
def test_a_loss_below_zero_that_falls_has_not_diverged(elsewhere):
    assert faults.start(arguments("LogLikelihood"), elsewhere / "run") == 0
    assert metrics(elsewhere / "run")["status"] == "finished"


@pytest.mark.parametrize("extra", ["path", "date", "objects"])
def test_what_could_not_be_loaded_is_not_saved(extra, elsewhere):
    assert faults.start(arguments("Saves", f"model.extra={extra}"), elsewhere / "run") == 1
    assert "checkpoint's own.extra.0 is of the type" in Path("run.out").read_text()
    assert metrics(elsewhere / "run")["status"] == "failed"
    assert metrics(elsewhere / "run")["step"] == 0


def test_an_argument_that_is_no_plain_data_is_left_out_alone(elsewhere):
    start = arguments("Saves", "model.extra=''", "model.optimizer=${optimizer}")
    assert faults.start(start, elsewhere / "run") == 0
    assert checkpoint(elsewhere / "run")["hyper_parameters"] == {"extra": ""}
    assert "hyper_parameters.optimizer is no plain data" in (elsewhere / "run/train.log").read_text()


def test_workers_that_persist_are_announced(elsewhere):
    assert (
        faults.start(
            arguments("Regression", "data.workers=1", "data.persistent=true", "trainer.max_epochs=1"), elsewhere / "run"
        )
        == 0
    )
    text = Path("run/train.log").read_text()
    assert text.count("cannot be resumed exactly, since the workers of a DataLoader persist") == 1


def test_why_no_state_is_saved_within_an_epoch_is_said_once(elsewhere):
    start = ["data.batch_size=10", "checkpoint.every_n_seconds=0", "trainer.max_epochs=3"]
    start += callback("GradientAccumulationScheduler", scheduling="{1:2}")
    assert faults.start(start, elsewhere / "run") == 0
    text = Path("run/train.log").read_text()
    assert text.count("saved between epochs only, since the callback GradientAccumulationScheduler") == 1


@pytest.mark.parametrize("finder", ["LearningRateFinder", "BatchSizeFinder"])
def test_a_finder_is_refused(finder, train, capfd, elsewhere):
    assert train(*callback(finder)) == 1
    assert f"callbacks.x: {finder} changes the run before it starts" in capfd.readouterr().err
    assert list(elsewhere.iterdir()) == []


def test_the_same_batches_are_overfitted(run):
    directory = run("data.batch_size=10", "trainer.overfit_batches=2", "trainer.max_epochs=40", "optimizer.lr=1")
    assert "shuffle" not in (directory / "train.log").read_text().lower()
    assert metrics(directory)["train/loss"] < 0.2


def test_interrupted_within_an_epoch_that_cannot_be_resumed_there(elsewhere):
    start = arguments("Regression", "trainer.max_epochs=3000")
    assert faults.start(start, elsewhere / "run", 0.5, signal.SIGTERM, training=True) == 143
    assert torch.load(elsewhere / "run/checkpoints/last.ckpt", weights_only=True)["resumable"]
    assert os.path.exists(elsewhere / "run/metrics.json")


def test_an_error_while_training_is_one_message(elsewhere):
    assert faults.start(arguments("Saves", "model.extra=path"), elsewhere / "run") == 1
    (line,) = Path("run.out").read_text().splitlines()
    assert line.startswith("The checkpoint's own.extra.0 is of the type pathlib.")
