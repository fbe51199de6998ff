import { Gauge } from 'lucide-react';
import { useEffect, useState } from 'react';
import { FetchedAhead } from '../cache/FetchedAhead';
import { Groups } from '../cache/Groups';
import { NodeTable } from '../cache/NodeTable';
import { OverTime } from '../cache/OverTime';
import { Tiers } from '../cache/Tiers';
import { ago } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { useNodes } from '../lib/queries';
import { useReport, windows, type Window } from '../lib/report';
import { Empty, Failure, Notice, PageHead, Segments, Skeleton } from '../ui/ui';
import '../ui/table.css';
import './cache.css';

/** Cache shows how well every tier does, now and over time. */
export default function Cache() {
  useTitle('Cache');
  const [window, setWindow] = useState<Window>('15m');
  const report = useReport(window);
  const nodes = useNodes(2_000);
  const data = report.data;
  const idle = data && data.tiers.every((t) => t.requests === 0);
  return (
    <div className="page">
      <PageHead
        title="Cache"
        actions={
          <div className="scroll-x">
            <Segments label="How far back" value={window} onChange={setWindow} choices={windows.map(({ value, label }) => ({ value, label }))} />
          </div>
        }
      >
        How much of what is asked for each tier answers by itself.
      </PageHead>
      {report.error && !data && <Failure error={report.error} again={() => void report.refetch()} />}
      {report.error && data && <Notice tone="warn">The numbers below are of {ago(data.generated_at)}: {(report.error as Error).message}</Notice>}
      {!data && !report.error && <Waiting />}
      {data && (
        <>
          <Live at={data.generated_at} stale={report.isPlaceholderData} />
          <Tiers rows={data.tiers} />
          {idle && (
            <Empty icon={Gauge} title="No requests within this time">
              Open a photo or a video from an edge, or look further back.
            </Empty>
          )}
          <OverTime window={window} />
          <Groups report={data} />
          <FetchedAhead report={data} />
        </>
      )}
      {nodes.data && <NodeTable nodes={nodes.data} report={data} />}
      {nodes.error && !nodes.data && <Failure error={nodes.error} again={() => void nodes.refetch()} />}
    </div>
  );
}

/** Live says that the numbers are of now. */
function Live({ at, stale }: { at: string; stale: boolean }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  const late = Date.now() - Date.parse(at) > 45_000;
  return (
    <p className="live small muted" data-generated={at}>
      <i className={late || stale ? 'off' : undefined} aria-hidden />
      {stale ? 'Loading …' : `Live, updated ${ago(at)}`}
    </p>
  );
}

function Waiting() {
  return (
    <div className="stack" aria-busy aria-label="Loading">
      <div className="tiers">
        {[0, 1, 2].map((i) => (
          <Skeleton key={i} height={300} radius="var(--r-lg)" />
        ))}
      </div>
      <Skeleton height={120} radius="var(--r-lg)" />
      <Skeleton height={340} radius="var(--r-lg)" />
    </div>
  );
}
