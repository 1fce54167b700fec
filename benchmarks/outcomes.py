"""``python -m benchmarks.outcomes``: how runs at high rates end that are trained together, beside the same runs alone.

At rates over one, the difference that rounding makes in one step grows in the next ones: two curves of the same run
part. What can agree is the distribution of their ends. Prints the table of ``docs/sweeps.md``.
"""

import argparse
import json
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from benchmarks import speed
from benchmarks.sweeps_cost import HERE, NO_VIEWS
from scipy.stats import ks_2samp

from experiment.runs.logger import read_scalars

RATES = (1, 3, 10, 30)
HEADER = ("rate", "curves that part", "diverged", "median loss at the end", "accuracy", "Kolmogorov-Smirnov p")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outcomes", description="Compare runs at high rates.")
    parser.add_argument("--seeds", type=int, default=64, help="runs at each rate (%(default)s)")
    parser.add_argument("--epochs", type=int, default=1000, help="of a run (%(default)s)")
    arguments = parser.parse_args()
    print("|".join(["", *HEADER, ""]), "|".join(["", *("---" for _ in HEADER), ""]), sep="\n")
    with TemporaryDirectory() as directory:
        for launcher in ("basic", "vectorized"):
            words = [
                f"hydra/launcher={launcher}",
                f"hydra.sweep.dir={launcher}",
                f"trainer.max_epochs={arguments.epochs}",
            ]
            words += [f"optimizer.lr={','.join(map(str, RATES))}", f"seed=range({arguments.seeds})", *NO_VIEWS]
            speed.run_process([str(HERE.parent / "train.py"), "-m", *words, "trainer.log_every_n_steps=10"], directory)
        for rate in RATES:
            print("|".join(["", *compare(Path(directory), rate, arguments.seeds), ""]), flush=True)


def compare(directory: Path, rate: float, seeds: int) -> list[str]:
    """Return a row of the table: what is of runs alone first."""
    patterns = [f"*,optimizer.lr={rate},seed={seed},*" for seed in range(seeds)]
    alone, together = (
        [next((directory / launcher).glob(pattern)) for pattern in patterns] for launcher in ("basic", "vectorized")
    )
    parted = sum(_part(*pair) for pair in zip(alone, together, strict=True))
    metrics = [[json.loads((run / "metrics.json").read_text()) for run in runs] for runs in (alone, together)]
    losses = [[each["train/loss"] for each in group if each["train/loss"] is not None] for group in metrics]
    accuracies = [statistics.fmean(each["test/accuracy"] for each in group) for group in metrics]
    return [
        f"{rate:g}",
        f"{parted} of {seeds}",
        " / ".join(str(sum(each["status"] == "diverged" for each in group)) for group in metrics),
        " / ".join(f"{statistics.median(group):.5f}" for group in losses),
        " / ".join(f"{accuracy:.4f}" for accuracy in accuracies),
        f"{ks_2samp(*losses).pvalue:.3f}",
    ]


def _part(alone: Path, together: Path) -> bool:
    """Whether two curves differ by more than rounding in one step makes."""
    curves = [np.array(read_scalars(run)["train/loss"])[:, 1] for run in (alone, together)]
    return len(curves[0]) != len(curves[1]) or not np.allclose(*curves, rtol=1e-5, atol=0)


if __name__ == "__main__":
    main()
