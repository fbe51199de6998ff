import { useMemo, useState } from 'react';
import { bytes, number, percent } from '../lib/format';
import { millis, seconds, tierNames, useSeries, windows, type SeriesPoint, type Window } from '../lib/report';
import { Failure, Segments, Skeleton } from '../ui/ui';
import { Chart, type ChartLine } from './Chart';

type Metric = 'ratio' | 'requests' | 'bytes' | 'p50' | 'p99';

interface MetricInfo {
  label: string;
  /** What a point says; rates are of a second. */
  of: (p: SeriesPoint, length: number) => number | null;
  format: (v: number) => string;
  tick?: (v: number) => string;
  max?: number;
}

const metrics: Record<Metric, MetricInfo> = {
  ratio: { label: 'Hit ratio', of: (p) => (p.requests > 0 ? p.hit_ratio : null), format: (v) => percent(v), tick: (v) => percent(v, 0), max: 1 },
  requests: { label: 'Requests', of: (p, s) => p.requests / s, format: (v) => `${round(v)}/s` },
  bytes: { label: 'Traffic', of: (p, s) => p.bytes / s, format: (v) => `${bytes(v)}/s` },
  p50: { label: 'p50', of: (p) => (p.requests > 0 ? p.latency_ms.p50 : null), format: millis },
  p99: { label: 'p99', of: (p) => (p.requests > 0 ? p.latency_ms.p99 : null), format: millis },
};

const round = (v: number) => (v >= 100 ? number(Math.round(v)) : String(Number(v.toFixed(v >= 10 ? 1 : 2))));

/** OverTime draws the window step by step. */
export function OverTime({ window }: { window: Window }) {
  const [metric, setMetric] = useState<Metric>('ratio');
  const series = useSeries(window);
  const m = metrics[metric];
  const words = windows.find((w) => w.value === window)!.words;
  const drawn = useMemo(() => {
    if (!series.data) return null;
    const { tiers, step, generated_at } = series.data;
    const points = tiers[0]?.points ?? [];
    const length = seconds(step);
    const lines: ChartLine[] = tiers.map((t) => ({
      tier: t.tier,
      values: t.points.map((p, i) => {
        // The step that runs is not as long as the others yet; while it is very
        // short its rate would be an accident.
        const running = i === t.points.length - 1;
        const elapsed = running ? Math.min(length, (Date.parse(generated_at) - Date.parse(p.at)) / 1000) : length;
        return elapsed < length / 4 && (metric === 'requests' || metric === 'bytes') ? null : m.of(p, elapsed);
      }),
    }));
    return { times: points.map((p) => Date.parse(p.at) / 1000), lines };
  }, [series.data, m, metric]);
  return (
    <section className="card padded stack" aria-label="Over time">
      <div className="row spread wrap">
        <h2>Over time</h2>
        <div className="scroll-x">
          <Segments
            label="What is drawn"
            value={metric}
            onChange={setMetric}
            choices={(Object.keys(metrics) as Metric[]).map((value) => ({ value, label: metrics[value].label }))}
          />
        </div>
      </div>
      {series.error && !series.data && <Failure error={series.error} again={() => void series.refetch()} />}
      {!series.data && !series.error && <Skeleton height={260} radius="var(--r-md)" />}
      {drawn && (
        <>
          <Chart label={`${m.label} of each tier in ${words}`} times={drawn.times} lines={drawn.lines} format={m.format} tick={m.tick} max={m.max} />
          <details className="as-table">
            <summary>The same as a table</summary>
            <div className="table-scroll" tabIndex={0} role="region" aria-label={`${m.label} over time`}>
              <table className="table">
                <thead>
                  <tr>
                    <th scope="col">From</th>
                    {drawn.lines.map((l) => (
                      <th key={l.tier} scope="col" className="num">
                        {tierNames[l.tier]}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {drawn.times
                    .map((t, i) => (
                      <tr key={t}>
                        <td className="tabular">{new Date(t * 1000).toLocaleString('en-GB', { dateStyle: 'short', timeStyle: 'short' })}</td>
                        {drawn.lines.map((l) => (
                          <td key={l.tier} className="num">
                            {l.values[i] == null ? '–' : m.format(l.values[i]!)}
                          </td>
                        ))}
                      </tr>
                    ))
                    .reverse()}
                </tbody>
              </table>
            </div>
          </details>
        </>
      )}
    </section>
  );
}
