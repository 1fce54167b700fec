"""What is suggested for a key that does not exist."""

import pytest

from experiment.configuration.compose import compose_configuration
from experiment.configuration.keys import known_keys
from experiment.configuration.suggestions import SYNONYMS, explain_unknown_key
from tests.conftest import command

NEAREST = {
    "learning_rate": "optimizer.lr",
    "eta": "optimizer.lr",
    "lr": "optimizer.lr",
    "step_size": "optimizer.lr",
    "optimizer.learning_rate": "optimizer.lr",
    "optimizer/learning_rate": "optimizer.lr",
    "model.lr": "optimizer.lr",
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "max_epoch": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "trainer.epochs": "trainer.max_epochs",
    "batch_size": "data.batch_size",
    "bs": "data.batch_size",
    "hidden_size": "model.hidden",
    "hidden_dim": "model.hidden",
    "width": "model.hidden",
    "layers": "model.hidden",
    "model.layers": "model.hidden",
    "noise": "data.noise",
    "random_seed": "seed",
    "device": "trainer.accelerator",
    "devices": "trainer.devices",
    "gpus": "trainer.devices",
    "loss_fn": "model.loss",
    "criterion": "model.loss",
    "log_every": "trainer.log_every_n_steps",
    "output_dir": "hydra.run.dir",
    "trainer.callbacks": "callbacks",
    "optimizer.momentumm": "optimizer.momentum",
    "optimizr.lr": "optimizer.lr",
    "model.activaton": "model.activation",
}
NOTHING_NEAR = ["foo", "foo.bar", "model.foo", "data.foo", "trainer.foo", "optimizer.foo", "x", "trainer.patience"]


@pytest.fixture(scope="module")
def known() -> list[str]:
    return known_keys(compose_configuration([]))


@pytest.mark.parametrize("prefix", ["", "+", "++", "~"])
@pytest.mark.parametrize("key", NEAREST)
def test_the_nearest_key_is_suggested_by_meaning_and_by_spelling(known, key, prefix):
    expected = f"there is no such key; the nearest is {NEAREST[key]}, --help lists all"
    assert explain_unknown_key(f"{prefix}{key}", known) == expected


@pytest.mark.parametrize("key", NOTHING_NEAR)
def test_nothing_is_suggested_where_nothing_is_near(known, key):
    assert explain_unknown_key(key, known) == "there is no such key; --help lists all"


def test_only_keys_of_the_chosen_classes_are_suggested():
    adam = known_keys(compose_configuration(["optimizer=adam"]))
    assert "optimizer.betas" in explain_unknown_key("optimizer.beta", adam)
    assert "nearest" not in explain_unknown_key("optimizer.momentumm", adam)


def test_every_synonym_leads_to_a_key_that_exists(known):
    assert set(SYNONYMS) <= set(known)
    synonyms = [name for names in SYNONYMS.values() for name in names.split()]
    assert len(synonyms) == len(set(synonyms))
    assert not set(synonyms) & set(known)


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("optimizer.learning_rate=1", "the nearest is optimizer.lr,"),
        ("learning_rate=1", "the nearest is optimizer.lr,"),
        ("+learning_rate=1", "the nearest is optimizer.lr,"),
        ("++optimizer.learning_rate=1", "the nearest is optimizer.lr,"),
        ("~optimizer.learning_rate", "the nearest is optimizer.lr,"),
        ("foo=1", "there is no such key; --help"),
        ("+foo=1", "there is no such key; --help"),
        ("~foo", "there is no such key; --help"),
    ],
)
def test_runs_sweeps_and_explain_give_the_same_suggestion(train, capfd, elsewhere, override, answer):
    assert train(override) == 1
    message = capfd.readouterr().err
    assert answer in message
    assert train("-m", "seed=0,1", override) == 1
    assert capfd.readouterr().err == message
    assert f"{command('explain', override)}\n" == message
    assert list(elsewhere.iterdir()) == []
