"""Lightning's messages go to the run's log, not to the terminal; those that no user can act on are dropped."""

import logging
import warnings


def _is_not_advertisement(record: logging.LogRecord) -> bool:
    return "Tip:" not in str(record.msg)


for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).handlers.clear()
    logging.getLogger(name).propagate = True
logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_not_advertisement)
# Lightning's own use of torch, its advice on small loaders, its assumption that each epoch counts steps anew, and its
# belief that a plain DataLoader cannot be resumed within an epoch, or a run with a ModelCheckpoint at all. Of several
# processes, each scores all of the data. On the login node of a cluster, a sweep submits its runs.
for message in (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"The '\w+' does not have many workers",
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    r"Checkpoint directory .* exists and is not empty",
    r"It is recommended to use `self.log\('(val|test)",
    r"The `srun` command is available on your system but is not used",
    r"You're resuming from a checkpoint that ended before the epoch ended",
):
    warnings.filterwarnings("ignore", message=message)
