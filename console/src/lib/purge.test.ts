import { expect, test, vi } from 'vitest';

vi.stubGlobal('sessionStorage', { getItem: () => '{"not": "a list"}', setItem: () => undefined });
const { lines, purgeWords } = await import('./purge');

test('what is pasted is one thing a line', () => {
  expect(lines(' /a/b \r\n\n/c/d e\n')).toEqual(['/a/b', '/c/d e']);
  expect(lines(' \n')).toEqual([]);
});

test('what a purge selects', () => {
  expect(purgeWords({ everything: true })).toBe('Everything');
  expect(purgeWords({ bucket: 'photos' })).toBe('The bucket photos');
  expect(purgeWords({ urls: ['/a/b'] })).toBe('The URL /a/b');
  expect(purgeWords({ prefixes: ['/a/', '/b/'], surrogate_keys: ['home'] })).toBe('2 prefixes, /a/ and on, the surrogate key home');
});
