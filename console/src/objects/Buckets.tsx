import { useQueryClient } from '@tanstack/react-query';
import { Database, FolderPlus, Settings2, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { Link, useLocation } from 'wouter';
import { del } from '../lib/api';
import { dateTime } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { useBuckets } from '../lib/queries';
import { useSession } from '../lib/session';
import type { Bucket } from '../lib/types';
import { BucketDialog } from '../ui/BucketDialog';
import { Badge, Button, Confirm, Empty, Failure, IconButton, PageHead, Skeleton, useToast } from '../ui/ui';
import { BucketSettings } from './BucketSettings';

export const bucketLink = (name: string) => `/objects/${encodeURIComponent(name)}`;

const placementWords = (p: Bucket['placement']) => (p === 'home' ? 'where written' : p === 'all' ? 'all regions' : p.join(', '));

/** Buckets lists the buckets. */
export function Buckets() {
  useTitle('Objects');
  const buckets = useBuckets();
  const { isAdmin } = useSession();
  const [, go] = useLocation();
  const [creating, setCreating] = useState(false);
  const create = isAdmin && (
    <Button look="primary" icon={FolderPlus} onClick={() => setCreating(true)}>
      New bucket
    </Button>
  );
  return (
    <div className="page">
      <PageHead title="Objects" actions={(buckets.data?.length ?? 0) > 0 && create}>
        What is in the buckets, by key.
      </PageHead>
      {buckets.error && <Failure error={buckets.error} again={() => void buckets.refetch()} />}
      {buckets.isPending && <Skeleton height={220} radius="var(--r-lg)" />}
      {buckets.data?.length === 0 && (
        <Empty icon={Database} title="There is no bucket yet" actions={create}>
          {isAdmin ? 'Photos and videos are kept in buckets. Make one, then upload.' : 'An administrator can make one.'}
        </Empty>
      )}
      {buckets.data && buckets.data.length > 0 && <BucketTable buckets={buckets.data} admin={isAdmin} />}
      {creating && <BucketDialog onClose={() => setCreating(false)} onCreated={(name) => go(bucketLink(name))} />}
    </div>
  );
}

function BucketTable({ buckets, admin }: { buckets: Bucket[]; admin: boolean }) {
  const client = useQueryClient();
  const toast = useToast();
  const [changing, setChanging] = useState<Bucket | null>(null);
  const [deleting, setDeleting] = useState<Bucket | null>(null);
  const remove = async (b: Bucket) => {
    await del(`/v1/buckets/${encodeURIComponent(b.name)}`);
    await client.invalidateQueries({ queryKey: ['buckets'] });
    toast(`The bucket ${b.name} is deleted`);
  };
  return (
    <div className="table-scroll">
      <table className="table cards">
        <thead>
          <tr>
            <th scope="col">Bucket</th>
            <th scope="col">Who may read</th>
            <th scope="col">Versions</th>
            <th scope="col">Home</th>
            <th scope="col">Copies in</th>
            <th scope="col">Made</th>
            {admin && (
              <th scope="col">
                <span className="hidden">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {buckets.map((b) => (
            <tr key={b.name}>
              <th scope="row">
                <Link href={bucketLink(b.name)} className="entry">
                  <Database size={16} strokeWidth={1.75} aria-hidden />
                  {b.name}
                </Link>
              </th>
              <td data-label="Who may read">{b.visibility === 'public-read' ? <Badge tone="warn">public</Badge> : <Badge>private</Badge>}</td>
              <td data-label="Versions">{b.versioning === 'Enabled' ? 'kept' : b.versioning === 'Suspended' ? 'suspended' : 'not kept'}</td>
              <td data-label="Home">{b.region}</td>
              <td data-label="Copies in">{placementWords(b.placement)}</td>
              <td data-label="Made" className="tabular">
                {dateTime(b.created)}
              </td>
              {admin && (
                <td className="acts">
                  <IconButton slim icon={Settings2} label={`Change ${b.name}`} onClick={() => setChanging(b)} />
                  <IconButton slim icon={Trash2} label={`Delete ${b.name}`} onClick={() => setDeleting(b)} />
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {changing && <BucketSettings bucket={changing} onClose={() => setChanging(null)} />}
      {deleting && (
        <Confirm title={`Delete the bucket ${deleting.name}?`} action="Delete bucket" onConfirm={() => remove(deleting)} onClose={() => setDeleting(null)}>
          Only an empty bucket can be deleted: one without objects, older versions and unfinished uploads. Its name becomes free for others.
        </Confirm>
      )}
    </div>
  );
}
