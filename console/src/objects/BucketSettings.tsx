import { useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { patch } from '../lib/api';
import { useRegions } from '../lib/queries';
import type { Bucket } from '../lib/types';
import { Button, Dialog, Failure, Notice, SelectField, useToast } from '../ui/ui';

/** BucketSettings changes who may read a bucket, its versions and its copies. */
export function BucketSettings({ bucket, onClose }: { bucket: Bucket; onClose: () => void }) {
  const client = useQueryClient();
  const toast = useToast();
  const regions = useRegions();
  const [visibility, setVisibility] = useState(bucket.visibility);
  const [versioning, setVersioning] = useState(bucket.versioning ?? '');
  const listed = Array.isArray(bucket.placement) ? bucket.placement : [];
  const [mode, setMode] = useState<'home' | 'all' | 'some'>(Array.isArray(bucket.placement) ? 'some' : bucket.placement);
  const [some, setSome] = useState<string[]>(listed.length > 0 ? listed : [bucket.region]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await patch(`/v1/buckets/${encodeURIComponent(bucket.name)}`, { visibility, placement: mode === 'some' ? some : mode, ...(versioning ? { versioning } : {}) });
      await client.invalidateQueries({ queryKey: ['buckets'] });
      toast(`The bucket ${bucket.name} is changed`);
      onClose();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  const toggle = (region: string, on: boolean) => setSome((l) => (on ? [...l, region] : l.filter((r) => r !== region)));
  return (
    <Dialog title={bucket.name} onClose={onClose}>
      <form className="stack" onSubmit={(e) => void submit(e)}>
        {error !== null && <Failure error={error} />}
        <SelectField label="Who may read" value={visibility} onChange={(e) => setVisibility(e.target.value as Bucket['visibility'])}>
          <option value="private">Private: only with a signature</option>
          <option value="public-read">Public: everybody who knows a URL</option>
        </SelectField>
        {visibility === 'public-read' && bucket.visibility === 'private' && <Notice tone="warn">Everything in this bucket becomes readable for everybody, without a key.</Notice>}
        <SelectField
          label="Versions"
          value={versioning}
          hint={versioning === 'Enabled' ? 'What is overwritten or deleted stays as an older version, and takes up space.' : 'What is overwritten or deleted is gone.'}
          onChange={(e) => setVersioning(e.target.value as typeof versioning)}
        >
          {!bucket.versioning && <option value="">Not kept</option>}
          <option value="Enabled">Kept</option>
          {bucket.versioning && <option value="Suspended">Suspended: those that there are stay</option>}
        </SelectField>
        <SelectField label="Copies of the bytes" value={mode} onChange={(e) => setMode(e.target.value as typeof mode)}>
          <option value="home">In the region that took the write</option>
          <option value="all">In every region</option>
          <option value="some">In these regions</option>
        </SelectField>
        {mode === 'some' && (
          <fieldset className="checks">
            <legend className="hidden">Regions</legend>
            {(regions.data?.map((r) => r.name) ?? listed).map((r) => (
              <label key={r} className="row">
                <input type="checkbox" checked={some.includes(r)} onChange={(e) => toggle(r, e.target.checked)} />
                {r}
              </label>
            ))}
          </fieldset>
        )}
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={busy} disabled={mode === 'some' && some.length === 0}>
            Save
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
