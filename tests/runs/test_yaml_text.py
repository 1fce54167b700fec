"""What is recorded is what OmegaConf writes, byte for byte."""

import math
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from experiment.configuration.compose import compose_with_hydra
from experiment.configuration.plain import raw_data
from experiment.runs.yaml_text import to_yaml


class Color(Enum):
    ON = 1


WORDS = [
    "on",
    "1",
    "1e5",
    "null",
    "~",
    "",
    " x",
    "a: b",
    "# c",
    "x\ny",
    "x" * 200,
    "word " * 40,
    "'",
    '"',
    "\\",
    "{a",
    "é",
]
RARE = ["\x85", "\u2028", "word " * 13 + "x" * 40, "a/b=0.1,c=[1,2]"]
TEXTS = st.sampled_from([*WORDS, *RARE]) | st.text(max_size=90).filter(lambda text: "${" not in text)
SCALARS = st.sampled_from([0, 1, -0.0, 0.0, True, False, None, 1.0, 1e300, -math.inf, math.nan, Color.ON, b"x"]) | TEXTS
KEYS = st.sampled_from(["a", "b", "lr", "y", "_x", "k" * 150, 1, True, 2.5]) | TEXTS
CONTENTS = st.dictionaries(
    st.sampled_from([*"abcdef"]),
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
    ),
)


@settings(max_examples=100, deadline=None)
@given(CONTENTS)
def test_any_content(content):
    assert to_yaml(content) == OmegaConf.to_yaml(OmegaConf.create(content, flags={"allow_objects": True}))


@given(st.lists(TEXTS))
def test_a_list(content):
    assert to_yaml(content) == OmegaConf.to_yaml(OmegaConf.create(content))


@pytest.mark.parametrize(
    "overrides", [[], ["optimizer=adam", "seed=7"], ["experiment=mini_batches", "data.noise=0.25"]]
)
def test_configurations_of_a_run_and_of_hydra(overrides):
    config: Any = compose_with_hydra([*overrides, "hydra.run.dir='a é'", "model.hidden=[8,8]"])
    for _ in range(2):  # the second time all of it is from the cache
        assert to_yaml(raw_data(config)) == OmegaConf.to_yaml(config)
    config.hydra.job.num, config.seed = 1, True
    assert to_yaml(raw_data(config)) == OmegaConf.to_yaml(config)
    config.seed = 1
    assert to_yaml(raw_data(config)) == OmegaConf.to_yaml(config)
