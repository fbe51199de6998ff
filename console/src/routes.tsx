import { Network, type LucideIcon } from 'lucide-react';
import { lazy, type ComponentType } from 'react';
import type { Role } from './lib/types';

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
    /** Roles it is of use to; all where missing. */
    roles?: Role[];
  };
}

export const routes: PageRoute[] = [
  {
    path: '/nodes',
    page: lazy(() => import('./pages/Nodes')),
    nav: { group: 'Delivery', label: 'Regions', icon: Network, href: '/nodes' },
  },
];
