"""A grid: each run equals the same run alone, and the same command resumes, widens and extends the sweep."""

import csv
import gc
import re
import resource
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from lightning.pytorch import Trainer

from tests import faults
from tests.conftest import ROOT, checkpoint, metrics, plain_loop, snapshot
from tests.runs.test_run import curve, stranger  # noqa: F401

SHORT = "trainer.max_epochs=20"


def test_each_run_of_a_sweep_equals_the_same_run_alone(train, run, capfd):
    assert train("-m", "optimizer.lr=0.01,0.1,1", "seed=0,1", SHORT, "hydra.sweep.dir=sweep") == 0
    output = capfd.readouterr()
    assert output.out.count(": finished, ") == 6
    assert output.err == ""
    expected = {f"optimizer.lr={lr},seed={seed}" for lr in ("0.01", "0.1", "1") for seed in (0, 1)}
    assert {path.name for path in Path("sweep").iterdir() if path.is_dir()} == expected
    for lr in (0.01, 0.1, 1):
        for seed in (0, 1):
            losses, _ = plain_loop(lr=lr, seed=seed, epochs=20)
            assert curve(Path(f"sweep/optimizer.lr={lr},seed={seed}")) == list(enumerate(losses))
    alone = run("optimizer.lr=1", "seed=0", SHORT)
    for name in ("last", "best"):
        ours, theirs = checkpoint(Path("sweep/optimizer.lr=1,seed=0"), name), checkpoint(alone, name)
        assert all(torch.equal(ours["state_dict"][key], value) for key, value in theirs["state_dict"].items())
    assert metrics(Path("sweep/optimizer.lr=1,seed=0")) | {"seconds": 0} == metrics(alone) | {"seconds": 0}


def test_a_run_does_not_depend_on_its_place_in_the_sweep(train):
    assert train("-m", "data.batch_size=7", "seed=0,5", SHORT, "hydra.sweep.dir=up") == 0
    assert train("-m", "data.batch_size=7", "seed=5,0", SHORT, "hydra.sweep.dir=down") == 0
    for seed in (0, 5):
        first, second = (Path(f"{name}/data.batch_size=7,seed={seed}") for name in ("up", "down"))
        assert curve(first) == curve(second)


def test_a_repeated_sweep_changes_nothing_and_a_wider_or_longer_one_adds_to_it(train):
    assert train("-m", "seed=0,1", SHORT, "hydra.sweep.dir=sweep") == 0
    before = {name: snapshot(Path("sweep", name)) for name in ("seed=0", "seed=1")}
    assert train("-m", "seed=0,1,2", SHORT, "hydra.sweep.dir=sweep") == 0
    assert {name: snapshot(Path("sweep", name)) for name in before} == before
    assert metrics(Path("sweep/seed=2"))["status"] == "finished"
    assert train("-m", "seed=0,1,2", "trainer.max_epochs=30", "hydra.sweep.dir=sweep") == 0
    assert [metrics(Path(f"sweep/seed={seed}"))["epoch"] for seed in range(3)] == [30] * 3


def test_a_run_of_another_configuration_in_the_directory_is_refused(train, capfd):
    assert train("-m", "seed=0,1", SHORT, "hydra.sweep.dir=sweep") == 0
    before = {k: v for k, v in snapshot(Path("sweep")).items() if "/" in k}
    config = Path("mine/experiment/other.yaml")
    config.parent.mkdir(parents=True)
    config.write_text("# @package _global_\ndata: {noise: 0.5}\n")
    # The name holds the overrides alone: it stays the same when the file of an experiment changes.
    sweep = ["-m", "--config-dir", "mine", "seed=0,1", "experiment=other", "hydra.sweep.dir=sweep"]
    assert train(*sweep, SHORT) == 0
    assert {k: v for k, v in snapshot(Path("sweep")).items() if k in before and "/" in k}.items() <= before.items()
    config.write_text("# @package _global_\ndata: {noise: 0.4}\n")
    capfd.readouterr()
    assert train(*sweep, SHORT) == 1
    assert "data.noise: 0.5 there, 0.4 here" in capfd.readouterr().err


def test_the_other_runs_continue_when_one_fails(train, stranger, capfd):  # noqa: F811
    assert train("-m", *stranger, "model.fail_at=-1,2,-2", "hydra.sweep.dir=sweep") == 1
    error = capfd.readouterr().err
    assert "1 of 3 runs failed" in error
    assert "model.fail_at=2" in error
    assert "out of luck" in error
    assert "Traceback" not in error
    status = {
        path.parent.name.split(",")[1]: metrics(path.parent)["status"] for path in Path("sweep").glob("*/metrics.json")
    }
    assert status == {"model.fail_at=-1": "finished", "model.fail_at=2": "failed", "model.fail_at=-2": "finished"}


