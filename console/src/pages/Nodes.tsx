import { Network } from 'lucide-react';
import { useTitle } from '../lib/hooks';
import { ago, bytes, plural, span } from '../lib/format';
import { useNodes, useRegions } from '../lib/queries';
import type { ClusterNode, Region, Replication, Tier } from '../lib/types';
import { Badge, Empty, Failure, PageHead, Skeleton } from '../ui/ui';
import './nodes.css';

const tiers: Tier[] = ['edge', 'regional', 'origin'];
const tierNames: Record<Tier, string> = { edge: 'Edge', regional: 'Regional cache', origin: 'Origin' };

/** Nodes shows every region, and what runs there. */
export default function Nodes() {
  useTitle('Regions');
  const regions = useRegions(5_000);
  const nodes = useNodes(5_000);
  const error = regions.error ?? nodes.error;
  const again = () => {
    void regions.refetch();
    void nodes.refetch();
  };
  return (
    <div className="page">
      <PageHead title="Regions">Where Meridian runs, and whether every node is heard of.</PageHead>
      {error && <Failure error={error} again={again} />}
      {!error && (!regions.data || !nodes.data) && (
        <div className="regions" aria-busy>
          {[0, 1, 2].map((i) => (
            <Skeleton key={i} height={260} radius="var(--r-lg)" />
          ))}
        </div>
      )}
      {regions.data?.length === 0 && (
        <Empty icon={Network} title="No region has reported yet">
          Origins and caches show up here a second after they start.
        </Empty>
      )}
      {regions.data && nodes.data && (
        <div className="regions">
          {regions.data.map((r) => (
            <RegionCard key={r.name} region={r} nodes={nodes.data.filter((n) => n.region === r.name)} />
          ))}
        </div>
      )}
    </div>
  );
}

function RegionCard({ region, nodes }: { region: Region; nodes: ClusterNode[] }) {
  const silent = nodes.filter((n) => !n.live).length;
  return (
    <section className="card region" aria-label={region.name}>
      <header className="row spread">
        <h2>{region.name}</h2>
        {nodes.length === 0 ? (
          <Badge>no nodes</Badge>
        ) : !region.live ? (
          <Badge tone="danger">origin silent</Badge>
        ) : silent > 0 ? (
          <Badge tone="warn">{plural(silent, 'node')} silent</Badge>
        ) : (
          <Badge tone="good">all live</Badge>
        )}
      </header>
      <ul>
        {tiers.flatMap((tier) =>
          nodes
            .filter((n) => n.tier === tier)
            .map((n) => (
              <li key={n.id}>
                <span className={`dot ${n.live ? 'live' : ''}`} aria-hidden />
                <div className="what">
                  <div className="row spread">
                    <span className="truncate">{tierNames[tier]}</span>
                    <span className="small faint tabular nowrap">{n.live ? `${n.state ? `${n.state}, ` : ''}up ${ago(n.started).replace(' ago', '')}` : `silent, heard ${ago(n.last_seen)}`}</span>
                  </div>
                  <div className="small muted mono break">{n.public_url || n.url}</div>
                </div>
              </li>
            )),
        )}
      </ul>
      {region.replication && <Copies of={region.replication} />}
    </section>
  );
}

/** Copies says what a region has yet to copy from others, and what keeps it. */
function Copies({ of: r }: { of: Replication }) {
  const age = r.oldest ? span((Date.now() - Date.parse(r.oldest)) / 1000) : '';
  return (
    <div className="copies small">
      {r.objects === 0 ? (
        <span className="muted">All copies are here</span>
      ) : (
        <span>
          {plural(r.objects, 'copy', 'copies')} to come, {bytes(r.bytes)}
          {age && <span className="muted">, the oldest for {age}</span>}
        </span>
      )}
      {r.failing > 0 && (
        <p className="wrong">
          {plural(r.failing, 'copy', 'copies')} failed and will be tried again
          {r.failed_at && `, last ${ago(r.failed_at)}`}: <span className="break">{r.last_error}</span>
        </p>
      )}
    </div>
  );
}
