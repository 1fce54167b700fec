// Forward pass and backpropagation of a fully connected net, written out (Rumelhart, Hinton and Williams, 1986).
//
// A net is a list of layers {name, inputs, outputs, activation, weight, bias}; weight and bias are the places of the
// first element in one array of all parameters. The last layer's output is a logit z, p = σ(z) the probability of class 1.

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

const identity = { value: (z) => z, slope: () => 1, steepest: 1 };

/** a = f(z), its slope f′(z), and the greatest slope there is. */
export const ACTIVATIONS = {
  relu: { value: (z) => (z < 0 ? 0 : z), slope: (z) => (z > 0 ? 1 : 0), steepest: 1 },
  tanh: { value: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2, steepest: 1 },
  sigmoid: { value: sigmoid, slope: (z) => sigmoid(z) * (1 - sigmoid(z)), steepest: 0.25 },
  linear: identity,
};

/**
 * Compute the forward pass of n points.
 *
 * @param points their inputs, row after row.
 * @returns for each layer {inputs, z, a}: the activations of the layer before, z = Σ w·a + b and a = f(z), row after row.
 */
export function forward(layers, weights, points) {
  const passes = [];
  let inputs = points;
  for (const layer of layers) {
    const count = inputs.length / layer.inputs;
    const z = new Float64Array(count * layer.outputs);
    for (let n = 0; n < count; n++) {
      const row = n * layer.inputs;
      for (let j = 0; j < layer.outputs; j++) {
        const first = layer.weight + j * layer.inputs;
        let sum = 0;
        for (let i = 0; i < layer.inputs; i++) sum += weights[first + i] * inputs[row + i];
        z[n * layer.outputs + j] = sum + (layer.bias === null ? 0 : weights[layer.bias + j]);
      }
    }
    const a = z.map(ACTIVATIONS[layer.activation].value);
    passes.push({ inputs, z, a });
    inputs = a;
  }
  return passes;
}

/**
 * Pass the errors of n points back.
 *
 * @param passes what `forward` returned.
 * @param classes of the points, 0 or 1.
 * @param shares of each point's loss ℓ in the step's loss, L = Σ share · ℓ.
 * @returns for each layer {arriving, slope, error, weightGradient, biasGradient}: Σₖ wₖⱼ·δₖ, f′(z) and their product
 *   δ = ∂ℓ/∂z of each point (at the output, δ = p − t), and ∂L/∂weight and ∂L/∂bias.
 */
export function backward(layers, weights, passes, classes, shares) {
  const results = [];
  for (let l = layers.length - 1; l >= 0; l--) {
    const next = l + 1 < layers.length ? { layer: layers[l + 1], error: results[0].error } : null;
    const errors = next ? passedBack(layers[l], passes[l], weights, next) : errorOfOutput(passes[l], classes);
    results.unshift({ ...errors, ...gradients(layers[l], passes[l].inputs, errors.error, shares) });
  }
  return results;
}

function errorOfOutput(pass, classes) {
  const error = pass.a.map((p, n) => p - classes[n]);
  return { arriving: error, slope: null, error };
}

function passedBack(layer, pass, weights, next) {
  const width = layer.outputs;
  const arriving = new Float64Array(pass.z.length);
  for (let n = 0; n < pass.z.length / width; n++) {
    for (let k = 0; k < next.layer.outputs; k++) {
      const delta = next.error[n * next.layer.outputs + k];
      const first = next.layer.weight + k * width;
      for (let j = 0; j < width; j++) arriving[n * width + j] += weights[first + j] * delta;
    }
  }
  const slope = pass.z.map(ACTIVATIONS[layer.activation].slope);
  return { arriving, slope, error: arriving.map((sum, index) => slope[index] * sum) };
}

function gradients(layer, inputs, error, shares) {
  const weightGradient = new Float64Array(layer.inputs * layer.outputs);
  const biasGradient = new Float64Array(layer.outputs);
  for (let n = 0; n < shares.length; n++) {
    for (let j = 0; j < layer.outputs; j++) {
      const weighted = shares[n] * error[n * layer.outputs + j];
      biasGradient[j] += weighted;
      for (let i = 0; i < layer.inputs; i++) weightGradient[j * layer.inputs + i] += weighted * inputs[n * layer.inputs + i];
    }
  }
  return { weightGradient, biasGradient };
}

/** Return ℓ = −ln p where t = 1, −ln(1 − p) where t = 0, of each point. */
export function losses(logits, classes) {
  return Float64Array.from(logits, (z, n) => Math.max(z, 0) - classes[n] * z + Math.log1p(Math.exp(-Math.abs(z))));
}
