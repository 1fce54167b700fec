"""``data=csv``: points of a file of one's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiment import evaluate
from experiment.configuration.errors import ConfigurationError
from experiment.points.csv_data import CsvDataModule, split
from experiment.points.encoding import Encoding, Labels
from experiment.points.textbook import format_number
from experiment.runs.directory import RunDirectory
from tests.conftest import checkpoint, command, metrics, snapshot

pytestmark = pytest.mark.draws


def write(rows: int = 60, path: str = "points.csv", columns: str = "xy", labels: tuple[str, str] = ("0", "1")) -> None:
    """Write points, and whether their sum is above that of the middle; sorted by class."""
    points = np.random.default_rng(rows).random((rows, len(columns))) * 10 + 5
    above = points.sum(axis=1) > np.median(points.sum(axis=1))
    order = np.argsort(above, kind="stable")
    lines = [",".join([*map(repr, map(float, points[i])), labels[int(above[i])]]) for i in order]
    Path(path).write_text("\n".join([",".join([*columns, "label"]), *lines]) + "\n")


def module(path: str = "points.csv", **changes) -> CsvDataModule:
    arguments = {"columns": ["x", "y"], "label": "label", "num_val": None, "num_test": None, "batch_size": None}
    return CsvDataModule(path, **arguments | {"seed": 0} | changes)


def loaders(data: CsvDataModule) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [loader.tensors for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())]


def test_each_row_is_in_one_part_with_its_own_class():
    write(63)
    expected = np.loadtxt("points.csv", delimiter=",", skiprows=1)
    data = module()
    points, classes = (torch.cat(parts) for parts in zip(*loaders(data), strict=True))
    given = points.double().numpy() * data.encoding.scale + data.encoding.center
    together = np.column_stack([given, classes.numpy()])
    assert [len(part[0]) for part in loaders(data)] == [51, 6, 6]
    assert np.allclose(together[np.lexsort(together.T)], expected[np.lexsort(expected.T)], atol=1e-5)


def test_the_training_points_fill_the_plane_and_the_others_are_scaled_likewise():
    write(200)
    (training, _), (validation, _), _ = loaders(module())
    assert torch.equal(training.min(dim=0)[0], torch.tensor([-1.0, -1.0]))
    assert torch.equal(training.max(dim=0)[0], torch.tensor([1.0, 1.0]))
    assert validation.abs().max() < 1.2


@pytest.mark.parametrize(("rows", "val", "test"), [(100, 10, 10), (101, 7, 31), (10, 1, 1), (1000, 499, 500)])
def test_both_classes_are_divided_in_the_same_proportion(rows, val, test):
    classes = np.arange(rows) >= rows * 0.7
    parts = split(classes.astype(np.uint8), val, test, seed=3)
    together = np.concatenate([parts.training, parts.validation, parts.test])
    assert sorted(together) == [*range(rows)]
    for part, count in ((parts.validation, val), (parts.test, test), (parts.training, rows - val - test)):
        assert len(part) == count
        assert abs(classes[part].sum() - count * classes.mean()) <= 1.5


def test_the_seed_decides_the_split_and_nothing_else_does():
    write(100)
    np.random.seed(5)
    torch.manual_seed(5)
    first, again, other = module(), module(), module(seed=1)
    drawn = np.random.rand(), torch.rand(1)
    np.random.seed(5)
    torch.manual_seed(5)
    assert drawn == (np.random.rand(), torch.rand(1))
    assert torch.equal(first.training[0], again.training[0])
    assert not torch.equal(first.training[0], other.training[0])
    assert 0.3 < first.training[1][:40].mean() < 0.7  # though the file is sorted


def test_a_constant_column_becomes_zero():
    Path("points.csv").write_text("x,y,label\n" + "".join(f"{i},7,{i % 2}\n" for i in range(20)))
    for points, _ in loaders(module()):
        assert (points[:, 1] == 0).all()
        assert points.isfinite().all()


@pytest.mark.parametrize(
    ("found", "ordered"),
    [("1 0", "0 1"), ("1 -1", "-1 1"), ("10 9", "9 10"), ("red blue", "blue red"), ("True False", "False True")],
)
def test_class_1_is_the_larger_number_or_the_later_text(found, ordered):
    write(20, labels=tuple(found.split()))
    data = module()
    assert data.encoding.labels == ordered.split()
    written = [line.split(",")[-1] for line in Path("points.csv").read_text().split()[1:]]
    assert [data.encoding.labels[each] for each in data.table.classes] == written


def test_numbers_that_are_equal_are_one_label():
    labels = Labels()
    assert [labels.code(text) for text in ("1", "0", "1.0", " 0.00", "1e0")] == [0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match=r"'2' is a third class, beside '1' and '0': .*examples/digits"):
        labels.code("2")


LINES = "".join(f"{i},{i * i},{i % 2}\n" for i in range(20))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y,label\n", "data.path=points.csv: it holds no rows"),
        ("", "data.path=points.csv: the file is empty"),
        (LINES, "data.path=points.csv: line 1: no column 'x'"),
        ("x,y,label\n" + LINES + "a,1,0\n", "line 22, column x: 'a' is no finite number"),
        ("x,y,label\n" + LINES + "1,nan,0\n", "line 22, column y: 'nan' is no finite number"),
        ("x,y,label\n" + LINES + "1,2,\n", "line 22, column label: no class, but an empty cell"),
        ("x,y,label\n" + LINES + "1,2,nan\n", "line 22, column label: 'nan' is no class"),
        ("x,y,label\n" + LINES + "1,2,2\n", "line 22, column label: '2' is a third class, beside '0' and '1'"),
        ("x,y,label\n" + LINES + "1,2\n", "line 22: 2 cells"),
        ("x,y,label\n1,2,a\n3,4,a\n", "it holds only the class 'a'"),
        ("x,y,label\n1,2,0\n3,4,1\n5,6,1\n", "1 rows of one class and 2 of the other are too few to train on both"),
    ],
)
def test_a_wrong_file_is_one_message_and_nothing_is_written(train, capfd, elsewhere, content, message):
    Path("points.csv").write_text(content)
    before = snapshot(elsewhere)
    assert train("data=csv", "data.path=points.csv", "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 2
    assert snapshot(elsewhere) == before


def test_wrong_keys_are_one_message(train, capfd, elsewhere):
    write()
    Path("directory").mkdir()
    for overrides, message in [
        ([], "data.path=???: Missing mandatory value: data.path"),
        (["data.path=nowhere.csv"], "data.path=nowhere.csv: there is no such file"),
        (["data.path=directory"], "data.path=directory: is no file"),
        (["data.path=points.csv", "data.columns=[x,x]"], "a column is named twice"),
        (["data.path=points.csv", "data.label=y"], "data.label=y: is one of data.columns"),
        (
            ["data.path=points.csv", "data.num_val=50", "data.num_test=10"],
            "beside data.num_val=50 and data.num_test=10",
        ),
        (["data.path=points.csv", "model.inputs=3"], "model.inputs=3: 2, as many as the points have coordinates"),
    ]:
        assert train("data=csv", *overrides, "hydra.run.dir=run") == 1
        assert message in capfd.readouterr().err
    assert not Path("run").exists()


def test_a_network_takes_as_many_inputs_as_there_are_columns(run, capfd):
    write(100, columns="abcd")
    directory = run("data=csv", "data.path=points.csv", "data.columns=[d,b,a]", "trainer.max_epochs=150")
    weights = checkpoint(directory)["state_dict"]
    assert weights["net.fc1.weight"].shape == (4, 3)
    assert not (directory / "decision_boundary.png").exists()
    assert evaluate.evaluate(RunDirectory(directory)).items() <= metrics(directory).items()
    capfd.readouterr()
    assert command("explain", "run", "point=3") == 0
    page = capfd.readouterr().out
    point = module(columns=["d", "b", "a"]).training[0][3]
    given = ", ".join(f"{name} = {format_number(value)}" for name, value in zip("dba", point.tolist(), strict=True))
    assert page.startswith(f"Step 0 of a 3-4-1 net on 80 points; followed is point 3, {given}, of class t = ")
    assert "Autograd, in float64 too, comes to the same" in page


def test_the_weights_are_evaluated_on_other_data_in_the_scales_of_the_run(run):
    write(100, labels=("blue", "red"))
    directory = run("data=csv", "data.path=points.csv", "trainer.max_epochs=100", "optimizer.lr=1")
    write(40, path="other.csv", labels=("blue", "red"))
    scores = evaluate.evaluate(RunDirectory(directory), ["data.path=other.csv", "data.num_test=30"])
    data = module("other.csv", num_test=30)
    rows, recorded = data.rows.test, Encoding.read(checkpoint(directory)["CsvDataModule"])
    x = (data.table.points[rows] - recorded.center) / recorded.scale
    assert recorded != data.encoding
    w1, b1, w2, b2 = (each.double().numpy() for each in checkpoint(directory)["state_dict"].values())
    decided = np.maximum(x @ w1.T + b1, 0) @ w2.T + b2 > 0
    assert scores["test/accuracy"] == pytest.approx((decided[:, 0] == data.table.classes[rows]).mean())


def test_rows_that_the_run_was_trained_on_are_not_tested_on(run):
    write(100)
    directory = RunDirectory(run("data=csv", "data.path=points.csv", "trainer.max_epochs=2"))
    for change in ("seed=1", "data.num_test=20"):
        with pytest.raises(ConfigurationError, match="the rows of the run would be divided otherwise"):
            evaluate.evaluate(directory, [change])
    write(40, path="other.csv", labels=("a", "b"))
    with pytest.raises(ConfigurationError, match=r"the classes are \['a', 'b'\], and \['0', '1'\] in the run"):
        evaluate.evaluate(directory, ["data.path=other.csv"])


def test_runs_are_trained_together(train):
    write(100)
    sweep = ["-m", "data=csv", "data.path=points.csv", "trainer.max_epochs=60", "seed=0,1,2", "data.batch_size=30"]
    assert train(*sweep, "hydra.sweep.dir=one") == 0
    together = [*sweep, "hydra.sweep.dir=together", "hydra/launcher=vectorized"]
    assert train(*together, "trainer.max_epochs=30") == 0
    assert train(*together) == 0
    for path in Path("one").glob("seed=*"):
        other = Path("together") / path.name
        assert metrics(other)["engine"] == "vectorized"
        assert metrics(other)["test/loss"] == pytest.approx(metrics(path)["test/loss"], rel=1e-5)
        assert checkpoint(other)["CsvDataModule"] == checkpoint(path)["CsvDataModule"]


@pytest.mark.parametrize("state", [None, {}, {"columns": ["x"], "center": [0.0], "scale": ["1"], "labels": ["a", "b"]}])
def test_damaged_scales_are_one_message(state):
    with pytest.raises(ConfigurationError, match="scales of the data are damaged"):
        Encoding.read(state)
