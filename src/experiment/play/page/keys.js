// Keys.

import { takesKeys } from "./dom.js";

export const KEYS =
  "Keys: space or p plays and pauses; , and . (or ← and →) go a step back and forward, with shift ten; Home and End go to the " +
  "first and last step; w watches one step, part by part; in the graph, the arrows lead along its edges and Enter enlarges a " +
  "neuron; Escape shows all points and the output again.";

/** Do what a key means to the page, unless the element that has the focus takes it itself. */
export function press(event, app) {
  if (event.ctrlKey || event.metaKey || event.altKey || takesKeys(event.target)) return;
  const isButton = event.target.matches("button, summary, [role=button], input");
  const far = event.shiftKey ? 10 : 1;
  const actions = {
    ...(isButton ? {} : { " ": () => app.player.toggle() }),
    ...{ p: () => app.player.toggle(), w: () => app.player.watch() },
    ...{ ",": () => app.player.move(-1), ".": () => app.player.move(1), "<": () => app.player.move(-10), ">": () => app.player.move(10) },
    ...{ ArrowLeft: () => app.player.move(-far), ArrowRight: () => app.player.move(far) },
    ...{ Home: () => app.goTo(0), End: () => app.goTo(Infinity) },
    Escape: () => app.update({ selected: null, point: null, phase: null }),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}
