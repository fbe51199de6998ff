import { LogOut, Menu, Monitor, Moon, Sun } from 'lucide-react';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { Link, useLocation } from 'wouter';
import { words } from '../lib/api';
import { useSession } from '../lib/session';
import { setTheme, useTheme, type Theme } from '../lib/theme';
import { routes, type PageRoute } from '../routes';
import { DropAnywhere } from '../upload/DropAnywhere';
import { Mark } from './Mark';
import { Dialog, IconButton, useToast } from './ui';

/** Frame is the navigation around a page. */
export function Frame({ children }: { children: ReactNode }) {
  const [drawer, setDrawer] = useState(false);
  const [path] = useLocation();
  const main = useRef<HTMLElement>(null);
  const section = path.split('/')[1];
  useEffect(() => {
    setDrawer(false);
    scrollTo(0, 0);
  }, [section]);
  const pages = usePages();
  return (
    <div className="frame">
      <a
        className="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the page
      </a>
      <aside className="sidebar">
        <Link href="/gallery" className="brand">
          <Mark /> Meridian
        </Link>
        <Navigation pages={pages} />
        <Account />
      </aside>
      <DropAnywhere />
      <main className="main" id="main" tabIndex={-1} ref={main}>
        {children}
      </main>
      <nav className="bottom-nav" aria-label="Main">
        {pages
          .filter((r) => r.nav?.bar)
          .map((r) => (
            <NavLink key={r.path} route={r} size={20} />
          ))}
        <button type="button" onClick={() => setDrawer(true)} aria-haspopup="dialog">
          <Menu size={20} strokeWidth={1.75} aria-hidden />
          More
        </button>
      </nav>
      {drawer && (
        <Dialog title="Meridian" className="drawer" onClose={() => setDrawer(false)}>
          <Navigation pages={pages} onGo={() => setDrawer(false)} />
          <Account />
        </Dialog>
      )}
    </div>
  );
}

function usePages(): PageRoute[] {
  const { session } = useSession();
  return routes.filter((r) => r.nav && session && (r.nav.roles?.includes(session.role) ?? true));
}

function Navigation({ pages, onGo }: { pages: PageRoute[]; onGo?: () => void }) {
  return (
    <nav className="nav" aria-label="Main">
      {(['Library', 'Delivery', 'Administration'] as const)
        .map((group) => [group, pages.filter((r) => r.nav?.group === group)] as const)
        .filter(([, list]) => list.length > 0)
        .map(([group, list]) => (
          <div key={group}>
            <h2>{group}</h2>
            <ul>
              {list.map((r) => (
                <li key={r.path}>
                  <NavLink route={r} size={18} onGo={onGo} />
                </li>
              ))}
            </ul>
          </div>
        ))}
    </nav>
  );
}

function NavLink({ route, size, onGo }: { route: PageRoute; size: number; onGo?: () => void }) {
  const [path] = useLocation();
  const nav = route.nav!;
  const Icon = nav.icon;
  const here = path === nav.href || path.startsWith(nav.href + '/');
  return (
    <Link href={nav.href} aria-current={here ? 'page' : undefined} onClick={onGo}>
      <Icon size={size} strokeWidth={1.75} aria-hidden />
      {nav.label}
      {nav.count && <nav.count />}
    </Link>
  );
}

const themes: Record<Theme, { next: Theme; icon: typeof Sun; label: string }> = {
  system: { next: 'light', icon: Monitor, label: 'Theme: as the system. Change to light' },
  light: { next: 'dark', icon: Sun, label: 'Theme: light. Change to dark' },
  dark: { next: 'system', icon: Moon, label: 'Theme: dark. Change to that of the system' },
};

const roleNames = { admin: 'Administrator', readwrite: 'Can read and write', readonly: 'Can only read' };

function Account() {
  const { session, signOut } = useSession();
  const theme = useTheme();
  const toast = useToast();
  const t = themes[theme];
  return (
    <div className="account">
      <div className="who">
        <div className="truncate" title={session?.access_key}>
          {session?.user}
        </div>
        <div className="small faint truncate">{session && roleNames[session.role]}</div>
      </div>
      <IconButton icon={t.icon} label={t.label} slim onClick={() => setTheme(t.next)} />
      <IconButton icon={LogOut} label="Sign out" slim onClick={() => void signOut().catch((err: unknown) => toast(words(err), 'danger'))} />
    </div>
  );
}
