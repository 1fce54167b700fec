// The names of neurons and weights.

import { subscript } from "./format.js";

/** Return the name of a weight, with the subscripts of the neurons where it ends and begins. */
export function weightName({ inputs, outputs }, neuron, input) {
  return `w${subscript(neuron + 1)}${Math.max(inputs, outputs) > 9 ? "," : ""}${subscript(input + 1)}`;
}

/** Return the name of a neuron or an edge of a run. */
export function nameOf({ column, neuron, input }, { layers, manifest }) {
  if (column === 0) return `input ${manifest.inputs[neuron]}`;
  const layer = layers[column - 1];
  const isOutput = column === layers.length;
  if (input === undefined) return isOutput ? `${layer.name}, the output` : `${layer.name}, neuron ${neuron + 1}`;
  const source = column === 1 ? manifest.inputs[input] : `${layers[column - 2].name} neuron ${input + 1}`;
  return `${layer.name} ${weightName(layer, neuron, input)}, from ${source} to ${isOutput ? "the output" : `neuron ${neuron + 1}`}`;
}
