// What the API answers, as /openapi.json describes it.

export type Role = 'admin' | 'readwrite' | 'readonly';

export interface Session {
  access_key: string;
  user: string;
  role: Role;
  expires?: string;
}

export type Kind = 'photo' | 'video';
export type MediaState = 'pending' | 'processing' | 'ready' | 'failed';

export interface Media {
  id: string;
  kind: Kind;
  bucket: string;
  key: string;
  version_id?: string;
  size: number;
  etag?: string;
  content_type?: string;
  regions: string[];
  blob_urls: Record<string, string>;
  edge_urls: Record<string, string>;
  title: string;
  description: string;
  tags: string[];
  width?: number;
  height?: number;
  duration?: number;
  codecs?: string[];
  taken_at?: string;
  state: MediaState;
  error?: string;
  views: number;
  created: string;
  updated: string;
}

export interface MediaPage {
  media: Media[];
  next?: string;
}

export interface PlaybackSource {
  region: string;
  node: string;
  /** The object itself, or what was made of it to begin faster. */
  kind: 'original' | 'faststart';
  content_type: string;
  size: number;
  url: string;
}

export interface Playback {
  id: string;
  kind: Kind;
  state: MediaState;
  content_type: string;
  /** When the signed ones of the URLs end; missing where none is. */
  expires?: string;
  sources: PlaybackSource[];
}

export interface Bucket {
  name: string;
  region: string;
  placement: 'home' | 'all' | string[];
  visibility: 'private' | 'public-read';
  versioning?: 'Enabled' | 'Suspended';
  owner: string;
  created: string;
}

export interface Region {
  name: string;
  live: boolean;
  s3: string[];
  edges: string[];
  nodes: Partial<Record<Tier, number>>;
  live_nodes: Partial<Record<Tier, number>>;
  /** What the region has yet to copy from others. */
  replication?: Replication;
}

export interface Replication {
  /** Waiting, those being copied among them. */
  objects: number;
  bytes: number;
  /** When the oldest of them was written. */
  oldest?: string;
  /** Those whose last try failed, and the latest reason. */
  failing: number;
  last_error?: string;
  failed_at?: string;
}

export type Tier = 'edge' | 'regional' | 'origin';

export interface ClusterNode {
  id: string;
  boot: string;
  tier: Tier;
  region: string;
  url: string;
  public_url: string;
  blob_base?: string;
  version: string;
  /** Missing where all is well. */
  state?: 'impaired' | 'draining';
  started: string;
  applied: string;
  last_seen: string;
  live: boolean;
  /** Age of the oldest event it has not said to have applied; missing where it is silent or does not say. */
  behind_seconds?: number;
}
