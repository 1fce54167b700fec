"""``python -m benchmarks.shapes``: draws every shape of points, with and without noise, to ``docs/shapes.png``."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiment import compose
from experiment.points.datamodule import PointsDataModule
from experiment.points.pictures import CLASS_COLORS
from experiment.points.shapes import SHAPES

NOISES = (0.0, 0.3)
POINTS = 300


def main(path: Path = Path(__file__).parent.parent / "docs/shapes.png") -> None:
    figure = Figure(figsize=(2.1 * len(SHAPES), 2.25 * len(NOISES)), dpi=100, layout="constrained")
    rows = figure.subplots(len(NOISES), len(SHAPES), sharex=True, sharey=True)
    for row, noise in zip(rows, NOISES, strict=True):
        row[0].set_ylabel(f"data.noise={noise:g}")
        for axes, shape in zip(row, SHAPES, strict=True):
            config = compose([f"data={shape}", f"data.noise={noise}", f"data.num_points={POINTS}"]).data
            data = PointsDataModule(**{key: value for key, value in config.items() if key != "_target_"})
            points, classes = (tensor.numpy() for tensor in data.training)
            for value, marker in enumerate("o^"):
                x, y = points[classes[:, 0] == value].T
                style = {"color": CLASS_COLORS[value], "ms": 3.5, "mec": "#222222", "mew": 0.3}
                axes.plot(x, y, marker, label=f"class {value}", **style)
            if data.boundary is not None:
                axes.plot(*data.boundary.T, color="black", ls="--", lw=1.2, label="given line")
            axes.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
            if noise == NOISES[0]:
                axes.set_title(f"data={shape}")
    figure.legend(*rows[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    main()
