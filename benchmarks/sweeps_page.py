"""The picture and the tables of ``docs/sweeps.md``, made from what ``sweeps.json`` holds."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    "submitit_local": "a process, with Python's start and imports, for each run",
    "ray": "cores; then Ray's scheduler: {tasks:,.0f} tasks a second, {task_bytes:.0f} kB each in the sweep's process",
    "vectorized": "one process on a machine: the writing of each run's files",
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
    names = [*summary["launchers"]]
    _draw_bars(costs, names, [[summary["launchers"][name][kind] for name in names] for kind in ("run", "short run")])
    lengths = f"(of {content['epochs']:,} steps; paler: of 2)"
    costs.set(title="A run, without the start of the sweep", xlabel=f"seconds {lengths}")
    kinds = [*summary["disk"]]
    _draw_bars(disk, kinds, [[summary["disk"][kind][what] / 1000 for kind in kinds] for what in ("blocks", "size")])
    disk.set(title="A run on disk", xlabel="kB in whole blocks (paler: the bytes of its files)")
    handles, labels = by_runs.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    FigureCanvasAgg(figure).print_png(path)


def _draw_by_runs(axes: Axes, summary: Mapping[str, Any]) -> None:
    _draw_curves(axes, summary["seconds by runs"])
    most = max(int(runs) for runs in summary["seconds by runs"]["vectorized"])
    for name, line in summary["line"].items():
        first = max(int(runs) for runs in summary["seconds by runs"][name])
        ends = [runs for runs in (first, most) if runs >= first]
        label = "extrapolated" if name == "basic" else None
        axes.plot(
            ends, [line["start"] + line["run"] * runs for runs in ends], "--", color=STYLES[name][0], lw=1, label=label
        )
    axes.set(title="A sweep, with its start", xlabel="runs", ylabel="seconds")


def _draw_curves(axes: Axes, curves: Mapping[str, Mapping[str, float]]) -> None:
    for name, curve in curves.items():
        color, marker = STYLES[name]
        axes.plot([int(value) for value in curve], [*curve.values()], color=color, marker=marker, label=name)
    axes.set(xscale="log", yscale="log")
    _tidy(axes)


def _draw_bars(axes: Axes, names: Sequence[str], columns: Sequence[Sequence[float]]) -> None:
    """Draw a dark and a pale bar for each name, with numbers."""
    for offset, alpha, values in zip((-0.2, 0.2), (1, 0.4), columns, strict=True):
        places = [place + offset for place in range(len(names))]
        colors = [STYLES[name.partition(",")[0]][0] for name in names]
        axes.barh(places, values, 0.36, color=colors, alpha=alpha)
        for place, value in zip(places, values, strict=True):
            axes.text(value * 1.1, place, _number(value), va="center", fontsize=8)
    flat = [value for values in columns for value in values]
    axes.set_xscale("log")
    axes.set_xlim(min(flat) / 3, max(flat) * 5)
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names])
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
    return f"{value:,.0f}" if value >= 100 else f"{value:.{1 if value >= 10 else 2 if value >= 0.1 else 4}f}"


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
    return _table([title, "runs a second", "vectorized is times as fast"], rows)


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


def _crossings(summary: Mapping[str, Any]) -> str:
    return "\n".join(f"- {text} from {runs:,} runs on" for text, runs in summary["crossings"].items())


def _launchers(content: Mapping[str, Any]) -> str:
    summary, others = content["summary"], content["others"]
    header = ["launcher", "start, s", "a run of 2 steps, s", f"of {content['epochs']:,} steps, s"]
    header += [
        f"{MILLION:,} runs of 2 steps on {MACHINES} machines",
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
    for name, label in (("checks", "checked, none started"), ("vectorized", "vectorized")):
        (few, first), (many, last) = [(int(runs), memory) for runs, memory in summary["memory"][name].items()][-2:]
        growth = max(last - first, 0) / (many - few) * 1000 / 1e6
        rows.append([label, *(f"{memory / 1e6:.0f} ({runs:,})" for runs, memory in ((few, first), (many, last)))])
        rows[-1].append(_number(growth))
    header = ["the sweep's process", "peak MB (runs)", "peak MB (runs)", "MB more for each 1,000 runs"]
    return _table(header, rows)
