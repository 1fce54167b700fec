"""Two sweep directories of the same runs, compared: one of runs trained together, one of runs trained alone."""

from pathlib import Path
from typing import Any

import torch

from experiment.runs.logger import read_scalars
from tests.conftest import checkpoint, metrics

VIEWS = ("Backprop", "DecisionBoundary", "Graph", "PointsRecorder")  # callbacks that only show a run


def run_directories(sweep: str | Path) -> list[Path]:
    return sorted(path for path in Path(sweep).iterdir() if path.is_dir())


def assert_close(ours: Any, theirs: Any, tolerance: float, where: str = "") -> None:
    """Both hold the same keys and values; numbers may differ by rounding, times and views by more."""
    assert type(ours) is type(theirs) or {type(ours), type(theirs)} <= {int, float}, (where, ours, theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), where
        for key, value in ours.items():
            if key not in ("seconds", "engine"):
                assert_close(value, theirs[key], tolerance, f"{where}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_close(mine, other, tolerance, f"{where}.{index}")
    elif isinstance(ours, float | torch.Tensor):
        pair = (torch.as_tensor(each, dtype=torch.float64) for each in (ours, theirs))
        unit = 180 if "angle" in where else 1  # degrees
        nearly = {"rtol": tolerance, "atol": tolerance / 10 * unit}
        torch.testing.assert_close(*pair, **nearly, equal_nan=True, msg=lambda m: where + m)
    else:
        assert ours == theirs, where


def assert_same_runs(ours: str, theirs: str, tolerance: float = 1e-5, engine: str = "vectorized") -> None:
    """Curves at the same steps, metrics and checkpoints agree; all runs of ``ours`` were trained by that engine."""
    assert [path.name for path in run_directories(ours)] == [path.name for path in run_directories(theirs)]
    for run, alone in zip(run_directories(ours), run_directories(theirs), strict=True):
        assert metrics(run)["engine"] == engine
        assert_close(metrics(run), metrics(alone), tolerance)
        curves, expected = read_scalars(run), read_scalars(alone)
        assert curves.keys() <= expected.keys()
        assert {"train/loss", "val/loss"} & expected.keys() <= curves.keys()
        for tag, points in curves.items():
            assert_close([list(each) for each in points], [list(each) for each in expected[tag]], tolerance, tag)
        for name in ("last", "best"):
            state, other = checkpoint(run, name), checkpoint(alone, name)
            for view in VIEWS:
                other["callbacks"].pop(view, None)
            assert_close(state, other, tolerance * 10, name)
