"""Runs that are killed, interrupted, damaged: they come out as if nothing had happened, or say what is wrong."""

import itertools
import json
import os
import pickle
import shutil
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from experiment.runs import checkpoint_files, checkpoint_places, checkpoints
from experiment.runs.checkpoint_files import load_checkpoint, load_newest
from experiment.runs.logger import read_scalars
from experiment.runs.randomness import Randomness
from tests import faults
from tests.conftest import checkpoint, metrics, snapshot
from tests.runs.test_run import curve
from tests.runs.test_tensorboard import eventually, server


@pytest.mark.parametrize("name", faults.RUNS)
@pytest.mark.draws
def test_a_killed_run_comes_out_bit_for_bit_and_went_on_where_it_was(elsewhere, name):
    for seed in itertools.count():  # a kill can come before the first checkpoint
        if faults.survive(name, 3, elsewhere / "kills", seed).went_on:
            break


def test_these_comparisons_can_fail(elsewhere, monkeypatch):
    """Without the seed of each epoch, a run that is gone on with is another one."""
    monkeypatch.setattr(Randomness, "on_train_epoch_start", lambda *_: None)
    arguments = [*faults.RUNS["digits"], "trainer.max_epochs=12"]
    straight, stopped = elsewhere / "straight", elsewhere / "stopped"
    assert faults.start(arguments, straight) == 0
    assert faults.start([*arguments, "trainer.max_epochs=9"], stopped) == 0
    assert faults.start(arguments, stopped) == 0
    assert (
        faults.result(stopped)["scalars"]["train/loss"][:153] == faults.result(straight)["scalars"]["train/loss"][:153]
    )
    assert faults.result(stopped) != faults.result(straight)


def test_successive_checkpoints_differ_and_no_step_is_computed_again(elsewhere, monkeypatch):
    from experiment.points.classifier import PointsClassifier

    step = PointsClassifier.training_step

    def counted(self, batch, batch_idx):
        with open(elsewhere / "steps", "a") as file:
            print(self.trainer.global_step, file=file)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(PointsClassifier, "training_step", counted)
    seen = []
    for epochs in (10, 25, 60):
        assert faults.start([f"trainer.max_epochs={epochs}"], elsewhere / "run") == 0
        seen.append(checkpoint(elsewhere / "run")["state_dict"]["net.fc1.weight"])
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert [int(line) for line in (elsewhere / "steps").read_text().split()] == list(range(60))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
@pytest.mark.parametrize("batches", [[], ["data.batch_size=10", "data.num_points=100000"]])
def test_a_signal_saves_and_tells_how_to_go_on(elsewhere, kill_after, number, status, batches):
    """Within an epoch of mini-batches too."""
    directory = elsewhere / "a run"
    kill_after(9, number=number)
    assert faults.start(["trainer.max_epochs=100000", *batches], directory) == status
    content = metrics(directory)
    assert content["status"] == "interrupted"
    assert content["step"] == checkpoint(directory)["global_step"] == len(curve(directory)) == 10
    assert not batches or content["epoch"] == 0
    told = Path(f"{directory}.out").read_text()
    assert told.startswith("Interrupted. To resume: python ")
    assert "train.py trainer.max_epochs=100000 " in told
    assert f"\"hydra.run.dir='{directory}'\"" in told
    assert "Traceback" not in told
    kill_after(19, number=number)
    assert faults.start(["trainer.max_epochs=100000", *batches], directory) == status
    assert metrics(directory)["step"] == 20
    assert faults.steps(directory) == [0, 10]


def test_an_interrupted_run_can_be_gone_on_with_further(elsewhere, kill_after):
    short, longer = (["data.batch_size=5", "data.num_points=100", f"trainer.max_epochs={n}"] for n in (6, 8))
    kill_after(50, number=signal.SIGTERM)
    assert faults.start(short, elsewhere / "run") == 143
    kill_after(None)
    assert faults.start(longer, elsewhere / "run") == 0
    assert faults.steps(elsewhere / "run") == [0, 51]
    assert faults.start(longer, elsewhere / "straight") == 0
    assert faults.result(elsewhere / "run") == faults.result(elsewhere / "straight")


