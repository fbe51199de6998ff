import { FileVideo, ImageOff, Image as ImageIcon } from 'lucide-react';
import { useEffect, useState } from 'react';
import { titleOf, usePlayback } from '../lib/media';
import type { Media } from '../lib/types';

/**
 * Picture is a tile's picture, from the nearest edge, and from the next where
 * that fails: a photo, or the first frame of a video.
 */
export function Picture({ media: m }: { media: Media }) {
  const playback = usePlayback(m);
  const [tried, setTried] = useState(0);
  const [drawn, setDrawn] = useState(false);
  useEffect(() => setTried(0), [playback.data]);
  if (m.state === 'pending') return <NoPicture media={m} note="has not arrived" />;
  if (playback.error) return <NoPicture media={m} note="cannot be loaded" />;
  const url = playback.data?.sources[tried]?.url;
  if (playback.data && !url) return <NoPicture media={m} note={tried ? 'cannot be shown here' : 'no edge is live'} />;
  if (!url) return null;
  const next = () => setTried((n) => n + 1);
  if (m.kind === 'video') {
    // A moment after the start: first frames are often black.
    return <video className={drawn ? 'drawn' : ''} src={`${url}#t=${Math.min(1, (m.duration ?? 0) / 10)}`} preload="metadata" muted playsInline tabIndex={-1} disablePictureInPicture onLoadedData={() => setDrawn(true)} onError={next} />;
  }
  return <img className={drawn ? 'drawn' : ''} src={url} alt={titleOf(m)} loading="lazy" decoding="async" draggable={false} onLoad={() => setDrawn(true)} onError={next} />;
}

function NoPicture({ media: m, note }: { media: Media; note: string }) {
  const Icon = m.kind === 'video' ? FileVideo : m.state === 'pending' ? ImageIcon : ImageOff;
  return (
    <span className="no-picture">
      <Icon size={22} strokeWidth={1.5} aria-hidden />
      <span className="small">{note}</span>
    </span>
  );
}
