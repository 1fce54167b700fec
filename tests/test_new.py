"""``python -m experiment.new``: what it writes runs as written, and what it refuses is left as it was."""

import re
import runpy
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, command, metrics, snapshot, status_of

make = partial(command, "new")


@pytest.fixture
def imports(monkeypatch):
    """What a test imports is not imported in the next one."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = {*sys.modules}
    yield
    for name in {"flowers", "my_project", "test_flowers"} - before:
        sys.modules.pop(name, None)


def test_the_commands_of_its_readme_work(imports, monkeypatch, capfd):
    assert make("flowers") == 0
    cd, run = capfd.readouterr().out.splitlines()[-2:]
    monkeypatch.chdir(shlex.split(cd)[1])
    commands = re.search(r"```sh\n(.*?)```", Path("README.md").read_text(), re.DOTALL)[1].splitlines()
    experiments = [each for each in commands if each.startswith("python -m experiment ")]
    assert experiments[0].startswith(run.strip())
    for each in experiments:
        arguments = [str(ROOT / "src/experiment/__main__.py"), *shlex.split(each)[3:]]
        assert status_of(partial(runpy.run_module, "experiment", run_name="__main__"), *arguments) == 0
        assert capfd.readouterr().err == ""
    results = [*Path().glob("*/**/metrics.json")]
    assert len(results) == 1 + 4 + 5
    assert {metrics(path.parent)["status"] for path in results} == {"finished"}
    assert metrics(Path("outputs/first"))["test/r2"] > 0.9
    assert commands[3:] == ["tensorboard --logdir outputs", "python -m pytest"]


def test_it_is_named_after_its_directory():
    assert make("below/my-project") == 0
    project = Path("below/my-project")
    assert {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()} == {
        "my_project.py",
        str(Path("experiment/my_project.yaml")),
        "test_my_project.py",
        "README.md",
        ".gitignore",
    }
    assert [*Path("below").iterdir()] == [project]
    assert not any("PROJECT" in path.read_text() for path in project.rglob("*") if path.is_file())
    content = yaml.safe_load((project / "experiment/my_project.yaml").read_text())
    assert content["model"]["_target_"] == "my_project.Model"


@pytest.mark.parametrize("name", ["json", "torch", "test", "experiment", "sys", "class", "None", "null", "3d", "größe"])
def test_a_name_that_no_module_can_have_is_refused(elsewhere, name):
    message = make(name)
    assert message.startswith(f"{name} cannot be the name of a project: ")
    assert len(message.splitlines()) == 1
    assert [*elsewhere.iterdir()] == []


def test_a_directory_that_holds_anything_is_not_touched(elsewhere):
    Path("flowers").mkdir()
    Path("flowers/mine.txt").write_text("mine")
    Path("leaves").write_text("a file")
    before = snapshot(elsewhere)
    for name in ("flowers", "leaves", "leaves/flowers"):
        assert str(elsewhere / name) in make(name)
    assert snapshot(elsewhere) == before


def test_an_empty_directory_is_filled_even_the_current_one(elsewhere, monkeypatch):
    Path("flowers").mkdir()
    monkeypatch.chdir("flowers")
    assert make(".") == 0
    assert Path("flowers.py").samefile(elsewhere / "flowers/flowers.py")
    assert [*elsewhere.iterdir()] == [elsewhere / "flowers"]


def test_an_error_while_it_is_written_leaves_nothing(elsewhere, monkeypatch):
    write = Path.write_text

    def fail(path: Path, *arguments, **options):
        if path.name == "README.md":
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", fail)
    assert make("flowers") == f"{elsewhere / 'flowers'} cannot be written: No space left on device"
    assert [*elsewhere.iterdir()] == []
