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
