import { useEffect, useState } from 'react';
import { titleOf } from '../lib/media';
import type { Media, PlaybackSource } from '../lib/types';
import { Button, join } from '../ui/ui';

/** Photo is a photo in full, from the first edge that gives it. */
export function Photo({ media: m, sources, again }: { media: Media; sources: PlaybackSource[]; again: () => void }) {
  const [tried, setTried] = useState(0);
  const [drawn, setDrawn] = useState(false);
  useEffect(() => setTried(0), [sources]);
  const source = sources[tried];
  if (!source) {
    return (
      <div className="stage-note">
        <p>{/hei[cf]/.test(m.content_type ?? '') ? 'This browser cannot show HEIC photos. Download it to look at it.' : 'No edge could give this photo, or the browser cannot show its format.'}</p>
        <Button slim onClick={again}>
          Try again
        </Button>
      </div>
    );
  }
  return (
    <img
      className={join('full', drawn && 'drawn')}
      src={source.url}
      width={m.width}
      height={m.height}
      alt={m.description || titleOf(m)}
      data-region={source.region}
      onLoad={() => setDrawn(true)}
      onError={() => setTried(tried + 1)}
    />
  );
}
