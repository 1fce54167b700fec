// Curves over the steps of a run, under a slider that chooses the step.

import { html, svg } from "./dom.js";
import { formatCount, shortNumber } from "./format.js";

const INSET = { left: 58, bottom: 20, top: 8, right: 26 }; // pixels beside the curves
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];
const WIDE_RANGE = 100; // of the greatest to the smallest value; beyond it, the scale is logarithmic

export class Curve {
  /** @param onStep is called with the step that the slider chooses. */
  constructor(title, height, onStep) {
    Object.assign(this, { title, height });
    this.drawing = svg("svg", { class: "curves", "aria-hidden": "true" });
    this.slider = html("input", {
      ...{ type: "range", step: 1, "aria-label": "Step", class: "scrubber" },
      oninput: () => onStep(Number(this.slider.value)),
    });
    this.cursor = svg("line", { class: "cursor" });
    this.legend = html("div", { class: "legend" });
    this.element = html("div", { class: "curve" }, html("div", { class: "curve-box" }, this.drawing, this.slider), this.legend);
  }

  /**
   * Draw the curves for a width in pixels.
   *
   * @param curves [{name, steps, values}]
   * @param range the first and the last step of the slider.
   */
  layout(width, curves, [first, last]) {
    Object.assign(this, { first, last, inner: width - INSET.left - INSET.right });
    Object.assign(this.slider, { min: first, max: last });
    Object.assign(this.slider.style, { left: `${INSET.left}px`, width: `${this.inner}px`, height: `${this.height}px` });
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.drawing.style.height = `${this.height}px`;
    const scale = scaleOf(curves.flatMap(({ values }) => Array.from(values)));
    const y = (value) => INSET.top + (1 - scale.share(value)) * (this.height - INSET.top - INSET.bottom);
    const lines = curves.map((curve, index) => svg("path", { class: "line", d: this.pathOf(curve, y), ...this.styleOf(index) }));
    this.drawing.replaceChildren(...this.axes(scale, y), ...lines, this.cursor);
    this.legend.replaceChildren(
      html("span", {}, scale.isLogarithmic ? `${this.title} (logarithmic)` : this.title),
      ...(curves.length > 1 ? curves.map((curve, index) => this.legendOf(curve, index)) : []),
    );
  }

  styleOf(index) {
    return { "stroke-dasharray": DASHES[index % DASHES.length], "data-series": index % 6 };
  }

  legendOf({ name }, index) {
    const sample = svg("svg", { width: 28, height: 8 }, svg("path", { class: "line", d: "M0 4H28", ...this.styleOf(index) }));
    return html("span", { class: "key" }, sample, ` ${name}`);
  }

  x(step) {
    return INSET.left + (this.last > this.first ? (step - this.first) / (this.last - this.first) : 0) * this.inner;
  }

  pathOf({ steps, values }, y) {
    let path = "";
    let isBroken = true;
    for (let i = 0; i < values.length; i++) {
      const place = y(values[i]);
      if (Number.isFinite(place)) path += `${isBroken ? "M" : "L"}${this.x(steps[i]).toFixed(1)} ${place.toFixed(1)}${isBroken ? "h0" : ""}`;
      isBroken = !Number.isFinite(place);
    }
    return path;
  }

  axes(scale, y) {
    const levels = scale.ticks.map((value) => [
      svg("path", { class: "grid", d: `M${INSET.left} ${y(value)}H${INSET.left + this.inner}` }),
      svg("text", { x: INSET.left - 6, y: y(value) + 4, "text-anchor": "end" }, shortNumber(value)),
    ]);
    const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(this.first + share * (this.last - this.first)));
    const marks = [...new Set(steps)].map((step) =>
      svg("text", { x: this.x(step), y: this.height - 5, "text-anchor": "middle" }, formatCount(step)),
    );
    return [...levels.flat(), ...marks];
  }

  /** Move to a step. */
  draw(step) {
    this.slider.value = step;
    this.slider.setAttribute("aria-valuetext", `step ${step} of ${this.last}`);
    const x = this.x(step);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: 0, y2: this.height - INSET.bottom })) {
      this.cursor.setAttribute(name, value);
    }
  }
}

/** Return {share(value) from 0 to 1, ticks, isLogarithmic} for values, some of which may be infinite or NaN. */
function scaleOf(values) {
  const finite = values.filter(Number.isFinite);
  const high = finite.reduce((most, value) => Math.max(most, value), 0);
  const low = finite.reduce((least, value) => Math.min(least, value), 0);
  const smallest = finite.reduce((least, value) => (value > 0 ? Math.min(least, value) : least), Infinity);
  return low === 0 && high / smallest > WIDE_RANGE ? logarithmic(smallest, high) : linear(low, high);
}

function linear(low, high) {
  const extent = 1.05 * (high - low) || 1;
  const ticks = [...new Set([low, (low + high) / 2, high])];
  return { share: (value) => (value - low) / extent, ticks, isLogarithmic: false };
}

function logarithmic(low, high) {
  const [bottom, top] = [Math.log10(low), Math.log10(high)];
  const powers = Array.from({ length: Math.floor(top) - Math.ceil(bottom) + 1 }, (_, i) => 10 ** (Math.ceil(bottom) + i));
  const every = Math.ceil(powers.length / 4);
  return {
    share: (value) => (value > 0 ? (Math.log10(value) - bottom) / (top - bottom) : NaN),
    ticks: powers.length > 1 ? powers.filter((_, i) => i % every === 0) : [low, high],
    isLogarithmic: true,
  };
}
