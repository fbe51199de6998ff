import { Eye, EyeOff } from 'lucide-react';
import { useState, type FormEvent } from 'react';
import { ApiError, words } from '../lib/api';
import { useTitle } from '../lib/hooks';
import { useSession } from '../lib/session';
import { span } from '../lib/format';
import { Mark } from '../ui/Mark';
import { Button, IconButton, Notice, TextField } from '../ui/ui';

/** SignIn asks for an access key; the page that was asked for follows it. */
export function SignIn() {
  useTitle('Sign in');
  const { signIn, reason } = useSession();
  const [accessKey, setAccessKey] = useState('');
  const [secretKey, setSecretKey] = useState('');
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState('');

  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (!accessKey.trim() || !secretKey.trim()) {
      setWrong('Enter both the access key and the secret key.');
      return;
    }
    setBusy(true);
    setWrong('');
    try {
      await signIn(accessKey.trim(), secretKey.trim());
    } catch (err) {
      setWrong(inWords(err));
      setBusy(false);
    }
  };

  return (
    <main className="sign-in">
      <form onSubmit={(e) => void submit(e)} noValidate>
        <div className="brand">
          <Mark size={28} /> Meridian
        </div>
        <div>
          <h1>Sign in</h1>
          <p className="muted">With an access key and its secret key, as S3 tools use them.</p>
        </div>
        {wrong ? <Notice tone="danger">{wrong}</Notice> : reason && <Notice>{reason}</Notice>}
        <TextField
          label="Access key"
          name="username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          autoFocus
          className="input mono"
          value={accessKey}
          onChange={(e) => setAccessKey(e.target.value)}
        />
        <div className="secret">
          <TextField
            label="Secret key"
            name="password"
            type={shown ? 'text' : 'password'}
            autoComplete="current-password"
            spellCheck={false}
            className="input mono"
            value={secretKey}
            onChange={(e) => setSecretKey(e.target.value)}
          />
          <IconButton icon={shown ? EyeOff : Eye} label={shown ? 'Hide the secret key' : 'Show the secret key'} slim onClick={() => setShown(!shown)} />
        </div>
        <Button type="submit" look="primary" busy={busy}>
          Sign in
        </Button>
        <p className="small faint">
          <code>meridian dev</code> prints the keys when it starts and keeps them in the file <code>credentials</code> of its data directory.
        </p>
      </form>
    </main>
  );
}

function inWords(err: unknown): string {
  if (err instanceof ApiError && err.status === 401) {
    return 'The access key or the secret key is wrong. Check both; they are case-sensitive.';
  }
  if (err instanceof ApiError && err.status === 429) {
    return `Too many failed attempts with this access key. Try again in ${span(err.retryAfter ?? 60)}.`;
  }
  return words(err);
}
