"""The environment variables of schedulers and launchers that would make a run one process of several."""

import os
from collections.abc import Callable, Iterable

from experiment.configuration.errors import ConfigurationError

# Set by torchrun, Slurm, LSF and MPI for the processes that they start: the number of processes, and the rank of each.
COUNTS = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "JSM_NAMESPACE_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
PREFIXES = ("SLURM_", "LSB_", "JSM_", "TORCHELASTIC_", "MASTER_", "OMPI_", "PMI_", "PL_", "CUDA_", "XLA_", "TPU_")
TRAINER_ARGUMENT = "PL_TRAINER_"  # from which Lightning's own Trainer reads an argument, and this project's does not


def check_environment(trainer_keys: Iterable[str]) -> None:
    """Check, before Lightning is imported, that this process is the only one of its run.

    With a rank other than 0, Lightning would log nothing, without a word.

    Args:
        trainer_keys: the arguments of the trainer in the configuration.

    Raises:
        ConfigurationError: it is one of several, or an argument of the trainer is not in the configuration.
    """
    problems = [
        f"the environment variable {name}={value}: {reason}; unset it"
        for names, single, reason in (
            (COUNTS, "1", "trainer=ddp starts the processes of a run itself"),
            (RANKS, "0", "this is not the first of several processes"),
        )
        for name in names
        if (value := os.environ.get(name, single).strip()) != single
    ]
    given = {f"{TRAINER_ARGUMENT}{key}".upper() for key in trainer_keys}
    for name in sorted(os.environ):
        if name.startswith(TRAINER_ARGUMENT) and name not in given:
            key = f"trainer.{name.removeprefix(TRAINER_ARGUMENT).lower()}"
            problems.append(f"the environment variable {name} is not read: {key}={os.environ[name]} is")
    if problems:
        raise ConfigurationError.from_lines(problems)


def explain_failure(attempt: Callable[[], object]) -> str | None:
    """Return which environment variable makes an attempt fail, and why; ``None`` if it succeeds."""
    try:
        attempt()
    except Exception as error:
        names = [name for name in sorted(os.environ) if name in (*COUNTS, *RANKS) or name.startswith(PREFIXES)]
        guilty = [name for name in names if _succeeds_without(name, attempt)] or names
        variables = " or ".join(f"{name}={os.environ[name]}" for name in guilty)
        return f"the environment{f' variable {variables}' if variables else ''}: {' '.join(str(error).split())}"
    return None


def _succeeds_without(name: str, attempt: Callable[[], object]) -> bool:
    value = os.environ.pop(name)
    try:
        attempt()
    except Exception:
        return False
    else:
        return True
    finally:
        os.environ[name] = value
