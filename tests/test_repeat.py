"""``python -m experiment.repeat``."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.conftest import ROOT, command, metrics, snapshot
from tests.runs.test_run import curve


@pytest.fixture
def again(capfd):
    """``python -m experiment.repeat run again``, in this process; returns what it prints and its exit status."""

    def start() -> tuple[str, object]:
        capfd.readouterr()
        status = command("repeat", "run", "again")
        return capfd.readouterr().out, status

    return start


@pytest.mark.parametrize(
    "overrides",
    [
        ["trainer.max_epochs=40", "data.batch_size=30", "data.noise=0.1", "optimizer=adam"],
        ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits", "trainer.max_epochs=2"],
        ["optimizer.lr=1e37", "trainer.max_epochs=9"],
    ],
)
def test_a_repeated_run_is_bit_identical(run, again, overrides):
    directory = run(*overrides)
    before = snapshot(directory)
    out, status = again()
    assert status == 0
    assert out.endswith("The two runs are bit-identical: every curve, every weight, every score.\n")
    assert curve(Path("again"))[0] == curve(directory)[0]
    assert metrics(Path("again")) | {"seconds": 0} == metrics(directory) | {"seconds": 0}
    assert snapshot(directory) == before


def test_differences_are_reported(short_run, again):
    content = metrics(short_run)
    (short_run / "metrics.json").write_text(json.dumps(content | {"val/loss": 0.5}))
    provenance = json.loads((short_run / "provenance.json").read_text())
    (short_run / "provenance.json").write_text(json.dumps(provenance | {"threads": 77, "python": "2.7"}))
    out, status = again()
    assert f"val/loss: recorded 0.5, repeated {content['val/loss']}" in status
    assert "curve" not in status
    assert "threads: recorded 77, repeated" in out
    assert "python: recorded 2.7, repeated" in out


@pytest.mark.parametrize("text", [None, "{", "3"])
def test_a_damaged_record_is_one_message(short_run, again, text):
    path = short_run / ".hydra/hydra.yaml"
    path.unlink() if text is None else path.write_text(text)
    _, status = again()
    assert str(status).startswith("run/.hydra/hydra.yaml is no configuration")
    assert not Path("again").exists()


def test_another_seed_is_reported_as_a_difference(run, again):
    directory = run("trainer.max_epochs=5", "seed=1")
    config = OmegaConf.load(directory / ".hydra/config.yaml")
    config.seed = 2
    OmegaConf.save(config, directory / ".hydra/config.yaml")
    _, status = again()
    assert "curve of train/loss" in status
    assert "net.fc1.weight of last.ckpt" in status


@pytest.mark.parametrize(
    "text", ["{model: {_target_: os.system, command: touch ran}}", "!!python/name:os.system", "[1"]
)
def test_a_hostile_configuration_is_not_executed(short_run, again, text):
    (short_run / ".hydra/config.yaml").write_text(text)
    _, status = again()
    assert isinstance(status, str)
    assert not Path("ran").exists()
    assert not Path("again").exists()


def test_a_hostile_target_in_a_whole_configuration_is_refused(short_run, again):
    config = OmegaConf.load(short_run / ".hydra/config.yaml")
    config.callbacks.x = {"_target_": "os.system", "command": "touch ran"}
    OmegaConf.save(config, short_run / ".hydra/config.yaml")
    _, status = again()
    assert "callbacks.x._target_=os.system: must be a class, a kind of Callback" in status
    assert not Path("ran").exists()
    assert not Path("again").exists()


def test_a_directory_without_a_complete_run_is_one_message(again):
    Path("run").mkdir()
    _, status = again()
    assert status == "run holds no run."
