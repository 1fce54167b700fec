"""``python -m experiment.predict``: the probability and the class of points, as they come."""

import csv
import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from experiment import predict
from experiment.configuration.errors import ConfigurationError
from experiment.runs.directory import RunDirectory
from tests.conftest import ROOT, checkpoint, command, snapshot
from tests.points.test_csv_data import module, write


@pytest.fixture
def answer(capfd):
    """The command in this process, with ``run``; returns the rows that it prints, and its error."""

    def start(content: str | bytes, *arguments: str) -> tuple[list[list[str]], str]:
        Path("points.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        capfd.readouterr()
        status = command("predict", "run", "points.csv", *arguments)
        return [*csv.reader(io.StringIO(capfd.readouterr().out))], str(status or "")

    return start


def by_hand(directory: Path, points: np.ndarray) -> np.ndarray:
    """Return the probability of class 1, by NumPy in float64."""
    w1, b1, w2, b2 = (each.double().numpy() for each in checkpoint(directory)["state_dict"].values())
    return 1 / (1 + np.exp(-(np.maximum(points @ w1.T + b1, 0) @ w2.T + b2)))[:, 0]


def test_points_get_the_probability_that_numpy_comes_to(short_run, answer):
    before = snapshot(short_run)
    points = np.random.default_rng(1).uniform(-2, 2, (5000, 2))  # more than a batch
    rows, error = answer("y,name,x\n" + "".join(f"{y!r},a,{x!r}\n" for x, y in points.tolist()))
    assert (rows[0], error) == (["x", "y", "probability", "class"], "")
    assert [row[:2] for row in rows[1:]] == [[repr(x), repr(y)] for x, y in points.tolist()]
    probability = np.array([float(row[2]) for row in rows[1:]])
    assert np.allclose(probability, by_hand(short_run, points), atol=1e-6)
    assert [row[3] for row in rows[1:]] == [str(int(each > 0.5)) for each in probability]
    assert snapshot(short_run) == before


def test_numbers_are_written_as_they_are_given(short_run, answer):
    rows, _ = answer("x,y\n1e0, +.50\n-0,007\n")
    assert [row[:2] for row in rows[1:]] == [["1e0", "+.50"], ["-0", "007"]]


def test_a_run_of_a_csv_scales_its_own_columns_and_names_its_classes(run, answer):
    write(100, columns="abc", labels=('"no, never"', "yes"))
    run("data=csv", "data.path=points.csv", "data.columns=[c,a]", "trainer.max_epochs=200", "optimizer.lr=1")
    data = module(columns=["c", "a"])
    given = Path("points.csv").read_text()
    rows, _ = answer(given)
    assert rows[0] == ["c", "a", "probability", "class"]
    table = data.table
    expected = by_hand(Path("run"), (table.points - data.encoding.center) / data.encoding.scale)
    assert np.allclose([float(row[2]) for row in rows[1:]], expected, atol=1e-5)
    assert [row[3] for row in rows[1:]] == [data.encoding.labels[int(each > 0.5)] for each in expected]
    assert answer("c,a\n1,2\n")[0][1][:2] == ["1", "2"]  # though the run's own file is now another one
    assert "no column 'c'" in answer("x,y\n1,2\n")[1]


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_any_precision_is_written(run, answer, precision):
    run("trainer.max_epochs=2", f"trainer.precision={precision}")
    rows, _ = answer("x,y\n0.25,0.5\n")
    torch.manual_seed(0)
    assert float(rows[1][2]) == pytest.approx(by_hand(Path("run"), np.array([[0.25, 0.5]]))[0], abs=1e-2)


@pytest.mark.parametrize(
    ("content", "written", "message"),
    [
        ("x,y\n1,2\n3,nan\n", 1, "points.csv: line 3, column y: 'nan' is no finite number"),
        ("x,y\n1,2\n3,4\n5\n6,7\n", 2, "points.csv: line 4: 1 cells"),
        (b"x,y\n1,2\n3,\xff\n", 1, "points.csv: line 3: is not text in UTF-8"),
        ("x\n1\n", 0, "points.csv: line 1: no column 'y'"),
        ("", 0, "points.csv: the file is empty"),
        ("x,y\n", 0, ""),
    ],
)
def test_a_wrong_row_is_one_message_after_those_before_it(short_run, answer, content, written, message):
    rows, error = answer(content)
    assert message in error
    assert bool(message) == bool(error)
    assert len(rows) == (written + 1 if "y" in str(content).split("\\n")[0] else 0)


def test_what_cannot_predict_is_one_message(run, answer):
    assert answer("x,y\n")[1] == "run holds no run."
    digits = ["--config-dir", str(ROOT / "examples/digits")]
    run(*digits, "experiment=digits", "trainer.max_epochs=1")
    assert "only a PointsClassifier can predict points" in answer("x,y\n", *digits)[1]
    assert "nowhere.csv: No such file or directory" in str(command("predict", "run", "nowhere.csv"))


def test_damaged_scales_are_refused(short_run):
    content = checkpoint(short_run) | {"CsvDataModule": {"columns": ["x"]}}
    torch.save(content, short_run / "checkpoints/last.ckpt")
    with pytest.raises(ConfigurationError, match="scales of the data are damaged"):
        predict.predict(RunDirectory(short_run), io.BytesIO(b"x,y\n"), "file", io.StringIO())


def test_rows_come_out_before_the_input_ends_and_a_reader_may_leave(short_run):
    command = [sys.executable, "-m", "experiment.predict", "run", "-"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"x,y\n1,2\n3,4\n5,")
    process.stdin.flush()
    lines = [process.stdout.readline() for _ in range(3)]
    assert [line[:4] for line in lines] == [b"x,y,", b"1,2,", b"3,4,"]
    process.stdout.close()
    _, error = process.communicate(b"6\n")
    assert (process.returncode, error) == (0, b"")


class Rows(io.RawIOBase):
    """A CSV that is made while it is read."""

    def __init__(self, blocks: int) -> None:
        self.blocks = iter([b"x,y\n", *[b"0.5,0.25\n" * 1000] * blocks])

    def read1(self, size: int) -> bytes:
        return next(self.blocks, b"")


class Nowhere(io.TextIOBase):
    def write(self, text: str) -> int:
        return len(text)


def test_a_long_file_needs_no_more_memory_than_a_short_one(short_run):
    def peak(blocks: int) -> int:
        tracemalloc.start()
        predict.predict(RunDirectory(short_run), Rows(blocks), "rows", Nowhere())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak(1)  # what is imported and kept
    assert peak(40) < 1.1 * peak(6)
