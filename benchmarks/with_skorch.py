"""The experiment in skorch, with its TensorBoard callback."""

import argparse
import time

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import TensorBoard
from torch import nn
from torch.utils.tensorboard import SummaryWriter

parser = argparse.ArgumentParser()
parser.add_argument("directory")
arguments = parser.parse_args()

np.random.seed(0)
torch.manual_seed(0)
x = np.random.rand(100, 2) * 2 - 1
y = (x[:, 0] + x[:, 1] > 0).astype(int)

net = NeuralNet(
    nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1), nn.Sigmoid()),
    nn.BCELoss,
    optimizer=torch.optim.SGD,
    lr=0.1,
    batch_size=-1,
    max_epochs=1000,
    train_split=None,
    verbose=0,
    callbacks=[TensorBoard(SummaryWriter(arguments.directory))],
)
began = time.perf_counter()
net.fit(x.astype(np.float32), y.astype(np.float32).reshape(-1, 1))
print(time.perf_counter() - began)
