"""What a user is told: one clear message for all wrong keys, and ``--help``."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiment.runs import checks
from tests.conftest import ROOT

WRONG = {
    "optimizer.lr=fast": "a number ≥ 0",
    "optimizer.lr=-1": "a number ≥ 0",
    "optimizer.lr=nan": "a number ≥ 0",
    "optimizer.lr=inf": "a number ≥ 0",
    "optimizer.lr=1e300": "a number ≥ 0",
    "optimizer.lr=true": "a number ≥ 0",
    "optimizer.lr='0.1'": "a number ≥ 0",
    "optimizer.lr=null": "a number ≥ 0",
    "optimizer.momentum=-1": "Invalid momentum value: -1",
    "optimizer.nesterov=1": "true or false",
    "trainer.enable_checkpointing=false": "there is no such key",
    "seed=1,2": "several values make a sweep",
    "optimizer.learning_rate=1": "nearest is optimizer.lr",
    "data.num_points=0": "a whole number ≥ 1, ≤ 1,000,000,000",
    "data.num_points=1.5": "a whole number ≥ 1",
    "data.num_points=99999999999999999999": "a whole number ≥ 1",
    "data.batch_size=0": "a whole number ≥ 1, ≤ 1,000,000,000 or null",
    "data.batch_size=many": "or null",
    "data.num_val=0": "a whole number ≥ 1",
    "data.num_test=-3": "a whole number ≥ 1",
    "data.line=[0,0,1]": "a list of 3, each a number (with a = b = 0 there is no line)",
    "data.line=[1,1]": "a list of 3, each a number",
    "data.line=[1,nan,0]": "a list of 3, each a number",
    "data.line=1": "a list of 3, each a number",
    "data.noise=2": "a number ≥ 0, ≤ 1",
    "data.noise=-0.1": "a number ≥ 0, ≤ 1",
    "data.nois=0": "the nearest is data.noise",
    "data=disc": "one of circle, csv, curve, gauss, line, moons, spiral, xor",
    "data=null": "one of circle",
    "model.hidden=[0]": "a list, each a whole number ≥ 1",
    "model.hidden=4": "a list, each a whole number ≥ 1",
    "model.hidden=[4,x]": "a list, each a whole number ≥ 1",
    "model.activation=relux": "one of relu, tanh, sigmoid, linear",
    "model.loss=mse": "one of bce, bce_with_logits",
    "model._target_=os.system": "must be a class, a kind of LightningModule",
    "model._target_=nowhere.Net": "cannot be imported",
    "model._target_=3": "a word such as package.module.Class",
    "seed=-1": "a whole number ≥ 0, < 4,294,967,296",
    "seed=4294967296": "a whole number ≥ 0",
    "seed=x": "a whole number ≥ 0",
    "sed=1": "the nearest is seed",
    "lr=1": "the nearest is optimizer.lr",
    "optimizr.lr=1": "the nearest is optimizer.lr",
    "optimizer=sgdd": "one of adam, adamw, rmsprop, sgd",
    "experiment=nothing": "one of mini_batches",
    "trainer=nothing": "one of ddp, default",
    "trainer.max_epochs=-5": "a whole number ≥ 1",
    "trainer.max_epochs=0": "a whole number ≥ 1",
    "trainer.max_epoch=5": "the nearest is trainer.max_epochs",
    "trainer.callbacks=[]": "there is no such key",
    "trainer.log_every_n_steps=0": "a whole number ≥ 1",
    "trainer.max_steps=many": "a whole number",
    "trainer.accelerator=gpu": "No supported gpu backend found",
    "trainer.accelerator=abacus": "invalid accelerator name",
    "trainer.precision=17": "precision",
    "callbacks.x=3": "a group of keys",
    "callbacks.x._target_=os.system": "must be a class, a kind of Callback",
    "callbacks.x._target_=torch.nn.Linear": "must be a class, a kind of Callback",
    "data.line=${nothing}": "nothing",
    "data.line=[1": "no viable alternative",
    "nonsense": "missing EQUAL",
    "hydra.run.dir=/proc/nothing/x": "hydra.run.dir=/proc/nothing/x",
    "hydra.run.dir=/dev/null/x": "hydra.run.dir=/dev/null/x",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_wrong_value_is_one_clear_message_and_leaves_nothing(train, capfd, elsewhere, override):
    if override == "trainer.accelerator=gpu":
        import torch

        if torch.cuda.is_available() or torch.mps.is_available():
            pytest.skip("there is one")
    assert train(override) == 1
    output = capfd.readouterr()
    assert WRONG[override] in output.err
    assert override.split("=")[0].removesuffix(".momentum") in output.err
    assert "Traceback" not in output.err
    assert output.out == ""
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "override",
    [
        *("optimizer.lr=fast", "optimizer.lr=-1", "optimizer.momentum=-1", "optimizer.learning_rate=1"),
        *("data.line=[0,0,1]", "data.line=${nothing}", "data=disc", "data=null", "model._target_=nowhere.Net"),
        *("seed=4294967296", "sed=1", "optimizer=sgdd", "experiment=nothing", "trainer.callbacks=[]"),
        *("trainer.accelerator=abacus", "trainer.precision=17", "callbacks.x=3", "callbacks.x._target_=os.system"),
    ],
)
def test_a_wrong_value_at_the_end_of_a_sweep_starts_nothing(train, capfd, elsewhere, override):
    """One of each kind of those above."""
    assert train("-m", "seed=0,1" if "seed" not in override else "data.num_points=5,6", override) == 1
    output = capfd.readouterr()
    assert WRONG[override] in output.err
    assert "Traceback" not in output.err
    assert list(elsewhere.iterdir()) == []


def test_a_wrong_value_among_good_ones_starts_nothing(train, capfd, elsewhere):
    assert train("-m", "optimizer.lr=0.1,0.2,-3", "model.hidden=[4],[0]", "data=line,disc") == 1
    error = capfd.readouterr().err
    assert "optimizer.lr=-3: a number ≥ 0" in error
    assert "model.hidden=[0]" in error
    assert "data=line,disc: one of circle" in error
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("wrong", ["optimizer.lr=0.1,-3", "model.activation=relu,x", "+callbacks.a._target_=no.Such"])
def test_the_errors_of_many_runs_are_those_of_few(train, capfd, monkeypatch, elsewhere, wrong):
    """Many runs are checked in one go, few without torch first."""
    messages = []
    for few in (1, 64):
        monkeypatch.setattr(checks, "FEW", few)
        assert train("-m", "seed=0,1", wrong) == 1
        messages.append(capfd.readouterr().err)
    assert messages[0] == messages[1] != ""
    assert list(elsewhere.iterdir()) == []


def test_all_wrong_keys_are_reported_at_once(train, capfd):
    assert train("optimizer.lr=-1", "optimizr.lr=1", "seed=x", "data=disc", "model.hiden=[3]", "foo.bar=1") == 1
    error = capfd.readouterr().err
    for key in ("optimizer.lr=-1", "optimizr.lr=1", "seed=x", "data=disc", "model.hiden=[3]", "foo.bar=1"):
        assert f"  {key}: " in error
    assert len(error.splitlines()) == 7


def test_hydra_full_error_raises_the_error(train, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(BaseException, match=r"^$") as caught:
        train("seed=-1")
    assert not isinstance(caught.value, SystemExit)


def test_help_names_every_key_with_its_default_type_and_range(train, capfd):
    train("--help")
    text = capfd.readouterr().out
    composed = OmegaConf.to_container(OmegaConf.create(_composed()), resolve=False)
    for group in ("data", "model", "optimizer", "trainer"):
        for key in composed[group].keys() - {"_partial_"}:
            assert f"  {group}.{key} = " in text
    assert "data.num_points = 100\n      a whole number ≥ 1, ≤ 1,000,000,000; training points" in text
    assert "gradient_clip_val" in text
    for command in re.findall(r"^  python (train.py.*(?<!\])$)", text, re.MULTILINE):
        assert "..." in command or command.split()[0] == "train.py"


def _composed() -> str:
    done = subprocess.run([sys.executable, "train.py", "--cfg", "job"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout


def test_arguments_of_a_custom_class_are_checked_against_its_signature(train, capfd, elsewhere):
    Path("mine").mkdir()
    Path("mine/own_part.py").write_text(
        "from lightning import LightningModule\nclass Net(LightningModule):\n    def __init__(self, width): ...\n"
    )
    Path("mine/model").mkdir()
    Path("mine/model/own.yaml").write_text("_target_: own_part.Net\nwide: 3\n")
    assert train("--config-dir", "mine", "model=own") == 1
    error = capfd.readouterr().err
    assert "model: own_part.Net" in error
    assert "width" in error
