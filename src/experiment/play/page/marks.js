// Arrow heads that travel along an edge, one after another.

import { svg } from "./dom.js";

const COUNT = 3; // on an edge at a time
const SECONDS = 1.2; // from one end of an edge to the other, as in style.css
const STAGGERED = 4; // edges that meet at a neuron: their arrow heads do not come at the same time

/** Return the arrow heads of an edge; its class says which way they travel, and `--edge` along which path. */
export function makeMarks({ neuron, input }) {
  const late = ((neuron + input) % STAGGERED) / STAGGERED;
  const arrows = Array.from({ length: COUNT }, (_, i) => {
    const style = `animation-delay: ${((i + late) * SECONDS) / COUNT}s`;
    return svg("path", { class: "arrow", d: "M8 0L-6 7L-6 -7Z", style });
  });
  return svg("g", { class: "marks" }, ...arrows);
}
