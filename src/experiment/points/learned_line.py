"""The line that a network has learned, and how far it is from the one that was given."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SIDE = 64  # places along each side of the square at which the network is asked
GOLDEN = (5**0.5 - 1) / 2

Logits = Callable[[Tensor], Tensor]  # of points, [n, 2], the logit of class 1, [n, 1]


@torch.no_grad()
def compare_lines(logits: Logits, given: Sequence[float], like: Tensor) -> dict[str, Tensor]:
    """Return how the decision of a network differs from a line that was given, on the square [-1, 1]².

    The network is asked at 64 × 64 places. Where the sign of the logit changes between two neighbours, the boundary is
    found by linear interpolation. The learned line is the one with the least sum of squared distances to these places:
    the boundary itself, if that is a line.

    Args:
        logits: of the network.
        given: ``(a, b, c)`` of the line a·x + b·y + c = 0, with class 1 where the left side is above 0.
        like: a tensor of the network's dtype and device.

    Returns:
        ``angle``: between the lines, in degrees, from 0 to 180; 180 where the network decides the opposite.
        ``offset``: the difference of their signed distances from the middle of the square.
        ``disagreement``: the share of the square where the decision is not that of the given line.
        Only ``disagreement`` if the network decides one class everywhere: then it has no line.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    places = _places(dtype, like.device)
    values = logits(places.reshape(-1, 2).to(like.dtype)).reshape(SIDE, SIDE).to(dtype)
    a, b, c = torch.tensor([*given], dtype=dtype, device=like.device)
    norm = torch.hypot(a, b)
    a, b, c = a / norm, b / norm, c / norm
    is_one, should_be = values > 0, places[..., 0] * a + places[..., 1] * b + c > 0
    disagreement = {"disagreement": (is_one != should_be).to(dtype).mean()}
    if is_one.all() or not is_one.any() or not values.isfinite().all():
        return disagreement
    normal, distance = _fit_line(places, values)
    angle = torch.atan2((a * normal[1] - b * normal[0]).abs(), a * normal[0] + b * normal[1])
    return {"angle": torch.rad2deg(angle), "offset": (distance - c).abs(), **disagreement}


@functools.cache
def _places(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return places of the square, ``[column, row, 2]``.

    Each column begins a little higher than the one before, so that no line passes along the places.
    """
    step = torch.arange(SIDE, dtype=dtype, device=device)
    x = ((step + 0.5) / SIDE * 2 - 1)[:, None].expand(SIDE, SIDE)
    y = (step[None, :] + (step[:, None] * GOLDEN) % 1) / SIDE * 2 - 1
    return torch.stack([x, y], dim=-1)


def _fit_line(places: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the normal, ``[2]``, and the distance d of the line normal·p + d = 0 along which the values are 0.

    Values are above 0 on the side to which the normal points.
    """
    points = torch.cat([_crossings(places, values, axis) for axis in (0, 1)])
    middle = points.mean(dim=0)
    x, y = (points - middle).unbind(dim=1)
    direction = torch.atan2(2 * (x * y).mean(), (x * x - y * y).mean()) / 2
    normal = torch.stack([-direction.sin(), direction.cos()])
    side = torch.where(values > 0, 1.0, -1.0) * ((places - middle) @ normal)
    normal = -normal if side.sum() < 0 else normal
    return normal, -(normal @ middle)


def _crossings(places: Tensor, values: Tensor, axis: int) -> Tensor:
    """Return the points, ``[n, 2]``, between neighbours along an axis where the sign of the values changes."""
    (first, second), (start, end) = (
        (each.narrow(axis, 0, SIDE - 1), each.narrow(axis, 1, SIDE - 1)) for each in (values, places)
    )
    crosses = (first > 0) != (second > 0)
    first, second, start, end = (each[crosses] for each in (first, second, start, end))
    return start + (first / (first - second))[:, None] * (end - start)
