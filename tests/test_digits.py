"""Somebody's own problem, through all that a run and a sweep do."""

import ast
import re
import shlex
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from tests.conftest import ROOT, checkpoint, metrics, snapshot
from tests.runs.test_run import curve

DIGITS = ROOT / "examples/digits"
ARGUMENTS = ["--config-dir", str(DIGITS), "experiment=digits"]


def test_its_file_knows_nothing_of_this_project_and_is_short():
    source = (DIGITS / "digits.py").read_text()
    assert len(source.splitlines()) < 60
    tree = ast.walk(ast.parse(source))
    imported = {
        each.module if isinstance(each, ast.ImportFrom) else each.names[0].name
        for each in tree
        if isinstance(each, ast.Import | ast.ImportFrom)
    }
    assert not any(name.startswith("experiment") for name in imported)
    content = yaml.safe_load((DIGITS / "experiment/digits.yaml").read_text())
    assert (DIGITS / "experiment/digits.yaml").read_text().count("digits.") == 2
    assert {content["model"].pop("_target_"), content["data"].pop("_target_")} == {
        "digits.DigitsClassifier",
        "digits.Digits",
    }


@pytest.mark.draws
def test_a_run_learns_the_digits_and_leaves_what_a_run_leaves(train, capfd):
    assert train(*ARGUMENTS, "hydra.run.dir=run") == 0
    output = capfd.readouterr()
    assert output.err == ""
    assert "tensorboard --logdir run" in output.out
    content = metrics(Path("run"))
    assert (content["status"], content["epoch"], content["step"]) == ("finished", 30, 30 * 17)
    assert content["test/accuracy"] > 0.93
    assert [step for step, _ in curve(Path("run"))] == list(range(510))
    assert len(curve(Path("run"), "val/accuracy")) == 30
    assert Path("run/loss.png").exists()
    assert not Path("run/decision_boundary.png").exists()
    before = snapshot(Path("run"))
    assert train(*ARGUMENTS, "hydra.run.dir=run") == 0
    assert train(*ARGUMENTS, "hydra.run.dir=run", "model.hidden=16") == 1
    assert "model.hidden: 32 there, 16 here" in capfd.readouterr().err
    assert snapshot(Path("run")) == before


def test_its_first_epoch_is_the_plain_loops(train):
    """The same module in a loop of one's own: the seed gives the same weights, and dropout and order the same draws."""
    assert (
        train(*ARGUMENTS, "hydra.run.dir=run", "trainer.max_epochs=1", "model.dropout=0", "data.batch_size=2000") == 0
    )
    import digits

    torch.manual_seed(0)
    model = digits.DigitsClassifier(32, 0.0, partial(torch.optim.Adam, lr=0.01))
    pictures, labels = torch.utils.data.default_collate(digits.Digits(64).train)
    loss = nn.functional.cross_entropy(model.net(pictures), labels)
    assert abs(curve(Path("run"))[0][1] - loss.item()) < 1e-6
    optimizer = model.configure_optimizers()
    loss.backward()
    optimizer.step()
    ours = checkpoint(Path("run"))["state_dict"]
    assert all(torch.allclose(ours[name], value, atol=1e-5) for name, value in model.state_dict().items())


def test_a_sweep_of_it(train):
    arguments = ["model.hidden=8,16", "trainer.max_epochs=2", "hydra.sweep.dir=sweep"]
    assert train("-m", *ARGUMENTS, *arguments) == 0
    for hidden in (8, 16):
        assert metrics(Path(f"sweep/experiment=digits,model.hidden={hidden}"))["status"] == "finished"
    assert Path("sweep/sweep.png").exists()
    assert len(Path("sweep/sweep.csv").read_text().splitlines()) == 3


def test_a_search_of_it(train, capfd):
    search = ["search=optuna", "search.trials=3", "model.hidden=int(interval(4,16))", "trainer.max_epochs=1"]
    assert train("-m", *ARGUMENTS, *search, "hydra.sweep.dir=sweep") == 0
    losses = {path.parent.name: metrics(path.parent)["val/loss"] for path in Path("sweep").glob("*/metrics.json")}
    assert len(losses) == 3
    best = re.search(r"Best trial: python \S+ (.*)", capfd.readouterr().out)[1]
    assert train(*shlex.split(best), "hydra.run.dir=again") == 0
    assert metrics(Path("again"))["val/loss"] == min(losses.values())
