"""Each launcher's runs equal the basic launcher's, whatever of its workers or of the sweep is lost meanwhile."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from experiment.configuration import refusals
from experiment.sweeps.worker import count_cores
from tests.conftest import ROOT, metrics
from tests.faults import result
from tests.sweeps import slurm_standin

pytestmark = pytest.mark.draws

VIEWS = ("backprop", "graph", "play", "decision_boundary")
SHORT = ["trainer.max_epochs=5", *(f"callbacks.{name}=null" for name in VIEWS)]
# A part of a configuration that records an environment variable of the process that trains.
POLICY = {"extras": {"policy": "${oc.env:OMP_WAIT_POLICY,active}"}}
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]

KILLER = """
import os
from pathlib import Path

from lightning.pytorch import Callback


class Killer(Callback):
    '''Sends signals to its own process in the run of seed 1, once.'''

    def __init__(self, seed, signals):
        self.is_mine, self.signals = seed == 1, signals

    def on_train_batch_end(self, trainer, *_):
        if self.is_mine and trainer.global_step == 3 and not Path("killed").exists():
            Path("killed").touch()
            for number in self.signals:
                os.kill(os.getpid(), number)
"""


def killed_by(*signals: int) -> list[str]:
    """The options of a sweep whose run of seed 1 is sent signals after three steps, each of which is saved."""
    Path("mine/experiment").mkdir(parents=True)
    module = "_".join(["killer", *map(str, map(int, signals))])  # its own for each test: they share a process
    Path(f"mine/{module}.py").write_text(KILLER)
    killer = {"_target_": f"{module}.Killer", "seed": "${seed}", "signals": [*map(int, signals)]}
    config = {"callbacks": {"killer": killer}, "checkpoint": {"every_n_seconds": 0}}
    Path("mine/experiment/killed.yaml").write_text(f"# @package _global_\n{json.dumps(config | POLICY)}\n")
    return ["--config-dir", "mine", "experiment=killed", *SHORT]


def steps(directory: Path) -> list[int]:
    """The step that each start of a run began at."""
    return [start["step"] for start in json.loads((directory / "provenance.json").read_text())["starts"]]


def rows(directory: str) -> list[dict[str, str]]:
    with Path(directory, "sweep.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in ("seconds", "directory")} for row in csv.DictReader(file)]


def runs(directory: str) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(Path(directory).glob("*/metrics.json"))}


def assert_equal(directory: str, expected: str, ordered: bool = True) -> None:
    """The runs, the table and the files of two sweeps are the same."""
    order = list if ordered else partial(sorted, key=str)
    assert order(rows(directory)) == order(rows(expected))
    assert runs(directory).keys() == runs(expected).keys()
    for ours, theirs in zip(runs(directory).values(), runs(expected).values(), strict=True):
        assert result(ours) == result(theirs)
        for name in ("provenance.json", "train.log", "loss.png", "checkpoints/best.ckpt"):
            assert (ours / name).exists(), name
        threads = [json.loads((run / "provenance.json").read_text())["threads"] for run in (ours, theirs)]
        assert threads[0] == threads[1]


def assert_passive(directory: str) -> None:
    """OpenMP's idle threads leave the cores to other workers."""
    configs = [yaml.safe_load((run / ".hydra/config.yaml").read_text()) for run in runs(directory).values()]
    assert {config["extras"]["policy"] for config in configs} == {"PASSIVE"}


@pytest.fixture
def threads() -> Iterator[None]:
    """More threads than ``OMP_NUM_THREADS`` of the tests, so that it is seen whether workers have as many."""
    before = torch.get_num_threads()
    torch.set_num_threads(count_cores())
    yield
    torch.set_num_threads(before)


def test_joblib_runs_equal_the_basic_launchers(train, threads, capfd):
    assert train("-m", "seed=0,1,2", *SHORT, "hydra.sweep.dir=basic") == 0
    expected = capfd.readouterr()
    assert train("-m", "seed=0,1,2", *SHORT, *JOBLIB, "hydra.sweep.dir=joblib") == 0
    output = capfd.readouterr()
    assert_equal("joblib", "basic")
    assert sorted(output.out.splitlines()) == sorted(expected.out.replace("basic", "joblib").splitlines())
    assert output.err == ""


def test_a_run_that_fails_in_a_worker_is_reported_as_by_the_basic_launcher(train, capfd):
    Path("mine").mkdir()
    Path("mine/odd.py").write_text(
        "from lightning.pytorch import Callback\n\n\nclass OddError(Exception):\n"
        "    def __init__(self, one, two):\n        super().__init__('out of luck')\n\n\nclass Odd(Callback):\n"
        "    def __init__(self, fails):\n        self.fails = fails\n\n    def on_train_start(self, *_):\n"
        "        if self.fails:\n            raise OddError(1, 2)\n"
    )
    sweep = ["-m", "--config-dir", "mine", "+callbacks.odd={_target_:odd.Odd,fails:false}", *SHORT]
    for launcher in ([], JOBLIB):
        assert train(*sweep, "callbacks.odd.fails=true,false", *launcher, f"hydra.sweep.dir=s{len(launcher)}") == 1
    first, second = capfd.readouterr().err.split("1 of 2 runs failed.")[1:]
    assert "OddError: out of luck (at " in first
    assert first.splitlines()[1] == second.splitlines()[1]


