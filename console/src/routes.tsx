import { CloudUpload, Database, Eraser, Gauge, Images, KeyRound, Network, type LucideIcon } from 'lucide-react';
import { lazy, type ComponentType } from 'react';
import type { Role } from './lib/types';
import { UploadCount } from './upload/UploadCount';

/** A page: where it is, and where the navigation lists it. */
export interface PageRoute {
  /** Its first segment is in pages() of console.go too, which serves it. */
  path: string;
  page: ComponentType;
  /** Missing where the navigation does not list it. */
  nav?: {
    group: 'Library' | 'Delivery' | 'Administration';
    label: string;
    icon: LucideIcon;
    href: string;
    /** Also in the bar at the bottom of a phone, which has room for three. */
    bar?: boolean;
    /** A figure beside the label. */
    count?: ComponentType;
    /** Roles it is of use to; all where missing. */
    roles?: Role[];
  };
}

export const routes: PageRoute[] = [
  {
    path: '/gallery/:id?',
    page: lazy(() => import('./pages/Gallery')),
    nav: { group: 'Library', label: 'Gallery', icon: Images, href: '/gallery', bar: true },
  },
  {
    path: '/upload',
    page: lazy(() => import('./pages/Upload')),
    nav: { group: 'Library', label: 'Upload', icon: CloudUpload, href: '/upload', bar: true, count: UploadCount, roles: ['admin', 'readwrite'] },
  },
  {
    path: '/objects/:bucket?',
    page: lazy(() => import('./pages/Objects')),
    nav: { group: 'Library', label: 'Objects', icon: Database, href: '/objects' },
  },
  {
    path: '/cache',
    page: lazy(() => import('./pages/Cache')),
    nav: { group: 'Delivery', label: 'Cache', icon: Gauge, href: '/cache', bar: true },
  },
  {
    path: '/purge',
    page: lazy(() => import('./pages/Purge')),
    nav: { group: 'Delivery', label: 'Purge', icon: Eraser, href: '/purge', roles: ['admin', 'readwrite'] },
  },
  {
    path: '/keys',
    page: lazy(() => import('./pages/Keys')),
    nav: { group: 'Administration', label: 'Access keys', icon: KeyRound, href: '/keys', roles: ['admin'] },
  },
  {
    path: '/nodes',
    page: lazy(() => import('./pages/Nodes')),
    nav: { group: 'Delivery', label: 'Regions', icon: Network, href: '/nodes' },
  },
];
