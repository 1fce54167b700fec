"""Ray: its runs equal the basic launcher's, on this machine and on a cluster, whatever ends meanwhile."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, metrics
from tests.sweeps.test_launchers import (  # noqa: F401
    POLICY,
    SHORT,
    assert_equal,
    assert_passive,
    processes,
    runs,
    steps,
    threads,
    wait_until,
)

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.draws

LIMIT = 120  # seconds
RAY = ["hydra/launcher=ray", "hydra.launcher.n_jobs=2"]
KILLER = """
import os
import time
from pathlib import Path

from lightning.pytorch import Callback


class RayKiller(Callback):
    '''Sends a signal to a process after three steps, if the test's order is for this node; runs on others wait.'''

    has_sent = False

    def on_train_batch_end(self, trainer, *_):
        while trainer.global_step >= 3 and (orders := [*Path().glob("*.order")]):
            if orders[0].stem == os.environ.get("NODE", "here"):
                self.follow(orders[0])
                break
            time.sleep(0.1)
        if self.has_sent:
            time.sleep(0.5)  # the run is not complete before the signal has had its effect

    def follow(self, order):
        ended, process, number = map(int, order.read_text().split())
        if len([*Path().glob("*/*/metrics.json")]) >= ended:
            order.rename(f"{process}.done")
            os.kill(process, number)
            self.has_sent = True
"""
SWEEP = ["--config-dir", "mine", "experiment=killed", "trainer.max_epochs=30", *SHORT[1:]]


@pytest.fixture(autouse=True)
def limit(elsewhere: Path) -> Iterator[None]:
    """End a test that hangs."""

    def fail(*_: object) -> None:
        raise TimeoutError(f"after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def killer() -> None:
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/ray_killer.py").write_text(KILLER)
    config = {"callbacks": {"killer": {"_target_": "ray_killer.RayKiller"}}, "checkpoint": {"every_n_seconds": 0}}
    Path("mine/experiment/killed.yaml").write_text(f"# @package _global_\n{json.dumps(config | POLICY)}\n")


def order(node: str, process: int, number: int, ended: int = 0) -> None:
    """Let a run on a node send a signal to a process after three steps, when so many other runs have ended."""
    Path("new").write_text(f"{ended} {process} {number}")
    Path("new").rename(f"{node}.order")


def test_an_interrupted_search_resumes_and_equals_the_basic_launchers(train, killer, threads, capfd):  # noqa: F811
    search = ["-m", *SWEEP, "search=optuna", "search.trials=4"]
    order("here", os.getpid(), signal.SIGINT, ended=2)
    assert train(*search, *RAY, "hydra.sweep.dir=ray") == 130
    assert {metrics(run)["status"] for run in runs("ray").values()} == {"finished", "interrupted"}
    assert_passive("ray")
    assert not ray.is_initialized()
    error = capfd.readouterr().err
    assert error.startswith("Interrupted. To resume: python ")
    assert len(error.splitlines()) == 1
    for directory in ("ray", "basic"):
        assert train(*search, "hydra.sweeper.workers=2", f"hydra.sweep.dir={directory}") == 0
    assert_equal("ray", "basic", ordered=False)
    assert_starts("ray", interruptions=1)


def assert_starts(directory: str, interruptions: int) -> None:
    """Each start resumed where the run was saved, and no run was started without need."""
    starts = {name: steps(run) for name, run in runs(directory).items()}
    assert all(sorted(each) == each for each in starts.values()), starts
    assert 2 <= max(map(len, starts.values())) <= 1 + interruptions, starts
    assert max(step for each in starts.values() for step in each) >= 3, starts


def test_gpus_that_this_machine_lacks_are_an_error(train, capfd, monkeypatch):
    monkeypatch.setattr(ray, "init", lambda *args, **kwargs: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    assert train("-m", "seed=0,1", *RAY, "hydra.launcher.num_gpus=0.5") == 1
    assert "hydra.launcher.num_gpus=0.5: this machine has 0" in capfd.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "somewhere"])
def test_an_address_where_no_cluster_is_is_an_error(train, capfd, address):
    assert train("-m", "seed=0,1", *RAY, f"hydra.launcher.address={address}") == 1
    assert f"hydra.launcher.address={address}: no answer; auto, or host:port" in capfd.readouterr().err


class Cluster:
    """Two nodes of Ray on this machine, for one run each."""

    def __init__(self, directory: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{found.getsockname()[1]}"
        self.mark = directory
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}
        self.environment = os.environ | token | {"RAY_TMPDIR": directory, "MARK": self.mark}

    def start(self) -> None:
        port = self.address.partition(":")[2]
        self.start_node("first", "--head", f"--port={port}", "--include-dashboard=false")
        self.start_node("second", f"--address={self.address}")

    def start_node(self, name: str, *options: str) -> None:
        resources = ["--num-cpus=1", "--object-store-memory=100000000"]
        subprocess.run(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--node-ip-address=127.0.0.1", *options, *resources],
            cwd="/",
            env=self.environment | {"NODE": name},
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=LIMIT,
        )

    def raylet(self, node: str) -> psutil.Process:
        """The process that starts the workers of a node."""
        (found,) = (
            process
            for process in map(psutil.Process, processes(self.mark))
            if process.name() == "raylet" and process.environ()["NODE"] == node
        )
        return found

    def workers(self) -> list[psutil.Process]:
        raylets = (self.raylet(node) for node in ("first", "second"))
        return [each for raylet in raylets for each in raylet.children() if each.name().startswith("ray::_run")]

    def stop(self) -> None:
        while left := processes(self.mark):
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # The path of a socket must be short.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as directory:
        cluster = Cluster(directory)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_cluster_that_loses_the_sweep_and_then_a_node(train, killer, cluster, capfd):
    """The sweep is killed, and at its second start the node of one of its runs."""
    sweep = ["-m", *SWEEP, "seed=0,1,2"]
    options = ["hydra/launcher=ray", f"hydra.launcher.address={cluster.address}", "hydra.sweep.dir=ray"]
    command = [sys.executable, str(ROOT / "train.py"), *sweep, *options]

    with subprocess.Popen(command, env=cluster.environment, stderr=subprocess.PIPE, text=True) as process:
        order("second", process.pid, signal.SIGKILL)
        process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not cluster.workers())
    assert max(len(steps(path.parent)) for path in Path("ray").glob("*/provenance.json")) == 1

    order("second", cluster.raylet("second").pid, signal.SIGKILL)
    capfd.readouterr()
    again = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, timeout=LIMIT)
    assert again.returncode == 0, again.stderr
    assert_passive("ray")
    assert again.stderr == "Runs that were lost with a worker, and are launched again: 1\n"

    assert train(*sweep, "hydra.sweep.dir=basic") == 0
    assert sorted(again.stdout.replace("ray", "basic").split()) == sorted(capfd.readouterr().out.split())
    assert_equal("ray", "basic")
    assert_starts("ray", interruptions=2)
