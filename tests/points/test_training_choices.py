"""Each choice of how a net is trained, beside a plain loop that makes the same one: bit for bit."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler

import experiment
from experiment.points.datamodule import PointsDataModule
from experiment.runs.logger import read_scalars
from tests import faults
from tests.conftest import checkpoint, metrics, snapshot
from tests.runs.test_run import curve

EPOCHS = 60
SGD = partial(torch.optim.SGD, lr=0.1)


def plain_loop(
    data: PointsDataModule,
    hidden: Sequence[int] = (4,),
    optimizer: Callable[..., Any] = SGD,
    scheduler: Callable[..., Any] | None = None,
    clip: Callable[..., Any] | None = None,
    dtype: torch.dtype = torch.float32,
    mixed: bool = False,
) -> tuple[list[float], list[float], list[nn.Parameter]]:
    """Return the losses before each step, the rates of the steps, and the parameters after the last one."""
    np.random.seed(0)
    x = np.random.rand(100, 2) * 2 - 1
    inputs = torch.FloatTensor(x).to(dtype)
    targets = torch.FloatTensor((x.sum(1) > 0).astype(int)).reshape(-1, 1).to(dtype)
    unseen, classes = next(iter(data.val_dataloader()))
    torch.manual_seed(0)
    sizes = [2, *hidden, 1]
    layers = [nn.Sequential(nn.ReLU(), nn.Linear(*size)) for size in itertools.pairwise(sizes)]
    net = nn.Sequential(layers[0][1], *layers[1:]).to(dtype)
    steps = optimizer(net.parameters())
    schedule = scheduler(steps) if scheduler else None
    losses, rates = [], []
    for epoch in range(EPOCHS):
        with torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
            loss = functional.binary_cross_entropy(torch.sigmoid(net(inputs)), targets)
        losses.append(loss.item())
        rates.append(steps.param_groups[0]["lr"])
        steps.zero_grad()
        loss.backward()
        if clip:
            clip(net.parameters())
        steps.step()
        if isinstance(schedule, lr_scheduler.ReduceLROnPlateau):
            if (epoch + 1) % 5 == 0:
                with torch.no_grad():
                    schedule.step(functional.binary_cross_entropy(torch.sigmoid(net(unseen)), classes))
        elif schedule:
            schedule.step()
    return losses, rates, [*net.parameters()]


STEP = ["scheduler=step", "scheduler.step_size=7", "scheduler.gamma=0.5"]
COSINE = ["scheduler=cosine", "scheduler.eta_min=0.01"]
PLATEAU = ["scheduler=plateau", "scheduler.patience=1", "scheduler.threshold=0.2", "trainer.check_val_every_n_epoch=5"]
SCHEDULERS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "step": (STEP, {"scheduler": partial(lr_scheduler.StepLR, step_size=7, gamma=0.5)}),
    "cosine": (COSINE, {"scheduler": partial(lr_scheduler.CosineAnnealingLR, T_max=EPOCHS, eta_min=0.01)}),
    "plateau": (PLATEAU, {"scheduler": partial(lr_scheduler.ReduceLROnPlateau, patience=1, threshold=0.2)}),
    "of torch's": (
        ["scheduler={_target_:torch.optim.lr_scheduler.ExponentialLR,_partial_:true,gamma:0.95}"],
        {"scheduler": partial(lr_scheduler.ExponentialLR, gamma=0.95)},
    ),
}
CHOICES: dict[str, tuple[list[str], dict[str, Any]]] = {
    **SCHEDULERS,
    "no hidden layer": (["model.hidden=[]"], {"hidden": []}),
    "one neuron": (["model.hidden=[1]"], {"hidden": [1]}),
    "ten layers": (["model.hidden=[3,4,5,6,7,8,7,6,5,4]"], {"hidden": [3, 4, 5, 6, 7, 8, 7, 6, 5, 4]}),
    "wide": (["model.hidden=[3000]"], {"hidden": [3000]}),
    "momentum": (
        ["optimizer.momentum=0.9", "optimizer.nesterov=true", "optimizer.weight_decay=0.01"],
        {"optimizer": partial(SGD, momentum=0.9, nesterov=True, weight_decay=0.01)},
    ),
    "Adam on a schedule": (
        ["optimizer=adamw", "optimizer.lr=0.05", *STEP],
        {"optimizer": partial(torch.optim.AdamW, lr=0.05), **SCHEDULERS["step"][1]},
    ),
    "clipped by norm": (
        ["trainer.gradient_clip_val=0.05"],
        {"clip": partial(nn.utils.clip_grad_norm_, max_norm=0.05)},
    ),
    "clipped by value": (
        ["trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"],
        {"clip": partial(nn.utils.clip_grad_value_, clip_value=0.01)},
    ),
    "float64": (["trainer.precision=64-true"], {"dtype": torch.float64}),
    "bfloat16, mixed": (["trainer.precision=bf16-mixed"], {"mixed": True}),
}
MONITOR = "+callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor"


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_that_of_a_plain_loop(run, name):
    overrides, choice = CHOICES[name]
    directory = run(*overrides, MONITOR, f"trainer.max_epochs={EPOCHS}")
    losses, rates, parameters = plain_loop(experiment.load(directory)[1], **choice)
    assert curve(directory) == list(enumerate(np.float32(losses).tolist()))
    (rate_tag,) = (tag for tag in read_scalars(directory) if tag.startswith("lr-"))
    assert curve(directory, rate_tag) == list(enumerate(np.float32(rates).tolist()))
    assert (len(set(rates)) > 2) == ("scheduler" in choice)
    weights = checkpoint(directory)["state_dict"].values()
    assert all(torch.equal(*pair) for pair in zip(weights, parameters, strict=True))
    layers = {tag for tag in read_scalars(directory) if tag.startswith("error/")}
    assert layers == {f"error/fc{index + 1}" for index in range(len(parameters) // 2)}


@pytest.mark.parametrize("name", ["step", "cosine", "plateau", "early stopping"])
def test_a_choice_is_resumed_bit_for_bit(elsewhere, kill_after, name):
    overrides = ["callbacks=early_stopping", *PLATEAU] if name == "early stopping" else SCHEDULERS[name][0]
    batches = ["data.batch_size=30", "trainer.accumulate_grad_batches=3", "checkpoint.every_n_seconds=0"]
    start = [*overrides, *batches, MONITOR, "trainer.max_epochs=20"]
    faults.assert_resumes_exactly(start, elsewhere, kill_after, (22, 61))


@pytest.mark.parametrize("name", ["step", "plateau"])
def test_a_schedule_that_knows_no_end_is_extended(run, name):
    overrides, _ = SCHEDULERS[name]
    run(*overrides, "trainer.max_epochs=33")
    directory = run(*overrides, "trainer.max_epochs=60")
    assert faults.result(directory) == faults.result(run(*overrides, "trainer.max_epochs=60", name="straight"))


def test_a_schedule_up_to_the_end_is_not_extended(run, train, capfd):
    directory = run("scheduler=cosine", "trainer.max_epochs=5")
    before = snapshot(directory)
    assert train("scheduler=cosine", "trainer.max_epochs=6", "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert "schedule depends on its end" in error
    assert "scheduler.T_max: 5 there, 6 here" in error
    assert snapshot(directory) == before
    run("scheduler=cosine", "scheduler.T_max=5", "trainer.max_epochs=8")  # that end is said
    assert metrics(directory)["epoch"] == 8


def test_choices_are_swept_and_not_trained_together(train, capfd):
    names = ("none", "step", "cosine", "plateau")
    common = ["trainer.max_epochs=10", "trainer.check_val_every_n_epoch=2"]
    sweep = ["-m", f"scheduler={','.join(names)}", "seed=0", "hydra/launcher=vectorized"]
    assert train(*sweep, *common, "hydra.sweep.dir=sweep") == 0
    assert "a schedule" in capfd.readouterr().err
    for name in names[1:]:
        assert train(f"scheduler={name}", *common, f"hydra.run.dir={name}") == 0
        assert curve(Path(f"sweep/scheduler={name},seed=0,trainer.check_val_every_n_epoch=2")) == curve(Path(name))


@pytest.mark.parametrize(
    ("objective", "metric"), [("val/loss", "val/loss"), ("{metric:val/accuracy,mode:max}", "val/accuracy")]
)
@pytest.mark.draws
def test_training_ends_where_the_objective_gets_no_better(run, objective, metric):
    directory = run(
        *("callbacks=early_stopping", f"objective={objective}", "callbacks.early_stopping.patience=2"),
        *("trainer.check_val_every_n_epoch=1", "optimizer.lr=30", "trainer.max_epochs=400"),
    )
    values = [value if metric == "val/loss" else -value for _, value in curve(directory, metric)]
    best = [min(values[: index + 1]) for index in range(len(values))]
    ends = next(index for index in range(2, len(values)) if best[index] == best[index - 2])
    assert metrics(directory)["epoch"] == ends + 1 < 400
    assert metric in metrics(directory)["stop_reason"]
    assert (directory / "decision_boundary.png").exists()  # the other callbacks remain


WRONG = {
    "scheduler=cosin": "scheduler=cosin: one of cosine, none, plateau, step",
    "lr_scheduler=step": "the nearest is scheduler,",
    "scheduler=step scheduler.step_size=0": "scheduler.step_size=0: a whole number ≥ 1",
    "scheduler=step scheduler.stepsize=3": "scheduler.stepsize=3: there is no such key; the nearest is",
    "scheduler=cosine trainer.max_epochs=-1 trainer.max_steps=5": "scheduler.T_max=${trainer.max_epochs} (-1): a whole",
    "scheduler=plateau scheduler.factor=2": "scheduler: Factor should be < 1.0.",
    "scheduler=plateau trainer.limit_val_batches=0": "trainer.limit_val_batches=0: ReduceLROnPlateau needs",
    "scheduler=plateau trainer.check_val_every_n_epoch=null trainer.val_check_interval=3": "epoch=null: Reduce",
    "scheduler=step model={_target_:lightning.pytorch.demos.boring_classes.BoringModel}": "scheduler: the model is not",
    "scheduler._target_=torch.optim.SGD": "scheduler._target_=torch.optim.SGD: must be a class, a kind of LRScheduler",
}


@pytest.mark.parametrize("overrides", WRONG)
def test_a_wrong_choice_is_refused(train, capfd, overrides):
    assert train(*overrides.split(), "hydra.run.dir=run") == 1
    assert WRONG[overrides] in capfd.readouterr().err
    assert not Path("run").exists()
