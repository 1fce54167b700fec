"""Training in several processes: the same run as in one, whoever is interrupted, killed or raises an error."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch

from experiment import evaluate
from experiment.runs import processes
from experiment.runs.directory import RunDirectory
from experiment.runs.logger import read_scalars
from tests import faults
from tests.conftest import ROOT, checkpoint, command, metrics

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found under /proc")
DIGITS = ["--config-dir", str(ROOT / "examples/digits"), "experiment=digits"]
STRANGER = ["--config-dir", str(ROOT / "tests/stranger")]
SMALL_BATCHES = ["data.num_points=101", "data.batch_size=10", "trainer.max_epochs=8"]
LONG = [
    "trainer=ddp",
    "trainer.max_epochs=100000",
    "checkpoint.every_n_seconds=0.1",
    "callbacks.decision_boundary=null",
]


def weights(directory: str) -> torch.Tensor:
    state = checkpoint(Path(directory))["state_dict"]
    return torch.cat([value.flatten() for value in state.values()])


def assert_same_curves(first: str, second: str, tolerance: float) -> None:
    one, two = read_scalars(Path(first)), read_scalars(Path(second))
    assert one.keys() == two.keys()
    for tag, curve in one.items():
        assert [step for step, _ in two[tag]] == [step for step, _ in curve]
        assert [value for _, value in two[tag]] == pytest.approx([value for _, value in curve], tolerance, tolerance)


@pytest.mark.parametrize(
    ("overrides", "processes"),
    [
        (["trainer.max_epochs=60"], ["trainer=ddp"]),
        (["trainer.max_epochs=20", "data.num_points=101"], ["trainer.devices=2", "trainer.strategy=ddp_spawn"]),
        ([*SMALL_BATCHES, "optimizer=adam", "trainer.gradient_clip_val=0.1"], ["trainer.devices=2"]),
        ([*SMALL_BATCHES, "trainer.accumulate_grad_batches=3"], ["trainer=ddp"]),
    ],
)
@pytest.mark.draws
def test_the_curves_and_tags_are_those_of_one_process(run, overrides, processes):
    run(*overrides, name="one")
    run(*overrides, *processes, name="two")
    assert_same_curves("one", "two", 1e-4)
    assert torch.allclose(weights("one"), weights("two"), 1e-4, 1e-5)
    one, two = metrics(Path("one")), metrics(Path("two"))
    assert one.keys() == two.keys()
    for key, value in one.items():
        same = two[key] == (pytest.approx(value, 1e-4) if isinstance(value, float) else value)
        assert same or key == "seconds"
    assert {path.name for path in Path("two").iterdir() if "tfevents" not in path.name} == {
        path.name for path in Path("one").iterdir() if "tfevents" not in path.name
    }
    provenance = json.loads(Path("two/provenance.json").read_text())
    assert (provenance["devices"], provenance["strategy"], len(provenance["starts"])) == (2, "DDPStrategy", 1)


@pytest.mark.parametrize("strategy", ["ddp", "ddp_fork", "ddp_spawn"])
def test_a_strategy_of_several_processes_works_in_one(run, strategy):
    run("trainer.max_epochs=5", name="plain")
    run("trainer.max_epochs=5", f"trainer.strategy={strategy}", name="one")
    assert torch.equal(weights("plain"), weights("one"))
    assert_same_curves("plain", "one", 0)
    assert not torch.distributed.is_initialized()


def test_somebody_elses_project_is_scored_over_all_of_its_data(run):
    """Without a step, the weights are the same: so are the scores, though Lightning would divide the data."""
    untrained = [*DIGITS, "trainer.max_epochs=2", "optimizer.lr=0"]
    one, two = (metrics(run(*untrained, *more, name=str(len(more)))) for more in ([], ["trainer=ddp"]))
    assert (one["epoch"], two["epoch"]) == (2, 2)
    for key in ("val/loss", "val/accuracy", "test/loss", "test/accuracy"):
        assert two[key] == pytest.approx(one[key], 1e-6)
    assert two["step"] == 2 * -(-(1078 // 2) // 64)  # Lightning's sampler divides the epoch


def test_such_a_run_is_repeated_and_evaluated(run, capfd):
    directory = run(*SMALL_BATCHES, "trainer=ddp")
    scores = evaluate.evaluate(RunDirectory(directory))
    assert scores["test/loss"] == metrics(directory)["test/loss"]
    assert command("repeat", "run", "again") == 0
    assert "bit-identical" in capfd.readouterr().out


def test_a_sweep_and_a_search_are_those_of_one_process(train, capfd):
    assert train("-m", "trainer=ddp", "trainer.max_epochs=5", "seed=0,1", "hydra.sweep.dir=s") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.count("finished, train/loss") == 2
    search = ["search=optuna", "search.trials=2", "search.pruning=true", "model.hidden=[4]"]
    assert train("-m", "trainer=ddp", "trainer.max_epochs=5", *search, "hydra.sweep.dir=t") == 0
    assert {path.name for path in Path().iterdir()} == {"s", "t"}
    assert len([*Path("t").glob("*/metrics.json")]) == 2
    assert train("-m", "trainer.max_epochs=9", "trainer=ddp", "seed=0,1", "hydra.sweep.dir=s") == 0
    assert {metrics(path.parent)["step"] for path in Path("s").glob("*/metrics.json")} == {9}


def test_a_dry_run_leaves_nothing(train, elsewhere):
    assert train("trainer=ddp", "trainer.fast_dev_run=2", "hydra.run.dir=run") == 0
    assert [*elsewhere.iterdir()] == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.strategy=fsdp", "trainer.devices=2"], "trainer.strategy=fsdp"),
        (["trainer.strategy=deepspeed"], "trainer.strategy=deepspeed"),
        (["trainer=ddp", "trainer.num_nodes=2"], "trainer.num_nodes=2: training on several machines does not work"),
        (["trainer.devices=0"], "trainer.devices=0"),
    ],
)
def test_what_does_not_work_is_refused_by_name(train, capfd, elsewhere, overrides, message):
    assert train(*overrides) == 1
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert [*elsewhere.iterdir()] == []


@pytest.fixture
def start(monkeypatch) -> Callable[..., int]:
    """Start a run in a process of its own, which prints to the file ``out``; returns its id.

    As in a new process, those that train are copies of a server that it starts itself.
    """

    def fork(*overrides: str) -> int:
        server = forkserver.ForkServer()
        with monkeypatch.context() as patch:
            for name in ("ensure_running", "connect_to_new_process", "set_forkserver_preload"):
                patch.setattr(forkserver, name, getattr(server, name))
            return faults.fork([*overrides, "hydra.run.dir=run"], Path("out"))

    return fork


def children(pid: int) -> list[int]:
    return sorted(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def wait_until_training(process: int) -> list[int]:
    """Return the processes that train, in the order of their ranks, as soon as one has saved the state of a step."""
    last = Path("run/checkpoints/last.ckpt")
    while not (last.exists() and checkpoint(Path("run"))["global_step"] > 0):
        assert is_running(process), Path("out").read_text()
        time.sleep(0.05)
    return [rank for server in children(process) for rank in children(server)]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def assert_ended(pids: list[int]) -> None:
    give_up = time.monotonic() + 20
    while any(map(is_running, pids)):
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_ends_all_processes(start, number):
    process = start(*LONG)
    pids = wait_until_training(process)
    assert len(pids) == 2
    os.kill(process, number)
    assert faults.wait(process) == 128 + number
    (line,) = Path("out").read_text().splitlines()
    assert line.startswith("Interrupted. To resume: python ")
    assert_ended(pids)
    content = metrics(Path("run"))
    assert content["status"] == "interrupted"
    assert content["step"] == checkpoint(Path("run"))["global_step"] > 0


def test_ctrl_c_on_a_terminal_reaches_every_process_and_saves_once(start):
    process = start(*LONG)
    os.setpgid(process, process)
    pids = wait_until_training(process)
    assert {os.getpgid(pid) for pid in pids} == {process}
    os.killpg(process, signal.SIGINT)
    assert faults.wait(process) == 130
    assert len(Path("out").read_text().splitlines()) == 1
    assert_ended(pids)
    assert metrics(Path("run"))["step"] == checkpoint(Path("run"))["global_step"]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_others(start, monkeypatch, rank):
    monkeypatch.setattr(processes, "GRACE", 1.0)
    process = start(*LONG)
    pids = wait_until_training(process)
    os.kill(sorted(pids)[rank], signal.SIGKILL)
    assert faults.wait(process) == 1
    assert Path("out").read_text() == f"Process {rank} of 2 was killed by SIGKILL.\n"
    assert_ended(pids)
    content = metrics(Path("run"))
    assert (content["status"], content["engine"]) == ("failed", "lightning")
    assert content["step"] == checkpoint(Path("run"))["global_step"] > 0
    assert content["seconds"] > 0


def test_when_the_parent_is_killed_no_process_is_left(start):
    process = start(*LONG)
    pids = wait_until_training(process)
    os.kill(process, signal.SIGKILL)
    faults.wait(process)
    assert_ended(pids)


def test_an_error_in_the_second_process_alone_is_one_message(train, capfd, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 1.0)
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/fragile.py").write_text(
        "from experiment.points.classifier import PointsClassifier\n"
        "class Fragile(PointsClassifier):\n"
        "    def training_step(self, batch, batch_idx):\n"
        "        if self.global_rank == 1 and self.global_step == 7:\n"
        "            raise ValueError('out of luck')\n"
        "        return super().training_step(batch, batch_idx)\n"
    )
    model = ["--config-dir", "mine", "model._target_=fragile.Fragile"]
    assert train(*model, "trainer=ddp", "checkpoint.every_n_seconds=0", "hydra.run.dir=run") == 1
    _, err = capfd.readouterr()
    assert "ValueError: out of luck (at " in err
    assert len(err.splitlines()) == 1
    content = metrics(Path("run"))
    assert (content["status"], content["step"]) == ("failed", checkpoint(Path("run"))["global_step"])
    Path("mine/fragile.py").write_text(Path("mine/fragile.py").read_text().replace("== 7", "== -1"))
    sys.modules.pop("fragile")
    assert train(*model, "trainer=ddp", "checkpoint.every_n_seconds=0", "hydra.run.dir=run") == 0


def test_a_killed_run_resumes_exactly(run, start):
    """Within an epoch, in as many processes; and to float32's accuracy in another number of processes."""
    training = [
        "data.num_points=1001",
        "data.batch_size=10",
        "trainer.max_epochs=6",
        "callbacks.decision_boundary=null",
    ]
    run(*training, "trainer=ddp", name="straight")
    process = start(*training, "trainer=ddp", "checkpoint.every_n_seconds=0.02")
    pids = wait_until_training(process)
    os.kill(process, signal.SIGKILL)
    faults.wait(process)
    assert_ended(pids)
    assert checkpoint(Path("run"))["global_step"] < 246
    run(*training, "trainer=ddp", "checkpoint.every_n_seconds=0.02", name="run")
    assert_same_curves("straight", "run", 0)
    assert torch.equal(weights("straight"), weights("run"))


