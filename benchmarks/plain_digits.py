"""``examples/digits`` as a plain PyTorch loop: the same data and network, trained, validated and logged alike."""

import argparse
import functools
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "digits"))
from digits import Digits, DigitsClassifier

parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("--epochs", type=int, default=30)
arguments = parser.parse_args()

torch.manual_seed(0)
data = Digits(batch_size=64)
model = DigitsClassifier(32, 0.2, functools.partial(torch.optim.Adam, lr=0.01))
training, validation, optimizer = data.train_dataloader(), data.val_dataloader(), model.configure_optimizers()


def forward(batch):
    pictures, digits = batch
    scores = model.net(pictures)
    return functional.cross_entropy(scores, digits), (scores.argmax(1) == digits).float().mean()


began = time.perf_counter()
step = 0
with SummaryWriter(arguments.directory) as writer:
    for _ in range(arguments.epochs):
        model.train()
        for batch in training:
            loss, accuracy = forward(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train/loss", loss.item(), step)
            writer.add_scalar("train/accuracy", accuracy.item(), step)
            step += 1
        model.eval()
        with torch.no_grad():
            loss, accuracy = forward(next(iter(validation)))
        writer.add_scalar("val/loss", loss.item(), step)
        writer.add_scalar("val/accuracy", accuracy.item(), step)
print(time.perf_counter() - began)
