/** A tile in a row, in pixels. */
export interface Tile<T> {
  item: T;
  left: number;
  width: number;
}

export interface Row<T> {
  top: number;
  height: number;
  tiles: Tile<T>[];
}

/**
 * justify lays items out in rows that are all as wide as the page, each item in
 * its own proportions (width / height). The last row keeps the wanted height.
 */
export function justify<T>(items: T[], ratio: (item: T) => number, width: number, wanted: number, gap: number): Row<T>[] {
  const rows: Row<T>[] = [];
  if (width <= 0) return rows;
  let top = 0;
  let waiting: { item: T; ratio: number }[] = [];
  let sum = 0;
  const place = (height: number) => {
    let left = 0;
    const tiles = waiting.map((w) => {
      const tile = { item: w.item, left, width: Math.min(w.ratio * height, width) };
      left += tile.width + gap;
      return tile;
    });
    rows.push({ top, height, tiles });
    top += height + gap;
    waiting = [];
    sum = 0;
  };
  for (const item of items) {
    const r = Math.min(Math.max(ratio(item) || 1, 0.5), 2.6);
    waiting.push({ item, ratio: r });
    sum += r;
    const height = (width - gap * (waiting.length - 1)) / sum;
    if (height <= wanted) place(height);
  }
  if (waiting.length) place(wanted);
  return rows;
}
