// What each neuron computes at every place of the plane.

import { forward } from "./network.js";
import { palette, pixelOf } from "./palette.js";

export const GRID = 64; // places along each axis
const MARGIN = 0.05; // beside the outermost points, of their extent

/** Return the square around points, {left, bottom, side}; for points within [−1, 1]², the square from −1.1 to 1.1. */
export function viewOf({ inputs }) {
  let [low, high] = [[-1, -1], [1, 1]];
  if (inputs.some((value) => Math.abs(value) > 1)) {
    [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
    inputs.forEach((value, index) => {
      low[index % 2] = Math.min(low[index % 2], value);
      high[index % 2] = Math.max(high[index % 2], value);
    });
  }
  const extent = Math.max(high[0] - low[0], high[1] - low[1]) || 1;
  const side = extent * (1 + 2 * MARGIN);
  return { left: (low[0] + high[0] - side) / 2, bottom: (low[1] + high[1] - side) / 2, side };
}

/** The activations of all neurons over a grid of places, row after row from the bottom up. */
export class Maps {
  constructor(layers, weights, view) {
    this.places = gridOf(view);
    this.passes = forward(layers, weights, this.places);
    this.layers = layers;
  }

  /** Return z of a neuron over the grid; of an input, the coordinate. */
  z({ column, neuron }) {
    if (column === 0) return everyNth(this.places, 2, neuron);
    return everyNth(this.passes[column - 1].z, this.layers[column - 1].outputs, neuron);
  }

  /** Return the activation over the grid, as values from −1 to 1 to be colored. */
  shades(item) {
    const { column, neuron } = item;
    if (column === 0) return scaled(this.z(item));
    const a = everyNth(this.passes[column - 1].a, this.layers[column - 1].outputs, neuron);
    if (this.layers[column - 1].activation === "sigmoid") return a.map((p) => 2 * p - 1);
    return scaled(a);
  }
}

let cached = { key: "" };

function gridOf({ left, bottom, side }) {
  const key = `${left} ${bottom} ${side}`;
  if (cached.key !== key) {
    const places = new Float64Array(2 * GRID * GRID);
    for (let i = 0; i < GRID * GRID; i++) {
      places[2 * i] = left + (side * (i % GRID)) / (GRID - 1);
      places[2 * i + 1] = bottom + (side * Math.floor(i / GRID)) / (GRID - 1);
    }
    cached = { key, places };
  }
  return cached.places;
}

function everyNth(values, n, first) {
  const found = new Float64Array(values.length / n);
  for (let i = 0; i < found.length; i++) found[i] = values[i * n + first];
  return found;
}

function scaled(values) {
  const greatest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return greatest > 0 ? values.map((value) => value / greatest) : values;
}

/**
 * Paint shades over a grid into a canvas; the first row is the lowest.
 *
 * @param every only each so-manieth place of a row and a column: the canvas has GRID / every pixels along each side.
 */
export function paint(canvas, shades, every = 1) {
  const side = GRID / every;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  const table = palette().pixelTable;
  for (let row = 0; row < side; row++) {
    const first = (side - 1 - row) * every * GRID;
    for (let column = 0; column < side; column++) pixels[row * side + column] = pixelOf(shades[first + column * every], table);
  }
  context.putImageData(image, 0, 0);
}
