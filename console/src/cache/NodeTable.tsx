import { useMemo } from 'react';
import { ago, number, percent, span } from '../lib/format';
import { millis, tierNames, tiers, type Report, type ReportRow } from '../lib/report';
import type { ClusterNode } from '../lib/types';
import { Badge } from '../ui/ui';
import { SortHead, useSorted } from './Sorted';

type Column = 'id' | 'region' | 'tier' | 'state' | 'requests' | 'ratio' | 'p99' | 'behind' | 'started' | 'version';

interface Row {
  node: ClusterNode;
  figures?: ReportRow;
}

function rank({ node, figures }: Row, c: Column): string | number {
  switch (c) {
    case 'id':
    case 'region':
    case 'version':
    case 'started':
      return node[c];
    case 'tier':
      return tiers.indexOf(node.tier);
    case 'state':
      return node.live ? 1 : 0;
    case 'requests':
      return figures?.requests ?? 0;
    case 'ratio':
      return figures?.hit_ratio ?? -1;
    case 'p99':
      return figures?.latency_ms.p99 ?? 0;
    case 'behind':
      return node.behind_seconds ?? 0;
  }
}

/** NodeTable shows every node: whether it lives, and what it does. */
export function NodeTable({ nodes, report }: { nodes: ClusterNode[]; report?: Report }) {
  const rows = useMemo(() => nodes.map((node) => ({ node, figures: report?.nodes.find((r) => r.node === node.id && r.tier === node.tier) })), [nodes, report]);
  const { sorted, order, setOrder } = useSorted<Row, Column>(rows, rank, { column: 'region', down: false });
  const silent = nodes.filter((n) => !n.live).length;
  const head = { order, onOrder: setOrder };
  return (
    <section className="stack" aria-label="Nodes">
      <div className="row spread wrap">
        <h2>Nodes</h2>
        <span className="small muted">
          {nodes.length - silent} live{silent > 0 && `, ${silent} silent`}
        </span>
      </div>
      <div className="table-scroll">
        <table className="table cards nodes">
          <thead>
            <tr>
              <SortHead column="id" label="Node" {...head} />
              <SortHead column="region" label="Region" {...head} />
              <SortHead column="tier" label="Tier" {...head} />
              <SortHead column="state" label="State" {...head} />
              <SortHead column="requests" label="Requests" num {...head} />
              <SortHead column="ratio" label="Hit ratio" num {...head} />
              <SortHead column="p99" label="p99" num title="time to the first byte" {...head} />
              <SortHead column="behind" label="Feed" num title="how far behind the events it has said to be" {...head} />
              <SortHead column="started" label="Up" num {...head} />
              <SortHead column="version" label="Version" {...head} />
            </tr>
          </thead>
          <tbody>
            {sorted.map((r) => (
              <NodeRow key={r.node.id} {...r} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function NodeRow({ node: n, figures }: Row) {
  const idle = !figures || figures.requests === 0;
  return (
    <tr data-node={n.id}>
      <th scope="row">
        {n.id}
        <div className="small faint mono url">{n.public_url || n.url}</div>
      </th>
      <td data-label="Region">{n.region}</td>
      <td data-label="Tier">
        <span className={`tier-key ${n.tier}`}>{tierNames[n.tier]}</span>
      </td>
      <td data-label="State">{n.live ? <Badge tone={n.state ? 'warn' : 'good'}>{n.state ?? 'live'}</Badge> : <Badge tone="danger">heard {ago(n.last_seen)}</Badge>}</td>
      <td className="num" data-label="Requests">
        <data value={figures?.requests ?? 0} data-figure="requests">
          {number(figures?.requests ?? 0)}
        </data>
      </td>
      <td className="num" data-label="Hit ratio">
        <data value={figures?.hit_ratio ?? 0} data-figure="hit_ratio">
          {idle ? '–' : percent(figures.hit_ratio)}
        </data>
      </td>
      <td className="num" data-label="p99">
        {idle ? '–' : millis(figures.latency_ms.p99)}
      </td>
      <td className="num" data-label="Feed">
        <Behind node={n} />
      </td>
      <td className="num" data-label="Up" title={new Date(n.started).toLocaleString('en-GB')}>
        {n.live ? span((Date.now() - Date.parse(n.started)) / 1000) : '–'}
      </td>
      <td className="mono small truncate version" data-label="Version" title={n.version}>
        {n.version}
      </td>
    </tr>
  );
}

function Behind({ node: n }: { node: ClusterNode }) {
  if (!n.live || n.behind_seconds === undefined) return <>–</>;
  const title = `has applied the feed up to ${n.applied}`;
  if (n.behind_seconds === 0) return <span title={title}>up to date</span>;
  return (
    <span className={n.behind_seconds > 10 ? 'late' : undefined} title={title}>
      {n.behind_seconds < 1 ? '< 1 s' : span(n.behind_seconds)}
    </span>
  );
}
