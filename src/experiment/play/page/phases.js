// The parts of a training step, in the order in which they happen.

import { formatNumber } from "./format.js";

/** Return the phases of a step as {kind, column}: forward through each layer, the loss, back through each, the update. */
export function phasesOf(layers) {
  const columns = layers.map((_, index) => index + 1);
  return [
    ...columns.map((column) => ({ kind: "forward", column })),
    { kind: "loss", column: columns.length },
    ...columns.toReversed().map((column) => ({ kind: "backward", column })),
    { kind: "update", column: 0 },
  ];
}

/**
 * Return what is to be seen in a phase: activations up to a column, errors down to a column, and in which column edges
 * carry something. Without a phase, everything is.
 */
export function seenIn(phase, layers) {
  const last = layers.length;
  if (!phase) return { activations: last, errors: 1, flow: null };
  const { kind, column } = phase;
  if (kind === "forward") return { activations: column, errors: last + 1, flow: { column, direction: "forward" } };
  if (kind === "loss") return { activations: last, errors: last + 1, flow: null };
  if (kind === "update") return { activations: last, errors: 1, flow: null };
  return { activations: last, errors: column, flow: column < last ? { column: column + 1, direction: "back" } : null };
}

/** Return a sentence that says what happens in a phase, with the numbers of the step or of the point that is followed. */
export function captionOf({ kind, column }, moment, point) {
  const { layers } = moment;
  const { name, activation } = layers[column - 1] ?? {};
  const f = activation === "sigmoid" ? "σ" : activation;
  const isOutput = column === layers.length;
  if (kind === "forward") {
    const inputs = column === 1 ? "the inputs" : `the activations of ${layers[column - 2].name}`;
    const value = isOutput ? "p = σ(z), the probability of class 1" : `a = ${f}(z)`;
    return `1 Forward: ${name} takes ${inputs}, times the weights, z = Σ w·a + b, and computes ${value}.`;
  }
  if (kind === "loss") {
    const loss = point === null ? `L = ${formatNumber(moment.loss)}, the mean` : `ℓ = ${formatNumber(moment.training.losses[point])}`;
    return `2 Loss: how wrong the guess is, ℓ = −ln p where the class is 1, −ln(1 − p) where it is 0. Here ${loss}.`;
  }
  if (kind === "backward") {
    if (isOutput) return `3 Error: at the output, it is guess less truth, δ = p − t.`;
    const next = layers[column].name;
    return `3 Error passed back: each neuron of ${name} gets the δ of ${next} times the weights to it, Σ w·δ, times its own slope ${f}′(z).`;
  }
  const { lossAfter } = moment;
  const effect = lossAfter === null ? "" : ` The loss becomes ${formatNumber(lossAfter)}.`;
  return `4 Update: each weight moves by its gradient, error δ times activation a: ${moment.run.manifest.optimizer}.${effect}`;
}
