// The plane: what the network, or one of its neurons, computes at every place, and the points.

import { zeroLine } from "./contour.js";
import { html } from "./dom.js";
import { tickText } from "./format.js";
import { GRID, paint, viewOf } from "./maps.js";
import { DECISION_BEFORE, palette } from "./palette.js";

const AROUND = { left: 44, bottom: 36, top: 8, right: 10 }; // pixels beside the square
const REACH = 10; // pixels from a point within which a click means it
const NUMBERED = 16; // the lines of more neurons get no numbers

export class Plane {
  /** @param actions {update(changes)} */
  constructor(run, actions) {
    Object.assign(this, { run, actions, view: viewOf(run.training) });
    this.map = html("canvas", { width: GRID, height: GRID });
    this.canvas = html("canvas", { class: "plane", role: "img", onclick: (event) => this.click(event) });
    this.element = html("figure", { class: "plane-figure" }, this.canvas);
  }

  layout(width) {
    this.side = Math.min(width - AROUND.left - AROUND.right, 400);
    const [full, high] = [this.side + AROUND.left + AROUND.right, this.side + AROUND.top + AROUND.bottom];
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: full * ratio, height: high * ratio });
    Object.assign(this.canvas.style, { width: `${full}px`, height: `${high}px` });
    this.ratio = ratio;
  }

  /** How much of the plane a pixel is, in the units of the inputs. */
  get pixelSize() {
    return this.view.side / this.side;
  }

  /** Return a place of the canvas, in pixels, of coordinates. */
  pixel(x, y) {
    const { left, bottom, side } = this.view;
    return [AROUND.left + ((x - left) / side) * this.side, AROUND.top + (1 - (y - bottom) / side) * this.side];
  }

  /** Draw a moment; `before`: z of the output before the step, where the moment is the one after it. */
  draw(moment, maps, view, before = null) {
    const context = this.canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const output = { column: moment.layers.length, neuron: 0 };
    const shown = view.selected && view.selected.input === undefined ? view.selected : output;
    context.save();
    context.beginPath();
    context.rect(AROUND.left, AROUND.top, this.side, this.side);
    context.clip();
    this.drawMap(context, maps, shown);
    this.drawLines(context, moment, maps, shown, output);
    if (before) this.drawZero(context, before, DECISION_BEFORE);
    if (view.validation) this.drawValidation(context);
    this.drawPoints(context, moment, view, before ? null : moment.batches);
    if (moment.layers.length > 1 && moment.layers[0].outputs <= NUMBERED) this.drawNumbers(context, moment);
    context.restore();
    this.drawAxes(context);
    const right = `${moment.right} of ${this.run.training.count} training points decided rightly`;
    this.canvas.setAttribute("aria-label", `Plane with the training points; ${right}`);
  }

  drawMap(context, maps, shown) {
    paint(this.map, maps.shades(shown));
    const cell = this.side / (GRID - 1);
    context.drawImage(this.map, AROUND.left - cell / 2, AROUND.top - cell / 2, GRID * cell, GRID * cell);
  }

  drawLines(context, moment, maps, shown, output) {
    const { ink, thin } = palette();
    if (moment.layers.length > 1) {
      for (let neuron = 0; neuron < moment.layers[0].outputs; neuron++) {
        this.drawZero(context, maps.z({ column: 1, neuron }), { color: thin, width: 0.8 });
      }
    }
    this.drawGiven(context);
    if (shown.column !== output.column && shown.column > 0) {
      this.drawZero(context, maps.z(shown), { color: ink, width: 2, dash: [1, 3] });
    }
    this.drawZero(context, maps.z(output), { color: ink, width: 2.2 });
  }

  drawZero(context, z, { color, width, dash = [] }) {
    const { left, bottom, side } = this.view;
    const place = (column, row) => this.pixel(left + (side * column) / (GRID - 1), bottom + (side * row) / (GRID - 1));
    const pieces = zeroLine(z, GRID).map(([x1, y1, x2, y2]) => [place(x1, y1), place(x2, y2)]);
    this.stroke(context, pieces, color, width, dash);
  }

  drawGiven(context) {
    const { line, given } = this.run.manifest;
    if (given) this.stroke(context, given.map((part) => part.map(([x, y]) => this.pixel(x, y))), palette().ink, 1.5, [6, 4]);
    if (!line) return;
    const [a, b, c] = line;
    const square = a * a + b * b;
    const far = (4 * this.view.side) / Math.sqrt(square);
    const ends = [-far, far].map((t) => this.pixel((-c * a) / square - b * t, (-c * b) / square + a * t));
    this.stroke(context, [ends], palette().ink, 1.5, [6, 4]);
  }

  stroke(context, lines, color, width, dash) {
    Object.assign(context, { strokeStyle: color, lineWidth: width, lineCap: "round" });
    context.setLineDash(dash);
    context.beginPath();
    for (const [first, ...rest] of lines) {
      context.moveTo(...first);
      for (const each of rest) context.lineTo(...each);
    }
    context.stroke();
    context.setLineDash([]);
  }

  /** Write the number of each neuron of the first layer beside its line, on the side where its z is positive. */
  drawNumbers(context, moment) {
    const { weight, bias, outputs } = moment.layers[0];
    const { left, bottom, side } = this.view;
    for (let j = 0; j < outputs; j++) {
      const [a, b] = moment.before.subarray(weight + 2 * j, weight + 2 * j + 2);
      const length = Math.hypot(a, b);
      const [middleX, middleY] = [left + side / 2, bottom + side / 2];
      const z = a * middleX + b * middleY + (bias === null ? 0 : moment.before[bias + j]);
      const [beside, across] = [0.035 * side - z / length, [a / length, b / length]];
      const places = Array.from({ length: 201 }, (_, i) => (i / 100 - 1) * side)
        .map((along) => [middleX + beside * across[0] - along * across[1], middleY + beside * across[1] + along * across[0]])
        .filter(([x, y]) => Math.max(Math.abs(x - middleX), Math.abs(y - middleY)) < 0.47 * side);
      // Spread along the lines by the golden ratio, away from the middle, where they cross.
      const place = places[Math.floor(places.length * (0.12 + 0.76 * (((j + 1) * 0.382) % 1)))];
      if (place) this.write(context, `${j + 1}+`, ...this.pixel(...place));
    }
  }

  write(context, text, x, y) {
    const { halo, thin } = palette();
    Object.assign(context, { font: "11px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    Object.assign(context, { strokeStyle: halo, lineWidth: 3, fillStyle: thin });
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }

  drawValidation(context) {
    const { count, inputs, classes } = this.run.validation;
    for (let n = 0; n < count; n++) {
      const [x, y] = this.pixel(inputs[2 * n], inputs[2 * n + 1]);
      context.fillStyle = palette().classes[classes[n]];
      context.fillRect(x - 1.5, y - 1.5, 3, 3);
    }
  }

  drawPoints(context, moment, view, batches) {
    const { count, inputs, classes } = this.run.training;
    const isSeen = batches && new Set(batches.indices);
    const { z } = moment.training.passes.at(-1);
    for (let n = 0; n < count; n++) {
      const [x, y] = this.pixel(inputs[2 * n], inputs[2 * n + 1]);
      context.globalAlpha = !isSeen || isSeen.has(n) || view.followed === n ? 1 : 0.3;
      if (z[n] > 0 !== classes[n] > 0.5) this.drawCross(context, x, y);
      this.drawPoint(context, x, y, classes[n]);
      context.globalAlpha = 1;
      if (n === view.followed) this.drawRing(context, x, y);
    }
  }

  drawPoint(context, x, y, t) {
    const { classes, outline } = palette();
    Object.assign(context, { fillStyle: classes[t], strokeStyle: outline, lineWidth: 0.8 });
    context.beginPath();
    if (t < 0.5) context.arc(x, y, 3.6, 0, 2 * Math.PI);
    else [[0, -4.5], [4.3, 3.2], [-4.3, 3.2]].forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
    context.closePath();
    context.fill();
    context.stroke();
  }

  drawCross(context, x, y) {
    const r = 6.5; // beyond the point, which hides its middle
    this.stroke(context, [[[x - r, y - r], [x + r, y + r]], [[x - r, y + r], [x + r, y - r]]], palette().ink, 1.2, []);
  }

  drawRing(context, x, y) {
    Object.assign(context, { strokeStyle: palette().ink, lineWidth: 2 });
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.stroke();
  }

  drawAxes(context) {
    const { left, bottom, side } = this.view;
    const [nameX, nameY] = this.run.manifest.inputs;
    const { thin } = palette();
    Object.assign(context, { strokeStyle: thin, fillStyle: thin, lineWidth: 1, font: "11px system-ui, sans-serif" });
    context.strokeRect(AROUND.left, AROUND.top, this.side, this.side);
    for (const value of ticksOf(left, side)) {
      Object.assign(context, { textAlign: "center", textBaseline: "top" });
      context.fillText(tickText(value), this.pixel(value, 0)[0], AROUND.top + this.side + 5);
    }
    for (const value of ticksOf(bottom, side)) {
      Object.assign(context, { textAlign: "right", textBaseline: "middle" });
      context.fillText(tickText(value), AROUND.left - 5, this.pixel(0, value)[1]);
    }
    Object.assign(context, { textAlign: "center", textBaseline: "bottom" });
    context.fillText(nameX, AROUND.left + this.side / 2, AROUND.top + this.side + AROUND.bottom - 2, this.side);
    context.save();
    context.translate(2, AROUND.top + this.side / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "top";
    context.fillText(nameY, 0, 0, this.side);
    context.restore();
  }

  click(event) {
    const { count, inputs } = this.run.training;
    let [nearest, distance] = [null, REACH];
    for (let n = 0; n < count; n++) {
      const [x, y] = this.pixel(inputs[2 * n], inputs[2 * n + 1]);
      const away = Math.hypot(x - event.offsetX, y - event.offsetY);
      if (away <= distance) [nearest, distance] = [n, away];
    }
    this.actions.update({ point: nearest });
  }
}

/** Return some round numbers between a number and that plus an extent. */
function ticksOf(low, extent) {
  const power = 10 ** Math.floor(Math.log10(extent / 2));
  const step = [5, 2, 1, 0.5].map((each) => each * power).find((each) => extent / each >= 3);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor((low + extent) / step) - first + 1 }, (_, i) => (first + i) * step);
}
