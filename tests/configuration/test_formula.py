"""Formulas: those that are allowed have Python's own values, and everything else is refused in words."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.configuration.formula import MAX_LENGTH, Formula, check_formula

NAMES = {"pi": math.pi, "e": math.e, "arcsin": math.asin, "arccos": math.acos, "arctan": math.atan}
NAMES |= {name: getattr(math, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt")}
NAMES |= {"abs": abs, "min": min, "max": max}

ATOMS = st.sampled_from(["x", "pi", "0.5", "3", "-x", "sin(3*x)", "max(x, 0)", "e**x", "abs(x - 1)"])
FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({''.join(parts)})"),
    max_leaves=8,
)


@settings(deadline=None)
@given(FORMULAS, st.floats(-1, 1))
def test_a_formula_has_the_value_that_python_gives_it(text, x):
    expected = eval(text, {"__builtins__": {}}, NAMES | {"x": x})
    assert Formula(text)(x) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", sorted(NAMES.keys() - {"pi", "e", "min", "max"}))
def test_every_function_is_that_of_the_math_module(name):
    x = np.array([0.1, 0.5, 0.9])
    assert Formula(f"{name}(x)")(x) == pytest.approx([NAMES[name](each) for each in x])


WRONG = {
    "os.system('ls')": "os.system('ls') is not allowed",
    "__import__('os')": "is not allowed",
    "x.__class__": "x.__class__ is not allowed",
    "(lambda: x)()": "is not allowed",
    "[x for x in (1,)]": "is not allowed",
    "x[0]": "x[0] is not allowed",
    "y": "y is not allowed; allowed are x, numbers, pi, e, + - * / **, brackets, sin",
    "sin": "sin is not allowed",
    "sin(x, x)": "sin(x, x) is not allowed",
    "sin(x=1)": "is not allowed",
    "max(x)": "is not allowed",
    "round(x)": "is not allowed",
    "True": "True is not allowed",
    "1j": "1j is not allowed",
    "'x'": "is not allowed",
    "x % 2": "is not allowed",
    "x < 1": "is not allowed",
    "x^2": "a power is x**2",
    "2x": "cannot be parsed",
    "": "cannot be parsed",
    "x\0": "cannot be parsed",
    "sin(x": "cannot be parsed",
    "x = 1": "cannot be parsed",
    "(" * 199 + "x": "cannot be parsed",
    "x+" * MAX_LENGTH + "x": f"at most {MAX_LENGTH} characters",
    "9**9**9": "no finite value",
    "1e999": "no finite value",
    "exp(900*x)": "no finite value at x = 0.789",
    "log(x)": "no finite value at x = -1",
    "x**0.5": "no finite value at x = -1",
    "1/x": "divides by 0",
    "1/(x-0.3)": "divides by 0",
    "1/(x-0.12345)": "divides by 0",
    "x**-1": "divides by 0",
    "(x-0.3)**-2": "divides by 0",
    "0/0": "divides by 0",
}


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_refused_in_words(text):
    with pytest.raises(ValueError, match=r"allowed|parsed|finite|divides|characters") as error:
        check_formula(text)
    assert WRONG[text] in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 199 + "x",
        "+x" * 100,
        "(" * 99 + "x" + ")" * 99,
        "sin(" * 39 + "x" + ")" * 39,
        " x ",
        "x\n",
        "1/(x*x+1)",
        "tan(3*x)",
    ],
)
def test_what_looks_unusual_is_allowed(text):
    assert check_formula(text) == text


def test_a_point_without_a_value_is_an_error_wherever_it_lies():
    assert Formula("sqrt(x)")(4.0) == 2
    with pytest.raises(ValueError, match="no finite value at x = -4"):
        Formula("sqrt(x)")(np.array([4.0, -4.0]))
