// Numbers and times for people.

const units = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];

/** bytes writes a size with powers of 1,000: "1.2 MB". */
export function bytes(n: number): string {
  if (!Number.isFinite(n) || n < 0) return '–';
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  const digits = i === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
  return `${Number(n.toFixed(digits))} ${units[i]}`;
}

/** clock writes seconds of a video: "3:07", "1:02:03". */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '0:00';
  const s = Math.floor(seconds);
  const two = (n: number) => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  const m = Math.floor(s / 60) % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}

/** span writes a length of time roughly: "40 s", "3 min", "2 h", "5 days". */
export function span(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–';
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

/** ago writes how long ago a time was. */
export function ago(time: string, now = Date.now()): string {
  const s = (now - Date.parse(time)) / 1000;
  if (!Number.isFinite(s)) return '–';
  return s < 5 ? 'just now' : `${span(s)} ago`;
}

export const number = (n: number) => n.toLocaleString('en');

/** percent writes a ratio: "96.4 %". */
export function percent(ratio: number, digits = 1): string {
  return Number.isFinite(ratio) ? `${(ratio * 100).toFixed(digits)} %` : '–';
}

/** dateTime writes a time in the reader's zone. */
export function dateTime(time: string): string {
  const t = new Date(time);
  return Number.isNaN(t.getTime()) ? '–' : t.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

/** plural puts a count before its noun. */
export const plural = (n: number, one: string, many = one + 's') => `${number(n)} ${n === 1 ? one : many}`;

/** fileName is the last segment of a key. */
export const fileName = (key: string) => key.replace(/\/+$/, '').split('/').pop() || key;
