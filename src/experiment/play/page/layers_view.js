// A run whose weights are not known: its layers with their errors, and the errors over the steps.

import { Curve } from "./curve.js";
import { html } from "./dom.js";
import { formatNumber, shortNumber } from "./format.js";

export class LayersView {
  /** @param actions {goTo(step)} */
  constructor(run, actions) {
    this.run = run;
    this.curve = new Curve("Error passed back, ‖∂L/∂z‖ of each layer", 220, actions.goTo);
    this.boxes = run.layers.map(({ name, type }) => {
      const value = html("span", { class: "value" });
      const detail = html("pre");
      const bar = html("span", { class: "bar" });
      const box = html("li", { class: "layer" }, html("b", {}, name), html("span", {}, type), value, bar, detail);
      return { name, box, value, bar, detail };
    });
    this.chain = html("ol", { class: "layers", "aria-label": "Layers, from the input to the output" }, ...this.boxes.map(({ box }) => box));
    this.summary = html("p", { class: "summary" });
    this.element = html(
      "section",
      { class: "run layers-run", "aria-label": run.name },
      html("h2", {}, run.name),
      this.summary,
      html("p", { class: "note" }, run.manifest.model.reason),
      this.chain,
      this.curve.element,
    );
  }

  layout() {
    const { run } = this;
    const curves = run.layers
      .filter(({ name }) => run.series[`error/${name}`])
      .map(({ name }) => ({ name, ...run.series[`error/${name}`] }));
    this.curve.layout(this.curve.element.clientWidth, curves, [run.firstStep, run.lastStep]);
  }

  stepNear(step) {
    return Math.min(Math.max(step, this.run.firstStep), this.run.lastStep);
  }

  /** Return the greatest sizes of what is drawn: none is compared with another run's. */
  greatest() {
    return { edge: 0, error: 0 };
  }

  draw(view) {
    const step = this.stepNear(view.step);
    this.curve.draw(step);
    const errors = this.boxes.map(({ name }) => valueAt(this.run.series[`error/${name}`], step));
    const largest = Math.max(...errors.map((each) => each?.value ?? 0));
    this.boxes.forEach(({ name, value, bar, detail }, index) => {
      const error = errors[index];
      value.textContent = error ? `‖∂L/∂z‖ = ${shortNumber(error.value)}` : "no error was logged";
      bar.style.width = `${error && largest > 0 ? (100 * error.value) / largest : 0}%`;
      detail.textContent = this.numbersOf(name, step).join("\n");
    });
    const loss = valueAt(this.run.series["train/loss"], step);
    const logged = errors.find(Boolean);
    const when = logged && logged.step !== step ? `  ·  the errors are those logged at step ${logged.step}` : "";
    this.summary.textContent = `step ${step}${loss ? `  ·  L = ${formatNumber(loss.value)}` : ""}${when}`;
  }

  numbersOf(layer, step) {
    const { parameters } = this.run.layers.find(({ name }) => name === layer);
    return parameters.flatMap(({ name, shape }) => {
      const gradient = valueAt(this.run.series[`gradient/${name}`], step);
      const ratio = valueAt(this.run.series[`update_ratio/${name}`], step);
      return [
        `${name}  ${shape.join("×") || "1"}`,
        ...(gradient ? [`   gradient  ‖∂L/∂w‖ = ${formatNumber(gradient.value)}`] : []),
        ...(ratio ? [`   update  ‖w′ − w‖ / ‖w‖ = ${formatNumber(ratio.value)}`] : []),
      ];
    });
  }
}

/** Return {step, value} of the last value that was logged up to a step, or null. */
function valueAt(series, step) {
  if (!series) return null;
  const index = series.steps.findLastIndex((each) => each <= step);
  return index < 0 ? null : { step: series.steps[index], value: series.values[index] };
}
