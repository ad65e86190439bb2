/**
 * Where every expert's cell lies in the picture: a layer is a shelf, and a shelf too long for the width is folded into
 * lines of equal length. Pure arithmetic in CSS pixels, so that 3 × 64 and 39 × 512 are one case.
 */

export interface ShelfLayout {
  readonly width: number;
  readonly height: number;
  /** Left edge of the cells, after the layer's name. */
  readonly left: number;
  readonly cellWidth: number;
  /** Height of a cell at its tallest, and the distance from one line to the next. */
  readonly cellHeight: number;
  readonly lineHeight: number;
  readonly perLine: number;
  readonly linesPerShelf: number;
  readonly shelfHeight: number;
}

const SMALLEST_CELL = 2;

export function layOut(width: number, shelves: number, cells: number): ShelfLayout {
  const narrow = width < 500;
  const left = narrow ? 26 : 34;
  const counts = narrow ? 50 : 58;
  const room = Math.max(40, width - left - counts);
  const linesPerShelf = Math.max(1, Math.ceil((cells * SMALLEST_CELL) / room));
  const perLine = Math.max(1, Math.ceil(cells / linesPerShelf));
  const cellHeight = shelves <= 4 ? 32 : shelves <= 12 ? 20 : shelves <= 24 ? 14 : 10;
  const lineHeight = cellHeight + (shelves <= 4 ? 4 : 2);
  const shelfHeight = lineHeight * linesPerShelf + (shelves <= 12 ? 8 : 4);
  return {
    width,
    height: Math.max(1, shelves * shelfHeight),
    left,
    cellWidth: room / perLine,
    cellHeight,
    lineHeight,
    perLine,
    linesPerShelf,
    shelfHeight,
  };
}

/** The shelf and expert at a point, or `null` beside them. */
export function cellAt(layout: ShelfLayout, x: number, y: number): { shelf: number; expert: number } | null {
  const shelf = Math.floor(y / layout.shelfHeight);
  const line = Math.floor((y - shelf * layout.shelfHeight) / layout.lineHeight);
  const column = Math.floor((x - layout.left) / layout.cellWidth);
  if (shelf < 0 || line < 0 || line >= layout.linesPerShelf || column < 0 || column >= layout.perLine) return null;
  return { shelf, expert: line * layout.perLine + column };
}
