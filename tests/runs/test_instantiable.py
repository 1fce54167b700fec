"""Many configurations are checked as each alone would be, and what they have in common once."""

import pytest

from experiment.configuration.compose import compose_configuration
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.references import ResolvedConfig
from experiment.runs import instantiable
from experiment.runs.instantiable import InstantiableCheck, check_instantiable

WRONG = [
    ["optimizer=adam", "optimizer.betas=[0.1,2.0]"],
    ["optimizer=adam", "optimizer.betas=[0.1,3.0]"],
    ["trainer.precision='17'"],
    ["data.noise=0.5", "trainer.precision='17'"],
    ["+callbacks.wrong={_target_:lightning.pytorch.callbacks.ModelCheckpoint,mode:up}"],
    ["+callbacks.rate={_target_:lightning.pytorch.callbacks.LearningRateMonitor}", "trainer.logger=false"],
    ["+callbacks.nothing._target_=nowhere.Callback"],
    ["model={_target_:torch.nn.Linear}"],
]
RIGHT = [[], ["seed=1"], ["+callbacks.rate={_target_:lightning.pytorch.callbacks.LearningRateMonitor}"]]


def problems(check, config) -> str:
    try:
        check(config)
    except ConfigurationError as error:
        return str(error)
    return ""


def check_together():
    """Return the check of many configurations."""
    check = InstantiableCheck()
    return lambda config: check(ResolvedConfig.of(config))


def test_a_configuration_among_others_is_checked_as_alone():
    configs = [compose_configuration(overrides) for overrides in (*RIGHT, *WRONG, *RIGHT)]
    check = check_together()
    together = [problems(check, config) for config in configs]
    assert together == [problems(check_instantiable, config) for config in configs]
    assert [bool(each) for each in together] == [*[False] * 3, *[True] * len(WRONG), *[False] * 3]


def test_what_is_common_is_checked_once(monkeypatch):
    made = []

    class Trainer(instantiable.HorizonTrainer):
        def __init__(self, **arguments):
            made.append(arguments)
            super().__init__(**arguments)

    monkeypatch.setattr(instantiable, "HorizonTrainer", Trainer)
    config = compose_configuration([])
    check = check_together()
    check(config)
    num_made = len(made)
    for seed in range(5):
        config.seed = seed
        check(config)
    assert len(made) == num_made
    config.trainer.log_every_n_steps = 7
    check(config)
    assert made[-1]["log_every_n_steps"] == 7


@pytest.mark.parametrize("value", [1, True, 1.0])
def test_equal_values_of_other_types_are_other_values(value):
    config = compose_configuration([])
    check = check_together()
    for each in (1, True, 1.0):
        if each is not value:
            config.trainer.precision = each
            problems(check, config)
    config.trainer.precision = value
    assert problems(check, config) == problems(check_instantiable, config) != ""
