// Walking through the graph with the arrow keys: from neurons along edges to neurons.

/**
 * Return the neuron or edge that an arrow key leads to, or null.
 *
 * Left leads from a neuron to an edge that ends there, and from an edge to the neuron where it begins; right the other
 * way. Up and down lead to the next neuron of the column, or to the next edge that ends at the same neuron.
 *
 * @param sizes how many neurons of each column are drawn.
 */
export function neighbor(item, key, sizes) {
  const { column, neuron, input } = item;
  const isEdge = input !== undefined;
  if (key === "ArrowLeft") {
    if (isEdge) return { column: column - 1, neuron: input };
    return column > 0 ? { column, neuron, input: 0 } : null;
  }
  if (key === "ArrowRight") {
    if (isEdge) return { column, neuron };
    return column + 1 < sizes.length ? { column: column + 1, neuron: 0, input: neuron } : null;
  }
  const move = { ArrowUp: -1, ArrowDown: 1 }[key];
  if (!move) return null;
  const [place, count] = isEdge ? [input, sizes[column - 1]] : [neuron, sizes[column]];
  if (place + move < 0 || place + move >= count) return null;
  return isEdge ? { column, neuron, input: input + move } : { column, neuron: neuron + move };
}

/** Return a text that names a neuron or an edge. */
export function keyOf({ column, neuron, input }) {
  return input === undefined ? `${column}.${neuron}` : `${column}.${neuron}.${input}`;
}

/** Return the neuron or edge that a text names, or null. */
export function itemOf(text) {
  const numbers = String(text).split(".").map(Number);
  if (numbers.length < 2 || numbers.length > 3 || !numbers.every(Number.isInteger)) return null;
  const [column, neuron, input] = numbers;
  return input === undefined ? { column, neuron } : { column, neuron, input };
}

/** Return whether a net with so many neurons a column has a neuron or an edge. */
export function exists({ column, neuron, input }, sizes) {
  if (!(column in sizes) || neuron < 0 || neuron >= sizes[column]) return false;
  return input === undefined || (column > 0 && input >= 0 && input < sizes[column - 1]);
}

/** Return how many neurons each column of a net has, the inputs first. */
export function columnSizes(layers) {
  return [layers[0].inputs, ...layers.map((layer) => layer.outputs)];
}

/** Return whether two neurons or edges are the same. */
export function isSame(one, other) {
  return one !== null && other !== null && keyOf(one) === keyOf(other);
}
