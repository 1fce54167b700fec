// The parts of a training step, in the order in which they happen.

import { formatNumber } from "./format.js";
import { meanOf } from "./formulas.js";

/**
 * Return the phases of a step as {kind, column}: forward through each layer, the loss, back through each, the update, and
 * the decision that moves.
 */
export function phasesOf(layers) {
  const columns = layers.map((_, index) => index + 1);
  return [
    ...columns.map((column) => ({ kind: "forward", column })),
    { kind: "loss", column: columns.length },
    ...columns.toReversed().map((column) => ({ kind: "backward", column })),
    { kind: "update", column: 0 },
    { kind: "decision", column: 0 },
  ];
}

/** Return whether a phase is one of the whole step, and not of a single point. */
export function isOfAllPoints({ kind }) {
  return kind === "update" || kind === "decision";
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
  if (kind === "loss" || kind === "decision") return { activations: last, errors: last + 1, flow: null };
  if (kind === "update") return { activations: last, errors: 1, flow: null };
  return { activations: last, errors: column, flow: column < last ? { column: column + 1, direction: "back" } : null };
}

/** Return a sentence that says what happens in a phase, with the numbers of the step or of the point that is followed. */
export function captionOf(phase, moment, point) {
  if (isOfAllPoints(phase) && !moment.after) return "No update follows: this is the end of what is recorded.";
  return CAPTIONS[phase.kind](phase.column, moment, point);
}

const CAPTIONS = {
  forward: forwardCaption,
  loss: lossCaption,
  backward: backwardCaption,
  update: updateCaption,
  decision: decisionCaption,
};

function forwardCaption(column, { layers }) {
  const { name, activation } = layers[column - 1];
  const inputs = column === 1 ? "the inputs" : `the activations of ${layers[column - 2].name}`;
  const value = column === layers.length ? "p = σ(z), the probability of class 1" : `a = ${shortName(activation)}(z)`;
  return `1 Forward${placeOf(column, layers)}: ${name} takes ${inputs}, times the weights, z = Σ w·a + b, and computes ${value}.`;
}

function lossCaption(column, { loss, training }, point) {
  const value = point === null ? `L = ${formatNumber(loss)}, the mean` : `ℓ = ${formatNumber(training.losses[point])}`;
  return `2 Loss: how wrong the guess is, ℓ = −ln p where the class is 1, −ln(1 − p) where it is 0. Here ${value}.`;
}

function backwardCaption(column, { layers }) {
  const start = `3 Error${column < layers.length ? " passed back" : ""}${placeOf(column, layers)}`;
  if (column === layers.length) return `${start}: at the output, it is guess less truth, δ = p − t.`;
  const [{ name, activation }, next] = layers.slice(column - 1);
  const slope = `${shortName(activation)}′(z)`;
  return `${start}: each neuron of ${name} gets the δ of ${next.name} times the weights to it, Σ w·δ, times its own slope ${slope}.`;
}

function updateCaption(_, { batch }) {
  return `4 Update: now all points of the step count. The gradient of a weight is ${meanOf("δ·a", batch)}.`;
}

function decisionCaption(_, { loss, lossAfter }) {
  return `5 The decision moves: new weights, so p = 0.5 lies elsewhere. L = ${formatNumber(loss)} → ${formatNumber(lossAfter)}.`;
}

function placeOf(column, layers) {
  return layers.length > 1 ? `, layer ${column} of ${layers.length}` : "";
}

function shortName(activation) {
  return activation === "sigmoid" ? "σ" : activation;
}
