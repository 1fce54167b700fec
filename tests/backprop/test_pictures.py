"""The picture of backpropagation."""

import math
from collections.abc import Callable

import pytest

from experiment.backprop.pictures import draw_backpropagation
from experiment.runs.pictures import Curve
from tests.runs.test_pictures import STEPS, assert_nothing_is_cut_off_or_overlaps

pytestmark = pytest.mark.draws


def curves(
    layers: list[str], value: Callable[[int, int], float] = lambda depth, step: math.exp(-depth - step / 400)
) -> dict[str, Curve]:
    errors: dict[str, Curve] = {
        f"error/{layer}": [(step, value(depth, step)) for step in STEPS] for depth, layer in enumerate(layers)
    }
    moves: dict[str, Curve] = {
        f"update_ratio/{layer}.weight": [(step, value(depth, step) / 1000) for step in STEPS]
        for depth, layer in enumerate(layers)
    }
    return errors | moves


def names(count: int) -> list[str]:
    """Of the layers of a net, from the output to the input."""
    return [f"transformer.encoder.layers.{index}.self_attention.out_proj" for index in reversed(range(count))]


@pytest.mark.parametrize("count", [1, 6, 13, 60])
@pytest.mark.parametrize(
    "value",
    [
        lambda depth, step: math.exp(-depth - step / 400),
        lambda depth, step: 10.0 ** (12 - 0.7 * depth),
        lambda depth, step: 1e-30 * (1 + depth),
        lambda depth, step: math.nan if step > 300 else 0.0,
    ],
)
def test_nothing_is_cut_off_or_overlaps(count, value):
    assert_nothing_is_cut_off_or_overlaps(draw_backpropagation(curves(names(count), value)))


def test_a_single_point_can_be_seen():
    one = {tag: curve[:1] for tag, curve in curves(["fc2", "fc1"]).items()}
    figure = draw_backpropagation(one)
    assert_nothing_is_cut_off_or_overlaps(figure)
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.get_lines())


def legend(layers: list[str]) -> list[str]:
    return [text.get_text() for text in draw_backpropagation(curves(layers)).legends[0].get_texts()]


def test_the_legend_names_the_layers_from_the_output_to_the_input():
    assert legend(["fc3", "fc2", "fc1"]) == ["fc3", "fc2", "fc1"]


def test_a_layer_whose_tag_is_a_number_is_named_as_in_the_module():
    assert legend(["6", "3.linear", "0", "body.0"]) == ["net.6", "net.3.linear", "net.0", "body.0"]


def test_the_legend_of_many_layers_names_the_first_the_last_and_some_between():
    layers = [f"fc{number}" for number in range(60, 0, -1)]
    named = legend(layers)
    assert len(named) == 12
    assert (named[0], named[-1]) == ("fc60", "fc1")
    assert named == [layer for layer in layers if layer in named]


def test_of_a_long_name_the_end_is_shown():
    (name,) = legend(names(1))
    assert (len(name), name[0]) == (32, "…")
    assert names(1)[0].endswith(name[1:])


def test_every_weight_of_a_layer_is_drawn_in_its_colour_and_no_bias():
    parameters = [
        "gru.weight_ih_l0",
        "gru.weight_hh_l0",
        "gru.bias_hh_l0",
        "attention.in_proj_weight",
        "attention.out.weight",
    ]
    tags = ["error/gru", "error/attention", *(f"update_ratio/{parameter}" for parameter in parameters)]
    figure = draw_backpropagation({tag: [(0, index), (1, index)] for index, tag in enumerate(tags)})
    (gru, attention), moves = (axes.get_lines() for axes in figure.axes)
    assert [tags[int(line.get_ydata()[0])].partition("/")[2] for line in moves] == [*parameters[:2], parameters[3]]
    assert [[*line.get_color()] for line in moves] == [[*line.get_color()] for line in (gru, gru, attention)]
