import { useQuery, useQueryClient } from '@tanstack/react-query';
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';
import { ApiError, call, get, onSignedOut, post } from './api';
import type { Session } from './types';

interface SessionState {
  session: Session | null;
  /** Why nobody is signed in any more, to be told on the sign-in page. */
  reason: string;
  signIn(accessKey: string, secretKey: string): Promise<void>;
  signOut(): Promise<void>;
  /** Whether the key may change objects, or administer. */
  canWrite: boolean;
  isAdmin: boolean;
}

const Context = createContext<SessionState | null>(null);

const expired = 'Your session has ended. Sign in again to go on where you were.';

/** SessionProvider knows who is signed in; children are drawn once it does. */
export function SessionProvider({ children, waiting, failed }: { children: ReactNode; waiting: ReactNode; failed: (err: unknown, again: () => void) => ReactNode }) {
  const client = useQueryClient();
  const [reason, setReason] = useState('');
  const { data, error, isPending, refetch } = useQuery({
    queryKey: ['session'],
    queryFn: async () => {
      try {
        return await get<Session>('/v1/session');
      } catch (err) {
        if (err instanceof ApiError && err.status === 401) return null;
        throw err;
      }
    },
    staleTime: Infinity,
    retry: 1,
  });
  const session = data ?? null;

  useEffect(
    () =>
      onSignedOut(() => {
        if (!client.getQueryData(['session'])) return;
        setReason(expired);
        client.setQueryData(['session'], null);
        client.removeQueries({ predicate: (q) => q.queryKey[0] !== 'session' });
      }),
    [client],
  );
  useEffect(() => {
    if (!session?.expires) return;
    const left = Date.parse(session.expires) - Date.now();
    const timer = setTimeout(
      () => {
        setReason(expired);
        client.setQueryData(['session'], null);
      },
      Math.min(Math.max(left, 0), 2 ** 31 - 1),
    );
    return () => clearTimeout(timer);
  }, [session, client]);

  const value = useMemo<SessionState>(
    () => ({
      session,
      reason,
      async signIn(access_key, secret_key) {
        const s = await post<Session>('/v1/session', { access_key, secret_key });
        setReason('');
        client.removeQueries({ predicate: (q) => q.queryKey[0] !== 'session' });
        client.setQueryData(['session'], s);
      },
      async signOut() {
        await call<void>('DELETE', '/v1/session');
        setReason('');
        client.setQueryData(['session'], null);
        client.removeQueries({ predicate: (q) => q.queryKey[0] !== 'session' });
      },
      canWrite: session?.role === 'admin' || session?.role === 'readwrite',
      isAdmin: session?.role === 'admin',
    }),
    [session, reason, client],
  );
  if (isPending) return waiting;
  if (error) return failed(error, () => void refetch());
  return <Context value={value}>{children}</Context>;
}

export function useSession(): SessionState {
  const s = useContext(Context);
  if (!s) throw new Error('useSession outside of a SessionProvider');
  return s;
}
