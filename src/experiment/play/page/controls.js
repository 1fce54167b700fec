// The bar of controls.

import { html, svg } from "./dom.js";
import { formatCount } from "./format.js";
import { KINDS } from "./kinds.js";

const ICONS = {
  first: "M3 3H5V13H3ZM13 3V13L6 8Z",
  back: "M12 3V13L4 8Z",
  play: "M4 2.5V13.5L13 8Z",
  pause: "M4 3H7V13H4ZM9 3H12V13H9Z",
  forward: "M4 3V13L12 8Z",
  last: "M11 3H13V13H11ZM3 3V13L10 8Z",
};
const SPEEDS = [1, 5, 20, 50, 200, 1000]; // steps a second

export class Controls {
  /** @param actions {update(changes), chooseRun(place, name), goTo(step), player} */
  constructor(actions) {
    this.playButton = button("play", "Play (space)", () => actions.player.toggle());
    this.watchButton = html("button", { type: "button", title: "w", onclick: () => actions.player.watch() }, "Watch this step");
    this.step = numberField("Step", (value) => actions.goTo(value ?? 0));
    this.point = numberField("Point", (value) => actions.update({ point: value }));
    this.point.placeholder = "all";
    this.total = html("span");
    this.speed = choice("Speed", SPEEDS.map((each) => [each, `${formatCount(each)} steps/s`]), (value) => actions.update({ speed: Number(value) }));
    this.runs = choice("Run", [], (name) => actions.chooseRun(0, name));
    this.other = choice("beside", [], (name) => actions.chooseRun(1, name || null));
    this.validation = html("input", { type: "checkbox", onchange: () => actions.update({ validation: this.validation.checked }) });
    this.kinds = Object.entries(KINDS).map(([kind, text]) => this.kindOf(kind, text, actions));
    this.all = html("button", { type: "button", title: "Escape", onclick: () => actions.update({ point: null }) }, "all points");
    this.drawnOnly = html(
      "div",
      { class: "group" },
      html("div", { class: "group", role: "radiogroup", "aria-label": "Edges show" }, "Edges ", ...this.kinds.map(({ label }) => label)),
      html("label", { class: "group" }, "Point ", this.point),
      this.all,
      html("label", { class: "group" }, this.validation, " validation points"),
    );
    this.element = html(
      "div",
      { class: "controls" },
      html("div", { class: "group" }, this.runs, this.other),
      html(
        "div",
        { class: "group" },
        button("first", "First step (Home)", () => actions.goTo(0)),
        button("back", "Step back (,)", () => actions.player.move(-1)),
        this.playButton,
        button("forward", "Step forward (.)", () => actions.player.move(1)),
        button("last", "Last step (End)", () => actions.goTo(Infinity)),
        html("label", { class: "group" }, "Step ", this.step, this.total),
        this.speed,
      ),
      this.watchButton,
      this.drawnOnly,
    );
  }

  /** Offer runs. */
  list(names) {
    const options = names.map((name) => [name, name]);
    setOptions(this.runs.lastChild, options);
    setOptions(this.other.lastChild, [["", "nothing"], ...options]);
    this.other.hidden = names.length < 2;
  }

  kindOf(kind, text, actions) {
    const input = html("input", { type: "radio", name: "edges", value: kind, onchange: () => actions.update({ kind }) });
    return { kind, input, label: html("label", { class: "group" }, input, ` ${text}`) };
  }

  /** Show a view; `last` is its last step, `points` how many training points there are, `kind` what the edges show. */
  draw(view, { last, points, names, isDrawn, kind: drawnKind }) {
    setIcon(this.playButton, view.isPlaying ? "pause" : "play", view.isPlaying ? "Pause (space)" : "Play (space)");
    this.watchButton.setAttribute("aria-pressed", view.phase !== null);
    this.watchButton.hidden = this.drawnOnly.hidden = !isDrawn;
    if (document.activeElement !== this.step) this.step.value = view.step;
    if (document.activeElement !== this.point) this.point.value = view.point ?? "";
    this.step.max = last;
    this.point.max = points - 1;
    this.total.textContent = ` of ${formatCount(last)}`;
    for (const { kind, input } of this.kinds) {
      input.checked = kind === drawnKind;
      input.disabled = view.phase !== null; // each part of a watched step shows its own
    }
    this.validation.checked = view.validation;
    this.all.disabled = view.point === null;
    this.speed.lastChild.value = view.speed;
    this.runs.lastChild.value = names[0];
    this.other.lastChild.value = names[1] ?? "";
  }
}

function button(icon, name, onclick) {
  const made = html("button", { type: "button", class: "icon", onclick }, svg("svg", { viewBox: "0 0 16 16" }, svg("path")));
  setIcon(made, icon, name);
  return made;
}

function setIcon(made, icon, name) {
  made.querySelector("path").setAttribute("d", ICONS[icon]);
  made.setAttribute("aria-label", name);
  made.title = name;
}

function choice(label, options, onChoice) {
  const select = html("select", { onchange: () => onChoice(select.value) });
  setOptions(select, options);
  return html("label", { class: "group" }, `${label} `, select);
}

function setOptions(select, options) {
  select.replaceChildren(...options.map(([value, text]) => html("option", { value }, text)));
}

function numberField(name, onNumber) {
  const input = html("input", { type: "number", min: 0, "aria-label": name });
  input.addEventListener("change", () => onNumber(input.value === "" ? null : Math.round(Number(input.value))));
  return input;
}
