import { bytes, number } from '../lib/format';
import { fetchedAhead, tierNames, type Report } from '../lib/report';
import '../ui/table.css';

const lots = [
  ['fetched', 'Fetched', 'small objects and slices fetched before anybody asked for them'],
  ['won', 'Won', 'of those: asked for afterwards, which would have been misses'],
  ['wasted', 'Wasted', 'of those: gone from the cache before anybody asked'],
] as const;

/** FetchedAhead shows what was fetched before anybody asked for it, and whether that was of use; nothing where nothing was. */
export function FetchedAhead({ report }: { report: Report }) {
  const rows = fetchedAhead(report);
  if (rows.length === 0) return null;
  return (
    <section className="stack" aria-label="Fetched ahead">
      <div className="row spread wrap">
        <h2>Fetched ahead</h2>
        <span className="small muted">What each region asks for most, and whether somebody then did. The rest still waits in a cache.</span>
      </div>
      <div className="table-scroll">
        <table className="table cards">
          <thead>
            <tr>
              <th scope="col">Region</th>
              <th scope="col">Tier</th>
              {lots.map(([name, label, title]) => (
                <th key={name} scope="col" className="num" title={title}>
                  {label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((r) => (
              <tr key={`${r.tier} ${r.region ?? ''}`} data-ahead={r.region ?? 'all'}>
                <th scope="row">{r.region ?? 'All'}</th>
                <td data-label="Tier">
                  <span className={`tier-key ${r.tier}`}>{tierNames[r.tier]}</span>
                </td>
                {lots.map(([name, label]) => (
                  <td key={name} className="num" data-label={label}>
                    <data value={r.prefetch[name]} data-figure={name}>
                      {number(r.prefetch[name])}
                    </data>{' '}
                    <span className="small muted">{bytes(r.prefetch[`${name}_bytes`])}</span>
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
