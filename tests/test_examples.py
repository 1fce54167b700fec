"""The examples beside the digits: one with a schedule and accumulation, one with two optimizers."""

import ast
import itertools
import math
import re
import shlex
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch

import experiment
from tests import faults
from tests.conftest import ROOT, checkpoint, command, metrics
from tests.runs.test_run import curve


@dataclass
class Example:
    """How the tests run an example.

    Attributes:
        name: of its folder, its module and its experiment.
        objective: of its experiment.
        tiny: overrides for a run that is short and learns little; an epoch has several steps.
        horizon: the key of its horizon, with a shorter and a longer value that both end a tiny run.
        kills: the batches, counted from the start, after which the tests kill a tiny run: within an epoch.
        swept: an override that sweeps over two values.
    """

    name: str
    objective: str
    tiny: list[str]
    horizon: tuple[str, int, int]
    kills: tuple[int, int]
    swept: str

    def arguments(self, *overrides: str) -> list[str]:
        return ["--config-dir", str(ROOT / "examples" / self.name), f"experiment={self.name}", *overrides]

    def until(self, end: int) -> str:
        return f"{self.horizon[0]}={end}"


CHARACTERS = Example(
    name="characters",
    objective="val/perplexity",
    tiny=[
        *("model.hidden=8", "model.warmup=5", "data.length=16", "data.batch_size=8"),
        *("trainer.limit_train_batches=9", "trainer.limit_val_batches=2", "trainer.limit_test_batches=2"),
    ],
    horizon=("trainer.max_steps", 8, 17),
    kills=(5, 22),
    swept="optimizer.lr=0.0001,0.01",
)
GAN = Example(
    name="gan",
    objective="val/energy_distance",
    tiny=["model.hidden=8", "data.num_points=100", "data.batch_size=20", "trainer.check_val_every_n_epoch=1"],
    horizon=("trainer.max_epochs", 3, 5),
    kills=(7, 22),
    swept="model.generator_lr=0.0001,0.01",
)
each_example = pytest.mark.parametrize("example", [CHARACTERS, GAN], ids=lambda example: example.name)


@each_example
def test_its_file_knows_nothing_of_this_project_and_is_short(example):
    source = (ROOT / "examples" / example.name / f"{example.name}.py").read_text()
    assert len(source.splitlines()) < 130
    imports = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Import | ast.ImportFrom)]
    names = {each.module if isinstance(each, ast.ImportFrom) else each.names[0].name for each in imports}
    assert names
    assert not any(name.startswith("experiment") for name in names)


@each_example
def test_killed_twice_and_extended_it_equals_a_run_that_was_never_stopped(example, elsewhere, kill_after):
    start = example.arguments(*example.tiny, "checkpoint.every_n_seconds=0")
    straight, run = elsewhere / "straight", elsewhere / "run"
    _, shorter, longer = example.horizon
    assert faults.start([*start, example.until(longer)], straight) == 0
    for batch, end in zip(example.kills, (shorter, longer), strict=True):
        kill_after(batch)
        assert faults.start([*start, example.until(end)], run) == -signal.SIGKILL
        kill_after(None)
        assert faults.start([*start, example.until(end)], run) == 0
    assert len(set(faults.steps(run))) == 4  # a start, a resume, an extension, a resume: each from a later step
    assert faults.result(run) == faults.result(straight)


@each_example
@pytest.mark.draws
def test_a_sweep_is_ranked_by_its_objective(example, train, capfd):
    sweep = example.arguments(*example.tiny, example.until(example.horizon[1]), example.swept)
    assert train("-m", *sweep, "hydra.sweep.dir=sweep") == 0
    output = capfd.readouterr()
    assert output.err == ""
    key, values = example.swept.split("=")
    scores = {value: metrics(*Path("sweep").glob(f"*{key}={value}*"))[example.objective] for value in values.split(",")}
    best, other = sorted(scores, key=scores.__getitem__)
    rows = rf"^{key} +runs +{example.objective} .*\n{best} +1 +(\S+) .*\n{other} +1 +(\S+) "
    table = re.search(rows, output.out, re.MULTILINE)
    assert [*map(float, table.groups())] == pytest.approx([scores[best], scores[other]], rel=1e-3)
    assert Path("sweep/sweep.png").exists()


