"""``train/loss``, logged from what a step returns: when and what Lightning's own ``self.log`` would log."""

from typing import Any

import pytest
import torch
from lightning import LightningModule
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from experiment.runs.loss import LossMonitor


class Recorder(Logger):
    """Keeps what it is given."""

    name = version = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.logged: list[tuple[int | None, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.logged += [(step, value) for tag, value in metrics.items() if tag == "train/loss"]

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


class Module(LightningModule):
    def __init__(self, logs: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.logs = nn.Linear(3, 1), logs

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.layer(batch).square().mean()
        if self.logs:
            self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def logged(logs: bool, *more: Any, **arguments: Any) -> list[tuple[int | None, float]]:
    recorder = Recorder()
    quiet = dict.fromkeys(("enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(
        **quiet, **arguments, accelerator="cpu", max_epochs=3, logger=recorder, callbacks=[LossMonitor(), *more]
    )
    trainer.fit(Module(logs), DataLoader(torch.rand(20, 3, generator=torch.manual_seed(1)), batch_size=4))
    return recorder.logged


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_it_is_logged_as_by_self_log_and_never_twice(every, accumulated):
    arguments = {"log_every_n_steps": every, "accumulate_grad_batches": accumulated}
    by_itself = logged(True, **arguments)
    assert len(by_itself) == 3 * -(-5 // accumulated) // every
    assert logged(False, **arguments) == by_itself


def test_a_hook_that_does_nothing_is_not_called():
    assert LossMonitor.on_after_backward is None
    assert LossMonitor.on_train_epoch_start is None
    assert callable(LossMonitor.on_train_batch_end)
    assert callable(Callback.on_after_backward)  # nothing of Lightning's is changed
    assert callable(LossMonitor.on_save_checkpoint)  # which Lightning calls without a look


def test_it_can_be_monitored():
    stopping = EarlyStopping("train/loss", patience=0, min_delta=1e9)
    assert len(logged(False, stopping, log_every_n_steps=1)) == 10
