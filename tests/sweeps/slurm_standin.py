#!/usr/bin/env python3
"""Stands for Slurm's commands, under their names: jobs run at once, here, and again when they are requeued."""

import os
import re
import subprocess
import sys
from pathlib import Path

STATE = Path(os.environ.get("SLURM_STANDIN", ""))


def sbatch(script: str) -> None:
    """Start the jobs of an array, each in a process that outlives this one."""
    text = Path(script).read_text()
    Path(STATE, "script").write_text(text)
    print("Submitted batch job 7", flush=True)
    for index in range(int(re.search(r"--array=0-(\d+)", text)[1]) + 1):
        if os.fork() == 0:
            os.setsid()
            os.dup2(os.open(STATE / f"{index}.out", os.O_CREAT | os.O_WRONLY), 1)
            os.dup2(1, 2)
            run(script, index)
            os._exit(0)


def run(script: str, index: int) -> None:
    name = f"7_{index}"
    numbers = {"JOB_ID": name, "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": str(index), "JOB_NAME": "train"}
    numbers |= {"NTASKS": "1", "JOB_NUM_NODES": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    environment = os.environ | {f"SLURM_{key}": value for key, value in numbers.items()}
    requeued = STATE / f"{name}.requeued"
    while True:
        subprocess.run(["bash", script], env=environment)
        if not requeued.exists():
            return
        requeued.rename(STATE / f"{name}.was_requeued")


def srun(*arguments: str) -> None:
    """Run a command; the options before it say where its output goes."""
    command = [*arguments]
    while command[0].startswith("-"):
        command = command[1 if "=" in command[0] or command[0] == "--unbuffered" else 2 :]
    os.execvp(command[0], command)


def scontrol(verb: str, job: str) -> None:
    assert verb == "requeue"
    Path(STATE, f"{job}.requeued").touch()


def sacct(*_: str) -> None:
    """Know of no job: whoever waits looks for its result."""


if __name__ == "__main__":
    globals()[Path(sys.argv[0]).name](*sys.argv[1:])
