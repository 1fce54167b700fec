"""The functions of the package: what the commands do, in Python."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

import experiment
from experiment.configuration.errors import ConfigurationError, ReportedError
from tests.conftest import ROOT, checkpoint, metrics, plain_loop, snapshot
from tests.runs.test_run import curve

DIGITS = ROOT / "examples/digits"
STRANGER = ["--config-dir", str(ROOT / "tests/stranger"), "experiment=stranger"]
SHORT = "trainer.max_epochs=5"


def test_importing_the_package_imports_neither_torch_nor_hydra():
    code = "import sys, experiment; assert not {'torch', 'hydra'} & {*sys.modules}; print(*dir(experiment))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"compose", "load", "run", "sweep"} <= {*done.stdout.split()}


def test_run_stays_a_function_whatever_is_imported():
    code = """
import experiment.runs.run, experiment.command, experiment.draw, experiment.sweeps.sweep
from experiment import compose, load, run, sweep
assert all(map(callable, (compose, load, run, sweep, experiment.run, experiment.sweep)))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(experiment, "evaluation")


def test_a_configuration_is_composed_and_checked():
    config = experiment.compose(["optimizer=adam", "model.hidden=[8,8]", "hydra.run.dir=here"])
    assert (config.optimizer._target_, config.model.hidden) == ("torch.optim.Adam", [8, 8])
    assert config.hydra.run.dir == "here"
    assert experiment.compose().optimizer.lr == 0.1
    with pytest.raises(ConfigurationError, match=r"optimizr=adam: there is no such key(.|\n)*optimizer.lr=-1"):
        experiment.compose(["optimizr=adam", "optimizer.lr=-1"])


def test_the_default_run_is_the_reference():
    result = experiment.run(experiment.compose(["trainer.max_epochs=50"]), "run")
    assert [loss for _, loss in curve(Path("run"))] == plain_loop(epochs=50)[0]
    assert result == metrics(Path("run"))
    assert result["status"] == "finished"


@pytest.mark.draws
def test_a_run_equals_that_of_the_command(run):
    overrides = ["data.batch_size=30", "optimizer=adam", SHORT]
    command = run(*overrides, name="command")
    experiment.run(experiment.compose([*overrides, "hydra.run.dir=python"]))
    for name in ("config", "overrides"):
        texts = [Path(each, ".hydra", f"{name}.yaml").read_text() for each in ("python", command)]
        assert texts[0].replace("=python", "") == texts[1].replace("=command", "")
    assert curve(Path("python")) == curve(command)
    files = [{path.name.partition(".tfevents")[0] for path in each.glob("*.*")} for each in (Path("python"), command)]
    assert files[0] == files[1]
    assert "finished after 5 epochs" in Path("python/train.log").read_text()


def test_runs_follow_each_other_in_one_process():
    configs = [experiment.compose([SHORT]), experiment.compose([SHORT, "seed=1"])]
    first, second = map(experiment.run, configs)
    assert first["train/loss"] != second["train/loss"]
    assert [metrics(Path(config.hydra.run.dir)) for config in configs] == [first, second]
    assert len([*Path("outputs").glob("*/*/metrics.json")]) == 2
    assert experiment.run(configs[0]) == first
    configs[1].seed = 0
    with pytest.raises(ConfigurationError, match="holds a run of another configuration:\n  seed: 1 there, 0 here"):
        experiment.run(configs[1])
    assert experiment.run(configs[1], "again") | {"seconds": 0} == first | {"seconds": 0}


def test_a_run_resumes_extends_and_is_returned():
    experiment.run(experiment.compose([SHORT]), "run")
    experiment.run(experiment.compose(["trainer.max_epochs=9"]), "run")
    assert [loss for _, loss in curve(Path("run"))] == plain_loop(epochs=9)[0]
    before = snapshot(Path("run"))
    assert experiment.run(experiment.compose(["trainer.max_epochs=9"]), "run") == metrics(Path("run"))
    with pytest.raises(ConfigurationError, match=r"optimizer\.lr"):
        experiment.run(experiment.compose(["trainer.max_epochs=9", "optimizer.lr=3"]), "run")
    assert snapshot(Path("run")) == before


def test_a_recorded_configuration_is_run(run):
    from omegaconf import OmegaConf

    directory = run(SHORT)
    result = experiment.run(OmegaConf.load(directory / ".hydra/config.yaml"), "again")
    assert result | {"seconds": 0} == metrics(directory) | {"seconds": 0}


def test_a_wrong_configuration_leaves_nothing_behind():
    config = experiment.compose([SHORT])
    config.optimizer.lr = -1
    with pytest.raises(ConfigurationError, match=r"optimizer\.lr=-1"):
        experiment.run(config, "run")
    assert [*Path().iterdir()] == []


