"""Optimizers of many runs at once: torch's update rules, with the numbers of each run."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from typing_extensions import override

from experiment.vectorized.refusal import NotVectorizable

State = dict[str, Tensor]
Numbers = dict[str, Any]  # the arguments of a parameter's group: a tensor that broadcasts over the runs, or a switch


def _sgd(parameter: Tensor, gradient: Tensor, state: State, of: Numbers) -> None:
    gradient = _with_decay(parameter, gradient, of)
    if of["momentum"] is not None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = gradient.clone()
        else:
            kept = 1 if of["dampening"] is None else 1 - of["dampening"]
            state["momentum_buffer"].mul_(of["momentum"]).add_(gradient * kept)
        buffer = state["momentum_buffer"]
        gradient = gradient + of["momentum"] * buffer if of["nesterov"] else buffer
    parameter.sub_(of["lr"] * gradient)


def _adam(parameter: Tensor, gradient: Tensor, state: State, of: Numbers) -> None:
    first, second = of["betas"]
    if not state:
        state["step"] = torch.zeros_like(of["lr"], dtype=torch.get_default_dtype())
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if of["amsgrad"] else [])]
        state |= {name: torch.zeros_like(parameter) for name in names}
    if of.get("decoupled_weight_decay") and of["weight_decay"] is not None:
        parameter.mul_(1 - of["lr"] * of["weight_decay"])
    else:
        gradient = _with_decay(parameter, gradient, of)
    step = state["step"].add_(1)
    state["exp_avg"].lerp_(gradient, 1 - first)
    state["exp_avg_sq"].mul_(second).add_((1 - second) * gradient * gradient)
    square = state["exp_avg_sq"]
    if of["amsgrad"]:
        square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
    denominator = square.sqrt().div_((1 - second**step).sqrt()).add_(of["eps"])
    parameter.sub_(of["lr"] / (1 - first**step) * state["exp_avg"] / denominator)


def _rmsprop(parameter: Tensor, gradient: Tensor, state: State, of: Numbers) -> None:
    gradient = _with_decay(parameter, gradient, of)
    if not state:
        state["step"] = torch.zeros_like(of["lr"], dtype=torch.get_default_dtype())
        names = ["square_avg", *(["momentum_buffer"] if of["momentum"] is not None else [])]
        state |= {name: torch.zeros_like(parameter) for name in [*names, *(["grad_avg"] if of["centered"] else [])]}
    state["step"].add_(1)
    state["square_avg"].mul_(of["alpha"]).add_((1 - of["alpha"]) * gradient * gradient)
    square = state["square_avg"]
    if of["centered"]:
        state["grad_avg"].lerp_(gradient, 1 - of["alpha"])
        square = square - state["grad_avg"] * state["grad_avg"]
    change = gradient / square.sqrt().add_(of["eps"])
    if of["momentum"] is not None:
        change = state["momentum_buffer"].mul_(of["momentum"]).add_(change)
    parameter.sub_(of["lr"] * change)


def _with_decay(parameter: Tensor, gradient: Tensor, of: Numbers) -> Tensor:
    gradient = -gradient if of["maximize"] else gradient
    return gradient if of["weight_decay"] is None else gradient + of["weight_decay"] * parameter


RULES: dict[type[Optimizer], Callable[[Tensor, Tensor, State, Numbers], None]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    RMSprop: _rmsprop,
}
OPTIONAL = ("momentum", "dampening", "weight_decay")  # that have no effect where they are 0


class StackedOptimizer(Optimizer):
    """Updates the stacked parameters of several runs as the runs' own optimizers would.

    Args:
        parameters: stacked, ``[runs, …]``, in the order of the models' parameters.
        models: of the runs.
        optimizers: of the runs; they keep the states between this one and the checkpoints.

    Raises:
        NotVectorizable: there is no rule for them, or they differ in more than numbers.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], models: Sequence[nn.Module], optimizers: Sequence[Optimizer]
    ) -> None:
        kind = type(optimizers[0])
        if kind not in RULES:
            known = ", ".join(each.__name__ for each in RULES)
            raise NotVectorizable(f"its optimizer is {kind.__name__}, and not one of {known}")
        if any(each.is_complex() for each in parameters):
            raise NotVectorizable("its parameters are complex")
        if any("step" in vars(each) or _hooks(each) for each in optimizers):
            raise NotVectorizable("its optimizer has hooks, or a step of its own")
        super().__init__([each for each in parameters if each.requires_grad], {})
        self.rule, self.optimizers = RULES[kind], optimizers
        self.places: dict[nn.Parameter, list[nn.Parameter]] = {}  # of each stacked parameter: those of the runs
        self.numbers: dict[nn.Parameter, Numbers] = {}
        groups = [
            {parameter: group for group in each.param_groups for parameter in group["params"]} for each in optimizers
        ]
        for stacked, own in zip(parameters, zip(*(each.parameters() for each in models), strict=True), strict=True):
            held = [parameter in group for parameter, group in zip(own, groups, strict=True)]
            if all(held):
                arguments = [group[parameter] for parameter, group in zip(own, groups, strict=True)]
                self.places[stacked], self.numbers[stacked] = [*own], _stack_numbers(arguments, stacked)
            elif any(held):
                raise NotVectorizable("their optimizers have different parameters")
        for stacked, own_states in self.places.items():
            states = [each.state.get(parameter, {}) for each, parameter in zip(optimizers, own_states, strict=True)]
            self.state[stacked] = _stack_states(states, stacked)

    @override
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for parameter, numbers in self.numbers.items():
            if parameter.grad is not None:
                self.rule(parameter, parameter.grad, self.state[parameter], numbers)
        return result

    def copy_states(self) -> list[State]:
        """Return copies of the stacked states, in the order of the parameters."""
        return [{name: each.cpu().clone() for name, each in self.state[stacked].items()} for stacked in self.places]

    def state_of(self, run: int, states: Sequence[State]) -> dict[str, Any]:
        """Return what the ``state_dict`` of a run's own optimizer would be, from copies of the stacked states."""
        for own, state in zip(self.places.values(), states, strict=True):
            if state:
                self.optimizers[run].state[own[run]] = {
                    name: (each[run].reshape(()) if name == "step" else each[run]).clone()
                    for name, each in state.items()
                }
        return self.optimizers[run].state_dict()

    @override
    def state_dict(self) -> dict[str, Any]:
        """Return nothing: each run has a checkpoint of its own."""
        return {}

    @override
    def load_state_dict(self, state_dict: Any) -> None:
        """Load nothing: the states come from the runs' own optimizers."""


