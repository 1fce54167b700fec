// The network as a graph: a button for each neuron, with its map, and lines for the weights.

import { html, svg } from "./dom.js";
import { Label } from "./label.js";
import { GRID, paint } from "./maps.js";
import { makeMarks } from "./marks.js";
import { palette, signColor } from "./palette.js";
import { columnSizes, isSame, keyOf, neighbor } from "./walk.js";

const SHOWN = 16; // neurons of a layer that are drawn
const COARSE = 2; // of a map in a node: one of so many places of the grid along each side
const HEADING = 44; // pixels above the neurons
const [THINNEST, THICKEST] = [0.6, 6]; // pixels, of edges and rings

export class Graph {
  /**
   * @param actions {update(changes of the view), select(item)}
   * @param words {nameOf(item), describe(item)}; the second adds numbers to the name.
   */
  constructor(run, actions, words) {
    Object.assign(this, { run, actions, words });
    this.sizes = columnSizes(run.layers).map((size) => Math.min(size, SHOWN));
    this.edges = new Map();
    this.nodes = new Map();
    this.lines = svg("svg", { class: "edges", "aria-hidden": "true" });
    this.headings = this.sizes.map(() => html("div", { class: "heading" }));
    this.element = html(
      "div",
      { class: "graph", role: "group", "aria-label": "Network; the arrow keys lead along its edges" },
      this.lines,
      ...this.headings,
    );
    this.makeEdges();
    this.makeNodes();
    this.element.addEventListener("keydown", (event) => this.walk(event));
    this.element.addEventListener("mouseleave", () => actions.update({ hovered: null }));
    this.element.addEventListener("focusout", () => actions.update({ hovered: null }));
  }

  makeEdges() {
    this.run.layers.forEach((_, index) => {
      const column = index + 1;
      const group = svg("g");
      for (let neuron = 0; neuron < this.sizes[column]; neuron++) {
        for (let input = 0; input < this.sizes[index]; input++) {
          const item = { column, neuron, input };
          const line = svg("path", { class: "edge" });
          const marks = makeMarks(item);
          const target = svg("path", { class: "target", ...this.listeners(item) });
          group.append(line, marks, target);
          this.edges.set(keyOf(item), { item, line, marks, target });
        }
      }
      this.lines.append(group);
    });
  }

  makeNodes() {
    this.sizes.forEach((size, column) => {
      for (let neuron = 0; neuron < size; neuron++) {
        const item = { column, neuron };
        const ring = svg("rect", { class: "ring", rx: 5 });
        const canvas = this.run.isOnPlane ? html("canvas", { width: GRID / COARSE, height: GRID / COARSE }) : html("span", {});
        const mark = html("span", { class: "mark" });
        const button = html("button", { class: "node", type: "button", ...this.listeners(item) }, canvas, mark);
        const label = new Label(this.labelOf(item), column === 0);
        this.lines.append(ring);
        this.element.append(button, label.element);
        this.nodes.set(keyOf(item), { item, ring, canvas, mark, target: button, label });
      }
    });
  }

  listeners(item) {
    const hover = () => this.actions.update({ hovered: item });
    const focus = () => {
      this.focused = item;
      hover();
    };
    return {
      ...{ tabindex: -1, role: "button", "aria-label": this.words.nameOf(item) },
      ...{ onmouseenter: hover, onfocus: focus, onclick: () => this.actions.select(item) },
    };
  }

  /** Place everything for a width in pixels. */
  layout(width) {
    const most = Math.max(...this.sizes);
    this.isRoomy = most <= 8;
    this.nodeSide = this.isRoomy ? 40 : 26;
    const pitch = this.isRoomy ? 84 : 36;
    const height = HEADING + most * pitch;
    const longest = Math.max(...this.run.manifest.inputs.map((name) => name.length));
    const margin = Math.min(64, Math.max(52, 3.6 * longest));
    const step = (width - 2 * margin) / (this.sizes.length - 1);
    this.element.style.height = `${height}px`;
    this.lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const center = ({ column, neuron }) => {
      const free = (most - this.sizes[column]) * pitch;
      return [margin + column * step, HEADING + free / 2 + neuron * pitch + this.nodeSide / 2 + 4];
    };
    for (const { item, line, marks, target } of this.edges.values()) {
      const [x1, y1] = center({ column: item.column - 1, neuron: item.input });
      const [x2, y2] = center(item);
      const bend = (x2 - x1) / 2;
      const path = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
      for (const each of [line, target]) each.setAttribute("d", path);
      marks.style.setProperty("--edge", `path("${path}")`);
    }
    for (const { item, ring, target, label } of this.nodes.values()) {
      this.placeNode(center(item), ring, target, label);
      label.element.style.maxWidth = `${item.column === 0 ? 2 * margin : Math.max(step - 4, 60)}px`;
    }
    this.headings.forEach((heading, column) => {
      heading.style.left = `${margin + column * step}px`;
      heading.style.maxWidth = `${Math.max(step - 4, 60)}px`;
    });
  }

