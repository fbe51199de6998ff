import { Eraser } from 'lucide-react';
import { useState, type FormEvent } from 'react';
import { useTitle } from '../lib/hooks';
import { askPurge, lines, usePurges, type PurgeRequest } from '../lib/purge';
import { useBuckets } from '../lib/queries';
import { useSession } from '../lib/session';
import { PurgeCard } from '../purge/PurgeCard';
import { Button, Dialog, Failure, Notice, PageHead, Segments, SelectField, TextArea, TextField } from '../ui/ui';
import '../ui/table.css';
import './purge.css';

type By = 'urls' | 'prefixes' | 'surrogate_keys' | 'bucket' | 'everything';

const kinds: Record<By, { label: string; field?: string; hint: string; example?: string }> = {
  urls: { label: 'URLs', field: 'URLs, one a line', hint: 'As browsers ask for them, or as /bucket/key.', example: '/photos/2026/beach.jpg' },
  prefixes: { label: 'Prefixes', field: 'Prefixes, one a line', hint: 'Everything whose URL begins so.', example: '/photos/2026/' },
  surrogate_keys: { label: 'Surrogate keys', field: 'Surrogate keys, one a line', hint: 'Everything answered with one of them in Surrogate-Key or Cache-Tag.', example: 'front-page' },
  bucket: { label: 'Bucket', hint: 'Everything of one bucket.' },
  everything: { label: 'Everything', hint: 'Every cache begins anew, and the origins answer everything until they are warm again.' },
};

/** Purge makes every cache forget, and shows when each has. */
export default function Purge() {
  useTitle('Purge');
  const { canWrite } = useSession();
  const asked = usePurges();
  return (
    <div className="page narrow">
      <PageHead title="Purge">Overwrites and deletes reach the caches by themselves. Purge what changed in another way, or what is not to be kept.</PageHead>
      {canWrite ? <PurgeForm /> : <Notice>Your key may only read. Purging needs one that may write.</Notice>}
      <section className="stack" aria-label="Purges of this session">
        <h2>Purges of this session</h2>
        {asked.length === 0 && (
          <p className="muted">Nothing yet. Each purge shows here which nodes have applied it, and how long that took.</p>
        )}
        {asked.map((id, i) => (
          <PurgeCard key={id} id={id} open={i === 0} />
        ))}
      </section>
    </div>
  );
}

function PurgeForm() {
  const buckets = useBuckets();
  const [by, setBy] = useState<By>('urls');
  const [text, setText] = useState<Partial<Record<By, string>>>({});
  const [bucket, setBucket] = useState('');
  const [soft, setSoft] = useState(false);
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const list = lines(text[by] ?? '');
  const chosen = bucket || buckets.data?.[0]?.name || '';
  const ready = by === 'everything' || (by === 'bucket' ? chosen !== '' : list.length > 0);

  const purge = async () => {
    const p: PurgeRequest = { soft: soft || undefined };
    if (by === 'everything') p.everything = true;
    else if (by === 'bucket') p.bucket = chosen;
    else p[by] = list;
    await askPurge(p);
    setText({ ...text, [by]: '' });
  };
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setError(null);
    if (by === 'everything') {
      setAsking(true);
      return;
    }
    setBusy(true);
    try {
      await purge();
    } catch (err) {
      setError(err);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <form className="card padded stack" onSubmit={(e) => void submit(e)} aria-label="Purge">
        <div className="scroll-x">
          <Segments
            label="What to purge"
            value={by}
            onChange={(v) => {
              setBy(v);
              setError(null);
            }}
            choices={(Object.keys(kinds) as By[]).map((value) => ({ value, label: kinds[value].label }))}
          />
        </div>
        {kinds[by].field && (
          <TextArea
            key={by}
            className="input mono"
            label={kinds[by].field}
            hint={kinds[by].hint}
            placeholder={kinds[by].example}
            value={text[by] ?? ''}
            onChange={(e) => setText({ ...text, [by]: e.target.value })}
            rows={4}
            autoCapitalize="none"
            spellCheck={false}
          />
        )}
        {by === 'bucket' && (
          <SelectField label="Bucket" hint={kinds.bucket.hint} value={chosen} onChange={(e) => setBucket(e.target.value)} disabled={!buckets.data?.length}>
            {buckets.data?.length ? buckets.data.map((b) => <option key={b.name}>{b.name}</option>) : <option value="">There is no bucket</option>}
          </SelectField>
        )}
        {by === 'everything' && <Notice tone="warn">{kinds.everything.hint}</Notice>}
        <fieldset className="choice">
          <legend>How</legend>
          <label>
            <input type="radio" name="how" checked={!soft} onChange={() => setSoft(false)} />
            <span>
              <b>Hard</b> <span className="muted">Caches drop it. The next request is answered from further in.</span>
            </span>
          </label>
          <label>
            <input type="radio" name="how" checked={soft} onChange={() => setSoft(true)} />
            <span>
              <b>Soft</b> <span className="muted">Caches keep it, and ask whether it is still right before they use it again.</span>
            </span>
          </label>
        </fieldset>
        {error !== null && <Failure error={error} />}
        <div className="actions">
          <Button type="submit" look={by === 'everything' ? 'danger' : 'primary'} icon={Eraser} busy={busy} disabled={!ready}>
            {by === 'everything' ? 'Purge everything …' : 'Purge'}
          </Button>
          {list.length > 1 && <span className="small muted">{list.length} lines</span>}
        </div>
      </form>
      {asking && <Everything soft={soft} onPurge={purge} onClose={() => setAsking(false)} />}
    </>
  );
}

const word = 'everything';

/** Everything asks for a word to be typed, since a slip would be felt by all. */
function Everything({ soft, onPurge, onClose }: { soft: boolean; onPurge: () => Promise<void>; onClose: () => void }) {
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await onPurge();
      onClose();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Purge everything?" onClose={onClose}>
      <form className="stack" onSubmit={(e) => void submit(e)}>
        <p className="muted">
          {soft ? 'Every cache of every region asks again before it uses what it has.' : 'Every cache of every region drops all that it has. Until they are warm again, readers wait for the origins.'}
        </p>
        {error !== null && <Failure error={error} />}
        <TextField label={`Type “${word}” to confirm`} value={typed} onChange={(e) => setTyped(e.target.value)} autoFocus autoCapitalize="none" autoComplete="off" spellCheck={false} />
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="danger" busy={busy} disabled={typed.trim().toLowerCase() !== word}>
            Purge everything
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
