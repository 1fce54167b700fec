"""A ``train.py`` of somebody's own, in a folder of their own: with this project's main function, or with their own."""

import importlib
import re
import runpy
import shlex
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

import experiment
from experiment.configuration.errors import ConfigurationError
from experiment.new import write_project
from tests.conftest import ROOT, command, metrics, snapshot, status_of

OURS = """
from experiment.__main__ import main
if __name__ == "__main__":
    main()
"""
THEIRS = re.search(r"```py\n(import hydra.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
MINE = """
defaults:
  - config
  - override /optimizer: adam
  - _self_
data: {_target_: leaves.Data, num_points: 50, noise: 0.1, batch_size: 10}
model: {_target_: leaves.Model, hidden: 4, optimizer: "${optimizer}"}
trainer: {max_epochs: 3}
hydra:
  searchpath: [pkg://experiment.conf]
"""
KINDS = {"ours": ["--config-dir", ".", "experiment=leaves", "trainer.max_epochs=3"], "theirs": []}


@pytest.fixture(params=KINDS)
def project(request, monkeypatch, elsewhere) -> list[str]:
    """Somebody's folder, which is the current directory; returns the arguments that choose their problem."""
    write_project(elsewhere / "leaves")
    monkeypatch.chdir("leaves")
    monkeypatch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
    Path("train.py").write_text(OURS if request.param == "ours" else THEIRS)
    Path("mine.yaml").write_text(MINE)
    yield KINDS[request.param]
    for name in ("leaves", "experiment.__main__"):
        sys.modules.pop(name, None)


def start(*arguments: str) -> int | str:
    """``python train.py …`` with the script of the working directory, in this process; returns the exit status."""
    return status_of(partial(runpy.run_path, "train.py", run_name="__main__"), "train.py", *arguments)


def test_a_run_is_resumed_extended_evaluated_and_repeated(project, capfd):
    assert start(*project, "hydra.run.dir=run") == 0
    before = snapshot(Path("run"))
    assert start(*project, "hydra.run.dir=run") == 0
    assert snapshot(Path("run")) == before
    assert start(*project, "hydra.run.dir=run", "trainer.max_epochs=4") == 0
    assert start(*project, "hydra.run.dir=single", "trainer.max_epochs=4") == 0
    assert metrics(Path("run")) | {"seconds": 0} == metrics(Path("single")) | {"seconds": 0}
    for name, arguments in (("evaluate", ["run"]), ("draw", ["run"]), ("repeat", ["run", "again"])):
        capfd.readouterr()
        assert command(name, *arguments, "--config-dir", ".") == 0
    assert "bit-identical" in capfd.readouterr().out


def test_a_sweep_chooses_from_the_groups_of_the_package(project):
    sweep = ["-m", *project, "optimizer=adam,sgd", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert start(*sweep) == 0
    runs = [path.parent for path in Path("sweep").glob("*/metrics.json")]
    assert len(runs) == 4
    before = [snapshot(path) for path in runs]
    assert start(*sweep) == 0
    assert [snapshot(path) for path in runs] == before


def test_help_and_errors_are_of_their_configuration(project, capfd):
    assert start("--help", *project) == 0
    text = capfd.readouterr().out
    assert "data._target_ = leaves.Data" in text
    assert "  python train.py -m key=a,b ..." in text
    assert start(*project, "model.hiden=3", "optimizer=sgdd", "sed=1") == 1
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(":")[0].strip() for line in lines[1:]] == ["optimizer=sgdd", "sed=1"]
    assert "optimizer=sgdd: one of adam, adamw, rmsprop, sgd" in lines[1]
    assert start(*project, "trainer.max_epochs=0", "seed=0,1") == 1
    assert "seed=0,1: several values make a sweep: python train.py -m" in capfd.readouterr().err


@pytest.mark.parametrize("project", ["theirs"], indirect=True)
def test_their_configuration_is_composed_in_python(project):
    config = experiment.compose(["optimizer=sgd"], config_dir=".", config_name="mine")
    assert config.model["_target_"] == "leaves.Model"
    assert experiment.run(config, "run")["step"] == 3 * 5
    overrides = ["trainer.max_epochs=1", "optimizer=adam,sgd", "hydra.sweep.dir=sweep"]
    rows = experiment.sweep(overrides, config_dir=".", config_name="mine")
    assert [row["step"] for row in rows] == [5, 5]
    with pytest.raises(ConfigurationError, match="optimizer=sgdd: one of adam"):
        experiment.compose(["optimizer=sgdd"], config_dir=".", config_name="mine")


def test_the_command_that_is_printed_resumes_an_interrupted_run(project, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        model = importlib.import_module("leaves").Model
        patch.setattr(model, "on_train_epoch_end", lambda self: signal.raise_signal(signal.SIGTERM))
        assert start(*project) == 143
    python, script, *arguments = shlex.split(capfd.readouterr().err.partition("To resume: ")[2])
    assert (python, script) == ("python", "train.py")
    assert start(*arguments) == 0
    assert "Resuming from step" in capfd.readouterr().out
    (result,) = Path("outputs").glob("**/metrics.json")
    assert metrics(result.parent)["epoch"] == 3
