"""A step that is watched part by part, in a real browser; what is to be seen is computed by the chain rule in NumPy."""

import re
from typing import Any

import numpy as np
import pytest

from experiment.points.chain_rule import backpropagate
from experiment.points.textbook import format_number
from tests.play.browser import SITE, Net, Site, details, made_up, settled, step

RNG = np.random.default_rng(1)
POINTS, CLASSES = RNG.uniform(-1, 1, (20, 2)).astype("<f4").astype(float), np.arange(20) % 2
NET: Net = [(RNG.normal(size=shape).astype("<f4").astype(float), np.zeros(shape[0])) for shape in ((4, 2), (1, 4))]
PARTS = [
    "1 Forward, layer 1 of 2: fc1",
    "1 Forward, layer 2 of 2: fc2",
    "2 Loss",
    "3 Error, layer 2 of 2: at the output",
    "3 Error passed back, layer 1 of 2",
    "4 Update",
    "5 The decision moves",
]


# The same run, but that each gradient of a weight has the other sign.
MIRRORED = ([(-weight, bias) for weight, bias in NET], -POINTS, 1 - CLASSES)


def trained(shares: np.ndarray, run: tuple[Net, Any, Any] = (NET, POINTS, CLASSES)) -> tuple[Any, Net, np.ndarray]:
    """Return what the chain rule computes in a step, the net after it, and ℓ of each point after it."""
    net, points, classes = run
    layers, losses = backpropagate(net, "relu", points, classes, shares)
    after = [(each.weight - each.weight_gradient / 2, each.bias - each.bias_gradient / 2) for each in layers]
    return (layers, losses), after, backpropagate(after, "relu", points, classes, shares)[1]


def watch(page: Any, part: int) -> Any:
    """Watch a step, and stop at a part of it."""
    settled(page).keyboard.press("w")
    page.keyboard.press("p")
    for _ in range(part):
        page.keyboard.press(".")
    return settled(page)


@pytest.fixture
def watched(open_page):
    """Opens the made-up run and watches its step at a point, up to a part."""

    def open_(part: int, point: int = 0, of: Any = (NET, POINTS, CLASSES), **facts: Any) -> Any:
        blobs = facts.pop("blobs", {})
        net, points, classes = of
        run = made_up(net, "relu", points, classes, **facts)
        run["blobs"] |= blobs
        return watch(open_page(f"{SITE}#point={point}", Site({"run": run})), part)

    return open_


def test_each_part_has_its_number_and_shows_what_has_happened(watched):
    """Arrow heads travel where an activation is passed on or an error arrives; δ comes not before its part."""
    layers = trained(np.full(20, 1 / 20))[0][0]
    page = watched(0)
    captions, flows, errors, frames, kinds = [], [], [], [], []
    for _ in PARTS:
        captions.append(page.locator(".caption").inner_text())
        flows.append([page.locator(f".marks.{way}").count() for way in ("forward", "back")])
        errors.append([bool(text) for text in page.locator(".label .error").all_text_contents()])
        frames.append("Frame: error passed back" in page.locator(".graph-side .legend").inner_text())
        kinds.append(page.locator("input[name=edges]:checked").input_value())
        assert "δ" not in page.locator(".details").inner_text() or len(captions) > 3
        page.keyboard.press(".")
        settled(page)
    assert [caption[: len(start)] for caption, start in zip(captions, PARTS, strict=True)] == PARTS
    on, passed = np.count_nonzero(layers[1].a[0]), np.count_nonzero(layers[0].error[0])
    assert 0 < on < 4
    assert flows == [[8, 0], [on, 0], [0, 0], [0, 0], [0, passed], [0, 0], [0, 0]]
    output, all_, none = [False] * 6 + [True], [False] * 2 + [True] * 5, [False] * 7
    assert errors == [none, none, none, output, all_, all_, none]
    assert frames == [any(each) for each in errors]
    assert kinds == ["weight"] * 5 + ["update"] * 2
    assert page.locator("input[name=edges]").first.is_enabled()
    assert step(page) == 1
    assert page.locator(".caption").inner_text() == ""


def test_no_error_goes_on_from_a_neuron_that_has_none(watched):
    rng = np.random.default_rng(2)
    net = [(rng.normal(size=shape), np.zeros(shape[0])) for shape in ((5, 2), (5, 5), (1, 5))]
    run = (net, POINTS, CLASSES)
    first, second, _ = (np.count_nonzero(layer.error[0]) for layer in trained(np.full(20, 1 / 20), run)[0][0])
    assert 0 < first < 5
    assert 0 < second < 5
    assert watched(6, of=run).locator(".marks.back").count() == first * second


def test_a_neuron_that_is_off_says_why_it_gets_no_error(watched):
    rows = watched(4).locator(".details pre").inner_text().splitlines()
    active = trained(np.full(20, 1 / 20))[0][0][0].z[0] > 0
    assert [row.endswith("   (relu is off: z ≤ 0, slope 0)") for row in rows] == [not each for each in active]
    assert ["δ = slope 1.0000 · (" in row for row in rows] == [*active]


