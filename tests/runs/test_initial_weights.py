"""``model.from_run``: a run starts from the weights of another, which count by their content."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT, checkpoint, command, metrics, plain_loop, snapshot
from tests.runs.test_run import curve

PARTS = ["--config-dir", str(ROOT / "tests/stranger"), "experiment=parts"]
FIRST = ["trainer.max_epochs=20"]
THEN = ["trainer.max_epochs=30", "model.from_run=first"]


def weights(path: str, name: str = "last") -> dict[str, torch.Tensor]:
    return checkpoint(Path(path), name)["state_dict"]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_training_continues_where_the_other_run_ended(run):
    run(*FIRST, name="first")
    run(*THEN, name="then")
    losses = [loss for _, loss in curve(Path("first"))] + [loss for _, loss in curve(Path("then"))]
    assert losses == plain_loop(epochs=50)[0]


def test_a_checkpoint_of_the_run_can_be_named(run):
    run("trainer.max_epochs=60", "optimizer.lr=4", "data.num_points=5", name="first")
    assert not equal(weights("first", "best"), weights("first", "last"))
    for name in ("best", "last"):
        run("trainer.max_epochs=1", "optimizer.lr=0", f"model.from_run=first/checkpoints/{name}.ckpt", name=name)
        assert equal(weights(name), weights("first", name))


def test_weights_count_by_their_content(run, train, capfd):
    run(*FIRST, name="first")
    result = metrics(run(*THEN, name="then"))
    shutil.move("first", "moved")
    run(*THEN[:1], "model.from_run=moved", name="then")
    run(*THEN, name="then")  # the same text, and nothing is there to compare
    assert metrics(Path("then")) == result
    run(*FIRST, "seed=1", name="first")
    before = snapshot(Path("then"))
    assert train(*THEN, "hydra.run.dir=then") == 1
    assert "model.from_run=first: other weights than those that the run started from" in capfd.readouterr().err
    assert train("trainer.max_epochs=30", "hydra.run.dir=then") == 1
    assert "model.from_run: first there, nothing here" in capfd.readouterr().err
    assert snapshot(Path("then")) == before


def test_a_run_resumes_without_the_other_one(run):
    run(*FIRST, name="first")
    run(*THEN, name="straight")
    run("trainer.max_epochs=10", THEN[1], name="extended")
    shutil.rmtree("first")
    run(*THEN, name="extended")
    assert equal(weights("extended"), weights("straight"))
    assert curve(Path("extended")) == curve(Path("straight"))


def test_any_module_can_start_from_a_run_and_be_repeated(train, capfd):
    assert train(*PARTS, "hydra.run.dir=first") == 0
    assert train(*PARTS, "seed=3", "trainer.max_epochs=1", "model.rate=0", THEN[1], "hydra.run.dir=then") == 0
    assert equal(weights("first"), weights("then"))
    assert command("repeat", *PARTS[:2], "then", "again") == 0
    assert "bit-identical" in capfd.readouterr().out


def test_a_step_of_such_a_run_is_explained_from_its_weights(run, capfd):
    run("trainer.max_epochs=20", name="first")
    run("trainer.max_epochs=2", "model.from_run=first", name="then")
    capfd.readouterr()
    texts = []
    for arguments in (["then", "step=0"], ["trainer.max_epochs=30", "step=20"]):
        assert command("explain", *arguments) == 0
        texts.append(capfd.readouterr().out.splitlines()[1:])
    assert texts[0] == texts[1]


def test_a_sweep_varies_it(train):
    for seed in (0, 1):
        assert train(*FIRST, f"seed={seed}", f"hydra.run.dir=runs/{seed}") == 0
    assert train("-m", "trainer.max_epochs=1", "model.from_run=runs/0,runs/1", "hydra.sweep.dir=s") == 0
    assert {path.name for path in Path("s").iterdir() if path.is_dir()} == {
        "model.from_run=runs%2F0",
        "model.from_run=runs%2F1",
    }


def test_a_number_is_no_path(train, capfd):
    assert train(*PARTS, "model.from_run=3", "hydra.run.dir=then") == 1
    assert "model.from_run=3: the path of a run's directory" in capfd.readouterr().err


def test_weights_that_lightning_saved_alone_can_be_used(train):
    assert train(*PARTS, "hydra.run.dir=first") == 0
    torch.save({"state_dict": weights("first")}, "alone.ckpt")
    assert train(*PARTS, "trainer.max_epochs=1", "model.rate=0", "model.from_run=alone.ckpt", "hydra.run.dir=then") == 0
    assert equal(weights("first"), weights("then"))


@pytest.mark.parametrize(("name", "argument"), [("repeat", "again"), ("explain", "step=0")])
def test_from_another_directory_the_same_weights_are_found_and_others_refused(run, monkeypatch, name, argument):
    run(*FIRST, name="first")
    run(*THEN, name="then")
    Path("other").mkdir()
    monkeypatch.chdir("other")
    assert command(name, "../then", argument) == 0
    run(*FIRST, "seed=1", name="first")
    message = "model.from_run=first: other weights than those that the run started from"
    assert message in str(command(name, "../then", argument))


class Code:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.from_run=nowhere"], "model.from_run=nowhere: nowhere holds no checkpoint"),
        (["model.from_run=train.log"], "model.from_run=train.log: is damaged, or no checkpoint"),
        (["model.from_run=code.ckpt"], "holds more than plain data and tensors (posix.system), and is not loaded.\n"),
        (["model.from_run=first", "model.hidden=[3]"], "net.fc1.weight is [4, 2] in that run, and [3, 2] in this"),
    ],
)
def test_weights_that_cannot_be_used_are_one_message(run, train, capfd, elsewhere, arguments, message):
    run("trainer.max_epochs=1", name="first")
    Path("train.log").write_text("text")
    torch.save({"state_dict": Code()}, "code.ckpt")
    before = snapshot(elsewhere)
    assert train(*arguments, "hydra.run.dir=then") == 1
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert snapshot(elsewhere) == before
