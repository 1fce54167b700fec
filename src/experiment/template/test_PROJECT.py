"""A run learns, and continues to the same weights as one that was never stopped."""

from pathlib import Path
from typing import Any

import torch

import experiment

HERE = Path(__file__).parent


def run(directory: Path, epochs: int) -> dict[str, Any]:
    config = experiment.compose(["experiment=PROJECT", f"trainer.max_epochs={epochs}"], config_dir=HERE)
    return experiment.run(config, directory)


def test_the_loss_falls(tmp_path: Path) -> None:
    first, last = run(tmp_path, 1), run(tmp_path, 20)
    assert last["val/loss"] < first["val/loss"] / 2
    assert last["test/r2"] > 0.8


def test_a_run_in_two_parts_ends_as_a_single_one(tmp_path: Path) -> None:
    run(tmp_path / "parts", 2)
    assert run(tmp_path / "parts", 4)["val/loss"] == run(tmp_path / "single", 4)["val/loss"]
    models = [experiment.load(tmp_path / name, config_dir=HERE)[0] for name in ("parts", "single")]
    weights = [torch.nn.utils.parameters_to_vector(model.parameters()) for model in models]
    assert torch.equal(*weights)
