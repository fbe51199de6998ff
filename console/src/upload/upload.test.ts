import { beforeEach, expect, test } from 'vitest';
import { keyOf } from './key';
import { Speed } from './speed';
import { dropUnfinished, matches, putUnfinished, readUnfinished, type Unfinished } from './unfinished';
import { isFinal, keepAnswer, uploadWords, type UploadError } from './words';

class Memory {
  private items = new Map<string, string>();
  getItem = (k: string) => this.items.get(k) ?? null;
  setItem = (k: string, v: string) => void this.items.set(k, v);
}
let storage: Storage;
beforeEach(() => {
  storage = new Memory() as unknown as Storage;
});

const one: Unfinished = { id: 'a', name: 'wave.mp4', size: 10, lastModified: 5, bucket: 'b', key: 'wave.mp4', url: '/v1/tus/1', sent: 4, updated: 1_000, owner: 'ann' };

test('an upload that was cut off is found again by its file', () => {
  putUnfinished(one, storage);
  putUnfinished({ ...one, sent: 6 }, storage);
  const found = readUnfinished('ann', 2_000, storage);
  expect(found).toEqual([{ ...one, sent: 6 }]);
  expect(matches(found[0]!, { name: 'wave.mp4', size: 10, lastModified: 5 })).toBe(true);
  expect(matches(found[0]!, { name: 'wave.mp4', size: 11, lastModified: 5 })).toBe(false);
  dropUnfinished('a', storage);
  expect(readUnfinished('ann', 2_000, storage)).toEqual([]);
});

test("nobody sees another's uploads, nor those that are too old", () => {
  putUnfinished(one, storage);
  expect(readUnfinished('bob', 2_000, storage)).toEqual([]);
  expect(readUnfinished('ann', 1_000 + 8 * 24 * 3600 * 1000, storage)).toEqual([]);
});

test('storage that holds something else is as good as empty', () => {
  for (const text of ['{', '{}', '[1,null,{"id":"x"}]']) {
    storage.setItem('meridian.uploads', text);
    expect(readUnfinished('ann', 0, storage)).toEqual([]);
  }
});

test('keys', () => {
  expect(keyOf('', { name: 'a b.jpg' })).toBe('a b.jpg');
  expect(keyOf('/2026//summer/ ', { name: 'a.jpg' })).toBe('2026/summer/a.jpg');
  expect(keyOf('x', { name: 'a.jpg', webkitRelativePath: 'album/../one/a.jpg' })).toBe('x/album/one/a.jpg');
});

test('speed is that of the last seconds', () => {
  const s = new Speed();
  expect(s.perSecond()).toBeUndefined();
  for (let t = 0; t <= 10; t++) s.add(t < 5 ? t * 100 : 500 + (t - 5) * 1000, t * 1000);
  expect(s.perSecond()).toBe(1000);
  s.add(0, 11_000); // began anew
  expect(s.perSecond()).toBeUndefined();
});

/** An error after its request was aborted, as Uppy tells of it. */
function failure(status: number, body = ''): UploadError {
  let aborted = false;
  const originalResponse = status ? { getStatus: () => (aborted ? 0 : status), getBody: () => (aborted ? '' : body) } : null;
  const err: UploadError = Object.assign(new Error('x'), { originalResponse });
  keepAnswer(err);
  aborted = true;
  return err;
}

test('what the server will never take is not tried again', () => {
  for (const status of [400, 413, 415, 422]) expect(isFinal(failure(status))).toBe(true);
  for (const status of [0, 401, 403, 404, 423, 503, 507]) expect(isFinal(failure(status))).toBe(false);
});

test('failures in words', () => {
  const failed = (status: number, body = '') => uploadWords(failure(status, body));
  expect(failed(0)).toMatch(/connection/);
  expect(failed(401)).toMatch(/session/i);
  expect(failed(403, '{"title":"Quota","detail":"the bucket may hold 5 MB"}')).toBe('The bucket may hold 5 MB.');
  expect(failed(413, 'too much')).toMatch(/larger/);
  expect(failed(503)).toMatch(/try again/);
});