def test_runs_that_are_lost_with_a_worker_are_launched_again(train, capfd):
    """Killed once, the worker takes what joblib had not started with it: each run is finished, none trained twice."""
    sweep = ["-m", *killed_by(signal.SIGKILL), "seed=range(0,6)"]
    assert train(*sweep, *JOBLIB, "hydra.sweep.dir=joblib") == 0
    assert Path("killed").exists()
    assert "launched again" in capfd.readouterr().err
    assert train(*sweep, "hydra.sweep.dir=basic") == 0
    assert_equal("joblib", "basic")
    assert_passive("joblib")
    starts = {name[-1]: len(steps(directory)) for name, directory in runs("joblib").items()}
    again = [seed for seed, count in starts.items() if count > 1]
    assert "1" in again
    assert len(again) <= 2  # joblib ends the other worker too, maybe within a run
    assert max(starts.values()) == 2


def test_submitit_runs_equal_the_basic_launchers(train, threads):
    assert train("-m", "seed=0,1", *SHORT, "hydra.sweep.dir=basic") == 0
    assert train("-m", "seed=0,1", *SHORT, "hydra/launcher=submitit_local", "hydra.sweep.dir=submitit") == 0
    assert_equal("submitit", "basic")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The state of commands that stand for Slurm's."""
    directory = tmp_path / "slurm"
    directory.mkdir()
    for name in ("sbatch", "srun", "scontrol", "sacct"):
        (directory / name).symlink_to(slurm_standin.__file__)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STANDIN", str(directory))
    return directory


def test_a_job_that_slurm_pre_empts_is_submitted_again_and_resumes(train, slurm):
    """Not on a cluster: commands of the same names stand for Slurm's. Slurm announces the end by both signals."""
    sweep = ["-m", *killed_by(signal.SIGTERM, signal.SIGUSR2), "seed=0,1"]
    options = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=240"]
    assert train(*sweep, *options, "hydra.sweep.dir=slurm_sweep") == 0
    script = (slurm / "script").read_text()
    for option in ("--array=0-1%2", "--partition=gpu", "--time=240", "--signal=USR2@120", "--nodes=1"):
        assert f"#SBATCH {option}\n" in script
    assert [path.name for path in slurm.glob("*.was_requeued")] == ["7_1.was_requeued"]
    assert train(*sweep, "hydra.sweep.dir=basic") == 0
    assert_equal("slurm_sweep", "basic")
    assert_passive("slurm_sweep")
    assert sorted(len(steps(directory)) for directory in runs("slurm_sweep").values()) == [1, 2]


def processes(mark: str) -> list[int]:
    """The processes of this machine that were started with an environment variable."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("launcher", "number"),
    [(JOBLIB, signal.SIGKILL), (["hydra/launcher=submitit_local"], signal.SIGINT)],
)
def test_no_worker_outlives_the_sweep_and_the_same_command_finishes_it(train, tmp_path, launcher, number):
    long = ["trainer.max_epochs=1500", "checkpoint.every_n_seconds=0.1", *SHORT[1:]]
    sweep = ["-m", "seed=0,1", *long, *launcher, "hydra.sweep.dir=sweep"]
    with subprocess.Popen(
        [sys.executable, ROOT / "train.py", *sweep],
        env=os.environ | {"MARK": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: any(Path("sweep").glob("*/checkpoints/last.ckpt")) or process.poll() is not None)
        assert len(processes(str(tmp_path))) >= 3
        process.send_signal(number)
        error = process.communicate()[1]
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert re.search(r"^Interrupted. To resume: python .*hydra.sweep.dir=sweep$", error, re.MULTILINE)
    wait_until(lambda: not processes(str(tmp_path)))
    assert train(*[each for each in sweep if each not in launcher]) == 0
    assert {row["status"] for row in rows("sweep")} == {"finished"}
    assert max(len(steps(directory)) for directory in runs("sweep").values()) == 2


def test_a_search_in_batches_does_not_depend_on_the_launcher(train):
    search = ["-m", "search=optuna", "search.trials=5", *SHORT]
    assert train(*search, "hydra.sweeper.workers=2", "hydra.sweep.dir=basic") == 0
    assert train(*search, *JOBLIB, "hydra.sweep.dir=joblib") == 0
    assert_equal("joblib", "basic")


def test_jobs_are_launched_in_batches(train):
    assert train("-m", "seed=0,1,2", *SHORT, "hydra.sweeper.max_batch_size=2", "hydra.sweep.dir=sweep") == 0
    assert [row["status"] for row in rows("sweep")] == ["finished"] * 3
    assert metrics(
        Path(
            "sweep/callbacks.backprop=null,callbacks.decision_boundary=null,callbacks.graph=null,callbacks.play=null,seed=2"
        )
    )


@pytest.mark.parametrize("key", ["workers", "max_batch_size"])
def test_a_number_that_is_none_is_refused(train, capfd, elsewhere, key):
    assert train("-m", "seed=0,1", f"hydra.sweeper.{key}=0") == 1
    assert f"hydra.sweeper.{key}=0: a whole number ≥ 1" in capfd.readouterr().err
    assert [*elsewhere.iterdir()] == []


def test_a_launcher_that_is_not_installed_says_what_to_install(train, capfd, elsewhere, monkeypatch):
    monkeypatch.setitem(refusals.LAUNCHER_EXTRAS, "abroad", "travel")
    assert train("-m", "seed=0,1", "hydra/launcher=abroad", "hydra.launcher.n_jobs=2") == 1
    error = capfd.readouterr().err
    install = "pip install -c constraints.txt -e '.[travel]'"
    assert error == f"hydra/launcher=abroad needs packages that are not installed: {install}\n"
    assert [*elsewhere.iterdir()] == []
