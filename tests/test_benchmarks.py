"""The benchmarks: that they measure what they say, and say what has become slower. No test asserts a time."""

import inspect
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import speed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT, plain_loop


def test_the_plain_script_is_the_experiment(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["plain.py", "log", "--epochs=50"])
    runpy.run_path(str(ROOT / "benchmarks" / "plain.py"))
    events = EventAccumulator("log").Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert losses == pytest.approx(plain_loop(epochs=50)[0], abs=0)


def test_a_contender_is_measured_from_its_start_to_its_end():
    for command in (speed.theirs("plain.py", "--epochs=20"), speed.ours("trainer.max_epochs=20")):
        cost = speed.measure(command)
        assert 0 < cost.fit < cost.whole
    with pytest.raises(SystemExit, match=r"plain\.py --epochs=x failed"):
        speed.measure(speed.theirs("plain.py", "--epochs=x"))


def test_memory_is_the_contenders_own():
    """In a process that is small itself, as the benchmark is: a child's peak is at least its parent's."""
    code = """
        import sys
        from benchmarks import speed
        command = speed.theirs("plain.py", f"--points={sys.argv[1]}", "--epochs=1", "--batch=10000000")
        print(speed.measure(command).memory)
    """
    few, many = (
        int(subprocess.check_output([sys.executable, "-c", inspect.cleandoc(code), count], cwd=ROOT))
        for count in ("100", "2000000")
    )
    assert many - few > 12 * 2_000_000


def test_every_command_of_ours_is_one_that_runs(train):
    for contenders in speed.CONTESTS.values():
        for name, command in contenders.items():
            if name in ("this project", speed.FEW):
                script, *words, last = command
                assert Path(script) == ROOT / "train.py"
                assert train(*words, f"{last}run", "trainer.fast_dev_run=true") == 0


COSTS = {
    "plain PyTorch": [speed.Cost(1, 2, 10**9), speed.Cost(2, 4, 10**9), speed.Cost(4, 8, 10**9)],
    "this project": [speed.Cost(3, 4, 3 * 10**8), speed.Cost(4, 8, 3 * 10**8), speed.Cost(6, 80, 3 * 10**8)],
    "on 100 points": [speed.Cost(1, 2, 10**8)] * 3,
}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The command, with costs as above and files of its own."""

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["speed.py", *arguments])
        monkeypatch.setattr(speed, "contest", lambda contenders, rounds: COSTS)
        for name in ("RECORD", "PICTURE"):
            monkeypatch.setattr(speed, name, tmp_path / name)
        speed.main()

    return start


def test_ratios_are_medians_of_those_of_each_round(measured, capsys):
    measured("default run", "--record")
    assert json.loads(speed.RECORD.read_text()) == {
        "default run: fit": 2,
        "default run: whole": 2,
        "default run: memory": 1.67,
    }
    assert "this project                     4.000    2.00       8.00    2.00" in capsys.readouterr().out
    assert speed.PICTURE.read_bytes().startswith(b"\x89PNG")


def test_what_has_become_slower_is_said(measured, capsys):
    measured("default run", "--record")
    for recorded, slower in (({}, ""), ({"default run: fit": 1.7}, "SLOWER: default run: fit: 2.00, recorded 1.70")):
        speed.RECORD.write_text(json.dumps(json.loads(speed.RECORD.read_text()) | recorded))
        with pytest.raises(SystemExit) as stop:
            measured("default run")
        assert stop.value.code == bool(slower)
        assert (slower or "Nothing has become slower") in capsys.readouterr().out
