"""The README: what it shows is what happens."""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import experiment
from tests.conftest import ROOT, metrics

README = (ROOT / "README.md").read_text()
# What the default configuration has no value for, or has by another name.
ABSENT = ("optimizer", "data.curve", "data.path", "model.from_run", "search", "experiment", "hydra.run.dir")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def process(train, capfd, monkeypatch) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """A command of the README, in this process: to import torch anew for each takes seconds."""

    def call_main(module: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        importlib.import_module(module).main()
        return 0

    def run(command: str) -> subprocess.CompletedProcess[str]:
        python, *words = shlex.split(command)
        assert python == "python"
        if not Path("examples").exists():
            Path("examples").symlink_to(ROOT / "examples")
        status = call_main(*words[1:]) if words[0] == "-m" else train(*words[1:])
        return subprocess.CompletedProcess(command, status, *capfd.readouterr())

    return run


def test_the_first_command_is_a_process_that_works(elsewhere):
    done = subprocess.run([sys.executable, ROOT / "train.py", "trainer.max_epochs=50"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("tensorboard --logdir outputs\n")


@pytest.mark.parametrize(
    "command", [each for each in COMMANDS if each.startswith("python train.py") and "outputs/first" not in each]
)
def test_a_command_works(process, command):
    """With less training than it asks for, where what it prints is not shown."""
    shown = "optimizer.lr=0.01,0.1,1" in command
    done = process(command if shown or "trainer.max_" in command else f"{command} trainer.max_epochs=20")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--help" in command or "tensorboard --logdir" in done.stdout
    results = [*Path("outputs").glob("**/metrics.json"), *Path("multirun").glob("**/metrics.json")]
    expected = {
        "launcher=vectorized": 24,
        "trials=10": 10,
        "trials=8": 8,
        "trials=5": 5,
        "-m --config-dir": 4,
        "-m optimizer": 6,
        "--help": 0,
    }
    assert len(results) == next((count for part, count in expected.items() if part in command), 1)
    if shown:
        assert re.search(r"```\n(optimizer.lr  runs.*?)```", README, re.DOTALL)[1] in done.stdout
    assert {metrics(path.parent)["status"] for path in results} <= {"finished"}


def test_the_run_that_is_started_again_goes_on(process):
    first, longer, again, explain = (each for each in COMMANDS if "outputs/first" in each)
    assert process(first).returncode == 0
    assert metrics(Path("outputs/first"))["step"] == 1000
    assert process(longer).returncode == 0
    assert metrics(Path("outputs/first"))["step"] == 1500
    done = process(again)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("bit-identical: every curve, every weight, every score.\n")
    done = process(explain)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Step 300 of a 2-4-1 net on 100 points; followed is point 7")


def test_a_step_is_explained_as_shown(process):
    for command in (each for each in COMMANDS if "experiment.explain" in each and "outputs" not in each):
        done = process(command)
        assert (done.returncode, done.stderr) == (0, "")
        if command.endswith("explain"):
            assert re.search(r"```\n(3  Error.*?)```", README, re.DOTALL)[1] in done.stdout


def test_the_error_shown_is_the_error(process):
    command, *expected = re.search(r"\$ (python.*?)```", README, re.DOTALL)[1].strip().splitlines()
    done = process(command)
    assert done.returncode == 1
    assert done.stderr.splitlines() == expected


def test_the_output_shown_is_the_output(process):
    shown = re.search(r"```\n(finished after.*?)```", README, re.DOTALL)[1]
    done = process("python train.py")
    same = lambda text: re.sub(r"[\d.]+ s\n|outputs/\S+", "", text).split()  # noqa: E731
    assert same(done.stdout) == same(shown)


def test_the_house_is_the_one_described():
    house = re.search(r"## The house\n\n```\n(.*?)```", README, re.DOTALL)[1]
    described = set(re.findall(r"\b(\w+\.py)\b", house))
    there = {path.name for path in (ROOT / "src/experiment").glob("*.py")} - {"__init__.py"}
    assert described == there | {"train.py"}


def test_the_keys_are_all_there(process):
    done = process("python train.py --cfg job")
    for key in re.findall(r"^\| `([\w.]+)`", README, re.MULTILINE):
        if key not in ABSENT:
            assert f"{key.split('.')[-1]}:" in done.stdout


def test_the_example_is_the_example():
    shown = re.search(r"```yaml\n(# @package.*?)```", README, re.DOTALL)[1]
    file = (ROOT / "examples/digits/experiment/digits.yaml").read_text()
    for line in shown.splitlines():
        assert line.split(" # ")[0] in file


def test_an_optimizer_of_ones_own_is_one_file(process):
    shown = re.search(r"```yaml\n(_target_: torch.optim.NAdam.*?)```", README, re.DOTALL)[1]
    Path("mine/optimizer").mkdir(parents=True)
    Path("mine/optimizer/nadam.yaml").write_text(shown)
    command = "python train.py --config-dir mine optimizer=nadam trainer.max_epochs=3 hydra.run.dir=run"
    assert process(command).returncode == 0
    assert process(command + " optimizer.rate=3").returncode == 1


def test_a_shape_of_ones_own_is_two_places(elsewhere):
    """Make the two changes in a copy of the sources, and train on the new shape."""
    import shutil

    shutil.copytree(ROOT, "copy", ignore=shutil.ignore_patterns(".*", "outputs", "multirun"))
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with open("copy/src/experiment/points/shapes.py", "a") as file:
        file.write(code)
    line = Path("copy/conf/data/line.yaml").read_text().replace("shape: line", "shape: ring")
    Path("copy/conf/data/ring.yaml").write_text(line.replace("line: [1.0, 1.0, 0.0]", "radius: 0.5"))
    command = [sys.executable, "train.py", "data=ring", "trainer.max_epochs=3", "hydra.run.dir=run"]
    environment = {"PYTHONPATH": "src", "PATH": ""}
    done = subprocess.run(command, cwd="copy", env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert metrics(Path("copy/run"))["status"] == "finished"
    done = subprocess.run([*command, "data.radius=-1"], cwd="copy", env=environment, capture_output=True, text=True)
    assert "data.radius=-1: a number > 0" in done.stderr


def test_the_python_that_is_shown_works(elsewhere):
    (code,) = re.findall(r"```py\n(import experiment\n.*?)```", README, re.DOTALL)
    exec(code, {})
    assert (elsewhere / "outputs/fast/metrics.json").exists()


def test_numpy_evaluates_the_weights_of_a_run(run, capfd):
    """Against the network itself."""
    (code,) = re.findall(r"```py\n(import numpy as np\n.*?)```", README, re.DOTALL)
    run("trainer.max_epochs=200", name="outputs/fast")
    capfd.readouterr()
    variables: dict[str, Any] = {}
    exec(code, variables)
    printed = capfd.readouterr().out.replace("[", " ").replace("]", " ").split()
    model, _ = experiment.load("outputs/fast")
    expected = model(torch.tensor(variables["points"], dtype=torch.float32)).flatten().tolist()
    assert [float(each) for each in printed] == pytest.approx(expected, rel=1e-5)
