"""Recurrent layers as the operations that they consist of: ``torch.func.vmap`` has rules for these alone."""

from typing import Any

import torch
from torch._decomp import get_decompositions
from torch.overrides import TorchFunctionMode
from typing_extensions import override

LAYERS = {
    getattr(torch._VF, name): getattr(torch.ops.aten, name).input for name in ("gru", "lstm", "rnn_tanh", "rnn_relu")
}
OPERATIONS = get_decompositions([*LAYERS.values()])


class RecurrentLayers(TorchFunctionMode):
    """Lets recurrent layers be computed within ``vmap``; those of packed sequences cannot be."""

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_packed = func in LAYERS and not isinstance(args[3], bool)
        if func not in LAYERS or is_packed:
            return func(*args, **(kwargs or {}))
        (was_enabled, *_) = torch.backends.mkldnn.set_flags(False)  # its LSTM would be one operation again
        try:
            return OPERATIONS[LAYERS[func]](*args, **(kwargs or {}))
        finally:
            torch.backends.mkldnn.set_flags(was_enabled)
