import { useMemo, useState } from 'react';
import { bytes, number, percent } from '../lib/format';
import { groups, millis, shareTexts, tierNames, tiers, type Group, type Report } from '../lib/report';
import type { Tier } from '../lib/types';
import { Segments } from '../ui/ui';
import { SharesBar } from './Shares';
import { SortHead, useSorted } from './Sorted';

type By = 'region' | 'bucket' | 'class';
type Column = 'name' | 'requests' | 'answered' | Tier | 'bytes' | 'p50' | 'p99';

const classNames: Record<string, string> = { photo: 'Photos', video: 'Videos', other: 'Other' };

const lists: Record<By, { label: string; of: (r: Report) => Group[] }> = {
  region: { label: 'Region', of: (r) => groups(r.regions, (row) => row.region ?? '') },
  bucket: { label: 'Bucket', of: (r) => groups(r.buckets, (row) => row.bucket ?? '') },
  class: { label: 'Class', of: (r) => groups(r.classes, (row) => row.class ?? '') },
};

function rank(g: Group, c: Column): string | number {
  switch (c) {
    case 'name':
      return g.name;
    case 'requests':
      return g.of.edge?.requests ?? 0;
    case 'answered':
      return g.of.edge?.share ?? 0;
    case 'bytes':
      return g.of.edge?.bytes ?? 0;
    case 'p50':
    case 'p99':
      return g.of.edge?.latency_ms[c] ?? 0;
    default:
      return g.of[c]?.hit_ratio ?? -1;
  }
}

/** Groups shows the report by region, bucket or class. */
export function Groups({ report }: { report: Report }) {
  const [by, setBy] = useState<By>('region');
  const rows = useMemo(() => lists[by].of(report), [by, report]);
  const { sorted, order, setOrder } = useSorted<Group, Column>(rows, rank, { column: 'requests', down: true });
  const most = Math.max(1, ...rows.map((g) => g.of.edge?.requests ?? 0));
  const head = { order, onOrder: setOrder };
  return (
    <section className="stack" aria-label={`By ${by}`}>
      <div className="row spread wrap">
        <h2>By {lists[by].label.toLowerCase()}</h2>
        <Segments label="Group by" value={by} onChange={setBy} choices={(Object.keys(lists) as By[]).map((value) => ({ value, label: lists[value].label }))} />
      </div>
      {rows.length === 0 ? (
        <p className="card padded muted">No requests within this time.</p>
      ) : (
        <div className="table-scroll">
          <table className="table cards">
            <thead>
              <tr>
                <SortHead column="name" label={lists[by].label} {...head} />
                <SortHead column="requests" label="Requests" num title="of browsers, at edges" {...head} />
                <SortHead column="answered" label="Answered by" title="the part of requests that each tier answered; ordered by that of the edge" {...head} />
                {tiers.map((t) => (
                  <SortHead key={t} column={t} label={`${tierNames[t]} hits`} num title={`hit ratio of the ${tierNames[t].toLowerCase()} tier`} {...head} />
                ))}
                <SortHead column="bytes" label="Sent" num title="by edges" {...head} />
                <SortHead column="p50" label="p50" num title="time to the first byte at edges" {...head} />
                <SortHead column="p99" label="p99" num title="time to the first byte at edges" {...head} />
              </tr>
            </thead>
            <tbody>
              {sorted.map((g) => (
                <Row key={g.name} group={g} by={by} most={most} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ group: g, by, most }: { group: Group; by: By; most: number }) {
  const edge = g.of.edge;
  const requests = edge?.requests ?? 0;
  const shares = Object.fromEntries(tiers.map((t) => [t, g.of[t]?.share ?? 0]));
  const texts = shareTexts(tiers.map((t) => shares[t]!));
  return (
    <tr data-group={g.name}>
      <th scope="row">{by === 'class' ? (classNames[g.name] ?? g.name) : g.name || '(none)'}</th>
      <td className="num" data-label="Requests">
        <data value={requests} data-figure="requests">
          {number(requests)}
        </data>
        <span className="bar" aria-hidden>
          <i style={{ width: `${(requests / most) * 100}%` }} />
        </span>
      </td>
      <td className="wide" data-label="Answered by">
        <SharesBar slim shares={shares} />
        <span className="small muted tabular">{requests > 0 ? tiers.map((t, i) => <data key={t} className={`share ${t}`} value={shares[t]} data-share={t} title={tierNames[t]}>{texts[i]}</data>) : 'no requests of browsers'}</span>
      </td>
      {tiers.map((t) => {
        const row = g.of[t];
        return (
          <td key={t} className="num" data-label={`${tierNames[t]} hits`}>
            <data value={row?.hit_ratio ?? 0} data-hit-ratio={t}>
              {row && row.requests > 0 ? percent(row.hit_ratio) : '–'}
            </data>
          </td>
        );
      })}
      <td className="num" data-label="Sent">
        <data value={edge?.bytes ?? 0} data-figure="bytes">
          {bytes(edge?.bytes ?? 0)}
        </data>
      </td>
      <td className="num" data-label="p50">
        {requests > 0 ? millis(edge!.latency_ms.p50) : '–'}
      </td>
      <td className="num" data-label="p99">
        {requests > 0 ? millis(edge!.latency_ms.p99) : '–'}
      </td>
    </tr>
  );
}
