"""The monitor of a sweep reads what has changed, and nothing else."""

import json
from pathlib import Path

from experiment.sweeps import monitor
from experiment.sweeps.monitor import SweepMonitor
from experiment.sweeps.results import read_row


def finish(directory: Path, loss: float) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "metrics.json").write_text(json.dumps({"status": "finished", "val/loss": loss}))


def test_complete_runs_are_not_read_again(monkeypatch):
    finish(Path("sweep/a=1"), 0.5)
    rows = [read_row({"a": "1"}, Path("sweep/a=1"))]
    monkeypatch.setattr(monitor, "read_row", None)
    with SweepMonitor(Path("sweep"), rows, num_launched=0):
        pass
    assert Path("sweep/sweep.csv").read_text() == "a,status,val/loss,directory\n1,finished,0.5,sweep/a=1\n"


def test_runs_that_end_and_runs_that_fail_meanwhile(capfd):
    finish(Path("sweep/a=1"), 0.5)
    rows = [read_row({"a": str(a)}, Path(f"sweep/a={a}")) for a in (1, 2, 3)]
    with SweepMonitor(Path("sweep"), rows, num_launched=3) as watched:
        finish(Path("sweep/a=1"), 0.25)
        finish(Path("sweep/a=2"), 0.75)
        watched.errors[Path("sweep/a=3")] = "OSError: no room"
    assert [(row.metrics["status"], row.metrics.get("val/loss")) for row in rows] == [
        ("finished", 0.25),
        ("finished", 0.75),
        ("failed", None),
    ]
    assert "a=2: finished, val/loss 0.75" in capfd.readouterr().out
    assert Path("sweep/sweep.png").exists()