def _hooks(optimizer: Optimizer) -> bool:
    return bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def _stack_numbers(groups: Sequence[dict[str, Any]], like: Tensor) -> Numbers:
    """Return the arguments of the runs' parameter groups, each number as a tensor that broadcasts with ``like``."""
    shape = (len(groups), *(1 for _ in like.shape[1:]))

    def stack(name: str, values: list[Any]) -> Any:
        if isinstance(values[0], tuple):
            return tuple(stack(name, [*each]) for each in zip(*values, strict=True))
        if isinstance(values[0], bool) or not isinstance(values[0], int | float):
            if any(value != values[0] for value in values):
                raise NotVectorizable(f"their optimizers differ in {name}")
            return values[0]
        if name in OPTIONAL and not any(values):
            return None
        return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(shape)

    return {name: stack(name, [group[name] for group in groups]) for name in groups[0] if name != "params"}


def _stack_states(states: Sequence[dict[str, Any]], like: Tensor) -> State:
    def stack(name: str) -> Tensor:
        rows = [torch.as_tensor(state[name]) for state in states]
        stacked = torch.stack(rows).to(like.device)
        return stacked.reshape(len(rows), *(1 for _ in like.shape[1:])) if name == "step" else stacked

    return {name: stack(name) for name in states[0] if states[0][name] is not None}
