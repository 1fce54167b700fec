"""``python -m experiment``, with the configuration that the package brings."""

import runpy
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT, plain_loop, status_of
from tests.runs.test_run import curve


@pytest.fixture
def main(capfd):
    """``python -m experiment …``, in this process; returns the exit status and what it prints."""
    program = partial(runpy.run_module, "experiment", run_name="__main__")

    def start(*arguments: str) -> tuple[object, str, str]:
        capfd.readouterr()
        status = status_of(program, str(ROOT / "src/experiment/__main__.py"), *arguments)
        return (status, *capfd.readouterr())

    return start


def test_a_run_is_the_reference(main):
    status, out, err = main("trainer.max_epochs=9", "hydra.run.dir=run")
    assert (status, err) == (0, "")
    assert "directory: run" in out
    assert [loss for _, loss in curve(Path("run"))] == plain_loop(epochs=9)[0]


def test_a_sweep_with_code_of_ones_own(main):
    digits = ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits"]
    status, _, _ = main("-m", *digits, "trainer.max_epochs=1", "model.hidden=4,8", "hydra.sweep.dir=sweep")
    assert status == 0
    assert len([*Path("sweep").glob("*/metrics.json")]) == 2


def test_help_and_errors_name_this_command(main):
    assert "  python -m experiment -m key=a,b ..." in main("--help")[1]
    status, _, err = main("seed=0,1")
    assert status == 1
    assert "several values make a sweep: python -m experiment -m" in err
    Path("sweep/seed=0").mkdir(parents=True)
    Path("sweep/seed=0/metrics.json").mkdir()
    status, _, err = main("-m", "seed=0,1", "trainer.max_epochs=1", "hydra.sweep.dir=sweep")
    assert status == 1
    assert "To run them again: python -m experiment -m seed=0,1" in err
