"""One step explained: each number on the page computed by another road."""

import itertools
import re
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from experiment import explain
from experiment.points.chain_rule import ACTIVATIONS, backpropagate
from experiment.points.textbook import align_columns, format_number
from experiment.runs.logger import read_scalars
from tests.conftest import ROOT, checkpoint, plain_loop, snapshot


@pytest.fixture
def page(monkeypatch, capsys) -> Callable[..., str]:
    """``python -m experiment.explain …``, in this process: what it prints."""

    def print_(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["explain", *arguments])
        capsys.readouterr()
        explain.main()
        out, err = capsys.readouterr()
        assert not err
        return out

    return print_


def numbers(line: str) -> list[float]:
    return [float(each.replace("−", "-")) for each in re.findall(r"−?\d+\.?\d*(?:e[−+]\d+)?", line)]


def updates(text: str) -> dict[str, list[float]]:
    """δ·a, ∂L/∂w, w and w′, by layer and subscripts: ``fc1 w12`` and ``fc1 b1``."""
    rows = {}
    for line in text.partition("4  Update")[2].splitlines():
        if found := re.match(r"   (fc\d+)  ([wb][₀-₉,]+)(.*)", line):
            name = "".join(chr(ord(c) - ord("₀") + 48) if "₀" <= c <= "₉" else c for c in found[2])
            rows[f"{found[1]} {name}"] = numbers(found[3])[-4:]
    return rows


def close(ours: float, theirs: float) -> None:
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("point", [0, 7])
def test_the_first_step_of_the_reference_is_what_autograd_makes_of_it(page, point):
    """In float64, from the initial weights, with torch's own gradient of the one point's loss and of all."""
    text = page(f"point={point}")
    np.random.seed(0)
    points = torch.from_numpy(np.float32(np.random.rand(100, 2) * 2 - 1)).double()
    classes = (points.sum(1) > 0).double()
    net = plain_loop(epochs=0)[1].double()
    losses = functional.binary_cross_entropy(net(points)[:, 0], classes, reduction="none")
    one = torch.autograd.grad(losses[point], list(net.parameters()), retain_graph=True)
    whole = torch.autograd.grad(losses.mean(), list(net.parameters()))
    after = plain_loop(epochs=1)[1]
    rows = updates(text)
    assert len(rows) == 17
    for (name, weight), own, gradient, new in zip(net.named_parameters(), one, whole, after.parameters(), strict=True):
        layer, kind = name.split(".")
        for index in np.ndindex(*weight.shape):
            subscripts = "".join(str(each + 1) for each in index)
            expected = [own[index], gradient[index], weight[index], new[index]]
            for ours, theirs in zip(rows[f"{layer} {kind[0]}{subscripts}"], expected, strict=True):
                close(ours, theirs.item())
    loss_line = next(line for line in text.splitlines() if line.startswith("   ℓ = "))
    close(numbers(loss_line)[-2], losses[point].item())
    close(numbers(loss_line)[-1], losses.mean().item())
    before, then = numbers(text.partition("5  After the step")[2].splitlines()[0])
    close(before, losses.mean().item())
    outputs = after.double()(points)[:, 0]
    close(then, functional.binary_cross_entropy(outputs, classes).item())


def test_every_line_of_the_page_is_a_true_equation(page):
    """What stands to the right of an = is what the left side comes to."""
    for line in page("point=3", "model.activation=tanh", "step=20").splitlines():
        for left, right in re.findall(r"(?:fc\d  (?:\d|w.+?) +)([^=a-z]*?) = ([−\d.e+]+)", line):
            terms = [np.prod(numbers(term)) for term in re.split(r" \+ | − ", left.replace(" · (", "·("))]
            if "(" in left:  # a′ · (w·δ)
                terms = [np.prod(numbers(left))]
            value = terms[0] - sum(terms[1:]) if " − " in left else sum(terms)
            assert value == pytest.approx(numbers(right)[0], rel=2e-3, abs=2e-5), line


@pytest.mark.parametrize(
    ("overrides", "epochs", "step"),
    [
        (["model.hidden=[3,5]", "model.activation=tanh", "optimizer=adam", "seed=3"], 3, 2),
        (["experiment=mini_batches", "model.activation=sigmoid", "trainer.gradient_clip_val=0.1"], 2, 37),
        (["data.batch_size=30", "trainer.accumulate_grad_batches=2", "model.loss=bce_with_logits"], 2, 3),
        (["model.hidden=[]", "optimizer.momentum=0.9", "data.noise=0.2"], 5, 4),
    ],
)
def test_a_step_is_the_one_that_the_run_makes(page, run, overrides, epochs, step):
    """Its gradients and updates are those in the run's log, its new weights those of the run's last checkpoint."""
    directory = run(*overrides, "backprop.every_n_steps=1", f"trainer.max_epochs={epochs}")
    untouched = snapshot(directory)
    text = page(str(directory), f"step={step}", "point=5")
    assert snapshot(directory) == untouched
    logged = {tag: dict(curve) for tag, curve in read_scalars(directory).items()}
    rows = updates(text)
    for name, weights in checkpoint(directory)["state_dict"].items():
        parameter = name.removeprefix("net.")
        layer, kind = parameter.split(".")
        _, gradients, old, new = np.array([row for key, row in rows.items() if key.startswith(f"{layer} {kind[0]}")]).T
        close(np.linalg.norm(gradients), logged[f"gradient/{parameter}"][step])
        ratio = np.linalg.norm(new - old) / np.linalg.norm(old)
        assert ratio == pytest.approx(logged[f"update_ratio/{parameter}"][step], rel=2e-2, abs=1e-4)
        if step == max(logged["train/loss"]):
            assert np.allclose(new, weights.numpy().ravel(), rtol=1e-4)
    if "trainer.accumulate_grad_batches=2" not in overrides:  # where the log has the loss of a batch, not of the step
        close(numbers(text.partition("5  After")[2].splitlines()[0])[0], logged["train/loss"][step])


