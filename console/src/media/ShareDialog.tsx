import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { get } from '../lib/api';
import { dateTime } from '../lib/format';
import { titleOf } from '../lib/media';
import type { Media, Playback } from '../lib/types';
import { CopyButton, Dialog, Failure, Segments, SelectField, Skeleton } from '../ui/ui';

const lives = [
  { value: '1h', label: '1 hour' },
  { value: '24h', label: '1 day' },
  { value: '72h', label: '3 days' },
  { value: '168h', label: '7 days' },
];

/** ShareDialog makes a link that works without a key, until it expires. */
export function ShareDialog({ media: m, onClose }: { media: Media; onClose: () => void }) {
  const [life, setLife] = useState('24h');
  const [node, setNode] = useState('');
  const link = useQuery({
    queryKey: ['share', m.id, m.version_id, life],
    queryFn: ({ signal }) => get<Playback>(`/v1/media/${encodeURIComponent(m.id)}/playback`, { expires: life }, signal),
    gcTime: 0,
    staleTime: Infinity,
    placeholderData: (before) => before,
  });
  const sources = link.data?.sources.filter((s) => s.kind === 'original') ?? [];
  const source = sources.find((s) => s.node === node) ?? sources[0];
  const isPublic = source !== undefined && !new URL(source.url).searchParams.has('sig');
  return (
    <Dialog title={`Share ${titleOf(m)}`} onClose={onClose}>
      {link.error && <Failure error={link.error} again={() => void link.refetch()} />}
      {!isPublic && (
        <div className="field">
          <span className="label">The link works for</span>
          <Segments label="The link works for" value={life} onChange={setLife} choices={lives} />
        </div>
      )}
      {sources.length > 1 && (
        <SelectField label="Read from" value={source?.node} onChange={(e) => setNode(e.target.value)}>
          {sources.map((s, i) => (
            <option key={s.node} value={s.node}>
              {s.region}
              {i === 0 ? ' (nearest)' : ''}
            </option>
          ))}
        </SelectField>
      )}
      {!link.data && !link.error && <Skeleton height={44} />}
      {link.data && !source && <p className="muted">No edge is live, so there is nothing to link to. See Regions.</p>}
      {source && (
        <>
          <div className="share-link">
            <input className="input mono" readOnly value={source.url} aria-label="Link" onFocus={(e) => e.currentTarget.select()} />
            <CopyButton text={source.url} label="Copy link" look="primary" />
          </div>
          <p className="small muted">{!isPublic && link.data?.expires ? `Whoever has the link can see this ${m.kind} until ${dateTime(link.data.expires)}, without a key.` : `The bucket ${m.bucket} is public: the link works for everybody, and does not expire.`}</p>
        </>
      )}
    </Dialog>
  );
}
