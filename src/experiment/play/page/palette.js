// Colors of the drawings: blue and orange of Okabe and Ito's palette, distinguishable with any kind of color vision.

const LEVELS = 127; // of color, on each side of 0

export const DECISION_BEFORE = { color: "#8A8A8A", width: 1.6, dash: [0.1, 4] }; // seen on the decision after it, too

const LIGHT = {
  classes: ["#0072B2", "#E69F00"],
  map: { negative: [102, 170, 209], zero: [255, 255, 255], positive: [240, 197, 102], unknown: [200, 200, 200] },
  signs: { negative: "#0072B2", positive: "#A86400", none: "#8A8A8A" },
  ink: "#111111",
  outline: "#222222",
  thin: "#444444",
  halo: "#FFFFFF",
};

const DARK = {
  classes: ["#56B4E9", "#F0B429"],
  map: { negative: [22, 82, 121], zero: [32, 33, 36], positive: [133, 92, 10], unknown: [90, 90, 90] },
  signs: { negative: "#56B4E9", positive: "#F0B429", none: "#8A8A8A" },
  ink: "#FFFFFF",
  outline: "#101010",
  thin: "#C8C8C8",
  halo: "#202124",
};

/** Return the colors of the current theme. */
export function palette() {
  return document.documentElement.dataset.theme === "dark" ? DARK : LIGHT;
}

/** Return the color of a sign. */
export function signColor(value) {
  const { signs } = palette();
  return value > 0 ? signs.positive : value < 0 ? signs.negative : signs.none;
}

/** Return the pixel of a value from −1 to 1, its bytes RGBA in one number. */
export function pixelOf(value, { pixels, unknown }) {
  return Number.isNaN(value) ? unknown : pixels[LEVELS + Math.round(LEVELS * value)];
}

for (const each of [LIGHT, DARK]) each.pixelTable = pixelTableOf(each.map);

function pixelTableOf({ negative, zero, positive, unknown }) {
  const pixels = Uint32Array.from({ length: 2 * LEVELS + 1 }, (_, i) => {
    const share = Math.abs(i - LEVELS) / LEVELS;
    const end = i < LEVELS ? negative : positive;
    return packed(zero.map((part, c) => part + share * (end[c] - part)));
  });
  return { pixels, unknown: packed(unknown) };
}

function packed(color) {
  return new Uint32Array(Uint8ClampedArray.from([...color, 255]).buffer)[0];
}
