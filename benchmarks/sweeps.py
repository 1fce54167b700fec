"""``python -m benchmarks.sweeps``: measures sweeps by launcher, and how they grow.

Each sweep runs in a process of its own; they take turns. ``sweeps.json`` holds what was measured, and what follows from
it. From this file alone ``docs/sweeps.png`` and the tables of ``docs/sweeps.md`` are made.
"""

import argparse
import json
import platform
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import speed
from benchmarks.sweeps_cost import CHECKS, CORES, HERE, SHORT, Cost, Sweep, measure
from benchmarks.sweeps_page import draw, fill_tables
from benchmarks.sweeps_summary import PLAIN, PLAIN_EVERY_10, TASK_BYTES, TASKS, Summary

PLAIN_RUNS = 3  # of the plain script in each round: one takes less than a second
DOCS = HERE.parent / "docs"
PARTS = ("headline", "runs", "points", "width", "cores", "compiled", "launchers")
MACHINE = {
    "cores": CORES,
    "system": platform.system(),
    "processor": platform.machine(),
    "python": platform.python_version(),
}
MODULES = {  # that a launcher with workers needs
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "ray": "ray",
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    epochs: int = 1000
    together: int = 1024  # runs of the headline
    most: int = 4096  # runs of the longest vectorized sweep
    alone: tuple[int, int] = (4, 12)  # runs of a sweep whose launcher trains each alone
    short: tuple[int, int] = (4, 24)  # the same, of runs of two epochs
    processes: tuple[int, int] = (2, 4)  # runs of a sweep whose launcher starts a process for each
    grid_epochs: int = 200
    grid: tuple[int, int] = (6, 64)  # runs over points and widths, alone and together
    points: tuple[int, ...] = (100, 1000, 10_000)
    widths: tuple[int, ...] = (4, 32, 256)
    compiled: tuple[int, tuple[int, ...]] = (2048, (4, 32, 128))  # runs, and their widths
    checks: tuple[int, int] = (64, 2048)
    tasks: int = 5000


QUICK = Sizes(100, 256, 256, (2, 6), (2, 6), (2, 4), 50, (4, 64), (100, 1000), (4, 32), (64, (4,)), (8, 64), 500)


class Plan:
    """The sweeps that each part of the page needs; parts share some."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.workers = [name for name, module in MODULES.items() if find_spec(module)]
        self.joblib = [name for name in self.workers if name == "joblib"]

    def headline(self) -> Iterator[Sweep]:
        """Yield the runs together, beside those of the basic launcher with and without views."""
        yield from self._starts()
        yield Sweep("vectorized", self.sizes.together, self.sizes.epochs)
        for views in (True, False):
            yield from (Sweep("basic", runs, self.sizes.epochs, views) for runs in self.sizes.alone)

    def runs(self) -> Iterator[Sweep]:
        """Yield sweeps of more and more runs."""
        for name in ("basic", *self.joblib):
            yield from self._alone(name, self.sizes.epochs)
        powers = (4**power for power in range(12))
        yield from (Sweep("vectorized", runs, self.sizes.epochs) for runs in takewhile(self.sizes.most.__ge__, powers))

    def points(self) -> Iterator[Sweep]:
        """Yield sweeps of runs on more and more points."""
        return self._grid("points", self.sizes.points)

    def width(self) -> Iterator[Sweep]:
        """Yield sweeps of runs of wider and wider nets."""
        return self._grid("width", self.sizes.widths)

    def cores(self) -> Iterator[Sweep]:
        """Yield the same sweep on more and more cores."""
        kinds = [("vectorized", self.sizes.together // 2), *((name, self.sizes.alone[1]) for name in self.joblib)]
        for count in (*takewhile(CORES.__gt__, (2**power for power in range(12))), CORES):
            for name, runs in kinds:
                yield Sweep(name, 1, SHORT, cores=count)
                yield Sweep(name, runs, self.sizes.epochs, cores=count)

    def compiled(self) -> Iterator[Sweep]:
        """Yield sweeps whose training step is compiled, or is not."""
        yield from self._starts()
        runs, widths = self.sizes.compiled
        for width in widths:
            yield from (
                Sweep("vectorized", runs, self.sizes.epochs, width=width, compile=each) for each in (False, True)
            )

    def launchers(self) -> Iterator[Sweep]:
        """Yield short and long runs by every launcher, and checks alone."""
        for name in ("basic", *self.workers):
            yield from self._alone(name, SHORT)
            yield from self._alone(name, self.sizes.epochs)
        yield from (Sweep("vectorized", runs, SHORT) for runs in (self.sizes.together // 16, self.sizes.together))
        yield from (Sweep(CHECKS, runs, self.sizes.epochs) for runs in self.sizes.checks)

    def _starts(self) -> Iterator[Sweep]:
        yield from (Sweep(name, 1, SHORT) for name in ("basic", "vectorized"))

    def _alone(self, name: str, epochs: int) -> Iterator[Sweep]:
        counts = self.sizes.short if epochs == SHORT else self.sizes.alone
        yield from (
            Sweep(name, runs, epochs) for runs in (self.sizes.processes if name == "submitit_local" else counts)
        )

    def _grid(self, what: str, values: Iterable[int]) -> Iterator[Sweep]:
        yield from self._starts()
        for value in values:
            for name, runs in zip(("basic", "vectorized"), self.sizes.grid, strict=True):
                sweep = Sweep(name, runs, self.sizes.grid_epochs)
                changed: dict[str, Any] = {what: value}
                yield replace(sweep, **changed)


def measure_others(part: str, sizes: Sizes, has_ray: bool) -> dict[str, float]:
    """Return what a part of the page needs beside sweeps."""
    if part == "headline":
        words: dict[str, list[str]] = {PLAIN: [], PLAIN_EVERY_10: ["--log-every=10"]}
        commands = {name: speed.theirs("plain.py", f"--epochs={sizes.epochs}", *own) for name, own in words.items()}
        fits = [{name: speed.measure(command).fit for name, command in commands.items()} for _ in range(PLAIN_RUNS)]
        # The fastest: its waiting threads make it many times slower where another process takes a core.
        return {name: min(each[name] for each in fits) for name in words}
    if part == "launchers" and has_ray:
        with TemporaryDirectory() as directory:
            _, _, output = speed.run_process([str(HERE / "ray_tasks.py"), str(sizes.tasks)], directory)
        return dict(zip((TASKS, TASK_BYTES), map(float, output.split()[-2:]), strict=True))
    return {}


def measure_parts(names: Iterable[str], sizes: Sizes, rounds: int) -> tuple[dict[Sweep, Cost], dict[str, float]]:
    """Measure parts of the page, each contender in each round, and return the medians."""
    plan = Plan(sizes)
    costs: dict[Sweep, list[Cost]] = defaultdict(list)
    others: dict[str, list[float]] = defaultdict(list)
    measure(Sweep("basic", 1, SHORT))  # warms the caches up
    for number in range(1, rounds + 1):
        for name in names:
            for sweep in getattr(plan, name)():
                if len(costs[sweep]) < number:
                    costs[sweep].append(measure(sweep))
                    print(f"{costs[sweep][-1].seconds:8.2f} s  {sweep}", flush=True)
            for what, value in measure_others(name, sizes, "ray" in plan.workers).items():
                others[what].append(value)
                print(f"{value:10.4g}  {what}", flush=True)
    medians = {what: statistics.median(values) for what, values in others.items()}
    return {sweep: _median(each) for sweep, each in costs.items()}, medians


def _median(costs: Iterable[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, each.name) for cost in costs) for each in fields(Cost)))


def summarize(costs: dict[Sweep, Cost], others: dict[str, float], sizes: Sizes) -> dict[str, Any]:
    """Return all that the page shows."""
    summary = Summary(costs, others, sizes.epochs)
    alone = [name for name in summary.launchers if name in ("basic", "joblib")]
    return {
        "runs together": sizes.together,
        "runs per second": summary.headline(sizes.together),
        "seconds by runs": {name: summary.curve(name) for name in (*alone, "vectorized")},
        "line": {name: asdict(summary.line(name, sizes.epochs)) for name in alone},
        "seconds of a run by points": summary.grid("points"),
        "seconds of a run by width": summary.grid("width"),
        "seconds of a run by cores": summary.grid("cores"),
        "steps of these": sizes.grid_epochs,
        "seconds of a compiled sweep by width": summary.compiled(),
        "runs of it": sizes.compiled[0],
        "crossings": summary.crossings(),
        "launchers": summary.growth(),
        "disk": summary.disk(),
        "memory": summary.memory(),
        "others": others,
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description="Measure sweeps by launcher.")
    parser.add_argument("parts", nargs="*", help=f"of: {', '.join(PARTS)} (all); others are as recorded")
    parser.add_argument("--max-runs", type=int, default=Sizes.most, help="of the longest sweep (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="of which the medians are taken (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="sizes that show only that it works")
    parser.add_argument("--output", type=Path, help="a directory for all files, in place of benchmarks/ and docs/")
    arguments = parser.parse_args()
    if unknown := {*arguments.parts} - {*PARTS}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if arguments.quick and not arguments.output:
        parser.error("--quick: --output=DIRECTORY is needed, so that nothing of value is written over")
    sizes = QUICK if arguments.quick else replace(Sizes(), most=arguments.max_runs)
    record = (arguments.output or HERE) / "sweeps.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    costs, others = read(record, sizes) if arguments.parts else ({}, {})
    new_costs, new_others = measure_parts(arguments.parts or PARTS, sizes, arguments.rounds)
    costs, others = costs | new_costs, others | new_others
    rows = [asdict(sweep) | asdict(cost) for sweep, cost in costs.items()]
    content: dict[str, Any] = {"machine": MACHINE, "epochs": sizes.epochs, "sweeps": rows, "others": others}
    write(record, content)
    if missing := [name for name in PARTS if not {*getattr(Plan(sizes), name)()} <= {*costs}]:
        print(f"No page: not measured yet: {', '.join(missing)}")
        return
    write(record, {"summary": summarize(costs, others, sizes)} | content)
    content = json.loads(record.read_text())
    pages = arguments.output or DOCS
    draw(content, pages / "sweeps.png")
    fill_tables(content, DOCS / "sweeps.md", pages / "sweeps.md")


def write(record: Path, content: dict[str, Any]) -> None:
    """Write what was measured, and what follows from it."""
    record.write_text(json.dumps(content, indent=1) + "\n")


def read(record: Path, sizes: Sizes) -> tuple[dict[Sweep, Cost], dict[str, float]]:
    """Return what has been recorded of this machine."""
    content = json.loads(record.read_text()) if record.exists() else {}
    if (content.get("machine"), content.get("epochs")) != (MACHINE, sizes.epochs):
        return {}, {}
    names = [each.name for each in fields(Sweep)]
    costs = {}
    for row in content["sweeps"]:
        sweep = Sweep(**{name: row.pop(name) for name in names})
        costs[sweep] = Cost(**row)
    return costs, content["others"]


if __name__ == "__main__":
    main()
