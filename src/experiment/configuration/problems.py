"""What the configuration of each problem may be: the keys of ``data``."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, create_model
from pydantic.fields import FieldInfo

from experiment.configuration.formula import check_formula
from experiment.configuration.numbers import MAX_INPUTS, Count, Finite, Seed
from experiment.configuration.signatures import read_functions
from experiment.configuration.unions import StrictModel


def _check_direction(line: list[float]) -> list[float]:
    if not any(line[:2]):
        raise ValueError("with a = b = 0 there is no line")
    return line


# The arguments of the shapes of points/shapes.py.
Line = Annotated[
    list[Finite],
    Field(
        min_length=3,
        max_length=3,
        description="[a, b, c]: class 1 is where a·x + b·y + c > 0, class 0 elsewhere; a and b are not both 0",
    ),
    AfterValidator(_check_direction),
]
_FORMULA = Field(examples=["sin(3*x)/2"], json_schema_extra={"format": "formula"})
Curve = Annotated[
    Annotated[str, _FORMULA, AfterValidator(check_formula)] | Finite,
    Field(description="f(x): class 1 is above y = f(x), class 0 elsewhere"),
]
Spread = Annotated[float, Field(ge=0, le=1, description="the spread of the points; up to 0.5 in TensorFlow Playground")]


class PointsConfig(StrictModel):
    """Points of the plane, whatever their shape."""

    target: Literal["experiment.points.datamodule.PointsDataModule"] = Field(
        alias="_target_", description="the LightningDataModule"
    )
    num_points: Count = Field(description="training points")
    noise: float = Field(ge=0, le=1, description="the probability that a training label is flipped")
    num_val: Count = Field(description="points to validate on, never trained on, never flipped")
    num_test: Count = Field(description="points to test on, never trained on, never flipped")
    batch_size: Count | None = Field(
        description="null: every step sees all points; a number: shuffled mini-batches of that size"
    )
    seed: Seed = Field(description="the seed of the points: by default that of the run")


def _shapes() -> list[type[StrictModel]]:
    """Return a model for each shape: its keys are the arguments of its function and the keys of all shapes."""
    models: list[type[StrictModel]] = []
    for name, function in read_functions("experiment.points.shapes", "shape", globals()).items():
        _generator, _count, *own = function.arguments.items()
        fields: dict[str, Any] = {
            key: (kind, Field(description=FieldInfo.from_annotation(kind).description or "an argument of the shape"))
            for key, kind in own
        }
        fields["shape"] = (Literal[name], Field(description="the function of shapes.py that makes the points"))
        models.append(create_model(f"{name.title()}Config", __base__=PointsConfig, __doc__=function.summary, **fields))
    return models


def _check_columns(columns: list[str]) -> list[str]:
    if len({*columns}) < len(columns):
        raise ValueError("a column is named twice")
    return columns


Columns = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(min_length=1, max_length=MAX_INPUTS),
    AfterValidator(_check_columns),
]


class CsvConfig(StrictModel):
    """Points that a CSV holds, each with its class; they are scaled to [-1, 1]."""

    target: Literal["experiment.points.csv_data.CsvDataModule"] = Field(
        alias="_target_", description="the LightningDataModule"
    )
    path: str = Field(min_length=1, description="a CSV whose first line names its columns")
    columns: Columns = Field(description="the columns that hold the coordinates")
    label: str = Field(min_length=1, description="the column that holds the class: two different values, of any kind")
    num_val: Count | None = Field(description="rows to validate on, never trained on; null: a tenth of the rows")
    num_test: Count | None = Field(description="rows to test on, never trained on; null: a tenth of the rows")
    batch_size: Count | None = Field(
        description="null: every step sees all points; a number: shuffled mini-batches of that size"
    )
    seed: Seed = Field(description="decides which rows are validated and tested on: by default that of the run")


PROBLEMS = [*_shapes(), CsvConfig]
