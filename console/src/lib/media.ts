// Records of photos and videos, and where to read them.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { get, withQuery } from './api';
import type { Kind, Media, MediaPage, Playback } from './types';

export interface Filter {
  q?: string;
  kind?: Kind;
  tag?: string;
  bucket?: string;
}

/** readFilter takes a filter out of a query; what it does not know is nothing. */
export function readFilter(search: string): Filter {
  const p = new URLSearchParams(search);
  const kind = p.get('kind');
  return {
    q: p.get('q') || undefined,
    kind: kind === 'photo' || kind === 'video' ? kind : undefined,
    tag: p.get('tag') || undefined,
    bucket: p.get('bucket') || undefined,
  };
}

export const galleryPath = (f: Filter, id = ''): string => withQuery(id ? `/gallery/${encodeURIComponent(id)}` : '/gallery', { ...f });

export const isFiltered = (f: Filter): boolean => Boolean(f.q || f.kind || f.tag || f.bucket);

const pageSize = 100;

/** useMedia lists records, newest first, page by page. */
export function useMedia(filter: Filter) {
  return useInfiniteQuery({
    queryKey: ['media', filter],
    queryFn: ({ pageParam, signal }) => get<MediaPage>('/v1/media', { ...filter, cursor: pageParam, limit: pageSize }, signal),
    initialPageParam: '',
    getNextPageParam: (last) => last.next,
    // Records that are being made are looked at again until they are ready.
    refetchInterval: (query) => {
      const pages = query.state.data?.pages;
      const young = (m: Media) => (m.state === 'processing' || m.state === 'pending') && Date.now() - Date.parse(m.updated) < 120_000;
      return pages && pages.length < 4 && pages.some((p) => p.media.some(young)) ? 2_000 : false;
    },
  });
}

export const useMediaItem = (id: string, known?: Media) => useQuery({ queryKey: ['media-item', id], queryFn: ({ signal }) => get<Media>(`/v1/media/${encodeURIComponent(id)}`, {}, signal), placeholderData: known });

/**
 * usePlayback is where a photo or video is read from, the nearest edge first.
 * The URLs of a private bucket are good for an hour and asked for again before.
 */
export const usePlayback = (m: Pick<Media, 'id' | 'version_id'>, enabled = true) =>
  useQuery({
    queryKey: ['playback', m.id, m.version_id],
    queryFn: ({ signal }) => get<Playback>(`/v1/media/${encodeURIComponent(m.id)}/playback`, {}, signal),
    enabled: enabled && Boolean(m.version_id),
    staleTime: 30 * 60_000,
    gcTime: 40 * 60_000,
    refetchOnWindowFocus: false,
  });

export const titleOf = (m: Media): string => m.title || m.key.split('/').pop() || m.key;
