"""Modules and data of many kinds, as other people write them: each differs in one thing from ``Regression``."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule
from others import Data, Noisy, Regression
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, TensorDataset, random_split
from torchmetrics import MeanMetric, MeanSquaredError


class Layers(Regression):
    """Has layers of any kind between two linear ones."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), *layers, nn.Linear(8, 1))


class BatchNorm(Layers):
    def __init__(self) -> None:
        super().__init__(nn.BatchNorm1d(8))


class BatchNormOfBatches(Layers):
    def __init__(self) -> None:
        super().__init__(nn.BatchNorm1d(8, track_running_stats=False))
        self.net[0] = nn.Linear(3, 8, bias=False)  # whose gradient would be zero but for rounding


class LayerNorm(Layers):
    def __init__(self) -> None:
        super().__init__(nn.LayerNorm(8), nn.GELU())


class SpectralNorm(Layers):
    def __init__(self) -> None:
        super().__init__(nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)))


class WeightNorm(Layers):
    def __init__(self) -> None:
        super().__init__(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)))


class Convolution(Layers):
    def __init__(self) -> None:
        layers = nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 8)
        super().__init__(nn.Unflatten(1, (1, 2, 4)), *layers)


class AlphaDropout(Layers):
    def __init__(self) -> None:
        super().__init__(nn.AlphaDropout(0.3))


class Dropout2d(Layers):
    def __init__(self) -> None:
        super().__init__(nn.Unflatten(1, (2, 2, 2)), nn.Dropout2d(0.3), nn.Flatten())


class DropoutInPlace(Layers):
    def __init__(self) -> None:
        super().__init__(nn.Dropout(0.3, inplace=True))


class Attention(Layers):
    """Attends with dropout."""

    def __init__(self) -> None:
        super().__init__(nn.Unflatten(1, (2, 4)))
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True)
        self.last = nn.Linear(8, 1)

    def loss(self, batch: list[Tensor]) -> Tensor:
        hidden = self.net[1](self.net[0](batch[0]))
        mixed, _ = self.attention(hidden, hidden, hidden)
        return (self.last(mixed.flatten(1)) - 1).square().mean()


class Recurrent(Regression):
    """Reads the numbers one by one, after an embedding."""

    def __init__(self, kind: Any = nn.GRU) -> None:
        super().__init__()
        self.embedding, self.net, self.last = nn.Embedding(5, 4), kind(4, 6, batch_first=True), nn.Linear(6, 1)

    def loss(self, batch: list[Tensor]) -> Tensor:
        outputs, _ = self.net(self.embedding((batch[0].clamp(0, 0.99) * 5).long()))
        return (self.last(outputs[:, -1]) - 1).square().mean()


class LSTM(Recurrent):
    def __init__(self) -> None:
        super().__init__(nn.LSTM)


