// The decision, the line where p = 0.5, before and after a step.

import { distance, zeroLine } from "./contour.js";
import { formatNumber, shortNumber } from "./format.js";
import { GRID, Maps } from "./maps.js";
import { Moment } from "./moment.js";

const VISIBLE = 2; // pixels; a line that moves less than that seems to stand still

/**
 * Attributes:
 *   after: the moment after the step, and `maps` of its plane; null where the points are on none.
 *   z: of the output before the step, over the plane.
 *   shift: how far the line moves at most, in the units of the inputs; null where one of the lines is not in view.
 */
export class Decision {
  constructor(moment, mapsBefore, view) {
    const { run, layers, step } = moment;
    this.before = moment;
    this.after = new Moment(run, step + 1);
    this.maps = mapsBefore && new Maps(layers, moment.after, view);
    if (!this.maps) return;
    const output = { column: layers.length, neuron: 0 };
    this.z = mapsBefore.z(output);
    const cells = distance(zeroLine(this.z, GRID), zeroLine(this.maps.z(output), GRID));
    this.shift = cells === null ? null : (cells * view.side) / (GRID - 1);
  }

  /** Return what changes, in words; `pixel`: how much of the plane a pixel is. */
  lines(point, pixel) {
    const { before, after } = this;
    const count = before.training.count;
    const p = ({ training }) => formatNumber(training.passes.at(-1).a[point]);
    return [
      `p = 0.5 where z of the output ${before.layers.at(-1).name} is 0. With the new weights, that is elsewhere.`,
      ...(this.maps ? [this.shiftLine(pixel)] : []),
      `L = ${formatNumber(before.loss)} → ${formatNumber(before.lossAfter)}`,
      `Right  ${before.right} → ${after.right} of ${count} training points`,
      ...(point === null ? [] : [`p of point ${point} = ${p(before)} → ${p(after)}`]),
    ];
  }

  shiftLine(pixel) {
    if (this.shift === null) return "The line is not in view both before and after the step.";
    if (this.shift === 0) return "The line does not move.";
    const seen = this.shift < VISIBLE * pixel ? ": too little to see at this step" : "";
    return `The line moves by ${shortNumber(this.shift)} at most${seen}.`;
  }
}