def test_the_error_comes_with_the_arrow_heads(watched):
    page = watched(4)
    look = """time => {
      for (const each of document.getAnimations()) { each.pause(); each.currentTime = time; }
      const { visibility } = getComputedStyle(document.querySelector(".label .error.arrives"));
      const heads = [...document.querySelectorAll(".marks.back > .arrow")];
      return [visibility, heads.map((each) => each.getBoundingClientRect().x), getComputedStyle(heads[0]).offsetRotate];
    }"""
    earlier, later = (page.evaluate(look, time) for time in (1150, 1250))
    assert [earlier[0], later[0]] == ["hidden", "visible"]
    assert earlier[2] == "auto 180deg"
    assert len(set(earlier[1])) > 2  # spread along the edges
    assert sum(one > other for one, other in zip(earlier[1], later[1], strict=True)) >= len(earlier[1]) - 1
    assert "error passed back, none where δ is 0" in page.locator(".graph-side .legend").inner_text()


@pytest.mark.parametrize("of", [(NET, POINTS, CLASSES), MIRRORED])
def test_the_update_is_that_of_all_points_with_the_most_changed_weight_as_an_example(watched, of):
    shares = np.full(20, 1 / 20)
    (layers, losses), after, losses_after = trained(shares, of)
    changes = [np.abs(each.weight_gradient) for each in layers]
    index = int(changes[1].max() > changes[0].max())
    layer = layers[index]
    j, i = np.unravel_index(changes[index].argmax(), layer.weight.shape)
    name = f"w{'₀₁₂₃₄'[j + 1]}{'₀₁₂₃₄'[i + 1]}"
    own = layer.error[:, j] * layer.a[:, i]
    gradient = layer.weight_gradient[j, i]
    other_way, same_way = (own * gradient < 0).argmax(), (own * gradient > 0).argmax()
    rising = (losses_after > losses).argmax()
    for point in {other_way, same_way, rising, (losses_after < losses).argmax()}:
        page = watched(5, point, of, after=after)
        title, _, heading, *lines = details(page).splitlines()
        assert title == "Step 0: the update, from 20 points"
        assert heading.startswith(f"The weight that changes most: fc{index + 1} {name}, from ")
        assert lines[0].endswith(f" = {format_number(own[point])}")
        assert lines[1].strip() == f"∂L/∂w = {format_number(gradient)}, the mean of δ·a over the 20 points of the step"
        assert lines[2].endswith(f"w′ = {format_number(after[index][0][j, i])}")
        outweighed = f"Alone, point {point} would change {name} the other way: the other points outweigh it."
        assert (outweighed in lines) == (own[point] * gradient < 0)
        assert (f"Point {point} does not act on {name}: its δ·a is 0." in lines) == (own[point] == 0)
        effect = f"ℓ of point {point} = {format_number(losses[point])} → {format_number(losses_after[point])}"
        rises = ": a point's own loss may rise while L falls" if losses_after[point] > losses[point] else ""
        assert lines[-1] == effect + rises
        norms = [np.linalg.norm(shares * error) for error in layers[0].error.T]
        shown = page.locator(".label .error").all_inner_texts()[2:6]
        assert [float(text.partition("= ")[2]) for text in shown] == pytest.approx(norms, rel=1e-2)


def test_the_gradient_of_batches_of_different_sizes_is_not_called_a_mean(watched):
    shares = np.zeros(20)
    shares[:3], shares[3] = 1 / 6, 1 / 2
    _, after, _ = trained(shares)
    batches = np.array([2, 3, 0, 1, 2, 1, 3], "<u4").tobytes()
    page = watched(5, 7, after=after, batches=True, accumulate=2, blobs={"batches": batches})
    assert "the sum of share·δ·a over the 4 points of the step" in page.locator(".caption").inner_text()
    assert "The step does not train on point 7." in details(page)
    assert "mean" not in details(page)


@pytest.mark.parametrize(
    ("shift", "words"), [(0.2, "by 0.200 at most."), (0.004, "by 0.00400 at most: too little to see")]
)
def test_the_decision_is_shown_before_and_after_the_step(open_page, shift, words):
    """It is where x = −0.3, and then further to the right."""
    before, after = ([(np.array([[4.0, 0.0]]), np.array([4 * x]))] for x in (0.3, 0.3 - shift))
    points = np.column_stack([np.linspace(-1, 1, 20), np.full(20, -1.05)])
    classes = (points[:, 0] > 0).astype(float)
    run = made_up(before, "relu", points, classes, after)
    page = watch(open_page(f"{SITE}#point=9", Site({"run": run})), 4)
    legend = page.locator(".plane-side .legend")
    assert "decision after the step, where p = 0.5" in legend.inner_text()
    assert "decision before the step" in legend.inner_text()
    assert "after the step" in page.locator(".shown").inner_text()
    losses = [backpropagate(net, "relu", points, classes, np.full(20, 1 / 20))[1].mean() for net in (before, after)]
    change = f"L = {' → '.join(map(format_number, losses))}"
    assert page.locator(".caption").inner_text().endswith(f"{change}.")
    assert change in details(page)
    assert f"The line moves {words}" in details(page)
    read = """(canvas, xs) => xs.map((x) => {
      const side = canvas.width - 54;
      const column = Math.round(44 + ((x + 1.1) / 2.2) * side);
      const { data } = canvas.getContext("2d").getImageData(column, 20, 1, side - 40);
      return data.filter((value, index) => index % 4 === 0 && value < 190).length / (side - 40);
    })"""
    dotted, solid = page.locator("canvas.plane").evaluate(read, [-0.3, -0.3 + shift])
    assert solid > 0.95
    if shift > 0.1:
        assert 0.2 < dotted < 0.8
    page.keyboard.press(",")
    assert "decision, where p = 0.5" in settled(page).locator(".plane-side .legend").inner_text()


