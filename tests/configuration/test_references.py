"""Values by reference are checked where they arrive, and recorded as what they are."""

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from experiment.configuration.references import call_resolvers
from experiment.runs.logger import read_scalars

EVALUATED = 'data.num_points="${oc.decode:${oc.env:POINTS}}"'
WRONG = [
    (["data.noise=${data.num_points}"], ["data.noise=${data.num_points} (100): a number ≥ 0, ≤ 1"]),
    (
        ["data.num_points=${oc.env:POINTS}"],
        ["data.num_points=${oc.env:POINTS} (the text 5): a whole number ≥ 1, ≤ 1,000,000,000"],
    ),
    (
        ["data.noise=${data.num_points}", "data.num_points=${data.num_val}", "data.num_val=7"],
        ["data.noise=${data.num_points} (7): a number ≥ 0, ≤ 1"],
    ),
    (
        ["data.line=[${seed},${model.activation},0]"],
        ['data.line=[${seed}, ${model.activation}, 0] ([0, "relu", 0]): a list of 3, each a number'],
    ),
    (["trainer.gradient_clip_val=${model.loss}"], ["trainer.gradient_clip_val=${model.loss} (the text bce): "]),
    (["seed=-1"], ["seed=-1: a whole number ≥ 0"]),
    (["optimizer.lr=x", "data.noise=${optimizer.lr}"], ["optimizer.lr=x: a number ≥ 0"]),
    (
        ["optimizer.lr=-1", "data.noise=${optimizer.lr}"],
        ["data.noise=${optimizer.lr} (-1): a number ≥ 0, ≤ 1", "optimizer.lr=-1: a number ≥ 0"],
    ),
    (["seed=${oc.env:MISSING}"], ["seed=${oc.env:MISSING}: Environment variable 'MISSING' not found"]),
    (["seed=${seed}"], ["seed=${seed}: Recursive interpolation detected"]),
    (["seed=???"], ["seed=???: Missing mandatory value: seed"]),
    (
        ["callbacks.x._target_=lightning.pytorch.callbacks.Timer", "callbacks.x.duration=${nothing}", "data.noise=2"],
        ["callbacks.x.duration=${nothing}: Interpolation key 'nothing' not found", "data.noise=2: a number ≥ 0, ≤ 1"],
    ),
]


@pytest.mark.parametrize(("overrides", "lines"), WRONG)
@pytest.mark.parametrize("sweep", [[], ["-m", "model.hidden=[4],[8]"]])
def test_a_wrong_value_by_reference_is_one_line(train, capfd, elsewhere, monkeypatch, overrides, lines, sweep):
    monkeypatch.setenv("POINTS", "5")
    assert train(*sweep, *overrides) == 1
    _, *printed = capfd.readouterr().err.splitlines()
    assert len(printed) == len(lines)
    assert all(line.startswith(f"  {expected}") for line, expected in zip(printed, lines, strict=True))
    assert list(elsewhere.iterdir()) == []


def test_a_run_directory_does_not_depend_on_the_environment(run, train, capfd, monkeypatch):
    monkeypatch.setenv("POINTS", "5")
    overrides = [EVALUATED, "trainer.max_epochs=2"]
    directory = run(*overrides)
    recorded = yaml.safe_load((directory / ".hydra/config.yaml").read_text())
    assert recorded["data"]["num_points"] == 5
    assert recorded["data"]["seed"] == "${seed}"
    run(*overrides)
    assert "Nothing is left to train." in capfd.readouterr().out
    monkeypatch.setenv("POINTS", "6")
    assert train(*overrides, "hydra.run.dir=run") == 1
    assert "data.num_points: 5 there, 6 here" in capfd.readouterr().err
    run("data.num_points=5", "trainer.max_epochs=2")


def test_a_text_that_looks_like_a_reference_stays_one(monkeypatch):
    monkeypatch.setenv("WORD", "${nothing}")
    config = OmegaConf.create({"a": "${oc.env:WORD}", "b": "${c}", "c": ["${oc.decode:'[1,2]'}", "x${oc.env:WORD}"]})
    called = call_resolvers(config)
    assert OmegaConf.to_container(OmegaConf.create(called), resolve=True) == OmegaConf.to_container(
        config, resolve=True
    )
    assert called["b"] == "${c}"


VAL = "trainer.check_val_every_n_epoch"


@pytest.mark.parametrize(
    ("overrides", "steps", "every"),
    [
        (["trainer.max_epochs=60"], [499, 600], 50),
        (["trainer.val_check_interval=0.5"], [4, 9, 14, 19], 1),
        (["trainer.val_check_interval=4"], [3, 7, 13, 17, 20], 1),
        ([f"{VAL}=2", "trainer.max_epochs=3"], [19, 30], 2),
        (["trainer.val_check_interval=0.5", f"{VAL}=2"], [14, 19], 2),
        (["trainer.val_check_interval=15", f"{VAL}=null"], [14, 20], None),
        (["trainer.val_check_interval={days: 1}"], [20], 1),
        (["experiment=often", "hydra.searchpath=[file://mine]"], [4, 9, 14, 19], 1),
    ],
)
def test_the_validation_schedule_that_is_set_is_the_one_that_is_used(run, elsewhere, overrides, steps, every):
    (elsewhere / "mine/experiment").mkdir(parents=True)
    often = "# @package _global_\ntrainer:\n  val_check_interval: 0.5\n"
    (elsewhere / "mine/experiment/often.yaml").write_text(often)
    directory = run("data.batch_size=10", "trainer.max_epochs=2", *overrides)
    assert scalar_steps(directory, "val/loss") == steps
    assert yaml.safe_load((directory / ".hydra/config.yaml").read_text())["trainer"]["check_val_every_n_epoch"] == every


def test_a_sweep_varies_the_validation_schedule(train):
    sweep = ["-m", "trainer.val_check_interval=null,0.5", "data.batch_size=10", "trainer.max_epochs=2"]
    assert train(*sweep, "hydra.sweep.dir=s") == 0
    assert scalar_steps(Path("s/data.batch_size=10,trainer.val_check_interval=0.5"), "val/loss") == [4, 9, 14, 19]
    assert scalar_steps(Path("s/data.batch_size=10,trainer.val_check_interval=null"), "val/loss") == [20]


def scalar_steps(directory, tag):
    return [step for step, _ in read_scalars(directory)[tag]]