class LayersOfRNN(Recurrent):
    def __init__(self) -> None:
        super().__init__(lambda size, hidden, **given: nn.RNN(size, hidden // 2, 2, bidirectional=True, **given))


class DropoutOfGRU(Recurrent):
    def __init__(self) -> None:
        super().__init__(lambda size, hidden, **given: nn.GRU(size, hidden, 2, dropout=0.5, **given))


class PackedSequences(Recurrent):
    def loss(self, batch: list[Tensor]) -> Tensor:
        rows = self.embedding((batch[0].clamp(0, 0.99) * 5).long())
        lengths = torch.full((rows.shape[0],), 2)
        packed = nn.utils.rnn.pack_padded_sequence(rows, lengths, batch_first=True)
        outputs, _ = nn.utils.rnn.pad_packed_sequence(self.net(packed)[0], batch_first=True)
        return (self.last(outputs[:, -1]) - 1).square().mean()


class FunctionalDropout(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([functional.dropout(batch[0], 0.3, self.training)])


class TorchDropout(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([torch.dropout(batch[0], 0.3, self.training)])


class DiscardedDropout(Regression):
    """Drops out in place, and uses what it has changed."""

    def loss(self, batch: list[Tensor]) -> Tensor:
        rows = 1 * batch[0]
        functional.dropout(rows, 0.5, self.training, inplace=True)
        return super().loss([rows])


class DropoutInValidation(Regression):
    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.loss([functional.dropout(batch[0], 0.3, True)]))


class TensorNoise(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([batch[0] + 0.1 * torch.randn_like(batch[0])])


class NumpyNoise(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([batch[0] * float(np.random.rand())])


class LateNoise(Regression):
    """Draws from the second epoch on."""

    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([batch[0] * (random.random() if self.training and self.current_epoch else 1)])


class OwnNumpyGenerator(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)

    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([batch[0] * float(self.rng.random())])


class Item(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss.item())
        return loss


class Branch(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        loss = super().loss(batch)
        return loss.sqrt() if loss > 1 else loss


class LateBranch(Regression):
    """Looks at a value from the second epoch on."""

    def loss(self, batch: list[Tensor]) -> Tensor:
        loss = super().loss(batch)
        return 2 * loss if self.training and self.current_epoch and loss > 0 else loss


class BranchInTest(Regression):
    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        loss = self.loss(batch)
        self.log("test/loss", 1.0 if loss > 1e6 else loss)


class Counter(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.count += 1
        return self.loss(batch) / self.count


class LateCounter(Counter):
    """Counts from the second epoch on."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) if self.current_epoch else self.loss(batch)


class Outputs(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[str, list[Tensor]] = {"losses": []}

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.outputs["losses"].append(loss.detach())
        return loss + 0.1 * sum(self.outputs["losses"][:-1], torch.zeros(()))


class Running(Regression):
    """Keeps a running mean of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def loss(self, batch: list[Tensor]) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * batch[0].mean(0)
        return super().loss([batch[0] - self.mean])


class RunningInPlace(Running):
    def loss(self, batch: list[Tensor]) -> Tensor:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * batch[0].mean(0))
        return super(Running, self).loss([batch[0] - self.mean])


class CountsSteps(Regression):
    """Counts its steps in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(0))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.steps += 1
        return self.loss(batch) / self.steps


class RandomConstant(Regression):
    """Holds random numbers that are no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.randn(3)

    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([batch[0] + self.offset])


class RandomWidth(Regression):
    def __init__(self) -> None:
        super().__init__()
        width = int(torch.randint(4, 400, ()))
        self.net = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 1))


class StepAndEpoch(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("train/loss_scaled", 2 * loss)
        self.log("constant", 0.25)
        self.log("batch", batch_idx)
        return loss


class AlmostTheTag(Regression):
    """Logs a name that begins as that of the loss."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss_doubled", 2 * loss)
        return loss


class SameName(Regression):
    """Logs training, validation and test under one name."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("score", loss, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("score", self.loss(batch))
        self.log("val/loss", self.loss(batch))

    test_step = validation_step


class Summed(Regression):
    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch), reduce_fx="sum")


class ValidatesInSteps(Regression):
    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.loss(batch), on_step=True, on_epoch=True)


class OfMetric(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.mean = MeanMetric()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.mean(self.loss(batch))
        self.log("val/loss", self.mean)


class OfSilentMetric(Regression):
    """Updates a metric, and logs what it comes to by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.error = MeanSquaredError()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.error(self.net(batch[0])[:, 0], batch[0].sum(1)))


class Sometimes(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        if batch_idx % 2 == 0:
            self.log("train/even", loss)
        return loss


class SometimesTheLoss(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        if batch_idx % 2:
            self.log("train/loss", 2 * loss)
        return loss


class ReturnsMore(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        loss = self.loss(batch)
        return {"loss": loss, "others": [batch_idx, loss.detach()]}


class ReturnsNothing(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.loss(batch)


class SkipsSecond(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        return None if batch_idx == 1 else self.loss(batch)


class LossOfOneElement(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch).reshape(1)
        self.log("train/loss", loss)
        return loss


class OtherNames(Regression):
    """Names the index of a batch otherwise."""

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return self.loss(batch)


class NoIndex(Regression):
    def training_step(self, batch: list[Tensor]) -> Tensor:
        return self.loss(batch)


class NoValidation(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 1)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.net(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Frozen(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.net[0].requires_grad_(False)


class FrozenMode(Regression):
    """Has a part that stays in the mode of evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.net[1].eval()


class Tied(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 1))
        self.net[2].weight = self.net[0].weight


class Double(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.double()

    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss([batch[0].double()])


class Scheduled(Regression):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class Groups(Regression):
    def configure_optimizers(self) -> Any:
        first, _, last = self.net
        groups = [
            {"params": last.parameters(), "lr": 0.1},
            {"params": first.weight, "weight_decay": 0.1},
            {"params": first.bias},
        ]
        return torch.optim.AdamW(groups, lr=0.01)


class Given(Regression):
    """Takes its optimizer, and the probability of dropout."""

    def __init__(self, dropout: float = 0.2, optimizer: Callable[..., Any] = torch.optim.Adam) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="optimizer")
        self.net[1] = nn.Dropout(dropout)
        self.optimizer = optimizer

    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss(batch) * self.hparams["dropout"]

    def configure_optimizers(self) -> Any:
        return self.optimizer(self.parameters())


class ReadsCounts(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        scale = 1 + self.current_epoch + self.global_step + self.trainer.current_epoch
        return super().loss(batch) / scale


class ScoresItsData(Regression):
    def on_test_epoch_end(self) -> None:
        (rows,) = next(iter(self.trainer.datamodule.test_dataloader()))
        self.log("test/first", self.net(rows[:1]).sum())


class DrawsAtTheEnd(Regression):
    def on_test_epoch_end(self) -> None:
        self.log("test/drawn", torch.rand(1))


class ReadsData(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss(batch) * len(self.trainer.datamodule.val_dataloader())


class ReadsHorizon(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss(batch) / self.trainer.max_epochs


class HorizonInOptimizer(Regression):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.1 / self.trainer.max_epochs)


class CatchesHorizon(Regression):
    """Reads how long training lasts, and handles every error."""

    def loss(self, batch: list[Tensor]) -> Tensor:
        try:
            return super().loss(batch) * (1 + 1 / self.trainer.max_epochs)
        except Exception:
            return super().loss(batch)


class CatchesSetting(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        try:
            self.trainer.should_stop = True
        except Exception:
            return super().loss(batch) / 2
        return super().loss(batch)


class LogsParameter(Regression):
    def loss(self, batch: list[Tensor]) -> Tensor:
        if self.training:
            self.log("train/bias", self.net[-1].bias)
        return super().loss(batch)


class Complex(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1, dtype=torch.complex64))

    def loss(self, batch: list[Tensor]) -> Tensor:
        return super().loss(batch) * self.factor.abs().sum()


class Freezes(Regression):
    """Its step decides which parameters are trained."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Any:
        self.net[0].bias.requires_grad = self.current_epoch == 0
        return super().training_step(batch, batch_idx)


class StepHook(Regression):
    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        optimizer.register_step_post_hook(lambda *_: None)
        return optimizer


class HeadOnly(Regression):
    """Its optimizer holds a part of the parameters."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.net[-1].parameters(), 0.1)


class ReadsRate(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.log("rate", self.optimizers().param_groups[0]["lr"])
        return self.loss(batch)


class LogsIfItCan(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.logger is not None:
            self.logger.log_metrics({"own": 1.0}, self.global_step)
        return self.loss(batch)


class Stops(Regression):
    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        self.trainer.should_stop = self.current_epoch == 0
        return self.loss(batch)


class OptimizerHook(Regression):
    def on_before_optimizer_step(self, optimizer: Any) -> None:
        for parameter in self.parameters():
            parameter.grad.mul_(0.5)


class OwnLog(Regression):
    def log(self, name: str, value: Any, **arguments: Any) -> None:
        super().log(f"{name}", 2 * value, **arguments)


class Compiled(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.compile(nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 1)), backend="eager")


class RaisesInOne(Regression):
    """Raises an error in the run whose seed is 1."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if self.seed == 1 and self.current_epoch:
            raise ValueError("one run is wrong")
        return self.loss(batch)


class Explodes(Regression):
    """Has a loss that is not finite from the fourth step on, where the data says so."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        late = batch_idx >= 3
        return loss / torch.where(batch[0].max() > 2, torch.tensor(float(not late)), 1.0)


class NoisyInSetup(Data):
    """Draws random numbers while it is set up, if there is noise."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.noise = noise

    def setup(self, stage: str) -> None:
        self.shift = self.noise * torch.randn(3) if self.noise else torch.zeros(3)

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.rand(24, 3, generator=torch.Generator().manual_seed(3)) + self.shift), 8)


class Varied(Data):
    """Data of any kind, by name."""

    def __init__(self, kind: str = "", scale: float = 1.0, share: float = 1.0, fails: float = 0.0) -> None:
        super().__init__()
        self.kind, self.rows, self.scale = kind, int(40 * share), scale
        if fails:
            raise ValueError("this data is broken")

    def train_dataloader(self) -> Any:
        rows = self.scale * torch.rand(self.rows, 3, generator=torch.Generator().manual_seed(3))
        dataset = TensorDataset(rows)
        match self.kind:
            case "drop last":
                return DataLoader(dataset, 12, shuffle=True, drop_last=True)
            case "smaller last":
                return DataLoader(dataset, 12, shuffle=True)
            case "batch sampler":
                return DataLoader(dataset, batch_sampler=BatchSampler(RandomSampler(dataset), 12, False))
            case "sampler with replacement":
                generator = torch.Generator().manual_seed(5)
                return DataLoader(dataset, 8, sampler=RandomSampler(dataset, True, 24, generator))
            case "stream":
                return DataLoader(Stream(rows), 8)
            case "texts":
                return DataLoader([{0: row, "name": "text"} for row in rows], 8, shuffle=True)
            case "dictionaries":
                return DataLoader([{0: row} for row in rows], 8, shuffle=True)
            case "two loaders":
                return {0: DataLoader(rows, 8), 1: DataLoader(rows, 8)}
            case "workers":
                return DataLoader(Noisy(0.5), 8, shuffle=True, num_workers=1)
        return DataLoader(dataset, 8, shuffle=True)


class Stream(IterableDataset[list[Tensor]]):
    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        return iter([row] for row in self.rows)


class Split(LightningDataModule):
    """Splits its rows at random in ``setup``, with torch's own stream."""

    def setup(self, stage: str) -> None:
        rows = TensorDataset(torch.rand(60, 3, generator=torch.Generator().manual_seed(3)))
        self.parts = random_split(rows, [40, 20])

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[0], 8, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.parts[1], 20)