@pytest.mark.parametrize("module", ["OneCycle", "Fading"])
def test_a_schedule_up_to_the_end_goes_on_but_is_not_extended(elsewhere, run, train, capfd, kill_after, module):
    arguments = ["--config-dir", str(faults.ROOT / "tests/stranger"), "experiment=stranger"]
    arguments += [f"model._target_=stranger.{module}"]
    directory = run(*arguments, "trainer.max_epochs=4")
    before = snapshot(directory)
    for epochs in (8, 9):
        assert train(*arguments, f"trainer.max_epochs={epochs}", "hydra.run.dir=run") == 1
    error = capfd.readouterr().err
    assert "schedule depends on its end" in error
    assert "trainer.max_epochs: 4 there, 9 here" in error
    assert "Traceback" not in error
    assert snapshot(directory) == before
    start = [*arguments, "trainer.max_epochs=6", "checkpoint.every_n_seconds=0"]
    faults.assert_resumes_exactly(start, elsewhere, kill_after, (13, 29))


OVERFITS = ["data.num_points=20", "data.noise=0.2", "optimizer=adam", "optimizer.lr=0.05", "seed=1"]


def test_the_best_of_a_longer_run_is_not_the_end_of_a_shorter_one(run):
    """The end is scored whether or not training would: where it is the best, a longer run still has its own best."""
    common = [*OVERFITS]
    every_epoch = run(*common, "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=1", name="every epoch")
    losses = dict(read_scalars(every_epoch)["val/loss"])
    end = min(losses, key=losses.__getitem__) + 1  # it overfits from there on
    assert end % 25
    assert losses[24] < losses[49]
    common.append("trainer.check_val_every_n_epoch=25")
    straight = run(*common, "trainer.max_epochs=60", name="straight")
    directory = run(*common, f"trainer.max_epochs={end}")
    assert checkpoint(directory, "best")["global_step"] == end
    run(*common, "trainer.max_epochs=60")
    assert faults.result(directory) == faults.result(straight)


def test_the_best_state_survives_a_death_before_it_is_copied(elsewhere, monkeypatch):
    arguments = ["trainer.max_epochs=100"]
    assert faults.start(arguments, elsewhere / "straight") == 0
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "finish", lambda *_, **__: os._exit(9))
        assert faults.start(arguments, elsewhere / "run") == 9
    assert faults.start(arguments, elsewhere / "run") == 0
    assert faults.result(elsewhere / "run") == faults.result(elsewhere / "straight")
    assert checkpoint(elsewhere / "run", "best")["global_step"] == 100


def test_the_best_state_survives_a_death_between_the_two_files(elsewhere, monkeypatch):
    """One of best.ckpt and last.ckpt is in its place, the other not yet; no later state is better."""
    arguments = [*OVERFITS, "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=25"]
    assert faults.start(arguments, elsewhere / "straight") == 0
    put = checkpoint_places.replace

    def dies_after(file: Path, place: Path) -> None:
        waiting = (file.parent / "next_best.ckpt").exists()
        put(file, place)
        if waiting:
            os._exit(9)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_places, "replace", dies_after)
        assert faults.start(arguments, elsewhere / "run") == 9
    assert faults.start(arguments, elsewhere / "run") == 0
    assert faults.result(elsewhere / "run") == faults.result(elsewhere / "straight")
    assert checkpoint(elsewhere / "run", "best")["global_step"] == 25


def test_what_is_scored_at_the_end_is_the_same_by_another_process(run):
    """Killed when all is trained and nothing scored: the validation points of this module are drawn anew."""
    arguments = ["--config-dir", str(faults.ROOT / "tests/stranger"), "experiment=stranger", "trainer.max_epochs=6"]
    directory = run(*arguments)
    before = faults.result(directory)
    (directory / "metrics.json").unlink()
    assert faults.start(arguments, directory) == 0
    assert faults.steps(directory) == [0, 48]
    assert faults.result(directory) == before


def test_a_best_state_amid_batches_is_not_gone_on_from(run, train, capfd):
    arguments = ["data.batch_size=20", "data.num_points=2000", "trainer.val_check_interval=30"]
    arguments += ["trainer.check_val_every_n_epoch=1"]
    directory = run(*arguments, "trainer.max_epochs=2")
    (directory / "checkpoints/runner_up.ckpt").replace(directory / "checkpoints/best.ckpt")
    assert checkpoint(directory, "best")["global_step"] == 190
    for name in ("last", "previous"):
        (directory / f"checkpoints/{name}.ckpt").unlink(missing_ok=True)
    assert train(*arguments, "trainer.max_epochs=3", "hydra.run.dir=run") == 1
    assert "best.ckpt is damaged" in capfd.readouterr().err


