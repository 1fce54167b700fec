// Elements made in one expression.

/**
 * Return an HTML element.
 *
 * @param attributes by name; a function is a listener of the event that its name, less "on", says.
 * @param children elements or texts.
 */
export function html(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Return an SVG element, as `html` does. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** Return whether typing a key belongs to an element itself, as in a field or a list of choices. */
export function takesKeys(target) {
  return target.matches("input:not([type=checkbox]):not([type=radio]), select, textarea");
}
