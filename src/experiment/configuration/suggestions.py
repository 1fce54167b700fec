"""Suggestions for keys that do not exist: by what they mean, or else by how they are spelled."""

import difflib
from collections.abc import Iterable

UNKNOWN_KEY = "there is no such key"
SIMILAR = 0.75  # ratio of difflib from which a name is taken for a misspelling of another

# Names that other projects give to our keys.
SYNONYMS = {
    "seed": "random_seed random_state rng_seed manual_seed",
    "data": "dataset datamodule problem",
    "data.num_points": "n n_points points num_samples n_samples samples num_train n_train train_size",
    "data.num_val": "n_val val_size num_valid num_validation",
    "data.num_test": "n_test test_size",
    "data.noise": "label_noise noise_level flip flip_probability",
    "data.batch_size": "bs batch batchsize minibatch_size mini_batch_size",
    "model": "net network architecture",
    "model.hidden": "hidden_size hidden_sizes hidden_dim hidden_dims hidden_layers hidden_units layers layer_sizes "
    "num_layers n_layers width widths units neurons",
    "model.activation": "act act_fn activation_fn activation_function nonlinearity",
    "model.loss": "loss_fn loss_function criterion",
    "optimizer": "optim optimiser opt",
    "optimizer.lr": "learning_rate eta step_size rate",
    "optimizer.weight_decay": "wd decay l2",
    "scheduler": "lr_scheduler schedule sched",
    "trainer.max_epochs": "epoch epochs num_epochs n_epochs",
    "trainer.max_steps": "steps num_steps n_steps max_iter iterations",
    "trainer.accelerator": "device gpu cuda use_gpu",
    "trainer.devices": "gpus num_gpus n_gpus num_devices",
    "trainer.precision": "amp fp16 bf16 dtype",
    "trainer.log_every_n_steps": "log_every log_interval log_every_n log_freq log_frequency",
    "trainer.check_val_every_n_epoch": "val_every val_interval eval_every eval_interval",
    "trainer.gradient_clip_val": "grad_clip gradient_clip clip_grad clip_grad_norm max_grad_norm",
    "trainer.accumulate_grad_batches": "accumulate grad_accum gradient_accumulation_steps",
    "checkpoint.every_n_seconds": "checkpoint_every save_every save_interval",
    "search.trials": "n_trials num_trials",
    "hydra.run.dir": "dir run_dir output_dir out_dir outdir save_dir log_dir logdir",
}


def explain_unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the text for a key that does not exist, with the nearest of the ``known`` ones if one is near."""
    if key == "experiment":  # Hydra puts there what a file holds that does not say where it belongs
        return "the file of an experiment is a group of keys, and its first line is # @package _global_"
    if key.startswith("search.space."):
        swept = key.removeprefix("search.space.")
        return f"{UNKNOWN_KEY} in the search space; on the command line, sweep the key itself: {swept}=…"
    nearest = _nearest(key.lstrip("+~").replace("/", "."), list(known))
    return f"{UNKNOWN_KEY}; {f'the nearest is {nearest}, ' if nearest else ''}--help lists all"


def _nearest(key: str, known: list[str]) -> str | None:
    group, _, name = key.rpartition(".")

    def similarity(other: str) -> float:
        other_group, _, other_name = other.rpartition(".")
        return min(_ratio(group, other_group) if group else 1, _ratio(name, other_name))

    same = [each for each in known if name == each.rpartition(".")[2] or name in SYNONYMS.get(each, "").split()]
    if same:
        return max(same, key=similarity)
    nearest = max(known, key=similarity)
    return nearest if similarity(nearest) >= SIMILAR else None


def _ratio(text: str, other: str) -> float:
    return difflib.SequenceMatcher(None, text.lower(), other.lower()).ratio()
