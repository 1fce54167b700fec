"""The identity of a run: which keys of two configurations must agree for both to be the same run."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig

from experiment.configuration.plain import raw_data, resolved_data

# Keys in which two configurations of the same run may differ.
FREE = {
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.profiler",
    "search",  # how the run was chosen, not what it computes
    "loggers",
}
FROM_RUN = "model.from_run"  # counts by its content, as the files do that model and data name
HORIZON = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")  # how far the run goes
# A reference to another key is left to that key. One to the horizon is a value itself: it differs in a longer run.
INTERPOLATION = re.compile(r"\$\{(?!trainer\.max_)[\w.]+\}")
NOTHING = "nothing"


def differences(old: DictConfig, new: DictConfig) -> dict[str, str]:
    """Return a line for each key in which two configurations are different runs, the horizon excepted."""
    before, now = flatten(old), flatten(new)
    return {
        key: f"{key}: {before.get(key, NOTHING)} there, {now.get(key, NOTHING)} here"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, NOTHING) != now.get(key, NOTHING) and key not in HORIZON and not is_free(key)
    }


def refers_to_horizon(config: DictConfig, key: str) -> bool:
    """Whether the value of a key is computed from the horizon, as the length of a schedule may be."""
    node = raw_data(config)
    for name in key.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return isinstance(node, str) and "${trainer.max_" in node


def is_free(key: str) -> bool:
    """Whether configurations of the same run may differ in a key."""
    return any(f"{key}.".startswith(f"{free}.") for free in FREE)


def flatten(config: DictConfig) -> dict[str, Any]:
    """Return the resolved values by dotted key, without those that are an interpolation of another key."""

    def leaves(node: Any, value: Any, key: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for name, child in node.items():
                yield from leaves(child, value[name], f"{key}.{name}" if key else str(name))
        elif not (isinstance(node, str) and INTERPOLATION.fullmatch(node)):
            yield key, value

    return dict(leaves(raw_data(config), resolved_data(config, lambda text: not INTERPOLATION.fullmatch(text)), ""))


def is_dry_run(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration asks for Lightning's ``fast_dev_run``, which leaves no files behind."""
    return bool(config["trainer"].get("fast_dev_run"))


def is_search(config: DictConfig) -> bool:
    """Return whether a configuration asks for a search, which a search space alone does not."""
    return "trials" in (config.get("search") or {})
