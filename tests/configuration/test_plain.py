"""Plain data is what OmegaConf makes of a configuration."""

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiment.configuration.compose import compose_configuration
from experiment.configuration.plain import raw_data, resolved_data

OF_ALL_KINDS = {
    "number": 1,
    "same": "${number}",
    "chain": "${same}",
    "none": None,
    "of_none": "${none}",
    "missing": "???",
    "escaped": r"\${number}",
    "within": "a${number}b${nested.list[1].x}",
    "resolver": "${if_null:${none},${nested.relative},2}",
    "resolver_of_none": "${if_null:${same},5,${nested.relative}}",
    "resolver_of_list": "${if_null:${none},${nested.list},2}",
    "text_of_resolver": r"${oc.env:NOWHERE,'\${number}'}",
    "nested": {"relative": "${..number}", "list": [1, {"x": "${....number}"}, "${nested.dictionary}", "${.0}"]},
    "of_list": "${nested.list}",
    "nested.dotted": {"empty": {}, "list": []},
    "nothing": {},
}


def assert_plain(config):
    assert repr(raw_data(config)) == repr(OmegaConf.to_container(config))
    assert repr(resolved_data(config)) == repr(OmegaConf.to_container(config, resolve=True))


def test_references_of_all_kinds():
    config = OmegaConf.create(OF_ALL_KINDS)
    config.nested.dictionary = {"a": "${number}", "b": {"c": "${..a}"}}
    assert_plain(config)
    assert_plain(config.nested)
    config.number = 2  # what was parsed before has another value
    assert_plain(config)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["optimizer=adam", "experiment=mini_batches", "trainer.val_check_interval=2"],
        ["objective={metric:val/accuracy,mode:max}", "+extras.a=[1,'${seed}','x${data.line}']", "callbacks.graph=null"],
    ],
)
def test_composed_configurations(overrides):
    assert_plain(compose_configuration(overrides))


WRONG = ["${nowhere}", "${a.b.c}", "${b}", "${..x}", "${nested}", "x${nowhere}", "${missing}"]
WRONG += ["${oc.env:NOWHERE}", "${if_null:${missing},1,2}", "${if_null:1}", "${nowhere:1}"]


@pytest.mark.parametrize("value", WRONG)
def test_errors(value):
    config = OmegaConf.create({"a": 1, "b": "${nested.x}", "missing": "???", "nested": {"x": value}})
    with pytest.raises(OmegaConfBaseException) as expected:
        OmegaConf.to_container(config, resolve=True)
    with pytest.raises(type(expected.value)) as raised:
        resolved_data(config)
    assert str(raised.value) == str(expected.value)


def test_what_is_not_asked_for_is_not_resolved():
    config = OmegaConf.create({"a": 1, "b": "${nowhere}", "c": "${a}"})
    assert resolved_data(config, lambda text: text == "${a}") == {"a": 1, "b": "${nowhere}", "c": 1}
