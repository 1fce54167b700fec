"""How the runs of a sweep are divided among processes, and that these start while the runs are checked."""

import pytest

from experiment.sweeps.sweep import PreparingLauncher
from experiment.vectorized import shares
from hydra_plugins.experiment_vectorized_launcher import VectorizedLauncher


@pytest.mark.parametrize(
    ("runs", "given", "cores", "processes", "share"),
    [
        (256, None, 4, 1, 256),
        (257, None, 4, 4, 256),
        (4096, None, 4, 4, 1024),
        (4096, 1, 4, 1, 4096),
        (2, 2, 1, 2, 256),
    ],
)
def test_many_runs_are_divided_among_the_cores(monkeypatch, runs, given, cores, processes, share):
    monkeypatch.setattr(shares, "count_cores", lambda: cores)
    assert shares.count_processes(given, runs) == processes
    assert shares.share_of(runs, processes) == share


@pytest.mark.parametrize(("runs", "given", "starts"), [(256, None, 0), (1024, None, 1), (1024, 1, 0)])
def test_other_processes_start_early_where_there_is_a_share_for_them(monkeypatch, runs, given, starts):
    started: list[str] = []
    monkeypatch.setattr(shares, "count_cores", lambda: 2)
    monkeypatch.setattr(shares, "start_early", started.append)
    launcher = VectorizedLauncher(batch_size=None, n_jobs=16, processes=given, compile=None)
    assert isinstance(launcher, PreparingLauncher)
    launcher.prepare(runs)
    assert started == [shares.WORKERS] * starts
