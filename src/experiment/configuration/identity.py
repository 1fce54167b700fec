"""The identity of a run: which keys of two configurations must agree for both to be the same run."""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Keys in which two configurations of the same run may differ.
FREE = {
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.profiler",
}
HORIZON = "trainer.max_epochs"  # the key that a longer run of the same configuration changes
# An interpolation agrees where the key that it refers to does. One of the horizon does not: with a schedule that ends
# at the horizon, a longer run is another run.
INTERPOLATION = re.compile(r"\$\{(?!trainer\.max_epochs\})[\w.]+\}")
NOTHING = "nothing"


def differences(old: DictConfig, new: DictConfig) -> list[str]:
    """Return a line for each key that makes two configurations different runs; the horizon does not."""
    before, now = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key, NOTHING)} there, {now.get(key, NOTHING)} here"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, NOTHING) != now.get(key, NOTHING) and key != HORIZON and not _is_free(key)
    ]


def _is_free(key: str) -> bool:
    return any(f"{key}.".startswith(f"{free}.") for free in FREE)


def flatten(config: DictConfig) -> dict[str, Any]:
    """Return the resolved values by dotted key, without those that are an interpolation of another key."""

    def leaves(node: Any, value: Any, key: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for name, child in node.items():
                yield from leaves(child, value[name], f"{key}.{name}" if key else str(name))
        elif not (isinstance(node, str) and INTERPOLATION.fullmatch(node)):
            yield key, value

    return dict(leaves(OmegaConf.to_container(config), OmegaConf.to_container(config, resolve=True), ""))


def is_dry_run(config: DictConfig) -> bool:
    """Return whether a configuration asks for Lightning's ``fast_dev_run``, which leaves no files behind."""
    return bool(config.trainer.get("fast_dev_run"))
