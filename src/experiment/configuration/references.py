"""References: values that are those of other keys (``${seed}``), or that a resolver computes (``${oc.env:HOME}``)."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING, Container, DictConfig, ListConfig, OmegaConf

from experiment.configuration.plain import raw_data, resolved_data

Location = tuple[str, ...]  # of a value: its keys, and its indices in lists

KEY_REFERENCE = re.compile(r"\$\{(\.*)([^:${}]+)\}")
RESOLVER_CALL = re.compile(r"(?<!\\)\$\{[^{}]+:")

OmegaConf.register_new_resolver(
    "if_null", lambda value, then, otherwise: then if value is None else otherwise, replace=True
)


def _num_columns(default: int, *, _root_: DictConfig) -> int:
    """Return how many ``data.columns`` there are, the default for data without that key."""
    return len(_root_.data.get("columns") or range(default))


OmegaConf.register_new_resolver("num_columns", _num_columns, replace=True)


def _all_devices(accelerator: str) -> int:
    """Return how many devices an accelerator has; two processes stand for those of a CPU."""
    import torch  # here, since it takes a second

    is_cpu = accelerator == "cpu" or not torch.accelerator.is_available()
    return 2 if is_cpu else torch.accelerator.device_count()


OmegaConf.register_new_resolver("all_devices", _all_devices, replace=True)


@dataclass
class ResolvedConfig:
    """A configuration with and without its references.

    Attributes:
        config: as it was composed.
        raw: plain data, with the references as texts.
        plain: plain data, with the values that they refer to.
        unresolved: why, for each reference without a value; ``plain`` has the reference there.
    """

    config: DictConfig
    raw: dict[str, Any]
    plain: dict[str, Any] = field(default_factory=dict)
    unresolved: dict[Location, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: DictConfig) -> "ResolvedConfig":
        """Resolve a configuration: each reference by itself if some have no value, so that all of these are found."""
        resolved = cls(config, raw_data(config))
        with suppress(Exception, RecursionError):
            resolved.plain = resolved_data(config)
        if not resolved.plain or MISSING in repr(resolved.plain):
            resolved.plain = dict(resolved._resolve_items(config, ()))
        return resolved

    def existing_location(self, keys: Sequence[str]) -> Location:
        """Return the location at the end of keys, without what pydantic adds to them: the member of a union."""
        node: Any = self.plain
        for depth, key in enumerate(keys):
            if not isinstance(node, dict | list):
                return tuple(keys[:depth])
            node = node.get(key) if isinstance(node, dict) else node[int(key)] if key.isdecimal() else None
        return tuple(keys)

    def raw_value(self, location: Location) -> Any:
        """Return the value at a location, or that of the reference that it comes from."""
        return list(self._raw_values(location))[-1][1]

    def has_reference(self, location: Location) -> bool:
        """Whether the value at a location is a reference, comes from one or contains one."""
        return "${" in str(self.raw_value(location))

    def referenced_location(self, location: Location) -> Location | None:
        """Return where the value at a location comes from, ``None`` unless it is that of another key."""
        reference_location, text = list(self._raw_values(location))[-1]
        match = KEY_REFERENCE.fullmatch(text) if isinstance(text, str) else None
        if not match:
            return None
        dots, key = match.groups()
        base = reference_location[: -len(dots)] if dots else ()
        return (*base, *re.findall(r"[^.\[\]]+", key), *location[len(reference_location) :])

    def has_unresolved_source(self, location: Location) -> bool:
        """Whether a reference without a value is to another such reference, which does not lead back to it."""
        chain: list[Location | None] = [location]
        while (source := self.referenced_location(chain[-1] or ())) in self.unresolved:
            if source in chain:
                return source != location
            chain.append(source)
        return len(chain) > 1

    def _raw_values(self, location: Location) -> Iterator[tuple[Location, Any]]:
        """Yield the values along the way to a location, down to the first that holds no others."""
        node: Any = self.raw
        for depth, key in enumerate(location):
            if not isinstance(node, dict | list):
                return
            node = node.get(key) if isinstance(node, dict) else node[int(key)] if key.isdecimal() else None
            yield location[: depth + 1], node

    def _resolve_items(self, container: DictConfig | ListConfig, location: Location) -> Iterator[tuple[Any, Any]]:
        for key in range(len(container)) if isinstance(container, ListConfig) else list(container):
            yield key, self._resolve(container, key, (*location, str(key)))

    def _resolve(self, container: DictConfig | ListConfig, key: Any, location: Location) -> Any:
        try:
            value = container[key]
            if not isinstance(value, Container):
                return value
            if OmegaConf.is_interpolation(container, key):  # what it refers to may refer to itself
                return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        except (Exception, RecursionError) as error:
            message = str(error).splitlines()[0]
            self.unresolved[location] = re.sub(r'^\w+ raised while resolving interpolation: "(.*)"$', r"\1", message)
            return OmegaConf.to_container(container)[key]  # type: ignore[index]
        assert isinstance(value, DictConfig | ListConfig)
        items = dict(self._resolve_items(value, location))
        return [*items.values()] if isinstance(value, ListConfig) else items


def call_resolvers(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain data in which each resolver's value stands in place of its call.

    References to other keys remain. Such a configuration depends neither on the environment nor on the time.
    """
    return dict(_escape(raw_data(config), resolved_data(config, _calls_resolver)))


def _calls_resolver(text: str) -> bool:
    return bool(RESOLVER_CALL.search(text))


def _escape(raw: Any, resolved: Any) -> Any:
    """Return resolved data in which a value that a resolver has returned holds no reference."""
    if isinstance(raw, dict):
        return {key: _escape(value, resolved[key]) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_escape(*values) for values in zip(raw, resolved, strict=True)]
    if isinstance(resolved, str) and _calls_resolver(raw):
        return resolved.replace("${", r"\${")
    return resolved
