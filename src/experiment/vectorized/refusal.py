"""Why runs cannot be trained together, in words."""

import re

REASONS = {  # by what torch says
    ".item()": "its step depends on values, by .item() or if",
    "data-dependent control flow": "its step depends on values, by .item() or if",
    "randomness": "its step draws random numbers otherwise than by nn.Dropout",
    "in-place": "its step changes a tensor in place that all runs share",
    "broadcast shape": "its step changes a tensor in place that all runs share",
    "inplace arithmetic": "its step changes a tensor in place that all runs share",
}


class NotVectorizable(Exception):
    """Runs cannot be trained together; the message says why, as what follows 'since'."""


def explain(error: Exception) -> str:
    """Return why runs are not trained together, as what follows 'since'."""
    text = str(error).strip().rstrip(".")
    if isinstance(error, NotVectorizable):
        return text
    for part, reason in REASONS.items():
        if part in text:
            return reason
    if operation := re.search(r"Batching rule not implemented for ([\w:.]+\w)", text):
        return f"torch.func.vmap has no rule for {operation[1]}"
    return f"together they raise {type(error).__name__}: {text.partition(chr(10))[0]}"
