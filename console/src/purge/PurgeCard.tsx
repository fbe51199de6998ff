import { ApiError } from '../lib/api';
import { ago, number, plural, span } from '../lib/format';
import { purgeWords, usePurge, type PurgeStatus } from '../lib/purge';
import { Badge, Failure, Progress, Skeleton } from '../ui/ui';

/** Nodes tell when they applied a purge to the millisecond. */
const after = (ms: number) => (ms < 1000 ? `${Math.round(ms)} ms` : span(ms / 1000));

/** PurgeCard shows which nodes have applied a purge, and when. */
export function PurgeCard({ id, open }: { id: string; open: boolean }) {
  const purge = usePurge(id);
  if (purge.error instanceof ApiError && purge.error.status === 404) return null;
  if (purge.error && !purge.data) return <Failure error={purge.error} again={() => void purge.refetch()} />;
  if (!purge.data) return <Skeleton height={72} radius="var(--r-lg)" />;
  return <Status purge={purge.data} open={open} />;
}

function Status({ purge: p, open }: { purge: PurgeStatus; open: boolean }) {
  const all = p.acks.length + p.waiting.length;
  const took = (applied: string) => Math.max(0, Date.parse(applied) - Date.parse(p.asked));
  const acks = [...p.acks].sort((a, b) => took(a.applied) - took(b.applied));
  const slowest = acks.length > 0 ? took(acks.at(-1)!.applied) : 0;
  const done = p.waiting.length === 0;
  return (
    <details className="card purge" open={open || !done} data-purge={p.id}>
      <summary>
        <span className="what break">{purgeWords(p)}</span>
        <span className="row wrap">
          {p.soft && <Badge>soft</Badge>}
          {done ? <Badge tone="good">{all === 0 ? 'no cache is live' : `applied in ${after(slowest)}`}</Badge> : <Badge tone="warn">waiting for {plural(p.waiting.length, 'node')}</Badge>}
          <span className="small faint">{ago(p.asked)}</span>
        </span>
      </summary>
      <div className="content">
        {!done && <Progress value={p.acks.length / all} label={`${p.acks.length} of ${all} nodes have applied it`} />}
        {all > 0 && (
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Node</th>
                <th scope="col" className="num">
                  Applied after
                </th>
                <th scope="col" className="num">
                  Entries
                </th>
              </tr>
            </thead>
            <tbody>
              {acks.map((a) => (
                <tr key={a.node} data-node={a.node}>
                  <td className="break">{a.node}</td>
                  <td className="num">{after(took(a.applied))}</td>
                  <td className="num">{number(a.entries)}</td>
                </tr>
              ))}
              {p.waiting.map((n) => (
                <tr key={n}>
                  <td className="break muted">{n}</td>
                  <td className="num" colSpan={2}>
                    <span className="row waiting muted">
                      <span className="spinner" aria-hidden /> waiting
                    </span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <p className="small faint mono break">{p.id}</p>
      </div>
    </details>
  );
}
