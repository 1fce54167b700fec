"""What a configuration names is made before a run starts, and refused in words where a run cannot have it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.accelerators import CPUAccelerator

from experiment.runs.logger import read_scalars
from tests.conftest import ROOT, metrics

CALLBACKS = "lightning.pytorch.callbacks"


def callback(kind: str, name: str = "x", **values: object) -> list[str]:
    arguments = [f"callbacks.{name}.{key}={value}" for key, value in values.items()]
    return [f"callbacks.{name}._target_={CALLBACKS}.{kind}", *arguments]


REFUSED = [
    (callback("EarlyStopping", monitor="val/loss", mode="up"), "callbacks.x: `mode` can be min, max, got up"),
    (callback("Timer", duration="soon"), "callbacks.x: "),
    (callback("ModelCheckpoint", save_top_k=-2), "callbacks.x: Invalid value for save_top_k=-2"),
    (callback("StochasticWeightAveraging", swa_lrs="'0.1'"), "callbacks.x: The `swa_lrs` should"),
    (callback("EarlyStopping"), "callbacks.x: lightning.pytorch.callbacks.EarlyStopping missing"),
    (
        [*callback("LearningRateMonitor"), "trainer.logger=false"],
        "callbacks.x: LearningRateMonitor needs a log, and trainer.logger=false switches it off",
    ),
    (
        [*callback("DeviceStatsMonitor"), "trainer.logger=false"],
        "callbacks.x: DeviceStatsMonitor needs a log, and trainer.logger=false switches it off",
    ),
    (
        [*callback("EarlyStopping", monitor="val/loss"), *callback("EarlyStopping", "y", monitor="val/loss")],
        "callbacks.x and callbacks.y: no checkpoint can hold two EarlyStopping with equal arguments",
    ),
    (
        [*callback("TQDMProgressBar"), *callback("RichProgressBar", "y")],
        "callbacks.x and callbacks.y: there can be one progress bar",
    ),
    (
        callback("LearningRateFinder"),
        "callbacks.x: LearningRateFinder changes the run before it starts, which a resume could not repeat: "
        "sweep optimizer.lr instead",
    ),
    (
        ["trainer.profiler._target_=lightning.pytorch.profilers.PyTorchProfiler", "trainer.profiler.schedule=3"],
        "trainer.profiler: Schedule should be a callable. Found: 3",
    ),
    (
        ["trainer.strategy._target_=lightning.pytorch.strategies.SingleDeviceStrategy", "trainer.strategy.device=x"],
        "trainer.strategy: ",
    ),
    (
        ["trainer.plugins=[{_target_: lightning.pytorch.plugins.MixedPrecision, precision: x, device: cpu}]"],
        "trainer.plugins: ",
    ),
    (["trainer.precision=${model.loss}"], "trainer.precision=${model.loss} (bce): "),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_what_a_run_cannot_have_is_refused_before_it_starts(train, capfd, elsewhere, overrides, message):
    assert train(*overrides) == 1
    error = capfd.readouterr().err
    assert error.startswith(f"The configuration cannot be run:\n  {message}")
    assert len(error.splitlines()) == 2
    assert list(elsewhere.iterdir()) == []


def test_all_wrong_callbacks_are_reported_at_once(train, capfd):
    wrong = [*callback("BatchSizeFinder"), *callback("EarlyStopping", "y", monitor="val/loss", mode="up")]
    assert train(*wrong, "trainer.accelerator=abacus") == 1
    error = capfd.readouterr().err
    assert "  callbacks.x: BatchSizeFinder changes the run" in error
    assert "  callbacks.y: `mode`" in error
    assert "  trainer.accelerator=abacus: " in error


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["TQDMProgressBar", "RichProgressBar"])
@pytest.mark.parametrize("shown", [None, True, False])
@pytest.mark.parametrize("terminal", [False, True])
def test_a_progress_bar_of_the_users_replaces_ours(run, capsys, monkeypatch, kind, shown, terminal):
    if terminal:
        monkeypatch.setattr(sys, "stderr", Terminal())
    flag = [] if shown is None else [f"trainer.enable_progress_bar={shown}"]
    assert metrics(run(*callback(kind), *flag, "trainer.max_epochs=2"))["status"] == "finished"
    assert ("Epoch 1" in capsys.readouterr().out) == (terminal and shown is not False)


SCHEDULES = {
    "each epoch": ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=1"],
    "within epochs": ["trainer.max_epochs=3", "trainer.val_check_interval=0.5", "data.batch_size=20"],
    "seldom": ["trainer.max_epochs=30", "trainer.check_val_every_n_epoch=20"],
    "never": ["trainer.max_epochs=3", "trainer.limit_val_batches=0"],
    "one epoch": ["trainer.max_epochs=1"],
}


@pytest.mark.parametrize("kind", ["EarlyStopping", "ModelCheckpoint"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_metric_that_nothing_logs_is_reported_as_soon_as_that_is_known(train, capfd, schedule, kind):
    assert train(*callback(kind, monitor="val/los"), *SCHEDULES[schedule], "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert "Traceback" not in error
    line = error.splitlines()[-1]
    assert line.startswith("callbacks.x.monitor=val/los: nothing is logged under that name. What is logged: ")
    assert "train/loss" in line
    assert ("val/accuracy, val/loss" in line) == (schedule != "never")
    result = metrics(Path("run"))
    assert result["status"] == "failed"
    assert "val/los" in result["error"]
    assert result["step"] <= 5


@pytest.mark.parametrize("monitor", ["train/loss", "val/loss"])
@pytest.mark.parametrize("kind", ["EarlyStopping", "ModelCheckpoint"])
def test_a_metric_that_is_logged_is_monitored(run, kind, monitor):
    directory = run(*callback(kind, monitor=monitor), "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2")
    assert metrics(directory)["status"] == "finished"
    assert len(read_scalars(directory)["train/loss"]) == 3


def test_callbacks_that_do_not_insist_on_their_metric_are_left_alone(run):
    lenient = callback("EarlyStopping", monitor="val/los", strict="false")
    counting = callback("ModelCheckpoint", "y", monitor="step", mode="max")
    assert metrics(run(*lenient, *counting, "trainer.max_epochs=3"))["status"] == "finished"


ENVIRONMENTS = [
    ({"SLURM_NTASKS": "2"}, "the environment variable SLURM_NTASKS=2: You set `--ntasks=2` in your SLURM bash script"),
    (
        {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_STEP_NUM_TASKS": "2"},
        "the environment variable SLURM_STEP_NUM_TASKS=2: trainer=ddp starts the processes of a run itself; unset it",
    ),
    ({"SLURM_NTASKS": "many"}, "the environment variable SLURM_NTASKS=many: "),
    (
        {"WORLD_SIZE": "2"},
        "the environment variable WORLD_SIZE=2: trainer=ddp starts the processes of a run itself; unset it",
    ),
    (
        {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "7"},
        "the environment variable WORLD_SIZE=2: trainer=ddp starts the processes of a run itself; unset it",
    ),
    ({"RANK": "1"}, "the environment variable RANK=1: this is not the first of several processes"),
    ({"LOCAL_RANK": "1"}, "the environment variable LOCAL_RANK=1: this is not the first of several processes"),
    ({"RANK": "abc"}, "the environment variable RANK=abc: "),
    ({"SLURM_PROCID": "1"}, "the environment variable SLURM_PROCID=1: this is not the first of several processes"),
    (
        {"LSB_JOBID": "1", "LSB_DJOB_RANKFILE": "/none", "JSM_NAMESPACE_LOCAL_RANK": "0", "JSM_NAMESPACE_SIZE": "1"},
        "the environment variable JSM_NAMESPACE_LOCAL_RANK=0 or JSM_NAMESPACE_SIZE=1 or ",
    ),
    (
        {"PL_TRAINER_GRADIENT_CLIP_VAL": "1"},
        "the environment variable PL_TRAINER_GRADIENT_CLIP_VAL is not read: trainer.gradient_clip_val=1 is",
    ),
]


@pytest.mark.parametrize(("variables", "message"), ENVIRONMENTS)
def test_an_environment_that_is_wrong_is_blamed_itself(elsewhere, variables, message):
    """In a process of its own, since Lightning reads the rank when it is imported."""
    command = [sys.executable, str(ROOT / "train.py"), "trainer.max_epochs=2"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The configuration cannot be run:\n  {message}")
    assert "trainer.max_epochs" not in done.stderr
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "bash"},
        {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
        {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "7"},
        {"CUDA_VISIBLE_DEVICES": "", "PL_TRAINER_DEVICES": "2"},
    ],
)
def test_an_environment_of_one_process_is_none_of_our_business(run, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    directory = run("trainer.max_epochs=2")
    assert len(read_scalars(directory)["train/loss"]) == 2
    assert yaml.safe_load((directory / ".hydra/config.yaml").read_text())["trainer"]["devices"] == 1


def test_one_device_is_used_where_there_are_two_and_all_on_request(run, monkeypatch):
    monkeypatch.setattr(CPUAccelerator, "auto_device_count", staticmethod(lambda: 2))
    for name, overrides, devices in (("one", [], 1), ("all", ["trainer.devices=auto"], 2)):
        directory = run("trainer.max_epochs=2", *overrides, name=name)
        assert json.loads((directory / "provenance.json").read_text())["devices"] == devices
