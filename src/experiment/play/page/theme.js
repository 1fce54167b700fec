// Light or dark, as TensorBoard is set; outside it, as the browser is.

/** Set the attribute `data-theme` of the page, now and at each change, and call `onChange`. */
export function followTheme(onChange) {
  const frame = outerWindow();
  const preference = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const isDark = frame ? frame.document.body.classList.contains("dark-mode") : preference.matches;
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    onChange();
  };
  if (frame) new MutationObserver(apply).observe(frame.document.body, { attributeFilter: ["class"] });
  else preference.addEventListener("change", apply);
  apply();
}

/** Return TensorBoard's window where this page is in its frame, else null. */
export function outerWindow() {
  if (window.parent === window) return null;
  try {
    return window.parent.document.body && window.parent;
  } catch {
    return null; // a frame in a page of another origin
  }
}

/** Return whether the page can be seen: TensorBoard shrinks the frame of a tab that is not. */
export function isVisible() {
  return document.visibilityState === "visible" && window.innerHeight > 0;
}
