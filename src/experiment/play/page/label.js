// What is written under a neuron of the graph: its name, its value, its error.

import { html } from "./dom.js";
import { shortNumber } from "./format.js";

export class Label {
  /** @param isInput its name, which may be long, has a line of its own. */
  constructor(name, isInput) {
    this.separator = isInput ? "\n" : ": ";
    this.sign = isInput ? "" : name === "output" ? "p = " : "a = ";
    this.value = html("span");
    this.error = html("span", { class: "error" });
    const attributes = { class: "label", "aria-hidden": "true", title: isInput && name };
    this.element = html("span", attributes, html("b", {}, name), this.value, this.error);
  }

  /**
   * Write value and error, each null where it is not shown.
   *
   * @param point whose error it is; null: its norm over all points.
   * @param arrives whether the error comes with the marks that travel on the edges.
   */
  draw(value, error, point, arrives) {
    this.value.textContent = value === null ? "" : `${this.separator}${this.sign}${shortNumber(value)}`;
    this.error.textContent = error === null ? "" : `\n${point === null ? "‖δ‖" : "δ"} = ${shortNumber(error)}`;
    this.error.classList.toggle("arrives", arrives);
  }

  place(left, top) {
    Object.assign(this.element.style, { left: `${left}px`, top: `${top}px` });
  }
}
