// What the signs in the drawings mean.

import { html, svg } from "./dom.js";
import { shortNumber } from "./format.js";
import { KINDS } from "./kinds.js";
import { DECISION_BEFORE, palette } from "./palette.js";

// How the arrow heads on the edges look, and what they mean.
const FLOWS = {
  forward: ["M8 1L16 5L8 9Z", "activation passed on, none where it is 0"],
  back: ["M16 1L8 5L16 9Z", "error passed back, none where δ is 0"],
};

/** Return the legend of the graph; `seen`: what `seenIn` returns. */
export function graphLegend(run, { kind, point }, seen, scales) {
  const { signs, ink } = palette();
  const [arrow, flow] = FLOWS[seen.flow?.direction] ?? [];
  const hasErrors = seen.errors <= run.layers.length;
  const what = kind === "gradient" && point !== null ? `gradient ∂ℓ/∂w of point ${point}` : KINDS[kind];
  const error = point === null ? "‖∂L/∂z‖ over the step's points" : `δ at point ${point}`;
  return [
    html("span", {}, `Line: ${what}, thickest ${shortNumber(scales.edge)}`),
    key(sample("M0 5H28", { stroke: signs.positive, "stroke-width": 3 }), "positive"),
    key(sample("M0 5H28", { stroke: signs.negative, "stroke-width": 3, "stroke-dasharray": "7 4" }), "negative"),
    ...(seen.flow ? [key(sample(arrow, { fill: ink }, 20), flow)] : []),
    ...(hasErrors ? [html("span", {}, `Frame: error passed back, ${error}, thickest ${shortNumber(scales.error)}`)] : []),
    ...(run.isOnPlane ? [html("span", {}, "In a node: what the neuron computes over the plane")] : []),
  ];
}

/** Return the legend of the plane. */
export function planeLegend(run, { validation, selected }, movesDecision) {
  const [low, high] = endsOf(run.layers, selected);
  const { classes, ink, thin, outline, map } = palette();
  const line = (extra) => sample("M0 5H28", { stroke: ink, "stroke-width": 2, ...extra });
  const mark = (path, fill) => sample(path, { fill, stroke: outline }, 12);
  const shade = (color) => sample("M0 0H12V10H0Z", { fill: `rgb(${color})`, stroke: thin }, 12);
  return [
    key(mark("M6 1A4 4 0 1 0 6.01 1Z", classes[0]), "class 0"),
    key(mark("M6 0L10.5 9H1.5Z", classes[1]), "class 1"),
    key(sample("M1 0L11 10M1 10L11 0", { stroke: ink, "stroke-width": 1.2 }, 12), "behind a point: decided wrongly"),
    key(line({}), movesDecision ? "decision after the step, where p = 0.5" : "decision, where p = 0.5"),
    ...(movesDecision ? [key(line(BEFORE), "decision before the step")] : []),
    ...(run.manifest.line || run.manifest.given ? [key(line({ "stroke-dasharray": "6 4" }), "line that was given (the true one)")] : []),
    ...(run.layers.length > 1 ? [key(line({ stroke: thin, "stroke-width": 0.8 }), "z = 0 of the first layer, + where positive")] : []),
    key(shade(map.negative), low),
    key(shade(map.positive), high),
    ...(validation ? [key(sample("M4 3H8V7H4Z", { fill: classes[0] }, 12), "validation point")] : []),
  ];
}

const BEFORE = { stroke: DECISION_BEFORE.color, "stroke-dasharray": DECISION_BEFORE.dash.join(" "), "stroke-linecap": "round" };

/** Return what the two colors of a map mean. */
function endsOf(layers, selected) {
  if (!selected || selected.input !== undefined || selected.column === layers.length) return ["p = 0", "p = 1"];
  return layers[selected.column - 1]?.activation === "sigmoid" ? ["a = 0", "a = 1"] : ["negative", "positive"];
}

function sample(path, attributes, width = 28) {
  return svg("svg", { width, height: 10, "aria-hidden": "true" }, svg("path", { d: path, fill: "none", ...attributes }));
}

function key(drawing, text) {
  return html("span", { class: "key" }, drawing, ` ${text}`);
}
