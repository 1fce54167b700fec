// A step of a run: everything that the page shows of it, computed from its weights and points.

import { ACTIVATIONS, backward, forward, losses } from "./network.js";

const SATURATED = 0.05; // a slope below this share of the steepest one counts as near 0

/**
 * A neuron is named by its column and its place in it: column 0 are the inputs, column c the layer c − 1. An edge is
 * named by the neuron that it ends at and, as `input`, the neuron of the column before that it begins at.
 */
export class Moment {
  constructor(run, step) {
    this.run = run;
    this.step = step;
    this.layers = run.layers;
    this.before = run.weights(step);
    this.after = run.weights(step + 1);
    this.training = trace(this.layers, this.before, run.training);
    this.batches = run.batchesOf(step);
    this.batch = this.batches ? trace(this.layers, this.before, select(run.training, this.batches)) : this.training;
    this.marks = this.layers.slice(0, -1).map((layer, l) => marksOf(layer, this.training, l));
  }

  /** The loss of the step. */
  get loss() {
    return this.batch.loss;
  }

  /** The loss of the same points after the step; null where the next weights are not known. */
  get lossAfter() {
    return this.after && trace(this.layers, this.after, this.batch).loss;
  }

  /** Return the loss of one training point after the step. */
  ownLossAfter(point) {
    const { inputs, classes } = select(this.run.training, { indices: [point], shares: [1] });
    return losses(forward(this.layers, this.after, inputs).at(-1).z, classes)[0];
  }

  /** Return whether the step trains on a training point. */
  trainsOn(point) {
    return !this.batches || this.batches.indices.includes(point);
  }

  /** The edge whose weight the step changes most; null where it changes none. */
  get mostChanged() {
    let [found, most] = [null, 0];
    this.layers.forEach(({ inputs, outputs }, index) => {
      for (let i = 0; i < inputs * outputs; i++) {
        const item = { column: index + 1, neuron: Math.floor(i / inputs), input: i % inputs };
        const change = Math.abs(this.edgeValue("update", item, null));
        if (change > most) [found, most] = [item, change];
      }
    });
    return found;
  }

  /** How many of the training points are decided rightly. */
  get right() {
    const { passes, classes } = this.training;
    return passes.at(-1).z.reduce((count, z, n) => count + (z > 0 === classes[n] > 0.5), 0);
  }

  /** Return the share of other points that is decided rightly. */
  accuracy({ count, inputs, classes }) {
    const { z } = forward(this.layers, this.before, inputs).at(-1);
    return z.reduce((right, each, n) => right + (each > 0 === classes[n] > 0.5), 0) / count;
  }

  /** Return weight, gradient or update of an edge; null where it is not known. `point`: of that point's own loss. */
  edgeValue(kind, { column, neuron, input }, point) {
    const layer = this.layers[column - 1];
    const at = layer.weight + neuron * layer.inputs + input;
    if (kind === "weight") return this.before[at];
    if (kind === "update") return this.after && this.after[at] - this.before[at];
    if (point !== null) return this.ofPoint(column, neuron, point).error * this.activation(column - 1, input, point);
    return this.batch.backs[column - 1].weightGradient[neuron * layer.inputs + input];
  }

  /** Return δ of a neuron at a point; without a point, the L2 norm of ∂L/∂z over all points of the step. */
  errorOf({ column, neuron }, point) {
    if (point !== null) return this.ofPoint(column, neuron, point).error;
    return norm(this.batch, column - 1, neuron, "error");
  }

  /** Return the activation of a neuron at a training point. */
  activation(column, neuron, point) {
    if (column === 0) return this.run.training.inputs[point * this.layers[0].inputs + neuron];
    return this.training.passes[column - 1].a[point * this.layers[column - 1].outputs + neuron];
  }

  /** Return {z, a, arriving, slope, error} of a neuron at a training point. */
  ofPoint(column, neuron, point) {
    const at = point * this.layers[column - 1].outputs + neuron;
    const pass = this.training.passes[column - 1];
    const back = this.training.backs[column - 1];
    const slope = back.slope ? back.slope[at] : null;
    return { z: pass.z[at], a: pass.a[at], arriving: back.arriving[at], slope, error: back.error[at] };
  }

  /** Return whether something arrives through an edge at a point: an activation forward, or back an error that is passed on. */
  carries(direction, { column, neuron, input }, point) {
    if (this.edgeValue("weight", { column, neuron, input }, point) === 0) return false;
    if (point === null) return true;
    if (direction === "forward") return this.activation(column - 1, input, point) !== 0;
    return this.ofPoint(column, neuron, point).error !== 0 && this.ofPoint(column - 1, input, point).error !== 0;
  }

  /** Return what marks a neuron that no error passes through, {mark, reason}, or null. */
  markOf({ column, neuron }) {
    return (column > 0 && this.marks[column - 1]?.[neuron]) || null;
  }
}

/** Return the L2 norm over the points of a trace of share · δ of a neuron, or of share · what arrives there. */
export function norm({ backs, passes, shares }, layer, neuron, part) {
  const width = passes[layer].z.length / shares.length;
  return Math.sqrt(shares.reduce((sum, share, n) => sum + (share * backs[layer][part][n * width + neuron]) ** 2, 0));
}

/** Compute forward and backward pass of points; without shares, their loss is the mean. */
function trace(layers, weights, { count, inputs, classes, shares = new Float64Array(count).fill(1 / count) }) {
  const passes = forward(layers, weights, inputs);
  const backs = backward(layers, weights, passes, classes, shares);
  const each = losses(passes.at(-1).z, classes);
  const loss = each.reduce((sum, value, n) => sum + shares[n] * value, 0);
  return { count, inputs, classes, shares, passes, backs, losses: each, loss };
}

function select({ count, inputs, classes }, { indices, shares }) {
  const width = inputs.length / count;
  const rows = indices.map((index) => inputs.subarray(index * width, (index + 1) * width));
  return {
    count: indices.length,
    inputs: Float32Array.from(rows.flatMap((row) => [...row])),
    classes: Float32Array.from(indices, (index) => classes[index]),
    shares: Float64Array.from(shares),
  };
}

/** Return a mark for each neuron of a layer that passes no error at any of the points, and null for the others. */
function marksOf({ activation, outputs }, { count, passes, backs }, l) {
  const { z } = passes[l];
  const { slope, arriving } = backs[l];
  return Array.from({ length: outputs }, (_, j) => {
    const every = (test) => {
      for (let n = 0; n < count; n++) if (!test(n * outputs + j)) return false;
      return true;
    };
    const at = `at each of the ${count} training points`;
    if (activation === "relu" && every((i) => z[i] <= 0)) {
      return { mark: "dead", reason: `Dead: z ≤ 0 ${at}, so the slope relu′(z) is 0 and no error passes.` };
    }
    const limit = SATURATED * ACTIVATIONS[activation].steepest;
    if (every((i) => slope[i] < limit)) {
      const reason = `Saturated: the slope ${activation}′(z) is below ${limit} ${at}, so hardly any error passes.`;
      return { mark: "saturated", reason };
    }
    if (every((i) => arriving[i] === 0)) {
      return { mark: "no error", reason: `No error arrives: Σ w·δ is 0 ${at}.` };
    }
    return null;
  });
}
