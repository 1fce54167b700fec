"""What Hydra's grammar refuses is answered with a command that works."""

import shlex

import pytest

from experiment import compose
from experiment.configuration.errors import ConfigurationError
from experiment.configuration.overrides import parse_override
from tests.conftest import ROOT, command

HINT = "; if the value is one text, quote it: "
TEXTS = [
    ("hydra.run.dir", "multirun/x/optimizer.lr=0.1,seed=0"),  # as a sweep names it
    ("hydra.run.dir", "a/b,c"),
    ("hydra.run.dir", "it's"),
    ("hydra.run.dir", "a'b\"c$d`e`\\=f"),
    ("hydra.run.dir", "$HOME/a=b!"),
    ("hydra.run.dir", "a[1"),
    ("hydra.run.dir", "{now}(1)"),
    ("hydra.sweep.dir", "lr=1,seed=0"),
    ("model.own", "a b(1).csv"),
    ("+x", "{"),
]


@pytest.mark.parametrize(("key", "text"), TEXTS)
@pytest.mark.parametrize("name", ["run", "sweep", "explain"])
def test_the_suggested_override_is_the_text_once_pasted_into_a_shell(train, capfd, elsewhere, name, key, text):
    if name == "explain":
        message = str(command("explain", f"{key}={text}"))
    else:
        assert train(*(["-m", "seed=0,1"] if name == "sweep" else []), f"{key}={text}") == 1
        message = capfd.readouterr().err
    headline, line = message.strip().split("\n", 1)
    assert headline == "The configuration cannot be run:"
    assert line.startswith(f"  {key}={text}: ")
    (word,) = shlex.split(line.partition(HINT)[2])
    suggested = parse_override(word)
    assert suggested.input_line.startswith(f"{key}='")
    assert suggested.value() == text
    assert not suggested.is_sweep_override()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.line=[1", "Hydra cannot parse this: no viable alternative at input '[1'"),
        ("seed=1,2", "several values make a sweep: python train.py -m"),
        ("optimizer=sgd,adam", "several values make a sweep: python train.py -m"),
        ("+optimizer=adam", "Multiple values for optimizer. To override a value use 'override optimizer: adam'"),
        ("nonsense", "Hydra cannot parse this: missing EQUAL at '<EOF>' (an override is key=value)"),
    ],
)
def test_quotes_are_not_suggested_where_they_would_not_help(train, capfd, override, message):
    assert train(override) == 1
    assert capfd.readouterr().err == f"The configuration cannot be run:\n  {override}: {message}\n"


def test_a_directory_that_a_sweep_named_is_resumed_by_the_suggested_command(train, capfd):
    assert train("-m", "optimizer.lr=0.5", "seed=3", "trainer.max_epochs=2", "hydra.sweep.dir=s") == 0
    overrides = ["optimizer.lr=0.5", "seed=3", "trainer.max_epochs=2"]
    capfd.readouterr()
    assert train(*overrides, "hydra.run.dir=s/optimizer.lr=0.5,seed=3") == 1
    (suggested,) = shlex.split(capfd.readouterr().err.partition(HINT)[2])
    assert train(*overrides, suggested) == 0
    assert "Nothing is left to train." in capfd.readouterr().out


def test_an_interpolation_of_a_directory_that_does_not_exist_is_named(train, capfd, elsewhere):
    assert train("hydra.run.dir=${nope}") == 1
    assert capfd.readouterr().err == "hydra.run.dir: Interpolation key 'nope' not found\n"
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# @package _global_\nmodel: {a: 1\nb: 2\n", r"experiment=mine: while parsing a flow mapping in .*line 3"),
        ("# @package _global_\ndefaults:\n  - override /optimizr: adam\n", "experiment=mine: In .*'optimizr'"),
        ("model:\n  hidden: [8]\n", "its first line is # @package _global_"),
    ],
)
def test_what_is_wrong_in_a_file_of_ones_own_is_named(tmp_path, content, message):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=message) as error:
        compose(["experiment=mine"], tmp_path)
    assert "one of" not in str(error.value)


def test_how_a_group_is_left_out_is_said_where_null_was_tried():
    with pytest.raises(ConfigurationError, match=r"optimizer=null: one of .*sgd, or none: ~optimizer$"):
        compose(["experiment=stranger", "optimizer=null"], ROOT / "tests/stranger")
    compose(["experiment=stranger", "~optimizer"], ROOT / "tests/stranger")
    with pytest.raises(ConfigurationError, match=r"optimizer=null: one of .*sgd$"):
        compose(["optimizer=null"])  # the network of points needs one
