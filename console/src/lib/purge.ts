// Purges: what is asked, and the ones asked in this session of the browser.
import { useQuery } from '@tanstack/react-query';
import { useSyncExternalStore } from 'react';
import { get, post } from './api';

export interface PurgeRequest {
  urls?: string[];
  prefixes?: string[];
  surrogate_keys?: string[];
  bucket?: string;
  everything?: boolean;
  soft?: boolean;
}

export interface PurgeAck {
  id: string;
  node: string;
  applied: string;
  entries: number;
}

export interface PurgeStatus extends PurgeRequest {
  id: string;
  asked: string;
  acks: PurgeAck[];
  waiting: string[];
}

const store = 'meridian.purges';
const kept = 20;
const listeners = new Set<() => void>();
let list: string[] = read();

function read(): string[] {
  try {
    const ids: unknown = JSON.parse(sessionStorage.getItem(store) ?? '[]');
    return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string').slice(0, kept) : [];
  } catch {
    return [];
  }
}

/** usePurges are the IDs of what was purged in this session, newest first. */
export const usePurges = () =>
  useSyncExternalStore(
    (f) => {
      listeners.add(f);
      return () => listeners.delete(f);
    },
    () => list,
  );

export async function askPurge(p: PurgeRequest): Promise<PurgeStatus> {
  const status = await post<PurgeStatus>('/v1/purge', p);
  list = [status.id, ...list.filter((id) => id !== status.id)].slice(0, kept);
  try {
    sessionStorage.setItem(store, JSON.stringify(list));
  } catch {
    // Storage is forbidden: the list lasts as long as the page.
  }
  listeners.forEach((f) => f());
  return status;
}

/** How long the page keeps asking for nodes that have not answered, in ms. */
const patience = 60_000;

/** usePurge follows a purge until every live node has applied it. */
export const usePurge = (id: string) =>
  useQuery({
    queryKey: ['purge', id],
    queryFn: ({ signal }) => get<PurgeStatus>(`/v1/purge/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: ({ state }) => {
      const s = state.data;
      if (!s) return state.error ? false : 500;
      if (s.waiting.length === 0) return false;
      return Date.now() - Date.parse(s.asked) < patience ? 500 : 5_000;
    },
  });

/** lines are what was typed or pasted, one thing a line. */
export const lines = (text: string) =>
  text
    .split(/\r?\n/)
    .map((l) => l.trim())
    .filter(Boolean);

/** purgeWords says what a purge selects. */
export function purgeWords(p: PurgeRequest): string {
  const parts: string[] = [];
  const some = (list: string[] | undefined, one: string, many: string) => {
    if (!list?.length) return;
    parts.push(list.length === 1 ? `${one} ${list[0]}` : `${list.length} ${many}, ${list[0]} and on`);
  };
  if (p.everything) parts.push('everything');
  if (p.bucket) parts.push(`the bucket ${p.bucket}`);
  some(p.urls, 'the URL', 'URLs');
  some(p.prefixes, 'the prefix', 'prefixes');
  some(p.surrogate_keys, 'the surrogate key', 'surrogate keys');
  const text = parts.join(', ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