  placeNode([x, y], ring, button, label) {
    const half = this.nodeSide / 2;
    Object.assign(button.style, { left: `${x - half}px`, top: `${y - half}px`, width: `${2 * half}px`, height: `${2 * half}px` });
    for (const [name, value] of Object.entries({ x: x - half, y: y - half, width: 2 * half, height: 2 * half })) {
      ring.setAttribute(name, value);
    }
    label.element.hidden = !this.isRoomy;
    label.place(x, y + half + 7);
  }

  /**
   * Draw a moment.
   *
   * @param seen what `seenIn` returns.
   * @param scales {edge, error}: the values that are drawn thickest.
   */
  draw(moment, maps, view, seen, scales) {
    const { kind, point } = view;
    for (const { item, line, marks, target } of this.edges.values()) {
      const value = moment.edgeValue(kind, item, point);
      line.setAttribute("stroke", signColor(value));
      line.setAttribute("stroke-width", thickness(value, scales.edge));
      line.setAttribute("class", `edge${dashes(value)}${isSame(item, view.chosen) ? " chosen" : ""}`);
      const { column, direction } = seen.flow ?? {};
      const flows = column === item.column && moment.carries(direction, item, point);
      marks.setAttribute("class", flows ? `marks ${direction}` : "marks");
      this.makeReachable(target, item, view);
    }
    for (const node of this.nodes.values()) this.drawNode(node, moment, maps, view, seen, scales);
    this.headings.forEach((heading, column) => heading.replaceChildren(...this.headingOf(column, moment, view)));
  }

  drawNode({ item, ring, canvas, mark, target, label }, moment, maps, view, seen, scales) {
    const { column, neuron } = item;
    const hasError = column >= seen.errors && column > 0;
    const error = hasError ? moment.errorOf(item, view.point) : 0;
    const isSigned = view.point !== null;
    ring.setAttribute("stroke", isSigned ? signColor(error) : palette().thin);
    ring.setAttribute("stroke-width", hasError ? 1.7 * thickness(error, scales.error) : 0);
    const arrives = seen.flow?.direction === "back" && column === seen.errors;
    ring.setAttribute("class", `ring${isSigned ? dashes(error) : ""}${arrives ? " arrives" : ""}`);
    if (maps) paint(canvas, maps.shades(item), COARSE);
    const { mark: word } = moment.markOf(item) ?? { mark: "" };
    mark.textContent = word && (this.isRoomy ? word : "✕");
    target.classList.toggle("chosen", isSame(item, view.chosen));
    target.classList.toggle("hidden", column > seen.activations);
    const hasValue = isSigned && column <= seen.activations;
    label.draw(hasValue ? moment.activation(column, neuron, view.point) : null, hasError ? error : null, view.point, arrives);
    this.makeReachable(target, item, view);
    target.setAttribute("aria-pressed", isSame(item, view.selected));
  }

  /** Let one element of the graph be reached by the tabulator key, and all by arrow keys from there. */
  makeReachable(target, item, view) {
    const isEntry = isSame(item, this.focused ?? view.selected ?? { column: this.sizes.length - 1, neuron: 0 });
    target.setAttribute("tabindex", isEntry ? 0 : -1);
    if (isEntry) target.setAttribute("aria-label", this.words.describe(item));
  }

  labelOf({ column, neuron }) {
    if (column === 0) return this.run.manifest.inputs[neuron];
    return column === this.run.layers.length ? "output" : `${neuron + 1}`;
  }

  headingOf(column, moment, view) {
    if (column === 0) return [html("b", {}, "inputs"), html("br"), this.cutShort(0)];
    const { name, activation } = this.run.layers[column - 1];
    const isOutput = column === this.run.layers.length;
    return [html("b", {}, name), html("br"), isOutput ? "p = σ(z)" : `a = ${activation}(z)`, this.cutShort(column)];
  }

  cutShort(column) {
    const all = columnSizes(this.run.layers)[column];
    return all > this.sizes[column] ? ` (${this.sizes[column]} of ${all})` : "";
  }

  walk(event) {
    const element = [...this.nodes.values(), ...this.edges.values()].find(({ target }) => target === event.target);
    if (!element) return;
    if (element.item.input !== undefined && ["Enter", " "].includes(event.key)) this.actions.select(element.item);
    else {
      const next = neighbor(element.item, event.key, this.sizes);
      if (!next) return;
      this.focus(next);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  focus(item) {
    const { target } = this.nodes.get(keyOf(item)) ?? this.edges.get(keyOf(item));
    target.setAttribute("aria-label", this.words.describe(item));
    target.focus();
  }
}

function thickness(value, greatest) {
  if (!Number.isFinite(value) || !(greatest > 0)) return THINNEST;
  return THINNEST + (THICKEST - THINNEST) * Math.min(1, Math.abs(value) / greatest);
}

function dashes(value) {
  return value < 0 ? " negative" : Number.isFinite(value) ? "" : " unknown";
}
