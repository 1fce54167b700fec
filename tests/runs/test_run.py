"""One run: the reference's curve bit for bit, and a directory that is the run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT, checkpoint, metrics, plain_loop, snapshot

SHORT = "trainer.max_epochs=20"


def curve(directory: Path, tag: str = "train/loss") -> list[tuple[int, float]]:
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


@pytest.mark.parametrize(
    ("overrides", "reference"),
    [
        ([], {}),
        (["seed=7", SHORT], {"seed": 7, "epochs": 20}),
        (["seed=4294967295", SHORT], {"seed": 4294967295, "epochs": 20}),
        (["data.num_points=1", SHORT], {"num_points": 1, "epochs": 20}),
        (["data.num_points=3333", SHORT], {"num_points": 3333, "epochs": 20}),
        (["data.line=[-2.5,0.3,0.7]", SHORT], {"line": (-2.5, 0.3, 0.7), "epochs": 20}),
        (["data.line=[0,1,-0.5]", "seed=3", SHORT], {"line": (0, 1, -0.5), "seed": 3, "epochs": 20}),
        (["optimizer.lr=100", "trainer.max_epochs=300"], {"lr": 100, "epochs": 300}),
        (["optimizer.lr=0", SHORT], {"lr": 0, "epochs": 20}),
        (["trainer.max_epochs=1"], {"epochs": 1}),
    ],
)
def test_the_curve_and_the_weights_are_the_plain_loops(run, overrides, reference):
    directory = run(*overrides)
    losses, net = plain_loop(**reference)
    assert curve(directory) == list(enumerate(losses))
    state = checkpoint(directory)["state_dict"]
    assert all(torch.equal(state[f"net.{name}"], value) for name, value in net.state_dict().items())
    assert metrics(directory)["train/loss"] == losses[-1]


@pytest.mark.draws
def test_a_run_directory_holds_what_it_should(run):
    directory = run("trainer.max_epochs=120", "seed=1")
    names = {path.name.split(".tfevents")[0] for path in directory.rglob("*") if path.is_file()}
    assert names == {
        *("config.yaml", "hydra.yaml", "overrides.yaml", "train.log", ".lock", "provenance.json", "metrics.json"),
        *(
            "events.out",
            "last.ckpt",
            "previous.ckpt",
            "best.ckpt",
            "runner_up.ckpt",
            "loss.png",
            "decision_boundary.png",
        ),
        *("backpropagation.png", "training.png"),
    }
    content = metrics(directory)
    assert (content["status"], content["engine"]) == ("finished", "lightning")
    assert (content["epoch"], content["step"]) == (120, 120)
    assert (directory / ".hydra/overrides.yaml").read_text().split() == ["-", "trainer.max_epochs=120", "-", "seed=1"]
    provenance = json.loads((directory / "provenance.json").read_text())
    assert provenance["threads"] == torch.get_num_threads()
    assert provenance["packages"]["torch"] == torch.__version__
    assert len(provenance["starts"]) == 1
    assert "lightning.pytorch" in (directory / "train.log").read_text()
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    scores = {f"{s}/loss" for s in ("train", "val", "test")} | {f"{s}/accuracy" for s in ("val", "test")}
    views = {f"error/fc{i}" for i in (1, 2)} | {
        f"{view}/fc{i}.{kind}" for view in ("gradient", "update_ratio") for i in (1, 2) for kind in ("weight", "bias")
    }
    line = {f"test/line_{name}" for name in ("angle", "offset", "disagreement")}
    assert set(events.Tags()["scalars"]) == scores | views | line
    assert events.Tags()["images"] == ["decision_boundary"]


def test_scores_are_those_of_the_last_weights(run):
    from experiment.points import shapes as points

    directory = run("trainer.max_epochs=30", "data.num_val=70", "data.num_test=90", "seed=2")
    _, net = plain_loop(seed=2, epochs=30)
    for stage, count, stream in (("val", 70, points.VALIDATION), ("test", 90, points.TEST)):
        x, y = next(points.held_out_points("line", count, stream, seed=2, line=(1, 1, 0)))
        probability = net(torch.FloatTensor(x)).detach()
        targets = torch.FloatTensor(y.astype(int)).reshape(-1, 1)
        loss = torch.nn.functional.binary_cross_entropy(probability, targets).item()
        accuracy = ((probability > 0.5) == targets.bool()).double().mean().item()
        assert metrics(directory)[f"{stage}/loss"] == pytest.approx(loss, rel=1e-6)
        assert metrics(directory)[f"{stage}/accuracy"] == pytest.approx(accuracy, rel=1e-6)


def test_the_validation_points_are_scored_on_time_and_at_the_end(run):
    directory = run("trainer.max_epochs=25", "trainer.check_val_every_n_epoch=10")
    # Lightning counts from 0 within an epoch, and what is completed after training.
    assert [step for step, _ in curve(directory, "val/loss")] == [9, 19, 25]
    assert checkpoint(directory, "best")["global_step"] == 25


def test_the_best_checkpoint_is_not_the_last_where_the_validation_loss_rises(run):
    directory = run("optimizer.lr=30", "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=1", "seed=1")
    best = min(curve(directory, "val/loss"), key=lambda point: point[1])
    assert best[0] + 1 < 60
    assert checkpoint(directory, "best")["global_step"] == best[0] + 1
    assert checkpoint(directory, "last")["global_step"] == 60


def test_every_nth_step_is_logged_where_so_asked(run):
    directory = run(SHORT, "trainer.log_every_n_steps=7")
    losses, _ = plain_loop(epochs=20)
    assert curve(directory) == [(6, losses[6]), (13, losses[13])]
    assert metrics(directory)["train/loss"] == losses[13]


@pytest.mark.parametrize("batch", [["data.batch_size=7"], []])
def test_the_same_run_twice_is_the_same_bit_for_bit(run, batch):
    first, second = (run(SHORT, "data.noise=0.2", *batch, name=name) for name in ("one", "two"))
    assert curve(first) == curve(second)
    assert metrics(first) | {"seconds": 0} == metrics(second) | {"seconds": 0}


def test_mini_batches_see_each_point_once_an_epoch(run):
    directory = run("data.batch_size=30", "trainer.max_epochs=3")
    assert [step for step, _ in curve(directory)] == list(range(12))
    assert metrics(directory)["step"] == 12
    larger = run("data.batch_size=1000", "trainer.max_epochs=20", name="larger")
    assert [value for _, value in curve(larger)] == plain_loop(epochs=20)[0]


@pytest.mark.draws
def test_a_finished_run_is_returned_untouched(run, capfd):
    directory = run(SHORT)
    before = snapshot(directory)
    run(SHORT, "trainer.accelerator=cpu", "trainer.devices=1")
    assert snapshot(directory) == before
    assert "Nothing is left to train" in capfd.readouterr().out


@pytest.mark.draws
def test_another_configuration_is_refused_and_nothing_changes(run, train, capfd):
    directory = run(SHORT)
    before = snapshot(directory)
    assert train("hydra.run.dir=run", SHORT, "optimizer.lr=0.2", "seed=1", "+callbacks.x=null") == 1
    error = capfd.readouterr().err
    assert "optimizer.lr: 0.1 there, 0.2 here" in error
    assert "seed: 0 there, 1 here" in error
    assert "Traceback" not in error
    assert train("hydra.run.dir=run", "trainer.max_epochs=10") == 1
    assert "trainer.max_epochs=10" in capfd.readouterr().err
    assert snapshot(directory) == before


@pytest.mark.draws
def test_a_longer_run_goes_on_where_the_shorter_ended(run):
    directory = run("trainer.max_epochs=70", "optimizer=adam", "data.batch_size=40")
    steps = curve(directory)
    run("trainer.max_epochs=110", "optimizer=adam", "data.batch_size=40")
    straight = run("trainer.max_epochs=110", "optimizer=adam", "data.batch_size=40", name="straight")
    assert len(steps) == 210
    assert curve(directory) == curve(straight)
    assert curve(directory)[:210] == steps
    ours, theirs = checkpoint(directory)["state_dict"], checkpoint(straight)["state_dict"]
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(json.loads((directory / "provenance.json").read_text())["starts"]) == 2
    assert metrics(directory) | {"seconds": 0} == metrics(straight) | {"seconds": 0}


def test_two_processes_do_not_meet(run, train, capfd):
    directory = run(SHORT)
    hold = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    lock = str(directory / ".lock")
    with subprocess.Popen([sys.executable, "-c", hold, lock], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        before = snapshot(directory)
        assert train("hydra.run.dir=run", "trainer.max_epochs=30") == 1
        assert "Another process is training in run" in capfd.readouterr().err
        assert snapshot(directory) == before
    assert train("hydra.run.dir=run", "trainer.max_epochs=30") == 0


def test_starts_without_a_directory_never_share_one(train):
    for _ in range(3):
        assert train("trainer.max_epochs=1") == 0
    assert len(list(Path("outputs").glob("*/*/metrics.json"))) == 3


def test_a_trial_leaves_nothing(train, run):
    assert train("trainer.fast_dev_run=true", "hydra.run.dir=trial") == 0
    assert train("trainer.fast_dev_run=true") == 0
    assert not list(Path().iterdir())
    directory = run(SHORT)
    before = snapshot(directory)
    assert train("trainer.fast_dev_run=3", "hydra.run.dir=run") == 0
    assert snapshot(directory) == before


@pytest.mark.draws
def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(run, capfd):
    directory = run("optimizer.lr=1e37", "trainer.max_epochs=50")
    content = metrics(directory)
    assert content["status"] == "diverged"
    assert content["train/loss"] is None
    assert content["test/loss"] is None
    assert content["step"] < 50
    assert len(curve(directory)) == content["step"]
    assert "diverged" in capfd.readouterr().out
    before = snapshot(directory)
    run("optimizer.lr=1e37", "trainer.max_epochs=90")
    assert snapshot(directory) == before


@pytest.mark.draws
def test_a_loss_that_more_than_doubles_is_diverged_too_but_trains_to_the_end(run):
    directory = run("optimizer.lr=100", "trainer.max_epochs=300")
    assert metrics(directory)["step"] == 300
    losses, _ = plain_loop(lr=100, epochs=300)
    assert losses[-1] > 2 * losses[0]
    assert metrics(directory)["status"] == "diverged"


STRANGER = """
from lightning import LightningDataModule, LightningModule
import torch

