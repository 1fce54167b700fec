"""Modules as other people write them; each dies after as many batches as the environment's ``DIE_AT`` says."""

import os
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.tensorboard import SummaryWriter


class Noisy(Dataset[Tensor]):
    """40 rows, with noise that is drawn anew whenever one is asked for."""

    def __init__(self, noise: float) -> None:
        self.rows = torch.rand(40, 3, generator=torch.Generator().manual_seed(3))
        self.noise = noise

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> list[Tensor]:
        return [self.rows[index] + (self.noise * torch.randn(3) if self.noise else 0)]


class Data(LightningDataModule):
    """Shuffled batches of 8 rows: five batches an epoch."""

    def __init__(
        self, workers: int = 0, persistent: bool = False, noise: float = 0.0, own_generator: bool = False
    ) -> None:
        super().__init__()
        self.noise = noise
        self.workers = {"num_workers": workers, "persistent_workers": persistent}
        self.generator = torch.Generator().manual_seed(7) if own_generator else None

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Noisy(self.noise), batch_size=8, shuffle=True, generator=self.generator, **self.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        rows = torch.rand(16, 3, generator=torch.Generator().manual_seed(4))
        return DataLoader(TensorDataset(rows), batch_size=16)

    test_dataloader = val_dataloader


class Regression(LightningModule):
    """Learns the sum of three numbers, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))

    def loss(self, batch: list[Tensor]) -> Tensor:
        return (self.net(batch[0]) - batch[0].sum(1, keepdim=True)).square().mean()

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        self.die()
        loss = self.loss(batch)
        self.log("train/loss", loss)
        return loss

    def die(self) -> None:
        if os.environ.get("DIE_AT") == str(self.trainer.fit_loop.total_batch_idx):
            os._exit(9)

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch))

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("test/loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class TwoOptimizers(Regression):
    """Steps two optimizers by hand: ``global_step`` counts both."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.die()
        for name, optimizer in zip("ab", self.optimizers(), strict=True):
            loss = self.loss(batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.log(f"train/loss_{name}", loss)

    def configure_optimizers(self) -> Any:
        first, _, last = self.net
        return [torch.optim.SGD(first.parameters(), 0.1), torch.optim.Adam(last.parameters(), 0.01)]


class OwnAxes(Regression):
    """Logs over epochs, over samples, into further files and with a writer of its own."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("step", float(self.current_epoch))
        self.log("by/epoch", loss, on_step=False, on_epoch=True)
        samples = 8 * (self.trainer.fit_loop.total_batch_idx + 1)
        self.logger.experiment.add_scalar("by/samples", loss.item(), samples)
        self.logger.experiment.add_scalars("several", {"one": loss.item(), "two": 2 * loss.item()}, samples)
        return loss


class OwnWriter(Regression):
    """Logs with a ``SummaryWriter`` of its own in the run's directory."""

    def on_train_epoch_end(self) -> None:
        with SummaryWriter(f"{self.logger.log_dir}/own") as writer:
            writer.add_scalar("epochs", self.current_epoch, 1000 - self.current_epoch)


class EpochMeans(Regression):
    """Logs its loss as means over an epoch alone."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.die()
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss


class GatheredLosses(Regression):
    """Gathers its losses over an epoch, and logs their mean when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[Tensor] = []

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.die()
        self.losses.append(self.loss(batch))
        return self.losses[-1]

    def on_train_epoch_end(self) -> None:
        self.log("train/loss", torch.stack(self.losses).mean())
        self.losses.clear()


class Plateau(Regression):
    """Lowers its rate where the validation loss stays."""

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val/loss"}}


class Saves(Regression):
    """Saves NumPy's plain data, and what ``extra`` names, in its checkpoints."""

    def __init__(self, extra: str = "", optimizer: Any = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.extra = extra

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        from datetime import date
        from pathlib import Path

        values = {"path": Path("x"), "date": date(2020, 1, 1), "objects": np.array([{}], dtype=object)}
        checkpoint["own"] = {"number": np.float32(1.5), "array": np.arange(3), "flags": {"on": np.True_}}
        if self.extra:
            checkpoint["own"]["extra"] = [values[self.extra]]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        assert checkpoint["own"]["array"].tolist() == [0, 1, 2]


class SkipsRest(Regression):
    """Skips the rest of each epoch after three batches."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if batch_idx == 3 else None


class LogLikelihood(Regression):
    """Has losses below zero, which fall from -1 to below -2."""

    def loss(self, batch: list[Tensor]) -> Tensor:
        return self.net(batch[0]).abs().mean() - 1 - min(1.5, 0.1 * self.global_step)


class LightningNames(Regression):
    """Names its scores as Lightning's own examples do."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.die()
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log_dict({"val_loss": self.loss(batch), "val_acc": 1 - self.loss(batch)})

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))


class Rising(Regression):
    """Logs a score, named ``name``, that is highest after 15 steps; the wider the network, the higher it is."""

    def __init__(self, name: str = "val/r2", width: int = 8) -> None:
        super().__init__()
        self.name = name
        self.net = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 1))

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log(self.name, 1 - (self.global_step - 15) ** 2 / 1000 - 1 / self.net[0].out_features)

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        super().test_step(batch, batch_idx)
        self.log("test/calibration", 0.25)


class Nameless(Regression):
    """Returns its loss, and logs no score of validation."""

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.loss(batch)


class Rewarded(Nameless):
    """Logs a score of validation that is no loss."""

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/reward", 1.0)


class NoLoss(TwoOptimizers):
    """Logs nothing that is a loss."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.step()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/reward", 1.0)

    test_step = validation_step


class TwoValidations(Data):
    """Validates on two sets of rows."""

    def val_dataloader(self) -> Any:
        return [super(TwoValidations, self).val_dataloader() for _ in range(2)]


class OfTwoValidations(Regression):
    """Scores both sets."""

    def validation_step(self, batch: list[Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", self.loss(batch) + dataloader_idx)


class MadeInSetup(Regression):
    """Makes its layers when it knows the stage."""

    def __init__(self) -> None:
        super().__init__()
        del self.net

    def setup(self, stage: str) -> None:
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
