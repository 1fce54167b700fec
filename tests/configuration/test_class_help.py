"""``--help`` of classes that are not this project's: what they and their authors say of themselves."""

from pathlib import Path

from experiment.configuration.class_help import describe_object
from tests.conftest import ROOT

STYLES = '''
class Google:
    """Says hello.

    More of it.

    Args:
        name: whom
            to greet.
    """
    def __init__(self, name: "str", times: int = 2, *args, **kwargs): ...

class NumPy:
    """
    Says hello.

    Parameters
    ----------
    name : str
        whom to greet.
    """
    def __init__(self, name: str, times: int = 2): ...

class Sphinx:
    def __init__(self, name: str, times: int = 2):
        """Says hello.

        :param name: whom to greet.
        """

class Silent:
    def __init__(self, name, times: int = 2): ...
'''


def test_docstrings_of_every_common_style_are_read(monkeypatch):
    Path("styles_of_docstrings.py").write_text(STYLES)
    monkeypatch.syspath_prepend(".")
    for style in ("Google", "NumPy", "Sphinx"):
        target = f"styles_of_docstrings.{style}"
        assert [*describe_object("model", {"_target_": target, "name": "Ada", "_partial_": True})] == [
            (f"model._target_ = {target}", "Says hello."),
            ("model.name = Ada", "str; whom to greet."),
            ("model.times = 2 by default", "int"),
        ]
    silent = [*describe_object("model", {"_target_": "styles_of_docstrings.Silent"})]
    assert silent[:2] == [
        ("model._target_ = styles_of_docstrings.Silent", "has no docstring"),
        ("model.name", "an argument of the class"),
    ]


def test_help_describes_the_configured_classes_and_their_parts(train, capfd):
    callback = "callbacks.stop={_target_:lightning.pytorch.callbacks.EarlyStopping,monitor:val/loss}"
    assert train("--help", "--config-dir", str(ROOT / "tests/stranger"), "experiment=parts", callback) == 0
    text = " ".join(capfd.readouterr().out.split())
    for row in (
        "model._target_ = parts.Net Learns to be one. model.net._target_ = parts.make_net",
        "model.rate = 0.01 by default float; the learning rate optimizer = null",
        "data.dataset._target_ = parts.Numbers.tens",
        "callbacks.stop.monitor = val/loss str; quantity to be monitored. callbacks.stop.min_delta = 0.0 by default",
        "callbacks.graph._target_ = experiment.backprop.graph.Graph Lightning callbacks",
        "extras.scale = 0.1 keys of your own",
        "loggers.<name> Lightning loggers",
    ):
        assert row in text
    assert "decision_boundary" in text
    assert "num_points" not in text.partition("Choices")[0]


def test_help_of_what_cannot_be_imported_says_so(train, capfd):
    assert train("--help", "model={_target_:nowhere.Net}") == 0
    assert "cannot be described: ModuleNotFoundError: No module named 'nowhere'" in capfd.readouterr().out