def test_an_interrupted_sweep_starts_no_more_runs_and_is_taken_up(elsewhere, train, kill_after):
    """Interrupted while its second run trains."""
    sweep = ["-m", "seed=0,1,2", "trainer.max_epochs=20", "hydra.sweep.dir=sweep"]
    kill_after(9, run=2, number=signal.SIGINT)
    assert faults.wait(faults.fork(sweep, Path("out"))) == 130
    assert "train.py -m seed=0,1,2 trainer.max_epochs=20 hydra.sweep.dir=" in Path("out").read_text()
    assert metrics(Path("sweep/seed=0"))["status"] == "finished"
    assert metrics(Path("sweep/seed=1"))["status"] == "interrupted"
    assert not Path("sweep/seed=2").exists()
    before = snapshot(Path("sweep/seed=0"))
    kill_after(None)
    assert train(*sweep) == 0
    assert snapshot(Path("sweep/seed=0")) == before
    assert faults.steps(Path("sweep/seed=1")) == [0, 10]
    assert [metrics(Path(f"sweep/seed={seed}"))["step"] for seed in range(3)] == [20] * 3


@pytest.fixture
def saved(short_run) -> Path:
    return short_run / "checkpoints/last.ckpt"


def test_truncation_at_every_tenth_byte_is_seen(saved):
    assert faults.truncate(saved) > 100


def test_a_flipped_bit_is_seen_or_does_no_harm(saved):
    assert faults.flip(saved, 400) > 100


def test_an_entry_that_is_marked_as_a_folder_is_seen(saved):
    """A single bit marks it, and torch would read it as if it had no bytes."""
    whole = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        start, entries = archive.start_dir, len(archive.infolist())
    for _ in range(entries):
        name, extra, comment = (int.from_bytes(whole[start + at : start + at + 2], "little") for at in (28, 30, 32))
        marked = bytearray(whole)
        marked[start + 38] |= 0x10
        saved.write_bytes(marked)
        assert load_checkpoint(saved) is None
        start += 46 + name + extra + comment
    saved.write_bytes(whole)
    assert load_checkpoint(saved)


def test_a_damaged_checkpoint_is_passed_over_for_the_newest_whole_one(run, capfd):
    straight = run("trainer.max_epochs=50", name="straight")
    directory = run("trainer.max_epochs=30")
    last = directory / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    capfd.readouterr()
    run("trainer.max_epochs=50")
    assert "resuming from previous.ckpt, step " in capfd.readouterr().out
    assert faults.result(directory) == faults.result(straight)


def test_without_a_whole_checkpoint_nothing_starts_and_nothing_changes(run, train, capfd):
    directory = run("trainer.max_epochs=30")
    for path in (directory / "checkpoints").iterdir():
        path.write_bytes(b"")
    before = snapshot(directory)
    assert train("hydra.run.dir=run", "trainer.max_epochs=50") == 1
    error = capfd.readouterr().err
    assert "checkpoints/last.ckpt is damaged" in error
    assert "Traceback" not in error
    assert snapshot(directory) == before


class Hostile:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_checkpoint_that_carries_code_is_refused_by_name_and_not_run(short_run, train, capfd):
    last = short_run / "checkpoints/last.ckpt"
    torch.save(checkpoint(short_run) | {"hostile": Hostile()}, last)
    before = snapshot(short_run)
    assert train("hydra.run.dir=run", "trainer.max_epochs=9") == 1
    error = capfd.readouterr().err
    assert f"{last} holds more than plain data and tensors" in error.replace(f"{Path.cwd()}/", "")
    assert "Traceback" not in error
    assert snapshot(short_run) == before
    last.write_bytes(pickle.dumps(Hostile()))
    assert load_checkpoint(last) is None
    assert not Path("ran").exists()
    assert zipfile.is_zipfile(short_run / "checkpoints/previous.ckpt")
    assert load_newest(short_run / "checkpoints")[0] == short_run / "checkpoints/previous.ckpt"


@pytest.mark.parametrize(
    "text",
    [
        "model: {_target_: os.system, command: touch ran}",
        "seed: !!python/object/apply:os.system ['touch ran']",
        "{",
        "3",
    ],
)
def test_a_strangers_configuration_runs_nothing(short_run, train, capfd, text):
    (short_run / ".hydra/config.yaml").write_text(text)
    before = snapshot(short_run)
    assert train("hydra.run.dir=run", "trainer.max_epochs=9") == 1
    assert "Traceback" not in capfd.readouterr().err
    assert snapshot(short_run) == before
    assert not Path("ran").exists()


