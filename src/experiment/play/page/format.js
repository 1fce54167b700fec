// Numbers as `python -m experiment.explain` prints them.

const MINUS = "−";

/** Return a number to so many significant digits, as Python's format "#.5g" writes it, with a true minus sign. */
export function formatNumber(value, digits = 5) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : (value < 0 ? MINUS : "") + "∞";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  const text =
    power < -4 || power >= digits
      ? `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`
      : value.toFixed(digits - 1 - power);
  return text.replaceAll("-", MINUS);
}

/** Return a number to three significant digits, for the labels in a drawing. */
export function shortNumber(value) {
  return formatNumber(value, 3);
}

/** Return a round number, for an axis. */
export function tickText(value) {
  return String(Number(value.toPrecision(3))).replace("-", MINUS);
}

/** Return a whole number in subscript digits. */
export function subscript(number) {
  return String(number).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
}

/** Return a whole number with its thousands separated. */
export function formatCount(number) {
  return number.toLocaleString("en-US");
}

/** Return a share of 1 as a percentage. */
export function formatShare(share) {
  return `${(100 * share).toFixed(1)}%`;
}
