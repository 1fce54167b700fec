"""Runs that are trained together resume where they were killed, under this launcher or another one."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, metrics
from tests.vectorized.compare import assert_same_runs, run_directories

VECTORIZED = "hydra/launcher=vectorized"
BARE = [f"callbacks.{name}=null" for name in ("backprop", "graph", "play", "decision_boundary")]
DIGITS = ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits", "model.hidden=16"]
POINTS = ["data.batch_size=25", "data.num_points=400", "optimizer.momentum=0.5"]
SEEDS = "seed=0,1,2,3"


def stop(command: list[str], number: int) -> int:
    """Start a sweep, and stop it as soon as each of its four runs has a checkpoint; return the exit status."""
    with subprocess.Popen([sys.executable, str(ROOT / "train.py"), *command], stdout=-3, stderr=-3) as process:
        while len([*Path("together").glob("*/checkpoints/last.ckpt")]) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
    return process.returncode


@pytest.mark.parametrize(
    ("arguments", "epochs", "number", "status"),
    [(POINTS, 60, signal.SIGKILL, -9), (POINTS, 100, signal.SIGINT, 130), (DIGITS, 12, signal.SIGKILL, -9)],
    ids=["points, killed", "points, Ctrl-C", "digits, killed"],
)
def test_the_same_command_resumes(train, capfd, arguments, epochs, number, status):
    command = ["-m", *arguments, *BARE, SEEDS, f"trainer.max_epochs={epochs}", "checkpoint.every_n_seconds=0.05"]
    assert stop([*command, VECTORIZED, "hydra.sweep.dir=together"], number) == status
    assert train(*command, VECTORIZED, "hydra.sweep.dir=together") == 0
    assert "one by one" not in capfd.readouterr().err
    assert train(*command, "hydra.sweep.dir=alone") == 0
    assert_same_runs("together", "alone")


@pytest.mark.parametrize("arguments", [POINTS, DIGITS], ids=["points", "digits"])
def test_another_launcher_extends(train, arguments):
    command = ["-m", *arguments, *BARE, "seed=0,1"]
    shorter, longer = (["trainer.check_val_every_n_epoch=1", f"trainer.max_epochs={epochs}"] for epochs in (1, 2))
    assert train(*command, *longer, "hydra.sweep.dir=straight") == 0
    for first, second, engine in ([VECTORIZED], [], "lightning"), ([], [VECTORIZED], "vectorized"):
        sweep = f"hydra.sweep.dir=extended_{engine}"
        assert train(*command, *shorter, *first, sweep) == 0
        assert train(*command, *longer, *second, sweep) == 0
        assert [metrics(run)["epoch"] for run in run_directories(f"extended_{engine}")] == [2, 2]
        assert_same_runs(f"extended_{engine}", "straight", engine=engine)
