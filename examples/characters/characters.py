"""A language model of characters, trained on Python's own help texts; another version of Python has another text."""

import string
from collections.abc import Callable, Iterator
from pydoc_data.topics import topics

import torch
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset, random_split
from torchmetrics.text import Perplexity

Batch = tuple[Tensor, Tensor]  # characters and those that follow them, [sequences, length]


class Tokenizer:
    """Numbers the printable ASCII characters; 0 stands for all others."""

    characters = "\N{REPLACEMENT CHARACTER}" + string.printable

    def encode(self, text: str) -> Tensor:
        return torch.tensor([max(0, self.characters.find(character)) for character in text])

    def decode(self, numbers: Tensor) -> str:
        return "".join(self.characters[number] for number in numbers.tolist())


class Sequences(Dataset[Batch]):
    """Consecutive sequences of a text, each with the same sequence shifted by one character."""

    def __init__(self, text: Tensor, length: int) -> None:
        self.text, self.length = text, length

    def __len__(self) -> int:
        return (len(self.text) - 1) // self.length

    def __getitem__(self, index: int) -> Batch:
        window = self.text[index * self.length : (index + 1) * self.length + 1]
        return window[:-1], window[1:]


class HelpTexts(LightningDataModule):
    """The help topics of Python in sequences: eight tenths to train, a tenth each to validate and test."""

    def __init__(self, length: int, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        sequences = Sequences(Tokenizer().encode("\n".join(topics.values())), length)
        split = random_split(sequences, [0.8, 0.1, 0.1], torch.Generator().manual_seed(0))
        self.train, self.val, self.test = split

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.test, self.batch_size)


class CharacterModel(LightningModule):
    """A GRU that predicts each next character.

    Args:
        hidden: the units of the GRU.
        dropout: the probability that one of its outputs is dropped in training.
        warmup: the steps in which the learning rate rises; from there it falls with the root of the step.
        optimizer: makes the optimizer of the parameters.
    """

    def __init__(
        self, hidden: int, dropout: float, warmup: int, optimizer: Callable[[Iterator[nn.Parameter]], Optimizer]
    ) -> None:
        super().__init__()
        self.tokenizer = Tokenizer()
        size = len(self.tokenizer.characters)
        self.embedding = nn.Embedding(size, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, size)
        self.val_perplexity, self.test_perplexity = Perplexity(), Perplexity()
        self.warmup = warmup
        self.optimizer = optimizer

    def forward(self, characters: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the scores of each next character, ``[sequences, length, size]``, and the state of the GRU."""
        outputs, state = self.gru(self.embedding(characters), state)
        return self.output(self.dropout(outputs)), state

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        characters, following = batch
        scores, _ = self(characters)
        return functional.cross_entropy(scores.transpose(1, 2), following)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.score(batch, "val", self.val_perplexity)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.score(batch, "test", self.test_perplexity)

    def score(self, batch: Batch, stage: str, perplexity: Perplexity) -> None:
        """Log the loss and the perplexity of a batch."""
        characters, following = batch
        scores, _ = self(characters)
        loss = functional.cross_entropy(scores.transpose(1, 2), following)
        perplexity.update(scores, following)
        self.log_dict({f"{stage}/loss": loss, f"{stage}/perplexity": perplexity}, batch_size=len(characters))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = self.optimizer(self.parameters())
        scheduler = LambdaLR(optimizer, lambda step: min((step + 1) / self.warmup, (self.warmup / (step + 1)) ** 0.5))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    @torch.no_grad()
    def write(self, beginning: str, length: int) -> str:
        """Return a text that begins so and goes on for ``length`` characters, each drawn by its probability."""
        characters, state = self.tokenizer.encode(beginning).to(self.device)[None], None
        text = beginning
        for _ in range(length):
            scores, state = self(characters, state)
            characters = torch.multinomial(scores[:, -1].softmax(-1), 1)
            text += self.tokenizer.decode(characters[0])
        return text
