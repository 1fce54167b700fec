"""Errors that are reported by their message alone, and the message of any other."""

import traceback
from collections.abc import Iterable
from typing import Self

from omegaconf.errors import InterpolationKeyError


class ReportedError(Exception):
    """An error whose message is complete: it is printed without a traceback."""

    @classmethod
    def from_lines(cls, lines: Iterable[str], headline: str = "The configuration cannot be run:") -> Self:
        """Return an error with one indented line for each problem."""
        return cls("\n  ".join([headline, *lines]))


class ConfigurationError(ReportedError):
    """A configuration that cannot be run; the message names each wrong key, its value and what is allowed."""


class CarriedError(BaseException):
    """Carries its cause past Hydra, which makes a warning of a callback's ``Exception`` and prints before a task's."""


def format_error(error: BaseException | None) -> str:
    """Return the message of an error, with its type and its place in the code where the message is not complete."""
    if error is None or isinstance(error, ReportedError):
        return str(error)
    if isinstance(error, InterpolationKeyError):
        return f"{error.full_key}: {str(error).splitlines()[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {frames[-1].filename}:{frames[-1].lineno}; HYDRA_FULL_ERROR=1 shows the traceback)" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
