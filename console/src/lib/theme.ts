import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const name = 'meridian.theme';
const listeners = new Set<() => void>();
const dark = matchMedia('(prefers-color-scheme: dark)');

/** theme is what was chosen; "system" follows prefers-color-scheme. */
export function theme(): Theme {
  const t = document.documentElement.dataset.theme;
  return t === 'light' || t === 'dark' ? t : 'system';
}

export function setTheme(t: Theme): void {
  if (t === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = t;
  try {
    if (t === 'system') localStorage.removeItem(name);
    else localStorage.setItem(name, t);
  } catch {
    // Storage is forbidden: the choice lasts as long as the page.
  }
  listeners.forEach((f) => f());
}

function subscribe(f: () => void): () => void {
  listeners.add(f);
  dark.addEventListener('change', f);
  return () => {
    listeners.delete(f);
    dark.removeEventListener('change', f);
  };
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, theme);

/** useDark says whether the page is dark now; charts on a canvas draw by it. */
export const useDark = (): boolean => useSyncExternalStore(subscribe, () => (theme() === 'system' ? dark.matches : theme() === 'dark'));
