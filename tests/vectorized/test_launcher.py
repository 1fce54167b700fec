"""``hydra/launcher=vectorized``: runs that are trained together equal the same runs trained alone."""

import gc
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch.fx import GraphModule

from experiment import repeat
from experiment.points import classifier
from experiment.vectorized import compiling, workers
from experiment.vectorized import sweep as vectorized_sweep
from experiment.vectorized.member import Member
from tests.conftest import ROOT, checkpoint, metrics, plain_loop
from tests.runs.test_run import curve
from tests.vectorized.compare import assert_same_runs, run_directories

VECTORIZED = "hydra/launcher=vectorized"
BARE = [f"callbacks.{name}=null" for name in ("backprop", "graph", "play", "decision_boundary")]
DIGITS = ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits"]
CASES = {
    "rates and seeds": ["optimizer.lr=0.1,1", "seed=0,7", "trainer.max_epochs=120"],
    "lines and noise": ["data.line=[1,1,0],[0.5,-2,0.3]", "data.noise=0,0.2", "trainer.max_epochs=60"],
    "curves": ["data=curve", "data.curve=sin(3*x)/2,x**2,0.25", "trainer.max_epochs=20"],
    "shapes": ["data=circle,moons", "data.noise=0.1,0.3", "trainer.max_epochs=20"],
    "lines of which one is not learned": ["data.line=[1,1,0.1],[1,1,5]", "seed=0,1", "trainer.max_epochs=60"],
    "numbers of points": ["data.num_points=50,100,150", "data.num_val=30,70", "seed=0,1", "trainer.max_epochs=20"],
    "numbers of points that have no small multiple": ["data.num_points=50,101", "seed=0,1", "trainer.max_epochs=5"],
    "mini-batches of numbers of points": [
        *("data.num_points=50,100", "data.batch_size=10", "seed=0,1", "trainer.max_epochs=5"),
    ],
    "mini-batches with momentum": [
        *("seed=0,1", "optimizer.momentum=0.5,0.9", "optimizer.weight_decay=0.01", "data.batch_size=30"),
        *("trainer.max_epochs=12", "trainer.check_val_every_n_epoch=5"),
    ],
    "adam": ["seed=0,1", "optimizer=adam", "optimizer.lr=0.1,0.01", "trainer.max_epochs=40"],
    "clipped, other nets": [
        *("seed=0,1", "optimizer=rmsprop,adamw", "optimizer.lr=0.01", "model.activation=tanh", "model.hidden=[5,3]"),
        *("trainer.gradient_clip_val=0.1", "trainer.max_epochs=20"),
    ],
    "sparse logging": [
        "seed=0,1",
        "trainer.log_every_n_steps=7",
        "trainer.max_epochs=30",
        "model.loss=bce_with_logits",
    ],
    "accumulated": ["seed=0,1", "data.batch_size=30", "trainer.accumulate_grad_batches=2", "trainer.max_epochs=6"],
    "steps": ["seed=0,1", "data.batch_size=30", "trainer.max_steps=10", "trainer.max_epochs=-1"],
    "float64": ["seed=0,1", "trainer.precision=64-true", "trainer.max_epochs=10"],
    "digits": [*DIGITS, "seed=0,1", "model.hidden=16", "trainer.max_epochs=1"],
}


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES)
def test_runs_equal_those_that_are_trained_alone(train, capfd, arguments):
    alone = [] if arguments[0] == "--config-dir" else BARE
    assert train("-m", *arguments, "hydra.sweep.dir=alone", *alone) == 0
    capfd.readouterr()
    assert train("-m", *arguments, *alone, "hydra.sweep.dir=together", VECTORIZED) == 0
    assert "one by one" not in capfd.readouterr().err
    assert_same_runs("together", "alone")


