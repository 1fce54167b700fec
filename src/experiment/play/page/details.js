// The numbers of a neuron, an edge, a point or a step.

import { formatCount, formatNumber, formatShare } from "./format.js";
import { biasLines, edgeLines, errorLine, errorLines, forwardLines, lossOf, outputErrorOf, tablesOf } from "./formulas.js";
import { norm } from "./moment.js";
import { nameOf } from "./names.js";
import { isOfAllPoints } from "./phases.js";
import { updateDetails } from "./update.js";

const MAX_NEURONS = 8; // of a layer whose numbers are written one after another

/**
 * Return {title, lines, tables} of a neuron or an edge; without one, of the phase that is watched, of the point that is
 * followed, or of the step.
 *
 * @param point the index of the training point that is followed; null: all points of the step.
 * @param decisionLines what the last phase says, where it is watched.
 */
export function detailsOf(item, moment, point, phase = null, decisionLines = null) {
  const where = point === null ? "" : `, at point ${point}`;
  if (item) return { title: nameOf(item, moment.run) + where, ...itemDetails(item, moment, point) };
  if (decisionLines) return { title: `Step ${moment.step}: the decision before and after it`, lines: decisionLines, tables: [] };
  if (phase && isOfAllPoints(phase)) return { ...updateDetails(moment, point), tables: [] };
  if (point === null) return { title: `Step ${moment.step}`, lines: stepLines(moment), tables: [] };
  const lines = phase ? phaseLines(phase, moment, point) : pointLines(moment, point);
  return { title: `Point ${point}`, lines, tables: [] };
}

function itemDetails(item, moment, point) {
  const update = ["Update  " + moment.run.manifest.optimizer];
  if (item.input !== undefined) {
    return { lines: ["Gradient", ...indented(edgeLines(item, moment, point)), ...update], tables: [] };
  }
  if (item.column === 0) return { lines: inputLines(item, moment, point), tables: [] };
  const mark = moment.markOf(item);
  const lines = [
    ...(mark ? [mark.reason] : []),
    ...(point === null ? averageLines(item, moment) : neuronLines(item, moment, point)),
    "Bias",
    ...indented(biasLines(item, moment, point)),
  ];
  return { lines, tables: point === null ? [] : tablesOf(item, moment, point) };
}

function indented(lines) {
  return lines.map((line) => `   ${line}`);
}

function stepLines(moment) {
  const { run, batch, training, layers } = moment;
  const all = `all ${formatCount(training.count)} training points`;
  const seen = moment.batches ? `${formatCount(batch.count)} of the ${formatCount(training.count)} training points` : all;
  const errors = layers.map(({ name }, l) => `${name}  ${formatNumber(layerNorm(moment, l))}`).toReversed();
  const marks = layers.slice(0, -1).flatMap(({ name }, l) =>
    moment.marks[l].flatMap((mark, j) => (mark ? [`${name}, neuron ${j + 1}: ${mark.reason}`] : [])),
  );
  return [
    moment.after ? `Trains on ${seen}.` : "The end of what is recorded: no update follows.",
    `Loss  L = ${formatNumber(moment.loss)}${moment.after ? ` → ${formatNumber(moment.lossAfter)} after the step` : ""}`,
    `Right  ${moment.right} of ${training.count} training points, ${formatShare(moment.right / training.count)}`,
    `Error passed back, ‖∂L/∂z‖ of each layer`,
    ...indented(errors),
    `Update  ${run.manifest.optimizer}`,
    ...marks,
  ];
}

function layerNorm({ batch, layers }, l) {
  return Math.hypot(...Array.from({ length: layers[l].outputs }, (_, j) => norm(batch, l, j, "error")));
}

function pointLines(moment, point) {
  const { training, layers } = moment;
  const p = training.passes[layers.length - 1].a[point];
  return [...guessLines(moment, point), `Error  ${outputErrorOf(p, training.classes[point])}`];
}

/** Return all of a point but its error. */
function guessLines({ run, training, layers, batches }, point) {
  const { inputs } = run.manifest;
  const values = inputs.map((name, i) => `${name} = ${formatNumber(run.training.inputs[point * inputs.length + i])}`);
  const t = training.classes[point];
  const p = training.passes[layers.length - 1].a[point];
  const place = batches ? batches.indices.indexOf(point) : point;
  return [
    `${values.join(", ")}, of class t = ${t}`,
    `p = ${formatNumber(p)}, the probability of class 1`,
    `Loss  ${lossOf(p, t, training.losses[point])}`,
    ...(place < 0 ? ["Not among the points that this step trains on."] : []),
    ...(batches && place >= 0 ? [`In the order of the step's points, it is point ${place}.`] : []),
  ];
}

/** Return the numbers of all neurons of the layer in which something happens. */
function phaseLines({ kind, column }, moment, point) {
  if (kind === "loss") return guessLines(moment, point);
  const { name, outputs } = moment.layers[column - 1];
  const lineOf = (item) => (kind === "forward" ? forwardLines(item, moment, point).join("   ") : errorLine(item, moment, point));
  const shown = Array.from({ length: Math.min(outputs, MAX_NEURONS) }, (_, neuron) => neuron);
  const rowName = (neuron) => (column === moment.layers.length ? "output" : neuron + 1);
  const lines = shown.map((neuron) => `${name}  ${rowName(neuron)}  ${lineOf({ column, neuron })}`);
  return outputs > MAX_NEURONS ? [...lines, `… and ${outputs - MAX_NEURONS} more`] : lines;
}

function inputLines({ neuron }, moment, point) {
  const ends = "No error is computed for an input: it has nothing to adjust.";
  if (point === null) return [ends];
  return [`${moment.run.manifest.inputs[neuron]} = ${formatNumber(moment.activation(0, neuron, point))}`, ends];
}

function neuronLines(item, moment, point) {
  const { activation } = moment.layers[item.column - 1];
  const isOutput = item.column === moment.layers.length;
  const p = moment.ofPoint(item.column, item.neuron, point).a;
  const t = moment.training.classes[point];
  return [
    "Forward  z = Σ w·a + b",
    ...indented(forwardLines(item, moment, point)),
    ...(isOutput ? [`Loss  ${lossOf(p, t, moment.training.losses[point])}`] : []),
    isOutput ? "Error  δ = ∂ℓ/∂z" : `Error passed back  δ = ${activation}′(z) · Σ w·δ`,
    ...indented(errorLines(item, moment, point)),
  ];
}

function averageLines({ column, neuron }, moment) {
  const { batch } = moment;
  const { activation, outputs } = moment.layers[column - 1];
  const { slope } = batch.backs[column - 1];
  const error = `‖∂L/∂z‖ = ${formatNumber(norm(batch, column - 1, neuron, "error"))}`;
  const points = `the ${formatCount(batch.count)} points of the step`;
  if (!slope) return [`Error  δ = p − t, over ${points}`, ...indented([error])];
  const slopes = Array.from({ length: batch.count }, (_, n) => slope[n * outputs + neuron]);
  const mean = slopes.reduce((sum, each) => sum + each, 0) / batch.count;
  const active = slopes.filter((each) => each > 0).length;
  return [
    `Error passed back  δ = ${activation}′(z) · Σ w·δ, over ${points}`,
    ...indented([
      `arrives  ‖Σ w·δ‖ = ${formatNumber(norm(batch, column - 1, neuron, "arriving"))}`,
      `slope  ${activation}′(z) = ${formatNumber(mean)} on average${activation === "relu" ? `, 1 at ${active} points, 0 at the others` : ""}`,
      error,
    ]),
  ];
}
