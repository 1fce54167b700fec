"""``provenance.json``: the code of this package, and of the model and the data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import helper
from tests.stranger.stranger import Data as SomeData, Module as SomeModule

class Data(SomeData): pass

class Module(SomeModule): pass
"""


@pytest.fixture
def code(monkeypatch) -> Path:
    """A directory with code that is in no package."""
    directory = Path("code").absolute()
    directory.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    (directory / "own.yaml").write_text(
        "# @package _global_\ndefaults: [{override /data: null}, {override /model: null}]\n"
        "data: {_target_: own.Data}\nmodel: {_target_: own.Module}\n"
    )
    (directory / "experiment").mkdir()
    (directory / "own.yaml").rename(directory / "experiment/own.yaml")
    (directory / "own.py").write_text(CODE)
    (directory / "helper.py").write_text("")
    yield directory
    forget()


def forget() -> None:
    for name in ("own", "helper"):
        sys.modules.pop(name, None)


def provenance(directory: Path) -> dict:
    return json.loads((directory / "provenance.json").read_text())


def own_code(directory: Path) -> dict:
    return {each["of"]: each for each in provenance(directory)["code"]}["own.Module and own.Data"]


def start(run, code: Path, *overrides: str) -> Path:
    forget()
    return run("--config-dir", str(code), "experiment=own", *overrides)


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments]
    return subprocess.run(command, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def test_code_outside_of_a_repository_is_recorded_by_its_content(run, code):
    recorded = own_code(start(run, code, "trainer.max_epochs=1"))
    assert recorded["commit"] is None
    assert recorded["untracked"] == {"own.py": CODE, "helper.py": ""}


def test_code_in_a_repository_is_recorded_by_commit_and_difference(run, code):
    git(code, "init")
    git(code, "add", "own.py")
    git(code, "commit", "-m", "own")
    (code / "own.py").write_text(CODE + "CHANGED = 1\n")
    recorded = own_code(start(run, code, "trainer.max_epochs=1"))
    assert recorded["commit"] == git(code, "rev-parse", "HEAD")
    assert "+CHANGED = 1" in recorded["difference"]
    assert recorded["untracked"] == {"helper.py": ""}


@pytest.mark.parametrize("name", ["own.py", "helper.py"])
def test_a_start_with_changed_code_says_so_once(run, code, capfd, name):
    line = "The code of own.Module and own.Data has changed since the last start."
    start(run, code, "trainer.max_epochs=1")
    start(run, code, "trainer.max_epochs=2")
    assert "has changed" not in capfd.readouterr().out
    with (code / name).open("a") as file:
        file.write("CHANGED = 1\n")
    directory = start(run, code, "trainer.max_epochs=3")
    assert capfd.readouterr().out.splitlines().count(line) == 1
    start(run, code, "trainer.max_epochs=4")
    assert (directory / "train.log").read_text().count(line) == 1


def test_the_package_is_recorded_by_commit_and_hashes(run):
    directory = run("trainer.max_epochs=1")
    recorded = provenance(directory)
    assert {"commit", "difference"} == recorded["git"].keys()
    (package,) = recorded["code"]
    assert package["of"] == "experiment"
    assert "points/classifier.py" in package["files"]


def test_a_change_of_the_package_is_announced(run, capfd):
    directory = run("trainer.max_epochs=1")
    recorded = provenance(directory)
    recorded["code"][0]["files"]["points/net.py"] = "0"
    (directory / "provenance.json").write_text(json.dumps(recorded))
    run("trainer.max_epochs=2")
    assert "The code of experiment has changed since the last start." in capfd.readouterr().out