class Data(LightningDataModule):
    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.randn(20, 3), batch_size=5, shuffle=True)

class Module(LightningModule):
    def __init__(self, fail_at=-1):
        super().__init__()
        self.layer, self.fail_at = torch.nn.Linear(3, 1), fail_at

    def training_step(self, batch, batch_idx):
        if self.trainer.global_step == self.fail_at:
            raise RuntimeError("out of luck")
        loss = self.layer(batch).square().mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
"""


@pytest.fixture
def stranger(elsewhere: Path) -> list[str]:
    """The arguments that run somebody's module: neither validation nor test, and nothing of this project."""
    name = f"stranger_{elsewhere.name.replace('-', '_')}"
    (elsewhere / "mine/experiment").mkdir(parents=True)
    (elsewhere / f"mine/{name}.py").write_text(STRANGER)
    (elsewhere / "mine/experiment/stranger.yaml").write_text(
        "# @package _global_\n"
        "defaults: [override /data: null, override /model: null]\n"
        f"data: {{_target_: {name}.Data}}\nmodel: {{_target_: {name}.Module}}\n"
        "trainer: {max_epochs: 3}\n"
    )
    return ["--config-dir", "mine", "experiment=stranger"]


@pytest.mark.draws
def test_a_strangers_module_gets_all_that_a_run_gets(train, stranger, capfd):
    assert train(*stranger, "hydra.run.dir=run") == 0
    content = metrics(Path("run"))
    assert (content["status"], content["epoch"], content["step"]) == ("finished", 3, 12)
    assert content["val/loss"] is content["test/loss"] is None
    assert len(curve(Path("run"))) == 12
    assert Path("run/loss.png").exists()
    before = snapshot(Path("run"))
    assert train(*stranger, "hydra.run.dir=run", "model.fail_at=2") == 1
    assert "model.fail_at: nothing there, 2 here" in capfd.readouterr().err
    assert snapshot(Path("run")) == before


