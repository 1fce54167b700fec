"""``python benchmarks/speed.py``: compares the time and memory of this project and others with the plain script.

Each contender runs in its own process. They take turns, for several rounds. A ratio is the median over the rounds of a
contender's time divided by that of the plain script in the same round. ``speed.json`` holds the recorded ratios. Ratios
that exceed them by more than ``TOLERANCE`` are reported, with exit status 1.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HERE = Path(__file__).parent
RECORD, PICTURE = HERE / "speed.json", HERE.parent / "docs" / "speed.png"
TOLERANCE = 1.15  # of a ratio: repeated measurements differed by up to 8 %
BOX = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # behind a number, so that no line crosses it
MANY = 10_000_000  # points
BYTES = 12  # of a point: x, y and its class, in float32
FEW = "on 100 points"  # the memory of a run on many points is compared with that of this one


@dataclass
class Cost:
    """Seconds of the fit and of the whole command, and the peak memory in bytes."""

    fit: float
    whole: float
    memory: int


def ours(*overrides: str) -> list[str]:
    """Return the command that runs this project; ``measure`` appends the directory to its last word."""
    return [str(HERE.parent / "train.py"), *overrides, "hydra.run.dir="]


def theirs(script: str, *arguments: str) -> list[str]:
    """Return the command that runs a script of this folder; ``measure`` appends the directory to its last word."""
    return [str(HERE / script), *arguments, ""]


def large(batch: int) -> dict[str, list[str]]:
    """Return the contenders on ten million points."""
    return {
        "plain PyTorch": theirs("plain.py", f"--points={MANY}", f"--batch={batch}", "--epochs=2"),
        "this project": ours(f"data.num_points={MANY}", f"data.batch_size={batch}", "trainer.max_epochs=2"),
        FEW: ours("data.batch_size=10", "trainer.max_epochs=2"),
    }


# The first contender of each contest is the one that the others are compared with.
CONTESTS = {
    "default run": {
        "plain PyTorch": theirs("plain.py"),
        "this project": ours(),
        "Lightning, as in tutorials": theirs("tutorial.py"),
        "skorch": theirs("with_skorch.py"),
        "scikit-learn": theirs("with_sklearn.py"),
        "NumPy by hand": theirs("with_numpy.py"),
    },
    "10,000,000 points by 4,096": large(4096),
    "10,000,000 points by 65,536": large(65536),
    "digits": {
        "plain PyTorch": theirs("plain_digits.py"),
        "this project": ours("--config-dir", str(HERE.parent / "examples" / "digits"), "experiment=digits"),
    },
}


def measure(command: list[str]) -> Cost:
    """Run a contender. Its peak memory is at least that of this process, which therefore does not import torch."""
    with tempfile.TemporaryDirectory() as directory:
        *words, last = command
        whole, memory, output = run_process([*words, f"{last}{directory}/run"], directory)
        metrics = Path(directory, "run", "metrics.json")
        fit = json.loads(metrics.read_text())["seconds"] if metrics.exists() else float(output.split()[-1])
    return Cost(fit, whole, memory)


def run_process(words: list[str], directory: str, variables: dict[str, str] | None = None) -> tuple[float, int, str]:
    """Run Python in a directory; a process that fails ends this one.

    Args:
        words: its arguments.
        directory: to run it in.
        variables: environment variables of its own.

    Returns:
        Its seconds, its peak memory in bytes, and its output.
    """
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=os.environ | (variables or {}),
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        sys.exit(f"{text}\n{' '.join(words)} failed.")
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), text


def contest(contenders: dict[str, list[str]], rounds: int) -> dict[str, list[Cost]]:
    """Return the costs of each contender in each round, without those of a first round that warms up."""
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, command in contenders.items():
            cost = measure(command)
            if number > 0:
                costs[name].append(cost)
    return costs


def ratio(costs: dict[str, list[Cost]], name: str, what: str) -> float:
    """Return the median ratio of a contender's cost to that of the first contender."""
    first = next(iter(costs.values()))
    pairs = zip(costs[name], first, strict=True)
    return float(statistics.median(getattr(mine, what) / getattr(plain, what) for mine, plain in pairs))


def report(title: str, costs: dict[str, list[Cost]]) -> dict[str, float]:
    """Print a table, and return the ratios of this project."""
    print(f"\n{title:<28}{'fit, s':>10}{'ratio':>8}{'whole, s':>11}{'ratio':>8}{'MB':>8}")
    for name, own in costs.items():
        if name == FEW:
            continue
        fit, whole, memory = (statistics.median(getattr(each, what) for each in own) for what in Cost.__annotations__)
        fits, wholes = ratio(costs, name, "fit"), ratio(costs, name, "whole")
        print(f"{name:<28}{fit:>10.3f}{fits:>8.2f}{whole:>11.2f}{wholes:>8.2f}{memory / 1e6:>8.0f}")
    ratios = {f"{title}: {what}": ratio(costs, "this project", what) for what in ("fit", "whole")}
    if FEW in costs:
        more = [many.memory - few.memory for many, few in zip(costs["this project"], costs[FEW], strict=True)]
        ratios[f"{title}: memory"] = statistics.median(more) / (MANY * BYTES)
        print(f"above a run of 100 points: {ratios[f'{title}: memory']:.2f} times the bytes of the points")
    return ratios


def draw(costs: dict[str, list[Cost]]) -> None:
    """Draw the ratios of the default run."""
    names = [*costs]
    figure = Figure(figsize=(8, 3.6), dpi=100)
    for index, (what, title) in enumerate({"fit": "The fit", "whole": "The whole command"}.items()):
        axes = figure.add_axes((0.24 + 0.4 * index, 0.15, 0.33, 0.73), title=title, xlabel="times the plain script")
        values = [ratio(costs, name, what) for name in names]
        colors = ["#D55E00" if name == "this project" else "#0072B2" for name in names]
        axes.barh(names, values, color=colors)
        for place, value in enumerate(values):
            axes.text(value + max(values) / 50, place, f"{value:.2f}", va="center", fontsize=9, bbox=BOX)
        axes.axvline(1, color="#444444", lw=0.8, ls="--", zorder=0)
        axes.set_xlim(0, max(values) * 1.2)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        if index:
            axes.set_yticklabels([])
    FigureCanvasAgg(figure).print_png(PICTURE)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Measure this project beside others.")
    parser.add_argument("contest", nargs="*", help=f"of: {'; '.join(CONTESTS)} (all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="write the ratios to speed.json, and the picture")
    arguments = parser.parse_args()
    if unknown := set(arguments.contest) - set(CONTESTS):
        parser.error(f"there is no contest {', '.join(sorted(unknown))}")
    ratios: dict[str, float] = {}
    for title in arguments.contest or CONTESTS:
        costs = contest(CONTESTS[title], arguments.rounds)
        ratios |= report(title, costs)
        if arguments.record and title == "default run":
            draw(costs)
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if arguments.record:
        rounded = {name: round(value, 2) for name, value in ratios.items()}
        RECORD.write_text(json.dumps(recorded | rounded, indent=2) + "\n")
        return
    slower = {name: value for name, value in ratios.items() if value > TOLERANCE * recorded.get(name, float("inf"))}
    print(*(f"\nSLOWER: {name}: {value:.2f}, recorded {recorded[name]:.2f}" for name, value in slower.items()), sep="")
    if not slower:
        print("\nNothing has become slower than recorded.")
    sys.exit(bool(slower))


if __name__ == "__main__":
    main()
