"""The picture and the tables of ``docs/sweeps.md``, made from what ``sweeps.json`` holds."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.sweeps_cost import CHECKS, SHORT
from benchmarks.sweeps_summary import MACHINES, MILLION, TASK_BYTES, TASKS
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLES = {  # of Okabe and Ito's palette
    "basic": ("#000000", "o"),
    "joblib": ("#0072B2", "s"),
    "submitit_local": ("#E69F00", "D"),
    "ray": ("#009E73", "^"),
    "vectorized": ("#D55E00", "v"),
}
LIMITS = {
    "basic": "one process, one run at a time",
    "joblib": "the cores of one machine",
    "submitit_local": "Python's start and imports for each run; on Slurm also its limit on jobs",
    "ray": "cores; then Ray's scheduler: {tasks:,.0f} tasks a second, {task_bytes:.0f} kB each in the sweep's process",
    "vectorized": "cores; the checks of all runs, by one process",
}
Row = Sequence[str]


def draw(content: Mapping[str, Any], path: Path) -> None:
    """Draw all panels."""
    summary = content["summary"]
    figure = Figure(figsize=(13, 8), dpi=100, layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    by_runs, by_points, by_width, by_cores, costs, disk = panels
    _draw_by_runs(by_runs, summary)
    steps = f"seconds of a run of {summary['steps of these']:,} steps"
    _draw_curves(by_points, summary["seconds of a run by points"])
    by_points.set(title="Points", xlabel="training points", ylabel=steps)
    _draw_curves(by_width, summary["seconds of a run by width"])
    by_width.set(title="Width", xlabel="hidden units", ylabel=steps)
    _draw_curves(by_cores, summary["seconds of a run by cores"])
    counts = sorted({int(count) for curve in summary["seconds of a run by cores"].values() for count in curve})
    by_cores.set_xticks(counts, [str(count) for count in counts])
    by_cores.minorticks_off()
    by_cores.set(title="Cores", xlabel="cores", ylabel=f"seconds of a run of {content['epochs']:,} steps")
    _draw_costs(costs, summary["launchers"])
    costs.set(title="A run, without the start of the sweep")
    costs.set_xlabel(f"seconds (of {content['epochs']:,} steps; hollow: of {SHORT})")
    _draw_disk(disk, summary["disk"])
    disk.set(title="A run on disk", xlabel="kB in whole blocks (paler: bytes of its files)")
    handles, labels = by_runs.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    FigureCanvasAgg(figure).print_png(path)


def _draw_by_runs(axes: Axes, summary: Mapping[str, Any]) -> None:
    curves = summary["seconds by runs"]
    _draw_curves(axes, curves)
    most = max(int(runs) for runs in curves["vectorized"])
    for name, line in summary["line"].items():
        counts = np.geomspace(max(int(runs) for runs in curves[name]), most)
        label = "extrapolated" if name == "basic" else None
        axes.plot(counts, line["start"] + line["run"] * counts, "--", color=STYLES[name][0], lw=1, label=label)
    axes.set(title="A sweep, with its start", xlabel="runs", ylabel="seconds")


def _draw_curves(axes: Axes, curves: Mapping[str, Mapping[str, float]]) -> None:
    for name, curve in curves.items():
        color, marker = STYLES[name]
        axes.plot([int(value) for value in curve], [*curve.values()], color=color, marker=marker, label=name)
    axes.set(xscale="log", yscale="log")
    _tidy(axes)


def _draw_costs(axes: Axes, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Draw the seconds of a run, of the usual length and of two steps."""
    for place, (name, row) in enumerate(rows.items()):
        color, marker = STYLES[name]
        for what, face, offset in (("run", color, (0, 9)), ("short run", "white", (0, -17))):
            axes.plot(row[what], place, marker=marker, ms=9, color=color, mfc=face)
            axes.annotate(_number(row[what]), (row[what], place), offset, textcoords="offset points", ha="center")
    seconds = [row[what] for row in rows.values() for what in ("run", "short run")]
    axes.set(xscale="log", xlim=(min(seconds) / 3, max(seconds) * 3), ylim=(len(rows) - 0.5, -0.7))
    axes.set_yticks(range(len(rows)), [*rows])
    _tidy(axes)


