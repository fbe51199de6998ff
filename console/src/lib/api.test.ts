import { afterEach, expect, test, vi } from 'vitest';
import { ApiError, call, onSignedOut, sentence, withQuery } from './api';

const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  vi.stubGlobal('fetch', vi.fn(async () => new Response(status === 204 ? null : JSON.stringify(body), { status, headers: { 'Content-Type': 'application/problem+json', ...headers } })));

afterEach(() => vi.unstubAllGlobals());

const fails = (p: Promise<unknown>) => p.then(() => Promise.reject(new Error('it succeeded')), (e: unknown) => e as ApiError);

test('a problem becomes a sentence', async () => {
  answer(409, { type: 'urn:meridian:problem:bucket-exists', title: 'Bucket already exists', status: 409, detail: 'bucket "a" already exists' });
  const err = await fails(call('POST', '/v1/buckets', { body: {} }));
  expect(err).toBeInstanceOf(ApiError);
  expect(err.message).toBe('Bucket "a" already exists.');
  expect(err.status).toBe(409);
});

test('fields are named', async () => {
  answer(400, { type: '', title: 'Invalid request', status: 400, errors: [{ field: 'name', detail: 'is missing' }] });
  const err = await fails(call('POST', '/v1/buckets', { body: {} }));
  expect(err.message).toBe('Name is missing.');
  expect(err.field('name')).toBe('is missing');
  expect(err.field('region')).toBeUndefined();
});

test('an answer that is no problem document is told by its status', async () => {
  answer(502, 'x', { 'Content-Type': 'text/html' });
  expect((await fails(call('GET', '/v1/media'))).message).toBe('Meridian answered with status 502.');
});

test('no answer at all', async () => {
  vi.stubGlobal('fetch', vi.fn(async () => Promise.reject(new TypeError('Failed to fetch'))));
  const err = await fails(call('GET', '/v1/media'));
  expect(err.status).toBe(0);
  expect(err.message).toMatch(/cannot be reached/);
});

test('401 signs out, except where one asks whether one is signed in', async () => {
  const out = vi.fn();
  const off = onSignedOut(out);
  answer(401, { type: '', title: 'Valid credentials are required', status: 401 });
  await fails(call('GET', '/v1/session'));
  expect(out).not.toHaveBeenCalled();
  await fails(call('GET', '/v1/media'));
  expect(out).toHaveBeenCalledOnce();
  off();
});

test('nothing is answered by 204', async () => {
  answer(204, null);
  expect(await call('DELETE', '/v1/media/x')).toBeUndefined();
});

test('queries hold what is set', () => {
  expect(withQuery('/v1/media', { q: 'a b', tag: '', cursor: undefined, limit: 0 })).toBe('/v1/media?q=a+b&limit=0');
  expect(withQuery('/v1/media', {})).toBe('/v1/media');
});

test('sentences end', () => {
  expect([sentence('no such key'), sentence('Why?'), sentence(' ')]).toEqual(['No such key.', 'Why?', 'Something went wrong.']);
});
