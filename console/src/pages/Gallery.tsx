import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { Images, Search, SearchX, X } from 'lucide-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link, useLocation, useParams, useSearch } from 'wouter';
import { clock } from '../lib/format';
import { useDebounced, useKeys, useTitle, useWidth } from '../lib/hooks';
import { justify } from '../lib/justify';
import { galleryPath, isFiltered, readFilter, titleOf, useMedia, type Filter } from '../lib/media';
import { useBuckets } from '../lib/queries';
import { useSession } from '../lib/session';
import type { Kind, Media } from '../lib/types';
import { Picture } from '../media/Picture';
import { Viewer } from '../media/Viewer';
import { Button, Empty, Failure, IconButton, PageHead, Segments, Skeleton } from '../ui/ui';
import './gallery.css';

/** Gallery shows all photos and videos, and over it the one whose ID is in the path. */
export default function Gallery() {
  const search = useSearch();
  const { id } = useParams<{ id?: string }>();
  const [, go] = useLocation();
  const filter = useMemo(() => readFilter(search), [search]);
  const { canWrite } = useSession();
  const media = useMedia(filter);
  const list = useMemo(() => media.data?.pages.flatMap((p) => p.media) ?? [], [media.data]);
  useTitle(id === undefined ? 'Gallery' : undefined);
  const shown = useRef(id);
  useEffect(() => {
    // Back in the gallery, the keyboard goes on from what was looked at.
    if (id === undefined && shown.current) document.querySelector<HTMLElement>(`[data-id="${CSS.escape(shown.current)}"]`)?.focus();
    shown.current = id;
  }, [id]);

  const more = () => {
    if (media.hasNextPage && !media.isFetchingNextPage) void media.fetchNextPage();
  };
  const change = (next: Filter) => go(galleryPath(next), { replace: true });

  return (
    <>
      <div className="page full gallery" inert={id !== undefined}>
        <PageHead title="Gallery" />
        <Filters filter={filter} onChange={change} />
        {media.isPending && <Waiting />}
        {media.error && <Failure error={media.error} again={() => void media.refetch()} />}
        {media.data && list.length === 0 && (isFiltered(filter) ? <NothingFound onClear={() => change({})} /> : <NothingYet canWrite={canWrite} />)}
        {list.length > 0 && <Wall list={list} filter={filter} onEnd={more} />}
        {media.isFetchingNextPage && <p className="small muted more">Loading more</p>}
      </div>
      {id !== undefined && <Viewer key={id} id={id} list={list} filter={filter} onEnd={more} />}
    </>
  );
}

function NothingYet({ canWrite }: { canWrite: boolean }) {
  return (
    <Empty
      icon={Images}
      title="No photos or videos yet"
      actions={
        canWrite && (
          <Link href="/upload" className="button primary">
            Upload some
          </Link>
        )
      }
    >
      Whatever is put into a bucket shows up here, by this page, an S3 tool or the API.
    </Empty>
  );
}

function NothingFound({ onClear }: { onClear: () => void }) {
  return (
    <Empty icon={SearchX} title="Nothing matches" actions={<Button onClick={onClear}>Show everything</Button>}>
      No photo or video has these words in its title, description, tags or name.
    </Empty>
  );
}

