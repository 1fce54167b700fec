"""What a ``_target_`` may be: a stranger's configuration calls nothing that its place does not call for."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiment.configuration import targets
from experiment.configuration.errors import ConfigurationError

SGD = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1}
MODEL = {
    "_target_": "experiment.points.classifier.PointsClassifier",
    "hidden": [4],
    "activation": "relu",
    "loss": "bce",
}


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"_target_": "os.system", "command": "touch ran"}},
        {"model": MODEL | {"optimizer": {"_target_": "os.system", "command": "touch ran"}}},
        {"model": MODEL | {"optimizer": [{"_target_": "pathlib.Path.touch", "_args_": ["ran"]}]}},
        {"optimizer": {"_target_": "os.system", "_args_": ["touch ran"], "_partial_": True}},
        {"optimizer": {"_target_": "builtins.eval", "_args_": ["open('ran', 'w')"]}},
        {"data": {"_target_": "subprocess.Popen", "args": ["touch", "ran"]}},
        {"callbacks": {"x": {"_target_": "hydra.utils.call", "config": {"_target_": "os.system"}}}},
        {"callbacks": {"x": {"_target_": "torch.optim.SGD", "params": []}}},
        {"trainer": {"strategy": {"_target_": "os.system", "command": "touch ran"}}},
        {"trainer": {"plugins": [{"_target_": "os.system", "command": "touch ran"}]}},
        {"data": {"_target_": "lightning.pytorch.LightningModule"}},
        {"model": {"_target_": "lightning.pytorch.LightningDataModule"}},
    ],
)
def test_what_is_not_of_its_places_kind_is_refused_and_nothing_runs(config):
    made = OmegaConf.create(config)
    (key,) = config
    with pytest.raises(ConfigurationError, match="_target_="):
        targets.check_targets(made)
    with pytest.raises(ConfigurationError, match="_target_="):
        targets.instantiate(made, key)
    assert not Path("ran").exists()


def test_what_is_of_its_places_kind_is_made():
    config = OmegaConf.create(
        {
            "optimizer": SGD,
            "model": MODEL | {"optimizer": "${optimizer}"},
            "trainer": {"strategy": {"_target_": "lightning.pytorch.strategies.SingleDeviceStrategy", "device": "cpu"}},
            "callbacks": {"x": {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "val/loss"}},
        }
    )
    targets.check_targets(config)
    model = targets.instantiate(config, "model")
    assert model.configure_optimizers().defaults["lr"] == 0.1
    assert type(targets.instantiate(config, "trainer")["strategy"]).__name__ == "SingleDeviceStrategy"
    assert targets.instantiate(config, "callbacks")["x"].monitor == "val/loss"


def test_arguments_that_a_class_does_not_take_are_named():
    with pytest.raises(
        ConfigurationError, match=r"model: .* got an unexpected keyword argument 'width'; it takes hidden"
    ):
        targets.check_targets(OmegaConf.create({"model": MODEL | {"width": 3, "optimizer": SGD}}))


def test_an_optimizer_that_is_made_too_early_is_one_message():
    with pytest.raises(ConfigurationError, match=r"argument: 'params'; it takes .*; optimizer._partial_=true leaves"):
        targets.check_targets(OmegaConf.create({"optimizer": {"_target_": "torch.optim.NAdam", "lr": 1}}))


def test_arguments_of_another_class_are_one_message_that_says_how_to_drop_them():
    model = MODEL | {"_target_": "tests.stranger.stranger.Module"}
    with pytest.raises(ConfigurationError, match=r"model=\{_target_:tests.stranger.stranger.Module\} drops all others"):
        targets.check_targets(OmegaConf.create({"model": model}))


def test_a_directory_with_the_name_of_a_module_is_no_module(monkeypatch):
    Path("flowers_of_mine").mkdir()
    monkeypatch.syspath_prepend(".")
    with pytest.raises(ConfigurationError, match="name the directory of code that is not installed: --config-dir DIR"):
        targets.check_targets(OmegaConf.create({"model": {"_target_": "flowers_of_mine.Model"}}))
