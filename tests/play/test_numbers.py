"""The page's numbers: those of the chain rule in NumPy, and of the explanation of a step, to the last digit printed."""

import itertools
import re

import numpy as np
import pytest

from experiment.play.html import make_page
from experiment.play.recording import split_batches
from experiment.play.run_log import RunLog
from experiment.points.chain_rule import ACTIVATIONS, backpropagate
from experiment.points.textbook import format_number
from tests.conftest import command
from tests.play.browser import SITE, Site, made_up, settled
from tests.test_explain import numbers

COMPUTE = """async ([layers, weights, points, classes, shares]) => {
  const { forward, backward, losses } = await import("/page/network.js");
  const passes = forward(layers, weights, points);
  const backs = backward(layers, weights, passes, classes, shares);
  const each = Array.from(losses(passes.at(-1).z, classes));
  const arrays = (objects) => objects.map((object) =>
    Object.fromEntries(Object.entries(object).map(([name, values]) => [name, values && Array.from(values)])));
  return { passes: arrays(passes), backs: arrays(backs), losses: each };
}"""


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_forward_and_backward_pass_are_those_of_the_chain_rule(open_page, activation):
    rng = np.random.default_rng(0)
    widths = [3, 5, 4, 1]
    layers = [(rng.normal(size=(out, into)), rng.normal(size=out)) for into, out in itertools.pairwise(widths)]
    points, classes, shares = rng.normal(size=(7, 3)) * 3, rng.integers(0, 2, 7).astype(float), rng.random(7)
    run = made_up(layers, activation, points, classes)
    page = open_page(SITE, Site({"run": run}))
    row = np.concatenate([part.ravel() for layer in layers for part in layer])
    described = run["manifest"]["model"]["layers"]
    ours = page.evaluate(COMPUTE, [described, *(each.ravel().tolist() for each in (row, points, classes, shares))])
    theirs, losses = backpropagate(layers, activation, points, classes, shares)
    np.testing.assert_allclose(ours["losses"], losses, rtol=1e-12)
    for passed, back, layer in zip(ours["passes"], ours["backs"], theirs, strict=True):
        for computed, expected in (
            (passed["inputs"], layer.a),
            (passed["z"], layer.z),
            (back["error"], layer.error),
            (back["weightGradient"], layer.weight_gradient),
            (back["biasGradient"], layer.bias_gradient),
        ):
            np.testing.assert_allclose(computed, expected.ravel(), rtol=1e-11, atol=1e-15)


def test_numbers_are_written_as_the_explanation_writes_them(open_page):
    rng = np.random.default_rng(0)
    numbers = [*(rng.normal(size=2000) * 10.0 ** rng.integers(-20, 20, 2000)), 0.0, 1.0, -1.0, 99999.5, 0.0001, 1e-5]
    page = open_page(SITE, Site({}))
    write = """async (numbers) => {
      const { formatNumber } = await import("/page/format.js");
      return numbers.map((number) => formatNumber(number));
    }"""
    # Halves are rounded to even by Python, away from 0 by JavaScript: none of these is a half.
    assert page.evaluate(write, numbers) == [format_number(number) for number in numbers]


READ_ALL = """async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  const texts = [];
  for (const element of document.querySelectorAll(".graph [role=button]")) {
    element.focus();
    await frame();
    await frame();
    texts.push([document.querySelector(".details h3").textContent, document.querySelector(".details pre").textContent]);
  }
  return texts;
}"""


def test_each_number_of_the_explanation_is_on_the_page(open_page, run, capsys, tmp_path):
    """Of a net with sums that are written out and sums that are not, on mini-batches."""
    overrides = ["model.hidden=[3,5]", "model.activation=tanh", "data.num_points=9", "data.batch_size=4"]
    log = RunLog(run(*overrides, "trainer.max_epochs=3", name="run"), "run")
    (tmp_path / "page.html").write_text(make_page([log]), "utf-8")
    capsys.readouterr()
    assert command("explain", *overrides, "step=4", "point=1") == 0
    forward, _, back, update, _ = re.split(r"\n\n", capsys.readouterr().out.partition("\n\n")[2])
    # The explanation counts the points of the step, the page those of the run.
    batch = list(split_batches(np.frombuffer(log.recording.blob("batches"), "<u4")))[4]
    page = open_page(f"{(tmp_path / 'page.html').as_uri()}#step=4&point={batch[2:][1]}")

    watched: dict[str, list[list[float]]] = {}
    settled(page).keyboard.press("w")
    page.keyboard.press("p")
    for _ in range(8):
        part = settled(page).locator(".details pre").inner_text()
        for line in part.splitlines():
            if found := re.match(r"(fc\d  (?:\d|output))  (.*)", line):
                row = found[2].partition("   (relu")[0]
                watched.setdefault(found[1].replace("output", "1"), []).append(numbers(row))
        page.keyboard.press(".")
    for text, index in ((forward, 0), (back, 1)):
        rows = re.findall(r"^   (fc\d  \d)  (.*)$", text, re.MULTILINE)
        assert len(rows) == 9
        for name, row in rows:
            assert watched[name][index] == numbers(row)

    weights = {name: numbers(row) for name, row in re.findall(r"^   (fc\d  w[₀-₉]+)(.*)$", update, re.MULTILINE)}
    name, row = max(weights.items(), key=lambda item: abs(item[1][-1] - item[1][-2]))
    example = part.partition("The weight that changes most: ")[2]
    assert example.startswith(f"{name.replace('  ', ' ')}, from ")
    _, *lines = example.replace("over the 4 points", "").splitlines()
    assert numbers("\n".join(lines[:3])) == row

    page.keyboard.press("Escape")
    field = settled(page).get_by_role("spinbutton", name="Point")
    field.fill(str(batch[2:][1]))
    field.press("Enter")
    shown = dict(page.evaluate(READ_ALL))
    assert len(shown) == 2 + 9 + 26
    for layer, kind, subscripts, row in re.findall(r"^   (fc\d)  ([wb])([₀-₉]+)(.*)$", update, re.MULTILINE):
        end = "₀₁₂₃₄₅₆₇₈₉".index(subscripts[0])
        names = [f"{layer} w{subscripts},"] if kind == "w" else [f"{layer}, neuron {end}", f"{layer}, the output"]
        (text,) = (text for title, text in shown.items() if any(title.startswith(name) for name in names))
        weight, _, bias = text.replace("over the 4 points", "").partition("Bias")
        text = bias if kind == "b" else weight.partition("Update")[0]
        assert numbers(text) == numbers(row)