def test_a_dry_run_that_fails_is_reported(train, stranger, capfd):  # noqa: F811
    sweep = ["-m", *stranger, "+trainer.fast_dev_run=true", "hydra.sweep.dir=sweep"]
    assert train(*sweep, "model.fail_at=-1,-2") == 0
    assert train(*sweep, "model.fail_at=-1,0") == 1
    error = capfd.readouterr().err
    assert "1 of 2 runs failed" in error
    assert "out of luck" in error
    assert not Path("sweep").exists()


def test_a_sweep_over_nothing_is_an_error(train, capfd, elsewhere):
    assert train("-m", "model.activation=glob(none*)") == 1
    assert capfd.readouterr().err == "There is nothing to sweep: a key has no values.\n"
    assert list(elsewhere.iterdir()) == []


def test_a_long_sweep_leaks_no_memory(train):
    def used() -> tuple[int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return sum(type(each) is Trainer for each in gc.get_objects()), pages * resource.getpagesize()

    short = ["trainer.max_epochs=2", "callbacks.decision_boundary=null"]
    assert train("-m", "seed=range(0,10)", *short, "hydra.sweep.dir=sweep") == 0
    trainers, before = used()
    assert train("-m", "seed=range(10,35)", *short, "hydra.sweep.dir=sweep") == 0
    after_trainers, after = used()
    assert after_trainers <= trainers
    assert after - before < 15e6


def test_lists_and_unicode_in_directory_names(train):
    odd = "data.line=[1,-1,0.5]"
    assert train("-m", odd, "model.hidden=[3],[2,2]", "trainer.max_epochs=2", "hydra.sweep.dir='a b/ü'") == 0
    for hidden in ("[3]", "[2,2]"):
        assert metrics(Path(f"a b/ü/{odd},model.hidden={hidden}"))["status"] == "finished"


def test_the_same_command_finds_the_directories_whose_names_are_encoded(train):
    times = "trainer.max_time='00:01:00:00','00:02:00:00'"
    sweep = ["-m", times, SHORT, "hydra.sweep.dir=sweep"]
    assert train(*sweep) == 0
    names = {path.parent.name for path in Path("sweep").glob("*/metrics.json")}
    assert names == {f"trainer.max_time=00%3A0{minutes}%3A00%3A00" for minutes in (1, 2)}
    before = {k: v for k, v in snapshot(Path("sweep")).items() if "/" in k}
    assert train(*sweep) == 0
    assert {k: v for k, v in snapshot(Path("sweep")).items() if "/" in k} == before
    assert {row["trainer.max_time"] for row in rows()} == {"00:01:00:00", "00:02:00:00"}


def rows(directory: str = "sweep") -> list[dict[str, str]]:
    with Path(directory, "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_starts_with_the_best_and_ends_with_the_diverged(train, capfd):
    rates = "optimizer.lr=1e37,0.001,300,0.1"
    assert train("-m", rates, "trainer.max_epochs=100", "hydra.sweep.dir=sweep") == 0
    head, *told = capfd.readouterr().out.partition("\n\n")[2].splitlines()[:5]
    assert head.split()[:3] == ["optimizer.lr", "runs", "val/loss"]
    assert [line.split()[0] for line in told[:2]] == ["0.1", "0.001"]
    assert {line.split()[0] for line in told[2:]} == {"300", "1.0e+37"}
    assert all(line.endswith("1 diverged") for line in told[2:])


def test_the_table_shows_mean_and_standard_deviation_over_seeds(train, capfd):
    assert train("-m", "optimizer.lr=0.01,1", "seed=0,1,2", SHORT, "hydra.sweep.dir=sweep") == 0
    told = capfd.readouterr().out.partition("\n\n")[2].splitlines()[1:3]
    assert [line.split()[:2] for line in told] == [["1", "3"], ["0.01", "3"]]
    for line in told:
        losses = [metrics(Path(f"sweep/optimizer.lr={line.split()[0]},seed={seed}"))["val/loss"] for seed in range(3)]
        assert f" {np.mean(losses):.4g} ± {np.std(losses, ddof=1):.2g} " in line


def test_the_csv_has_the_metrics_of_every_run(train):
    assert train("-m", "model.hidden=[3],[2,2]", "optimizer.lr=0.10,1e-5", SHORT, "hydra.sweep.dir=sweep") == 0
    found = rows()
    assert [(row["model.hidden"], row["optimizer.lr"]) for row in found] == [
        ("[3]", "0.1"),
        ("[3]", "1.0e-05"),
        ("[2,2]", "0.1"),
        ("[2,2]", "1.0e-05"),
    ]
    for row in found:
        own = metrics(Path(row["directory"]))
        assert {key: "" if value is None else str(value) for key, value in own.items()}.items() <= row.items()
        assert row.keys() == {"model.hidden", "optimizer.lr", "trainer.max_epochs", "directory", *own}
    assert Path("sweep/sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_failed_run_is_a_row_and_the_printed_command_runs_it_again(train, stranger, capfd):  # noqa: F811
    sweep = ["-m", *stranger, "model.fail_at=-1,2", "hydra.sweep.dir=sweep"]
    assert train(*sweep) == 1
    assert {row["model.fail_at"]: row["status"] for row in rows()} == {"-1": "finished", "2": "failed"}
    assert "out of luck" in next(row["error"] for row in rows() if row["status"] == "failed")
    error = capfd.readouterr().err
    command = re.search(r"1 of 2 runs failed. To run them again: (python .*)", error)[1]
    assert shlex.split(command)[2:] == sweep
    before = snapshot(Path("sweep"))
    assert train(*sweep) == 1
    untouched = {k: v for k, v in before.items() if k.startswith("model.fail_at=-1") or "fail_at=-1/" in k}
    assert untouched.items() <= snapshot(Path("sweep")).items()


def test_the_same_command_resumes_a_killed_sweep(train, kill_after):
    """Killed while its second run trains: the first is not touched, the others equal uninterrupted runs."""
    sweep = ["-m", "seed=0,1,2", SHORT, "checkpoint.every_n_seconds=0", "hydra.sweep.dir=killed"]
    first, second, third = (Path(f"killed/checkpoint.every_n_seconds=0,seed={seed}") for seed in range(3))
    kill_after(9, run=2)
    assert faults.wait(faults.fork(sweep, Path("out"))) == -signal.SIGKILL
    assert [row["status"] for row in rows("killed")] in (["finished", "pending", "pending"], ["pending"] * 3)
    before = snapshot(first)
    kill_after(None)
    assert train(*sweep) == 0
    assert snapshot(first) == before
    assert faults.steps(second) == [0, 9]
    for seed, directory in enumerate((first, second, third)):
        assert curve(directory) == list(enumerate(plain_loop(seed=seed, epochs=20)[0]))
    assert [row["status"] for row in rows("killed")] == ["finished"] * 3


def test_a_complete_sweep_is_reported_without_importing_torch_and_nothing_is_changed(train, elsewhere):
    sweep = ["-m", "optimizer=sgd,adam", "seed=0,1", SHORT, "hydra.sweep.dir=sweep"]
    assert train(*sweep) == 0
    before = {k: v for k, v in snapshot(Path("sweep")).items() if k != "multirun.yaml"}
    script = str(ROOT / "train.py")
    start = f"sys.argv[0] = {script!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
    code = f"import runpy, sys; {start}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *sweep], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split()[:3] == ["optimizer", "runs", "val/loss"]
    assert "hydra" in done.stdout.split()
    assert "torch" not in done.stdout.split()
    assert before.items() <= snapshot(Path("sweep")).items()


def test_runs_that_a_launcher_loses_are_reported(train, capfd, monkeypatch):
    """A launcher that reports success, but has run nothing."""

    def launch(jobs: list[list[str]], initial_job_idx: int) -> list[JobReturn]:
        return [JobReturn(overrides=job, status=JobStatus.COMPLETED) for job in jobs]

    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *args, **kwargs: SimpleNamespace(launch=launch))
    assert train("-m", "seed=0,1", SHORT, "hydra.sweep.dir=sweep") == 1
    error = capfd.readouterr().err
    assert "2 of 2 runs failed" in error
    assert "seed=1: lost" in error
    assert [row["status"] for row in rows()] == ["pending"] * 2


def test_the_csv_keeps_the_rows_of_earlier_sweeps(train):
    assert train("-m", "optimizer.lr=0.1,1", SHORT, "hydra.sweep.dir=sweep") == 0
    assert train("-m", "optimizer.lr=10", SHORT, "hydra.sweep.dir=sweep") == 0
    assert {row["optimizer.lr"] for row in rows()} == {"0.1", "1", "10"}
