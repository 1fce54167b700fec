"""What follows from the costs of several sweeps: throughputs, curves, where launchers cross, a million runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.sweeps_cost import CHECKS, SHORT, Cost, Sweep

LAUNCHERS = ("basic", "joblib", "submitit_local", "ray", "vectorized")
MILLION, MACHINES = 10**6, 100
PLAIN, PLAIN_EVERY_10 = "plain script", "plain script, logging every 10 steps"
TASKS, TASK_BYTES = "tasks of Ray per second", "bytes of a task of Ray"


@dataclass
class Line:
    """Seconds that grow with the number of runs: those of the start, and those of each run."""

    start: float
    run: float

    def seconds(self, runs: Any) -> Any:
        """Return the seconds of a number of runs, or of an array of numbers."""
        return self.start + self.run * runs


class Summary:
    """Summarizes the costs of sweeps.

    Args:
        costs: of sweeps.
        others: seconds of the plain script, and what was measured of Ray.
        epochs: of a run of the usual length.

    Raises:
        SystemExit: from a method, where a difference is not positive, because another process took the time.
    """

    def __init__(self, costs: Mapping[Sweep, Cost], others: Mapping[str, float], epochs: int) -> None:
        self.costs, self.others, self.epochs = costs, others, epochs
        measured = {sweep.launcher for sweep in costs}
        self.launchers = [name for name in LAUNCHERS if name in measured]

    def headline(self, together: int) -> dict[str, float]:
        """Return how many runs are trained a second; the start of the process is not counted unless it is said."""
        sweep = Sweep("vectorized", together, self.epochs)
        return {
            "vectorized": 1 / self._without_start(sweep),
            "vectorized, with its start": together / self.costs[sweep].seconds,
            **{name: 1 / self.others[name] for name in (PLAIN, PLAIN_EVERY_10)},
            "basic": 1 / self.line("basic", self.epochs, views=True).run,
            "basic, no views": 1 / self.line("basic", self.epochs).run,
        }

    def curve(self, launcher: str) -> dict[int, float]:
        """Return the seconds of sweeps of runs of the usual length by their number."""
        sweeps = self._sweeps(launcher, self.epochs)
        return {sweep.runs: self.costs[sweep].seconds for sweep in sweeps}

    def line(self, launcher: str, epochs: int, views: bool = False) -> Line:
        """Return the line through the two largest sweeps of a launcher."""
        few, many = self._sweeps(launcher, epochs, views)[-2:]
        seconds = self._positive(self.costs[many].seconds - self.costs[few].seconds, many)
        run = seconds / (many.runs - few.runs)
        return Line(self.costs[few].seconds - few.runs * run, run)

    def grid(self, what: str) -> dict[str, dict[int, float]]:
        """Return the seconds of each run by launcher and by an attribute in which some sweeps differ."""
        values: dict[str, dict[int, float]] = {}
        for sweep in sorted(self.costs, key=lambda sweep: getattr(sweep, what)):
            twins = [
                each
                for each in self.costs
                if each == Sweep(sweep.launcher, sweep.runs, sweep.epochs, **{what: getattr(each, what)})
            ]
            if sweep in twins and len(twins) > 1 and sweep.runs > 1:
                values.setdefault(sweep.launcher, {})[getattr(sweep, what)] = self._without_start(sweep)
        return values

    def compiled(self) -> dict[int, dict[str, float]]:
        """Return the seconds of sweeps whose step is compiled, and of those whose step is not, by width."""
        seconds: dict[int, dict[str, float]] = {}
        for sweep, cost in self.costs.items():
            if sweep.compile is not None:
                seconds.setdefault(sweep.width, {})["compiled" if sweep.compile else "replayed"] = cost.seconds
        return seconds

    def crossings(self) -> dict[str, int]:
        """Return from how many runs on a launcher is faster than another, where that is so."""
        counts = np.arange(1, 10_001)
        curve = self.curve("vectorized")
        seconds: dict[str, Any] = {
            name: self.line(name, self.epochs).seconds(counts) for name in ("basic", "joblib") if name in self.launchers
        }
        seconds["vectorized"] = np.exp(np.interp(np.log(counts), np.log([*curve]), np.log([*curve.values()])))
        found = {}
        for slow, fast in (("basic", "joblib"), ("basic", "vectorized"), ("joblib", "vectorized")):
            if {slow, fast} <= {*seconds} and (faster := seconds[fast] < seconds[slow]).any():
                found[f"{fast} is faster than {slow}"] = int(counts[faster.argmax()])
        return found

    def growth(self) -> dict[str, dict[str, float]]:
        """Return by launcher the seconds of the start and of a run, and the hours of a million runs."""
        table = {}
        for launcher in self.launchers:
            short, long = self.line(launcher, SHORT), self.line(launcher, self.epochs)
            least = MILLION / self.others[TASKS] if launcher == "ray" else 0
            hours = [max(line.seconds(MILLION / MACHINES), least) / 3600 for line in (short, long)]
            row = {"start": max(short.start, 0), "short run": short.run, "run": long.run}
            table[launcher] = row | {"million short runs": hours[0], "million runs": hours[1]}
        return table

    def disk(self) -> dict[str, dict[str, float]]:
        """Return the bytes, the bytes of blocks, and the files of a run of the usual length."""
        kinds = {
            f"{name}, no views" if name == "basic" else name: self._sweeps(name, self.epochs)[-1]
            for name in self.launchers
        }
        kinds = {"basic": self._sweeps("basic", self.epochs, True)[-1], **kinds}
        costs = {name: self.costs[sweep] for name, sweep in kinds.items()}
        return {name: {"size": cost.size, "blocks": cost.blocks, "files": cost.files} for name, cost in costs.items()}

    def memory(self) -> dict[str, dict[int, float]]:
        """Return the peak memory of the sweep's process by number of runs, also where it ends before the first run."""
        return {
            name: {sweep.runs: self.costs[sweep].memory for sweep in self._sweeps(name, self.epochs)}
            for name in (CHECKS, "vectorized")
        }

    def _sweeps(self, launcher: str, epochs: int, views: bool = False) -> list[Sweep]:
        sweeps = [each for each in self.costs if each == Sweep(launcher, each.runs, epochs, views)]
        return sorted(sweeps, key=lambda sweep: sweep.runs)

    def _without_start(self, sweep: Sweep) -> float:
        start = self.costs[Sweep(sweep.launcher, 1, SHORT, cores=sweep.cores)].seconds
        return self._positive(self.costs[sweep].seconds - start, sweep) / sweep.runs

    def _positive(self, seconds: float, sweep: Sweep) -> float:
        if seconds <= 0:
            raise SystemExit(f"The machine is too busy: {sweep} took no longer than a smaller sweep.")
        return seconds
