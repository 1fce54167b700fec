"""The experiment in Lightning as its tutorials write it: a DataLoader, ``self.log``, and the Trainer's defaults."""

import argparse
import time

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1), nn.Sigmoid())
        self.criterion = nn.BCELoss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = self.criterion(self.net(x), y)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


parser = argparse.ArgumentParser()
parser.add_argument("directory")
arguments = parser.parse_args()

np.random.seed(0)
torch.manual_seed(0)
x = np.random.rand(100, 2) * 2 - 1
y = (x[:, 0] + x[:, 1] > 0).astype(int)
dataset = TensorDataset(torch.FloatTensor(x), torch.FloatTensor(y).reshape(-1, 1))

trainer = Trainer(max_epochs=1000, log_every_n_steps=1, logger=TensorBoardLogger(arguments.directory))
model, loader = Classifier(), DataLoader(dataset, batch_size=100)
began = time.perf_counter()
trainer.fit(model, loader)
print(f"\n{time.perf_counter() - began}")
