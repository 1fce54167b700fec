// The page: what is shown, and what changes it.

import { addressOfView, onAddressChange, readAddress, viewOfAddress, writeAddress } from "./address.js";
import { Controls } from "./controls.js";
import { Curve } from "./curve.js";
import { html } from "./dom.js";
import { KEYS, press } from "./keys.js";
import { LayersView } from "./layers_view.js";
import { Player } from "./player.js";
import { Run } from "./run.js";
import { RunView } from "./run_view.js";
import { followTheme, isVisible } from "./theme.js";
import { isSame } from "./walk.js";

const POLL = 2000; // milliseconds between two looks at whether runs have grown
const ADDRESS_DELAY = 200; // milliseconds without a change, after which the address is written

export class App {
  constructor(source, root) {
    Object.assign(this, { source, root, views: [], listed: [], wanted: [], isComplete: false });
    this.view = { step: 0, kind: "weight", point: null, selected: null, hovered: null, validation: false };
    Object.assign(this.view, { phase: null, isPlaying: false, speed: 50 });
    this.player = new Player(this);
    this.message = html("p", { class: "message", role: "status" });
    this.curve = new Curve("Loss L before each step", 110, (step) => this.goTo(step));
    this.stage = html("div", { class: "stage" });
    this.body = html("main", { class: "play" }, this.message);
    root.append(this.body);
  }

  async start() {
    followTheme(() => this.request());
    document.addEventListener("keydown", (event) => press(event, this));
    onAddressChange(() => this.showAddress(readAddress()));
    new ResizeObserver(() => this.layout()).observe(this.body);
    await this.list();
    if (this.source.isLive) setInterval(() => isVisible() && this.poll(), POLL);
  }

  /** Read which runs there are, and show those that the address names, or else the first. */
  async list() {
    this.listed = await this.source.runs();
    const playable = this.listed.filter(({ reason }) => !reason);
    this.names = playable.map(({ name }) => name);
    if (!playable.length) {
      this.say(this.listed[0]?.reason ?? "No run logged anything for this page yet.");
      return;
    }
    if (!this.controls) {
      this.controls = new Controls(this);
      const keys = html("p", { class: "keys" }, KEYS);
      this.body.replaceChildren(this.controls.element, this.message, this.curve.element, this.stage, keys);
    }
    this.controls.list(this.names);
    if (!this.isComplete) await this.showAddress(readAddress());
    this.request();
  }

  /** Show what an address says. */
  async showAddress({ run, beside, ...rest }) {
    const known = (name) => (this.names.includes(name) ? name : null);
    const missing = [run, beside].filter((name) => name && !known(name));
    await this.show([known(run) ?? this.names[0], known(beside)]);
    if (missing.length) {
      this.isComplete = false;
      this.say(`There is no run ${missing.join(" or ")} here.`);
    }
    const { step, point, ...view } = viewOfAddress(rest);
    Object.assign(this.view, view);
    this.setPoint(point);
    this.goTo(step);
  }

  /** Show one run, or two; a later choice goes before one that is still loading. */
  async show(names) {
    const wanted = [...new Set(names.filter(Boolean))];
    this.say("");
    if (this.isComplete && JSON.stringify(wanted) === JSON.stringify(this.wanted)) return;
    Object.assign(this, { wanted, isComplete: false });
    this.say("Loading…");
    try {
      const runs = await Promise.all(wanted.map((name) => Run.open(this.source, name)));
      if (this.wanted === wanted) this.place(runs.filter((run) => !run.isEmpty));
    } catch (error) {
      if (this.wanted === wanted) this.say(error.message);
    }
  }