def test_a_search_trains_its_trials_together_and_can_be_repeated(train):
    pytest.importorskip("optuna")
    search = ["-m", VECTORIZED, "search=optuna", "search.trials=6", "hydra.sweeper.workers=3", "trainer.max_epochs=5"]
    names = []
    for sweep in ("first", "second"):
        assert train(*search, f"hydra.sweep.dir={sweep}") == 0
        assert {metrics(run)["engine"] for run in run_directories(sweep)} == {"vectorized"}
        names.append([run.name for run in run_directories(sweep)])
    assert len(names[0]) == 6
    assert names[0] == names[1]


def test_a_run_that_is_repeated_alone_says_why_it_differs(train, monkeypatch, capsys):
    assert train("-m", "seed=0,1", VECTORIZED, "trainer.max_epochs=5", "hydra.sweep.dir=sweep") == 0
    monkeypatch.setattr(sys, "argv", ["repeat", "sweep/seed=1", "alone"])
    with pytest.raises(SystemExit):
        repeat.main()
    assert "The engines differ, vectorized and lightning: the two runs agree but for" in capsys.readouterr().out
    alone, together = (torch.tensor([loss for _, loss in curve(Path(name))]) for name in ("alone", "sweep/seed=1"))
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=0)


def test_the_reference_is_met_to_rounding(train):
    began = time.monotonic()
    assert train("-m", "seed=0,3", "optimizer.lr=0.1,1", VECTORIZED, "hydra.sweep.dir=sweep") == 0
    seconds = [metrics(run)["seconds"] for run in run_directories("sweep")]
    assert 0 < sum(seconds) < time.monotonic() - began  # the runs share the time
    for run in run_directories("sweep"):
        rate, seed = (float(part.partition("=")[2]) for part in run.name.split(","))
        losses, net = plain_loop(seed=int(seed), lr=rate)
        assert [step for step, _ in curve(run)] == [*range(1000)]
        torch.testing.assert_close(
            torch.tensor([loss for _, loss in curve(run)]), torch.tensor(losses), rtol=1e-5, atol=0
        )
        state = checkpoint(run)["state_dict"]
        for name, value in net.state_dict().items():
            torch.testing.assert_close(state[f"net.{name}"], value, rtol=1e-4, atol=1e-5)


def test_at_high_rates_curves_part_but_their_ends_have_one_distribution(train):
    runs, epochs, rate = 64, 400, 20
    command = [f"seed=range({runs})", f"optimizer.lr={rate}", f"trainer.max_epochs={epochs}"]
    assert train("-m", *command, VECTORIZED, "hydra.sweep.dir=sweep") == 0
    ours = [[loss for _, loss in curve(Path(f"sweep/optimizer.lr={rate},seed={seed}"))] for seed in range(runs)]
    theirs = [plain_loop(seed=seed, lr=rate, epochs=epochs)[0] for seed in range(runs)]
    part = [not np.allclose(*pair, rtol=1e-3) for pair in zip(ours, theirs, strict=True)]
    assert any(part)
    assert ks_2samp([each[-1] for each in ours], [each[-1] for each in theirs]).pvalue > 0.1


def test_runs_of_other_numbers_of_points_are_trained_together(train):
    assert train("-m", "data.num_points=50,100,200", VECTORIZED, "trainer.max_epochs=2", "hydra.sweep.dir=sweep") == 0
    logs = [(run / "train.log").read_text() for run in run_directories("sweep")]
    assert all("Trained together with 2 other runs" in log for log in logs)


def test_runs_whose_loss_is_a_sum_are_not_trained_on_repeated_points(train, monkeypatch):
    monkeypatch.setitem(classifier.LOSSES, "bce", lambda logits, classes: (logits - classes).square().sum())
    command = ["-m", "data.num_points=50,100", "seed=0,1", "trainer.max_epochs=5", "optimizer.lr=1e-4", *BARE]
    assert train(*command, VECTORIZED, "hydra.sweep.dir=together") == 0
    assert train(*command, "hydra.sweep.dir=alone") == 0
    assert_same_runs("together", "alone")
    assert "Trained together with 1 other runs" in (run_directories("together")[0] / "train.log").read_text()


