"""The parts of a configuration may be of the user's own code, and of nobody else's."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from omegaconf import OmegaConf

from experiment import evaluate
from experiment.configuration import own_code, targets
from experiment.configuration.errors import ConfigurationError
from tests.conftest import ROOT, command

STRANGER = ROOT / "tests/stranger"


@pytest.fixture
def named():
    own_code.add_directory(STRANGER)


def check(target: str, **arguments: object) -> None:
    part = {"_target_": target, **arguments}
    targets.check_targets(OmegaConf.create({"data": {"_target_": "parts.Data", "dataset": part}}))


def test_own_classes_and_functions_can_be_parts(named):
    check("parts.Numbers", count=3, transform={"_target_": "parts.scale", "by": 2, "_partial_": True})
    check("parts.Numbers.tens", transform={"_target_": "torch.nn.ReLU"})
    check("parts.make_net", width=3)


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("torch.load", {"f": "ran"}),
        ("os.system", {"command": "touch ran"}),
        ("parts.system", {"command": "touch ran"}),
        ("parts.subprocess.run", {"args": ["touch", "ran"]}),
        ("parts.torch.load", {"f": "ran"}),
        ("parts.partial_load", {}),
        ("parts.Net.load_from_checkpoint", {"checkpoint_path": "ran"}),
        ("parts.scale.__globals__", {}),
        ("parts.scale.__class__", {}),
        ("parts.Popen.__base__", {"args": ["touch", "ran"]}),
        ("parts.Numbers.__subclasses__", {}),
        ("builtins.eval", {"_args_": ["open('ran', 'w')"]}),
        ("experiment.runs.files.write_atomically", {"path": "ran", "content": ""}),
        ("experiment.configuration.own_code.add_directory", {"directory": "."}),
        ("torch.utils.data.TensorDataset", {}),
    ],
)
def test_what_is_not_the_users_is_refused_before_it_is_called(named, target, arguments):
    with pytest.raises(ConfigurationError, match=r"or a class or a function of your own code: beside your script"):
        check(target, **arguments)
    assert not Path("ran").exists()


@pytest.mark.parametrize("linked", ["directory", "file"])
def test_code_that_is_linked_is_the_users(named, linked):
    for name in ("real", "project"):
        Path(name).mkdir()
    Path("real/linked.py").write_text("class Part: ...")
    link = Path("project/code" if linked == "directory" else "project/linked.py")
    link.symlink_to(Path("real" if linked == "directory" else "real/linked.py").absolute())
    own_code.add_directory(link if linked == "directory" else link.parent)
    check("linked.Part")


def test_code_in_no_named_directory_is_refused(monkeypatch):
    monkeypatch.syspath_prepend(str(STRANGER))
    with pytest.raises(ConfigurationError, match="of your own code"):
        check("parts.make_net", width=3)


def test_code_beside_the_script_is_the_users(monkeypatch):
    monkeypatch.syspath_prepend(str(STRANGER))
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(STRANGER / "train.py"), raising=False)
    check("parts.make_net", width=3)


def test_a_command_of_this_project_is_not_the_users(monkeypatch):
    command = ModuleType("__main__")
    command.__spec__, command.__file__ = evaluate.__spec__, evaluate.__file__
    monkeypatch.setitem(sys.modules, "__main__", command)
    exec("def main(): ...", vars(command))
    with pytest.raises(ConfigurationError, match="of your own code"):
        check("__main__.main")


def test_an_installed_package_in_a_named_directory_is_not_the_users(named):
    """A project's folder may hold its virtual environment."""
    own_code.add_directory(Path("/"))
    for target in ("torch.load", "os.system", "experiment.runs.files.write_atomically"):
        with pytest.raises(ConfigurationError, match="of your own code"):
            check(target, _args_=["ran"])


def test_a_module_with_the_name_of_another_one_is_not_taken_for_it(named):
    for directory in ("first", "second"):
        Path(directory).mkdir()
        for module in ("same", "statistics"):
            Path(directory, f"{module}.py").write_text("class Part: ...")
    own_code.add_directory(Path("first"))
    check("same.Part")
    own_code.add_directory(Path("second"))
    with pytest.raises(ConfigurationError, match=r"same is \S*first/same.py in this process, and \S*second/same.py"):
        check("same.Part")
    with pytest.raises(ConfigurationError, match=r"second/statistics.py needs another name"):
        check("statistics.Part")
    own_code.add_directory(Path("first"))
    check("same.Part")


def test_code_of_another_script_is_said_to_be_that(named):
    with pytest.raises(ConfigurationError, match="of the script or the notebook that made the run"):
        check("__main__.Part")


def test_a_class_of_a_group_is_of_its_kind_wherever_it_is_defined(named):
    with pytest.raises(ConfigurationError, match=r"data._target_=parts.make_net: must be a class, a kind of Lightning"):
        targets.check_targets(OmegaConf.create({"data": {"_target_": "parts.make_net", "width": 3}}))


def test_a_command_of_strangers_runs_names_the_code_itself(train, capfd, monkeypatch):
    assert train("--config-dir", str(STRANGER), "experiment=parts", "hydra.run.dir=run", "trainer.max_epochs=1") == 0
    monkeypatch.setattr(own_code, "_named", [])
    assert "of your own code" in str(command("draw", "run"))
    assert command("draw", "--config-dir", str(STRANGER), "run") == 0