function Filters({ filter, onChange }: { filter: Filter; onChange: (f: Filter) => void }) {
  const buckets = useBuckets();
  const [text, setText] = useState(filter.q ?? '');
  const settled = useDebounced(text, 250);
  const input = useRef<HTMLInputElement>(null);
  const latest = useRef({ filter, onChange });
  latest.current = { filter, onChange };
  useEffect(() => {
    const { filter, onChange } = latest.current;
    if (settled.trim() !== (filter.q ?? '')) onChange({ ...filter, q: settled.trim() || undefined });
  }, [settled]);
  useEffect(() => {
    // The path was changed by something else: another link, or going back.
    setText((t) => (t.trim() === (filter.q ?? '') ? t : (filter.q ?? '')));
  }, [filter.q]);
  useKeys({
    '/': () => input.current?.focus(),
  });
  const names = buckets.data?.map((b) => b.name) ?? [];
  if (filter.bucket && !names.includes(filter.bucket)) names.push(filter.bucket);
  return (
    <div className="filters" role="search">
      <div className="search">
        <Search size={16} strokeWidth={1.75} aria-hidden />
        <input
          ref={input}
          className="input"
          type="search"
          aria-label="Search photos and videos"
          placeholder="Search"
          value={text}
          onChange={(e) => setText(e.target.value)}
          onKeyDown={(e) => {
            if (e.key !== 'Escape') return;
            if (text) setText('');
            else e.currentTarget.blur();
          }}
        />
        {text ? <IconButton icon={X} slim label="Clear the search" onClick={() => setText('')} /> : <kbd aria-hidden>/</kbd>}
      </div>
      <Segments<Kind | 'all'>
        label="Kind"
        value={filter.kind ?? 'all'}
        onChange={(k) => onChange({ ...filter, kind: k === 'all' ? undefined : k })}
        choices={[
          { value: 'all', label: 'All' },
          { value: 'photo', label: 'Photos' },
          { value: 'video', label: 'Videos' },
        ]}
      />
      <select className="input bucket" aria-label="Bucket" value={filter.bucket ?? ''} onChange={(e) => onChange({ ...filter, bucket: e.target.value || undefined })}>
        <option value="">All buckets</option>
        {names.map((n) => (
          <option key={n}>{n}</option>
        ))}
      </select>
      {filter.tag && (
        <button type="button" className="chip" onClick={() => onChange({ ...filter, tag: undefined })} aria-label={`Tag ${filter.tag}: show all tags`}>
          {filter.tag} <X size={14} aria-hidden />
        </button>
      )}
    </div>
  );
}

const gap = 6;
const ratioOf = (m: Media) => (m.width && m.height ? m.width / m.height : m.kind === 'video' ? 16 / 9 : 4 / 3);
const rowHeight = (width: number) => (width < 600 ? 150 : width < 1100 ? 200 : 236);

/** Wall lays the list out and draws only the rows near what is seen. */
function Wall({ list, filter, onEnd }: { list: Media[]; filter: Filter; onEnd: () => void }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const element = useRef<HTMLDivElement | null>(null);
  const rows = useMemo(() => justify(list, ratioOf, width, rowHeight(width), gap), [list, width]);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: (i) => (rows[i]?.height ?? 0) + gap,
    overscan: 3,
    scrollMargin: element.current?.offsetTop ?? 0,
    getItemKey: (i) => rows[i]?.tiles[0]?.item.id ?? i,
  });
  useEffect(() => virtual.measure(), [virtual, rows]);
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const end = useRef(onEnd);
  end.current = onEnd;
  useEffect(() => {
    if (rows.length > 0 && last >= rows.length - 4) end.current();
  }, [last, rows.length]);
  return (
    <div
      ref={(e) => {
        element.current = e;
        box(e);
      }}
      className="wall"
      style={{ height: virtual.getTotalSize() }}
    >
      {items.map((item) => {
        const row = rows[item.index];
        return row?.tiles.map((t) => <TileLink key={t.item.id} media={t.item} filter={filter} style={{ top: row.top, left: t.left, width: t.width, height: row.height }} />);
      })}
    </div>
  );
}

function TileLink({ media: m, filter, style }: { media: Media; filter: Filter; style: { top: number; left: number; width: number; height: number } }) {
  return (
    <Link href={galleryPath(filter, m.id)} className="tile" style={style} aria-label={`${m.kind === 'video' ? 'Video' : 'Photo'}: ${titleOf(m)}`} data-id={m.id} data-state={m.state}>
      <Picture media={m} />
      {m.kind === 'video' && m.duration ? <span className="length tabular">{clock(m.duration)}</span> : null}
      <span className="caption truncate">{titleOf(m)}</span>
    </Link>
  );
}

function Waiting() {
  const [box, width] = useWidth<HTMLDivElement>();
  const ratios = [1.5, 1.33, 0.75, 1.78, 1.5, 1, 1.33, 1.78, 0.75, 1.5, 1.33, 1.5, 1.78, 1.33];
  const rows = justify(ratios, (r) => r, width, rowHeight(width), gap).slice(0, 3);
  return (
    <div ref={box} className="wall" style={{ height: rows.reduce((n, r) => n + r.height + gap, 0) || 480 }} aria-busy aria-label="Loading">
      {rows.flatMap((row) =>
        row.tiles.map((t) => (
          <div key={`${row.top}-${t.left}`} className="tile" style={{ top: row.top, left: t.left, width: t.width, height: row.height }}>
            <Skeleton height="100%" />
          </div>
        )),
      )}
    </div>
  );
}
