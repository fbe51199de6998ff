import { useQueryClient } from '@tanstack/react-query';
import { createContext, useCallback, useContext, useEffect, useRef, useState, useSyncExternalStore, type ReactNode } from 'react';
import { useSession } from '../lib/session';
import { UploadManager, type Uploads } from './manager';

interface UploadContext {
  manager: UploadManager;
  bucket: string;
  setBucket: (name: string) => void;
  folder: string;
  setFolder: (folder: string) => void;
}

const Context = createContext<UploadContext | null>(null);
const bucketName = 'meridian.bucket';

/** UploadProvider keeps the uploads of whoever is signed in, over all pages. */
export function UploadProvider({ children }: { children: ReactNode }) {
  const { session } = useSession();
  const client = useQueryClient();
  // A session that ends keeps its uploads for when the same key signs in again.
  const lastOwner = useRef('');
  if (session) lastOwner.current = session.access_key;
  const owner = lastOwner.current;
  const [manager, setManager] = useState<UploadManager | null>(null);
  const later = useRef<ReturnType<typeof setTimeout>[]>([]);
  const [bucket, setBucketState] = useState(() => remembered());
  const [folder, setFolder] = useState('');

  useEffect(() => {
    const timers = later.current;
    const refresh = () => void client.invalidateQueries({ queryKey: ['media'] });
    // The record is made from the object, a moment after the last byte.
    const m = new UploadManager(owner, () => timers.push(...[400, 1_500, 4_000].map((ms) => setTimeout(refresh, ms))));
    setManager(m);
    return () => {
      timers.splice(0).forEach(clearTimeout);
      m.close();
    };
  }, [owner, client]);

  const setBucket = useCallback((name: string) => {
    setBucketState(name);
    try {
      localStorage.setItem(bucketName, name);
    } catch {
      // It is asked for again after a reload.
    }
  }, []);

  if (!manager) return null;
  return <Context value={{ manager, bucket, setBucket, folder, setFolder }}>{children}</Context>;
}

function remembered(): string {
  try {
    return localStorage.getItem(bucketName) ?? '';
  } catch {
    return '';
  }
}

export function useUploadContext(): UploadContext {
  const c = useContext(Context);
  if (!c) throw new Error('useUploadContext outside of an UploadProvider');
  return c;
}

export function useUploads(): Uploads {
  const { manager } = useUploadContext();
  return useSyncExternalStore(manager.subscribe, manager.read);
}