def test_the_chain_rule_agrees_with_finite_differences():
    """Central differences in float64, of every weight, with shares that are not all the same."""
    rng = np.random.default_rng(5)
    points, classes, shares = rng.normal(size=(9, 2)), rng.integers(0, 2, 9) * 1.0, rng.random(9)
    for activation in ACTIVATIONS:
        widths = [2, 3, 4, 1]
        parameters = [(rng.normal(size=(o, i)), rng.normal(size=o)) for i, o in itertools.pairwise(widths)]
        layers, _ = backpropagate(parameters, activation, points, classes, shares)
        for layer, pair in zip(layers, parameters, strict=True):
            for value, gradient in zip(pair, (layer.weight_gradient, layer.bias_gradient), strict=True):
                for index in np.ndindex(*value.shape):
                    ends = []
                    for step in (1e-6, -2e-6, 1e-6):
                        value[index] += step
                        ends.append(backpropagate(parameters, activation, points, classes, shares)[1] @ shares)
                    assert gradient[index] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_page_of_the_reference_fits_a_screen_and_a_file(page):
    lines = page().splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 110
    assert "\x1b" not in "".join(lines)
    assert [len(line) - len(line.rstrip()) for line in lines] == [0] * len(lines)


DOCUMENT = (ROOT / "docs/backpropagation.md").read_text()


def test_the_document_shows_what_is_printed(page):
    (arguments,) = re.findall(r"experiment\.explain outputs/first (.*?)`", DOCUMENT)
    shown = [line for block in re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines()]
    assert shown
    assert set(shown) <= set(page(*arguments.split()).splitlines())


def test_the_boundary_moves_as_the_document_says():
    """Before the step, after one that follows a single point, and after the run's: boundary, p and L."""
    rows = re.findall(r"^\| .* \| (−0\.\d+).* \| (0\.\d+).* \| (0\.\d+).* \|$", DOCUMENT, re.MULTILINE)
    assert len(rows) == 3
    np.random.seed(0)
    points = torch.from_numpy(np.float32(np.random.rand(100, 2) * 2 - 1)).double()
    classes = (points.sum(1) > 0).double()
    column = torch.stack([points[87, 0].expand(100_001), torch.linspace(-0.6, -0.3, 100_001, dtype=torch.double)], 1)
    followed = [[], [87], range(100)]
    for indices, row in zip(followed, rows, strict=True):
        net = plain_loop(epochs=60)[1].double()
        net.zero_grad()
        if indices:
            functional.binary_cross_entropy(net(points[indices])[:, 0], classes[indices]).backward()
            torch.optim.SGD(net.parameters(), lr=0.1).step()
        with torch.no_grad():
            p = net(points)[:, 0]
            boundary = column[(net(column)[:, 0] > 0.5).nonzero()[0, 0], 1]
            found = [boundary, p[87], functional.binary_cross_entropy(p, classes)]
        for ours, theirs in zip(map(numbers, row), found, strict=True):
            assert ours == [pytest.approx(theirs.item(), abs=1e-5)]


def test_a_neuron_can_be_picked_and_a_wide_layer_is_shown_in_part(page):
    text = page("model.hidden=[12,3]", "neuron=3")
    assert set(updates(text)) == {"fc1 w3,1", "fc1 w3,2", "fc1 b3", "fc2 w3,3", "fc2 b3", "fc3 w13", "fc3 b1"}
    assert "Σ of 12 products" in text
    assert "fc1  8  " in page("model.hidden=[12]")
    assert "fc1  9  " not in page("model.hidden=[12]")


def test_a_run_is_explained_with_other_keys_too_and_a_name_with_an_equals_sign(page, train):
    assert train("-m", "optimizer.lr=0.5", "trainer.max_epochs=3", "hydra.sweep.dir=s") == 0
    assert "w′ = w − 0.5·∂L/∂w" in page("s/optimizer.lr=0.5")
    assert "w′ = w − 0.25·∂L/∂w" in page("s/optimizer.lr=0.5", "optimizer.lr=0.25", "step=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["step=9", "trainer.max_epochs=9"], "step=9: the run has the steps 0 to 8."),
        (["point=100"], "point=100: the step has the points 0 to 99."),
        (["neuron=5"], "neuron=5: the hidden layers have the neurons 1 to 4."),
        (["neuron=0"], "neuron=0: the hidden layers have the neurons 1 to 4."),
        (["step=-1"], "step=-1: a whole number"),
        (["model.hiden=[3]"], "model.hiden=[3]: there is no such key; the nearest is model.hidden"),
        (["optimizer.lr=-1"], "optimizer.lr=-1: a number ≥ 0"),
        (["nowhere"], "nowhere holds no run."),
        (["optimizer.lr=1e30", "step=5"], "step=5: the loss is not finite there."),
    ],
)
def test_what_cannot_be_explained_is_one_message(page, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        page(*arguments)
    assert message in str(stop.value)
    assert "Traceback" not in str(stop.value)


def test_numbers_have_five_significant_digits_and_their_points_are_aligned():
    assert [format_number(each) for each in (0.0, 0.1, -1234.5678, 1e-9)] == ["0", "0.10000", "−1234.6", "1.0000e−09"]
    assert align_columns([["w", 12.5, "·"], ["bias", -0.25, "="]]) == ["   w   12.500  ·", "   bias−0.25000="]
