// The line on which a function over a grid is 0 (marching squares, with linear interpolation).

/**
 * Return the pieces of the line as [x1, y1, x2, y2], in cells of the grid.
 *
 * @param values of the function, row after row, size × size.
 */
export function zeroLine(values, size) {
  const pieces = [];
  for (let row = 0; row + 1 < size; row++) {
    for (let column = 0; column + 1 < size; column++) {
      const at = row * size + column;
      const above = (values[at] > 0) + (values[at + 1] > 0) + (values[at + size] > 0) + (values[at + size + 1] > 0);
      if (above === 0 || above === 4) continue;
      const ends = crossings(values, at, row, column, size);
      for (let i = 0; i + 1 < ends.length; i += 2) pieces.push([...ends[i], ...ends[i + 1]]);
    }
  }
  return pieces;
}

/** Return how far places of two lines are from the other line at most, in cells; null where one of the lines is empty. */
export function distance(pieces, others) {
  if (!pieces.length || !others.length) return null;
  return Math.max(farthest(pieces, others), farthest(others, pieces));
}

function farthest(pieces, others) {
  return pieces.reduce((most, [x, y]) => Math.max(most, nearest(x, y, others)), 0);
}

/** Return how far a place is from the nearest place of a line. */
function nearest(x, y, pieces) {
  let least = Infinity;
  for (const [x1, y1, x2, y2] of pieces) {
    const [dx, dy] = [x2 - x1, y2 - y1];
    const along = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1);
    const share = Math.min(1, Math.max(0, along));
    least = Math.min(least, (x - x1 - share * dx) ** 2 + (y - y1 - share * dy) ** 2);
  }
  return Math.sqrt(least);
}

/** Return where the line crosses the four sides of a cell: no point, two, or four in a saddle. */
function crossings(values, at, row, column, size) {
  const [a, b, c, d] = [values[at], values[at + 1], values[at + size + 1], values[at + size]];
  const found = [];
  if (a > 0 !== b > 0) found.push([column + a / (a - b), row]);
  if (b > 0 !== c > 0) found.push([column + 1, row + b / (b - c)]);
  if (d > 0 !== c > 0) found.push([column + d / (d - c), row + 1]);
  if (a > 0 !== d > 0) found.push([column, row + a / (a - d)]);
  return found;
}
