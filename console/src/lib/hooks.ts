import { useEffect, useRef, useState } from 'react';

/** useTitle names the tab; undefined leaves that to what lies over the page. */
export function useTitle(title: string | undefined): void {
  useEffect(() => {
    if (title === undefined) return;
    document.title = title ? `${title} · Meridian` : 'Meridian';
  }, [title]);
}

/** useDebounced is value once it has not changed for some milliseconds. */
export function useDebounced<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

/** typing says whether a key press goes into a field. */
export function typing(e: KeyboardEvent): boolean {
  const t = e.target;
  return t instanceof HTMLElement && (t.isContentEditable || t.matches('input:not([type=range]):not([type=checkbox]), textarea, select'));
}

/**
 * useKeys calls the handler of a key (as KeyboardEvent.key names it) that is
 * pressed outside of fields, without a modifier but shift, while no dialog is
 * open. A handler that returns false leaves the key to the browser.
 */
export function useKeys(keys: Record<string, (e: KeyboardEvent) => void | boolean>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e) || document.querySelector('dialog[open]')) return;
      const handler = latest.current[e.key];
      if (handler && handler(e) !== false) e.preventDefault();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

/** useWidth observes the inner width of an element. */
export function useWidth<E extends HTMLElement>(): [(e: E | null) => void, number] {
  const [element, setElement] = useState<E | null>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!element) return;
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return [setElement, width];
}
