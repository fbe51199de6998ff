import { expect, test } from 'vitest';
import { fetchedAhead, groups, millis, seconds, shareTexts, type Prefetch, type Report, type ReportRow } from './report';

test('shares that are shown add up to 100 %', () => {
  for (const shares of [
    [1 / 3, 1 / 3, 1 / 3],
    [0.9995, 0.0004, 0.0001],
    [0.9144, 0.0428, 0.0428],
    [1, 0, 0],
    [2 / 7, 4 / 7, 1 / 7],
  ]) {
    const sum = shareTexts(shares).reduce((a, t) => a + Math.round(parseFloat(t) * 10), 0);
    expect(sum, String(shares)).toBe(1000);
  }
  expect(shareTexts([0.5, 0.25, 0.25])).toEqual(['50.0 %', '25.0 %', '25.0 %']);
  expect(shareTexts([0, 0, 0])).toEqual(['–', '–', '–']);
});

test('durations as Go writes them', () => {
  expect(seconds('1m0s')).toBe(60);
  expect(seconds('2h0m0s')).toBe(7200);
  expect(seconds('168h0m0s')).toBe(604800);
  expect(seconds('1.5s')).toBe(1.5);
});

test('latencies have three digits or fewer', () => {
  expect([0, 0.214, 9.96, 14.04, 340.4, 1234, 12_000].map(millis)).toEqual(['0.00 ms', '0.21 ms', '10.0 ms', '14.0 ms', '340 ms', '1.2 s', '12 s']);
});

test('only those that fetched something ahead are told', () => {
  const ahead = (fetched: number, won: number) => ({ fetched, fetched_bytes: 0, won, won_bytes: 0, wasted: 0, wasted_bytes: 0 }) as Prefetch;
  const report = {
    tiers: [{ tier: 'edge', prefetch: ahead(3, 1) }, { tier: 'regional' }],
    regions: [
      { tier: 'edge', region: 'asia', prefetch: ahead(0, 0) },
      { tier: 'edge', region: 'europe', prefetch: ahead(0, 1) },
    ],
  } as Report;
  expect(fetchedAhead(report).map((r) => [r.tier, r.region, r.prefetch.won])).toEqual([
    ['edge', undefined, 1],
    ['edge', 'europe', 1],
  ]);
});

test('rows of a group come together', () => {
  const row = (tier: ReportRow['tier'], region: string) => ({ tier, region, requests: 1 }) as ReportRow;
  const list = groups([row('edge', 'asia'), row('origin', 'asia'), row('edge', 'europe')], (r) => r.region ?? '');
  expect(list.map((g) => [g.name, Object.keys(g.of)])).toEqual([
    ['asia', ['edge', 'origin']],
    ['europe', ['edge']],
  ]);
});
