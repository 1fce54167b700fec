"""Batches of runs that are trained in several processes: signals, and processes that are killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.vectorized.compare import assert_same_runs

RUNS = [*("-m", "seed=0,1", "trainer.max_epochs=5000", "checkpoint.every_n_seconds=0.1")]
RUNS += [f"callbacks.{name}=null" for name in ("backprop", "graph", "play", "decision_boundary")]
TOGETHER = [*RUNS, "hydra.sweep.dir=together", "hydra/launcher=vectorized"]
TOGETHER += ["hydra.launcher.batch_size=1", "hydra.launcher.processes=2"]


@contextmanager
def training_in_two_processes() -> Iterator[tuple[subprocess.Popen, list[psutil.Process]]]:
    """Start the sweep; yield it, and the processes that it has started, as soon as both of them train."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *TOGETHER], stdout=-3, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        while len([*Path("together").glob("*/checkpoints/last.ckpt")]) < 2:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        yield process, psutil.Process(process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("workers") / "alone"
    subprocess.run([sys.executable, str(ROOT / "train.py"), *RUNS, f"hydra.sweep.dir={directory}"], check=True)
    return directory


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_outlives_a_sweep_that_is_ended_and_it_resumes(train, capfd, alone, number, status):
    with training_in_two_processes() as (process, others):
        process.send_signal(number)
        process.wait()
        assert process.returncode == status
        _, left = psutil.wait_procs(others, timeout=10)
        assert not left
    assert train(*TOGETHER) == 0
    assert "one by one" not in capfd.readouterr().err
    assert_same_runs("together", str(alone), tolerance=1e-4)


def test_a_batch_that_is_lost_with_its_process_is_trained_again(alone):
    with training_in_two_processes() as (process, others):
        max(others, key=lambda each: each.cpu_times().user).kill()
        assert "one by one" not in process.stderr.read().decode()
        assert process.wait() == 0
    assert_same_runs("together", str(alone), tolerance=1e-4)