def test_a_dry_run_leaves_nothing_behind():
    assert experiment.run(experiment.compose(["trainer.fast_dev_run=true"]), "run") == {}
    assert [*Path().iterdir()] == []


def test_the_log_of_a_run_is_complete_whatever_the_program_logs(caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(logging.getLogger("experiment"), "level", logging.NOTSET)
    handlers = [*logging.getLogger().handlers]
    experiment.run(experiment.compose([SHORT]), "run")
    assert "finished after 5 epochs" in Path("run/train.log").read_text()
    assert logging.getLogger().handlers == handlers


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_is_the_exception_that_python_has_for_it(monkeypatch, number, expected):
    steps = []

    def end(self, *_):
        steps.append(0)
        if len(steps) == 5:
            os.kill(os.getpid(), number)

    config = experiment.compose(["trainer.max_epochs=20"])
    with monkeypatch.context() as patch:
        patch.setattr("experiment.points.classifier.PointsClassifier.on_train_batch_end", end)
        with pytest.raises(expected):
            experiment.run(config, "run")
    assert metrics(Path("run"))["status"] == "interrupted"
    assert experiment.run(config, "run")["step"] == 20
    assert [loss for _, loss in curve(Path("run"))] == plain_loop(epochs=20)[0]


def test_code_of_ones_own():
    config = experiment.compose(["experiment=digits", "trainer.max_epochs=1"], config_dir=DIGITS)
    assert experiment.run(config, "run")["test/accuracy"] > 0.5
    with pytest.raises(ConfigurationError, match="config_dir nowhere: there is no such directory"):
        experiment.compose([], config_dir="nowhere")


def test_a_sweep_returns_its_rows():
    overrides = ["optimizer.lr=1e-5,0.1", SHORT, "hydra.sweep.dir=sweep"]
    rows = experiment.sweep(overrides)
    assert {row["optimizer.lr"] for row in rows} == {1e-5, 0.1}
    assert all(row == row | metrics(row["directory"]) for row in rows)
    assert Path("sweep/sweep.csv").exists()
    assert experiment.sweep(overrides) == rows
    with pytest.raises(ConfigurationError, match=r"optimizer\.lr=-1"):
        experiment.sweep(["optimizer.lr=-1,1", SHORT])


def test_a_sweep_with_code_of_ones_own():
    overrides = ["experiment=digits", "trainer.max_epochs=1", "model.hidden=4,8", "hydra.sweep.dir=sweep"]
    assert len(experiment.sweep(overrides, config_dir=DIGITS)) == 2


def test_a_sweep_with_a_run_that_fails_raises_when_the_others_have_ended():
    Path("sweep/seed=0").mkdir(parents=True)
    Path("sweep/seed=0/metrics.json").mkdir()
    with pytest.raises(ReportedError):
        experiment.sweep(["seed=0,1", SHORT, "hydra.sweep.dir=sweep"])


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_model_is_loaded(run, name):
    directory = run("trainer.max_epochs=60", "optimizer.lr=1")
    torch.manual_seed(5)
    before, expected = snapshot(directory), torch.rand(3)
    torch.manual_seed(5)
    model, data = experiment.load(directory, name)
    assert torch.equal(torch.rand(3), expected)
    assert not model.training
    weights = checkpoint(directory, name)["state_dict"]
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    scores = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False).test(
        model, data, verbose=False
    )
    if name == "last":
        assert scores[0]["test/loss"] == metrics(directory)["test/loss"]
    assert snapshot(directory) == before


def test_a_model_of_ones_own_is_loaded(run):
    directory = run("--config-dir", str(DIGITS), "experiment=digits", "trainer.max_epochs=1")
    model, data = experiment.load(directory, config_dir=DIGITS)
    pictures, digits = next(iter(data.test_dataloader()))
    accuracy = (model.net(pictures).argmax(1) == digits).float().mean()
    assert float(accuracy) == metrics(directory)["test/accuracy"]


def test_a_model_is_loaded_whose_layers_setup_makes(run):
    directory = run(*STRANGER, "model._target_=others.MadeInSetup", "data._target_=others.Data", SHORT)
    model, _ = experiment.load(directory, config_dir=STRANGER[1])
    weights = checkpoint(directory)["state_dict"]
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())


def test_what_cannot_be_loaded_is_one_message(short_run):
    with pytest.raises(ConfigurationError, match="nowhere holds no run"):
        experiment.load("nowhere")
    (short_run / "checkpoints/best.ckpt").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"best.ckpt is damaged"):
        experiment.load(short_run, "best")
    (short_run / "checkpoints/best.ckpt").unlink()
    with pytest.raises(ConfigurationError, match=r"best.ckpt does not exist"):
        experiment.load(short_run, "best")