def test_the_distance_of_two_lines_is_that_of_their_places(open_page):
    """Computed from places that lie close on each line."""
    rng = np.random.default_rng(0)
    lines = rng.uniform(0, 10, (2, 4, 4))
    page = open_page(SITE, Site({}))
    compute = 'async (lines) => (await import("/page/contour.js")).distance(...lines)'
    along = np.linspace(0, 1, 2001)[:, None, None]
    places = [(line[:, :2] + along * (line[:, 2:] - line[:, :2])).reshape(-1, 2) for line in lines]
    corners = [line[:, :2] for line in lines]
    away = [np.linalg.norm(corners[one][:, None] - places[1 - one][None], axis=-1).min(axis=1).max() for one in (0, 1)]
    assert page.evaluate(compute, lines.tolist()) == pytest.approx(max(away), abs=1e-4)
    assert page.evaluate(compute, [lines[0].tolist(), []]) is None


def test_the_watch_stops_at_its_end_and_play_goes_on(open_page, file, short_run):
    page = settled(open_page(file(short_run)))
    page.clock.install()
    page.keyboard.press("w")
    for _ in range(len(PARTS)):
        page.clock.run_for(3100)
    page.get_by_role("button", name="Play").wait_for()
    page.clock.run_for(10_000)
    assert "5 The decision moves" in page.locator(".caption").inner_text()
    assert page.get_by_role("spinbutton", name="Step").input_value() == "0"
    page.keyboard.press("p")
    page.clock.run_for(2000)
    assert page.get_by_role("spinbutton", name="Step").input_value() == "5"


def test_without_an_update_the_watch_says_so(open_page):
    """At the end of what is recorded, in a step that changes nothing, and where weights are not finite."""
    broken = [(weight * np.nan, bias) for weight, bias in NET]
    same, diverged = (made_up(NET, "relu", POINTS, CLASSES, after) for after in (None, broken))
    site = Site({"same": same, "diverged": diverged})
    for view, words in (
        ("run=same&step=1", "The end of what is recorded: no update follows."),
        ("run=same", "No weight changes."),
        ("run=diverged", "The new weights are not finite."),
    ):
        assert words in details(watch(open_page(f"{SITE}#{view}", site), 5))
    page = watch(open_page(f"{SITE}#run=same&step=1", site), 6)
    assert page.locator(".caption").inner_text() == "No update follows: this is the end of what is recorded."
    assert "The line does not move." in details(watch(open_page(f"{SITE}#run=same", site), 6))


def test_a_neuron_has_a_name_and_a_value_and_the_output_one_name(watched):
    page = watched(1)
    layers = trained(np.full(20, 1 / 20))[0][0]
    p = 1 / (1 + np.exp(-layers[1].z[0, 0]))
    labels = page.locator(".label").all_inner_texts()
    assert re.fullmatch(r"1: a = [\d.]+", labels[2])
    assert labels[6] == f"output: p = {p:#.3g}"
    assert page.locator(".details pre").inner_text().startswith("fc2  output  z = ")
    assert "In a node: what the neuron computes over the plane" in page.locator(".graph-side .legend").inner_text()


def test_a_cross_leaves_the_class_of_its_point_to_be_seen(open_page):
    """Two points of one class, one of them decided wrongly: their middles look alike, what is around them does not."""
    net = [(np.array([[1e-3, 0.0]]), np.zeros(1))]
    run = made_up(net, "relu", np.array([[-0.5, 0.5], [0.5, 0.5]]), np.ones(2), line=[0, 1, 1])
    page = settled(open_page(SITE, Site({"run": run})))
    read = """canvas => [-0.5, 0.5].map((x) => {
      const side = canvas.width - 54;
      const [column, row] = [44 + ((x + 1.1) / 2.2) * side, 8 + (0.6 / 2.2) * side].map(Math.round);
      const context = canvas.getContext("2d");
      const pixels = (reach) => context.getImageData(column - reach, row - reach, 2 * reach + 1, 2 * reach + 1);
      const dark = pixels(7).data.filter((value, index) => index % 4 === 0 && value < 60).length;
      return [[...pixels(0).data], dark];
    })"""
    (wrong, crossed), (right, plain) = page.locator("canvas.plane").evaluate(read)
    assert wrong == right
    assert crossed > plain
    assert "line that was given (the true one)" in page.locator(".plane-side .legend").inner_text()