@pytest.mark.parametrize("fast", [True, False])
def test_a_live_tensorboard_shows_each_step_once_before_and_after(elsewhere, fast):
    """A run is stopped, watched, gone on with and extended, under the eyes of one server."""
    arguments = ["data.batch_size=20", "data.num_points=2000", "checkpoint.every_n_seconds=0.05"]
    directory, straight = elsewhere / "runs/run", elsewhere / "straight"
    directory.parent.mkdir()
    assert faults.start([*arguments, "trainer.max_epochs=4"], straight) == 0
    expected = curve(straight)
    assert faults.start([*arguments, "trainer.max_epochs=3"], directory, 0.2, training=True) == -signal.SIGKILL
    with server("runs", fast) as ask:

        def points() -> list[tuple[int, float]]:
            try:
                found = ask("plugin/scalars/scalars?run=run&tag=train%2Floss")
            except OSError:
                return []
            return [(step, value) for _, step, value in found]

        eventually(points, lambda found: len(found) > 0)
        assert faults.start([*arguments, "trainer.max_epochs=3"], directory) == 0
        assert eventually(points, lambda found: len(found) == 300) == expected[:300]
        assert faults.start([*arguments, "trainer.max_epochs=4"], directory) == 0
        assert eventually(points, lambda found: len(found) == 400) == expected


def test_what_is_carried_over_keeps_its_time(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def times(directory: Path) -> list[float]:
        events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
        return [event.wall_time for event in events.Scalars("train/loss")]

    directory = run("trainer.max_epochs=20")
    before = times(directory)
    run("trainer.max_epochs=30")
    assert times(directory)[:20] == before


@settings(max_examples=8, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(override=faults.wrong_overrides())
def test_wrong_input_made_from_the_schema_is_told(elsewhere, override):
    faults.assert_rejected(override, elsewhere / "wrong")


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a file system")
@pytest.mark.parametrize("kilobytes", [100])
@pytest.mark.draws
def test_a_disk_that_fills_up_is_told_and_nothing_is_lost(elsewhere, kilobytes):
    faults.fill_up(elsewhere, kilobytes)


@pytest.mark.parametrize("name", ["a b, [x]", "k=it's", "λ-ü-線", "back\\slash"])
def test_odd_directories_work_moved_and_copied_too(elsewhere, name):
    assert faults.start(["trainer.max_epochs=5"], elsewhere / name) == 0
    shutil.copytree(elsewhere / name, elsewhere / f"copy of {name}")
    (elsewhere / name).rename(elsewhere / "moved")
    (elsewhere / "link").symlink_to(elsewhere / "moved")
    for place in ("moved", f"copy of {name}", "link"):
        assert faults.start(["trainer.max_epochs=9"], elsewhere / place) == 0
        assert metrics(elsewhere / place)["epoch"] == 9
        assert len(curve(elsewhere / place)) == 9


def test_a_run_can_be_taken_up_from_another_working_directory(train, elsewhere, monkeypatch):
    assert train("hydra.run.dir=run", "trainer.max_epochs=5") == 0
    (elsewhere / "deep/er").mkdir(parents=True)
    monkeypatch.chdir(elsewhere / "deep/er")
    assert train("hydra.run.dir=../../run", "trainer.max_epochs=9") == 0
    assert metrics(elsewhere / "run")["epoch"] == 9


def test_a_directory_that_cannot_be_written_is_told(short_run, train, capfd, monkeypatch):
    before = snapshot(short_run)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert train("hydra.run.dir=run", "trainer.max_epochs=9") == 1
    assert "run cannot be written." in capfd.readouterr().err
    assert train("hydra.run.dir=run", "trainer.max_epochs=5") == 0
    assert snapshot(short_run) == before


def test_saving_takes_no_more_than_its_share(run, monkeypatch):
    """However often one asks for it: the next comes only after 25 times what the last one took."""
    save, took = checkpoint_files.AtomicCheckpointIO.save_checkpoint, []

    def slow(self, content, path, storage_options=None):
        time.sleep(0.02)
        took.append(time.monotonic())
        save(self, content, path)

    monkeypatch.setattr(checkpoint_files.AtomicCheckpointIO, "save_checkpoint", slow)
    directory = run("checkpoint.every_n_seconds=0", "trainer.max_epochs=1500", "trainer.check_val_every_n_epoch=9999")
    assert len(took) >= 3
    assert all(later - earlier > 0.5 for earlier, later in itertools.pairwise(took[:-1]))
    assert json.loads((directory / "metrics.json").read_text())["seconds"] > 0
