import { useQuery } from '@tanstack/react-query';
import { get } from './api';
import type { Role } from './types';

export interface AccessKey {
  id: string;
  /** Told once, when the key is made. */
  secret?: string;
  user: string;
  role: Role;
  created: string;
  expires?: string;
}

export const useAccessKeys = () => useQuery({ queryKey: ['keys'], queryFn: ({ signal }) => get<{ keys: AccessKey[] }>('/v1/keys', {}, signal).then((a) => a.keys) });

export const roles: { value: Role; name: string; may: string }[] = [
  { value: 'readonly', name: 'Read', may: 'Look at and download everything in every bucket, and see the state of the cluster.' },
  { value: 'readwrite', name: 'Read and write', may: 'That, and upload, change and delete objects, and purge caches.' },
  { value: 'admin', name: 'Administer', may: 'That, and make and delete buckets and access keys.' },
];

export const roleName = (role: Role) => roles.find((r) => r.value === role)?.name ?? role;
