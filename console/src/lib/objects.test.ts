import { expect, test } from 'vitest';
import { crumbs, folderOf, nameIn } from './objects';

test('folders of a prefix', () => {
  expect(crumbs('')).toEqual([]);
  expect(crumbs('2026/07/')).toEqual([
    { name: '2026', prefix: '2026/' },
    { name: '07', prefix: '2026/07/' },
  ]);
  expect(crumbs('/a//')).toEqual([
    { name: '', prefix: '/' },
    { name: 'a', prefix: '/a/' },
    { name: '', prefix: '/a//' },
  ]);
});

test('a key within its folder', () => {
  expect(folderOf('2026/07/a.jpg')).toBe('2026/07/');
  expect(folderOf('a.jpg')).toBe('');
  expect(nameIn('2026/07/', '2026/')).toBe('07/');
  expect(nameIn('2026/', '2026/')).toBe('(this folder itself)');
});
