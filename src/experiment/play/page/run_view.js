// A run whose weights are known: its graph, its plane and the details.

import { Decision } from "./decision.js";
import { detailsOf } from "./details.js";
import { html } from "./dom.js";
import { formatCount, formatNumber, formatShare } from "./format.js";
import { Graph } from "./graph.js";
import { graphLegend, planeLegend } from "./legend.js";
import { Maps } from "./maps.js";
import { Moment } from "./moment.js";
import { nameOf } from "./names.js";
import { captionOf, isOfAllPoints, phasesOf, seenIn } from "./phases.js";
import { Plane } from "./plane.js";
import { columnSizes, exists } from "./walk.js";

export class RunView {
  /** @param actions {update(changes), select(item)} */
  constructor(run, actions) {
    this.run = run;
    this.sizes = columnSizes(run.layers);
    const words = { nameOf: (item) => nameOf(item, run), describe: (item) => this.describe(item) };
    this.graph = new Graph(run, actions, words);
    this.plane = run.isOnPlane ? new Plane(run, actions) : null;
    this.summary = html("p", { class: "summary" });
    this.caption = html("p", { class: "caption", role: "status" });
    this.graphLegend = html("div", { class: "legend" });
    this.planeLegend = html("div", { class: "legend" });
    this.shown = html("p", { class: "shown" });
    this.details = html("div", { class: "details", role: "region", "aria-label": "Details" });
    this.opened = new Set();
    this.element = html(
      "section",
      { class: this.plane ? "run on-plane" : "run", "aria-label": run.name },
      html("h2", {}, run.name),
      this.summary,
      this.caption,
      html("div", { class: "graph-side" }, this.graph.element, this.graphLegend),
      this.details,
      this.plane ? html("div", { class: "plane-side" }, this.shown, this.plane.element, this.planeLegend) : this.noPlane(),
    );
  }

  noPlane() {
    const { inputs } = this.run.manifest;
    const text = `No maps: the points have ${inputs.length} inputs (${inputs.join(", ")}), and a plane has two.`;
    return html("p", { class: "note" }, text);
  }

  layout() {
    this.graph.layout(this.graph.element.clientWidth);
    this.plane?.layout(this.plane.element.clientWidth);
  }

  /** Return the step that is shown where another is asked for that the run does not have. */
  stepNear(step) {
    return Math.min(Math.max(step, this.run.firstStep), this.run.lastStep);
  }

  momentAt(asked) {
    const step = this.stepNear(asked);
    if (this.moment?.step !== step || this.rows !== this.run.rows) {
      this.moment = new Moment(this.run, step);
      this.maps = this.run.isOnPlane ? new Maps(this.run.layers, this.moment.before, this.plane.view) : null;
      this.rows = this.run.rows;
      this.decision = null;
    }
    return this.moment;
  }

  /** Return the decision before and after a moment, if it is what a view shows, else null. */
  decisionOf(moment, { phase }) {
    if (phase?.kind !== "decision" || !moment.after) return null;
    this.decision ??= new Decision(moment, this.maps, this.plane?.view);
    return this.decision;
  }

  /** Return the greatest sizes, {edge, error}, of what the graph would show. */
  greatest(view) {
    const moment = this.momentAt(view.step);
    const { kind, point } = this.partOf(view);
    const largest = (values) => values.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0);
    const edges = [...this.graph.edges.values()].map(({ item }) => moment.edgeValue(kind, item, point) ?? 0);
    const nodes = [...this.graph.nodes.values()].filter(({ item }) => item.column > 0);
    return { edge: largest(edges), error: largest(nodes.map(({ item }) => moment.errorOf(item, point))) };
  }

  /**
   * Return the view as this run can show it, with what the current phase changes: what the edges show, and the point whose
   * numbers are shown, null for all of the step. The point `followed` has a ring.
   */
  partOf(view) {
    const phase = view.phase === null ? null : phasesOf(this.run.layers)[view.phase] ?? null;
    const known = (item) => (item && exists(item, this.sizes) ? item : null);
    const followed = view.point !== null && view.point < this.run.training.count ? view.point : null;
    const isOfStep = phase !== null && isOfAllPoints(phase);
    const point = isOfStep ? null : followed;
    const kind = phase ? (isOfStep ? "update" : "weight") : view.kind;
    const selected = known(view.selected);
    return { ...view, phase, point, followed, kind, selected, chosen: known(view.hovered) ?? selected };
  }

  draw(view, scales) {
    const moment = this.momentAt(view.step);
    const part = this.partOf(view);
    const decision = this.decisionOf(moment, part);
    const seen = seenIn(part.phase, this.run.layers);
    this.point = part.followed;
    this.graph.draw(moment, this.maps, part, seen, scales);
    if (decision) this.plane?.draw(decision.after, decision.maps, part, decision.z);
    else this.plane?.draw(moment, this.maps, part);
    this.graphLegend.replaceChildren(...graphLegend(this.run, part, seen, scales));
    this.planeLegend.replaceChildren(...planeLegend(this.run, part, decision !== null));
    this.caption.textContent = part.phase ? captionOf(part.phase, moment, part.point) : "";
    this.summary.textContent = this.summaryOf(moment, part);
    this.shown.textContent = this.shownOf(part, decision);
    const decisionLines = decision?.lines(part.followed, this.plane?.pixelSize) ?? null;
    this.showDetails(detailsOf(part.chosen, moment, part.followed, part.phase, decisionLines));
  }

  summaryOf(moment, view) {
    const { run } = this;
    const parts = [`step ${formatCount(moment.step)}`, `L = ${formatNumber(moment.loss)}`];
    parts.push(`${formatShare(moment.right / run.training.count)} of ${formatCount(run.training.count)} training points right`);
    if (view.validation && run.validation.count) {
      parts.push(`${formatShare(moment.accuracy(run.validation))} of ${formatCount(run.validation.count)} validation points right`);
    }
    if (!moment.before.every(Number.isFinite)) parts.push("diverged: weights are not finite");
    else if (view.step > run.lastStep) parts.push(`the run has no later step`);
    if (run.manifest.note) parts.push(run.manifest.note);
    return parts.join("  ·  ");
  }

  shownOf({ selected }, decision) {
    if (!selected || selected.input !== undefined) return `Plane: p, the probability of class 1${decision ? ", after the step" : ""}`;
    return `Plane: what ${nameOf(selected, this.run)} computes, and its line z = 0 dotted; Escape shows the output`;
  }

  /** Return what a screen reader says of a neuron or an edge. */
  describe(item) {
    const { title, lines } = detailsOf(item, this.moment, this.point);
    return [title, ...lines].join("; ");
  }

  showDetails({ title, lines, tables }) {
    this.details.replaceChildren(
      html("h3", {}, title),
      html("pre", {}, lines.join("\n")),
      ...tables.map((table) => this.tableOf(table)),
    );
  }

  tableOf({ title, rows }) {
    const cells = rows.map((row) => html("tr", {}, ...row.map((cell) => html("td", {}, cell))));
    const made = html("details", { open: this.opened.has(title) }, html("summary", {}, title), html("table", {}, ...cells));
    made.addEventListener("toggle", () => this.opened[made.open ? "add" : "delete"](title));
    return made;
  }
}
