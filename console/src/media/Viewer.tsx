import { useQueryClient } from '@tanstack/react-query';
import { ArrowLeft, ChevronLeft, ChevronRight, Download, Info, Link2, PanelRightClose, Trash2 } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { ApiError, del, get, words } from '../lib/api';
import { useKeys, useTitle } from '../lib/hooks';
import { galleryPath, titleOf, useMediaItem, usePlayback, type Filter } from '../lib/media';
import { useSession } from '../lib/session';
import type { Media, Playback } from '../lib/types';
import { Button, Confirm, Failure, IconButton, join, Spinner, useToast } from '../ui/ui';
import { Details } from './Details';
import { Photo } from './Photo';
import { Player } from './Player';
import { ShareDialog } from './ShareDialog';
import './viewer.css';

/** Viewer shows one photo or video of a list, over the gallery. */
export function Viewer({ id, list, filter, onEnd }: { id: string; list: Media[]; filter: Filter; onEnd: () => void }) {
  const known = list.find((m) => m.id === id);
  const { data: media, error, refetch } = useMediaItem(id, known);
  const { canWrite } = useSession();
  const [, go] = useLocation();
  const client = useQueryClient();
  const toast = useToast();
  const [panel, setPanel] = useState(() => innerWidth > 1000);
  const [dialog, setDialog] = useState<'share' | 'delete' | null>(null);
  const box = useRef<HTMLDivElement>(null);
  useTitle(media ? titleOf(media) : '');

  const at = list.findIndex((m) => m.id === id);
  const previous = at > 0 ? list[at - 1] : undefined;
  const next = at >= 0 ? list[at + 1] : undefined;
  const close = () => go(galleryPath(filter));
  const show = (m?: Media) => {
    if (m) go(galleryPath(filter, m.id), { replace: true });
  };

  useEffect(() => {
    box.current?.focus();
  }, []);
  useEffect(() => {
    if (at >= 0 && at >= list.length - 3) onEnd();
  }, [at, list.length]);
  const video = media?.kind === 'video';
  useKeys({
    Escape: () => (document.fullscreenElement ? false : close()),
    ...(video ? {} : { ArrowLeft: () => show(previous), ArrowRight: () => show(next) }),
    p: () => show(previous),
    n: () => show(next),
    d: () => (media ? void download() : undefined),
    i: () => setPanel((p) => !p),
    s: () => (media ? setDialog('share') : undefined),
    Delete: () => (media && canWrite ? setDialog('delete') : undefined),
  });

  const download = async () => {
    try {
      const links = await get<Playback>(`/v1/media/${encodeURIComponent(id)}/playback`, { download: true });
      const url = links.sources[0]?.url;
      if (url) location.assign(url); // the answer is an attachment, so that this page stays
      else toast('No edge is live, so there is nowhere to download from.', 'danger');
    } catch (err) {
      toast(words(err), 'danger');
    }
  };
  const remove = async () => {
    try {
      await del(`/v1/media/${encodeURIComponent(id)}`);
    } catch (err) {
      if (!(err instanceof ApiError) || err.status !== 404) throw err; // gone already is as good
    }
    const after = next ?? previous;
    if (after) show(after);
    else close();
    toast(`${media ? titleOf(media) : 'It'} was deleted.`);
    client.removeQueries({ queryKey: ['media-item', id] });
    await client.invalidateQueries({ queryKey: ['media'] });
  };

  return (
    <div className={join('viewer', panel && media && 'with-panel')} role="dialog" aria-modal aria-label={media ? titleOf(media) : 'Photo or video'} tabIndex={-1} ref={box}>
      <header className="viewer-bar">
        <IconButton icon={ArrowLeft} label="Back to the gallery (Esc)" onClick={close} />
        <span className="truncate title">{media && titleOf(media)}</span>
        {media && <IconButton icon={Link2} label="Share (s)" onClick={() => setDialog('share')} />}
        {media && media.state !== 'pending' && <IconButton icon={Download} label="Download (d)" onClick={() => void download()} />}
        {media && canWrite && <IconButton icon={Trash2} label="Delete (Del)" onClick={() => setDialog('delete')} />}
        {media && <IconButton icon={panel ? PanelRightClose : Info} label={panel ? 'Hide the details (i)' : 'Show the details (i)'} aria-pressed={panel} onClick={() => setPanel(!panel)} />}
      </header>
      <div className="stage">
        {error && !media && (
          <div className="stage-note">
            {error instanceof ApiError && error.status === 404 ? (
              <>
                <p>There is no such photo or video. It may have been deleted, or replaced by a newer one.</p>
                <Button slim onClick={close}>
                  Back to the gallery
                </Button>
              </>
            ) : (
              <Failure error={error} again={() => void refetch()} />
            )}
          </div>
        )}
        {!error && !media && <Spinner label="Loading" />}
        {media && <Stage media={media} />}
        {previous && <IconButton className="step previous" icon={ChevronLeft} label={video ? 'Previous (p)' : 'Previous (left arrow)'} onClick={() => show(previous)} />}
        {next && <IconButton className="step next" icon={ChevronRight} label={video ? 'Next (n)' : 'Next (right arrow)'} onClick={() => show(next)} />}
      </div>
      {panel && media && <Details key={media.id} media={media} filter={filter} />}
      {dialog === 'share' && media && <ShareDialog media={media} onClose={() => setDialog(null)} />}
      {dialog === 'delete' && media && (
        <Confirm title={`Delete this ${media.kind}?`} action="Delete" onClose={() => setDialog(null)} onConfirm={remove}>
          <strong className="break">{titleOf(media)}</strong> is deleted from the bucket {media.bucket} and from every cache, for everybody. In a bucket that keeps versions, an S3 tool can bring it back.
        </Confirm>
      )}
    </div>
  );
}

function Stage({ media: m }: { media: Media }) {
  const playback = usePlayback(m);
  if (m.state === 'pending') return <p className="stage-note">This {m.kind} is announced, and has not arrived yet.</p>;
  if (playback.error) {
    return (
      <div className="stage-note">
        <Failure error={playback.error} again={() => void playback.refetch()} />
      </div>
    );
  }
  if (!playback.data) return <Spinner label="Loading" />;
  if (!playback.data.sources.length) return <p className="stage-note">No edge is live, so there is nowhere to read it from. See Regions.</p>;
  const again = () => void playback.refetch();
  return m.kind === 'video' ? <Player media={m} sources={playback.data.sources} again={again} /> : <Photo media={m} sources={playback.data.sources} again={again} />;
}
