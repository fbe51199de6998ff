// The questions that several pages ask.
import { useQuery } from '@tanstack/react-query';
import { get } from './api';
import type { Bucket, ClusterNode, Region } from './types';

export const useBuckets = () => useQuery({ queryKey: ['buckets'], queryFn: ({ signal }) => get<{ buckets: Bucket[] }>('/v1/buckets', {}, signal).then((a) => a.buckets) });

export const useRegions = (refetchInterval?: number) =>
  useQuery({ queryKey: ['regions'], queryFn: ({ signal }) => get<{ regions: Region[] }>('/v1/regions', {}, signal).then((a) => a.regions), refetchInterval });

export const useNodes = (refetchInterval?: number) =>
  useQuery({ queryKey: ['nodes'], queryFn: ({ signal }) => get<{ nodes: ClusterNode[] }>('/v1/nodes', {}, signal).then((a) => a.nodes), refetchInterval });
