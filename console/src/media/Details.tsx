import { useQueryClient } from '@tanstack/react-query';
import { Pencil } from 'lucide-react';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Link } from 'wouter';
import { patch } from '../lib/api';
import { bytes, clock, dateTime, number, plural } from '../lib/format';
import { galleryPath, titleOf, type Filter } from '../lib/media';
import { useSession } from '../lib/session';
import type { Media } from '../lib/types';
import { Badge, Button, Failure, TextArea, TextField, useToast } from '../ui/ui';
import { readTags } from './tags';

/** Details is what is known of a photo or video; who may write can change its texts. */
export function Details({ media: m, filter }: { media: Media; filter: Filter }) {
  const { canWrite } = useSession();
  const [editing, setEditing] = useState(false);
  const facts: [string, ReactNode][] = [
    ['Taken', m.taken_at && dateTime(m.taken_at)],
    ['Arrived', dateTime(m.created)],
    ['Size', m.width && m.height ? `${m.width} × ${m.height}, ${bytes(m.size)}` : bytes(m.size)],
    ['Length', m.duration && clock(m.duration)],
    ['Type', m.content_type],
    ['Codecs', m.codecs?.join(', ')],
    ['Views', number(m.views)],
    ['Bucket', m.bucket],
    ['Key', <span className="mono">{m.key}</span>],
    ['Copies in', m.regions.join(', ')],
  ];
  return (
    <aside className="details" aria-label="Details">
      {editing ? (
        <Edit media={m} onDone={() => setEditing(false)} />
      ) : (
        <section className="texts">
          <div className="row spread top">
            <h2 className="break">{titleOf(m)}</h2>
            {canWrite && (
              <Button slim icon={Pencil} onClick={() => setEditing(true)}>
                Edit
              </Button>
            )}
          </div>
          {m.description && <p className="break description">{m.description}</p>}
          {m.tags.length > 0 && (
            <ul className="tags">
              {m.tags.map((t) => (
                <li key={t}>
                  <Link href={galleryPath({ ...filter, tag: t })} className="chip">
                    {t}
                  </Link>
                </li>
              ))}
            </ul>
          )}
          {m.state === 'processing' && <Badge tone="accent">Being looked at</Badge>}
          {m.state === 'pending' && <Badge tone="warn">Has not arrived</Badge>}
          {m.state === 'failed' && <Badge tone="danger">Cannot be read</Badge>}
          {m.error && <p className="small muted break">{m.error}</p>}
        </section>
      )}
      <dl>
        {facts
          .filter(([, value]) => value !== undefined && value !== '' && value !== 0)
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="break">{value}</dd>
            </div>
          ))}
      </dl>
      <p className="small faint keys">
        {m.kind === 'video' ? (
          <>
            <kbd>k</kbd> play, <kbd>←</kbd> <kbd>→</kbd> 5 seconds, <kbd>f</kbd> full screen, <kbd>p</kbd> <kbd>n</kbd> previous and next
          </>
        ) : (
          <>
            <kbd>←</kbd> <kbd>→</kbd> previous and next, <kbd>i</kbd> details, <kbd>s</kbd> share, <kbd>Esc</kbd> back
          </>
        )}
      </p>
    </aside>
  );
}

function Edit({ media: m, onDone }: { media: Media; onDone: () => void }) {
  const client = useQueryClient();
  const toast = useToast();
  const [title, setTitle] = useState(m.title);
  const [description, setDescription] = useState(m.description);
  const [tags, setTags] = useState(m.tags.join(', '));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const changed = await patch<Media>(`/v1/media/${encodeURIComponent(m.id)}`, { title: title.trim(), description: description.trim(), tags: readTags(tags) });
      client.setQueryData(['media-item', m.id], changed);
      void client.invalidateQueries({ queryKey: ['media'] });
      toast('Saved.');
      onDone();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  const count = readTags(tags).length;
  return (
    <form className="stack texts" onSubmit={(e) => void submit(e)} onKeyDown={(e) => e.key === 'Escape' && onDone()}>
      {error !== null && <Failure error={error} />}
      <TextField label="Title" value={title} placeholder={titleOf({ ...m, title: '' })} onChange={(e) => setTitle(e.target.value)} autoFocus />
      <TextArea label="Description" value={description} onChange={(e) => setDescription(e.target.value)} />
      <TextField label="Tags" hint={count ? plural(count, 'tag') : 'Parted by commas.'} value={tags} onChange={(e) => setTags(e.target.value)} />
      <div className="actions">
        <Button type="submit" look="primary" busy={busy}>
          Save
        </Button>
        <Button onClick={onDone}>Cancel</Button>
      </div>
    </form>
  );
}
