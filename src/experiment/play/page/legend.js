// What the signs in the drawings mean.

import { html, svg } from "./dom.js";
import { shortNumber } from "./format.js";
import { KINDS } from "./kinds.js";
import { palette } from "./palette.js";

/** Return the legend of the graph. */
export function graphLegend({ kind, point }, scales) {
  const { signs } = palette();
  const what = kind === "gradient" && point !== null ? `gradient ∂ℓ/∂w of point ${point}` : KINDS[kind];
  const error = point === null ? "‖∂L/∂z‖ over the step's points" : `δ at point ${point}`;
  return [
    html("span", {}, `Line: ${what}, thickest ${shortNumber(scales.edge)}`),
    key(sample("M0 5H28", { stroke: signs.positive, "stroke-width": 3 }), "positive"),
    key(sample("M0 5H28", { stroke: signs.negative, "stroke-width": 3, "stroke-dasharray": "7 4" }), "negative"),
    html("span", {}, `Frame: error passed back, ${error}, thickest ${shortNumber(scales.error)}`),
  ];
}

/** Return the legend of the plane. */
export function planeLegend(run, { validation, selected }) {
  const [low, high] = endsOf(run.layers, selected);
  const { classes, ink, thin, outline, map } = palette();
  const line = (extra) => sample("M0 5H28", { stroke: ink, "stroke-width": 2, ...extra });
  const mark = (path, fill) => sample(path, { fill, stroke: outline }, 12);
  const shade = (color) => sample("M0 0H12V10H0Z", { fill: `rgb(${color})`, stroke: thin }, 12);
  return [
    key(mark("M6 1A4 4 0 1 0 6.01 1Z", classes[0]), "class 0"),
    key(mark("M6 0L10.5 9H1.5Z", classes[1]), "class 1"),
    key(sample("M2 1L10 9M2 9L10 1", { stroke: ink, "stroke-width": 1.6 }, 12), "decided wrongly"),
    key(line({}), "decision"),
    ...(run.manifest.line || run.manifest.given ? [key(line({ "stroke-dasharray": "6 4" }), "given line")] : []),
    ...(run.layers.length > 1 ? [key(line({ stroke: thin, "stroke-width": 0.8 }), "z = 0 of the first layer, + where positive")] : []),
    key(shade(map.negative), low),
    key(shade(map.positive), high),
    ...(validation ? [key(sample("M4 3H8V7H4Z", { fill: classes[0] }, 12), "validation point")] : []),
  ];
}

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
