// The address says what is shown, so that a view can be shared: #run=…&step=…; in TensorBoard, after its tab's name.

import { KINDS } from "./kinds.js";
import { outerWindow } from "./theme.js";
import { itemOf, keyOf } from "./walk.js";

const owner = outerWindow() ?? window;
const tab = owner === window ? null : new URLSearchParams(window.location.search).get("name");

/** Return what the address says, as texts by name. */
export function readAddress() {
  const parts = owner.location.hash.slice(1).split("&");
  const pairs = parts.map((part) => part.match(/^(\w+)=(.*)$/)).filter(Boolean);
  return Object.fromEntries(pairs.map(([, name, value]) => [name, decoded(value)]));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // typed by hand, with a % that encodes nothing
  }
}

/** Write texts by name into the address, unless TensorBoard shows another tab; what is null is left out. */
export function writeAddress(parameters) {
  const [shownTab] = owner.location.hash.slice(1).split("&");
  if (tab && shownTab && shownTab !== tab) return;
  const pairs = Object.entries(parameters).filter(([, value]) => value !== null);
  const texts = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  const url = new URL(owner.location.href); // a hash alone would be relative to <base>
  url.hash = [...(tab ? [tab] : []), ...texts].join("&");
  if (url.href !== owner.location.href) owner.history.replaceState(owner.history.state, "", url);
}

/** Call a function whenever the address is changed by hand. */
export function onAddressChange(listener) {
  owner.addEventListener("hashchange", listener);
}

/** Return what of a view an address says; what it leaves out is as it is at first. */
export function viewOfAddress({ step, edges, point, at, validation }) {
  return {
    step: Number(step) || 0,
    kind: edges in KINDS ? edges : "weight",
    point: point === undefined ? null : Number(point),
    selected: at === undefined ? null : itemOf(at),
    validation: validation === "1",
  };
}

/** Return the address of a view of one or two runs. */
export function addressOfView({ step, kind, point, selected, validation }, [run, beside = null]) {
  return { run, beside, step, edges: kind, point, at: selected && keyOf(selected), validation: validation ? 1 : null };
}
