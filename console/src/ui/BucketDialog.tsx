import { useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { ApiError, post, sentence } from '../lib/api';
import { useRegions } from '../lib/queries';
import type { Bucket } from '../lib/types';
import { Button, Dialog, Failure, SelectField, TextField } from './ui';

/** BucketDialog makes a bucket. */
export function BucketDialog({ onClose, onCreated }: { onClose: () => void; onCreated: (name: string) => void }) {
  const client = useQueryClient();
  const regions = useRegions();
  const [name, setName] = useState('');
  const [region, setRegion] = useState('');
  const [visibility, setVisibility] = useState<Bucket['visibility']>('private');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const field = (f: string) => {
    const text = error instanceof ApiError ? error.field(f) : undefined;
    return text && sentence(text);
  };
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const b = await post<Bucket>('/v1/buckets', { name: name.trim(), region: region || undefined, visibility });
      await client.invalidateQueries({ queryKey: ['buckets'] });
      onCreated(b.name);
      onClose();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title="New bucket" onClose={onClose}>
      <form className="stack" onSubmit={(e) => void submit(e)} noValidate>
        {error !== null && !field('name') && !field('region') && <Failure error={error} />}
        <TextField
          label="Name"
          hint="3 to 63 lower-case letters, digits, dots and hyphens. It becomes part of every URL."
          wrong={field('name')}
          value={name}
          onChange={(e) => setName(e.target.value.toLowerCase().replaceAll(' ', '-'))}
          autoFocus
          autoCapitalize="none"
          autoComplete="off"
          spellCheck={false}
          required
        />
        <SelectField label="Home region" wrong={field('region')} value={region} onChange={(e) => setRegion(e.target.value)}>
          <option value="">Where this console runs</option>
          {regions.data?.map((r) => (
            <option key={r.name}>{r.name}</option>
          ))}
        </SelectField>
        <SelectField
          label="Who may read"
          hint={visibility === 'private' ? 'Only with a signature: by share links that expire, and by S3 tools with a key.' : 'Everybody who knows a URL, without any key.'}
          value={visibility}
          onChange={(e) => setVisibility(e.target.value as Bucket['visibility'])}
        >
          <option value="private">Private</option>
          <option value="public-read">Public</option>
        </SelectField>
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={busy} disabled={!name.trim()}>
            Create bucket
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
