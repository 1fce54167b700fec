"""Texts on the command line as a shell hands them over, without quotes."""

from pathlib import Path

import pytest
import yaml

import experiment
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.texts import quote_texts
from tests.conftest import metrics

SHORT = ["data=curve", "trainer.max_epochs=2"]


@pytest.mark.parametrize(
    ("given", "quoted"),
    {
        "data.curve=sin(3*x)/2": r"data.curve='sin(3*x)/2'",
        "data.curve=sin(x),max(x, 0), x**2": "data.curve='sin(x)','max(x, 0)','x**2'",
        "data.curve='sin(x)',cos(x)": "data.curve='sin(x)','cos(x)'",
        "data.curve='sin(x)'": "data.curve='sin(x)'",
        "+data.curve=abs(x)": "+data.curve='abs(x)'",
        "data.curve=it's(": r"data.curve='it\'s('",
        "data.curve=x**2": "data.curve=x**2",
        "data.line=[1": "data.line=[1",
        "seed=range(0,3)": "seed=range(0,3)",
        "optimizer.lr=f(": "optimizer.lr=f(",
        "nothing=f(": "nothing=f(",
        "--config-dir=a(": "--config-dir=a(",
        "~data": "~data",
    }.items(),
)
def test_only_what_hydra_would_refuse_is_quoted(given, quoted):
    assert quote_texts([given]) == [quoted]


def test_a_formula_needs_no_quotes_on_the_command_line(run):
    directory = run(*SHORT, "data.curve=sin(3*x)/2")
    assert metrics(directory)["status"] == "finished"
    assert yaml.safe_load((directory / ".hydra/config.yaml").read_text())["data"]["curve"] == "sin(3*x)/2"
    assert metrics(run(*SHORT, "data.curve='sin(3*x)/2'")) == metrics(directory)  # the same run


def test_formulas_are_swept_and_composed(train):
    assert train("-m", *SHORT, "data.curve=sin(x),max(x,0)", "hydra.sweep.dir=sweep", "hydra/launcher=vectorized") == 0
    assert len([path for path in Path("sweep").iterdir() if path.is_dir()]) == 2
    assert experiment.compose(["data=curve", "data.curve=cos(x)-0.5"]).data.curve == "cos(x)-0.5"
    with pytest.raises(ConfigurationError, match=r"data.curve=1/\(x\): a formula in x such as .* divides by 0"):
        experiment.compose(["data=curve", "data.curve=1/(x)"])


@pytest.mark.parametrize("curve", ["os.system(1)", "9**9**9", "[1,2]", "null", "true"])
def test_what_is_no_formula_is_one_message_and_leaves_nothing(train, capfd, elsewhere, curve):
    assert train("data=curve", f"data.curve={curve}") == 1
    error = capfd.readouterr().err
    assert "data.curve=" in error
    assert "a formula in x such as sin(3*x)/2 or a number" in error
    assert len(error.splitlines()) == 2
    assert list(elsewhere.iterdir()) == []
