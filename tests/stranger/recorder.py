"""Somebody's logger: a line of a file for each call. Like a service, it gives each run an id, which continues it."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger


class Experiment:
    """What the logger logs to; a service is told when a run ends."""

    def __init__(self, path: Path, run_id: str) -> None:
        self.path, self.run_id = path, run_id

    def write(self, call: str, content: Any, step: int | None = None) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([self.run_id, call, content, step]) + "\n")

    def finish(self, exit_code: int = 0) -> None:
        self.write("finish", exit_code)


class Recorder(Logger):
    """Records every call; refuses to change a value of a configuration, as MLflow does."""

    def __init__(self, path: str, run_id: str | None = None, broken: bool = False) -> None:
        if broken:
            raise ValueError("this logger is broken")
        self.path, self.run_id = Path(path), run_id
        self.made: Experiment | None = None

    @property
    def name(self) -> str:
        return "recorder"

    @property
    def version(self) -> str | None:
        return self.run_id

    @property
    def experiment(self) -> Experiment:
        if self.made is None:
            ids = {json.loads(line)[0] for line in self.path.read_text().splitlines()} if self.path.exists() else ()
            self.run_id = self.run_id or f"run-{len(ids)}"
            self.made = Experiment(self.path, self.run_id)
        return self.made

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.experiment.write("metrics", dict(metrics), step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for run_id, call, content, _ in map(json.loads, lines):
            same_run = (run_id, call) == (self.experiment.run_id, "configuration")
            if same_run and any(content[key] != params[key] for key in content.keys() & params.keys()):
                raise ValueError("a configuration is for ever\nand ever")
        self.experiment.write("configuration", dict(params))

    def finalize(self, status: str) -> None:
        self.experiment.write("finalize", status)


class Chatty:
    """A mixin of a module that logs whenever a start begins."""

    def on_train_start(self) -> None:
        self.loggers[-1].log_metrics({"starts": 1.0}, 0)
