// The hit report, and how it became what it is.
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { get } from './api';
import type { Tier } from './types';

/** What the counters of a tier add up to. */
export interface Figures {
  requests: number;
  hits: number;
  misses: number;
  stale: number;
  revalidated: number;
  pass: number;
  hit_ratio: number;
  bytes: number;
  hit_bytes: number;
  byte_hit_ratio: number;
  share: number;
  latency_ms: { p50: number; p99: number };
  prefetch?: Prefetch;
}

/** What was fetched before anybody asked for it, and what became of that. */
export interface Prefetch {
  fetched: number;
  fetched_bytes: number;
  won: number;
  won_bytes: number;
  wasted: number;
  wasted_bytes: number;
}

export interface ReportRow extends Figures {
  tier: Tier;
  region?: string;
  node?: string;
  bucket?: string;
  class?: string;
}

export interface Report {
  window: string;
  generated_at: string;
  tiers: ReportRow[];
  regions: ReportRow[];
  nodes: ReportRow[];
  buckets: ReportRow[];
  classes: ReportRow[];
}

export interface SeriesPoint extends Figures {
  at: string;
}

export interface Series {
  window: string;
  step: string;
  generated_at: string;
  tiers: { tier: Tier; points: SeriesPoint[] }[];
}

export const tiers: Tier[] = ['edge', 'regional', 'origin'];
export const tierNames: Record<Tier, string> = { edge: 'Edge', regional: 'Regional', origin: 'Origin' };

export type Window = '5m' | '15m' | '1h' | '24h' | '168h';
export const windows: { value: Window; label: string; words: string }[] = [
  { value: '5m', label: '5 min', words: 'the last 5 minutes' },
  { value: '15m', label: '15 min', words: 'the last 15 minutes' },
  { value: '1h', label: '1 h', words: 'the last hour' },
  { value: '24h', label: '24 h', words: 'the last 24 hours' },
  { value: '168h', label: '7 days', words: 'the last 7 days' },
];

/** How often the numbers are asked for: what is long changes slowly. */
const pace = (w: Window) => (w === '24h' ? 10_000 : w === '168h' ? 30_000 : 2_000);

export const useReport = (window: Window) =>
  useQuery({
    queryKey: ['report', window],
    queryFn: ({ signal }) => get<Report>('/v1/cache/report', { window }, signal),
    refetchInterval: pace(window),
    placeholderData: keepPreviousData,
  });

export const useSeries = (window: Window) =>
  useQuery({
    queryKey: ['series', window],
    queryFn: ({ signal }) => get<Series>('/v1/cache/series', { window }, signal),
    refetchInterval: pace(window),
    placeholderData: keepPreviousData,
  });

/** seconds reads a duration as Go writes it: "1h0m0s". */
export function seconds(text: string): number {
  const units: Record<string, number> = { h: 3600, m: 60, s: 1, ms: 0.001 };
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/([\d.]+)(ms|h|m|s)/g)) sum += Number(n) * units[unit!]!;
  return sum;
}

/**
 * shareTexts writes shares in per cent with one digit behind the point. What is
 * shown adds up to 100.0 as well: the digits that rounding takes away go where
 * they are missed most.
 */
export function shareTexts(shares: number[]): string[] {
  const total = shares.reduce((a, b) => a + b, 0);
  if (total <= 0) return shares.map(() => '–');
  const exact = shares.map((s) => (s / total) * 1000);
  const floor = exact.map((e) => Math.floor(e + 1e-9));
  let left = 1000 - floor.reduce((a, b) => a + b, 0);
  const order = exact.map((e, i) => [e - floor[i]!, i] as const).sort((a, b) => b[0] - a[0]);
  for (const [, i] of order) {
    if (left-- <= 0) break;
    floor[i]!++;
  }
  return floor.map((n) => `${(n / 10).toFixed(1)} %`);
}

/** millis writes a latency: "0.21 ms", "14 ms", "1.2 s". */
export function millis(ms: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms >= 9950 ? 0 : 1)} s`;
  return `${ms.toFixed(ms >= 99.5 ? 0 : ms >= 9.95 ? 1 : 2)} ms`;
}

/** fetchedAhead are the rows of tiers and regions that fetched something ahead, or lost it. */
export const fetchedAhead = (r: Report) =>
  [...r.tiers, ...r.regions].flatMap((row) => {
    const p = row.prefetch;
    return p && p.fetched + p.won + p.wasted > 0 ? [{ tier: row.tier, region: row.region, prefetch: p }] : [];
  });

export interface Group {
  name: string;
  of: Partial<Record<Tier, ReportRow>>;
}

/** groups puts the rows of each group together. */
export function groups(rows: ReportRow[], name: (r: ReportRow) => string): Group[] {
  const byName = new Map<string, Group>();
  for (const r of rows) {
    const n = name(r);
    let g = byName.get(n);
    if (!g) byName.set(n, (g = { name: n, of: {} }));
    g.of[r.tier] = r;
  }
  return [...byName.values()];
}