@each_example
def test_a_search_finds_the_best_trial(example, train, capfd):
    """In the space that its experiment brings."""
    tiny = [override for override in example.tiny if not override.startswith("model.hidden")]
    search = [*tiny, example.until(example.horizon[1]), "search=optuna", "search.trials=3"]
    assert train("-m", *example.arguments(*search), "hydra.sweep.dir=sweep") == 0
    scores = [metrics(path.parent)[example.objective] for path in Path("sweep").glob("*/metrics.json")]
    assert len(scores) == 3
    best = re.search(r"Best trial: python \S+ (.*)", capfd.readouterr().out)[1]
    assert train(*shlex.split(best), "hydra.run.dir=again") == 0
    assert metrics(Path("again"))[example.objective] == min(scores)


@pytest.fixture
def score(capfd) -> Callable[[Example], str]:
    """``python -m experiment.evaluate run``, in this process; returns what it prints."""

    def start(example: Example) -> str:
        capfd.readouterr()
        assert command("evaluate", "run", *example.arguments()[:2]) == 0
        return capfd.readouterr().out

    return start


def bigram_perplexity(text: str) -> float:
    """The perplexity of the most that can be known of a character from the one before it."""
    pairs, firsts = Counter(itertools.pairwise(text)), Counter(text[:-1])
    information = sum(count * math.log(count / firsts[first]) for (first, _), count in pairs.items())
    return math.exp(-information / pairs.total())


def test_the_character_model_learns_more_than_pairs_of_characters(run, score):
    sizes = ["model.hidden=32", "data.length=32", "data.batch_size=16", "trainer.max_steps=300"]
    directory = run(*CHARACTERS.arguments(*sizes, "trainer.limit_val_batches=50", "trainer.limit_test_batches=50"))
    content = metrics(directory)
    assert content["status"] == "finished"
    assert content["test/perplexity"] == pytest.approx(math.exp(content["test/loss"]), rel=1e-5)
    assert max(content["val/perplexity"], content["test/perplexity"]) < bigram_perplexity("\n".join(topics.values()))
    assert f"test/perplexity {content['test/perplexity']:.5g}" in score(CHARACTERS)
    rates = dict(curve(directory, "lr-AdamW"))
    assert rates == pytest.approx({s: 0.01 * min((s + 1) / 100, (100 / (s + 1)) ** 0.5) for s in range(300)}, rel=1e-5)


def test_the_character_model_writes_what_it_predicts(run):
    directory = run(*CHARACTERS.arguments(*CHARACTERS.tiny, CHARACTERS.until(8)))
    model, data = experiment.load(directory, config_dir=CHARACTERS.arguments()[1])
    characters, following = data.train[3]
    assert model.tokenizer.decode(characters[1:]) == model.tokenizer.decode(following[:-1])
    assert model.tokenizer.decode(model.tokenizer.encode("Zen, ü\n")) == "Zen, \N{REPLACEMENT CHARACTER}\n"
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 5  # so that what comes next depends on all that came before, and little on chance
    torch.manual_seed(0)
    text = model.write("The", 40)
    assert (text[:3], len(text)) == ("The", 43)
    torch.manual_seed(0)
    for end in range(3, len(text)):  # from the whole text so far, without the state that is kept between characters
        scores, _ = model(model.tokenizer.encode(text[:end])[None])
        assert text[end] == model.tokenizer.decode(torch.multinomial(scores[0, -1].softmax(0), 1))


def test_the_generator_comes_nearer_to_the_real_points(run, score):
    directory = run(*GAN.arguments("trainer.max_epochs=20", "trainer.check_val_every_n_epoch=1"))
    content = metrics(directory)
    model, data = experiment.load(directory, config_dir=GAN.arguments()[1])
    (real,) = data.test.tensors
    fake = model.generator(model.fixed_noise)
    untrained = type(model)(2, 64, 0.0, 0.0).generator(model.fixed_noise)
    assert content["test/energy_distance"] == pytest.approx(energy_distance(fake, real), rel=1e-3)
    assert content["test/energy_distance"] < energy_distance(untrained, real) / 10
    assert content["best"] == min(value for _, value in curve(directory, GAN.objective))
    assert checkpoint(directory, "best")["global_step"] == content["best_step"]
    assert f"test/energy_distance {content['test/energy_distance']:.5g}" in score(GAN)


def energy_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """Point by point, in double precision."""

    def mean_distance(a: torch.Tensor, b: torch.Tensor) -> float:
        return sum((b - point).norm(dim=1).mean().item() for point in a.double()) / len(a)

    with torch.no_grad():
        return 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