def test_a_run_that_fails_says_so(train, stranger, capfd):
    assert train(*stranger, "hydra.run.dir=run", "model.fail_at=5") == 1
    error = capfd.readouterr().err
    assert "RuntimeError: out of luck (at " in error
    assert "Traceback" not in error
    content = metrics(Path("run"))
    assert content["status"] == "failed"
    assert "out of luck" in content["error"]
    assert "Traceback" in Path("run/train.log").read_text()


@pytest.mark.draws
def test_a_run_may_train_nothing(run):
    assert metrics(run("trainer.limit_train_batches=0"))["step"] == 0


def test_the_working_directory_can_be_the_runs(train, capfd):
    assert train("hydra.run.dir=.", SHORT) == 0
    assert f"tensorboard --logdir {Path.cwd()}" in capfd.readouterr().out


def test_checkpoints_of_nobodys_run_are_not_gone_on_from(run, train, capfd):
    directory = run(SHORT)
    (directory / ".hydra/config.yaml").unlink()
    before = snapshot(directory)
    assert train("hydra.run.dir=run", SHORT) == 1
    assert "whose configuration is missing" in capfd.readouterr().err
    assert snapshot(directory) == before


def test_a_module_that_keeps_objects_among_its_hyperparameters_can_go_on(train, elsewhere):
    (elsewhere / "kept/experiment").mkdir(parents=True)
    (elsewhere / "kept/keeps.py").write_text(
        STRANGER.replace("__init__(self, fail_at=-1):", "__init__(self, optimizer, fail_at=-1):").replace(
            "super().__init__()", "super().__init__(); self.save_hyperparameters()"
        )
    )
    (elsewhere / "kept/experiment/kept.yaml").write_text(
        "# @package _global_\ndefaults: [override /data: null, override /model: null]\n"
        "data: {_target_: keeps.Data}\nmodel: {_target_: keeps.Module, optimizer: '${optimizer}'}\n"
    )
    for epochs in (2, 4):
        command = ["--config-dir", "kept", "experiment=kept", "hydra.run.dir=run", f"trainer.max_epochs={epochs}"]
        assert train(*command) == 0
        assert checkpoint(Path("run"))["epoch"] == epochs