  place(runs) {
    this.views = runs.map((run) => (run.isDrawn ? new RunView(run, this) : new LayersView(run, this)));
    this.isComplete = runs.length === this.wanted.length;
    this.say(this.isComplete ? "" : "No step has been recorded yet.");
    this.stage.replaceChildren(...this.views.map(({ element }) => element));
    this.stage.classList.toggle("two", this.views.length > 1);
    this.layout();
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  /** Look whether runs have come or grown, and show what is new. */
  async poll() {
    if (this.isPolling) return;
    this.isPolling = true;
    try {
      const listed = await this.source.runs();
      const steps = new Map(listed.map((each) => [each.name, each.steps]));
      const grown = this.views.filter(({ run }) => steps.get(run.name) !== run.manifest.steps);
      const isAtEnd = this.views.length > 0 && this.view.step === this.lastStep;
      await Promise.all(grown.map(({ run }) => run.refresh()));
      if (isAtEnd && grown.length) this.goTo(Infinity);
      if (stateOf(listed) !== stateOf(this.listed)) await this.list();
      else if (grown.length) this.layout();
    } catch {
      // The server is away; the next look may find it.
    }
    this.isPolling = false;
  }

  get firstStep() {
    return Math.min(...this.views.map(({ run }) => run.firstStep));
  }

  get lastStep() {
    return Math.max(...this.views.map(({ run }) => run.lastStep));
  }

  /** The first run of those shown whose weights are known, or undefined. */
  get drawn() {
    return this.views.find(({ run }) => run.isDrawn);
  }

  update(changes) {
    const { point, ...others } = changes;
    if (point !== undefined) this.setPoint(point);
    Object.assign(this.view, others);
    this.request();
  }

  setPoint(point) {
    const counts = this.views.filter(({ run }) => run.isDrawn).map(({ run }) => run.training.count);
    const isThere = Number.isInteger(point) && point >= 0 && point < Math.max(0, ...counts);
    this.view.point = isThere ? point : null;
  }

  select(item) {
    this.update({ selected: isSame(item, this.view.selected) ? null : item });
  }

  async chooseRun(place, name) {
    const names = [...this.wanted];
    names[place] = name;
    await this.show(names);
    this.goTo(this.view.step);
  }

  goTo(step) {
    if (!this.views.length) return;
    const whole = Number.isFinite(step) ? Math.round(step) : step;
    this.update({ step: Math.max(this.firstStep, Math.min(this.lastStep, whole)), phase: null });
  }

  layout() {
    if (!this.views.length || !this.body.clientWidth) return;
    const curves = this.views.map(({ run }) => ({ name: run.name, ...run.series["train/loss"] })).filter(({ steps }) => steps);
    this.curve.layout(this.curve.element.clientWidth, curves, [this.firstStep, this.lastStep]);
    for (const each of this.views) each.layout();
    this.request();
  }

  /** Draw with the next frame. */
  request() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      try {
        if (this.views.length) this.draw();
      } catch (error) {
        console.warn(error);
        this.say(`What was recorded cannot be shown: ${error.message}`);
      }
    });
  }

  draw() {
    const { view } = this;
    const sizes = this.views.map((each) => each.greatest(view));
    const scales = { edge: Math.max(...sizes.map(({ edge }) => edge)), error: Math.max(...sizes.map(({ error }) => error)) };
    for (const each of this.views) each.draw(view, scales);
    this.curve.draw(view.step);
    const { drawn } = this;
    const names = this.views.map(({ run }) => run.name);
    const kind = drawn?.partOf(view).kind;
    const facts = { last: this.lastStep, points: drawn?.run.training.count ?? 0, names, isDrawn: Boolean(drawn), kind };
    this.controls.draw(view, facts);
    clearTimeout(this.writing); // a browser limits how often the address may change
    if (!this.isComplete) return; // what it names may come, while TensorBoard reads
    this.writing = setTimeout(() => writeAddress(addressOfView(view, names)), ADDRESS_DELAY);
  }
}

/** Return which runs there are, and which of them can be shown, as a text. */
function stateOf(listed) {
  return JSON.stringify(listed.map(({ name, reason, steps }) => [name, reason, steps > 0]));
}