@pytest.mark.filterwarnings("ignore")  # the compiler uses what torch deprecates
def test_runs_whose_step_is_compiled_equal_those_that_are_trained_alone(train, monkeypatch):
    monkeypatch.setattr(compiling, "_compiled", {})
    arguments = ["optimizer.lr=0.1,1", "seed=0,1", "trainer.max_epochs=40", *BARE]
    assert train("-m", *arguments, "hydra.sweep.dir=alone") == 0
    together = [VECTORIZED, "hydra.launcher.compile=true", "hydra.launcher.batch_size=2"]
    assert train("-m", *arguments, "hydra.sweep.dir=together", *together) == 0
    assert_same_runs("together", "alone")
    ((_, compiled),) = compiling._compiled.items()
    assert not isinstance(compiled, GraphModule)
    assert "The training step is compiled." in (run_directories("together")[0] / "train.log").read_text()


def test_to_compile_pays_by_the_steps_that_a_process_has_before_it(train, monkeypatch):
    assert not compiling.Compiling().pays(compiling.COMPILE_SECONDS)  # not all of them are saved
    assert compiling.Compiling(batches=2).pays(compiling.COMPILE_SECONDS)
    assert compiling.Compiling(choice=True).pays(0)
    assert not compiling.Compiling(choice=False, batches=1000).pays(compiling.COMPILE_SECONDS)
    counts, train_batches = [], vectorized_sweep.train_batches

    def count_and_train(batches, processes, with_script):
        counts.extend(batch.compiling.batches for batch in batches)
        return train_batches(batches, processes, with_script)

    monkeypatch.setattr(vectorized_sweep, "train_batches", count_and_train)
    command = ["seed=range(0,5)", "model.activation=relu,tanh", "hydra.launcher.batch_size=2", "trainer.max_epochs=2"]
    assert train("-m", *command, VECTORIZED, "hydra.sweep.dir=sweep") == 0
    assert counts == [3, 2, 1, 3, 2, 1]  # batches of each structure, from this one on


@pytest.mark.parametrize("value", ["processes=0", "batch_size=-1", "n_jobs=x", "compile=maybe"])
def test_a_wrong_value_of_the_launcher_is_reported_by_its_key(train, capfd, value):
    assert train("-m", VECTORIZED, "seed=0,1", f"hydra.launcher.{value}", "hydra.sweep.dir=sweep") == 1
    captured = capfd.readouterr()
    assert f"hydra.launcher.{value}: " in captured.err + captured.out
    assert not Path("sweep").exists()


def test_nothing_of_a_batch_is_left_when_the_next_one_begins(train, monkeypatch):
    left, train_together = [], workers.train_together

    def count_and_train(batch, signals):
        left.append(sum(isinstance(each, Member) for each in gc.get_objects()))
        return train_together(batch, signals)

    monkeypatch.setattr(workers, "train_together", count_and_train)
    command = ["-m", "seed=0,1,2,3", "hydra.launcher.batch_size=2", "trainer.max_epochs=2", *BARE]
    assert train(*command, VECTORIZED, "hydra.sweep.dir=sweep") == 0
    assert left[1:] == [0]


def test_a_run_that_was_checked_is_not_composed_once_more_to_be_grouped(train, monkeypatch):
    composed, resolve = [], vectorized_sweep._resolve

    def count_and_resolve(task):
        composed.append(task.directory.path.name)
        return resolve(task)

    monkeypatch.setattr(vectorized_sweep, "_resolve", count_and_resolve)
    command = ["-m", "optimizer=sgd,adam", "seed=0,1", "trainer.max_epochs=2", *BARE]
    assert train(*command, VECTORIZED, "hydra.sweep.dir=sweep") == 0
    assert len(composed) == 2  # one of each group
    assert {metrics(run)["engine"] for run in run_directories("sweep")} == {"vectorized"}
