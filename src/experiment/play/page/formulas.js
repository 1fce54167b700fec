// The formulas of a step with their numbers, as `experiment.explain` words them.

import { formatCount, formatNumber } from "./format.js";

const MAX_TERMS = 4; // of a sum that is written out; a longer one is a table

/** Return the loss of a point, from the probability p of class 1 and its class t. */
export function lossOf(p, t, loss) {
  return `ℓ = −ln ${t ? formatNumber(p) : `(1 − ${formatNumber(p)})`} = ${formatNumber(loss)}`;
}

/** Return the error of the output at a point. */
export function outputErrorOf(p, t) {
  return `δ = p − t = ${formatNumber(p)} − ${t} = ${formatNumber(p - t)}`;
}

/** Return the pairs of factors of z = Σ w·a + b, and those of Σ w·δ, which arrives at a neuron. */
function productsOf({ column, neuron }, moment, point) {
  const layer = moment.layers[column - 1];
  const next = moment.layers[column];
  const weight = ({ weight: first, inputs }, k, i) => moment.before[first + k * inputs + i];
  const list = (length, pair) => Array.from({ length }, (_, i) => pair(i));
  return {
    ahead: list(layer.inputs, (i) => [weight(layer, neuron, i), moment.activation(column - 1, i, point)]),
    back: list(next?.outputs ?? 0, (k) => [weight(next, k, neuron), moment.ofPoint(column + 1, k, point).error]),
  };
}

function sumOf(pairs) {
  if (pairs.length > MAX_TERMS) {
    const sum = pairs.reduce((total, [one, other]) => total + one * other, 0);
    return `Σ of ${pairs.length} products = ${formatNumber(sum)}`;
  }
  return pairs.map(([one, other]) => `${formatNumber(one)}·${formatNumber(other)}`).join(" + ");
}

/** Return z and the activation of a neuron at a point, each with the sum or the function that it comes from. */
export function forwardLines(item, moment, point) {
  const { activation, bias } = moment.layers[item.column - 1];
  const { z, a } = moment.ofPoint(item.column, item.neuron, point);
  const b = bias === null ? "" : ` + ${formatNumber(moment.before[bias + item.neuron])}`;
  const isOutput = item.column === moment.layers.length;
  return [
    `z = ${sumOf(productsOf(item, moment, point).ahead)}${b} = ${formatNumber(z)}`,
    isOutput ? `p = σ(z) = ${formatNumber(a)}` : `a = ${activation}(z) = ${formatNumber(a)}`,
  ];
}

/** Return the error of a neuron at a point: what arrives, times the neuron's own slope. */
export function errorLines(item, moment, point) {
  const { a, arriving, slope, error } = moment.ofPoint(item.column, item.neuron, point);
  if (slope === null) return [outputErrorOf(a, moment.training.classes[point])];
  const { back } = productsOf(item, moment, point);
  const { activation } = moment.layers[item.column - 1];
  return [
    `arrives  Σ w·δ = ${back.length > MAX_TERMS ? sumOf(back) : `${sumOf(back)} = ${formatNumber(arriving)}`}`,
    `slope  ${activation}′(z) = ${formatNumber(slope)}`,
    `δ = ${formatNumber(slope)} · ${formatNumber(arriving)} = ${formatNumber(error)}`,
  ];
}

/** Return the error of a neuron at a point in one line, with the reason where relu lets none pass. */
export function errorLine(item, moment, point) {
  const { a, slope, error } = moment.ofPoint(item.column, item.neuron, point);
  if (slope === null) return outputErrorOf(a, moment.training.classes[point]);
  const { back } = productsOf(item, moment, point);
  const isOff = moment.layers[item.column - 1].activation === "relu" && slope === 0;
  const reason = isOff ? "   (relu is off: z ≤ 0, slope 0)" : "";
  return `δ = slope ${formatNumber(slope)} · (${sumOf(back)}) = ${formatNumber(error)}${reason}`;
}

/** Return tables of the products of sums that are too long for a line, as {title, rows}. */
export function tablesOf(item, moment, point) {
  const { ahead, back } = productsOf(item, moment, point);
  const tables = [
    { title: "Products of the forward sum, w·a", pairs: ahead },
    { title: "Products of the sum that arrives, w·δ", pairs: back },
  ];
  return tables
    .filter(({ pairs }) => pairs.length > MAX_TERMS)
    .map(({ title, pairs }) => ({ title, rows: pairs.map(([one, other], i) => rowOf(i, one, other)) }));
}

function rowOf(index, one, other) {
  return [index + 1, `${formatNumber(one)}·${formatNumber(other)}`, formatNumber(one * other)];
}

/** Return in words how the gradient of a step comes from products of its points. */
export function meanOf(product, { count, shares }) {
  const points = `over the ${formatCount(count)} points of the step`;
  const isMean = shares.every((share) => Math.abs(share * count - 1) < 1e-9);
  return isMean ? `the mean of ${product} ${points}` : `the sum of share·${product} ${points} (share: of a point's ℓ in L)`;
}

/** Return ∂ℓ/∂w, ∂L/∂w and the change of a weight. */
export function edgeLines(item, moment, point) {
  const { column, neuron, input } = item;
  const layer = moment.layers[column - 1];
  const own = [];
  if (point !== null) {
    const { error } = moment.ofPoint(column, neuron, point);
    const a = moment.activation(column - 1, input, point);
    own.push(`∂ℓ/∂w = δ·a = ${formatNumber(error)}·${formatNumber(a)} = ${formatNumber(error * a)}`);
  }
  const gradient = formatNumber(moment.edgeValue("gradient", item, null));
  return [
    ...own,
    `∂L/∂w = ${gradient}, ${meanOf("δ·a", moment.batch)}`,
    changeOf("w", layer.weight + neuron * layer.inputs + input, moment),
  ];
}

/** Return ∂ℓ/∂b, ∂L/∂b and the change of a bias. */
export function biasLines({ column, neuron }, moment, point) {
  const { bias } = moment.layers[column - 1];
  if (bias === null) return [];
  const own = point === null ? [] : [`∂ℓ/∂b = δ = ${formatNumber(moment.ofPoint(column, neuron, point).error)}`];
  const gradient = formatNumber(moment.batch.backs[column - 1].biasGradient[neuron]);
  return [...own, `∂L/∂b = ${gradient}`, changeOf("b", bias + neuron, moment)];
}

function changeOf(letter, at, { before, after }) {
  return `${letter} = ${formatNumber(before[at])}${after ? ` → ${letter}′ = ${formatNumber(after[at])}` : ""}`;
}
