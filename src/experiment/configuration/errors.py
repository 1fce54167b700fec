"""The errors whose message is all that a user sees of them."""

from collections.abc import Iterable
from typing import Self


class ReportedError(Exception):
    """An error whose message says all that its reader needs."""

    @classmethod
    def from_lines(cls, lines: Iterable[str], headline: str = "The configuration cannot be run:") -> Self:
        """Return the error that says each of the lines."""
        return cls("\n  ".join([headline, *lines]))


class ConfigurationError(ReportedError):
    """A configuration that cannot be run; the message names each key that is wrong, its value and what is allowed."""
