"""The callback that records a run on points of the plane, so that it can be played."""

import functools

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from typing_extensions import override

from experiment.play.description import Description, describe_layers
from experiment.play.recorder import Recorder
from experiment.points.batches import Batches
from experiment.points.classifier import PointsClassifier
from experiment.points.datamodule import LabelledPoints
from experiment.points.net import SimpleNet
from experiment.points.replay import describe_update

MAX_POINTS = 10_000  # that a browser can compute all of them anew at each redraw


class PointsRecorder(Recorder):
    """Records the weights of every step of a ``PointsClassifier``, with its points; of other modules, their layers."""

    @override
    def describe(self, trainer: Trainer, module: LightningModule) -> Description:
        data, loader = getattr(trainer, "datamodule", None), trainer.train_dataloader
        if not isinstance(module, PointsClassifier):
            return super().describe(trainer, module)
        if type(module).training_step is not PointsClassifier.training_step or type(module.net) is not SimpleNet:
            return describe_layers(trainer, module, f"{type(module).__name__} computes its step in its own way.")
        if not (isinstance(data, LabelledPoints) and isinstance(loader, Batches)):
            return describe_layers(trainer, module, f"{type(data).__name__} holds no points with a class.")
        validation = data.val_dataloader()
        if (count := max(len(each.tensors[0]) for each in (loader, validation))) > MAX_POINTS:
            return describe_layers(trainer, module, f"{count} points are more than the {MAX_POINTS} that can be shown.")
        points = {"training": _join(loader), "validation": _join(validation)}
        has_batches = len(loader) > 1 or trainer.accumulate_grad_batches > 1
        facts = {**_describe_net(module), **_describe_step(trainer), **_describe_data(data, points)}
        return Description(
            facts | {"batches": has_batches},
            points,
            list(module.net.parameters()),
            functools.partial(_batch_rows, trainer) if has_batches else None,
            loader.batch_size * trainer.accumulate_grad_batches if has_batches else 0,
        )


def _batch_rows(trainer: Trainer, number: int) -> np.ndarray:
    loader = trainer.train_dataloader  # may be another one in each epoch
    assert isinstance(loader, Batches)
    return loader.rows(number)


def _describe_net(module: PointsClassifier) -> dict[str, object]:
    """Return the layers of a net, and where their weights and biases are in a vector of its parameters."""
    layers, offset = [], 0
    for name in module.net.layers:
        outputs, inputs = module.net.get_submodule(name).get_parameter("weight").shape
        bias = offset + outputs * inputs
        layers.append({"name": name, "inputs": inputs, "outputs": outputs, "weight": offset, "bias": bias})
        offset = bias + outputs
    activation = module.hparams["activation"]
    for layer in layers:
        layer["activation"] = "sigmoid" if layer is layers[-1] else activation
    model = {"kind": "mlp", "activation": activation, "loss": module.hparams["loss"], "layers": layers}
    return {"format": 1, "model": model, "size": offset}


def _describe_step(trainer: Trainer) -> dict[str, object]:
    return {
        "optimizer": describe_update(trainer.optimizers[0], clipped=bool(trainer.gradient_clip_val)),
        "accumulate": trainer.accumulate_grad_batches,
        "precision": str(trainer.precision),
        "note": None,
    }


def _describe_data(data: LabelledPoints, points: dict[str, np.ndarray]) -> dict[str, object]:
    line, boundary = data.line, data.boundary
    return {
        "inputs": [*data.inputs],
        "line": None if line is None else [float(each) for each in line],
        "given": None if boundary is None or line is not None else _split_at_nan(boundary),
        "points": {name: len(rows) for name, rows in points.items()},
    }


def _split_at_nan(boundary: np.ndarray) -> list[list[list[float]]]:
    """Return the parts of a line that NaN interrupts, each a list of points."""
    is_point = ~np.isnan(boundary).any(axis=1)
    ends = np.flatnonzero(np.diff(is_point)) + 1
    parts = zip(np.split(boundary.round(4), ends), np.split(is_point, ends), strict=True)
    return [part.tolist() for part, is_shown in parts if is_shown[0]]


def _join(loader: Batches) -> np.ndarray:
    """Return points and classes as rows, float32."""
    points, classes = (tensor.numpy() for tensor in loader.tensors)
    return np.concatenate([points, classes], axis=1, dtype=np.float32)
