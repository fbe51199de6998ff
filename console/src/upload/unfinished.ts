// What a reload must not forget: uploads that have begun, so that choosing the
// same file again goes on where it was. The bytes themselves stay with the file.

export interface Unfinished {
  /** Uppy's ID of the file: name, type, size, time of change, bucket and key. */
  id: string;
  name: string;
  size: number;
  lastModified: number;
  bucket: string;
  key: string;
  url: string;
  sent: number;
  updated: number;
  owner: string;
}

const name = 'meridian.uploads';
/** After this time servers will have thrown the parts away. */
const keptMs = 7 * 24 * 3600 * 1000;

export function readUnfinished(owner: string, now = Date.now(), storage: Storage | undefined = safeStorage()): Unfinished[] {
  return parse(storage).filter((u) => u.owner === owner && now - u.updated < keptMs);
}

export function putUnfinished(u: Unfinished, storage: Storage | undefined = safeStorage()): void {
  write([...parse(storage).filter((o) => o.id !== u.id), u], storage);
}

export function dropUnfinished(id: string, storage: Storage | undefined = safeStorage()): void {
  write(
    parse(storage).filter((o) => o.id !== id),
    storage,
  );
}

/** matches says whether a file is the one that an upload began with. */
export const matches = (u: Unfinished, f: Pick<File, 'name' | 'size' | 'lastModified'>): boolean => u.name === f.name && u.size === f.size && u.lastModified === f.lastModified;

function parse(storage: Storage | undefined): Unfinished[] {
  try {
    const list: unknown = JSON.parse(storage?.getItem(name) ?? '[]');
    return Array.isArray(list) ? list.filter(isUnfinished) : [];
  } catch {
    return [];
  }
}

function isUnfinished(v: unknown): v is Unfinished {
  const u = v as Unfinished;
  return typeof v === 'object' && v !== null && [u.id, u.name, u.bucket, u.key, u.url, u.owner].every((s) => typeof s === 'string') && [u.size, u.lastModified, u.sent, u.updated].every(Number.isFinite);
}

function write(list: Unfinished[], storage: Storage | undefined): void {
  try {
    storage?.setItem(name, JSON.stringify(list));
  } catch {
    // Storage is full or forbidden: this upload will not be known after a reload.
  }
}

function safeStorage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
