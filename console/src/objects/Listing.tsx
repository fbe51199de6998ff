import { useQueryClient } from '@tanstack/react-query';
import { ArrowLeft, File, FileImage, FileVideo, Folder, FolderOpen, History } from 'lucide-react';
import { Fragment, useEffect, useRef, useState, type FormEvent } from 'react';
import { Link, useLocation } from 'wouter';
import { withQuery } from '../lib/api';
import { bytes, dateTime, plural } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { crumbs, nameIn, useObjects, type ObjectEntry } from '../lib/objects';
import { useBuckets } from '../lib/queries';
import { Badge, Button, Empty, Failure, PageHead, Skeleton } from '../ui/ui';
import { bucketLink } from './Buckets';

export const folderLink = (bucket: string, prefix: string, versions: boolean) => withQuery(bucketLink(bucket), { prefix, versions: versions || undefined });
export const objectLink = (o: { bucket: string; key: string }, version?: string) => withQuery(bucketLink(o.bucket), { key: o.key, version });

/** Listing shows what is in a bucket below a prefix. */
export function Listing({ bucket, prefix, versions }: { bucket: string; prefix: string; versions: boolean }) {
  useTitle(bucket);
  const [, go] = useLocation();
  const client = useQueryClient();
  const pages = useObjects(bucket, prefix, versions);
  const versioned = useBuckets().data?.find((b) => b.name === bucket)?.versioning;
  const objects = pages.data?.pages.flatMap((p) => p.objects) ?? [];
  const prefixes = pages.data?.pages.flatMap((p) => p.prefixes) ?? [];
  const empty = pages.data && objects.length === 0 && prefixes.length === 0;
  return (
    <div className="page">
      <PageHead
        title={bucket}
        actions={
          <>
            {versioned && (
              <Button icon={History} aria-pressed={versions} look={versions ? 'primary' : 'plain'} onClick={() => go(folderLink(bucket, prefix, !versions))}>
                Versions
              </Button>
            )}
            <Button onClick={() => void client.resetQueries({ queryKey: ['objects', bucket] })} busy={pages.isFetching && !pages.isFetchingNextPage}>
              Refresh
            </Button>
          </>
        }
      />
      <div className="row spread wrap">
        <Crumbs bucket={bucket} prefix={prefix} versions={versions} />
        <PrefixForm key={prefix} prefix={prefix} onGo={(p) => go(folderLink(bucket, p, versions))} />
      </div>
      {pages.error && !pages.data && <Failure error={pages.error} again={() => void pages.refetch()} />}
      {pages.isPending && <Skeleton height={320} radius="var(--r-lg)" />}
      {empty && (
        <Empty icon={FolderOpen} title={prefix ? 'No key begins like this' : 'This bucket is empty'} actions={prefix && <Link className="button" href={folderLink(bucket, '', versions)}>To the top of the bucket</Link>}>
          {prefix ? 'What was here may have been deleted.' : 'Upload something on the page Upload, or with any S3 tool.'}
        </Empty>
      )}
      {pages.data && !empty && (
        <>
          <div className="table-scroll" aria-busy={pages.isPlaceholderData || undefined}>
            <table className="table listing">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col" className="num">
                    Size
                  </th>
                  <th scope="col" className="not-phone">
                    Type
                  </th>
                  <th scope="col" className="num not-phone">
                    Changed
                  </th>
                </tr>
              </thead>
              <tbody>
                {prefixes.map((p) => (
                  <tr key={'p' + p}>
                    <td colSpan={4}>
                      <Link href={folderLink(bucket, p, versions)} className="entry">
                        <Folder size={16} strokeWidth={1.75} aria-hidden />
                        <span className="break">{nameIn(p, prefix)}</span>
                      </Link>
                    </td>
                  </tr>
                ))}
                {objects.map((o) => (
                  <ObjectRow key={o.key + '\n' + o.version_id} object={o} prefix={prefix} versions={versions} />
                ))}
              </tbody>
            </table>
          </div>
          <More
            count={objects.length + prefixes.length}
            more={pages.hasNextPage}
            busy={pages.isFetchingNextPage}
            error={pages.isFetchNextPageError ? pages.error : null}
            onMore={() => void pages.fetchNextPage()}
          />
        </>
      )}
    </div>
  );
}

