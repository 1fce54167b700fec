"""The benchmarks: that they measure what they say, and say what has become slower. No test asserts a time."""

import inspect
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import speed, sweeps
from benchmarks.sweeps_cost import Cost, Sweep, measure
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
    with pytest.raises(SystemExit, match=r"plain\.py --epochs=x .* failed"):
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


def test_a_sweep_is_measured_with_its_files():
    cost = measure(Sweep("vectorized", 8, 2))
    assert cost.seconds > 0
    assert cost.memory > 10**8  # torch alone takes that
    assert 8 < cost.files < 20
    assert 0 < cost.size <= cost.blocks
    checks = measure(Sweep("checks", 8, 2))
    assert checks.files == 0


LINES = {"basic": (4, 1), "joblib": (10, 0.5), "vectorized": (4, 0.01), "submitit_local": (4, 3), "ray": (12, 0.6)}


def cost_by_formula(sweep: Sweep) -> Cost:
    start, run = LINES.get(sweep.launcher, (3, 0.002))
    run *= 0.1 if sweep.epochs == 2 else sweep.points / 100
    run *= 0.5 if sweep.compile else 1
    return Cost(start + run * sweep.runs, 10**8 + 4000 * sweep.runs, 50_000, 100_000, 12)


@pytest.fixture
def sweep_page(monkeypatch, tmp_path):
    """The command, with costs by that formula; it returns what it records."""
    others = {
        "headline": {sweeps.PLAIN: 0.5, sweeps.PLAIN_EVERY_10: 0.25},
        "launchers": {sweeps.TASKS: 100.0, sweeps.TASK_BYTES: 8000.0},
    }
    monkeypatch.setattr(sweeps, "measure", cost_by_formula)
    monkeypatch.setattr(sweeps, "measure_others", lambda part, *_: others.get(part, {}))

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["sweeps.py", *arguments, f"--output={tmp_path}"])
        sweeps.main()
        return json.loads((tmp_path / "sweeps.json").read_text())

    return start


def test_what_follows_from_the_costs_of_sweeps(sweep_page, tmp_path):
    summary = sweep_page()["summary"]
    rates = summary["runs per second"]
    assert rates["vectorized"] == pytest.approx(1024 / (10.24 - 0.001))
    assert (rates["plain script"], rates["basic"]) == (2, 1)
    assert summary["crossings"]["joblib is faster than basic"] == 13  # 10 + n / 2 < 4 + n
    points = summary["seconds of a run by points"]["basic"]  # of 6 runs; a start has one run of a tenth of a second
    assert points == pytest.approx({str(number): number / 100 - 0.1 / 6 for number in (100, 1000, 10_000)})
    million = {name: row["million runs"] * 3600 for name, row in summary["launchers"].items()}
    assert million["basic"] == pytest.approx(4 + 10_000)
    assert million.get("ray", 10_000) == pytest.approx(10_000)  # 100 tasks a second, however many machines
    assert (tmp_path / "sweeps.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "sweeps.md").read_text()
    assert "| vectorized | 100 | 1.0 |" in page
    assert "| 32 | 24.5 | 14.2 |" in page  # 2,048 runs whose step is replayed, and compiled
    assert "joblib is faster than basic from 13 runs on" in page
    assert "-->\n<!-- end" not in page  # no table is empty


def test_every_number_of_the_sweeps_is_positive(sweep_page):
    def numbers(tree):
        if isinstance(tree, int | float) and not isinstance(tree, bool):
            yield tree
        for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            yield from numbers(child)

    found = [*numbers(sweep_page("--quick")["summary"])]
    assert len(found) > 50
    assert all(0 < number < float("inf") for number in found)


def test_parts_of_the_sweeps_are_measured_alone(sweep_page, tmp_path, capsys):
    sweep_page("--quick", "headline")
    assert "not measured yet: " in capsys.readouterr().out
    assert not (tmp_path / "sweeps.png").exists()
    sweep_page("--quick", *(part for part in sweeps.PARTS if part != "headline"))
    assert (tmp_path / "sweeps.png").exists()
