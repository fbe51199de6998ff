import { expect, test } from 'vitest';
import { ago, bytes, clock, fileName, percent, plural, span } from './format';

test('sizes have three digits and a unit', () => {
  expect([0, 999, 1000, 1234567, 104857600, 5e12].map(bytes)).toEqual(['0 B', '999 B', '1 KB', '1.23 MB', '105 MB', '5 TB']);
  expect(bytes(999_999)).toBe('1 MB');
  expect(bytes(Number.NaN)).toBe('–');
});

test('times of a video', () => {
  expect([0, 9.99, 67, 3723].map(clock)).toEqual(['0:00', '0:09', '1:07', '1:02:03']);
  expect(clock(Number.POSITIVE_INFINITY)).toBe('0:00');
});

test('spans', () => {
  expect([3, 59.4, 61, 7200, 6 * 86400].map(span)).toEqual(['3 s', '59 s', '1 min', '2 h', '6 days']);
  const now = Date.parse('2026-01-02T03:04:05Z');
  expect(ago('2026-01-02T03:04:03Z', now)).toBe('just now');
  expect(ago('2026-01-02T03:00:05Z', now)).toBe('4 min ago');
});

test('words', () => {
  expect(percent(0.9642)).toBe('96.4 %');
  expect(percent(Number.NaN)).toBe('–');
  expect([plural(1, 'node'), plural(1200, 'node'), plural(2, 'entry', 'entries')]).toEqual(['1 node', '1,200 nodes', '2 entries']);
  expect([fileName('2026/a b.jpg'), fileName('x'), fileName('a/b/')]).toEqual(['a b.jpg', 'x', 'b']);
});
