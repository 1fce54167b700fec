"""The wheel, in a fresh environment: all that a project of somebody's own needs is in it."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import yaml

from tests.conftest import ROOT, metrics


def start(*command: object, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(wheel: Path, environment: Path) -> Path:
    """Make an environment with the wheel; its dependencies are those of the tests. Return its interpreter."""
    builder = venv.EnvBuilder(with_pip=False)
    builder.create(environment)
    python = Path(builder.ensure_directories(environment).env_exe)
    start(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    base = {"base": str(environment), "platbase": str(environment)}
    # Python does not follow the .pth files that it finds there, such as that of this clone.
    Path(sysconfig.get_path("purelib", "venv", base), "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_a_new_project_works_with_the_wheel_alone(elsewhere):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", ROOT]
    subprocess.run(build, check=True)
    (wheel,) = Path("dist").iterdir()
    python = install(wheel, elsewhere / "environment")
    start(python, "-m", "experiment.new", "my-flowers")
    project = elsewhere / "my-flowers"
    arguments = ["--config-dir", ".", "experiment=my_flowers", "trainer.max_epochs=3"]
    start(python, "-m", "experiment", *arguments, "hydra.run.dir=run", cwd=project)
    start(python, "-m", "experiment.play", "run", cwd=project)
    assert "function render" in (project / "play.html").read_text(encoding="utf-8")
    hydra = yaml.safe_load((project / "run/.hydra/hydra.yaml").read_text())["hydra"]
    (source,) = (each["path"] for each in hydra["runtime"]["config_sources"] if each["provider"] == "main")
    assert Path(source).is_relative_to(elsewhere / "environment")
    start(python, "-m", "experiment", "-m", *arguments, "seed=0,1", "hydra.sweep.dir=sweep", cwd=project)
    assert {metrics(path.parent)["status"] for path in project.glob("*/**/metrics.json")} == {"finished"}
    assert "2 passed" in start(python, "-m", "pytest", "-p", "no:cacheprovider", cwd=project)
