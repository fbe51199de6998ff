import { Maximize, Minimize, Pause, Play, Volume2, VolumeX } from 'lucide-react';
import { useEffect, useRef, useState, type CSSProperties } from 'react';
import { clock } from '../lib/format';
import { useKeys } from '../lib/hooks';
import { titleOf } from '../lib/media';
import type { Media, PlaybackSource } from '../lib/types';
import { Button, IconButton, join } from '../ui/ui';

/**
 * Player plays a video from the first edge that gives it. Where an edge fails,
 * also in the middle, the next goes on from the same moment.
 */
export function Player({ media: m, sources, again }: { media: Media; sources: PlaybackSource[]; again: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const [tried, setTried] = useState(0);
  const [time, setTime] = useState(0);
  const [duration, setDuration] = useState(m.duration ?? 0);
  const [buffered, setBuffered] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [waiting, setWaiting] = useState(false);
  const [volume, setVolume] = useState(1);
  const [muted, setMuted] = useState(false);
  const [full, setFull] = useState(false);
  const [idle, setIdle] = useState(false);
  const goOn = useRef({ at: 0, play: false });
  const source = sources[tried];

  useEffect(() => setTried(0), [sources]);
  useEffect(() => {
    const change = () => setFull(document.fullscreenElement === box.current);
    document.addEventListener('fullscreenchange', change);
    return () => document.removeEventListener('fullscreenchange', change);
  }, []);
  useEffect(() => {
    if (!playing || idle) return;
    const timer = setTimeout(() => setIdle(true), 2_500);
    return () => clearTimeout(timer);
  }, [playing, idle, time]);

  const toggle = () => {
    const v = video.current;
    if (!v) return;
    if (v.paused) void v.play().catch(() => undefined); // told by onError
    else v.pause();
  };
  const seek = (to: number) => {
    const v = video.current;
    if (!v) return;
    const end = v.duration || duration;
    v.currentTime = Math.min(Math.max(to, 0), Math.max(end - 0.05, 0));
    setTime(v.currentTime);
    setIdle(false);
  };
  const by = (seconds: number) => seek((video.current?.currentTime ?? 0) + seconds);
  const louder = (step: number) => {
    const v = video.current;
    if (!v) return;
    v.volume = Math.min(Math.max(Math.round((v.volume + step) * 20) / 20, 0), 1);
    v.muted = v.volume === 0;
  };
  const toggleFull = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void box.current?.requestFullscreen().catch(() => undefined); // a browser that has none
  };
  const mute = () => {
    if (video.current) video.current.muted = !video.current.muted;
  };
  const onButton = (e: KeyboardEvent) => e.target instanceof HTMLElement && e.target.matches('button, a');
  useKeys({
    ' ': (e) => (onButton(e) ? false : toggle()),
    k: toggle,
    j: () => by(-10),
    l: () => by(10),
    ArrowLeft: () => by(-5),
    ArrowRight: () => by(5),
    ArrowUp: () => louder(0.05),
    ArrowDown: () => louder(-0.05),
    m: mute,
    f: toggleFull,
    Home: () => seek(0),
    End: () => seek(duration),
    ...Object.fromEntries(Array.from({ length: 10 }, (_, i) => [String(i), () => seek((duration * i) / 10)])),
  });

  if (!source) {
    return (
      <div className="stage-note">
        <p>No edge could give this video, or the browser cannot play its format{m.codecs?.length ? ` (${m.codecs.join(', ')})` : ''}.</p>
        <Button slim onClick={again}>
          Try again
        </Button>
      </div>
    );
  }
  const failed = () => {
    const v = video.current;
    if (v) goOn.current = { at: v.currentTime || goOn.current.at, play: !v.paused || goOn.current.play };
    setTried(tried + 1);
  };
  const ratio = m.width && m.height ? m.width / m.height : 16 / 9;
  return (
    <div className={join('player', full && 'full-screen', idle && playing && 'idle')} ref={box} onPointerMove={() => setIdle(false)} style={full ? undefined : { aspectRatio: String(ratio), maxWidth: `calc((100dvh - 7rem) * ${ratio})` }}>
      <video
        key={source.url}
        ref={video}
        src={source.url}
        aria-label={titleOf(m)}
        data-region={source.region}
        preload="metadata"
        playsInline
        onClick={toggle}
        onDoubleClick={toggleFull}
        onError={failed}
        onLoadedMetadata={(e) => {
          const v = e.currentTarget;
          setDuration(v.duration);
          if (goOn.current.at > 0) v.currentTime = goOn.current.at;
          if (goOn.current.play) void v.play().catch(() => undefined);
        }}
        onTimeUpdate={(e) => setTime(e.currentTarget.currentTime)}
        onProgress={(e) => setBuffered(bufferedAt(e.currentTarget))}
        onPlay={() => setPlaying(true)}
        onPause={() => {
          setPlaying(false);
          setIdle(false);
        }}
        onWaiting={() => setWaiting(true)}
        onPlaying={() => setWaiting(false)}
        onCanPlay={() => setWaiting(false)}
        onVolumeChange={(e) => {
          setVolume(e.currentTarget.volume);
          setMuted(e.currentTarget.muted);
        }}
      />
      {waiting && playing && <span className="spinner busy" role="status" aria-label="Loading" />}
      {!playing && time === 0 && (
        <button type="button" className="start" aria-label={`Play ${titleOf(m)}`} onClick={toggle}>
          <Play size={28} fill="currentColor" strokeWidth={1.5} aria-hidden />
        </button>
      )}
      <div className="controls">
        <IconButton icon={playing ? Pause : Play} label={playing ? 'Pause (k)' : 'Play (k)'} onClick={toggle} />
        <span className="tabular small time">
          {clock(time)} / {clock(duration)}
        </span>
        <Seek time={time} duration={duration} buffered={buffered} onSeek={seek} />
        <IconButton icon={muted || volume === 0 ? VolumeX : Volume2} label={muted ? 'Sound on (m)' : 'Sound off (m)'} onClick={mute} />
        <IconButton icon={full ? Minimize : Maximize} label={full ? 'Leave full screen (f)' : 'Full screen (f)'} onClick={toggleFull} />
      </div>
    </div>
  );
}

function Seek({ time, duration, buffered, onSeek }: { time: number; duration: number; buffered: number; onSeek: (to: number) => void }) {
  const part = (t: number) => `${duration ? Math.min(100, (t / duration) * 100) : 0}%`;
  return (
    <input
      className="seek"
      type="range"
      min={0}
      max={duration || 1}
      step={0.1}
      value={Math.min(time, duration || 1)}
      aria-label="Position"
      aria-valuetext={`${clock(time)} of ${clock(duration)}`}
      style={{ '--played': part(time), '--buffered': part(buffered) } as CSSProperties}
      onChange={(e) => onSeek(Number(e.target.value))}
      onKeyDown={(e) => {
        // The player's own keys seek by seconds, not by tenths.
        if (e.key.startsWith('Arrow') || e.key === 'Home' || e.key === 'End') e.preventDefault();
      }}
    />
  );
}

function bufferedAt(v: HTMLVideoElement): number {
  for (let i = 0; i < v.buffered.length; i++) {
    if (v.buffered.start(i) <= v.currentTime + 0.5 && v.buffered.end(i) >= v.currentTime) return v.buffered.end(i);
  }
  return 0;
}
