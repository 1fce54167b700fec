// The update of a step, with the weight that changes most as an example.

import { formatCount, formatNumber } from "./format.js";
import { edgeLines, meanOf } from "./formulas.js";
import { nameOf, weightName } from "./names.js";

/** Return {title, lines} of the update; `point`: the training point that is followed, or null. */
export function updateDetails(moment, point) {
  const { run, step, batch } = moment;
  const title = `Step ${step}: the update, from ${formatCount(batch.count)} points`;
  if (!moment.after) return { title, lines: ["The end of what is recorded: no update follows."] };
  const rule = `∂L/∂w is ${meanOf("δ·a", batch)}; then ${run.manifest.optimizer}`;
  return { title, lines: [rule, ...exampleLines(moment, point), ...lossLines(moment, point)] };
}

function exampleLines(moment, point) {
  const item = moment.mostChanged;
  if (!item) return [moment.after.every(Number.isFinite) ? "No weight changes." : "The new weights are not finite."];
  const where = point === null ? "" : `, at point ${point}`;
  return [
    `The weight that changes most: ${nameOf(item, moment.run)}${where}`,
    ...edgeLines(item, moment, point).map((line) => `   ${line}`),
    ...voiceLines(item, moment, point),
  ];
}

/** Return how the gradient of one point's own loss differs from that of the step. */
function voiceLines(item, moment, point) {
  if (point === null) return [];
  if (!moment.trainsOn(point)) return [`The step does not train on point ${point}.`];
  const own = moment.edgeValue("gradient", item, point);
  const name = weightName(moment.layers[item.column - 1], item.neuron, item.input);
  if (own === 0) return [`Point ${point} does not act on ${name}: its δ·a is 0.`];
  if (own * moment.edgeValue("gradient", item, null) > 0) return [];
  return [`Alone, point ${point} would change ${name} the other way: the other points outweigh it.`];
}

function lossLines(moment, point) {
  const { loss, lossAfter } = moment;
  const whole = `L = ${formatNumber(loss)} → ${formatNumber(lossAfter)}`;
  if (point === null) return [whole];
  const [own, ownAfter] = [moment.training.losses[point], moment.ownLossAfter(point)];
  const rises = ownAfter > own && lossAfter < loss ? ": a point's own loss may rise while L falls" : "";
  return [whole, `ℓ of point ${point} = ${formatNumber(own)} → ${formatNumber(ownAfter)}${rises}`];
}
