"""The kinds of numbers that keys have."""

from typing import Annotated

from pydantic import Field

FLOAT32 = 1e38  # the limit of numbers that become float32
MAX_INPUTS = 10_000  # of a network
Finite = Annotated[float, Field(ge=-FLOAT32, le=FLOAT32)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Interval = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
