"""A generative adversarial network: two networks, each with an optimizer of its own."""

import math
from typing import cast

import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader, TensorDataset


def draw_ring(count: int, seed: int) -> Tensor:
    """Draw points of eight normal distributions whose centres lie on the unit circle, ``[count, 2]``."""
    generator = torch.Generator().manual_seed(seed)
    angles = torch.randint(8, (count,), generator=generator) * (math.pi / 4)
    return torch.stack([angles.cos(), angles.sin()], 1) + 0.05 * torch.randn(count, 2, generator=generator)


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the energy distance of two samples, 0 if their distributions are the same (Székely and Rizzo, 2013)."""
    return 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()


class Ring(LightningDataModule):
    """Points of eight clusters on a circle."""

    def __init__(self, num_points: int, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.train, self.val, self.test = (TensorDataset(draw_ring(num_points, seed)) for seed in range(3))

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, len(self.val))

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.test, len(self.test))


def make_network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return a network with two hidden layers."""
    layers = [nn.Linear(inputs, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))


class GAN(LightningModule):
    """A generator makes points of noise, and a discriminator tells them from real points (Goodfellow et al., 2014).

    Args:
        latent: the dimensions of the noise.
        hidden: the width of the hidden layers of both networks.
        generator_lr, discriminator_lr: the learning rates.
    """

    fixed_noise: Tensor

    def __init__(self, latent: int, hidden: int, generator_lr: float, discriminator_lr: float) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = make_network(latent, hidden, 2)
        self.discriminator = make_network(2, hidden, 1)
        self.learning_rates = generator_lr, discriminator_lr
        self.register_buffer("fixed_noise", torch.randn(1000, latent))  # so that scores can be compared

    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (real,) = batch
        generator_optimizer, discriminator_optimizer = cast(list[LightningOptimizer], self.optimizers())
        fake = self.generator(torch.randn(len(real), self.fixed_noise.shape[1], device=self.device))

        discriminator_loss = self.adversarial_loss(real, 1) + self.adversarial_loss(fake.detach(), 0)
        discriminator_optimizer.zero_grad()
        self.manual_backward(discriminator_loss)
        discriminator_optimizer.step()

        generator_loss = self.adversarial_loss(fake, 1)
        generator_optimizer.zero_grad()
        self.manual_backward(generator_loss)
        generator_optimizer.step()
        self.log_dict({"train/generator_loss": generator_loss, "train/discriminator_loss": discriminator_loss})

    def adversarial_loss(self, points: Tensor, label: float) -> Tensor:
        """Return the cross-entropy of what the discriminator guesses for points of one label: 1 is real, 0 is fake."""
        scores = self.discriminator(points)
        return binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))

    def validation_step(self, batch: list[Tensor], batch_idx: int, stage: str = "val") -> None:
        distance = energy_distance(self.generator(self.fixed_noise), batch[0])
        self.log(f"{stage}/energy_distance", distance)

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx, "test")

    def configure_optimizers(self) -> list[Optimizer]:
        networks = self.generator, self.discriminator
        return [
            Adam(network.parameters(), lr, betas=(0.5, 0.999))
            for network, lr in zip(networks, self.learning_rates, strict=True)
        ]
