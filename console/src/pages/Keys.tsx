import { useQueryClient } from '@tanstack/react-query';
import { KeyRound, Plus } from 'lucide-react';
import { useState, type FormEvent } from 'react';
import { ApiError, del, post, sentence } from '../lib/api';
import { dateTime, span } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { roleName, roles, useAccessKeys, type AccessKey } from '../lib/keys';
import { useSession } from '../lib/session';
import type { Role } from '../lib/types';
import { Badge, Button, Confirm, CopyButton, Dialog, Empty, Failure, Notice, PageHead, SelectField, Skeleton, TextField, useToast } from '../ui/ui';
import '../ui/table.css';
import './keys.css';

/** Keys lists the access keys, makes and revokes them. */
export default function Keys() {
  useTitle('Access keys');
  const { isAdmin } = useSession();
  return (
    <div className="page">
      {isAdmin ? (
        <Administered />
      ) : (
        <>
          <PageHead title="Access keys" />
          <Empty icon={KeyRound} title="For administrators">
            Your key does not allow to see or make access keys. Ask an administrator.
          </Empty>
        </>
      )}
    </div>
  );
}

function Administered() {
  const keys = useAccessKeys();
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<AccessKey | null>(null);
  return (
    <>
      <PageHead
        title="Access keys"
        actions={
          <Button look="primary" icon={Plus} onClick={() => setMaking(true)}>
            New key
          </Button>
        }
      >
        By which S3 tools, apps and people are known here.
      </PageHead>
      {keys.error && <Failure error={keys.error} again={() => void keys.refetch()} />}
      {keys.isPending && <Skeleton height={220} radius="var(--r-lg)" />}
      {keys.data && keys.data.length > 0 && <KeyTable keys={keys.data} />}
      <section className="card padded" aria-label="What the roles may do">
        <h2>What the roles may do</h2>
        <dl className="roles">
          {roles.map((r) => (
            <div key={r.value}>
              <dt>{r.name}</dt>
              <dd className="muted">{r.may}</dd>
            </div>
          ))}
        </dl>
      </section>
      {making && (
        <NewKey
          onClose={() => setMaking(false)}
          onMade={(k) => {
            setMaking(false);
            setMade(k);
          }}
        />
      )}
      {made && <Secret made={made} onClose={() => setMade(null)} />}
    </>
  );
}

function KeyTable({ keys }: { keys: AccessKey[] }) {
  const client = useQueryClient();
  const toast = useToast();
  const { session } = useSession();
  const [revoking, setRevoking] = useState<AccessKey | null>(null);
  const revoke = async (k: AccessKey) => {
    await del(`/v1/keys/${encodeURIComponent(k.id)}`);
    await client.invalidateQueries({ queryKey: ['keys'] });
    toast('The key is revoked');
  };
  return (
    <div className="table-scroll">
      <table className="table cards">
        <thead>
          <tr>
            <th scope="col">Access key</th>
            <th scope="col">User</th>
            <th scope="col">Role</th>
            <th scope="col">Made</th>
            <th scope="col">Expires</th>
            <th scope="col">
              <span className="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((k) => (
            <tr key={k.id} data-key={k.id}>
              <th scope="row">
                <span className="row wrap">
                  <span className="mono break">{k.id}</span>
                  {k.id === session?.access_key && <Badge tone="accent">you</Badge>}
                </span>
              </th>
              <td data-label="User" className="break">
                {k.user === k.id ? '–' : k.user}
              </td>
              <td data-label="Role">{roleName(k.role)}</td>
              <td data-label="Made" className="tabular">
                {dateTime(k.created)}
              </td>
              <td data-label="Expires" className="tabular">
                <Expiry at={k.expires} />
              </td>
              <td className="acts">
                <Button slim onClick={() => setRevoking(k)} aria-label={`Revoke ${k.id}`} disabled={k.id === session?.access_key} title={k.id === session?.access_key ? 'You are signed in with this key' : undefined}>
                  Revoke
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {revoking && (
        <Confirm title="Revoke this key?" action="Revoke key" onConfirm={() => revoke(revoking)} onClose={() => setRevoking(null)}>
          <span className="mono break">{revoking.id}</span>
          {revoking.user !== revoking.id && <> of {revoking.user}</>} ceases to work at once, for whoever uses it. This cannot be undone.
        </Confirm>
      )}
    </div>
  );
}

function Expiry({ at }: { at?: string }) {
  if (!at) return <span className="muted">never</span>;
  const left = (Date.parse(at) - Date.now()) / 1000;
  if (left > 0 && left < 7 * 86400) return <Badge tone="warn">in {span(left)}</Badge>;
  return <>{dateTime(at)}</>;
}

const lives: [string, string, number][] = [
  ['never', 'Never', 0],
  ['1', 'In a day', 1],
  ['7', 'In a week', 7],
  ['30', 'In 30 days', 30],
  ['90', 'In 90 days', 90],
  ['365', 'In a year', 365],
];

function NewKey({ onClose, onMade }: { onClose: () => void; onMade: (k: AccessKey) => void }) {
  const client = useQueryClient();
  const [role, setRole] = useState<Role>('readwrite');
  const [user, setUser] = useState('');
  const [life, setLife] = useState('never');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const wrong = error instanceof ApiError ? error.field('user') : undefined;
  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    const days = lives.find(([value]) => value === life)![2];
    try {
      const k = await post<AccessKey>('/v1/keys', { role, user: user.trim(), ...(days ? { expires: new Date(Date.now() + days * 86_400_000).toISOString() } : {}) });
      await client.invalidateQueries({ queryKey: ['keys'] });
      onMade(k);
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title="New access key" onClose={onClose}>
      <form className="stack" onSubmit={(e) => void submit(e)} noValidate>
        {error !== null && !wrong && <Failure error={error} />}
        <TextField label="User" hint="A person or an app; what it writes belongs to it. May be left empty." wrong={wrong && sentence(`User ${wrong}`)} value={user} onChange={(e) => setUser(e.target.value)} autoFocus autoComplete="off" autoCapitalize="none" maxLength={256} />
        <SelectField label="Role" hint={roles.find((r) => r.value === role)!.may} value={role} onChange={(e) => setRole(e.target.value as Role)}>
          {roles.map((r) => (
            <option key={r.value} value={r.value}>
              {r.name}
            </option>
          ))}
        </SelectField>
        <SelectField label="Expires" value={life} onChange={(e) => setLife(e.target.value)}>
          {lives.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </SelectField>
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={busy}>
            Make key
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** Secret shows a secret key, this once. */
function Secret({ made: k, onClose }: { made: AccessKey; onClose: () => void }) {
  return (
    <Dialog title="Keep the secret key now" onClose={onClose}>
      <Notice tone="warn">It is shown this once. Whoever has it can do all that the role “{roleName(k.role)}” may.</Notice>
      <Copied label="Access key" text={k.id} />
      <Copied label="Secret key" text={k.secret ?? ''} />
      <footer>
        <Button look="primary" onClick={onClose}>
          I have kept it
        </Button>
      </footer>
    </Dialog>
  );
}

function Copied({ label, text }: { label: string; text: string }) {
  return (
    <div className="copied">
      <TextField label={label} readOnly value={text} className="input mono" onFocus={(e) => e.target.select()} />
      <CopyButton text={text} />
    </div>
  );
}
