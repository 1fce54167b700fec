"""What is recorded is what Python's own encoder writes, byte for byte."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiment.runs.json_text import to_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=10
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_any_content(content):
    for _ in range(2):  # the second time from the cache
        assert to_json(content) == json.dumps(content, indent=2, ensure_ascii=False)


def test_equal_numbers_of_different_types():
    for value in (1, True, 1.0):
        assert json.loads(to_json({"a": [value]})) == {"a": [value]}
        assert to_json({"a": [value]}) == json.dumps({"a": [value]}, indent=2)


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"b": -math.inf}])
def test_numbers_that_are_not_finite(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": value})
