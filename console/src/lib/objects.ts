// Objects of a bucket, and links to them.
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { get, post } from './api';
import type { PlaybackSource } from './types';

export interface ObjectEntry {
  bucket: string;
  key: string;
  version_id: string;
  latest: boolean;
  delete_marker?: boolean;
  size: number;
  etag?: string;
  content_type?: string;
  modified: string;
  owner?: string;
  regions: string[];
}

export interface ObjectInfo extends ObjectEntry {
  headers: Record<string, string>;
  metadata: Record<string, string>;
  tags: Record<string, string>;
  checksums: Record<string, string>;
  checksum_type?: string;
  parts?: number;
  awaited: string[];
  blob_urls: Record<string, string>;
  edge_urls: Record<string, string>;
}

interface ObjectPage {
  objects: ObjectEntry[];
  prefixes: string[];
  next?: string;
}

export interface Links {
  bucket: string;
  key: string;
  version_id?: string;
  expires?: string;
  sources: PlaybackSource[];
}

/** useObjects lists a bucket below a prefix, page after page. */
export const useObjects = (bucket: string, prefix: string, versions: boolean) =>
  useInfiniteQuery({
    queryKey: ['objects', bucket, prefix, versions],
    queryFn: ({ signal, pageParam }) =>
      get<ObjectPage>(`/v1/buckets/${encodeURIComponent(bucket)}/objects`, { prefix, delimiter: '/', versions: versions || undefined, cursor: pageParam, limit: 200 }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  });

export const useObject = (bucket: string, key: string, version?: string) =>
  useQuery({
    queryKey: ['object', bucket, key, version ?? ''],
    queryFn: ({ signal }) => get<ObjectInfo>(objectPath(bucket), { key, version_id: version }, signal),
    enabled: key !== '',
  });

export const objectPath = (bucket: string) => `/v1/buckets/${encodeURIComponent(bucket)}/object`;

/** makeLink asks for URLs at which anybody can read an object for a while. */
export const makeLink = (bucket: string, key: string, expires: string, version?: string, download?: boolean) =>
  post<Links>('/v1/links', { bucket, key, expires, version_id: version, download });

/** crumbs are the folders that a prefix leads through. */
export function crumbs(prefix: string): { name: string; prefix: string }[] {
  const list: { name: string; prefix: string }[] = [];
  let from = 0;
  for (let at = prefix.indexOf('/'); at >= 0; at = prefix.indexOf('/', from)) {
    list.push({ name: prefix.slice(from, at), prefix: prefix.slice(0, at + 1) });
    from = at + 1;
  }
  return list;
}

/** folderOf is the prefix under which a key is listed. */
export const folderOf = (key: string) => key.slice(0, key.lastIndexOf('/', key.length - 1) + 1);

/** nameIn is what is left of a key or prefix below a prefix, never nothing. */
export const nameIn = (key: string, prefix: string) => key.slice(prefix.length) || '(this folder itself)';
