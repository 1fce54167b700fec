"""The names of what a run records of its steps in its TensorBoard log, for TensorBoard's plugin.

Each is a tensor of one event. A series of many is thinned by TensorBoard's server, so that each chunk of steps has a
tag of its own.
"""

import re

PLUGIN = "backpropagation"
FACTS = f"{PLUGIN}/facts"  # a JSON text: what does not change from step to step
POINTS = ("training", "validation")  # float32, [points, inputs + 1]: the inputs, then the class
STEPS = ("weights", "batches")  # of each chunk
SCALARS = re.compile(r"train/loss|val/.+|(error|gradient|update_ratio)/.+")  # of a run, that the page shows
CHUNK = re.compile(rf"{PLUGIN}/weights/(\d+)-(\d+)")


def points_tag(name: str) -> str:
    """Return the tag of the points of that name."""
    return f"{PLUGIN}/{name}"


def chunk_tag(name: str, first: int, last: int) -> str:
    """Return the tag of the weights or the batches of a chunk of steps.

    Weights are float32, ``[last - first + 2, size]``: before each step, and after the last. Batches are int32: for each
    step the number of its batches, then for each batch the number of its points, and their rows in ``training``.
    """
    return f"{PLUGIN}/{name}/{first}-{last}"