def test_a_run_continues_in_another_number_of_processes(run):
    run(*SMALL_BATCHES[:2], "trainer.max_epochs=9", name="one")
    for trainer, epochs in (("trainer=ddp", 3), ("trainer=default", 6), ("trainer=ddp", 9)):
        run(*SMALL_BATCHES[:2], trainer, f"trainer.max_epochs={epochs}", name="mixed")
    assert_same_curves("one", "mixed", 1e-4)
    assert torch.allclose(weights("one"), weights("mixed"), 1e-4, 1e-5)


SCRIPT = """
import experiment
from experiment.points.classifier import PointsClassifier

class Mine(PointsClassifier):
    pass

{guard}
    config = experiment.compose(["trainer=ddp", "trainer.max_epochs=3"])
    config.model._target_ = "__main__.Mine"
    experiment.run(config, "run")
"""


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        ('if __name__ == "__main__":', ""),
        ("if True:", 'starts training under if __name__ == "__main__" alone.'),
    ],
)
def test_a_script_starts_processes(guard, message):
    Path("script.py").write_text(SCRIPT.format(guard=guard))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == (message == "")
    assert message in done.stderr
    assert (metrics(Path("run"))["status"] == "finished") == (message == "")


def test_parts_that_lie_beside_the_script_are_the_users_in_every_process():
    """Although the script trains as soon as it is imported."""
    Path("parts.py").write_text((ROOT / "tests/stranger/parts.py").read_text())
    Path("script.py").write_text(
        "import experiment\n"
        "data = {'_target_': 'parts.Data', 'dataset': {'_target_': 'parts.Numbers.tens', 'transform': "
        "{'_target_': 'parts.scale', '_partial_': True, 'by': 0.1}}}\n"
        "config = experiment.compose(['trainer=ddp', 'trainer.max_epochs=1'])\n"
        "config.data, config.optimizer = data, {}\n"
        "config.model = {'_target_': 'parts.Net', 'net': {'_target_': 'parts.make_net', 'width': 2}}\n"
        "experiment.run(config, 'run')\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert metrics(Path("run"))["status"] == "finished"
