"""The plain PyTorch script that everything else is compared with; it prints the seconds of its loop."""

import argparse
import time

import numpy as np
import torch
from torch import nn, optim
from torch.utils.tensorboard import SummaryWriter


class SimpleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(2, 4)
        self.fc2 = nn.Linear(4, 1)

    def forward(self, x):
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(x))))


parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("--points", type=int, default=100)
parser.add_argument("--batch", type=int, default=100)
parser.add_argument("--epochs", type=int, default=1000)
parser.add_argument("--log-every", type=int, default=1)
arguments = parser.parse_args()

np.random.seed(0)
torch.manual_seed(0)
x = np.random.rand(arguments.points, 2) * 2 - 1
y = (x[:, 0] + x[:, 1] > 0).astype(int)
inputs, targets = torch.FloatTensor(x), torch.FloatTensor(y).reshape(-1, 1)

net = SimpleNet()
criterion = nn.BCELoss()
optimizer = optim.SGD(net.parameters(), lr=0.1)
began = time.perf_counter()
step = 0
with SummaryWriter(arguments.directory) as writer:
    for _ in range(arguments.epochs):
        for start in range(0, arguments.points, arguments.batch):
            batch = slice(start, start + arguments.batch)
            loss = criterion(net(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % arguments.log_every == 0:
                writer.add_scalar("train/loss", loss.item(), step)
            step += 1
print(time.perf_counter() - began)
