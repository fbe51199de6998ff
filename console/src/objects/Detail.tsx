import { useQueryClient } from '@tanstack/react-query';
import { ArrowLeft, Download, ExternalLink, History, Trash2 } from 'lucide-react';
import { useState, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { ApiError, del, words } from '../lib/api';
import { bytes, dateTime, fileName, number } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { folderOf, makeLink, objectPath, useObject, type ObjectInfo } from '../lib/objects';
import { useBuckets } from '../lib/queries';
import { useSession } from '../lib/session';
import { Badge, Button, Confirm, CopyButton, Empty, Failure, Notice, PageHead, SelectField, Skeleton, useToast } from '../ui/ui';
import { folderLink } from './Listing';

/** Detail shows all that is known of an object, or of one of its versions. */
export function Detail({ bucket, objectKey, version }: { bucket: string; objectKey: string; version?: string }) {
  useTitle(fileName(objectKey));
  const object = useObject(bucket, objectKey, version);
  const marker = object.error instanceof ApiError && object.error.problem?.type.endsWith('delete-marker');
  const gone = object.error instanceof ApiError && object.error.status === 404;
  const back = folderLink(bucket, folderOf(objectKey), version !== undefined);
  return (
    <div className="page narrow">
      <nav className="crumbs" aria-label="Folders">
        <Link href={back} className="link">
          <ArrowLeft size={14} aria-hidden /> {bucket}/{folderOf(objectKey)}
        </Link>
      </nav>
      <PageHead title={<span className="break">{fileName(objectKey)}</span>} />
      {marker && <Marker bucket={bucket} objectKey={objectKey} version={version!} back={back} />}
      {gone && !marker && (
        <Empty icon={History} title="This object is not there" actions={<Link href={back} className="button">Back to the folder</Link>}>
          It was deleted, or its key is another.
        </Empty>
      )}
      {object.error && !gone && <Failure error={object.error} again={() => void object.refetch()} />}
      {object.isPending && <Skeleton height={420} radius="var(--r-lg)" />}
      {object.data && <Found object={object.data} version={version} back={back} />}
    </div>
  );
}

function useRemove(bucket: string, key: string, version: string | undefined, back: string) {
  const client = useQueryClient();
  const toast = useToast();
  const [, go] = useLocation();
  return async (said: string) => {
    await del(objectPath(bucket), { key, version_id: version });
    await client.resetQueries({ queryKey: ['objects', bucket] });
    client.removeQueries({ queryKey: ['object', bucket, key] });
    toast(said);
    go(back);
  };
}

function Marker({ bucket, objectKey, version, back }: { bucket: string; objectKey: string; version: string; back: string }) {
  const { canWrite } = useSession();
  const [asking, setAsking] = useState(false);
  const remove = useRemove(bucket, objectKey, version, back);
  return (
    <>
      <Notice
        tone="warn"
        action={
          canWrite && (
            <Button slim onClick={() => setAsking(true)}>
              Take it back
            </Button>
          )
        }
      >
        This is a delete marker: it hides the older versions of this key. Without it the one below is current again.
      </Notice>
      {asking && (
        <Confirm title="Remove the delete marker?" action="Remove marker" onConfirm={() => remove('The delete marker is removed')} onClose={() => setAsking(false)}>
          The newest older version of {objectKey} becomes the current one, and can be read again.
        </Confirm>
      )}
    </>
  );
}

function Found({ object: o, version, back }: { object: ObjectInfo; version?: string; back: string }) {
  const { canWrite } = useSession();
  const toast = useToast();
  const bucket = useBuckets().data?.find((b) => b.name === o.bucket);
  const [deleting, setDeleting] = useState(false);
  const [opening, setOpening] = useState('');
  const remove = useRemove(o.bucket, o.key, version, back);
  const open = async (download: boolean) => {
    setOpening(download ? 'download' : 'open');
    // Opened at once, so that browsers take it for the answer to the click.
    const tab = download ? null : window.open('about:blank', '_blank');
    if (tab) tab.opener = null;
    try {
      const l = await makeLink(o.bucket, o.key, '15m', version, download);
      const url = l.sources[0]?.url;
      if (!url) throw new Error('No edge is live from which the object could be read');
      if (tab) tab.location.href = url;
      else location.assign(url);
    } catch (err) {
      tab?.close();
      toast(words(err), 'danger');
    } finally {
      setOpening('');
    }
  };
  const versioned = bucket?.versioning === 'Enabled';
  return (
    <>
      <div className="row wrap">
        <Button look="primary" icon={ExternalLink} busy={opening === 'open'} onClick={() => void open(false)}>
          Open
        </Button>
        <Button icon={Download} busy={opening === 'download'} onClick={() => void open(true)}>
          Download
        </Button>
        {canWrite && (
          <Button icon={Trash2} onClick={() => setDeleting(true)}>
            Delete
          </Button>
        )}
      </div>
      {version && !o.latest && <Notice>This is an older version. Readers get the current one unless they ask for this by its ID.</Notice>}
      {o.awaited.length > 0 && <Notice>Copies to {o.awaited.join(' and ')} are still on their way. Reads there are served from {o.regions.join(' or ')} until then.</Notice>}
      <Facts
        title="Object"
        of={[
          ['Key', <span className="mono break keep">{o.key}</span>],
          ['Size', <>{bytes(o.size)} {o.size >= 1000 && <span className="faint tabular">({number(o.size)} bytes)</span>}</>],
          ['Changed', dateTime(o.modified)],
          ['ETag', o.etag && <code className="break">{o.etag}</code>],
          ['Version', <code className="break">{o.version_id}</code>],
          ['Parts', o.parts && number(o.parts)],
          ['Owner', o.owner && <code className="break">{o.owner}</code>],
          ['Regions', <span className="row wrap">{o.regions.map((r) => <Badge key={r} tone="good">{r}</Badge>)}{o.awaited.map((r) => <Badge key={r} tone="warn">{r}: on its way</Badge>)}</span>],
        ]}
      />
      <LinkCard object={o} version={version} isPublic={bucket?.visibility === 'public-read'} />
      <Facts title="Headers" of={entries(o.headers)} />
      <Facts title="Metadata" of={entries(o.metadata)} />
      <Facts title="Tags" of={entries(o.tags)} />
      <Facts title="Checksums" of={entries(o.checksums)} />
      <Facts title="Where the bytes are" of={Object.entries(o.blob_urls).map(([region, url]) => [region, <code className="break">{url}</code>])} />
      {deleting && (
        <Confirm
          title={version ? 'Delete this version?' : `Delete ${fileName(o.key)}?`}
          action="Delete"
          onConfirm={() => remove(version ? 'The version is deleted' : 'The object is deleted')}
          onClose={() => setDeleting(false)}
        >
          {version || !versioned ? 'This cannot be undone. Every cache forgets it within a second.' : 'The bucket keeps versions: what is there now stays as an older one, and can be taken back.'}
        </Confirm>
      )}
    </>
  );
}

const entries = (m: Record<string, string>): [string, ReactNode][] =>
  Object.entries(m)
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, value]) => [name, <span className="mono break keep">{value}</span>]);

