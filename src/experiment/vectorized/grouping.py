"""Which runs of a sweep can be trained together, and why others cannot."""

import pkgutil
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn

from experiment.configuration.identity import is_dry_run
from experiment.configuration.keys import formula_keys
from experiment.configuration.references import ResolvedConfig
from experiment.runs.callback import View
from experiment.runs.loggers import named_loggers
from experiment.vectorized.refusal import NotVectorizable

# Hooks that a module, or its data, may have: all others act on one run.
MODULE_HOOKS = {"training_step", "validation_step", "test_step", "predict_step", "configure_optimizers", "forward"}
MODULE_HOOKS |= {"on_test_epoch_end"}
DATA_HOOKS = {"prepare_data", "setup", "teardown", "state_dict", "load_state_dict"}
DATA_HOOKS |= {f"{split}_dataloader" for split in ("train", "val", "test", "predict")}

# Arguments of the trainer that act on one run.
SINGLE = ("max_time", "profiler", "plugins", "overfit_batches", "detect_anomaly", "reload_dataloaders_every_n_epochs")


def structure(run: ResolvedConfig, with_sizes: bool = True) -> str:
    """Return what two runs must have in common to be trained together, as a text.

    They may differ in the seed, in the numbers of the optimizer, and in the formulas and the numbers of the data.

    Args:
        run: its configuration.
        with_sizes: whether integers of the data must agree: they may be sizes.

    Raises:
        NotVectorizable: runs of this configuration cannot be trained together at all.
    """
    _check_configuration(run.plain)
    plain = {key: value for key, value in run.plain.items() if key not in ("seed", "extras")}
    plain["optimizer"] = _without_numbers(plain["optimizer"], integers=True)
    plain["model"] = {**plain["model"], "optimizer": _without_numbers(plain["model"].get("optimizer"), integers=True)}
    formulas = dict.fromkeys(formula_keys("data", plain["data"]) & plain["data"].keys(), "formula")
    # As it is written: where it refers to the seed, it may differ.
    data = _without_numbers(run.raw["data"], integers=False) | formulas
    plain["data"] = data if with_sizes else _without_sizes(data)
    return repr(plain)


def _without_sizes(value: Any) -> Any:
    """Return a value with ``size`` in the place of each integer."""
    if isinstance(value, dict):
        return {key: _without_sizes(child) for key, child in value.items()}
    return "size" if isinstance(value, int) and not isinstance(value, bool) else value


def _without_numbers(value: Any, integers: bool) -> Any:
    """Return a value with ``0`` in the place of each zero, and ``number`` in that of each other number."""
    if isinstance(value, dict):
        return {key: _without_numbers(child, integers) for key, child in value.items()}
    if isinstance(value, list):
        return [_without_numbers(child, integers=True) for child in value]
    is_number = isinstance(value, float) or (integers and isinstance(value, int) and not isinstance(value, bool))
    return ("number" if value or not integers else "0") if is_number else value


def _check_configuration(config: Mapping[str, Any]) -> None:
    trainer = config["trainer"]
    if is_dry_run(config):
        raise NotVectorizable("trainer.fast_dev_run runs them one by one")
    if trainer.get("devices", 1) != 1 or trainer.get("num_nodes", 1) != 1:
        raise NotVectorizable("trainer.devices: each run has several processes")
    if trainer.get("strategy", "auto") != "auto":
        raise NotVectorizable(f"trainer.strategy={trainer['strategy']}")
    if "16" in str(trainer.get("precision") or ""):
        raise NotVectorizable(f"trainer.precision={trainer['precision']}")
    for key in SINGLE:
        if trainer.get(key):
            raise NotVectorizable(f"trainer.{key}: it is of one run")
    if loggers := named_loggers(config):
        raise NotVectorizable(f"loggers.{loggers[0]}: a logger of yours logs one run")
    if config["model"].get("from_run"):
        raise NotVectorizable("model.from_run: they start from the weights of another run")
    for name, node in config["callbacks"].items():
        if node and not issubclass(pkgutil.resolve_name(node["_target_"]), View):
            raise NotVectorizable(f"callbacks.{name}: a callback acts on one run")


def check_modules(model: LightningModule, data: LightningDataModule) -> None:
    """Check that a model and its data can be computed together with others.

    Raises:
        NotVectorizable: they cannot.
    """
    if not model.automatic_optimization:
        raise NotVectorizable("its optimization is manual")
    for instance, parent, allowed in ((model, LightningModule, MODULE_HOOKS), (data, LightningDataModule, DATA_HOOKS)):
        for hook in sorted(_hooks(parent) - allowed):
            if is_overridden(hook, instance, parent):
                raise NotVectorizable(f"{type(instance).__name__} has {hook}")
    if model.state_dict().keys() - {name for name, _ in (*model.named_parameters(), *model.named_buffers())}:
        raise NotVectorizable("it shares parameters, or has other state than tensors")
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            raise NotVectorizable(f"{type(module).__name__} has running statistics")
        if type(module).__name__ == "OptimizedModule":
            raise NotVectorizable("torch.compile has compiled a part of it")


def _hooks(parent: type) -> set[str]:
    """Return the names of the methods that a class of Lightning's has, and nn.Module has not."""
    names = {name for name in dir(parent) if not name.startswith("_")} - {*dir(nn.Module)}
    return {name for name in names | {"state_dict", "load_state_dict"} if callable(getattr(parent, name, None))}
