import { expect, test } from 'vitest';
import { justify } from './justify';

const photos = Array.from({ length: 500 }, (_, i) => ({ id: i, ratio: [1.5, 0.66, 1, 1.78, 3.5][i % 5]! }));

test('rows are full, nothing overlaps and nothing is lost', () => {
  const rows = justify(photos, (p) => p.ratio, 1000, 220, 4);
  expect(rows.flatMap((r) => r.tiles.map((t) => t.item.id))).toEqual(photos.map((p) => p.id));
  let top = 0;
  rows.forEach((row, i) => {
    expect(row.top).toBeCloseTo(top);
    top += row.height + 4;
    const last = row.tiles.at(-1)!;
    if (i < rows.length - 1) {
      expect(last.left + last.width).toBeCloseTo(1000);
      expect(row.height).toBeLessThanOrEqual(220);
    }
    row.tiles.reduce((end, t) => {
      expect(t.left).toBeGreaterThanOrEqual(end);
      return t.left + t.width;
    }, 0);
  });
});

test('a last row of few is not blown up', () => {
  const [row] = justify([photos[0]!], (p) => p.ratio, 1000, 220, 4);
  expect(row).toMatchObject({ top: 0, height: 220, tiles: [{ left: 0, width: 330 }] });
});

test('a phone, where one picture is wider than the page', () => {
  const rows = justify(photos.slice(0, 5), (p) => p.ratio, 300, 200, 2);
  for (const r of rows) for (const t of r.tiles) expect(t.left + t.width).toBeLessThanOrEqual(300.001);
});

test('nothing to lay out, or nowhere to', () => {
  expect(justify([], () => 1, 500, 200, 4)).toEqual([]);
  expect(justify(photos, () => Number.NaN, 0, 200, 4)).toEqual([]);
});
