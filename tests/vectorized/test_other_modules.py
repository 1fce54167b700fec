"""Anybody's module: its runs are trained together and equal those that are trained alone, or fall back in words."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import experiment
from experiment.configuration import own_code
from experiment.configuration.compose import without_hydra
from experiment.runs.directory import RunDirectory
from experiment.runs.logger import read_scalars
from experiment.vectorized.loaders import join_loaders
from experiment.vectorized.refusal import NotVectorizable
from experiment.vectorized.streams import Streams
from experiment.vectorized.trial import choose_batch_size
from tests.conftest import ROOT, checkpoint, metrics
from tests.vectorized.compare import assert_close, run_directories

VECTORIZED = "hydra/launcher=vectorized"
VALUES = "its step depends on values, by .item() or if"
RANDOM = "its step draws random numbers otherwise than by nn.Dropout"
ATTRIBUTE = "its step changes an attribute of the module"
OPTIMIZER = "its module configures not one plain optimizer, but several, a schedule, or none"

# Modules whose runs are trained together.
TOGETHER = {
    "others": ["Regression", "EpochMeans", "LogLikelihood", "LightningNames", "Rising", "Nameless", "Rewarded"],
    "many": [
        *("BatchNormOfBatches", "LayerNorm", "WeightNorm", "Convolution", "DropoutInPlace", "FunctionalDropout"),
        *("Frozen", "FrozenMode", "Double", "CountsSteps", "RunningInPlace", "ReturnsMore", "LossOfOneElement"),
        *("OtherNames", "NoIndex", "NoValidation", "StepAndEpoch", "AlmostTheTag", "SameName", "Groups"),
        *("ReadsCounts", "ScoresItsData", "DrawsAtTheEnd", "Recurrent", "LSTM", "LayersOfRNN"),
        "LogsParameter",
    ],
}
# Modules that are refused in the trial, and why.
REFUSED = {
    "others.TwoOptimizers": "its optimization is manual",
    "others.OwnAxes": "it logs its own axis, 'step'",
    "others.OwnWriter": "OwnWriter has on_train_epoch_end",
    "others.GatheredLosses": "GatheredLosses has on_train_epoch_end",
    "others.Plateau": OPTIMIZER,
    "others.Saves": "Saves has on_load_checkpoint",
    "others.SkipsRest": "SkipsRest has on_train_batch_start",
    "others.NoLoss": "its optimization is manual",
    "others.MadeInSetup": "MadeInSetup has setup",
    "stranger.Module": OPTIMIZER,
    "stranger.OneCycle": "its module uses self.trainer.estimated_stepping_batches",
    "many.BatchNorm": "BatchNorm1d has running statistics",
    "many.SpectralNorm": "torch.func.vmap has no rule for aten::div.out",
    "many.DropoutOfGRU": RANDOM,
    "many.PackedSequences": VALUES,
    "many.Attention": RANDOM,
    "many.AlphaDropout": RANDOM,
    "many.Dropout2d": RANDOM,
    "many.Tied": "it shares parameters, or has other state than tensors",
    "many.Compiled": "torch.compile has compiled a part of it",
    "many.RandomConstant": "their modules differ in offset",
    "many.RandomWidth": "their parameters or buffers have different names, shapes, types or modes",
    "many.TorchDropout": RANDOM,
    "many.DiscardedDropout": "its step comes to another loss where runs are computed together",
    "many.DropoutInValidation": RANDOM,
    "many.TensorNoise": RANDOM,
    "many.NumpyNoise": RANDOM,
    "many.OwnNumpyGenerator": "its step comes to another loss where runs are computed together",
    "many.Item": VALUES,
    "many.Branch": VALUES,
    "many.BranchInTest": VALUES,
    "many.Counter": ATTRIBUTE,
    "many.Outputs": ATTRIBUTE,
    "many.Running": "its step replaces a buffer, instead of changing it in place",
    "many.ReturnsNothing": "its training step returns no loss, or not one number",
    "many.Summed": "it logs val/loss with another reduce_fx than the mean",
    "many.ValidatesInSteps": "it logs val/loss after each batch of validation",
    "many.OfMetric": VALUES,
    "many.OfSilentMetric": "its step changes a tensor in place that all runs share",
    "many.OwnLog": "OwnLog has log",
    "many.Scheduled": OPTIMIZER,
    "many.ReadsData": "its module uses self.trainer.datamodule",
    "many.ReadsHorizon": "its module uses self.trainer.max_epochs",
    "many.HorizonInOptimizer": "its module uses self.trainer.max_epochs",
    "many.CatchesHorizon": "its module uses self.trainer.max_epochs",
    "many.CatchesSetting": "its module sets self.trainer.should_stop",
    "many.Complex": "its parameters are complex",
    "many.Freezes": "its step changes which parameters are trained",
    "many.StepHook": "its optimizer has hooks, or a step of its own",
    "many.ReadsRate": "its module uses self.trainer.strategy",
    "many.LogsIfItCan": "its module uses self.trainer.logger",
    "many.Stops": "its module sets self.trainer.should_stop",
    "many.OptimizerHook": "OptimizerHook has on_before_optimizer_step",
}
# Modules that do something in mid-training alone, and why they cannot be trained together from there on.
LATE = {
    "LateNoise": "a step draws random numbers otherwise than by nn.Dropout",
    "LateBranch": VALUES,
    "LateCounter": "a step changes an attribute of the module",
    "SkipsSecond": "its training step returns no loss, or not one number",
    "Sometimes": "it logs train/even in some steps only",
    "SometimesTheLoss": "it logs train/loss in some steps only",
}
CONFIG = str(ROOT / "tests/stranger")
MODEL = "model._target_=others.Regression"
COMMON = ["experiment=stranger", "trainer.max_epochs=2", "data._target_=others.Data"]
COMMON += ["trainer.check_val_every_n_epoch=1", "checkpoint.every_n_seconds=0", "trainer.enable_model_summary=false"]
BARE = [f"callbacks.{name}=null" for name in ("backprop", "graph", "play", "decision_boundary")]
COMMON += BARE

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning warns of what some of them do


def lines(captured: Any) -> Counter[str]:
    """The reasons on the terminal, with how many runs each is of."""
    assert "Traceback" not in captured.err + captured.out
    told = [line for line in captured.err.splitlines() if line.startswith("Trained one by one: ")]
    reasons: Counter[str] = Counter()
    for line in told:
        count, _, reason = line.removeprefix("Trained one by one: ").partition(" runs, since ")
        reasons[reason.removesuffix(".")] += int(count)
    return reasons


def curves(run: Path) -> dict[str, Any]:
    return {tag: [list(point) for point in points] for tag, points in read_scalars(run).items()}


def difference(run: Path, alone: Path) -> str:
    """Where a run and the same run trained alone differ."""
    if metrics(alone)["status"] == "failed":
        return "" if metrics(run)["error"] == metrics(alone)["error"] else "error"
    try:
        assert_close(metrics(run), metrics(alone), 1e-5, "metrics")
        curves, expected = (
            {tag: [list(p) for p in each] for tag, each in read_scalars(path).items()} for path in (run, alone)
        )
        assert_close(curves, expected, 1e-5, "curves")
        for name in ("last", "best"):
            assert_close(checkpoint(run, name), checkpoint(alone, name), 1e-4, name)
    except AssertionError as error:
        return " ".join(str(error).split())[:300] or "?"
    return ""


def compare(
    train: Any, capfd: Any, *arguments: str, seeds: str = "0,1", alone: str = "0,1", status: int = 0
) -> Counter[str]:
    """Train a sweep both ways, compare its runs, whose seeds are given, and return the reasons."""
    command = ["-m", "--config-dir", CONFIG, *COMMON, *arguments]
    assert train(*command, "hydra.sweep.dir=alone", f"seed={alone}") == status
    capfd.readouterr()
    assert train(*command, "hydra.sweep.dir=together", f"seed={seeds}", VECTORIZED) == status
    reasons = lines(capfd.readouterr())
    found = {run.name: difference(Path("together", run.name), run) for run in run_directories("alone")}
    assert {name: text for name, text in found.items() if text} == {}
    return reasons


def engines(sweep: str = "together") -> list[str]:
    return [metrics(run)["engine"] for run in run_directories(sweep)]


@pytest.mark.parametrize("file", TOGETHER)
def test_runs_that_are_trained_together_equal_those_that_are_trained_alone(train, capfd, file):
    targets = ",".join(f"{file}.{name}" for name in TOGETHER[file])
    assert compare(train, capfd, f"model._target_={targets}", alone="1") == Counter()
    assert {*engines()} == {"vectorized"}


def test_modules_that_are_refused_in_a_trial():
    own_code.add_directory(Path(CONFIG))
    composed = without_hydra(experiment.compose(COMMON, CONFIG))
    found = {}
    for target in REFUSED:
        configs = [composed.copy() for _ in range(2)]
        for seed, config in enumerate(configs):
            config.seed, config.model._target_ = seed, target
        with pytest.raises(NotVectorizable) as refusal:
            choose_batch_size([(RunDirectory(Path(str(config.seed))), config) for config in configs])
        found[target] = str(refusal.value)
    assert found == REFUSED


def test_what_is_seen_in_mid_training_only(train, capfd):
    targets = ",".join(f"many.{name}" for name in LATE)
    reasons = compare(train, capfd, f"model._target_={targets}", alone="1")
    assert reasons == Counter(2 * [*LATE.values()])
    assert {*engines()} == {"lightning"}


DATA = {
    "drop last": None,
    "smaller last": None,
    "batch sampler": None,
    "sampler with replacement": None,
    "dictionaries": None,
    "workers": None,
    "stream": "its data comes from several loaders, or from one without a length",
    "texts": "its batches hold other things than tensors",
    "two loaders": "its data comes from several loaders, or from one without a length",
}


def test_data_of_other_kinds(train, capfd):
    kinds = ",".join(f"'{kind}'" for kind in DATA)
    refused = ("stream", "texts", "two loaders")
    reasons = compare(train, capfd, "data._target_=many.Varied", f"+data.kind={kinds}", MODEL, alone="1")
    assert reasons == Counter(2 * [reason for reason in DATA.values() if reason])
    for run in run_directories("together"):
        is_refused = any(f"kind={kind}" in run.name for kind in refused)
        assert metrics(run)["engine"] == ("lightning" if is_refused else "vectorized")


def test_data_that_is_split_in_setup_with_the_global_stream(train, capfd):
    assert compare(train, capfd, "data._target_=many.Split", MODEL) == Counter()
    assert {*engines()} == {"vectorized"}


def test_data_of_other_sizes_in_one_group(train, capfd):
    arguments = ["data._target_=many.Varied", "+data.kind='smaller last'", "+data.share=1.0,1.05"]
    assert compare(train, capfd, *arguments, MODEL, seeds="0", alone="0") == {"their batches have different shapes": 2}


def test_arguments_of_modules_and_optimizers_are_not_mixed_up(train, capfd):
    optimizer = ["optimizer=adam", "+model.optimizer=${optimizer}", "optimizer.betas=[0.5,0.9],[0.9,0.99]"]
    arguments = ["model._target_=many.Given", "+model.dropout=0.1,0.5", *optimizer]
    assert compare(train, capfd, *arguments, seeds="0", alone="0") == Counter()
    assert {*engines()} == {"vectorized"}


def test_loaders_that_share_a_generator_are_refused():
    own, shared = ([torch.Generator() for _ in range(count)] * times for count, times in ((2, 1), (1, 2)))
    loaders = [[DataLoader(torch.ones(4), generator=each) for each in generators] for generators in (own, shared)]
    join_loaders(loaders[0], Streams([0, 1]), is_training=True)
    with pytest.raises(NotVectorizable, match="their loaders share a generator"):
        join_loaders(loaders[1], Streams([0, 1]), is_training=True)


def test_data_of_which_some_draws_random_numbers_in_setup(train, capfd):
    reasons = compare(train, capfd, "data._target_=many.NoisyInSetup", "+data.noise=0.0,0.5", MODEL)
    assert reasons == Counter(4 * ["some of them draw random numbers where the first does not"])


def test_gradients_that_no_optimizer_holds_are_not_clipped_with_the_others(train, capfd):
    assert compare(train, capfd, "model._target_=many.HeadOnly", "trainer.gradient_clip_val=0.05") == Counter()


def test_a_run_whose_loss_explodes_does_not_disturb_the_others(train, capfd):
    arguments = ["model._target_=many.Explodes", "data._target_=many.Varied", "+data.scale=1.0,3.0,0.5"]
    reasons = compare(train, capfd, *arguments, seeds="0", alone="0")
    assert reasons == {"their loss is not finite, or another process trains them": 1}
    assert sorted(engines()) == ["lightning", "vectorized", "vectorized"]


def test_a_run_that_fails_fails_alone(train, capfd):
    reasons = compare(train, capfd, MODEL, "data._target_=many.Varied", "+data.fails=0.0,1.0", alone="0,1", status=1)
    assert reasons == {"together they raise ValueError: this data is broken": 4}


def test_a_module_that_raises_in_one_run_alone(train, capfd):
    raises = ["model._target_=many.RaisesInOne", "+model.seed=${seed}"]
    assert compare(train, capfd, *raises, status=1) == {"together they raise ValueError: one run is wrong": 1}


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("digits", ["model.hidden=64", "trainer.max_epochs=1"], Counter()),
        ("gan", ["data.num_points=400", "trainer.max_epochs=1"], {"its optimization is manual": 2}),
        ("characters", ["trainer.max_steps=2", "callbacks.learning_rate=null"], {OPTIMIZER: 2}),
    ],
)
def test_examples(train, capfd, name, overrides, expected):
    command = ["-m", "--config-dir", str(ROOT / "examples" / name), f"experiment={name}", *BARE, *overrides, "seed=0,1"]
    if not expected:
        assert train(*command, "hydra.sweep.dir=alone") == 0
    capfd.readouterr()
    assert train(*command, "hydra.sweep.dir=together", VECTORIZED) == 0
    assert lines(capfd.readouterr()) == expected
    for run in run_directories("together") if not expected else ():
        assert difference(run, Path("alone", run.name)) == ""
