"""``python -m experiment.evaluate``."""

import sys
from pathlib import Path

import pytest
import yaml

from experiment import evaluate
from experiment.configuration import own_code
from experiment.runs.directory import RunDirectory
from experiment.runs.report import format_scores
from tests.conftest import ROOT, checkpoint, command, metrics, snapshot

DIGITS = ["--config-dir", str(ROOT / "examples/digits")]


@pytest.fixture
def score(capfd):
    """``python -m experiment.evaluate run …``, in this process; returns what it prints, or its error."""

    def start(*arguments: str) -> str:
        capfd.readouterr()
        status = command("evaluate", "run", *arguments)
        return capfd.readouterr().out if status == 0 else str(status)

    return start


def test_a_run_scores_what_it_scored_and_is_not_changed(run, score):
    directory = run("trainer.max_epochs=60", "data.noise=0.1", "data.batch_size=30")
    before = snapshot(directory)
    content = metrics(directory)
    expected = {key: value for key, value in content.items() if key.startswith("test/")}
    assert score() == "   ".join(format_scores(expected)) + "\n"
    assert evaluate.evaluate(evaluate.RunDirectory(directory)) == expected
    assert snapshot(directory) == before
    assert [*Path().iterdir()] == [directory]


def test_other_data_and_the_best_weights(run, score):
    directory = run("optimizer.lr=1", "trainer.max_epochs=60")
    other = run("optimizer.lr=1", "trainer.max_epochs=60", "data.num_test=50", name="other")
    assert (
        score("data.num_test=50")
        == "   ".join(format_scores({key: value for key, value in metrics(other).items() if key.startswith("test/")}))
        + "\n"
    )
    assert len({score(), score("seed=1"), score("data.line=[1,-1,0]")}) == 3
    best = checkpoint(directory, "best")
    assert best["global_step"] == 60 or score("--checkpoint", "best") != score()
    (directory / "checkpoints/last.ckpt").write_bytes((directory / "checkpoints/best.ckpt").read_bytes())
    assert score("--checkpoint", "best") == score()


def test_a_run_of_ones_own(run, score):
    directory = run(*DIGITS, "experiment=digits", "trainer.max_epochs=2")
    sys.path.remove(DIGITS[1])
    for name in [name for name in sys.modules if name == "digits"]:
        del sys.modules[name]
    assert "name the directory of code that is not installed: --config-dir DIR" in score()
    before = snapshot(directory)
    assert f"test/accuracy {metrics(directory)['test/accuracy']:.5g}" in score(*DIGITS, "data.batch_size=8")
    assert snapshot(directory) == before


def test_what_cannot_be_scored_is_one_message(run, score):
    assert score() == "run holds no run."
    directory = run("trainer.max_epochs=5")
    assert "data.num_test=0: a whole number" in score("data.num_test=0")
    assert "model.hidden=[8]: can be changed are data" in score("model.hidden=[8]")
    assert "data.noize=0.1: there is no such key" in score("data.noize=0.1")
    for path in (directory / "checkpoints").iterdir():
        path.unlink()
    assert score() == "run holds no checkpoint."
    assert "best.ckpt does not exist" in score("--checkpoint", "best")


def test_another_choice_of_a_group(run, score, monkeypatch):
    """A choice replaces the whole group; those of a directory that the command names can be chosen too."""
    monkeypatch.setattr(own_code, "_named", [])
    run("data.num_test=50", "data.noise=0.1", "trainer.max_epochs=20")
    Path("mine/data").mkdir(parents=True)
    line = yaml.safe_load((ROOT / "conf/data/line.yaml").read_text())
    Path("mine/data/steep.yaml").write_text(yaml.safe_dump(line | {"line": [3, 1, 0]}))
    at_defaults = evaluate.evaluate(RunDirectory(Path("run")), ["data=line"])
    assert at_defaults == evaluate.evaluate(RunDirectory(Path("run")), ["data.num_test=1000", "data.noise=0"])
    assert score("data=line") == "   ".join(format_scores(at_defaults)) + "\n"
    assert "data=steep: one of circle" in score("data=steep")
    steep = score("--config-dir", "mine", "data=steep")
    assert steep == score("data.line=[3,1,0]", "data.num_test=1000") != score()
    few = score("data.line=[3,1,0]", "data.num_test=7")
    assert score("--config-dir", "mine", "data=steep", "data.num_test=7") == few
    assert score("data.num_test=(").startswith("Hydra cannot parse an override: ")


def test_a_dictionary_of_another_class_replaces_one_of_the_run(run, score):
    stranger = ["--config-dir", str(ROOT / "tests/stranger")]
    run(*stranger, "experiment=parts", "trainer.max_epochs=1")
    part = "data.dataset.transform={_target_:torch.nn.Softplus,beta:2}"
    assert score(*stranger, part).startswith("val/loss")
    config = evaluate.load_recorded(RunDirectory(Path("run")), False, [part])
    assert config.data.dataset.transform == {"_target_": "torch.nn.Softplus", "beta": 2}
    assert config.data.dataset._target_ == "parts.Numbers.tens"
    config = evaluate.load_recorded(RunDirectory(Path("run")), False, ["data={_target_:parts.Data,batch_size:7}"])
    assert (config.data.batch_size, config.data.dataset._target_) == (7, "parts.Numbers.tens")


def test_several_values_are_one_message(run, score):
    run("trainer.max_epochs=1")
    assert "data.num_test=4,5: a key takes one value here" in score("data.num_test=4,5")
