"""Jobs are launched until each has ended, by a launcher that loses some."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from experiment.configuration.errors import ReportedError
from experiment.runs.signals import RunStopped
from experiment.sweeps.jobs import Job
from experiment.sweeps.relaunch import Launches
from experiment.sweeps.worker import WorkerInterrupted

JOBS = [Job([], {}, Path(name), OmegaConf.create()) for name in "abcdef"]


class Pool:
    """A pool of two workers: when one dies, all jobs are lost that had not ended."""

    def __init__(self, deadly: Sequence[str] = (), dies: int = 99) -> None:
        self.deadly, self.dies = deadly, dies
        self.starts: Counter[str] = Counter()
        self.launches: list[tuple[str, bool]] = []

    def launch(self, jobs: Sequence[Job], again: bool) -> list[JobReturn]:
        self.launches.append(("".join(job.directory.name for job in jobs), again))
        for pair in (jobs[start : start + 2] for start in range(0, len(jobs), 2)):
            for job in pair:
                self.start(job)
            if any(job.directory.name in self.deadly and self.starts[job.directory.name] <= self.dies for job in pair):
                raise RuntimeError("a worker died\nand more")
            for job in pair:
                end(job, "finished")
        return [JobReturn(status=JobStatus.COMPLETED) for _ in jobs]

    def start(self, job: Job) -> None:
        self.starts[job.directory.name] += 1
        (job.directory / ".hydra").mkdir(parents=True, exist_ok=True)
        (job.directory / ".hydra/config.yaml").unlink(missing_ok=True)
        (job.directory / ".hydra/config.yaml").write_text(str(self.starts))


def end(job: Job, status: str, stop_reason: str | None = None) -> None:
    job.directory.mkdir(exist_ok=True)
    (job.directory / "metrics.json").write_text(json.dumps({"status": status, "stop_reason": stop_reason}))


def test_what_was_lost_with_a_worker_is_launched_again_and_only_that(capfd):
    pool = Pool("c", dies=1)
    assert Launches(pool.launch, JOBS).run() == {}
    assert pool.launches == [("abcdef", False), ("cdef", True)]
    assert pool.starts == {"a": 1, "b": 1, "c": 2, "d": 2, "e": 1, "f": 1}
    assert capfd.readouterr().err == "Runs that were lost with a worker, and are launched again: 4\n"


def test_a_run_that_ends_its_worker_each_time_fails_and_no_other():
    pool = Pool("c")
    errors = Launches(pool.launch, JOBS).run()
    assert errors == {Path("c"): "lost with its worker, again and again: RuntimeError: a worker died"}
    assert pool.launches == [(jobs, jobs != "abcdef") for jobs in ("abcdef", "cdef", "ef", "c", "d")]


def test_a_launcher_that_starts_nothing_is_an_error():
    def launch(jobs: Sequence[Job], again: bool) -> list[JobReturn]:
        raise FileNotFoundError("sbatch")

    with pytest.raises(ReportedError, match="The launcher has started no run: FileNotFoundError: sbatch"):
        Launches(launch, JOBS).run()


def test_a_run_that_a_signal_ended_is_launched_again_and_one_that_was_stopped_is_not():
    launched = []

    def launch(jobs: Sequence[Job], again: bool) -> list[JobReturn]:
        launched.append([job.directory.name for job in jobs])
        values = {"a": WorkerInterrupted("interrupted by SIGTERM"), "b": RunStopped("pruned"), "c": ValueError("odd")}
        returns = []
        for job in jobs:
            value = None if again else values.get(job.directory.name)
            status = JobStatus.FAILED if value else JobStatus.COMPLETED
            returns.append(JobReturn(status=status, _return_value=value))
        return returns

    assert Launches(launch, JOBS).run() == {Path("c"): "ValueError: odd"}
    assert launched == [[*"abcdef"], ["a"]]


def test_a_run_that_ended_before_its_launcher_failed_is_not_launched_again():
    launched = []

    def launch(jobs: Sequence[Job], again: bool) -> list[JobReturn]:
        launched.append([job.directory.name for job in jobs])
        if again:
            return [JobReturn(status=JobStatus.COMPLETED) for _ in jobs]
        end(JOBS[0], "finished")
        end(JOBS[1], "failed")
        end(JOBS[2], "interrupted", "pruned after 10 steps")
        end(JOBS[3], "interrupted")
        raise RuntimeError("lost")

    end(JOBS[4], "failed")  # in an earlier sweep
    assert Launches(launch, JOBS).run() == {}
    assert launched == [[*"abcdef"], [*"def"]]
