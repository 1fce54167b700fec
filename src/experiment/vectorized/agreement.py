"""Whether the same numbers, computed in two ways, agree."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

TOLERANCE = 1e-4  # relative: rounding makes less, an error in what belongs to which run makes more


def agree(these: Mapping[str, Tensor], those: Mapping[str, Tensor]) -> bool:
    """Return whether tensors have the same names, and agree to rounding.

    The largest number among them is the scale. Numbers that are not finite agree where they are equal.
    """
    sizes = [each.detach().abs().nan_to_num(0, 0, 0).max().item() for each in these.values() if each.numel()]
    scale = TOLERANCE * max(sizes, default=0)
    return these.keys() == those.keys() and all(
        torch.allclose(value.detach(), those[name].detach(), rtol=TOLERANCE, atol=scale, equal_nan=True)
        for name, value in these.items()
    )


def agree_in_each_run(these: Sequence[Tensor], those: Sequence[Tensor]) -> bool:
    """Return whether stacked tensors agree to rounding, where the largest number of each run is its scale."""
    ones, others = (
        torch.cat([each.detach().reshape(each.shape[0], -1) for each in side], 1) for side in (these, those)
    )
    scale = TOLERANCE * ones.abs().nan_to_num(0, 0, 0).amax(1, keepdim=True)
    are_equal = (ones == others) | (ones.isnan() & others.isnan())
    return bool((are_equal | ((ones - others).abs() <= scale)).all())