def test_a_schedule_up_to_the_end_makes_another_run_of_a_longer_one(run, train, capfd):
    own = "callbacks.own._target_=lightning.pytorch.callbacks.GradientAccumulationScheduler"
    scheduled = [own, "callbacks.own.scheduling={4:${trainer.max_epochs}}"]
    directory = run("trainer.max_epochs=6", *scheduled)
    before = snapshot(directory)
    assert train("hydra.run.dir=run", "trainer.max_epochs=9", *scheduled) == 1
    assert "callbacks.own.scheduling" in capfd.readouterr().err
    assert snapshot(directory) == before


@pytest.mark.draws
def test_callbacks_of_ones_own_take_part(run):
    directory = run(
        "callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping",
        *("callbacks.stop.monitor=train/loss", "callbacks.stop.stopping_threshold=0.6", "trainer.max_epochs=200"),
        "callbacks.stop.check_on_train_epoch_end=true",
        "callbacks.decision_boundary=null",
    )
    losses, _ = plain_loop(epochs=200)
    assert metrics(directory)["epoch"] == 1 + next(step for step, loss in enumerate(losses) if loss < 0.6)
    assert not (directory / "decision_boundary.png").exists()


def test_the_trainers_arguments_reach_the_trainer(run):
    directory = run("trainer.max_steps=5", "trainer.gradient_clip_val=0.001", "trainer.precision=64-true")
    assert metrics(directory)["step"] == 5
    assert checkpoint(directory)["state_dict"]["net.fc1.weight"].dtype == torch.float64


@pytest.mark.draws
def test_without_a_logger_there_is_a_result_all_the_same(run):
    directory = run(SHORT, "trainer.logger=false")
    assert metrics(directory)["train/loss"] == plain_loop(epochs=20)[0][-1]
    assert not list(directory.glob("events*"))


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_it_runs_on_the_accelerators_that_there_are(run, accelerator):
    assert metrics(run(SHORT, f"trainer.accelerator={accelerator}"))["status"] == "finished"


def test_the_commands_file_is_small_and_imports_nothing_heavy():
    heavy = "print({'torch', 'lightning', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    seen = f"import sys, runpy\ntry: runpy.run_path('train.py', run_name='__main__')\nfinally: {heavy}"
    for arguments in (["--help"], ["--cfg", "job"], ["optimizer.lr=fast"], ["-m", "seed=0,-1"]):
        done = subprocess.run([sys.executable, "-c", seen, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert done.stderr.splitlines()[-1] == "set()"


@pytest.mark.parametrize(("profiler", "measures"), [("null", False), ("simple", True)])
def test_a_profiler_measures_where_one_is_asked_for(run, profiler, measures):
    log = (run("trainer.max_epochs=3", f"trainer.profiler={profiler}") / "train.log").read_text()
    assert ("FIT Profiler Report" in log) == measures
    assert ("[Callback]Backprop.on_train_batch_start" in log) == measures