/** Facts lists names and values; nothing where there are none. */
function Facts({ title, of }: { title: string; of: [string, ReactNode][] }) {
  const list = of.filter(([, v]) => v);
  if (list.length === 0) return null;
  return (
    <section className="card padded facts" aria-label={title}>
      <h2>{title}</h2>
      <dl>
        {list.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

const lives = [
  ['15m', '15 minutes'],
  ['1h', '1 hour'],
  ['24h', '1 day'],
  ['168h', '7 days'],
] as const;

/** LinkCard makes URLs of the edges for others. */
function LinkCard({ object: o, version, isPublic }: { object: ObjectInfo; version?: string; isPublic: boolean }) {
  const [life, setLife] = useState<string>('1h');
  const [links, setLinks] = useState<Awaited<ReturnType<typeof makeLink>> | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const make = async () => {
    setBusy(true);
    setError(null);
    try {
      setLinks(await makeLink(o.bucket, o.key, life, version));
    } catch (err) {
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="card padded stack" aria-label="URLs">
      <h2>URLs</h2>
      <div className="row wrap linkform">
        {!isPublic && (
          <SelectField label="Good for" value={life} onChange={(e) => setLife(e.target.value)}>
            {lives.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </SelectField>
        )}
        <Button busy={busy} onClick={() => void make()}>
          {isPublic ? 'Show URLs' : 'Sign URLs'}
        </Button>
      </div>
      {error !== null && <Failure error={error} />}
      {links?.sources.length === 0 && <Notice tone="warn">No edge is live from which the object could be read.</Notice>}
      {links && links.sources.length > 0 && (
        <>
          <ul className="urls">
            {links.sources.map((s) => (
              <li key={s.node}>
                <span className="small muted">{s.region}</span>
                <input className="input mono small" readOnly value={s.url} aria-label={`URL at the edge of ${s.region}`} onFocus={(e) => e.target.select()} />
                <CopyButton text={s.url} />
              </li>
            ))}
          </ul>
          <p className="small muted">{links.expires ? `Whoever has one of them can read the object until ${dateTime(links.expires)}.` : 'The bucket is public: these do not expire.'}</p>
        </>
      )}
    </section>
  );
}
