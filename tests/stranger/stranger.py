"""Somebody's module: a plain shuffling DataLoader with workers' transforms, dropout, noise, a schedule, epoch means."""

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset[Tensor]):
    """Points that are drawn anew, in part from NumPy's global stream, whenever they are asked for."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((3,), index / 60) + torch.randn(3) + float(np.random.rand())


class Data(LightningDataModule):
    """Shuffled mini-batches, in an order that comes from torch's global stream."""

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(Noisy(), batch_size=8, shuffle=True)

    def val_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(Noisy(), batch_size=30)


class Module(LightningModule):
    """Learns to be zero."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = self.net(batch).square().mean()
        self.log("train/loss", loss)
        self.log("train/mean", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.net(batch).square().mean())

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.8)}


class OneCycle(Module):
    """Learns at a rate that rises and falls over the whole of training."""

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.parameters())
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Fading(Module):
    """Learns at a rate that falls to nothing in the last epoch, and asks for that one only as it goes."""

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.parameters())

        def factor(epoch: int) -> float:
            return 1 - epoch / (self.trainer.max_epochs or 1)

        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor)}
