"""The page in a real browser: played, scrubbed, pointed at, typed to, beside another run, live, and from disk."""

import numpy as np
import pytest

from experiment.play.run_log import RunLog
from tests.play.browser import SITE, Site, details, made_up, settled, step
from tests.runs.test_tensorboard import eventually, tensorboard


def test_a_run_is_played_and_scrubbed_by_keys_and_by_mouse(open_page, file, short_run):
    page = open_page(file(short_run))
    assert step(page) == 0
    keys = {".": 1, "ArrowRight": 2, ",": 1, "End": 5, "ArrowLeft": 4, "Home": 0, "Shift+ArrowRight": 5}
    for key, expected in keys.items():
        page.keyboard.press(key)
        assert step(page) == expected
    assert "no update follows" in details(page)
    slider = page.get_by_role("slider")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 20)
    assert step(page) == 3
    slider.press("ArrowLeft")
    assert step(page) == 2
    page.get_by_role("spinbutton", name="Step").fill("4")
    page.keyboard.press("Enter")
    assert step(page) == 4
    page.get_by_role("button", name="Step back").click()
    assert step(page) == 3
    page.get_by_label("Speed").select_option("5")
    page.get_by_role("button", name="Play").click()  # from 3 to the end, where it stops
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for()
    assert step(page) == 5


def test_the_address_names_the_view_and_opens_it(open_page, file, short_run):
    address = file(short_run)
    page = open_page(f"{address}#step=2")
    page.get_by_label("gradient ∂L/∂w").check()
    page.get_by_label("validation points").check()
    page.get_by_role("button", name="fc1, neuron 2").click()
    page.mouse.move(0, 0)
    shown = "#run=run&step=2&edges=gradient&at=1.1&validation=1"
    page.wait_for_url(address + shown)
    again = open_page(address + shown)
    assert step(again) == 2
    assert again.get_by_label("gradient ∂L/∂w").is_checked()
    assert "of 1,000 validation points right" in again.locator(".summary").inner_text()
    assert "fc1, neuron 2" in details(again)
    assert "what fc1, neuron 2 computes" in again.locator(".shown").inner_text()
    again.keyboard.press("Escape")
    assert details(again).startswith("Step 2")
    again.evaluate("location.hash = '#run=a=1&step=4'")  # as a link that is followed
    again.get_by_text("There is no run a=1 here.").wait_for()
    assert step(again) == 4


def test_a_point_that_is_clicked_is_followed(open_page, file, short_run):
    points = np.frombuffer(RunLog(short_run, "run").recording.blob("training"), "<f4").reshape(-1, 3)
    page = open_page(file(short_run))
    assert details(page).startswith("Step 0")
    canvas = page.locator("canvas.plane")
    side = canvas.bounding_box()["width"] - 44 - 10  # less the space beside the square of the coordinates −1.1 to 1.1
    for index in (7, 42):
        x, y = points[index, :2].tolist()
        canvas.click(position={"x": 44 + (x + 1.1) / 2.2 * side, "y": 8 + (1.1 - y) / 2.2 * side})
        assert f"of class t = {points[index, 2]:.0f}" in details(page)
        assert page.get_by_role("spinbutton", name="Point").input_value() == str(index)
    page.get_by_role("button", name="all points").click()
    assert details(page).startswith("Step 0")