def _draw_disk(axes: Axes, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Draw the space of a run, in whole blocks and by the bytes of its files."""
    for place, (kind, row) in enumerate(rows.items()):
        for what, offset, alpha in (("blocks", -0.2, 1), ("size", 0.2, 0.4)):
            value = row[what] / 1000
            axes.barh(place + offset, value, 0.36, color=STYLES[kind.partition(",")[0]][0], alpha=alpha)
            axes.annotate(_number(value), (value, place + offset), (4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max(row["blocks"] for row in rows.values()) / 1000 * 1.2)
    axes.set_yticks(range(len(rows)), [kind.replace(", ", ",\n") for kind in rows])
    axes.invert_yaxis()
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def fill_tables(content: Mapping[str, Any], source: Path, target: Path) -> None:
    """Copy a page, with each ``<!-- table NAME -->`` followed by that table, up to ``<!-- end -->``."""
    tables = {
        "headline": _headline(content),
        "runs": _by_runs(content["summary"]),
        "compiled": _compiled(content),
        "crossings": _crossings(content["summary"]),
        "launchers": _launchers(content),
        "disk": _disk(content["summary"]),
        "memory": _memory(content["summary"]),
    }

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n{tables[match[2]]}\n<!-- end -->"

    page = source.read_text()
    target.write_text(re.sub(r"(<!-- table (\w+) -->)\n.*?<!-- end -->", fill, page, flags=re.DOTALL))


def _table(header: Row, rows: Iterable[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    """Return two or three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.{3 if value >= 1 else 2}g}"


def _duration(hours: float) -> str:
    seconds = hours * 3600
    for name, unit in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.0f} seconds"


def _headline(content: Mapping[str, Any]) -> str:
    summary, machine = content["summary"], content["machine"]
    rates = summary["runs per second"]
    title = f"{summary['runs together']:,} runs of {content['epochs']:,} steps, {machine['cores']} cores"
    labels = {"basic": "basic launcher, with its views", "basic, no views": "basic launcher, no views"}
    rows = [
        [labels.get(name, name), _number(rate), f"{rates['vectorized'] / rate:,.1f}"] for name, rate in rates.items()
    ]
    return _table([title, "runs a second", "vectorized, times as fast"], rows)


def _by_runs(summary: Mapping[str, Any]) -> str:
    curve = summary["seconds by runs"]["vectorized"]
    lines = summary["line"]
    rows = [
        [
            f"{int(runs):,}",
            *(_number(line["start"] + line["run"] * int(runs)) for line in lines.values()),
            _number(seconds),
        ]
        for runs, seconds in curve.items()
    ]
    return _table(["runs", *(f"{name}, s (from two sizes)" for name in lines), "vectorized, s (measured)"], rows)


def _compiled(content: Mapping[str, Any]) -> str:
    summary = content["summary"]
    title = f"hidden units, {summary['runs of it']:,} runs of {content['epochs']:,} steps"
    rows = [
        [width, *(_number(seconds[name]) for name in ("replayed", "compiled"))]
        for width, seconds in summary["seconds of a compiled sweep by width"].items()
    ]
    return _table([title, "replayed, s", "compiled, s"], rows)


def _crossings(summary: Mapping[str, Any]) -> str:
    return "\n".join(f"- {text} from {runs:,} runs on" for text, runs in summary["crossings"].items())


def _launchers(content: Mapping[str, Any]) -> str:
    summary, others = content["summary"], content["others"]
    header = ["launcher", "start, s", f"a run of {SHORT} steps, s", f"of {content['epochs']:,} steps, s"]
    header += [
        f"{MILLION:,} runs of {SHORT} steps on {MACHINES} machines",
        f"of {content['epochs']:,} steps",
        "what limits it",
    ]
    words = {"tasks": others.get(TASKS, 0), "task_bytes": others.get(TASK_BYTES, 0) / 1000}
    rows = [
        [
            name,
            *(_number(row[what]) for what in ("start", "short run", "run")),
            *(_duration(row[what]) for what in ("million short runs", "million runs")),
            LIMITS[name].format(**words),
        ]
        for name, row in summary["launchers"].items()
    ]
    return _table(header, rows)


def _disk(summary: Mapping[str, Any]) -> str:
    rows = [
        [
            kind,
            _number(row["files"]),
            _number(row["size"] / 1000),
            _number(row["blocks"] / 1000),
            _number(row["blocks"] * MILLION / 1e9),
        ]
        for kind, row in summary["disk"].items()
    ]
    return _table(["a run by", "files", "kB", "kB on disk", f"GB on disk, {MILLION:,} runs"], rows)


def _memory(summary: Mapping[str, Any]) -> str:
    rows = []
    for name, label in ((CHECKS, "checked, none started"), ("vectorized", "vectorized")):
        (few, first), (many, last) = [(int(runs), memory) for runs, memory in summary["memory"][name].items()][-2:]
        growth = max(last - first, 0) / (many - few) * 1000 / 1e6
        rows.append([label, *(f"{memory / 1e6:.0f} ({runs:,})" for runs, memory in ((few, first), (many, last)))])
        rows[-1].append(_number(growth))
    header = ["the sweep's process", "peak MB (runs)", "peak MB (runs)", "MB more for each 1,000 runs"]
    return _table(header, rows)