function ObjectRow({ object: o, prefix, versions }: { object: ObjectEntry; prefix: string; versions: boolean }) {
  const kind = o.content_type?.split('/')[0];
  const Icon = kind === 'image' ? FileImage : kind === 'video' ? FileVideo : File;
  const name = <span className="break">{nameIn(o.key, prefix)}</span>;
  return (
    <tr className={versions && !o.latest ? 'older' : undefined}>
      <td>
        {o.delete_marker ? (
          <Link href={objectLink(o, o.version_id)} className="entry">
            <Icon size={16} strokeWidth={1.75} aria-hidden />
            {name} <Badge tone={o.latest ? 'danger' : undefined}>deleted</Badge>
          </Link>
        ) : (
          <Link href={objectLink(o, versions ? o.version_id : undefined)} className="entry">
            <Icon size={16} strokeWidth={1.75} aria-hidden />
            {name}
            {versions && <Badge tone={o.latest ? 'good' : undefined}>{o.latest ? 'current' : 'older'}</Badge>}
          </Link>
        )}
      </td>
      <td className="num">{o.delete_marker ? '–' : bytes(o.size)}</td>
      <td className="small muted not-phone">{o.content_type ?? '–'}</td>
      <td className="num small muted not-phone">{dateTime(o.modified)}</td>
    </tr>
  );
}

function Crumbs({ bucket, prefix, versions }: { bucket: string; prefix: string; versions: boolean }) {
  const list = crumbs(prefix);
  const rest = prefix.slice(list.at(-1)?.prefix.length ?? 0);
  return (
    <nav className="crumbs" aria-label="Folders">
      <Link href="/objects" className="link">
        <ArrowLeft size={14} aria-hidden /> Buckets
      </Link>
      <span aria-hidden>/</span>
      <Link href={folderLink(bucket, '', versions)} className="link" aria-current={prefix === '' ? 'page' : undefined}>
        {bucket}
      </Link>
      {list.map((c) => (
        <Fragment key={c.prefix}>
          <span aria-hidden>/</span>
          <Link href={folderLink(bucket, c.prefix, versions)} className="link break" aria-current={c.prefix === prefix ? 'page' : undefined}>
            {c.name || '(empty)'}
          </Link>
        </Fragment>
      ))}
      {rest && (
        <>
          <span aria-hidden>/</span>
          <span className="break">{rest}…</span>
        </>
      )}
    </nav>
  );
}

function PrefixForm({ prefix, onGo }: { prefix: string; onGo: (prefix: string) => void }) {
  const [text, setText] = useState(prefix);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    onGo(text);
  };
  return (
    <form className="prefix" role="search" onSubmit={submit}>
      <input className="input mono" type="search" aria-label="Keys that begin with" placeholder="Keys that begin with …" value={text} onChange={(e) => setText(e.target.value)} autoCapitalize="none" autoComplete="off" spellCheck={false} />
    </form>
  );
}

/** More fetches the next page when its end comes into view. */
function More({ count, more, busy, error, onMore }: { count: number; more: boolean; busy: boolean; error: unknown; onMore: () => void }) {
  const end = useRef<HTMLDivElement>(null);
  const latest = useRef(onMore);
  latest.current = onMore;
  const wanted = more && !busy && !error;
  useEffect(() => {
    if (!wanted || !end.current) return;
    const observer = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && latest.current(), { rootMargin: '600px' });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [wanted, count]);
  return (
    <div ref={end} className="more small muted" role="status">
      {error ? <Failure error={error} again={onMore} /> : busy ? <span className="spinner" aria-label="Loading more" /> : more ? <Button slim onClick={onMore}>Show more</Button> : plural(count, 'entry', 'entries')}
    </div>
  );
}
