"""The update rules of many runs equal torch's own optimizers, run by run."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from experiment.vectorized.optimizers import StackedOptimizer
from experiment.vectorized.refusal import NotVectorizable

RATES = (0.1, 0.02, 0.003)
CASES: list[tuple[Any, dict[str, Any]]] = [
    (SGD, {}),
    (SGD, {"weight_decay": 0.1}),
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (SGD, {"maximize": True}),
    (Adam, {}),
    (Adam, {"weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    (Adam, {"amsgrad": True}),
    (AdamW, {"weight_decay": 0.1}),
    (RMSprop, {"weight_decay": 0.1}),
    (RMSprop, {"momentum": 0.9, "alpha": 0.8}),
    (RMSprop, {"centered": True}),
]


def models() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Linear(3, 2).double() for _ in RATES]


def loss(model: nn.Module, step: int) -> torch.Tensor:
    rows = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
    return model(rows).square().mean() * (step + 1)


def make(kind: Any, own: list[nn.Module], arguments: dict[str, Any]) -> list[Any]:
    return [kind(model.parameters(), lr=rate, **arguments) for model, rate in zip(own, RATES, strict=True)]


def stack(own: list[nn.Module], optimizers: list[Any]) -> tuple[list[nn.Parameter], StackedOptimizer]:
    rows = zip(*(model.parameters() for model in own), strict=True)
    stacked = [nn.Parameter(torch.stack([each.detach() for each in row])) for row in rows]
    return stacked, StackedOptimizer(stacked, own, optimizers)


@pytest.mark.parametrize(("kind", "arguments"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_each_run_takes_the_steps_of_its_own_optimizer(kind, arguments):
    expected = models()
    alone = make(kind, expected, arguments)
    own = models()
    stacked, together = stack(own, make(kind, own, arguments))
    for step in range(8):
        if step == 4:  # a resumed start: the states go through the runs' own optimizers
            states = [together.state_of(run, together.copy_states()) for run in range(len(RATES))]
            for run, model in enumerate(own):
                for parameter, rows in zip(model.parameters(), stacked, strict=True):
                    parameter.data = rows[run].detach().clone()
            resumed = make(kind, own, arguments)
            for each, state in zip(resumed, states, strict=True):
                each.load_state_dict(state)
            stacked, together = stack(own, resumed)
        for run, (model, optimizer) in enumerate(zip(expected, alone, strict=True)):
            optimizer.zero_grad()
            loss(model, step).backward()
            optimizer.step()
            for parameter, rows in zip(own[run].parameters(), stacked, strict=True):
                parameter.data = rows[run].detach().clone()
        for model in own:
            model.zero_grad()
            loss(model, step).backward()
        for index, rows in enumerate(stacked):
            rows.grad = torch.stack([[*model.parameters()][index].grad for model in own])
        together.step()
    for run, (model, optimizer) in enumerate(zip(expected, alone, strict=True)):
        for parameter, rows in zip(model.parameters(), stacked, strict=True):
            torch.testing.assert_close(rows[run], parameter, rtol=1e-9, atol=1e-12)
        state = together.state_of(run, together.copy_states())
        torch.testing.assert_close(state["state"], optimizer.state_dict()["state"], rtol=1e-9, atol=1e-12)
        assert state["param_groups"] == optimizer.state_dict()["param_groups"]


def test_other_optimizers_are_refused():
    own = models()
    with pytest.raises(NotVectorizable, match="its optimizer is Rprop, and not one of SGD, Adam, AdamW, RMSprop"):
        stack(own, make(torch.optim.Rprop, own, {}))


def test_optimizers_that_differ_in_a_switch_are_refused():
    own = models()
    optimizers = make(SGD, own, {"momentum": 0.9})
    optimizers[1].param_groups[0]["nesterov"] = True
    with pytest.raises(NotVectorizable, match="differ in nesterov"):
        stack(own, optimizers)
