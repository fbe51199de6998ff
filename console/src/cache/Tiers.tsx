import { bytes, number, percent } from '../lib/format';
import { millis, shareTexts, tierNames, type ReportRow } from '../lib/report';
import type { Tier } from '../lib/types';
import { SharesBar } from './Shares';

const what: Record<Tier, string> = {
  edge: 'Caches next to browsers',
  regional: 'One cache for the edges of a region',
  origin: 'S3 and the blob stores; a hit is a blob of the own region',
};

/** Tiers shows what each tier did, and which answered. */
export function Tiers({ rows }: { rows: ReportRow[] }) {
  const shares = Object.fromEntries(rows.map((r) => [r.tier, r.share]));
  const texts = shareTexts(rows.map((r) => r.share));
  return (
    <>
      <div className="tiers">
        {rows.map((r) => (
          <TierCard key={r.tier} row={r} />
        ))}
      </div>
      <section className="card padded stack answered" aria-label="Who answered">
        <div className="row spread wrap">
          <h2>Who answered</h2>
          <span className="small muted">
            {number(rows[0]?.requests ?? 0)} requests of browsers, each counted where its answer came from
          </span>
        </div>
        <SharesBar shares={shares} />
        <ul className="row wrap legend">
          {rows.map((r, i) => (
            <li key={r.tier} className={`tier-key ${r.tier}`} data-share={r.tier}>
              {tierNames[r.tier]}{' '}
              <data className="tabular" value={r.share}>
                {texts[i]}
              </data>
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}

function TierCard({ row }: { row: ReportRow }) {
  const idle = row.requests === 0;
  return (
    <section className="card padded tier" aria-label={tierNames[row.tier]} data-tier={row.tier}>
      <h2 className={`tier-key ${row.tier}`}>{tierNames[row.tier]}</h2>
      <p className="small muted">{what[row.tier]}</p>
      <p className="ratio">
        <data value={row.hit_ratio} data-figure="hit_ratio">
          {idle ? '–' : percent(row.hit_ratio)}
        </data>
        <span className="small muted">hit ratio</span>
      </p>
      <dl>
        <Figure name="requests" label="Requests" value={row.requests} text={number(row.requests)} />
        <Figure name="bytes" label="Sent" value={row.bytes} text={bytes(row.bytes)} />
        <Figure name="byte_hit_ratio" label="Byte hit ratio" value={row.byte_hit_ratio} text={row.bytes === 0 ? '–' : percent(row.byte_hit_ratio)} />
        <Figure name="p50" label="First byte, p50" value={row.latency_ms.p50} text={idle ? '–' : millis(row.latency_ms.p50)} />
        <Figure name="p99" label="First byte, p99" value={row.latency_ms.p99} text={idle ? '–' : millis(row.latency_ms.p99)} />
      </dl>
      <dl className="results">
        <Figure name="hits" label="hits" value={row.hits} text={number(row.hits)} />
        <Figure name="misses" label="misses" value={row.misses} text={number(row.misses)} />
        <Figure name="stale" label="stale" value={row.stale} text={number(row.stale)} />
        <Figure name="revalidated" label="revalidated" value={row.revalidated} text={number(row.revalidated)} />
        <Figure name="pass" label="passed" value={row.pass} text={number(row.pass)} />
      </dl>
    </section>
  );
}

function Figure({ name, label, value, text }: { name: string; label: string; value: number; text: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        <data value={value} data-figure={name}>
          {text}
        </data>
      </dd>
    </div>
  );
}