def test_the_graph_is_walked_with_the_arrow_keys(open_page, file, short_run):
    page = settled(open_page(file(short_run)))
    page.locator(".graph [tabindex='0']").focus()
    walk = [
        ("ArrowLeft", "fc2 w₁₁, from fc1 neuron 1"),
        ("ArrowDown", "fc2 w₁₂, from fc1 neuron 2"),
        ("ArrowLeft", "fc1, neuron 2"),
        ("ArrowUp", "fc1, neuron 1"),
        ("ArrowRight", "fc2 w₁₁, from fc1 neuron 1"),
        ("ArrowRight", "fc2, the output"),
        ("ArrowDown", "fc2, the output"),
        ("ArrowLeft", "fc2 w₁₁, from fc1 neuron 1"),
        ("ArrowLeft", "fc1, neuron 1"),
    ]
    for key, title in walk:
        page.keyboard.press(key)
        assert details(page).startswith(title)
        assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(title)
        assert page.locator(".graph [tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    assert "what fc1, neuron 1 computes" in settled(page).locator(".shown").inner_text()


def test_two_runs_are_shown_beside_each_other_on_one_step(open_page, file, short_run, run):
    name = "other" + "-long" * 30
    other = run("optimizer.lr=1", "trainer.max_epochs=3", name=name)
    page = open_page(file(short_run, other))
    page.get_by_label("beside").select_option(name)
    page.locator(".run").nth(1).wait_for()
    assert page.locator(".run h2").all_inner_texts() == ["run", name]
    page.get_by_label("gradient ∂L/∂w").check()
    first, second = settled(page).locator(".graph-side .legend").all_inner_texts()
    assert first == second  # one scale
    read = "edges => edges.map((edge) => edge.getAttribute('stroke-width'))"
    widths = [page.locator(".run").nth(index).locator(".edge").evaluate_all(read) for index in (0, 1)]
    assert widths[0] == widths[1]  # the same initial weights have the same gradients
    page.keyboard.press("End")
    assert [text[:6] for text in settled(page).locator(".summary").all_inner_texts()] == ["step 5", "step 3"]
    assert "the run has no later step" in page.locator(".summary").nth(1).inner_text()
    page.set_viewport_size({"width": 700, "height": 1000})
    assert settled(page).evaluate("document.documentElement.scrollWidth") == 700
    page.locator(".run").nth(1).get_by_role("button", name="fc1, neuron 3").hover()
    assert [text[:13] for text in settled(page).locator(".details").all_inner_texts()] == ["fc1, neuron 3"] * 2


def test_light_and_dark_follow_the_browser(open_page, file, short_run):
    page = open_page(file(short_run), color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert settled(page).evaluate(background) == "rgb(32, 33, 36)"
    page.emulate_media(color_scheme="light")
    assert settled(page).evaluate(background) == "rgb(255, 255, 255)"


RNG = np.random.default_rng(0)
POINTS, CLASSES = RNG.uniform(-1, 1, (20, 2)), np.arange(20) % 2
OUTPUT = (np.ones((1, 3)), np.zeros(1))


def test_neurons_that_no_error_passes_through_say_why(open_page):
    weight = np.ones((3, 2))
    dead = made_up([(weight, np.array([0, -5, 0])), OUTPUT], "relu", POINTS, CLASSES)
    saturated = made_up([(weight, np.array([0, 40, 0])), OUTPUT], "tanh", POINTS, CLASSES)
    cut_off = made_up([(weight, np.zeros(3)), (np.array([[1, 0, 1]]), np.zeros(1))], "tanh", POINTS, CLASSES)
    site = Site({"dead": dead, "saturated": saturated, "cut off": cut_off})
    for name, mark, reason in (
        ("dead", "dead", "fc1, neuron 2: Dead: z ≤ 0 at each of the 20 training points, so the slope relu′(z) is 0"),
        ("saturated", "saturated", "fc1, neuron 2: Saturated: the slope tanh′(z) is below 0.05 at each of the 20"),
        ("cut off", "no error", "fc1, neuron 2: No error arrives: Σ w·δ is 0 at each of the 20 training points"),
    ):
        page = open_page(f"{SITE}#run={name}", site)
        assert reason in details(page)
        assert [text for text in page.locator(".mark").all_inner_texts() if text] == [mark]


def test_what_cannot_be_shown_is_said(open_page):
    nothing = {"manifest": {"steps": 0}, "reason": "It recorded nothing."}
    open_page(SITE, Site({"one": nothing})).get_by_text("It recorded nothing.").wait_for()
    open_page(SITE, Site({})).get_by_text("No run logged anything").wait_for()

    wide = made_up([(np.ones((3, 4)), np.zeros(3)), OUTPUT], "relu", RNG.normal(size=(20, 4)), CLASSES)
    page = open_page(SITE, Site({"wide": wide}))
    page.get_by_text("No maps: the points have 4 inputs (input 0, input 1, input 2, input 3)").wait_for()
    assert page.locator("canvas").count() == 0
    assert "20 training points" in details(page)

    diverged = made_up([(np.full((3, 2), np.nan), np.zeros(3)), OUTPUT], "relu", POINTS, CLASSES)
    page = open_page(SITE, Site({"diverged": diverged}))
    assert "weights are not finite" in settled(page).locator(".summary").inner_text()
    assert page.locator(".edge.unknown").count() == 6

    damaged = made_up([(np.ones((3, 2)), np.zeros(3)), OUTPUT], "unheard of", POINTS, CLASSES)
    open_page(SITE, Site({"damaged": damaged})).get_by_text("What was recorded cannot be shown").wait_for()

    series = {"train/loss": [1, 0.5, 0.25], "error/body": [0.1, 0.2, 0.3], "gradient/body.weight": [1, 2, 3]}
    steps = np.arange(3, dtype="<u4").tobytes()
    packed = {tag: steps + np.array(values, "<f4").tobytes() for tag, values in series.items()}
    layers = [{"name": "body", "type": "Linear", "parameters": [{"name": "body.weight", "shape": [2, 3]}]}]
    model = {"kind": "layers", "layers": layers, "reason": "Too large: 12 of 10."}
    other = {"manifest": {"first": 0, "steps": 3, "model": model, "series": [*series], "note": None}, "series": packed}
    page = settled(open_page(f"{SITE}#step=1", Site({"other": other})))
    for words in ("Too large: 12 of 10.", "L = 0.50000", "‖∂L/∂z‖ = 0.200", "‖∂L/∂w‖ = 2.0000"):
        page.get_by_text(words).wait_for()


def test_the_given_boundary_is_drawn_as_a_line_or_as_points_of_a_curve(open_page):
    """Where y = 0.5; without hidden neurons, whose lines would cross it, and without a decision in view."""
    layers = [(np.zeros((1, 2)), np.ones(1))]
    read = """canvas => {
      const { width, height } = canvas;
      const [left, top, side] = [44, 8, width - 54];
      const row = Math.round(top + ((1.1 - 0.5) / 2.2) * side);
      const { data } = canvas.getContext("2d").getImageData(left, row, side, 1);
      return data.filter((value, index) => index % 4 === 0 && value < 100).length / side;
    }"""
    dark = {}
    for name, facts in {
        "none": {},
        "line": {"line": [0, 2, -1]},
        "curve": {"given": [[[-1.1, 0.5], [0, 0.5], [1.1, 0.5]]]},
    }.items():
        page = open_page(SITE, Site({name: made_up(layers, "relu", POINTS, CLASSES, **facts)}))
        dark[name] = settled(page).locator("canvas.plane").evaluate(read)
    assert dark["none"] < 0.1
    assert dark["line"] > 0.4  # dashes
    assert dark["curve"] > 0.4


def test_a_run_that_grows_is_followed(open_page):
    run = made_up([(np.ones((3, 2)), np.zeros(3)), OUTPUT], "relu", POINTS, CLASSES)
    site = Site({"live": run})
    page = open_page(SITE, site)
    assert step(page) == 0
    page.keyboard.press("End")
    assert step(page) == 1
    run["manifest"]["steps"], run["blobs"]["weights"] = 2, run["blobs"]["weights"] + bytes(4 * run["manifest"]["size"])
    page.get_by_text("of 2", exact=True).wait_for()
    assert step(page) == 2  # it was at the end, and stays there
    assert "L = 0.69315" in details(page)  # all weights are 0, every p is one half
    page.keyboard.press("Home")
    run["manifest"]["steps"], run["blobs"]["weights"] = 3, run["blobs"]["weights"] + bytes(4 * run["manifest"]["size"])
    page.get_by_text("of 3", exact=True).wait_for()
    assert step(page) == 0
    site.runs["new"] = run
    page.get_by_label("beside").wait_for()


@pytest.mark.parametrize("fast", [True, False])
def test_the_tab_in_tensorboard(open_page, short_run, run, fast):
    """Its address, its theme, a run that grows, and no question while another tab is shown."""
    with tensorboard(".", fast) as address:
        page = open_page(f"{address}#backpropagation&step=2")
        frame = page.frame_locator("iframe")
        frame.locator(".summary").wait_for()
        assert frame.locator(".summary").inner_text().startswith("step 2")
        page.wait_for_url(f"{address}#backpropagation&run=run&step=2&edges=weight")
        run("trainer.max_epochs=8", name="run")
        frame.get_by_text("of 8", exact=True).wait_for()
        page.evaluate("document.body.classList.add('dark-mode')")
        assert frame.locator("html").get_attribute("data-theme") == "dark"
        asked: list[str] = []
        page.get_by_role("tab", name="scalars", exact=True).click()
        page.wait_for_timeout(300)
        page.on("request", lambda request: asked.append(request.url))
        page.wait_for_timeout(2500)
        assert not [url for url in asked if "backpropagation" in url]
        page.get_by_role("tab", name="Backpropagation").click()
        eventually(lambda: page.wait_for_timeout(10), lambda _: any("backpropagation/runs" in url for url in asked))
        page.close()
