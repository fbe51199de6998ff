import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { useWidth } from '../lib/hooks';
import { tierNames } from '../lib/report';
import { useDark } from '../lib/theme';
import type { Tier } from '../lib/types';
import './chart.css';

export interface ChartLine {
  tier: Tier;
  /** null where there is nothing to tell. */
  values: (number | null)[];
}

interface Props {
  label: string;
  /** Seconds since 1970, ascending. */
  times: number[];
  lines: ChartLine[];
  /** Writes a value. */
  format: (v: number) => string;
  /** Writes one beside the axis; as format does where it is missing. */
  tick?: (v: number) => string;
  /** Upper end of the axis, where it is fixed. */
  max?: number;
}

const height = 260;
/** Lines are told apart by more than their colours. */
const dashes: Record<Tier, number[]> = { edge: [], regional: [7, 4], origin: [2, 3] };

/** Chart draws one line for each tier, named at its end. Arrow keys read it. */
export function Chart({ label, times, lines, format, tick = format, max }: Props) {
  const [measure, width] = useWidth<HTMLDivElement>();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const dark = useDark();
  const data = useMemo(() => [times, ...lines.map((l) => l.values)] as uPlot.AlignedData, [times, lines]);
  const latest = useRef({ data, lines, tick, width });
  latest.current = { data, lines, tick, width };
  const measured = width > 0;
  const shape = lines.map((l) => l.tier).join();

  useEffect(() => {
    if (!host.current || !measured) return;
    const colour = painter(host.current);
    const names = latest.current.lines.map((l) => l.tier);
    const font = `12px ${getComputedStyle(host.current).fontFamily}`;
    const axis = { stroke: colour('--text-3'), font, ticks: { show: false }, grid: { stroke: colour('--line'), width: 1 } };
    const u = new uPlot(
      {
        width: latest.current.width,
        height,
        padding: [12, 76, 0, 0],
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
        scales: { x: { time: true }, y: { range: (_, __, top) => [0, max ?? (top > 0 ? top * 1.1 : 1)] } },
        axes: [
          { ...axis, grid: { show: false }, space: 70, size: 30, gap: 8, values: clockTicks },
          { ...axis, size: 58, space: 44, values: (_, ticks) => ticks.map((v) => latest.current.tick(v)) },
        ],
        series: [
          {},
          ...names.map((tier) => ({
            label: tierNames[tier],
            stroke: colour(`--tier-${tier}`),
            width: 2,
            dash: dashes[tier],
            spanGaps: false,
            points: { show: lonely, size: 5, fill: colour(`--tier-${tier}`) },
          })),
        ],
        hooks: {
          setCursor: [(p) => setAt(p.cursor.left !== undefined && p.cursor.left >= 0 ? (p.cursor.idx ?? null) : null)],
          draw: [
            (p) =>
              nameLines(
                p,
                names.map((tier) => ({ text: tierNames[tier], colour: colour(`--tier-${tier}`) })),
                font,
              ),
          ],
        },
      },
      latest.current.data,
      host.current,
    );
    plot.current = u;
    return () => {
      u.destroy();
      plot.current = null;
    };
  }, [measured, dark, shape, max]);
  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height });
  }, [width]);
  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  const point = (i: number | null) => {
    const u = plot.current;
    if (!u || times.length === 0) return;
    if (i === null) u.setCursor({ left: -10, top: -10 });
    else u.setCursor({ left: u.valToPos(times[Math.min(Math.max(i, 0), times.length - 1)]!, 'x'), top: 0 });
  };
  const press = (e: KeyboardEvent) => {
    const last = times.length - 1;
    const to: Record<string, number | null> = { ArrowLeft: (at ?? last + 1) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: last, Escape: null };
    if (!(e.key in to)) return;
    e.preventDefault();
    point(to[e.key]!);
  };
  const shown = at !== null && at < times.length ? at : null;
  return (
    <div
      className="chart"
      ref={measure}
      role="group"
      aria-roledescription="chart"
      aria-label={`${label}. Arrow keys read the values.`}
      tabIndex={0}
      onKeyDown={press}
      onBlur={() => point(null)}
    >
      <div ref={host} aria-hidden />
      {shown !== null && <Tip time={times[shown]!} lines={lines} at={shown} format={format} right={shown < times.length / 2} />}
    </div>
  );
}

function Tip({ time, lines, at, format, right }: { time: number; lines: ChartLine[]; at: number; format: (v: number) => string; right: boolean }) {
  return (
    <div className="chart-tip" role="status" style={right ? { right: 84 } : { left: 66 }}>
      <div className="muted tabular">{new Date(time * 1000).toLocaleString('en-GB', { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })}</div>
      <dl>
        {lines.map((l) => {
          const v = l.values[at];
          return (
            <div key={l.tier} className="contents">
              <dt className={`tier-key ${l.tier}`}>{tierNames[l.tier]}</dt>
              <dd>{v === null || v === undefined ? 'no requests' : format(v)}</dd>
            </div>
          );
        })}
      </dl>
    </div>
  );
}

/** painter reads colours as they are in the theme that is shown. */
function painter(host: HTMLElement): (name: string) => string {
  const probe = document.createElement('span');
  host.append(probe);
  const read = new Map<string, string>();
  for (const name of ['--text-3', '--line', '--surface', '--tier-edge', '--tier-regional', '--tier-origin']) {
    probe.style.color = `var(${name})`;
    read.set(name, getComputedStyle(probe).color);
  }
  probe.remove();
  return (name) => read.get(name) ?? 'currentColor';
}

function clockTicks(u: uPlot, ticks: number[]): string[] {
  const days = (u.scales.x!.max ?? 0) - (u.scales.x!.min ?? 0) > 36 * 3600;
  return ticks.map((t) => new Date(t * 1000).toLocaleString('en-GB', days ? { weekday: 'short', day: 'numeric' } : { hour: '2-digit', minute: '2-digit' }));
}

/** lonely shows points where a line of one point would be invisible. */
function lonely(u: uPlot, series: number): boolean {
  const values = u.data[series]!;
  return values.some((v, i) => v != null && values[i - 1] == null && values[i + 1] == null);
}

/** nameLines writes the name of each line behind its last value, none over another. */
function nameLines(u: uPlot, names: { text: string; colour: string }[], font: string): void {
  const gap = 15 * devicePixelRatio;
  const labels = names
    .flatMap((n, i) => {
      const values = u.data[i + 1]!;
      const last = values.findLastIndex((v) => v != null);
      return last < 0 ? [] : [{ ...n, y: u.valToPos(values[last]!, 'y', true) }];
    })
    .sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i]!.y = Math.max(labels[i]!.y, labels[i - 1]!.y + gap);
  const bottom = u.bbox.top + u.bbox.height - gap / 2;
  for (let i = labels.length - 1, limit = bottom; i >= 0; i--, limit -= gap) labels[i]!.y = Math.min(labels[i]!.y, limit);
  const { ctx } = u;
  ctx.save();
  ctx.font = font.replace(/^12px/, `500 ${12 * devicePixelRatio}px`);
  ctx.textAlign = 'left';
  ctx.textBaseline = 'middle';
  for (const l of labels) {
    ctx.fillStyle = l.colour;
    ctx.fillText(l.text, u.bbox.left + u.bbox.width + 10 * devicePixelRatio, l.y);
  }
  ctx.restore();
}
